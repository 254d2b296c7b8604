//! Eventfds and timerfds.

use super::Kind;
use super::readiness::{IN, OUT};
use crate::clock::Due;
use crate::cost::Call;
use crate::net::Errno;
use crate::world::World;

/// An eventfd. Each write is an edge, however many come before a look.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) count: u64,
    pub(crate) semaphore: bool,
}

/// A timerfd of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// Its settings, counted: an expiry of an earlier one means nothing.
    setting: u64,
    /// When it rings; 0: not set, or it has.
    at: u64,
    /// Has rung since it was set or read.
    pub(crate) rang: bool,
}

impl World {
    /// Adds to an eventfd.
    pub(crate) fn add_to_event(&mut self, file: u32, add: u64) -> Result<(), Errno> {
        let Kind::Event(event) = &mut self.file_at(file).kind else { return Err(libc::EINVAL) };
        if add == u64::MAX {
            return Err(libc::EINVAL);
        }
        if u64::MAX - event.count <= add {
            return Err(libc::EAGAIN);
        }
        event.count += add;
        self.wake_watchers(file, IN);
        self.charge(Call::Event);
        Ok(())
    }

    /// Reads an eventfd or a timerfd: a number.
    pub(crate) fn read_number(&mut self, file: u32) -> Result<u64, Errno> {
        let number = match &mut self.file_at(file).kind {
            Kind::Event(event) if event.count == 0 => return Err(libc::EAGAIN),
            Kind::Event(event) => {
                let take = if event.semaphore { 1 } else { event.count };
                event.count -= take;
                take
            }
            Kind::Timer(timer) if !timer.rang => return Err(libc::EAGAIN),
            Kind::Timer(timer) => {
                timer.rang = false;
                return Ok(1);
            }
            _ => return Err(libc::EINVAL),
        };
        self.wake_watchers(file, OUT);
        self.charge(Call::Event);
        Ok(number)
    }

    /// Sets a timerfd to ring once, at a moment of the world; 0: never.
    pub(crate) fn set_timer(&mut self, file: u32, at: u64) -> Result<(), Errno> {
        let now = self.now;
        let Kind::Timer(timer) = &mut self.file_at(file).kind else { return Err(libc::EINVAL) };
        timer.setting += 1;
        timer.rang = false;
        timer.at = at;
        let setting = timer.setting;
        if at > now {
            self.due.push(at, Due::Timer { file, setting });
        } else if at != 0 {
            self.timer_rings(file, setting);
        }
        Ok(())
    }

    /// The time of a setting is over; whether that concerns anybody.
    pub(crate) fn timer_rings(&mut self, file: u32, setting: u64) -> bool {
        let Some(record) = self.kernel.files.get_mut(file as usize) else { return false };
        let Kind::Timer(timer) = &mut record.kind else { return false };
        if timer.setting != setting || timer.at == 0 {
            return false;
        }
        (timer.at, timer.rang) = (0, true);
        self.wake_watchers(file, IN);
        true
    }
}
