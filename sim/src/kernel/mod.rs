//! Simulated system calls: with [`Kernel::Epoll`] and [`Kernel::Uring`] the hosts run Pirn's own drivers, unchanged, and this is the
//! kernel below them.
//!
//! The drivers reach it as they reach the real one, through symbols of libc (`calls`, `network`, `memory`), so their
//! bookkeeping is explored with everything above it. Sockets, time and links are the world's, the same for all kernels.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | descriptors, open files, who watches them |
//! | `readiness.rs` | what poll(2) would say of an open file, and the wake-ups that tell of changes |
//! | `epoll.rs` | epoll sets: edges, levels, one-shot, what a closed descriptor leaves |
//! | `event.rs` | eventfds and timerfds |
//! | `ring.rs`, `request.rs`, `submit.rs`, `cancel.rs`, `work.rs` | io_uring |
//! | `calls.rs`, `network.rs`, `memory.rs` | the symbols of libc |
//! | `address.rs`, `option.rs` | the kernel's forms of addresses and socket options |
//! | `machine.rs`, `gate.rs` | the machine that a runtime gets: Pirn's live one over all this, and the checks at its door |
//!
//! **Descriptors.** A host's descriptors have the lowest free numbers, from [`BASE`] on, so that a number says whether the model or the real
//! machine is meant. A number names an *open file*, which lives as long as a descriptor or a request of a ring refers to it.
//!
//! **Wake-ups.** A change of an open file wakes those who watch it, with the bits that changed. An epoll set notes the
//! entry and asks for its readiness only when it is collected; a ring queues work for its owner. So events come late, together or for
//! nothing, as they do on Linux.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use self::epoll::Set;
use self::event::{Event, Timer};
use self::memory::Region;
use self::ring::Ring;
use crate::cost::Call;
use crate::net::Errno;
use crate::world::{NONE, Why, World};

mod address;
mod calls;
mod cancel;
mod epoll;
mod event;
mod gate;
mod machine;
mod memory;
mod network;
mod option;
mod readiness;
mod request;
mod ring;
mod submit;
mod work;

pub(crate) use self::calls::{raw_call, serve_poll, symbols};
pub(crate) use self::gate::InFlight;
pub(crate) use self::machine::machine;
pub(crate) use self::readiness::{IN, OUT, READERS};

/// The first number of a simulated descriptor, less three: far above what a process has open.
pub(crate) const BASE: i32 = 1 << 20;

/// What a host's runtime runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// The simulator plays the ops of the seam itself. The fastest, and the least like a kernel.
    #[default]
    Ops,
    /// Pirn's epoll driver over simulated system calls.
    Epoll,
    /// Pirn's io_uring driver over simulated system calls.
    Uring,
    /// One of these, drawn from the seed.
    Drawn,
}

impl std::str::FromStr for Kernel {
    type Err = String;

    /// `ops`, `epoll`, `uring` or `drawn`.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ops" => Ok(Self::Ops),
            "epoll" => Ok(Self::Epoll),
            "uring" => Ok(Self::Uring),
            "drawn" => Ok(Self::Drawn),
            other => Err(format!("there is no kernel `{other}`; there are ops, epoll, uring and drawn")),
        }
    }
}

/// Sizes of the rings of one execution: what was asked for, or less, as if a driver had asked for less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RingSizes {
    /// Entries of the submission and of the completion queue at most; 0: as asked for.
    pub(crate) submissions: u32,
    pub(crate) completions: u32,
    /// Buffers that receives may have taken before others are provided for them, of however many there are; 0: all.
    pub(crate) buffers: u32,
}

/// All of it, for all hosts.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) files: Vec<File>,
    /// Each host's descriptors: the open file behind each number.
    tables: Vec<Vec<u32>>,
    /// Memory that rings share with their users; kept from run to run.
    pub(crate) regions: Vec<Region>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) host: u32,
    pub(crate) kind: Kind,
    /// Descriptors and requests that refer to it.
    refs: u32,
    /// O_NONBLOCK was taken back.
    pub(crate) blocks: bool,
    pub(crate) watchers: Vec<Watcher>,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Kind {
    Socket(u32),
    Event(Event),
    Timer(Timer),
    Set(Set),
    Ring(Box<Ring>),
    /// A file of the host's disk.
    File(u32),
    /// Nobody refers to it any more.
    Gone,
}

/// Who is told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// An entry of an epoll set.
    Entry { set: u32, entry: u32 },
    /// A request of a ring.
    Request { ring: u32, request: u32 },
}

impl Files {
    /// Empties it. What a run left is forgotten; memory is used again.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
        self.tables.clear();
        self.regions.iter_mut().for_each(Region::free);
    }

    /// A host is gone: its descriptors are forgotten, its rings complete nothing.
    pub(crate) fn crashed(&mut self, host: u32) {
        if let Some(table) = self.tables.get_mut(host as usize) {
            table.clear();
        }
        for file in self.files.iter_mut().filter(|file| file.host == host) {
            file.watchers.clear();
            if let Kind::Ring(ring) = &file.kind {
                ring.free_memory(&mut self.regions);
            }
            file.kind = Kind::Gone;
        }
    }
}

impl World {
    pub(crate) fn file_at(&mut self, file: u32) -> &mut File {
        &mut self.kernel.files[file as usize]
    }

    /// The open file behind a descriptor of the running thread's host.
    pub(crate) fn open_file_of(&self, fd: i32) -> Result<u32, Errno> {
        self.file_of_host(self.my_host(), fd).ok_or(libc::EBADF)
    }

    /// The same of another host.
    pub(crate) fn file_of_host(&self, host: u32, fd: i32) -> Option<u32> {
        let at = usize::try_from(fd.checked_sub(BASE + 3)?).ok()?;
        self.kernel.tables.get(host as usize)?.get(at).copied().filter(|&file| file != NONE)
    }

    /// The socket behind a descriptor.
    pub(crate) fn socket_behind(&self, fd: i32) -> Result<u32, Errno> {
        match self.kernel.files[self.open_file_of(fd)? as usize].kind {
            Kind::Socket(socket) => Ok(socket),
            _ => Err(libc::ENOTSOCK),
        }
    }

    /// A descriptor for a new open file of the running thread's host.
    pub(crate) fn install(&mut self, kind: Kind) -> Result<i32, Errno> {
        let host = self.my_host();
        let raw = self.net.claim(host, u32::MAX, self.options.descriptors)?;
        Ok(self.install_at(host, raw, kind))
    }

    /// The same for a socket, which has its number.
    pub(crate) fn install_socket(&mut self, socket: u32) -> i32 {
        let (host, raw) = (self.net.socket(socket).host, self.net.socket(socket).raw);
        self.net.socket(socket).file = Some(self.kernel.files.len() as u32);
        self.install_at(host, raw, Kind::Socket(socket))
    }

    pub(crate) fn install_at(&mut self, host: u32, raw: i32, kind: Kind) -> i32 {
        let file = self.kernel.files.len() as u32;
        self.kernel.files.push(File { host, kind, refs: 1, blocks: false, watchers: Vec::new() });
        self.point_to(host, raw, file);
        BASE + raw
    }

    fn point_to(&mut self, host: u32, raw: i32, file: u32) {
        let (host, at) = (host as usize, (raw - 3) as usize);
        if self.kernel.tables.len() <= host {
            self.kernel.tables.resize_with(host + 1, Vec::new);
        }
        let table = &mut self.kernel.tables[host];
        if table.len() <= at {
            table.resize(at + 1, NONE);
        }
        table[at] = file;
    }

    /// A second descriptor of an open file.
    pub(crate) fn duplicate(&mut self, fd: i32) -> Result<i32, Errno> {
        let (host, file) = (self.my_host(), self.open_file_of(fd)?);
        let raw = self.net.claim(host, u32::MAX, self.options.descriptors)?;
        self.file_at(file).refs += 1;
        self.point_to(host, raw, file);
        Ok(BASE + raw)
    }

    /// Closes a descriptor.
    pub(crate) fn close_descriptor(&mut self, fd: i32) -> Result<(), Errno> {
        let (host, file) = (self.my_host(), self.open_file_of(fd)?);
        self.check_descriptor_closed(fd);
        let raw = fd - BASE;
        self.kernel.tables[host as usize][(raw - 3) as usize] = NONE;
        self.net.release(host, raw);
        if let Kind::Socket(socket) = self.file_at(file).kind
            && self.net.socket(socket).raw == raw
        {
            self.net.socket(socket).raw = -1;
            self.charge(Call::Close);
        }
        self.let_go(file);
        Ok(())
    }

    /// A request refers to an open file.
    pub(crate) fn hold(&mut self, file: u32) {
        self.file_at(file).refs += 1;
    }

    /// A reference is gone; with the last one the file closes, and whoever watches it forgets it.
    pub(crate) fn let_go(&mut self, file: u32) {
        let record = self.file_at(file);
        record.refs = record.refs.saturating_sub(1);
        if record.refs > 0 || matches!(record.kind, Kind::Gone) {
            return;
        }
        let kind = std::mem::replace(&mut record.kind, Kind::Gone);
        for watcher in std::mem::take(&mut record.watchers) {
            if let Watcher::Entry { set, entry } = watcher {
                self.forget_entry(set, entry);
            }
        }
        match kind {
            Kind::Socket(socket) => self.close_socket(socket),
            Kind::Set(set) => self.close_set(file, set),
            Kind::Ring(ring) => self.close_ring(file, *ring),
            Kind::File(open) => self.close_file(open),
            Kind::Event(_) | Kind::Timer(_) | Kind::Gone => {}
        }
    }

    /// Adds a watcher.
    pub(crate) fn watch_file(&mut self, file: u32, watcher: Watcher) {
        self.file_at(file).watchers.push(watcher);
    }

    /// Takes one out.
    pub(crate) fn unwatch_file(&mut self, file: u32, watcher: Watcher) {
        self.file_at(file).watchers.retain(|one| *one != watcher);
    }

    // ---- waits ----

    /// The driver inside which the running thread looks.
    fn my_driver(&self) -> Option<usize> {
        let me = self.current;
        self.drivers.iter().position(|driver| driver.looking() == Some(me))
    }

    /// Whether something came that no file tells of: a file op of the driver inside which the running thread looks.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.my_driver().is_some_and(|driver| self.drivers[driver].has_due())
    }

    /// What the running thread waits for in a call of the kernel.
    pub(crate) fn why_in_kernel(&mut self, blocks: bool) -> Why {
        match self.my_driver() {
            Some(driver) => {
                self.drivers[driver].set_blocked(blocks);
                Why::Driver(driver as u32)
            }
            None => Why::Kernel,
        }
    }

    /// A driver is about to block in a set or a ring: an eventfd is watched there, through which others can interrupt it, and an alarm if
    /// its worker parks until some time.
    fn check_wake_source(&mut self, file: u32) {
        let Some(driver) = self.my_driver() else { return };
        let watched = match &self.kernel.files[file as usize].kind {
            Kind::Set(set) => set.watched(),
            Kind::Ring(ring) => ring.polled(),
            _ => return,
        };
        let watches = |kind: fn(&Kind) -> bool| {
            watched.iter().any(|file| kind(&self.kernel.files[*file as usize].kind))
        };
        let (host, worker) = (self.drivers[driver].host, self.drivers[driver].worker);
        let until = self.hosts[host as usize].checker.parked_until(worker);
        if !watches(|kind| matches!(kind, Kind::Event(_))) {
            let what = "a driver blocks in the kernel with no eventfd watched there: nobody can interrupt it";
            self.violates("L5", driver as u32, what.to_owned());
        } else if let Some(until) = until
            && !watches(|kind| matches!(kind, Kind::Timer(_)))
        {
            let what = format!(
                "a driver blocks in the kernel for a worker that parks until {until} ns, with no alarm watched there: it comes back whenever something else happens"
            );
            self.violates("L5", driver as u32, what);
        }
    }

    /// Wakes the thread that has waited longest.
    pub(crate) fn wake_sleeper(&mut self, sleepers: &VecDeque<u32>) {
        if let Some(&thread) = sleepers.front() {
            self.make_ready(thread, true);
        }
    }
}

/// Waits in a call of the kernel, as one of the sleepers of `file`. False: the time is over.
pub(crate) fn sleep_in(executor: &'static crate::thread::Executor, file: u32, until: u64) -> bool {
    let world = executor.world();
    let (me, why) = (world.current, world.why_in_kernel(true));
    if let Some(sleepers) = world.sleepers(file) {
        sleepers.push_back(me);
    }
    let woken = executor.block(why, until, 0);
    let world = executor.world();
    world.why_in_kernel(false);
    if let Some(sleepers) = world.sleepers(file) {
        sleepers.retain(|&thread| thread != me);
    }
    woken
}

impl World {
    fn sleepers(&mut self, file: u32) -> Option<&mut VecDeque<u32>> {
        match &mut self.file_at(file).kind {
            Kind::Set(set) => Some(&mut set.sleepers),
            Kind::Ring(ring) => Some(&mut ring.sleepers),
            _ => None,
        }
    }
}
