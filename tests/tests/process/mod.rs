//! Children, signals, standard streams: what concerns the process, mostly in a process of its own.

mod child;
mod signal;
mod stdio;

use std::future::Future;

use pirn::{Backend, Builder};

/// The live backends of this machine.
pub(crate) fn backends() -> impl Iterator<Item = Backend> {
    [Some(Backend::Epoll), pirn::os::uring().is_ok().then_some(Backend::Uring)].into_iter().flatten()
}

/// Runs a future on each backend, on two workers.
fn live<F: Future<Output = std::io::Result<()>>>(test: impl Fn() -> F) {
    for backend in backends() {
        let runtime = Builder::new().workers(2).backend(backend).build().expect("a runtime");
        runtime.block_on(test()).expect("no I/O error");
    }
}
