//! One io_uring with its buffers: setting up, entering, collecting. No policy.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::{IoUring, cqueue, squeue};

use super::buffers::Buffers;

/// Entries that one enter can take: what is staged beyond goes with the next.
const SUBMISSIONS: u32 = 256;
/// Completions the kernel has room for before it has to queue them: several bursts of every connection of a busy worker.
const COMPLETIONS: u32 = 4096;

/// Flags of io_uring_enter.
const GETEVENTS: u32 = 1;

/// A ring. Made on any thread, used by one: the one that enabled it. Others may only `collect`.
pub(super) struct Ring {
    // Dropped before the buffers, which the kernel may write to until then.
    io: IoUring,
    pub(super) buffers: Buffers,
    pushed: u64,
}

/// A completion as the kernel gave it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) data: u64,
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Event {
    /// Whether the request goes on.
    pub(super) fn more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that it used.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

impl Ring {
    /// A ring that is not enabled yet.
    pub(super) fn new() -> io::Result<Self> {
        let io = IoUring::builder()
            .dontfork()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let ring = Self { io, buffers: Buffers::new(), pushed: 0 };
        ring.buffers.register(&ring.io.submitter())?;
        Ok(ring)
    }

    /// Makes the calling thread its user.
    pub(super) fn enable(&self) -> io::Result<()> {
        self.io.submitter().register_enable_rings()
    }

    /// The kernel's answers to what it can do.
    pub(super) fn probe(&self) -> io::Result<(io_uring::Probe, &io_uring::Parameters)> {
        let mut probe = io_uring::Probe::new();
        self.io.submitter().register_probe(&mut probe)?;
        Ok((probe, self.io.params()))
    }

    /// Whether so many entries find room, if need be after the kernel has taken those that are there.
    pub(super) fn has_room(&mut self, entries: usize) -> io::Result<bool> {
        let room = |submissions: squeue::SubmissionQueue<'_>| submissions.capacity() - submissions.len();
        if room(self.io.submission()) < entries {
            self.call(0, false)?;
        }
        Ok(room(self.io.submission()) >= entries)
    }

    /// Appends an entry, for which there is room.
    ///
    /// # Safety
    /// What the entry points to stays valid until the kernel has [taken](Self::taken) it; what the kernel goes on to use stays until its
    /// last completion.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.io.submission().push(entry) };
        pushed.expect("the caller has asked whether there is room");
        self.pushed += 1;
    }

    /// How many entries were appended so far: the number of the last one.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many of them the kernel has taken.
    pub(super) fn taken(&mut self) -> u64 {
        self.pushed - self.io.submission().len() as u64
    }

    /// Whether an enter that does not wait would do anything.
    pub(super) fn has_work(&mut self) -> bool {
        let submissions = self.io.submission();
        !submissions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
    }

    /// Whether the kernel holds completions back for which it had no room.
    pub(super) fn has_overflowed(&mut self) -> bool {
        self.io.submission().cq_overflow()
    }

    /// Whether completions are there to be collected.
    pub(super) fn has_events(&mut self) -> bool {
        !self.io.completion().is_empty()
    }

    /// Submits what was pushed, runs what was deferred, and does not wait.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.call(GETEVENTS, false)
    }

    /// The same, then waits for a completion.
    pub(super) fn enter_and_wait(&mut self) -> io::Result<()> {
        self.call(GETEVENTS, true)
    }

    /// One call. Interrupted or told to collect first: the caller looks at what there is and comes again.
    fn call(&mut self, flags: u32, wait: bool) -> io::Result<()> {
        let staged = self.io.submission().len() as u32;
        let submitter = self.io.submitter();
        let outcome = if wait {
            submitter.submit_and_wait(1)
        } else {
            // Not more than there are: the kernel would return before it brings in what was deferred.
            // SAFETY: no argument is passed.
            unsafe { submitter.enter::<libc::sigset_t>(staged, 0, flags, None) }
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Moves at most `most` completions out of the kernel's queue.
    pub(super) fn collect(&mut self, most: usize, events: &mut Vec<Event>) {
        let taken = self.io.completion().take(most);
        events.extend(taken.map(|entry| Event {
            data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        }));
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}
