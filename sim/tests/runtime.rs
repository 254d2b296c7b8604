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
