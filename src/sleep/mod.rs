//! Who sleeps, and who wakes whom. `README.md` beside this file has the protocol, its steps by name and why no wake is lost;
//! comments here cite the steps. Knows no driver: who is told "interrupt its driver" does that itself.

pub(crate) use self::protocol::{Sleep, Up};

mod counts;
mod park;
mod protocol;
