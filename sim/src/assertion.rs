//! Assertions of programs: [`always!`](crate::always), [`sometimes!`](crate::sometimes) and [`eventually!`](crate::eventually).
//!
//! All assertions that are linked into the binary stand in one section of it, so that a sweep can name those that no
//! execution ever reached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::check::Violation;
use crate::thread::current;
use crate::world::World;

/// What an assertion asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// That it holds whenever it is evaluated.
    Always,
    /// That it holds in some execution of a sweep.
    Sometimes,
    /// That in each execution that evaluates it, it holds at least once.
    Eventually,
}

/// One assertion in the source. Made by the macros.
#[derive(Debug)]
#[repr(C)]
pub struct Site {
    /// What is asked for.
    pub demand: Demand,
    /// Its line.
    pub line: u32,
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub file: &'static str,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}:{}", self.name, self.file, self.line)
    }
}

/// The condition holds whenever this is evaluated: `always!(condition, "name")`.
///
/// On a simulated thread a false condition ends the run as a violation of `always`. On a real thread it panics, as `assert!` does.
///
/// The macro places a static in a section of the binary, which a crate with `#![forbid(unsafe_code)]` does not allow.
#[macro_export]
macro_rules! always {
    ($condition:expr, $name:literal $(,)?) => {
        $crate::__assertion!(Always, $condition, $name)
    };
}

/// The condition holds in some execution of a sweep: `sometimes!(condition, "name")`. A sweep reports the ones that never did
/// ([`Summary::assertions_never_held`](crate::Summary::assertions_never_held)). On a real thread nothing happens.
///
/// The macro places a static in a section of the binary, which a crate with `#![forbid(unsafe_code)]` does not allow.
#[macro_export]
macro_rules! sometimes {
    ($condition:expr, $name:literal $(,)?) => {
        $crate::__assertion!(Sometimes, $condition, $name)
    };
}

/// In an execution that evaluates this, the condition holds at least once before its end: `eventually!(condition, "name")`.
/// If not, the execution fails as a violation of `eventually`. On a real thread nothing happens.
///
/// The macro places a static in a section of the binary, which a crate with `#![forbid(unsafe_code)]` does not allow.
#[macro_export]
macro_rules! eventually {
    ($condition:expr, $name:literal $(,)?) => {
        $crate::__assertion!(Eventually, $condition, $name)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assertion {
    ($demand:ident, $condition:expr, $name:literal) => {{
        #[used]
        #[unsafe(link_section = "pirn_assertions")]
        static SITE: $crate::assertion::Site = $crate::assertion::Site {
            demand: $crate::assertion::Demand::$demand,
            line: ::core::line!(),
            name: $name,
            file: ::core::file!(),
        };
        $crate::assertion::check(&SITE, $condition)
    }};
}

/// Makes the section exist in a binary without assertions. Not one itself.
#[used]
#[unsafe(link_section = "pirn_assertions")]
static FIRST: Site = Site { demand: Demand::Sometimes, line: 0, name: "", file: "" };

unsafe extern "C" {
    #[link_name = "__start_pirn_assertions"]
    static START: u8;
    #[link_name = "__stop_pirn_assertions"]
    static STOP: u8;
}

/// All sites of the binary.
pub(crate) fn sites() -> &'static [Site] {
    let (start, stop) = ((&raw const START).cast::<Site>(), (&raw const STOP).cast::<Site>());
    // SAFETY: the linker defines both ends of the section, which holds nothing but `Site`s: the macros and `FIRST` place one each, and all have the same size and alignment.
    unsafe { std::slice::from_raw_parts(start, stop.offset_from_unsigned(start)) }
}

/// Whether a site is an assertion.
pub(crate) fn is_real(site: &Site) -> bool {
    site.line > 0
}

/// Was evaluated, and held, in this execution.
pub(crate) const SEEN: u8 = 1;
pub(crate) const HELD: u8 = 2;

/// What the macros call.
#[track_caller]
pub fn check(site: &'static Site, holds: bool) {
    match current() {
        Some(executor) => {
            executor.aside(|world| world.assertion(site, holds));
            executor.settle();
        }
        None => assert!(holds || site.demand != Demand::Always, "always: {site} does not hold"),
    }
}

impl World {
    fn assertion(&mut self, site: &'static Site, holds: bool) {
        let number = sites().iter().position(|other| std::ptr::eq(other, site)).unwrap_or(0);
        if self.asserted.len() <= number {
            self.asserted.resize(number + 1, 0);
        }
        self.asserted[number] |= if holds { SEEN | HELD } else { SEEN };
        if !holds && site.demand == Demand::Always {
            let message = format!("{site} does not hold");
            self.violated(Violation::named("always", "a program's assertion", message));
        }
    }

    /// The run is over: what should have held by now?
    pub(crate) fn end_assertions(&mut self) {
        if self.failure.is_some() {
            return;
        }
        let missing = |(site, flags): &(&Site, &u8)| {
            site.demand == Demand::Eventually && **flags & SEEN != 0 && **flags & HELD == 0
        };
        if let Some((site, _)) = sites().iter().zip(&self.asserted).find(missing) {
            let message = format!("{site} was evaluated and never held, and all hosts have returned");
            self.violated(Violation::named("eventually", "a program's assertion", message));
        }
    }
}
