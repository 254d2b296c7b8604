//! Where a host's program meets the runtime, and what a simulated program may ask of its world.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::net::host_ip;
use crate::simulation::Returned;
use crate::strike::Strike;
use crate::thread::here;

/// The main thread of a host: a runtime over the world, and the program as its main future.
pub(crate) fn run_host<F, Fut>(program: &F)
where
    F: Fn() -> Fut,
    Fut: Future,
    Fut::Output: Returned,
{
    let failure = {
        let world = here("a host's program").world();
        let host = world.my_host() as usize;
        let topology = world.options.layout.topology(world.options.workers[host]);
        let mut builder = pirn::Builder::new().os(crate::kernel::machine()).topology(topology);
        if let Some(sizes) = world.options.sizes {
            builder = builder
                .ring_capacity(sizes.ring)
                .lifo_limit(sizes.lifo_limit)
                .poll_interval(sizes.poll_interval)
                .injector_interval(sizes.injector_interval)
                .watch_interval(Duration::from_nanos(sizes.watch_interval_ns))
                .share_delay(Duration::from_nanos(sizes.share_delay_ns))
                .budget(sizes.budget)
                .look_batch(sizes.batch)
                .blocking_keep_alive(Duration::from_nanos(sizes.keep_alive_ns));
        }
        let runtime = builder.build().unwrap_or_else(|error| panic!("the runtime can't be built: {error}"));
        runtime.block_on(program()).failure()
    };
    if let Some(failure) = failure {
        panic!("the host's program {failure}");
    }
}

/// The address of the host called `name`. Panics if there is none, and outside a simulation.
#[track_caller]
pub fn host_addr(name: &str) -> IpAddr {
    match find(name) {
        Some(host) => host_ip(host),
        None => panic!("there is no host `{name}` in this simulation"),
    }
}

/// The address of the host called `name`, if there is one. Panics outside a simulation.
#[track_caller]
pub fn lookup(name: &str) -> Option<IpAddr> {
    find(name).map(host_ip)
}

#[track_caller]
fn find(name: &str) -> Option<u32> {
    let world = here("pirn_sim::host_addr").world();
    world.hosts.iter().position(|host| host.name == name).map(|at| at as u32)
}

/// The name of the host that this runs on. Panics outside a simulation.
#[track_caller]
pub fn host_name() -> String {
    let world = here("pirn_sim::host_name").world();
    world.hosts[world.my_host() as usize].name.clone()
}

/// The running thread computes for `span` of virtual time: it is neither parked nor does anything else. Panics outside a simulation.
#[track_caller]
pub fn busy(span: Duration) {
    let executor = here("pirn_sim::busy");
    if executor.compute(span) {
        return;
    }
    executor.os_point();
    executor.busy_until(executor.world().after(span));
}

/// Cuts hosts `a` and `b` off from one another: what they send waits until [`heal`]. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn partition(a: &str, b: &str) {
    let (first, second) = pair(a, b);
    let world = here("pirn_sim::partition").world();
    world.tell(|| format!("{a} and {b} are cut off from one another"));
    world.cut_link(first, second);
    world.cut_link(second, first);
}

/// Cuts host `to` off from what host `from` sends: that waits until [`heal_one_way`]. Panics as [`partition`] does.
#[track_caller]
pub fn partition_one_way(from: &str, to: &str) {
    let (first, second) = pair(from, to);
    let world = here("pirn_sim::partition_one_way").world();
    world.tell(|| format!("{to} is cut off from what {from} sends"));
    world.cut_link(first, second);
}

/// Takes a [`partition_one_way`] back. Panics as [`partition`] does.
#[track_caller]
pub fn heal_one_way(from: &str, to: &str) {
    let (first, second) = pair(from, to);
    let world = here("pirn_sim::heal_one_way").world();
    world.tell(|| format!("{to} sees what {from} sends again"));
    world.heal_link(first, second);
}

/// From now on what host `from` sends takes fifty times as long to host `to`, but no more than 2 s, until [`unclog`]. Panics as [`partition`] does.
#[track_caller]
pub fn clog(from: &str, to: &str) {
    let (first, second) = pair(from, to);
    let world = here("pirn_sim::clog").world();
    world.tell(|| format!("the link from {from} to {to} is clogged"));
    world.clog(first, second);
}

/// Takes a [`clog`] back. Panics as [`partition`] does.
#[track_caller]
pub fn unclog(from: &str, to: &str) {
    let (first, second) = pair(from, to);
    let world = here("pirn_sim::unclog").world();
    world.tell(|| format!("the link from {from} to {to} is clear again"));
    world.unclog(first, second);
}

/// Host `name` crashes: its threads, sockets and memory are gone, nothing is dropped and no peer is told. After `down` its program starts
/// again. Globals and what its program captured stay as they are. Nothing happens to a host that is down or has returned.
///
/// If it is the calling host, this does not return. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn crash(name: &str, down: Duration) {
    strike(name, Strike::Crash, down);
}

/// All threads of host `name` stand still for `span`. Panics as [`crash`] does.
#[track_caller]
pub fn pause(name: &str, span: Duration) {
    strike(name, Strike::Pause, span);
}

#[track_caller]
fn strike(name: &str, what: fn(u32, u64) -> Strike, span: Duration) {
    let (host, _) = pair(name, name);
    let executor = here("pirn_sim::crash");
    let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    executor.world().strike(what(host, span));
    executor.os_point();
}

/// The wall clock of host `name` jumps by so many nanoseconds, back if negative. Panics as [`crash`] does.
#[track_caller]
pub fn jump_clock(name: &str, by_ns: i64) {
    let (host, _) = pair(name, name);
    here("pirn_sim::jump_clock").world().jump(host, by_ns);
}

/// Takes a [`partition`] back. Panics as that does.
#[track_caller]
pub fn heal(a: &str, b: &str) {
    let (first, second) = pair(a, b);
    let world = here("pirn_sim::heal").world();
    world.tell(|| format!("{a} and {b} see one another again"));
    world.heal_link(first, second);
    world.heal_link(second, first);
}

/// The power of a host fails and comes back, as far as its disk is concerned: what was synced is there, of the rest what
/// the choices say. Its files must not be open any more. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn crash_disk(host: &str) {
    let host = known(host);
    let executor = here("pirn_sim::crash_disk");
    executor.os_point();
    executor.world().crash_disk(host);
}

/// A bit of what lies on a host's disk turns over; false if nothing does. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn rot_disk(host: &str) -> bool {
    let host = known(host);
    let executor = here("pirn_sim::rot_disk");
    executor.os_point();
    executor.world().rot_disk(host)
}

#[track_caller]
pub(crate) fn known(host: &str) -> u32 {
    match find(host) {
        Some(number) => number,
        None => panic!("there is no host `{host}` in this simulation"),
    }
}

/// Raises a signal on a host: whoever listens for it there (`pirn::signal`) hears it. Whether anybody did; if not, nothing happens,
/// where a real process may end. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn raise(host: &str, signal: i32) -> bool {
    let executor = here("pirn_sim::raise");
    executor.os_point();
    let Some(host) = find(host) else { panic!("there is no host `{host}` in this simulation") };
    let heard = executor.world().raise(host, signal);
    executor.settle();
    heard
}

#[track_caller]
fn pair(a: &str, b: &str) -> (u32, u32) {
    here("pirn_sim::partition").os_point();
    (known(a), known(b))
}

/// What [`say!`](crate::say!) calls. On a thread that is not simulated it does nothing.
#[track_caller]
pub fn say(what: std::fmt::Arguments<'_>) {
    if let Some(executor) = crate::thread::current() {
        executor.say(what, std::panic::Location::caller());
    }
}

/// Puts a line of the program's own into the story of a failure: `say!("client {n} read {seen}")`. It is also a point, where
/// other threads may run: between two operations that are none, such as atomics of std, it lets the simulator look for a race. Does nothing on a thread that is not simulated.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::say(::core::format_args!($($text)*)) };
}

/// 64 random bits of the run: the same in every replay. Panics outside a simulation.
#[track_caller]
pub fn random() -> u64 {
    here("pirn_sim::random").world().entropy()
}

/// Whether the calling thread is simulated.
pub fn is_simulated() -> bool {
    crate::thread::current().is_some()
}

/// How many descriptors the host has open. Panics outside a simulation.
#[track_caller]
pub fn open_descriptors() -> usize {
    let world = here("pirn_sim::open_descriptors").world();
    world.net.open_count(world.my_host())
}

/// The operating system of a simulated host, for `pirn::Builder::os` and for programs that use it directly. Its methods work on simulated threads only.
pub fn os() -> Arc<dyn pirn::os::Os> {
    crate::kernel::machine()
}
