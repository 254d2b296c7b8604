//! The wakers of all who wait for one op, behind one waker.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::Mutex;

/// Many wakers; waking it wakes and forgets all. No waker is cloned, dropped or called under the lock.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    wakers: Vec<(u64, Waker)>,
}

/// The key of wakers that were kept without a place of their own.
const COMMON: u64 = 0;

impl Waiters {
    /// Keeps a waker in the place that `key` names, which is made if there is none.
    pub(super) fn keep(&self, waker: &Waker, key: &mut Option<u64>) {
        let clone = waker.clone();
        let mut list = self.list.lock();
        let number = *key.get_or_insert_with(|| {
            list.last += 1;
            list.last
        });
        let replaced = list.put(clone, |(kept, _)| *kept == number, number);
        drop(list);
        drop(replaced);
    }

    /// Keeps a waker without a place of its own, once.
    pub(super) fn keep_common(&self, waker: &Waker) {
        let clone = waker.clone();
        let mut list = self.list.lock();
        let replaced = list.put(clone, |(kept, other)| *kept == COMMON && other.will_wake(waker), COMMON);
        drop(list);
        drop(replaced);
    }

    /// Drops the waker under `key`, if it is still there.
    pub(super) fn forget(&self, key: &mut Option<u64>) {
        let Some(key) = key.take() else { return };
        let mut list = self.list.lock();
        let index = list.wakers.iter().position(|(kept, _)| *kept == key);
        let waker = index.map(|index| list.wakers.swap_remove(index));
        drop(list);
        drop(waker);
    }
}

impl List {
    /// Puts a waker where `is_place` says, else at the end; returns the one that was there.
    fn put(&mut self, waker: Waker, is_place: impl Fn(&(u64, Waker)) -> bool, number: u64) -> Option<Waker> {
        if let Some(index) = self.wakers.iter().position(is_place) {
            return Some(std::mem::replace(&mut self.wakers[index].1, waker));
        }
        self.wakers.push((number, waker));
        None
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut self.list.lock().wakers);
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}
