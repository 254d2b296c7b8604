//! Epoll sets.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::{
    Case, Log, add, checked, connect, eventfd, listener, owned, pair, read_number, recv, send, set_timer,
    set_timer_at, stream, timer,
};
use crate::os::world::World;

pub(super) const CASES: &[(&str, Case)] = &[
    ("edges", edges),
    ("levels", levels),
    ("one_shot", one_shot),
    ("writes_to_an_eventfd_are_one_event", writes_to_an_eventfd_are_one_event),
    ("a_timer_rings_once", a_timer_rings_once),
    ("a_timer_rings_at_a_moment", a_timer_rings_at_a_moment),
    ("a_closed_descriptor_is_told_of_while_another_is_open", a_closed_descriptor_is_told_of),
    ("a_number_is_used_again", a_number_is_used_again),
    ("a_change_tells_what_is_so", a_change_tells_what_is_so),
    ("an_edge_of_one_side_tells_of_both", an_edge_of_one_side_tells_of_both),
    ("the_other_end_goes", the_other_end_goes),
    ("a_pipe_breaks", a_pipe_breaks),
    ("events_keep_their_order", events_keep_their_order),
    ("a_listener_and_fresh_sockets", a_listener_and_fresh_sockets),
    ("room_to_write_comes_back", room_to_write_comes_back),
    ("what_is_taken_before_the_look_is_not_told", what_is_taken_before_the_look_is_not_told),
    ("refusals", refusals),
];

const IN: i32 = libc::EPOLLIN;
const OUT: i32 = libc::EPOLLOUT;
const EDGE: i32 = libc::EPOLLET;

struct Set(OwnedFd);

impl Set {
    fn new() -> Self {
        // SAFETY: no pointers.
        Self(owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))
    }

    fn control(&self, what: i32, fd: RawFd, events: i32, data: u64) -> Result<usize, i32> {
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: a valid event.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd, &raw mut event) } as isize)
    }

    fn add(&self, fd: &OwnedFd, events: i32, data: u64) -> Result<usize, i32> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, data)
    }

    fn modify(&self, fd: &OwnedFd, events: i32, data: u64) -> Result<usize, i32> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events, data)
    }

    fn delete(&self, fd: RawFd) -> Result<usize, i32> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// What a look finds: data and bits.
    fn look(&self, most: usize, timeout_ms: i32) -> Vec<(u64, u32)> {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most];
        let count = loop {
            // SAFETY: room for `most`.
            let found =
                unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), most as i32, timeout_ms) };
            match checked(found as isize) {
                Err(libc::EINTR) => {}
                found => break found.expect("a look"),
            }
        };
        events[..count].iter().map(|event| (event.u64, event.events)).collect()
    }

    fn now(&self) -> Vec<(u64, u32)> {
        self.look(8, 0)
    }
}

fn edges(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, IN | EDGE, 7).expect("add");
    log.line(format_args!("{:?}", set.now()));
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    log.line(format_args!("{:?} {:?}", recv(&b, 1), set.now()));
    send(&a, b"two").expect("send");
    send(&a, b"more").expect("send");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
}

fn levels(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, IN, 7).expect("add");
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    log.line(format_args!("{:?} {:?}", recv(&b, 1), set.now()));
    log.line(format_args!("{:?} {:?}", recv(&b, 9), set.now()));
}

fn one_shot(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, IN | libc::EPOLLONESHOT, 7).expect("add");
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    send(&a, b"two").expect("send");
    log.line(format_args!("{:?}", set.now()));
    set.modify(&b, IN | libc::EPOLLONESHOT, 8).expect("modify");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
}

fn writes_to_an_eventfd_are_one_event(log: &mut Log, _: &World) {
    let (set, event) = (Set::new(), eventfd());
    set.add(&event, IN | EDGE, 1).expect("add");
    for _ in 0..3 {
        add(&event, 1).expect("add");
    }
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    // Never read: the next write is an edge all the same.
    add(&event, 1).expect("add");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    log.line(format_args!("{:?} {:?} {:?}", read_number(&event), read_number(&event), set.now()));
    log.line(format_args!("{:?} {:?}", add(&event, u64::MAX), add(&event, u64::MAX - 1)));
    log.line(format_args!("{:?} {:?}", add(&event, 1), set.now()));
}

fn a_timer_rings_once(log: &mut Log, _: &World) {
    let (set, timer) = (Set::new(), timer(2_000));
    set.add(&timer, IN | EDGE, 1).expect("add");
    log.line(format_args!("{:?} {:?}", set.look(8, -1), set.now()));
    // Never read: the next ring is an edge all the same.
    set_timer(&timer, 1_000);
    log.line(format_args!("{:?} {:?}", set.look(8, -1), set.now()));
    log.line(format_args!("{:?} {:?}", read_number(&timer), read_number(&timer)));
    set_timer(&timer, 500_000);
    set_timer(&timer, 0);
    log.line(format_args!("{:?}", set.look(8, 5)));
}

fn a_timer_rings_at_a_moment(log: &mut Log, _: &World) {
    let (set, timer) = (Set::new(), timer(0));
    set.add(&timer, IN | EDGE, 1).expect("add");
    // One that is over rings at once.
    set_timer_at(&timer, -1_000);
    log.line(format_args!("{:?} {:?}", set.look(8, -1), set.now()));
    set_timer_at(&timer, 2_000);
    log.line(format_args!("{:?}", set.look(8, -1)));
    log.line(format_args!("{:?} {:?}", read_number(&timer), read_number(&timer)));
    set_timer_at(&timer, 500_000);
    log.line(format_args!("{:?}", set.look(8, 5)));
}

fn a_closed_descriptor_is_told_of(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    let again = b.try_clone().expect("a second descriptor");
    let number = b.as_raw_fd();
    set.add(&b, IN | EDGE, 7).expect("add");
    drop(b);
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?}", set.now()));
    log.line(format_args!("{:?} {:?}", set.delete(number), set.delete(again.as_raw_fd())));
    send(&a, b"two").expect("send");
    log.line(format_args!("{:?} {:?}", set.now(), recv(&again, 9)));
    drop(again);
    log.line(format_args!("{:?} {:?}", set.now(), send(&a, b"three")));
}

fn a_number_is_used_again(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    let number = b.as_raw_fd();
    set.add(&b, IN | EDGE, 1).expect("add");
    send(&a, b"one").expect("send");
    drop(b);
    let (c, d) = pair();
    log.line(format_args!("{} {}", c.as_raw_fd() == number, d.as_raw_fd() > a.as_raw_fd()));
    log.line(format_args!("{:?} {:?}", set.now(), set.add(&c, IN | EDGE, 2)));
    send(&d, b"two").expect("send");
    log.line(format_args!("{:?}", set.now()));
}

fn a_change_tells_what_is_so(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, OUT | EDGE, 7).expect("add");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?}", set.now()));
    set.modify(&b, IN | EDGE, 8).expect("modify");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
    set.modify(&b, IN | EDGE, 9).expect("modify");
    log.line(format_args!("{:?} {:?}", set.now(), set.now()));
}

fn an_edge_of_one_side_tells_of_both(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, IN | OUT | EDGE, 7).expect("add");
    log.line(format_args!("{:?}", set.now()));
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?}", set.now()));
}

fn the_other_end_goes(log: &mut Log, _: &World) {
    let all = IN | OUT | libc::EPOLLRDHUP | EDGE;
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, all, 7).expect("add");
    log.line(format_args!("{:?}", set.now()));
    // SAFETY: no pointers.
    let shut = unsafe { libc::shutdown(a.as_raw_fd(), libc::SHUT_WR) };
    log.line(format_args!("{shut} {:?} {:?}", set.now(), recv(&b, 1)));
    drop(a);
    log.line(format_args!("{:?} {:?} {:?}", set.now(), recv(&b, 1), send(&b, b"x")));
    let (a, b) = pair();
    send(&a, b"left").expect("send");
    set.add(&b, all, 8).expect("add");
    log.line(format_args!("{:?}", set.now()));
    drop(a);
    log.line(format_args!("{:?} {:?} {:?}", set.now(), recv(&b, 9), recv(&b, 9)));
}

fn a_pipe_breaks(log: &mut Log, _: &World) {
    let mut ends = [0; 2];
    // SAFETY: room for two.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
    checked(made as isize).expect("a pipe");
    let (reader, writer) = (owned(ends[0]), owned(ends[1]));
    let set = Set::new();
    set.add(&reader, IN | OUT | libc::EPOLLRDHUP | EDGE, 1).expect("add");
    set.add(&writer, IN | OUT | libc::EPOLLRDHUP | EDGE, 2).expect("add");
    log.line(format_args!("{:?}", set.now()));
    add(&writer, 5).expect("eight bytes");
    log.line(format_args!("{:?} {:?}", set.now(), read_number(&reader)));
    drop(writer);
    log.line(format_args!("{:?} {:?}", set.now(), read_number(&reader)));
}

fn events_keep_their_order(log: &mut Log, _: &World) {
    let set = Set::new();
    let pairs: Vec<_> = (0..4).map(|_| pair()).collect();
    for (data, (_, b)) in pairs.iter().enumerate() {
        set.add(b, IN | if data == 2 { 0 } else { EDGE }, data as u64).expect("add");
    }
    for at in [2, 0, 3, 1] {
        send(&pairs[at].0, b"x").expect("send");
    }
    for _ in 0..4 {
        log.line(format_args!("{:?}", set.look(2, 0)));
    }
}

fn a_listener_and_fresh_sockets(log: &mut Log, world: &World) {
    let (set, (fd, name, length), fresh) = (Set::new(), listener(world), stream());
    let all = IN | OUT | libc::EPOLLRDHUP | EDGE;
    set.add(&fd, all, 1).expect("add");
    set.add(&fresh, all, 2).expect("add");
    log.line(format_args!("{:?}", set.now()));
    log.line(format_args!("{:?} {:?}", connect(&fresh, &name, length), connect(&fresh, &name, length)));
    let mut told = set.now();
    told.sort_unstable();
    log.line(format_args!("{told:?}"));
}

fn room_to_write_comes_back(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&a, OUT | EDGE, 7).expect("add");
    log.line(format_args!("{:?}", set.now()));
    let block = [0; 65_536];
    while send(&a, &block).is_ok() {}
    log.line(format_args!("{:?} {:?}", send(&a, &block), set.now()));
    while recv(&b, 1 << 20).is_ok() {}
    let told = set.now();
    log.line(format_args!("{told:?} {:?}", send(&a, b"x")));
}

fn what_is_taken_before_the_look_is_not_told(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    set.add(&b, IN | EDGE, 7).expect("add");
    send(&a, b"one").expect("send");
    log.line(format_args!("{:?} {:?}", recv(&b, 9), set.now()));
}

fn refusals(log: &mut Log, _: &World) {
    let (set, (a, b)) = (Set::new(), pair());
    log.line(format_args!("{:?} {:?}", set.modify(&a, IN, 1), set.delete(a.as_raw_fd())));
    log.line(format_args!("{:?} {:?}", set.add(&a, IN, 1), set.add(&a, IN, 1)));
    let number = b.as_raw_fd();
    drop(b);
    log.line(format_args!(
        "{:?} {:?} {:?}",
        set.control(libc::EPOLL_CTL_ADD, number, IN, 1),
        set.control(libc::EPOLL_CTL_ADD, set.0.as_raw_fd(), IN, 1),
        Set(a).control(libc::EPOLL_CTL_ADD, set.0.as_raw_fd(), IN, 1),
    ));
}
