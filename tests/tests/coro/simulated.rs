//! Coroutines on stacks of their own inside simulated threads, which are coroutines too: explored like any other task.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pirn::coro::{self, Direct};

use crate::support::Guard;

#[pirn_sim::test(seeds = 200, workers = 1..=3, tso = true)]
async fn coroutines_wake_one_another_and_stay_on_their_workers() {
    let (to, from) = async_channel::bounded::<u32>(1);
    let producer = coro::spawn(move || {
        let sent = Rc::new(Cell::new(0));
        for n in 0..4 {
            coro::wait(to.send(n)).unwrap();
            sent.set(sent.get() + 1);
            coro::yield_now();
        }
        sent.get()
    });
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let from = from.clone();
            coro::spawn(move || {
                let mut sum = 0;
                while let Ok(n) = coro::wait(from.recv()) {
                    sum += n;
                }
                sum
            })
        })
        .collect();
    drop(from);
    assert_eq!(producer.await.unwrap(), 4);
    let mut sum = 0;
    for consumer in consumers {
        sum += consumer.await.unwrap();
    }
    assert_eq!(sum, 6);
}

#[pirn_sim::test(seeds = 200, workers = 1..=3)]
async fn aborts_and_panics_at_any_time_drop_everything_once() {
    let live = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let live = live.clone();
            coro::spawn(move || {
                let _outer = Guard::new(&live);
                coro::yield_now();
                let _inner = Guard::new(&live);
                coro::wait(pirn::time::sleep(Duration::from_micros(n * 10)));
                if n == 1 {
                    std::panic::resume_unwind(Box::new("n is 1"));
                }
            })
        })
        .collect();
    let aborts: Vec<_> = tasks.iter().step_by(2).map(|task| task.abort_handle()).collect();
    let aborter = pirn::spawn(async move {
        for abort in aborts {
            pirn::yield_now().await;
            abort.abort();
        }
    });
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok(()) => assert!(n != 1),
            Err(error) if n == 1 => assert!(error.is_panic()),
            Err(error) => assert!(n % 2 == 0 && error.is_cancelled(), "{n}: {error}"),
        }
    }
    aborter.await.unwrap();
    assert_eq!(live.load(Ordering::SeqCst), 0);
}

#[pirn_sim::test(seeds = 100, workers = 1..=2, faults = "mild")]
async fn direct_style_echo_over_a_simulated_network() {
    use std::io::{Read, Write};
    let listener = pirn::net::TcpListener::bind("0.0.0.0:7").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = coro::spawn(move || {
        let (stream, _) = coro::wait(listener.accept()).unwrap();
        std::io::copy(&mut Direct(&stream), &mut Direct(&stream)).unwrap()
    });
    let client = coro::spawn(move || {
        let stream = coro::wait(pirn::net::TcpStream::connect(("10.0.0.1", address.port()))).unwrap();
        for round in 0..3_u8 {
            Direct(&stream).write_all(&[round; 100]).unwrap();
            let mut back = [0; 100];
            Direct(&stream).read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 100]);
        }
        coro::wait(stream.shutdown(std::net::Shutdown::Write)).unwrap();
    });
    client.await.unwrap();
    assert_eq!(server.await.unwrap(), 300);
}

/// The runtime ends with coroutines in all states; the checkers see to it that each is dropped once, where it may be.
#[pirn_sim::test(seeds = 200, workers = 1..=3)]
async fn the_runtime_ends_with_coroutines_under_way() {
    for n in 0..6 {
        let task = coro::spawn(move || {
            let _kept = Rc::new(n);
            for _ in 0..n {
                coro::yield_now();
            }
            coro::wait(std::future::pending::<()>());
        });
        task.detach();
        if n % 2 == 0 {
            pirn::yield_now().await;
        }
    }
}
