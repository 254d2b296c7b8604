//! Every example, live.

use clap::ValueEnum;

use crate::{Example, run};

#[test]
fn live() {
    // All but the one with the bug.
    for example in Example::value_variants().iter().filter(|example| **example != Example::ApiBug) {
        if let Err(error) = run::live(example.hosts(), None) {
            panic!("{example:?}: {error}");
        }
    }
}
