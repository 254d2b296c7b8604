//! The life of a task, enumerated whole: every order of events up to a length, on every kind of task, each held against
//! a model of what can be observed; and single cases that the orders do not reach.

#![allow(clippy::waker_clone_wake, reason = "every way to wake is tested")]

mod cases;
mod local;
mod model;
mod probe;
mod queued;
mod races;

use self::model::{Case, End, Model, Step};

/// All combinations of how a task ends and what panics on the way.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for end in [End::Ready, End::Panic] {
        for drop_panics in [false, true] {
            for output_panics in [false, true] {
                cases.push(Case { end, drop_panics, output_panics });
            }
        }
    }
    cases
}

/// Runs `run` on every order of `length` events that makes sense.
fn every_order(length: usize, blocking: bool, mut run: impl FnMut(Case, &[Step])) -> usize {
    let mut count = 0;
    // A call's captures go inside the call: what panics there is the call's own panic.
    for case in cases().into_iter().filter(|case| !(blocking && case.drop_panics)) {
        // What panics in a drop changes little in the order of things: shorter ones will do.
        let quiet = !case.drop_panics && !case.output_panics;
        let mut steps = Vec::new();
        extend(&Model::new(case, blocking), length - usize::from(!quiet), &mut steps, &mut |steps| {
            count += 1;
            run(case, steps);
        });
    }
    count
}

fn extend(model: &Model, length: usize, steps: &mut Vec<Step>, run: &mut impl FnMut(&[Step])) {
    if steps.len() == length {
        return run(steps);
    }
    let mut stuck = true;
    for step in Step::ALL {
        if model.allows(step, steps) {
            stuck = false;
            let mut next = model.clone();
            next.apply(step);
            steps.push(step);
            extend(&next, length, steps, run);
            steps.pop();
        }
    }
    if stuck {
        run(steps);
    }
}
