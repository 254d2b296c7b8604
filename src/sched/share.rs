//! Sharing: when a worker offers what became ready on it to the others.
//!
//! Work that is pushed inside a poll is offered at once. Work that a look brings (or a yield) is *owed* until the worker's
//! next poll starts: that poll may be all there is. If more is left then, the worker may *keep* its ring for a while: waking
//! a peer, moving tasks and their sockets' state to another core, and their drift home cost as much as several short polls.
//! So it waits for about as long as sharing costs (`share_delay`) before it pays that cost, as one rents before one buys. It
//! shares at once where its last polls were so long that what it has would take longer than that, and where it has been busy for
//! that long ([`busy`](super::busy)): then it needs help, though each look's tasks are soon done, unless they are done before a
//! woken peer would begin.
//!
//! A kept ring is not searched by others. Nothing can be stranded in it: the owner offers it when the delay has passed and
//! a poll starts; an idle peer, which watches, does so when the owner has been inside one poll from one look to the next.

use super::busy::Busy;
use super::core::Core;
use super::shared::Shared;
use super::worker::Worker;
use crate::sync::{Debt, Ghost, Ordering, debt, ghost};

/// What a worker has to offer to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Nothing, or all was offered.
    #[default]
    Made,
    /// Work was pushed outside of a poll, and the sleepers were not looked at since.
    Owed,
    /// The same, and the ring is kept for now.
    Kept {
        /// Since when (ns).
        since: u64,
    },
}

/// The part of `share_delay` that a busy worker's tasks have to take for a peer to be woken for them: of 500 µs 125, in which a peer is
/// up and does its share, and that pays for the wake and the move.
const WORTHWHILE: u64 = 4;

impl Worker<'_> {
    /// A poll starts: offers what is owed, unless nothing is left or it is worth to keep it.
    pub(crate) fn settle_offer(&self) {
        let (core, offer) = (self.core, self.core.offer.get());
        if offer == Offer::Made {
            return;
        }
        // A full ring overflows into the injector, so that has to be empty too for nothing to be left. A worker alone offers nothing.
        if self.group.len() == 1 || core.ring.is_empty() && self.group.injector.is_empty() {
            return self.shared.withdraw_offer(core, self.number);
        }
        if !self.keeps(offer) {
            self.shared.make_offer(core, self.number);
        }
    }

    /// Whether the ring stays with this worker through the poll that starts now.
    fn keeps(&self, offer: Offer) -> bool {
        let (core, shared) = (self.core, self.shared);
        let delay = shared.config.share_delay_ns();
        if delay == 0 || !self.group.injector.is_empty() {
            return false;
        }
        let now = shared.os.now().as_nanos();
        if let Offer::Kept { since } = offer {
            // Relaxed: a peer that offered the ring in this worker's stead has looked at the sleepers for what it held then.
            return now.saturating_sub(since) < delay && self.seat.kept.load(Ordering::Relaxed);
        }
        let busy = self.note(|busy| busy.worked(now, self.seat.pulse.beat.get(), delay));
        let worthwhile = if busy.is_busy(delay) { delay / WORTHWHILE } else { delay };
        if busy.time_for(core.ring.len()) >= worthwhile {
            return false;
        }
        core.offer.set(Offer::Kept { since: now });
        // Relaxed: a peer that misses it takes work a little early.
        self.seat.kept.store(true, Ordering::Relaxed);
        ghost(|| Ghost::RingKept { worker: self.number, kept: true });
        debt(Debt::Notify, -1);
        shared.rely_on_watch(self.group);
        true
    }

    /// The worker sleeps next: its time at work ends.
    pub(crate) fn note_sleep(&self) {
        if self.core.busy.get().counts() {
            let now = self.shared.os.now().as_nanos();
            self.note(|busy| {
                busy.worked(now, self.seat.pulse.beat.get(), self.shared.config.share_delay_ns())
            });
        }
    }

    /// It has slept.
    pub(crate) fn note_slept(&self) {
        if self.core.busy.get().counts() {
            let now = self.shared.os.now().as_nanos();
            self.note(|busy| busy.slept(now));
        }
    }

    /// The thread leaves the seat: how busy it was says nothing of the next one.
    pub(crate) fn note_left(&self) {
        self.note(Busy::forget);
    }

    fn note(&self, what: impl FnOnce(&mut Busy)) -> Busy {
        let mut busy = self.core.busy.get();
        what(&mut busy);
        self.core.busy.set(busy);
        busy
    }
}

impl Shared {
    /// Something is about to be pushed into the ring. What a poll pushes is not kept.
    pub(crate) fn owe_offer(&self, core: &Core, seat: u32, in_poll: bool) {
        match core.offer.get() {
            Offer::Made => {
                core.offer.set(Offer::Owed);
                debt(Debt::Notify, 1);
                if !in_poll && !self.config.share_delay.is_zero() {
                    // Relaxed: a peer that misses it takes work a little early.
                    self.seat(seat).kept.store(true, Ordering::Relaxed);
                }
            }
            Offer::Owed => {}
            // Relaxed: false once a peer has offered what was there.
            Offer::Kept { .. } if in_poll || !self.seat(seat).kept.load(Ordering::Relaxed) => {
                self.keep_no_more(core, seat);
            }
            Offer::Kept { .. } => {}
        }
    }

    /// A full ring is about to overflow into the injector, which nobody can keep.
    pub(crate) fn keep_no_more(&self, core: &Core, seat: u32) {
        if let Offer::Kept { .. } = core.offer.get() {
            core.offer.set(Offer::Owed);
            debt(Debt::Notify, 1);
            // Relaxed: the offer that is owed begins with a fence.
            self.seat(seat).kept.store(false, Ordering::Relaxed);
            ghost(|| Ghost::RingKept { worker: seat, kept: false });
        }
    }

    /// Offers the ring of a seat to the others. By the thread on the seat.
    pub(crate) fn make_offer(&self, core: &Core, seat: u32) {
        match core.offer.replace(Offer::Made) {
            Offer::Kept { .. } => {
                debt(Debt::Notify, 1);
                ghost(|| Ghost::RingKept { worker: seat, kept: false });
            }
            Offer::Owed => {}
            Offer::Made => unreachable!("who makes an offer owes it"),
        }
        self.offer_now(seat);
        debt(Debt::Notify, -1);
    }

    /// Offers the kept ring of a worker that is inside one poll for long, in its stead.
    pub(crate) fn offer_for(&self, seat: u32) {
        debt(Debt::Notify, 1);
        ghost(|| Ghost::RingKept { worker: seat, kept: false });
        self.offer_now(seat);
        debt(Debt::Notify, -1);
    }

    fn offer_now(&self, seat: u32) {
        // Relaxed: `notify` begins with the fence N1. Who falls asleep and misses this in its recheck is seen by it.
        self.seat(seat).kept.store(false, Ordering::Relaxed);
        let group = self.group_of(seat);
        if group.config.steals {
            self.notify(group);
        }
    }

    /// Nothing is left to offer, it was run or stolen; or there is nobody to offer it to.
    pub(crate) fn withdraw_offer(&self, core: &Core, seat: u32) {
        match core.offer.replace(Offer::Made) {
            Offer::Made => return,
            Offer::Owed => debt(Debt::Notify, -1),
            Offer::Kept { .. } => ghost(|| Ghost::RingKept { worker: seat, kept: false }),
        }
        // Relaxed: nobody has to see it.
        self.seat(seat).kept.store(false, Ordering::Relaxed);
    }
}
