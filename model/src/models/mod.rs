//! The models, one file a part.

use loom::model::Builder;

mod blocking;
mod caller;
mod hold;
mod inbox;
mod lifo;
mod node;
mod ops;
mod ring;
mod sleep;
mod task;
mod timers;
mod watch;

/// Explores `model` with at most `preemptions` preemptions an execution (`None`: all there are).
fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    builder.check(model);
}
