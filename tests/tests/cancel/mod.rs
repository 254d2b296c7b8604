//! Every future of the API is dropped at its k-th poll, for every k until it ends by itself, plainly and with a timeout around it:
//! no descriptor, op or timer is left, no byte is lost or comes twice, and the next call goes on where the dropped one was.
//!
//! The futures of `fs` have a harness of their own, in `fs/cancel.rs`.

mod connect;
mod datagram;
mod process;
mod stream;
mod task;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use pirn::time::{sleep, timeout};

use crate::alone::{alone, descriptors};
use crate::net::{everywhere, on_workers};

/// When a future is dropped.
#[derive(Clone, Copy)]
struct Cut {
    /// After so many polls.
    polls: usize,
    /// With a timeout around it, which never comes.
    timed: bool,
}

impl Cut {
    /// At the first poll that has to wait.
    const FIRST: Self = Self { polls: 1, timed: false };

    /// Polls a future at most so often, then drops it.
    async fn at<F: Future>(self, future: F) -> Option<F::Output> {
        if self.timed {
            let timed = self.at_plainly(timeout(Duration::from_secs(3_600), future)).await;
            return timed.map(|answer| answer.expect("the limit is far away"));
        }
        self.at_plainly(future).await
    }

    async fn at_plainly<F: Future>(self, future: F) -> Option<F::Output> {
        let (mut future, mut left) = (Box::pin(future), self.polls);
        poll_fn(move |context| {
            left -= 1;
            match future.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// A use of the API whose future is cut. Whether the future ended by itself.
type Use = fn(Cut) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send>>;

/// Where a use can run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worlds {
    /// On all live backends and in the simulator.
    All,
    /// On live backends: the simulator has no such thing.
    Live,
}

/// A test of each function of the module `cuts` beside it.
macro_rules! uses {
    ($worlds:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                super::check(path, super::Worlds::$worlds, |cut| Box::pin(cuts::$name(cut)));
            }
        )*
    };
}

use uses;

/// Runs a use for every k, live in a process of its own. `path` is the test's, with its crate.
fn check(path: &'static str, worlds: Worlds, usage: Use) {
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let every = async move || {
        for timed in [false, true] {
            // It ends by itself after a few polls, or something wakes it without a reason for ever.
            let mut polls = 1;
            while !usage(Cut { polls, timed }).await? {
                polls += 1;
                assert!(polls < 200, "{name} has not ended after {polls} polls");
            }
        }
        io::Result::Ok(())
    };
    let test = async move || {
        every().await?;
        settled(name).await;
        #[cfg(feature = "sim")]
        if pirn_sim::is_simulated() {
            return Ok(());
        }
        // The first run opens what stays open: the driver's own.
        let before = descriptors();
        every().await?;
        settled(name).await;
        for _ in 0..1_000 {
            if descriptors() <= before {
                return Ok(());
            }
            sleep(Duration::from_millis(2)).await;
        }
        panic!("{name}: {before} descriptors before, {} after", descriptors());
    };
    alone(name, || match worlds {
        Worlds::All => everywhere(name, test),
        Worlds::Live => on_workers(test),
    });
}

/// Waits until no op is in flight and no timer armed.
async fn settled(name: &str) {
    let mut left = (0, 0);
    for _ in 0..1_000 {
        let workers = pirn::Handle::current().metrics().workers;
        let ops: usize = workers.iter().map(|worker| worker.ops_in_flight).sum();
        let timers: usize = workers.iter().map(|worker| worker.timers_armed).sum();
        left = (ops, timers);
        if left == (0, 0) {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("{name} leaves {} ops and {} timers", left.0, left.1);
}

/// Time for others.
async fn pause() {
    sleep(Duration::from_micros(200)).await;
}

/// A number that no other call in this process gets.
fn number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A name of the abstract namespace that no other call gets.
fn name() -> pirn::net::UnixAddress {
    let number = u64::from(std::process::id()) << 32 | number();
    pirn::net::UnixAddress::from_abstract_name(format!("pirn-harness-{number}")).expect("a short name")
}
