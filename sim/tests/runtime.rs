//! The real runtime in the world.

use std::time::Duration;

use pirn_sim::{Explore, Simulation};

fn explore(simulation: &Simulation, seeds: u64) {
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    if let Some(failure) = report.failure {
        if std::env::var_os("STEPS").is_some() {
            for step in simulation.replay_steps(&failure.outcome.trace).1 {
                eprintln!("{step}");
            }
        }
        panic!(
            "seed {}: {}\n{}confirmed: {:?}",
            failure.outcome.seed, failure.outcome.verdict, failure.outcome.threads, failure.confirmed
        );
    }
    eprintln!(
        "{}: {} executions, {} points, {:.2} s",
        simulation.name(),
        report.executions,
        report.points,
        report.seconds
    );
}

#[test]
fn an_empty_program_ends() {
    explore(&Simulation::new("empty").host("a", || async {}), 100);
}

#[test]
fn tasks_wake_one_another() {
    let simulation = Simulation::new("tasks").host("a", || async {
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                pirn::spawn(async move {
                    for _ in 0..n % 4 {
                        pirn::yield_now().await;
                    }
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, 190);
    });
    explore(&simulation, 2000);
    explore(&simulation.tso(true), 2000);
}

#[test]
fn timers_fire_in_virtual_time() {
    let simulation = Simulation::new("timers").host("a", || async {
        let start = pirn::time::Instant::now();
        let naps: Vec<_> = (1..6u64)
            .map(|n| {
                pirn::spawn(async move {
                    pirn::time::sleep(Duration::from_secs(n)).await;
                })
            })
            .collect();
        for nap in naps {
            nap.await.unwrap();
        }
        assert!(pirn::time::Instant::now() - start >= Duration::from_secs(5));
    });
    explore(&simulation, 200);
}

/// Twenty tasks in a circle, each woken by the one before, through the LIFO slot, while the rest of them wait in the
/// ring and the injector.
async fn circle() {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};
    use std::task::{Poll, Waker};
    type Seat = Mutex<(bool, Option<Waker>)>;
    fn wake(seat: &Seat) {
        let waker = {
            let mut seat = seat.lock().unwrap();
            seat.0 = true;
            seat.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
    let seats: Arc<Vec<Seat>> = Arc::new((0..20).map(|_| Seat::default()).collect());
    let tasks: Vec<_> = (0..20)
        .map(|me: usize| {
            let seats = Arc::clone(&seats);
            pirn::spawn(async move {
                for _ in 0..2 {
                    poll_fn(|cx| {
                        let mut seat = seats[me].lock().unwrap();
                        if std::mem::take(&mut seat.0) {
                            return Poll::Ready(());
                        }
                        seat.1 = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                    wake(&seats[(me + 1) % 20]);
                }
            })
        })
        .collect();
    wake(&seats[0]);
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn the_ring_has_its_turn_beside_the_lifo_slot_and_the_injector() {
    explore(&Simulation::new("circle").workers(3..=3).host("a", circle), 3000);
}
