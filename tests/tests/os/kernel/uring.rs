//! Rings, with deferred task work.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU16, Ordering};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, Fd, Timespec};
use io_uring::{IoUring, opcode};
use pirn::os::ThreadSpec;

use super::{Case, Log, add, checked, connect, eventfd, listener, pair, read_number, recv, send, stream};
use crate::os::world::World;

pub(super) const CASES: &[(&str, Case)] = &[
    ("sizes", sizes),
    ("work_waits_for_its_owner", work_waits_for_its_owner),
    ("an_enter_that_submits_less_than_it_says_brings_nothing_in", an_enter_that_submits_less),
    ("other_threads_are_refused", other_threads_are_refused),
    ("completions_beyond_the_queue_wait", completions_beyond_the_queue_wait),
    ("a_multishot_poll_ends_when_the_queue_is_full", a_multishot_poll_ends),
    ("a_multishot_accept_ends_when_the_queue_is_full", a_multishot_accept_ends),
    ("a_poll_tells_of_edges", a_poll_tells_of_edges),
    ("provided_buffers", provided_buffers),
    ("no_buffer_is_left", no_buffer_is_left),
    ("the_end_of_a_multishot_receive", the_end_of_a_multishot_receive),
    ("cancels", cancels),
    ("a_cancel_meets_what_has_come", a_cancel_meets_what_has_come),
    ("a_close_under_a_request", a_close_under_a_request),
    ("chains", chains),
    ("time_limits", time_limits),
    ("timeouts", timeouts),
    ("successes_that_are_not_told", successes_that_are_not_told),
    ("sends", sends),
    ("refusals", refusals),
];

pub(super) struct Ring(IoUring);

pub(super) fn ring(submissions: u32, completions: u32) -> Ring {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions)
        .build(submissions);
    Ring(ring.expect("a ring"))
}

impl Ring {
    pub(super) fn push(&mut self, entry: Entry, data: u64) {
        // SAFETY: what an entry points to lives until the end of its case.
        unsafe { self.0.submission().push(&entry.user_data(data)) }.expect("room");
    }

    /// An enter, which says how many submissions it is for.
    fn enter(&mut self, submit: u32, least: u32, gets: bool) -> Result<usize, i32> {
        loop {
            // SAFETY: no argument.
            let result =
                unsafe { self.0.submitter().enter::<libc::sigset_t>(submit, least, u32::from(gets), None) };
            match result.map_err(|error| error.raw_os_error().expect("a call's")) {
                Err(libc::EINTR | libc::EAGAIN) => {}
                result => return result,
            }
        }
    }

    /// Submits what was pushed and brings in what there is.
    pub(super) fn go(&mut self) -> Vec<(u64, i32, u32)> {
        let staged = self.0.submission().len() as u32;
        self.enter(staged, 0, true).expect("an enter");
        self.got()
    }

    /// Waits for so many.
    pub(super) fn wait(&mut self, least: u32) -> Vec<(u64, i32, u32)> {
        let staged = self.0.submission().len() as u32;
        while self.0.completion().len() < least as usize {
            let staged = if self.0.submission().is_empty() { 0 } else { staged };
            self.enter(staged, least, true).expect("an enter");
        }
        self.got()
    }

    /// What stands in the queue: data, result, flags.
    fn got(&mut self) -> Vec<(u64, i32, u32)> {
        // Not every kernel says of a local socket that it has more.
        let nonempty = 1 << 2;
        let cqe = |cqe: io_uring::cqueue::Entry| (cqe.user_data(), cqe.result(), cqe.flags() & !nonempty);
        self.0.completion().map(cqe).collect()
    }

    fn told(&mut self) -> (bool, bool) {
        let submissions = self.0.submission();
        (submissions.taskrun(), submissions.cq_overflow())
    }
}

pub(super) fn at(fd: &OwnedFd) -> Fd {
    Fd(fd.as_raw_fd())
}

fn poll(fd: &OwnedFd) -> opcode::PollAdd {
    opcode::PollAdd::new(at(fd), libc::POLLIN as u32)
}

fn sizes(log: &mut Log, _: &World) {
    for (submissions, completions) in [(1, 1), (2, 4), (5, 9), (8, 8)] {
        let ring = ring(submissions, completions);
        let params = ring.0.params();
        log.line(format_args!("{} {}", params.sq_entries(), params.cq_entries()));
    }
    let too_few: std::io::Result<IoUring> =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(4).build(8);
    log.line(format_args!("{:?}", too_few.err().and_then(|error| error.raw_os_error())));
}

fn work_waits_for_its_owner(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    ring.push(poll(&b).build(), 1);
    log.line(format_args!("{:?} {:?}", ring.enter(1, 0, false), ring.got()));
    send(&a, b"x").expect("send");
    log.line(format_args!("{:?} {:?}", ring.told(), ring.got()));
    ring.push(opcode::Nop::new().build(), 2);
    // Without GETEVENTS it submits and no more.
    log.line(format_args!("{:?} {:?} {:?}", ring.enter(1, 0, false), ring.told(), ring.got()));
    log.line(format_args!("{:?} {:?} {:?}", ring.enter(0, 0, true), ring.told(), ring.got()));
}

fn an_enter_that_submits_less(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(8, 8), pair());
    ring.push(poll(&b).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"x").expect("send");
    log.line(format_args!("{:?} {:?} {:?}", ring.enter(8, 0, true), ring.told(), ring.got()));
    ring.push(opcode::Nop::new().build(), 2);
    log.line(format_args!("{:?} {:?} {:?}", ring.enter(8, 0, true), ring.told(), ring.got()));
    log.line(format_args!("{:?}", ring.go()));
}

fn other_threads_are_refused(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let fd = ring.0.as_raw_fd();
    let seen: Arc<[AtomicI32; 2]> = Arc::default();
    let theirs = Arc::clone(&seen);
    let spec = ThreadSpec { name: "other".to_owned(), stack: None };
    let body = move || {
        for (at, submit) in [0, 1].into_iter().enumerate() {
            // SAFETY: no argument.
            let result = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, submit, 0, 1, 0, 0) };
            theirs[at].store(checked(result as isize).err().unwrap_or(0), Ordering::Relaxed);
        }
    };
    ring.push(opcode::Nop::new().build(), 1);
    world.os.spawn_thread(spec, Box::new(body)).expect("a thread").join();
    log.line(format_args!("{seen:?} {:?}", ring.go()));
}

fn completions_beyond_the_queue_wait(log: &mut Log, _: &World) {
    let mut ring = ring(2, 2);
    for data in 0..3 {
        for half in 0..2 {
            ring.push(opcode::Nop::new().build(), 2 * data + half);
        }
        log.line(format_args!("{:?} {:?}", ring.enter(2, 0, false), ring.told()));
    }
    for _ in 0..4 {
        log.line(format_args!("{:?} {:?}", ring.got(), ring.told()));
        log.line(format_args!("{:?} {:?}", ring.enter(0, 0, true), ring.told()));
    }
}

fn fill(ring: &mut Ring, count: u64) {
    for data in 0..count {
        ring.push(opcode::Nop::new().build(), 100 + data);
        ring.enter(1, 0, false).expect("an enter");
    }
}

fn a_multishot_poll_ends(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(2, 2), pair());
    ring.push(poll(&b).multi(true).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    fill(&mut ring, 2);
    send(&a, b"x").expect("send");
    log.line(format_args!("{:?} {:?}", ring.enter(0, 0, true), ring.told()));
    log.line(format_args!("{:?} {:?}", ring.got(), ring.go()));
    send(&a, b"y").expect("send");
    log.line(format_args!("{:?} {:?}", ring.go(), ring.told()));
}

fn a_multishot_accept_ends(log: &mut Log, world: &World) {
    let (mut ring, (fd, name, length)) = (ring(2, 2), listener(world));
    ring.push(opcode::AcceptMulti::new(at(&fd)).flags(libc::SOCK_NONBLOCK).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    let clients: Vec<_> = (0..4).map(|_| stream()).collect();
    for client in &clients {
        connect(client, &name, length).expect("connect");
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        log.line(format_args!("{:?}", ring.enter(0, 0, true)));
        for (data, result, flags) in ring.got() {
            log.line(format_args!("{data} {} {flags}", result >= 0));
            if result >= 0 {
                open.push(super::owned(result));
            }
        }
    }
    log.line(format_args!("{}", open.len()));
}

fn a_poll_tells_of_edges(log: &mut Log, _: &World) {
    let (mut ring, (a, b), event) = (ring(4, 8), pair(), eventfd());
    send(&a, b"x").expect("send");
    ring.push(poll(&b).build(), 1);
    ring.push(poll(&event).multi(true).build(), 2);
    log.line(format_args!("{:?}", ring.go()));
    for _ in 0..3 {
        add(&event, 1).expect("add");
    }
    log.line(format_args!("{:?} {:?}", ring.go(), ring.go()));
    add(&event, 1).expect("add");
    log.line(format_args!("{:?} {:?}", ring.go(), read_number(&event)));
    ring.push(poll(&b).multi(true).build(), 3);
    log.line(format_args!("{:?} {:?}", ring.go(), ring.go()));
    // Gone before the work is done: nothing is told.
    recv(&b, 1).expect("recv");
    send(&a, b"y").expect("send");
    recv(&b, 1).expect("recv");
    log.line(format_args!("{:?}", ring.go()));
}

/// Buffers of four bytes, and the page through which they are provided.
struct Buffers {
    page: Box<Page>,
    memory: Box<[[u8; 4]; Self::COUNT as usize]>,
    tail: u16,
}

#[repr(C, align(4096))]
struct Page([u64; 512]);

impl Buffers {
    const COUNT: u16 = 4;

    fn new(ring: &Ring) -> Self {
        let mut buffers = Self { page: Box::new(Page([0; 512])), memory: Box::default(), tail: 0 };
        let address = buffers.page.0.as_mut_ptr() as u64;
        // SAFETY: the memory outlives the ring's last completion.
        let registered =
            unsafe { ring.0.submitter().register_buf_ring_with_flags(address, Self::COUNT, 0, 0) };
        registered.expect("a registration");
        buffers
    }

    fn provide(&mut self, id: u16) {
        let entries: *mut BufRingEntry = self.page.0.as_mut_ptr().cast();
        // SAFETY: four entries, of which this one is not the kernel's; the tail stands in the first.
        unsafe {
            let entry = &mut *entries.add(usize::from(self.tail & (Self::COUNT - 1)));
            entry.set_addr(self.memory[usize::from(id)].as_mut_ptr() as u64);
            entry.set_len(4);
            entry.set_bid(id);
            self.tail += 1;
            (*BufRingEntry::tail(entries).cast::<AtomicU16>()).store(self.tail, Ordering::Release);
        }
    }

    fn bytes(&self) -> String {
        // SAFETY: memory of this, which the kernel wrote to behind the compiler's back.
        let bytes = unsafe { std::ptr::read_volatile(&raw const *self.memory) };
        String::from_utf8_lossy(bytes.as_flattened()).into_owned()
    }
}

fn provided_buffers(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut buffers = Buffers::new(&ring);
    for id in [2, 0, 1, 3] {
        buffers.provide(id);
    }
    ring.push(opcode::RecvMulti::new(at(&b), 0).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"abcdefg").expect("send");
    log.line(format_args!("{:?} {:?}", ring.go(), buffers.bytes()));
    send(&a, b"h").expect("send");
    send(&a, b"i").expect("send");
    log.line(format_args!("{:?} {:?}", ring.go(), buffers.bytes()));
}

fn no_buffer_is_left(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut buffers = Buffers::new(&ring);
    // None at all: not even an idle socket is waited for.
    ring.push(opcode::RecvMulti::new(at(&b), 0).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    buffers.provide(3);
    ring.push(opcode::RecvMulti::new(at(&b), 0).build(), 2);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"abcdef").expect("send");
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&b, 1)));
}

fn the_end_of_a_multishot_receive(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut buffers = Buffers::new(&ring);
    for id in 0..4 {
        buffers.provide(id);
    }
    ring.push(opcode::RecvMulti::new(at(&b), 0).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"last").expect("send");
    drop(a);
    let ends: Vec<_> = ring.go().into_iter().map(|(data, result, flags)| (data, result, flags & 2)).collect();
    log.line(format_args!("{ends:?}"));
}

pub(super) fn cancel(data: u64) -> Entry {
    opcode::AsyncCancel::new(data).build()
}

fn cancels(log: &mut Log, _: &World) {
    let (mut ring, (a, b), event) = (ring(4, 8), pair(), eventfd());
    log.line(format_args!("{:?}", {
        ring.push(cancel(9), 1);
        ring.go()
    }));
    let mut byte = [0_u8];
    ring.push(opcode::Recv::new(at(&b), byte.as_mut_ptr(), 1).build(), 2);
    ring.push(poll(&event).multi(true).build(), 3);
    log.line(format_args!("{:?}", ring.go()));
    ring.push(cancel(2), 4);
    ring.push(cancel(3), 5);
    log.line(format_args!("{:?}", ring.go()));
    ring.push(cancel(2), 6);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"x").expect("send");
    add(&event, 1).expect("add");
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&b, 1)));
    for data in [7, 7, 8] {
        ring.push(poll(&b).build(), data);
    }
    let all = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::user_data(7).all());
    ring.push(all.build(), 9);
    log.line(format_args!("{:?}", ring.go()));
}

fn a_cancel_meets_what_has_come(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut byte = [0_u8];
    ring.push(opcode::Recv::new(at(&b), byte.as_mut_ptr(), 1).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"x").expect("send");
    ring.push(cancel(1), 2);
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&b, 1)));
}

fn a_close_under_a_request(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut byte = [0_u8];
    ring.push(opcode::Recv::new(at(&b), byte.as_mut_ptr(), 1).build(), 1);
    log.line(format_args!("{:?}", ring.go()));
    drop(b);
    // The request holds the file.
    log.line(format_args!("{:?}", recv(&a, 1)));
    ring.push(cancel(1), 2);
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&a, 1)));
    let (a, b) = pair();
    use std::os::fd::IntoRawFd;
    let number = b.into_raw_fd();
    ring.push(opcode::Close::new(Fd(number)).build(), 3);
    ring.push(opcode::Close::new(Fd(number)).build(), 4);
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&a, 1)));
}

fn chains(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    ring.push(opcode::Nop::new().build().flags(Flags::IO_LINK), 1);
    ring.push(opcode::Nop::new().build(), 2);
    log.line(format_args!("{:?}", ring.wait(2)));
    ring.push(poll(&b).build().flags(Flags::IO_LINK), 3);
    ring.push(opcode::Nop::new().build().flags(Flags::IO_LINK), 4);
    ring.push(opcode::Nop::new().build(), 5);
    log.line(format_args!("{:?}", ring.go()));
    send(&a, b"x").expect("send");
    log.line(format_args!("{:?}", ring.wait(3)));
    ring.push(opcode::Close::new(Fd(1 << 30)).build().flags(Flags::IO_LINK), 6);
    ring.push(opcode::Nop::new().build(), 7);
    ring.push(opcode::Nop::new().build(), 8);
    let mut got = ring.wait(3);
    got.sort_unstable();
    log.line(format_args!("{got:?}"));
}

fn time_limits(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    let mut byte = [0_u8];
    for (data, nanos) in [(1, 2_000_000), (3, 900_000_000)] {
        let limit = Timespec::new().nsec(nanos);
        let receive = opcode::Recv::new(at(&b), byte.as_mut_ptr(), 1).build();
        ring.push(receive.flags(Flags::IO_LINK), data);
        ring.push(opcode::LinkTimeout::new(&limit).build(), data + 1);
        log.line(format_args!("{:?}", ring.go()));
        if data == 3 {
            send(&a, b"x").expect("send");
        }
        let mut got = ring.wait(2);
        got.sort_unstable();
        log.line(format_args!("{got:?}"));
    }
}

fn timeouts(log: &mut Log, _: &World) {
    let mut ring = ring(4, 8);
    let (short, long) = (Timespec::new().nsec(1_000_000), Timespec::new().sec(100));
    ring.push(opcode::Timeout::new(&long).build(), 1);
    ring.push(opcode::Timeout::new(&short).build(), 2);
    log.line(format_args!("{:?} {:?}", ring.go(), ring.wait(1)));
    ring.push(cancel(1), 3);
    let mut got = ring.wait(2);
    got.sort_unstable();
    log.line(format_args!("{got:?}"));
}

fn successes_that_are_not_told(log: &mut Log, _: &World) {
    let (mut ring, event) = (ring(4, 8), eventfd());
    ring.push(opcode::Nop::new().build().flags(Flags::SKIP_SUCCESS), 1);
    ring.push(poll(&event).multi(true).build(), 2);
    ring.push(cancel(2).flags(Flags::SKIP_SUCCESS), 3);
    ring.push(cancel(4).flags(Flags::SKIP_SUCCESS), 5);
    log.line(format_args!("{:?}", ring.go()));
}

fn sends(log: &mut Log, _: &World) {
    let (mut ring, (a, b)) = (ring(4, 8), pair());
    ring.push(opcode::Send::new(at(&a), b"hello".as_ptr(), 5).build(), 1);
    log.line(format_args!("{:?} {:?}", ring.go(), recv(&b, 9)));
    let block = vec![7_u8; 1 << 20];
    let whole = opcode::Send::new(at(&a), block.as_ptr(), 1 << 20).flags(libc::MSG_WAITALL);
    ring.push(whole.build(), 2);
    log.line(format_args!("{:?}", ring.go()));
    let mut came = 0;
    while came < block.len() {
        match recv(&b, 1 << 20) {
            Ok(bytes) => came += bytes.len(),
            Err(_) => drop(ring.enter(0, 0, true)),
        }
    }
    log.line(format_args!("{:?}", ring.wait(1)));
    drop(b);
    let gone = opcode::Send::new(at(&a), b"x".as_ptr(), 1).flags(libc::MSG_NOSIGNAL);
    ring.push(gone.build(), 3);
    log.line(format_args!("{:?}", ring.go()));
}

fn refusals(log: &mut Log, world: &World) {
    let (mut ring, (_, b), event) = (ring(4, 8), pair(), eventfd());
    let mut byte = [0_u8];
    ring.push(opcode::Recv::new(at(&event), byte.as_mut_ptr(), 1).build(), 1);
    ring.push(opcode::Recv::new(Fd(1 << 30), byte.as_mut_ptr(), 1).build(), 2);
    ring.push(opcode::Accept::new(at(&b), std::ptr::null_mut(), std::ptr::null_mut()).build(), 3);
    ring.push(opcode::RecvMulti::new(at(&b), 5).build(), 4);
    log.line(format_args!("{:?}", ring.go()));
    // A wait with a limit of its own.
    let start = world.os.now();
    let limit = Timespec::new().nsec(2_000_000);
    let argument = io_uring::types::SubmitArgs::new().timespec(&limit);
    let mut errno = Some(libc::EINTR);
    while errno == Some(libc::EINTR) {
        let waited = ring.0.submitter().submit_with_args(1, &argument);
        errno = waited.err().and_then(|error| error.raw_os_error());
    }
    log.line(format_args!("{errno:?} {}", world.os.now() - start >= Duration::from_millis(2)));
}

/// What the model sees of memory that is not what it should be.
#[cfg(feature = "sim")]
mod broken {
    use super::*;
    use crate::os::simulated::on_kernel;

    fn breaks(invariant: &str, program: fn(&World)) {
        match on_kernel("broken", program).run(0).verdict {
            pirn_sim::Verdict::Violation(violation) => {
                assert_eq!(violation.invariant, invariant, "{violation}")
            }
            other => panic!("{invariant} was expected, not {other:?}"),
        }
    }

    #[test]
    fn a_buffer_that_is_provided_twice() {
        breaks("S20", |_| {
            let (mut ring, (_a, b)) = (ring(4, 8), pair());
            let mut buffers = Buffers::new(&ring);
            for id in [0, 1, 0] {
                buffers.provide(id);
            }
            ring.push(opcode::RecvMulti::new(at(&b), 0).build(), 1);
            ring.go();
        });
    }

    #[test]
    fn a_send_whose_bytes_change() {
        breaks("S18", |_| {
            let (mut ring, (a, b)) = (ring(4, 8), pair());
            let mut block = vec![7_u8; 1 << 20];
            let send = opcode::Send::new(at(&a), block.as_ptr(), 1 << 20).flags(libc::MSG_WAITALL);
            ring.push(send.build(), 1);
            assert_eq!(ring.go(), []);
            block[(1 << 20) - 1] = 8;
            while recv(&b, 1 << 20).is_ok() {}
            ring.go();
        });
    }
}
