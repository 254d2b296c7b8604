//! Putting tasks where a worker will find them: spawn, wakes, reschedules.

use core::future::Future;
use core::panic::Location;
use std::sync::Arc;

use super::context::{Context, emit, with_context};
use super::core::Core;
use super::shared::{Seat, Shared};
use crate::group::HopError;
use crate::observe::Origin;
use crate::sync::{Debt, Ghost, Ordering, debt, ghost};
use crate::task::state::Start;
use crate::task::{JoinHandle, Kind, Task};
use crate::trace::{Event, Place};

/// Task numbers a seat takes at once.
const ID_BLOCK: u64 = 32;
/// The worker field of an event that happened outside of all workers.
const OUTSIDE: u16 = u16::MAX;

/// Where a new task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// In the group of the calling worker; the first one, if there is none.
    Here,
    /// In this group.
    In(u32),
    /// As `Here` until its first poll, then on the seat of that one.
    #[cfg(feature = "coro")]
    FirstPoll,
    /// On the seat of the calling thread, which must have one.
    Pinned,
}

/// Spawns a future.
pub(crate) fn spawn<F>(
    shared: &Arc<Shared>,
    future: F,
    place: Where,
    at: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future,
{
    with_context(|cx| {
        let cx = cx.filter(|cx| core::ptr::eq(Arc::as_ptr(&cx.shared), Arc::as_ptr(shared)));
        let seat = cx.and_then(|cx| cx.seat);
        let core = cx.and_then(Context::core);
        let id = shared.next_id(core);
        let here = seat.map_or(0, |seat| shared.seat(seat).group);
        let (pinned, group) = match place {
            Where::Here => (false, here),
            #[cfg(feature = "coro")]
            Where::FirstPoll => (false, here),
            Where::In(group) => (false, group),
            Where::Pinned => (true, here),
        };
        let kind =
            if pinned { Kind::Pinned(seat.expect("a pinned task has a seat")) } else { Kind::Shared(group) };
        let (task, header) =
            Task::new(core.map(|core| &core.pool), future, Arc::as_ptr(shared), id, kind, at);
        #[cfg(feature = "coro")]
        if place == Where::FirstPoll {
            task.header().settle_later();
        }
        // SAFETY: the handle's reference of a task that yields this future's output.
        let handle = unsafe { JoinHandle::new(header) };
        debt(Debt::Push, 1);
        shared.note_scheduled(&task);
        let site = shared.site((at, core::any::type_name::<F>()));
        emit(Event::Spawn { task: id, pinned, worker: seat.map_or(OUTSIDE, |seat| seat as u16), site });
        match (core, seat) {
            (Some(core), Some(seat)) => {
                shared.seat(seat).pulse.stats.tasks.add(1);
                if pinned {
                    core.pinned.set(core.pinned.get() + 1);
                    shared.push_inbox(seat, task);
                } else if group != here {
                    ghost(|| Ghost::Belongs { task: id, group });
                    shared.push_injector(task);
                } else {
                    shared.push_ring(core, seat, task, cx.is_some_and(|cx| cx.in_poll.get()));
                }
            }
            _ => {
                ghost(|| Ghost::Belongs { task: id, group });
                shared.push_injector(task);
            }
        }
        handle
    })
}

/// Puts a task whose scheduled bit the caller set (debt: a push) into a container.
pub(crate) fn schedule(task: Task) {
    // SAFETY: a scheduled task is not complete.
    let shared = unsafe { task.shared() };
    shared.note_scheduled(&task);
    match task.header().kind() {
        Kind::Pinned(seat) => shared.keep(|shared| shared.push_inbox(seat, task)),
        Kind::Blocking => unreachable!("blocking work is never pending, so never woken"),
        Kind::Shared(group) => {
            with_context(|cx| match cx.filter(|cx| task.belongs_to(Arc::as_ptr(&cx.shared))) {
                Some(cx) if cx.seat.is_some_and(|seat| shared.seat(seat).group == group) => {
                    let (Some(core), Some(seat)) = (cx.core(), cx.seat) else {
                        unreachable!("a seat has a core")
                    };
                    if cx.in_poll.get() {
                        shared.push_lifo(core, seat, task)
                    } else {
                        shared.push_ring(core, seat, task, false)
                    }
                }
                _ => shared.keep(|shared| shared.push_injector(task)),
            })
        }
    }
}

/// Has the task that is polled on this thread go on in another group, once it is woken. True: it is in that group.
pub(crate) fn move_task(shared: &Arc<Shared>, group: u32) -> Result<bool, HopError> {
    with_context(|cx| {
        let Some((cx, seat)) = cx.and_then(|cx| Some((cx, cx.seat?))) else { return Err(HopError::Pinned) };
        // SAFETY: set while that task is polled, which is now; the poll has a reference.
        let Some(task) = (unsafe { cx.task.get().as_ref() }).filter(|task| !task.is_pinned()) else {
            return Err(HopError::Pinned);
        };
        if !Arc::ptr_eq(&cx.shared, shared) {
            return Err(HopError::OtherRuntime);
        }
        // Another hop of the same task may have gone on from here: that one is not finished.
        let here = shared.seat(seat).group == group;
        if !here {
            task.set_group(group);
        }
        Ok(here)
    })
}

/// Has the task that is polled on this thread stay in the group it is in, if it was about to go to `group`.
pub(crate) fn keep_task(group: u32) {
    with_context(|cx| {
        let Some((cx, seat)) = cx.and_then(|cx| Some((cx, cx.seat?))) else { return };
        // SAFETY: as in `move_task`.
        if let Some(task) = unsafe { cx.task.get().as_ref() }
            && task.kind() == Kind::Shared(group)
        {
            task.set_group(cx.shared.seat(seat).group);
        }
    });
}

/// Ends a task that no worker will ever poll, on the calling thread.
pub(crate) fn refuse(task: Task) {
    match task.start() {
        Start::Complete => task.release(),
        Start::Cancel | Start::Poll => super::worker::cancel(task, OUTSIDE, |_| ()),
    }
}

impl Shared {
    /// Runs `f` with the runtime kept alive: once its task is pushed, the runtime may end at any time.
    fn keep(&self, f: impl FnOnce(&Self)) {
        let keep = self.this.upgrade().expect("a runtime with a task that is not complete is alive");
        f(&keep);
    }

    /// The number of a place that spawns, if a recorder asks for it.
    pub(crate) fn site(&self, origin: Origin) -> u32 {
        if self.config.recorder == 0 {
            return 0;
        }
        with_context(|cx| match cx.and_then(|cx| self.here(Some(cx))) {
            Some((core, _)) => self.sites.number(origin, Some(&mut core.sites.borrow_mut())),
            None => self.sites.number(origin, None),
        })
    }

    /// For the time that a task waits for its poll.
    #[inline]
    fn note_scheduled(&self, task: &Task) {
        if self.config.timing {
            task.header().set_since(self.os.now().as_nanos());
        }
    }

    /// A fresh task number.
    pub(crate) fn next_id(&self, core: Option<&Core>) -> u64 {
        // Relaxed: only uniqueness counts.
        let Some(core) = core else { return self.ids.fetch_add(1, Ordering::Relaxed) };
        let (mut next, mut end) = core.ids.get();
        if next == end {
            next = self.ids.fetch_add(ID_BLOCK, Ordering::Relaxed);
            end = next + ID_BLOCK;
        }
        core.ids.set((next + 1, end));
        next
    }

    /// Into the seat's own ring; half of a full one moves to the injector. By the thread on the seat.
    pub(crate) fn push_ring(&self, core: &Core, seat: u32, task: Task, in_poll: bool) {
        self.owe_offer(core, seat, in_poll);
        let mut task = task;
        loop {
            let id = task.id();
            match core.ring.push(task) {
                Ok(()) => {
                    debt(Debt::Push, -1);
                    core.emit(Event::Enqueue { task: id, place: Place::Ring, worker: seat as u16 });
                    break;
                }
                Err(back) => task = back,
            }
            self.keep_no_more(core, seat);
            if let Some(half) = core.ring.take_half() {
                let moved = |task: &Task| {
                    let (task, worker) = (task.id(), seat as u16);
                    core.emit(Event::Dequeue { task, place: Place::Ring, worker, by: seat });
                    core.emit(Event::Enqueue { task, place: Place::Injector, worker });
                };
                if let Err(half) = self.group_of(seat).injector.push_batch(half, moved) {
                    half.for_each(refuse);
                }
            } else if core.ring.free() == 0 {
                // A thief is in the middle of a steal: there will be room, but maybe not soon.
                let pushed = self.group_of(seat).injector.push(task, |task| {
                    debt(Debt::Push, -1);
                    core.emit(Event::Enqueue {
                        task: task.id(),
                        place: Place::Injector,
                        worker: seat as u16,
                    });
                });
                if let Err(task) = pushed {
                    refuse(task);
                }
                break;
            }
        }
        if in_poll {
            self.make_offer(core, seat);
        }
    }

    /// Into the seat's LIFO slot, to run next; what stood there goes to the ring.
    fn push_lifo(&self, core: &Core, seat: u32, task: Task) {
        let id = task.id();
        let evicted = self.seat(seat).lifo.put(task);
        let worker = seat as u16;
        if let Some(evicted) = &evicted {
            core.emit(Event::Dequeue { task: evicted.id(), place: Place::Lifo, worker, by: seat });
        }
        debt(Debt::Push, -1);
        core.emit(Event::Enqueue { task: id, place: Place::Lifo, worker });
        if let Some(evicted) = evicted {
            debt(Debt::Push, 1);
            self.push_ring(core, seat, evicted, true);
        } else if self.group_of(seat).len() > 1 {
            // Nobody is woken for it: it runs next. If the poll goes on and on, a watcher takes it.
            self.rely_on_watch(self.group_of(seat));
        }
    }

    /// Into the injector of its group, from anywhere.
    pub(crate) fn push_injector(&self, task: Task) {
        let Kind::Shared(group) = task.header().kind() else {
            unreachable!("what has a place of its own goes there")
        };
        let group = &self.groups[group as usize];
        debt(Debt::Notify, 1);
        let pushed = group.injector.push(task, |task| {
            emit(Event::Enqueue { task: task.id(), place: Place::Injector, worker: OUTSIDE });
            debt(Debt::Push, -1);
        });
        match pushed {
            Ok(()) => self.notify(group),
            // The runtime ended: nobody will poll it. Its future is dropped here and its handle says cancelled.
            Err(task) => {
                debt(Debt::Push, -1);
                refuse(task);
            }
        }
        debt(Debt::Notify, -1);
    }

    /// Into the inbox of a seat, from anywhere.
    pub(crate) fn push_inbox(&self, seat: u32, task: Task) {
        let id = task.id();
        let first = self.seat(seat).inbox.push(task);
        debt(Debt::Push, -1);
        emit(Event::Enqueue { task: id, place: Place::Inbox, worker: seat as u16 });
        // The worker itself looks at its inbox before it searches or parks.
        if first && with_context(|cx| self.here(cx).is_none_or(|(_, here)| here != seat)) {
            self.give_token(seat);
        }
    }

    /// Gives back what a seat's ring and slot hold, for others to run: nobody sits there any more.
    pub(crate) fn empty_seat(&self, core: &Core, seat: &Seat, number: u32) {
        let worker = number as u16;
        if let Some(task) = seat.lifo.take() {
            core.emit(Event::Dequeue { task: task.id(), place: Place::Lifo, worker, by: number });
            debt(Debt::Push, 1);
            self.push_injector(task);
        }
        while let Some(task) = core.ring.pop() {
            core.emit(Event::Dequeue { task: task.id(), place: Place::Ring, worker, by: number });
            debt(Debt::Push, 1);
            self.push_injector(task);
        }
        self.withdraw_offer(core, number);
    }
}
