//! How a coroutine begins, waits and ends: by its result, a panic, an abort, a drop, the end of its runtime.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pirn::coro::{self, StackSize};

use crate::support::{Guard, PATIENCE, eventually, runtime, text, within, yields};

#[test]
fn results_and_panics_reach_the_handle_and_stacks_are_used_again() {
    for workers in [1, 2] {
        let runtime = runtime(workers);
        runtime.block_on(async {
            for round in 0..100 {
                let fine = coro::spawn(move || coro::wait(async move { round }) + 1);
                assert_eq!(fine.await.unwrap(), round + 1);
                let broken = coro::spawn(move || {
                    coro::yield_now();
                    panic!("broken in round {round}")
                });
                let _: &pirn::task::JoinHandle<()> = &broken;
                let payload = broken.await.unwrap_err().into_panic().expect("a panic");
                assert_eq!(text(&*payload), format!("broken in round {round}"));
            }
        });
        let metrics = runtime.handle().metrics();
        let stacks: usize = metrics.workers.iter().map(|worker| worker.stacks).sum();
        assert!(stacks <= workers, "{stacks} stacks for one coroutine at a time on {workers} workers");
        assert!(metrics.workers.iter().all(|worker| worker.coroutines == 0));
    }
}

#[test]
fn a_coroutine_holds_what_is_not_send_and_stays_on_its_thread() {
    let runtime = runtime(3);
    within(PATIENCE, move || {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    coro::spawn(move || {
                        let thread = std::thread::current().id();
                        let log = Rc::new(RefCell::new(Vec::new()));
                        for turn in 0..n % 7 {
                            log.borrow_mut().push(turn);
                            // Woken by a task that may run elsewhere.
                            coro::wait(pirn::spawn(yields(2))).unwrap();
                            assert_eq!(std::thread::current().id(), thread);
                        }
                        log.borrow().len()
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), n % 7);
            }
        });
    });
}

/// A stack with guards in several frames.
fn deep(depth: usize, live: &Arc<AtomicUsize>, wait: &dyn Fn()) {
    let _guard = Guard::new(live);
    if depth == 0 { wait() } else { deep(depth - 1, live, wait) }
}

#[test]
fn an_abort_unwinds_a_coroutine_that_waits() {
    let runtime = runtime(2);
    let live = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let inside = live.clone();
        let task = coro::spawn(move || deep(20, &inside, &|| coro::wait(std::future::pending())));
        while live.load(Ordering::SeqCst) < 21 {
            pirn::yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(live.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn an_abort_before_the_start_drops_the_closure_unrun() {
    let runtime = runtime(1);
    let live = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let guard = Guard::new(&live);
        let task = coro::spawn(move || {
            drop(guard);
            unreachable!("it was aborted before it ran")
        });
        let _: &pirn::task::JoinHandle<()> = &task;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(live.load(Ordering::SeqCst), 0);
    assert_eq!(runtime.handle().metrics().workers[0].stacks, 0);
}

#[test]
fn a_panic_while_a_cancelled_coroutine_unwinds_is_the_handles() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a value could not be dropped");
            }
        }
    }
    let runtime = runtime(1);
    runtime.block_on(async {
        let task = coro::spawn(|| {
            let caught = catch_unwind(|| coro::wait(std::future::pending::<()>()));
            drop(Bomb); // not in the unwinding
            drop(caught);
        });
        pirn::yield_now().await;
        task.abort();
        let payload = task.await.unwrap_err().into_panic().expect("the bomb's panic");
        assert_eq!(text(&*payload), "a value could not be dropped");
    });
}

#[test]
fn shutdown_unwinds_what_waits_and_drops_what_never_started() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let live = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            for _ in 0..40 {
                let inside = live.clone();
                coro::spawn(move || deep(3, &inside, &|| coro::wait(std::future::pending()))).detach();
            }
            while live.load(Ordering::SeqCst) < 160 {
                pirn::yield_now().await;
            }
            for _ in 0..10 {
                let guard = Guard::new(&live);
                coro::spawn(move || coro::wait(async move { drop(guard) })).detach();
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(20)).expect("everything ends");
        assert_eq!(live.load(Ordering::SeqCst), 0, "{workers} workers");
    }
}

#[test]
fn a_caught_cancel_comes_again_and_a_value_returned_then_is_dropped() {
    let runtime = runtime(1);
    let raised = Arc::new(AtomicUsize::new(0));
    let live = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let (count, guards) = (raised.clone(), live.clone());
        let task = coro::spawn(move || {
            for _ in 0..2 {
                if catch_unwind(|| coro::wait(std::future::pending::<()>())).is_err() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
            Guard::new(&guards)
        });
        pirn::yield_now().await;
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    });
    assert_eq!(raised.load(Ordering::SeqCst), 2);
    assert_eq!(live.load(Ordering::SeqCst), 0);
}

#[test]
fn a_destructor_may_wait_for_what_is_ready() {
    struct Last(Arc<AtomicBool>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.store(coro::wait(async { true }), Ordering::SeqCst);
        }
    }
    let runtime = runtime(1);
    let waited = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let last = Last(waited.clone());
        let task = coro::spawn(move || {
            let _last = last;
            coro::wait(std::future::pending::<()>())
        });
        pirn::yield_now().await;
        task.abort();
        assert!(task.await.is_err());
    });
    assert!(waited.load(Ordering::SeqCst));
}

#[test]
fn a_wait_inside_the_poll_of_another_wait_suspends_both() {
    let runtime = runtime(1);
    let sum = runtime.block_on(async {
        coro::spawn(|| coro::wait(async { coro::wait(pirn::spawn(async { 20 })).unwrap() + 1 })).await
    });
    assert_eq!(sum.unwrap(), 21);
}

pirn::task_local! {
    static NAME: &'static str;
}

#[test]
fn where_no_coroutine_can_be_suspended_a_wait_says_so() {
    let runtime = runtime(1);
    let outside = |what: Result<(), Box<dyn std::any::Any + Send>>| {
        let said = text(&*what.expect_err("a panic"));
        assert!(said.contains("outside of a coroutine"), "{said}");
    };
    outside(catch_unwind(|| coro::wait(async {})));
    runtime.block_on(async {
        outside(catch_unwind(|| coro::wait(async {})));
        outside(catch_unwind(coro::yield_now));
        let inside = coro::spawn(move || {
            outside(catch_unwind(|| NAME.sync_scope("a", || coro::wait(async {}))));
            let other = self::runtime(1);
            outside(catch_unwind(AssertUnwindSafe(|| other.handle().enter(|| coro::wait(async {})))));
            // The scope as a future is polled and left again.
            assert_eq!(coro::wait(NAME.scope("b", async { (yields(3).await, NAME.get()).1 })), "b");
            assert!(NAME.try_with(|_| ()).is_err());
        });
        inside.await.unwrap();
    });
    outside(
        runtime.block_on(async {
            pirn::spawn_blocking(|| catch_unwind(|| coro::wait(async {}))).await.unwrap()
        }),
    );
    assert!(catch_unwind(|| drop(coro::spawn(|| ()))).is_err());
}

#[test]
fn coroutines_of_the_main_thread_wait_for_its_next_block_on() {
    let runtime = runtime(1);
    let step = Arc::new(AtomicUsize::new(0));
    let seen = step.clone();
    let mut left = None;
    runtime.block_on(async {
        let task = coro::spawn(move || {
            let here = Rc::new(Cell::new(0));
            for _ in 0..3 {
                seen.fetch_add(1, Ordering::SeqCst);
                coro::yield_now();
                here.set(here.get() + 1);
            }
            here.get()
        });
        pirn::yield_now().await;
        left = Some(task);
    });
    let task = left.expect("spawned");
    assert!(!task.is_finished());
    assert_eq!(runtime.block_on(task).unwrap(), 3);
    assert_eq!(step.load(Ordering::SeqCst), 3);
}

#[test]
fn a_coroutine_that_has_started_cannot_hop() {
    let stages = pirn::Topology::stages([("one", 1), ("two", 1)]);
    let runtime = pirn::Builder::new().topology(stages).build().expect("a runtime");
    let two = runtime.handle().group("two").expect("there is one");
    let hopped = runtime.block_on(async {
        coro::spawn(move || (coro::wait(pirn::hop(&two)), coro::wait(async { 5 }))).await.unwrap()
    });
    assert_eq!(hopped, (Err(pirn::HopError::Pinned), 5));
}

#[test]
fn yields_take_turns() {
    let runtime = runtime(1);
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let log = log.clone();
                coro::spawn(move || {
                    for _ in 0..3 {
                        log.lock().unwrap().push(n);
                        coro::yield_now();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let log = log.lock().unwrap();
    for turn in log.chunks(3) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, [0, 1, 2], "{log:?}");
    }
}

/// Runs this test again as a process in which it does what kills that, and returns what it printed.
#[track_caller]
pub(super) fn dies(test: &str, f: impl FnOnce()) -> Option<(std::process::ExitStatus, String)> {
    const MARK: &str = "PIRN_TEST_DIES";
    if std::env::var(MARK).is_ok_and(|name| name == test) {
        f();
        println!("it survived");
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().expect("the path of this test binary"))
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(MARK, test)
        .output()
        .expect("this test binary as a child");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("it survived"), "{said}");
    Some((output.status, said))
}

#[test]
fn who_swallows_the_cancel_twice_ends_the_process() {
    let ended = dies("coro::life::who_swallows_the_cancel_twice_ends_the_process", || {
        runtime(1).block_on(async {
            let task = coro::spawn(|| {
                loop {
                    let _ = catch_unwind(|| coro::wait(std::future::pending::<()>()));
                }
            });
            pirn::yield_now().await;
            task.abort();
            let _: Result<(), _> = task.await;
        });
    });
    let (status, said) = ended.expect("the parent");
    assert!(!status.success() && said.contains("caught the panic that ends it twice"), "{status}: {said}");
}

#[test]
fn a_destructor_that_waits_while_it_unwinds_ends_the_process_with_a_sentence() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            coro::yield_now();
        }
    }
    let test = "coro::life::a_destructor_that_waits_while_it_unwinds_ends_the_process_with_a_sentence";
    let ended = dies(test, || {
        let task = runtime(1).block_on(async {
            coro::spawn(|| {
                let _late = Late;
                panic!("the first panic")
            })
            .await
        });
        let _: Result<(), _> = task;
    });
    let (status, said) = ended.expect("the parent");
    assert!(!status.success() && said.contains("waited in a destructor"), "{status}: {said}");
}

#[test]
fn a_large_stack_holds_what_a_small_one_does_not() {
    fn fill(depth: usize) -> usize {
        let bytes = std::hint::black_box([depth as u8; 4096]);
        if depth == 0 { 0 } else { fill(depth - 1) + usize::from(bytes[depth % 4096] == depth as u8) }
    }
    let runtime = runtime(2);
    let depth = runtime.block_on(async { coro::spawn_on(StackSize::Large, || fill(200)).await.unwrap() });
    assert_eq!(depth, 200);
    let small =
        runtime.block_on(async { coro::spawn_on(StackSize::Small, || coro::wait(async { 1 })).await });
    assert_eq!(small.unwrap(), 1);
    eventually("all stacks are idle", || {
        runtime.handle().metrics().workers.iter().all(|worker| worker.coroutines == 0)
    });
}
