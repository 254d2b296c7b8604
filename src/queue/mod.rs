//! Where scheduled tasks wait: the worker's ring, its LIFO slot, its inbox, and the injector all share.
//!
//! Generic in the task, capacities are parameters, nothing here knows a worker loop. The files are compiled a second
//! time in `model/` over loom's types: `model/src/models/{ring,inbox,lifo}.rs` check owner against thieves, pushers against owner, and
//! owner against a takeover in every interleaving within the bounds they name; `model/tests/twins` compares each container with a plain one.
//!
//! A *note* parameter of a function is called where its effect takes place, with no simulator point between the two,
//! so that events come in the order of what happened. A note must not panic and must not touch the container.

pub(crate) use self::inbox::Inbox;
pub(crate) use self::injector::Injector;
pub(crate) use self::lifo::LifoSlot;
pub(crate) use self::link::Link;
pub(crate) use self::ring::{Owner, Ring, ring};

mod inbox;
mod injector;
mod lifo;
mod link;
pub(crate) mod ring;
