//! Starting the worker threads of a runtime: all of them with their drivers, or none.

use std::io;
use std::sync::Arc;

use super::context::Context;
use super::shared::Shared;
use super::worker::{NoMain, Worker};
use crate::os::ThreadSpec;
use crate::sync::{Condvar, Mutex};

/// How many workers came up, and the first error of those that did not.
#[derive(Default)]
struct Startup {
    state: Mutex<(usize, Option<io::Error>)>,
    changed: Condvar,
}

impl Startup {
    fn report(&self, outcome: io::Result<()>) {
        let mut state = self.state.lock();
        state.0 += 1;
        if let Err(error) = outcome {
            state.1.get_or_insert(error);
        }
        self.changed.notify_all();
    }
}

/// Starts the threads of seats 1 to n-1 and waits until each has its driver.
pub(crate) fn start_threads(shared: &Arc<Shared>) -> io::Result<()> {
    let startup = Arc::new(Startup::default());
    let mut started = 0;
    let mut failed = None;
    for number in 1..shared.workers() {
        let spec = ThreadSpec { name: format!("pirn-worker-{number}"), stack: None };
        let (body_shared, body_startup) = (shared.clone(), startup.clone());
        let body = Box::new(move || run_thread(&body_shared, number, &body_startup));
        match shared.os.spawn_thread(spec, body) {
            Ok(thread) => {
                shared.exit.add_thread(thread);
                started += 1;
            }
            Err(error) => {
                let text =
                    format!("worker thread {number} of {} cannot be started: {error}", shared.workers());
                failed = Some(io::Error::new(error.kind(), text));
                shared.exit.set_absent((shared.workers() - number) as usize);
                break;
            }
        }
    }
    let mut state = startup.state.lock();
    while state.0 < started {
        state = startup.changed.wait(state);
    }
    match failed.or(state.1.take()) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

fn run_thread(shared: &Arc<Shared>, number: u32, startup: &Startup) {
    let cx = Context::new(shared.clone(), Some(number));
    cx.enter(|| {
        let worker = Worker::new(&cx);
        let attached = worker.pin().and_then(|()| worker.attach());
        let usable = attached.is_ok();
        startup.report(attached);
        if usable {
            worker.run(&mut NoMain);
        }
        worker.shut_down();
    });
}
