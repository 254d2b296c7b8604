//! shuttle, with the nearest like programs: there is no scheduler of a runtime in them, only tasks and their primitives.

use std::future::poll_fn;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicU64 as StdAtomicU64, Ordering as StdOrdering};
use std::task::{Poll, Waker};
use std::time::Duration;

use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Arc, Mutex};

use crate::Figures;
use crate::serve::cpu;

/// A random scheduler that counts what it decides.
struct Counting {
    inner: RandomScheduler,
    decisions: StdArc<StdAtomicU64>,
    switches: StdArc<StdAtomicU64>,
}

impl Scheduler for Counting {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.inner.new_execution()
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yielding: bool) -> Option<TaskId> {
        let next = self.inner.next_task(runnable, current, yielding);
        self.decisions.fetch_add(1, StdOrdering::Relaxed);
        if next != current {
            self.switches.fetch_add(1, StdOrdering::Relaxed);
        }
        next
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// Executions, decisions, switches and seconds of `program`.
fn run(span: Duration, program: impl Fn() + Send + Sync + 'static) -> (f64, f64, f64, f64) {
    let mut config = shuttle::Config::new();
    config.max_time = Some(span);
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::None;
    let (decisions, switches) = (StdArc::<StdAtomicU64>::default(), StdArc::<StdAtomicU64>::default());
    let scheduler = Counting {
        inner: RandomScheduler::new_from_seed(1, usize::MAX),
        decisions: decisions.clone(),
        switches: switches.clone(),
    };
    let before = cpu();
    let executions = shuttle::Runner::new(scheduler, config).run(program);
    let count = |counter: StdArc<StdAtomicU64>| counter.load(StdOrdering::Relaxed) as f64;
    (executions as f64, count(decisions), count(switches), cpu() - before)
}

/// Three threads that do nothing but atomic operations.
pub(crate) fn points(span: Duration) -> Figures {
    let (_, decisions, switches, seconds) = run(span, || {
        let shared = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = shared.clone();
                shuttle::thread::spawn(move || {
                    for _ in 0..100_000 {
                        shared.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a counting thread failed");
        }
    });
    vec![
        ("points_s", decisions / seconds),
        ("switches_s", switches / seconds),
        ("switched", switches / decisions),
    ]
}

/// Counts rings and wakes one listener.
struct Bell(Mutex<(u32, Option<Waker>)>);

impl Bell {
    fn ring(&self) {
        let mut state = self.0.lock().expect("no holder panics");
        state.0 += 1;
        let listener = state.1.take();
        drop(state);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    async fn rung(&self, times: u32) {
        poll_fn(|cx| {
            let mut state = self.0.lock().expect("no holder panics");
            if state.0 >= times {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// 20 tasks that wake one another.
pub(crate) fn wakes(span: Duration) -> Figures {
    let (executions, decisions, _, seconds) = run(span, || {
        shuttle::future::block_on(async {
            let bells: Arc<Vec<Bell>> = Arc::new((0..20).map(|_| Bell(Mutex::new((0, None)))).collect());
            let tasks: Vec<_> = (0..bells.len())
                .map(|number| {
                    let bells = bells.clone();
                    shuttle::future::spawn(async move {
                        bells[(number + 1) % bells.len()].ring();
                        bells[number].rung(1).await;
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a ringing task failed");
            }
        });
    });
    vec![("executions_s", executions / seconds), ("points_each", decisions / executions)]
}
