//! The live machine: how cases run on it, and what only a live kernel has.

use std::net::{Ipv4Addr, SocketAddr};

use super::cases::Case;
use super::world::World;

/// The epoll machine on the loopback address.
pub(crate) fn world() -> World {
    World {
        os: pirn::os::epoll().expect("this kernel has epoll"),
        here: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// Runs a case on it.
pub(crate) fn run(case: Case) {
    case(&world());
}
