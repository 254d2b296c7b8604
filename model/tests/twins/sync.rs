//! The root crate's `sync` as production has it.

pub(crate) use self::ghost::{Debt, Ghost};
pub(crate) use self::plain::*;

#[path = "../../../src/sync/ghost.rs"]
mod ghost;
#[path = "../../../src/sync/plain.rs"]
mod plain;
#[path = "../../../src/sync/spin.rs"]
mod spin;
