//! Timers without a clock: who owns a wheel tells it the time.

pub(crate) use self::wheel::{Key, Wheel, WheelConfig};

mod list;
mod wheel;
