//! Building a runtime and holding on to it: the only file that names a concrete OS layer.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blocking::Blocking;
use crate::group::Topology;
use crate::observe::{Dump, Listener, Metrics, SlowPoll, SlowPolls, TaskInfo};
use crate::os::Os;
use crate::sched::{self, Config, Shared};
use crate::signal::SignalKind;
use crate::task::JoinHandle;
use crate::trace::{DecodeError, Event};

pub use crate::sched::ShutdownError;

/// Which OS layer a runtime runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The one that suits this machine: see [`os::choose`](crate::os::choose()).
    #[default]
    Auto,
    /// epoll, with calls tried first.
    Epoll,
    /// io_uring, one ring a worker. Linux 6.1 or newer, if no filter or limit refuses it.
    Uring,
}

/// Options of a runtime. Each has a default that suits a server.
///
/// ```
/// let runtime = pirn::Builder::new().workers(2).build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    config: Config,
    workers: Option<usize>,
    topology: Option<Topology>,
    backend: Backend,
    os: Option<Arc<dyn Os>>,
    dump_on_signal: Option<(SignalKind, PathBuf)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// All defaults.
    pub fn new() -> Self {
        Self {
            config: Config::new(),
            workers: None,
            topology: None,
            backend: Backend::Auto,
            os: None,
            dump_on_signal: None,
        }
    }

    /// Seats, 1 to 4095. Seat 0 belongs to whoever is inside `block_on`; each other one has a thread. Default: the CPUs this process may use.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The workers, in groups; in place of [`workers`](Self::workers). Default: one group in which all share all work.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// The OS layer. Default: [`Backend::Auto`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// An OS layer of one's own, such as a simulated host, instead of a backend.
    pub fn os(mut self, os: Arc<dyn Os>) -> Self {
        self.os = Some(os);
        self
    }

    /// Tasks a worker's ring holds, a power of two from 2 to 32768; more overflow to the injector. Default: 256.
    pub fn ring_capacity(mut self, tasks: usize) -> Self {
        self.config.ring_capacity = tasks;
        self
    }

    /// Tasks run from the LIFO slot in a row, 1 to 255, before the ring has its turn. Default: 3.
    pub fn lifo_limit(mut self, polls: u32) -> Self {
        self.config.lifo_limit = polls;
        self
    }

    /// Polls between two looks at the driver and the timers of a busy worker, at least 1. Default: 61.
    pub fn poll_interval(mut self, polls: u32) -> Self {
        self.config.poll_interval = polls;
        self
    }

    /// Polls between two turns in which the inbox and the injector come first, at least 1. Default: 31.
    pub fn injector_interval(mut self, polls: u32) -> Self {
        self.config.injector_interval = polls;
        self
    }

    /// Completions that one look at a driver collects, at least 1; what it has beyond them waits for the next look. Default: 61.
    pub fn look_batch(mut self, completions: usize) -> Self {
        self.config.batch = completions;
        self
    }

    /// I/O calls that may succeed at once in one poll before the task must yield, at least 1; calls that find nothing cost
    /// nothing. Default: 128.
    pub fn budget(mut self, calls: u32) -> Self {
        self.config.budget = calls;
        self
    }

    /// Threads for `spawn_blocking` at most, at least 1. Default: 512.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.config.blocking_threads = threads;
        self
    }

    /// How long such a thread stays without work. Default: 10 s.
    pub fn blocking_keep_alive(mut self, time: Duration) -> Self {
        self.config.blocking_keep_alive = time;
        self
    }

    /// The flight recorder: so many events, rounded up to a power of two, each worker remembers for [`Handle::dump`], at most 2^26, 16 bytes
    /// each. A busy worker makes about ten a poll. It reads the clock once or twice a poll. 0 is off. Default: 0.
    pub fn recorder(mut self, events: usize) -> Self {
        self.config.recorder = events;
        self
    }

    /// Measures how long polls take, how long tasks wait for them and how long workers are parked, for [`Metrics`], and since
    /// when each task is in its state. It reads the clock once or twice a poll and once a wake. Default: false.
    pub fn timing(mut self, on: bool) -> Self {
        self.config.timing = on;
        self
    }

    /// Reports polls that take longer than this, for they hold up all that is on their worker: one line on standard error for each
    /// place that spawned such a task, at its first slow poll; [`Metrics`] counts all of them. It reads the clock once or twice a poll.
    /// 10 ms is sensible for a server. Default: off.
    pub fn slow_poll(mut self, threshold: Duration) -> Self {
        self.config.slow_poll = Some(SlowPolls::told_once(threshold));
        self
    }

    /// The same, with a handler in place of the line. It is called for every slow poll, on the worker and after the poll, so it should
    /// be quick. A panic in it is contained.
    pub fn on_slow_poll(
        mut self,
        threshold: Duration,
        handler: impl Fn(&SlowPoll) + Send + Sync + 'static,
    ) -> Self {
        self.config.slow_poll = Some(SlowPolls { threshold, handler: Arc::new(handler) });
        self
    }

    /// Writes a [`Dump`] into this folder when a task or main future panics, at the first panic of the runtime only, and says so on
    /// standard error. The panic itself goes its way. Default: off.
    pub fn dump_on_panic(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.dump_on_panic = Some(folder.into());
        self
    }

    /// Writes a [`Dump`] into this folder each time the process gets the signal, and says so on standard error. It costs a thread and a
    /// driver, so that it works when every worker is stuck. SIGUSR1 is a usual choice; the signal's default action ends. Default: off.
    pub fn dump_on_signal(mut self, kind: SignalKind, folder: impl Into<PathBuf>) -> Self {
        self.dump_on_signal = Some((kind, folder.into()));
        self
    }

    /// How often idle workers, all together, look after busy ones, above zero: n of them each n times as rarely. Up to three of them look only
    /// every four times this after 256 looks that found nobody inside one poll for as long. Default: 250 µs.
    pub fn watch_interval(mut self, interval: Duration) -> Self {
        self.config.watch_interval = interval;
        self
    }

    /// How long a worker keeps tasks that became ready together before it wakes another worker for what is left of them, if
    /// its recent polls were short and it has time to spare. One that has been busy for as long wakes others at once, unless what
    /// it has takes less than a quarter of that.
    /// Zero: not at all, for the shortest delays at the price of more CPU time. Default: 500 µs.
    pub fn share_delay(mut self, delay: Duration) -> Self {
        self.config.share_delay = delay;
        self
    }

    /// How long a worker goes on with its turn after something was staged in it: then writes that were staged leave, and [`drained`](crate::drained)
    /// comes, before the next poll. Zero: after the poll that staged. Default: 100 µs.
    pub fn turn_limit(mut self, limit: Duration) -> Self {
        self.config.turn_limit = limit;
        self
    }

    /// Bytes of a coroutine's stack of that size: a multiple of 4096, 8 KiB to 1 GiB. Default: 16 KiB, 128 KiB, 2 MiB.
    #[cfg(feature = "coro")]
    pub fn stack_size(mut self, size: crate::coro::StackSize, bytes: usize) -> Self {
        self.config.stacks.set_size(size, bytes);
        self
    }

    /// Idle stacks of each size that a worker keeps while it has nothing to do; a busy one keeps all it has made. Default: 1024.
    #[cfg(feature = "coro")]
    pub fn stacks_kept(mut self, stacks: usize) -> Self {
        self.config.stacks.kept = stacks;
        self
    }

    /// Guards stacks by `mprotect` even where the kernel knows a better way (Linux 6.13): to try what older kernels do.
    #[cfg(feature = "coro")]
    pub fn stack_guards_mapped(mut self) -> Self {
        self.config.stacks.guards = crate::os::stack::Guards::Mapped;
        self
    }

    /// What dropping the runtime waits for at most. Default: 5 s.
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.config.shutdown_limit = limit;
        self
    }

    /// Builds the runtime; returns when every worker has its driver.
    ///
    /// # Errors
    /// `InvalidInput` names an impossible option; otherwise the system refused the backend, a descriptor or a thread.
    pub fn build(self) -> io::Result<Runtime> {
        let automatic = self.os.is_none() && self.backend == Backend::Auto;
        let os = match (self.os, self.backend) {
            (Some(os), _) => os,
            (None, Backend::Auto) => crate::os::choose()?,
            (None, Backend::Epoll) => crate::os::epoll()?,
            (None, Backend::Uring) => crate::os::uring()?,
        };
        let rings = automatic && os.name() == "uring";
        let mut config = self.config;
        let topology = match (self.workers, self.topology) {
            (Some(workers), Some(_)) => {
                let why = format!(
                    "workers({workers}) beside a topology, which says how many there are: choose one"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            (None, Some(topology)) => topology,
            (workers, None) => Topology::stealing(workers.unwrap_or_else(|| os.parallelism())),
        };
        config.groups = topology.into_configs();
        let shared = match Shared::new(os, config.clone()) {
            // A ring could be had, but not one for each worker.
            Err(error) if rings && error.kind() != io::ErrorKind::InvalidInput => {
                Shared::new(crate::os::fall_back(error)?, config)?
            }
            shared => shared?,
        };
        let mut runtime = Runtime { handle: Handle { shared }, live: true, listener: None };
        sched::start_threads(&runtime.handle.shared)?;
        crate::observe::tell::started(&runtime.handle.shared);
        if let Some((kind, folder)) = self.dump_on_signal {
            runtime.listener = Some(crate::observe::listen(&runtime.handle.shared, kind, folder)?);
        }
        Ok(runtime)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = self.os.as_ref().map(|os| os.name());
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("workers", &self.workers)
            .field("topology", &self.topology)
            .field("os", &os)
            .finish()
    }
}

/// A runtime. Dropping it shuts it down: see [`shutdown_timeout`](Self::shutdown_timeout).
///
/// Tasks run while its worker threads (all seats but the first) or a [`block_on`](Self::block_on) are there to run them.
/// A runtime must not be used in a child after `fork`: its threads do not exist there.
pub struct Runtime {
    handle: Handle,
    live: bool,
    /// Of `dump_on_signal`; it ends with the runtime.
    listener: Option<Listener>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listens = self.listener.is_some();
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .field("dump_on_signal", &listens)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime with all defaults.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new().build()
    }

    /// Options first.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Counters and times: see [`observe`](crate::observe).
    pub fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    /// A handle for other threads and for tasks.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs a future to its end on the calling thread, which meanwhile is worker 0. A second caller at the same time
    /// polls only its own future. The future needs neither `Send` nor `'static`.
    ///
    /// A thread that was worker 0 keeps asking the kernel for short slices of CPU time (200 µs, as the other workers do; Linux 6.12).
    ///
    /// # Panics
    /// Inside a task of any runtime, and when the future panics.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Spawns a task on any worker.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a call that blocks on a thread of its own.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, call: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn_blocking(call)
    }

    /// Shuts down and waits, at most `limit`: running polls end, every other task is cancelled and its future dropped on a
    /// worker, sends of dropped streams complete, started blocking calls are waited for.
    ///
    /// # Errors
    /// When something was still running at the limit; its threads go on until it returns.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Result<(), ShutdownError> {
        self.live = false;
        self.shut_down(limit)
    }

    /// In async code nothing may wait: there, a thread of its own does the shutdown.
    fn shut_down(&self, limit: Duration) -> Result<(), ShutdownError> {
        let shared = self.handle.shared.clone();
        if !sched::with_context(|cx| cx.is_some_and(|cx| cx.seat.is_some() || cx.in_poll.get())) {
            return shared.shut_down(limit);
        }
        let os = shared.os.clone();
        let spec = crate::os::ThreadSpec { name: "pirn-shutdown".into(), stack: None };
        // Without a thread for it the workers still end their loops at the first token; only seat 0 is not cleaned.
        let _ = os.spawn_thread(spec, Box::new(move || drop(shared.shut_down(limit))));
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.live
            && let Err(error) = self.shut_down(self.handle.shared.config.shutdown_limit)
        {
            eprintln!("pirn: {error}");
        }
    }
}

/// A runtime, from anywhere: cheap to clone, does not keep tasks alive.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// The runtime that the calling thread or task runs in.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current()
            .expect("there is no Pirn runtime here: call this inside block_on or a task, or use a Handle")
    }

    /// The same, or None outside of a runtime.
    pub fn try_current() -> Option<Self> {
        sched::with_context(|cx| cx.map(|cx| Self { shared: cx.shared.clone() }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// See [`Runtime::spawn`]. After shutdown the handle says cancelled at once.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        sched::spawn(&self.shared, future, sched::Where::Here, Location::caller())
    }

    /// See [`Runtime::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, call: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Blocking::spawn(&self.shared, call, Location::caller())
    }

    /// See [`Runtime::block_on`].
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        sched::block_on(&self.shared, future)
    }

    /// Runs `f` with this runtime as the current one, so that it can make sockets and timers and spawn.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        sched::enter_handle(&self.shared, f)
    }

    /// Counters and times: see [`observe`](crate::observe).
    pub fn metrics(&self) -> Metrics {
        crate::observe::collect(&self.shared)
    }

    /// All tasks that were polled and are not over, by their numbers: what each is doing and waits for. Workers that are inside a poll
    /// are not waited for. Tasks that have not been polled yet wait in queues whose lengths [`metrics`](Self::metrics) tells;
    /// blocking calls are not among them.
    ///
    /// ```
    /// # pirn::Runtime::new()?.block_on(async {
    /// let nap = pirn::spawn(pirn::time::sleep(std::time::Duration::from_secs(60)));
    /// pirn::time::sleep(std::time::Duration::from_millis(20)).await;
    /// let tasks = pirn::Handle::current().tasks();
    /// assert_eq!(tasks[0].id, nap.id());
    /// assert!(tasks[0].waits[0].starts_with("for a timer in "), "{}", tasks[0]);
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn tasks(&self) -> Vec<TaskInfo> {
        crate::observe::collect_tasks(&self.shared)
    }

    /// Takes a dump: all tasks, what each worker does, and its last events if [`Builder::recorder`] is on. Nothing is stopped for it,
    /// and nobody who is stuck is waited for.
    pub fn dump(&self, reason: &str) -> Dump {
        crate::observe::take(&self.shared, reason)
    }

    /// The last events of each worker, oldest first, if [`Builder::recorder`] is on.
    pub fn recorded(&self) -> Vec<Vec<Result<Event, DecodeError>>> {
        self.shared
            .seats
            .iter()
            .map(|seat| seat.recorder.as_ref().map_or_else(Vec::new, |ring| ring.dump()))
            .collect()
    }

    /// The machine it runs on.
    pub fn os(&self) -> Arc<dyn Os> {
        self.shared.os.clone()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} workers on {})", self.shared.workers(), self.shared.os.name())
    }
}
