//! Signals.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pirn::signal::{SignalKind, ctrl_c, signal};
use pirn::time::{sleep, timeout};

use super::live;
use crate::alone::{alone, descriptors};

/// Sends this thread a signal, which its handler has had when this returns.
fn raise(kind: SignalKind) {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
}

#[test]
fn every_listener_hears_it() {
    alone("process::signal::every_listener_hears_it", || {
        live(|| async {
            let kind = SignalKind::user_defined1();
            let (one, other) = (signal(kind)?, signal(kind)?);
            let deaf = signal(SignalKind::user_defined2())?;
            for _ in 0..20 {
                raise(kind);
                one.recv().await?;
                other.recv().await?;
            }
            // Those that come before the first is taken are one.
            raise(kind);
            raise(kind);
            one.recv().await?;
            assert!(timeout(Duration::from_millis(5), one.recv()).await.is_err());
            assert!(timeout(Duration::from_millis(5), deaf.recv()).await.is_err());
            Ok(())
        });
    });
}

/// A wait that is given up has taken nothing, whenever the signal comes.
#[test]
fn a_dropped_wait_takes_no_signal() {
    alone("process::signal::a_dropped_wait_takes_no_signal", || {
        live(|| async {
            let kind = SignalKind::user_defined1();
            let listener = signal(kind)?;
            for _ in 0..20 {
                assert!(timeout(Duration::from_millis(1), listener.recv()).await.is_err());
                let mut waiting = Box::pin(listener.recv());
                let pending = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
                });
                assert!(pending.await);
                raise(kind);
                sleep(Duration::from_millis(1)).await;
                drop(waiting);
                timeout(Duration::from_secs(10), listener.recv()).await.expect("it came")?;
            }
            Ok(())
        });
    });
}

#[test]
fn ctrl_c_in_two_runtimes_at_once() {
    alone("process::signal::ctrl_c_in_two_runtimes_at_once", || {
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    pirn::Runtime::new().expect("a runtime").block_on(async {
                        timeout(Duration::from_secs(10), ctrl_c()).await.expect("heard").expect("no error");
                    });
                })
            })
            .collect();
        // Both listen once the second handler is there; the first raise may be too early for one of them.
        while !waiting.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if handled(libc::SIGINT) {
                raise(SignalKind::interrupt());
            }
        }
        waiting.into_iter().for_each(|thread| thread.join().expect("heard"));
    });
}

/// Whether the signal has a handler, so that it does not end the process.
fn handled(signal: i32) -> bool {
    // SAFETY: zeros are a value of `sigaction`, which is valid for writing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
        action.sa_sigaction != libc::SIG_DFL
    }
}

static EARLIER: AtomicUsize = AtomicUsize::new(0);

#[test]
fn an_earlier_handler_is_still_called() {
    extern "C" fn earlier(_: libc::c_int) {
        EARLIER.fetch_add(1, Ordering::SeqCst);
    }
    alone("process::signal::an_earlier_handler_is_still_called", || {
        let handler: extern "C" fn(libc::c_int) = earlier;
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGHUP, handler as libc::sighandler_t) };
        live(|| async {
            let before = EARLIER.load(Ordering::SeqCst);
            let hangup = signal(SignalKind::hangup())?;
            raise(SignalKind::hangup());
            hangup.recv().await?;
            assert_eq!(EARLIER.load(Ordering::SeqCst), before + 1);
            Ok(())
        });
    });
}

#[test]
fn signals_that_cannot_be_heard() {
    live(|| async {
        for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 1_000] {
            let error = signal(SignalKind::from_raw(number)).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        Ok(())
    });
}

#[test]
fn listeners_that_come_and_go_leave_nothing() {
    alone("process::signal::listeners_that_come_and_go_leave_nothing", || {
        live(|| async {
            let kind = SignalKind::window_change();
            // The places of two listeners stay.
            drop((signal(kind)?, signal(kind)?));
            sleep(Duration::from_millis(20)).await;
            let before = descriptors();
            for round in 0..100 {
                let (one, _other) = (signal(kind)?, signal(kind)?);
                raise(kind);
                if round % 2 == 0 {
                    one.recv().await?;
                }
            }
            // A new listener hears nothing of the past.
            let late = signal(kind)?;
            assert!(timeout(Duration::from_millis(5), late.recv()).await.is_err());
            drop(late);
            for _ in 0..1_000 {
                if descriptors() <= before {
                    return Ok(());
                }
                sleep(Duration::from_millis(5)).await;
            }
            panic!("{before} descriptors before, {} after", descriptors());
        });
    });
}

#[cfg(feature = "sim")]
#[test]
fn a_simulated_signal_is_heard_on_its_host() {
    let simulation = pirn_sim::Simulation::new("a_simulated_signal_is_heard_on_its_host")
        .host("server", || async {
            let terminate = signal(SignalKind::terminate())?;
            terminate.recv().await?;
            let more = timeout(Duration::from_secs(5), terminate.recv()).await;
            assert!(more.is_err(), "it was raised once");
            io::Result::Ok(())
        })
        .host("operator", || async {
            assert!(!pirn_sim::raise("operator", SignalKind::terminate().as_raw()));
            while !pirn_sim::raise("server", SignalKind::terminate().as_raw()) {
                sleep(Duration::from_millis(1)).await;
            }
        });
    for seed in 0..40 {
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
