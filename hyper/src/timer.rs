//! Time for hyper: limits on heads, keep-alive of HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// hyper's timer over Pirn's timer wheel. A reset keeps the allocation.
///
/// hyper counts in [`std::time::Instant`]; on a simulated thread that clock is the simulated one too.
///
/// # Panics
/// Its methods panic outside of a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct PirnTimer;

/// A moment of std's clock on the runtime's.
fn converted(deadline: Instant) -> pirn::time::Instant {
    pirn::time::Instant::now() + deadline.saturating_duration_since(Instant::now())
}

impl Timer for PirnTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Nap(pirn::time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Nap(pirn::time::sleep_until(converted(deadline))))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Nap>() {
            Some(mut nap) => nap.0.reset(converted(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A sleep under hyper's name for it.
struct Nap(pirn::time::Sleep);

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl Sleep for Nap {}
