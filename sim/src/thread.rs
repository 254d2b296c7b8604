//! Simulated threads as coroutines, and the executor that runs a world on one OS thread.
//!
//! # Who may touch what
//! An [`Executor`] belongs to one OS thread at a time (its *job*), which takes it from the pool and gives it back. All simulated threads of its world
//! run on that OS thread, one after another, so the cells here are never used at once. Invariants:
//! 1. No reference into the world or the fibers lives across [`Executor::suspend`].
//! 2. A fiber's stack and block are used by one simulated thread at a time; a fiber is free only when its coroutine
//!    has returned or was reset.
//! 3. Between two resumes the job runs on a donor's thread pointer; [`Executor::drive`] therefore uses no thread-local and puts the job's own back before it returns.
//! 4. An executor is never freed, so `&'static` references to it stay valid in donors.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use pirn::sync::{Hook, enter_hook, mark_process_simulated, swap_context};

use crate::choice::Source;
use crate::log::Leaving;
use crate::options::Options;
use crate::report::Verdict;
use crate::tls::{Block, Image, SEPARATE};
use crate::watchdog::Beat;
use crate::world::{NONE, State, Why, World};

/// Stack of a simulated thread; memory is committed as it is touched.
pub(crate) const STACK: usize = 1024 * 1024;

type Body = Coroutine<(), (), (), Lent>;

/// A stack that goes back to its fiber.
struct Lent {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: the stack is a DefaultStack that its fiber never frees, guard page included.
unsafe impl Stack for Lent {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// A stack and a thread-local block, and the coroutine that uses them now.
struct Fiber {
    stack: DefaultStack,
    block: Block,
    body: Option<Body>,
    yielder: Cell<*const Yielder<(), ()>>,
    /// The runtime's context of this thread where blocks are shared.
    context: Cell<*const ()>,
}

#[derive(Default)]
struct Fibers {
    #[allow(clippy::vec_box, reason = "a spawn during a resume may move the table")]
    all: Vec<Box<Fiber>>,
    free: Vec<u32>,
    image: Option<Image>,
}

/// One world after another, on one OS thread.
pub(crate) struct Executor {
    world: UnsafeCell<World>,
    fibers: UnsafeCell<Fibers>,
    yielder: Cell<*const Yielder<(), ()>>,
    /// The job's own thread pointer.
    own: Cell<Block>,
    /// Whether the world's checkers run: interposed symbols then mean the real machine.
    inside: Cell<bool>,
    pub(crate) beat: Beat,
}

// SAFETY: see the module: one OS thread at a time uses the cells; `beat` is atomic.
unsafe impl Sync for Executor {}
// SAFETY: as above; the raw pointers inside are used by the job's thread only.
unsafe impl Send for Executor {}

thread_local! {
    /// The executor that simulates this thread. Lies in the executable's segment, as the hook does, and so is part of the image.
    static CURRENT: Cell<Option<&'static Executor>> = const { Cell::new(None) };
}

/// The executor of the calling simulated thread.
#[inline]
pub(crate) fn current() -> Option<&'static Executor> {
    if !pirn::sync::hook_is_set() {
        return None;
    }
    let executor = CURRENT.try_with(Cell::get).ok().flatten()?;
    (!executor.inside.get()).then_some(executor)
}

/// The same, for calls that make no sense elsewhere. Panics on a real thread.
#[track_caller]
pub(crate) fn here(what: &str) -> &'static Executor {
    current().unwrap_or_else(|| {
        panic!(
            "{what} was called on a thread that is not simulated: call it inside a program run by pirn_sim::Simulation"
        )
    })
}

static IDLE: Mutex<Vec<&'static Executor>> = Mutex::new(Vec::new());

/// An executor while a job has it.
pub(crate) struct Lease(&'static Executor);

impl Lease {
    /// An idle executor, or a new one.
    pub(crate) fn take() -> io::Result<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let executor = match idle {
            Some(executor) => executor,
            None => Executor::create()?,
        };
        executor.own.set(Block::current());
        Ok(Self(executor))
    }

    /// The executor.
    pub(crate) fn executor(&self) -> &'static Executor {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

#[inline(never)]
fn mark(executor: Option<&'static Executor>) {
    enter_hook(executor.map(|executor| executor as &'static dyn Hook));
    CURRENT.with(|cell| cell.set(executor));
}

impl Executor {
    fn create() -> io::Result<&'static Self> {
        crate::interpose::prepare();
        crate::report::quiet_panics();
        // The clock of live machines starts with the first: it must not be one of a world, where that is a matter of chance.
        drop(pirn::os::epoll());
        mark_process_simulated();
        let options = crate::options::Asked::default().draw(0, 0, 0);
        let executor: &'static Self = Box::leak(Box::new(Self {
            world: UnsafeCell::new(World::idle(options)),
            fibers: UnsafeCell::new(Fibers::default()),
            yielder: Cell::new(std::ptr::null()),
            own: Cell::new(Block::current()),
            inside: Cell::new(false),
            beat: Beat::default(),
        }));
        crate::watchdog::watch(executor);
        let donor = Block::donor()?;
        if SEPARATE {
            // SAFETY: the donor is parked, and `mark` is out of line, so no address of a thread-local is held across.
            unsafe {
                donor.enter();
                mark(Some(executor));
                executor.own.get().enter();
            }
        }
        let fibers = executor.fibers();
        // SAFETY: the donor is parked.
        fibers.image = Some(unsafe { Image::of(donor) });
        fibers.all.push(Box::new(Fiber::new(donor, &executor.beat)?));
        fibers.free.push(0);
        Ok(executor)
    }

    /// The world. Invariant 1 of the module is the caller's duty.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "one OS thread, and no reference lives across a suspend")]
    pub(crate) fn world(&self) -> &mut World {
        // SAFETY: invariant 1: references are short and one thread has them.
        unsafe { &mut *self.world.get() }
    }

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "as for the world")]
    fn fibers(&self) -> &mut Fibers {
        // SAFETY: as for the world.
        unsafe { &mut *self.fibers.get() }
    }

    /// Runs checkers or other code of the world's own, for which nothing is simulated.
    #[inline]
    pub(crate) fn aside<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        self.inside.set(true);
        let result = f(self.world());
        self.inside.set(false);
        result
    }

    /// Starts an execution: resets the world. Hosts follow by [`Executor::add_host_thread`], then [`Executor::run`].
    pub(crate) fn begin(&self, run: u64, options: Options, source: Source) {
        self.world().reset(run, options, source);
    }

    /// A new simulated thread, runnable.
    pub(crate) fn spawn(
        &'static self,
        host: u32,
        name: String,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<u32> {
        let fiber = self.fiber_for(body)?;
        Ok(self.world().add_thread(host, name, fiber))
    }

    /// A fiber that will run `body`.
    fn fiber_for(&'static self, body: Box<dyn FnOnce() + Send>) -> io::Result<u32> {
        let fiber = self.free_fiber()?;
        let fibers = self.fibers();
        let record = &mut *fibers.all[fiber as usize];
        if let Some(image) = &fibers.image {
            // SAFETY: invariant 2: nobody uses the block, and its last user's thread-locals were destroyed or are leaked.
            unsafe { image.restore(record.block) };
        }
        record.context.set(std::ptr::null());
        let stack = Lent { base: record.stack.base(), limit: record.stack.limit() };
        record.body = Some(Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            self.fibers().all[fiber as usize].yielder.set(yielder);
            self.yielder.set(yielder);
            self.run_thread(body);
        }));
        Ok(fiber)
    }

    /// A host's main thread runs for the first time.
    #[cold]
    #[inline(never)]
    fn first_run(&'static self, thread: u32) {
        // SAFETY: the job's own block; the fiber is entered only afterwards.
        unsafe { self.own.get().enter() };
        let world = self.world();
        let program = world.hosts[world.threads[thread as usize].host as usize].program.clone();
        let fiber = self
            .fiber_for(Box::new(move || program()))
            .unwrap_or_else(|error| panic!("the simulator can't start a host: {error}"));
        self.world().threads[thread as usize].fiber = fiber;
    }

    /// Takes back the stacks of threads that a crash ended.
    #[cold]
    #[inline(never)]
    fn bury(&self) {
        for number in std::mem::take(&mut self.world().dead) {
            if let Some(mut body) = self.fibers().all[number as usize].body.take() {
                // SAFETY: as in `abandon`; the world forgot the thread, and its host's sockets, drivers and waits.
                unsafe { body.force_reset() };
                self.fibers().free.push(number);
            }
        }
    }

    fn free_fiber(&'static self) -> io::Result<u32> {
        if let Some(fiber) = self.fibers().free.pop() {
            return Ok(fiber);
        }
        let block = self.new_donor()?;
        let fibers = self.fibers();
        fibers.all.push(Box::new(Fiber::new(block, &self.beat)?));
        Ok(fibers.all.len() as u32 - 1)
    }

    /// A new donor, made on the job's own block: pthread_create looks at its caller's.
    #[inline(never)]
    fn new_donor(&self) -> io::Result<Block> {
        let here = Block::current();
        // SAFETY: the job's own block is this thread's; no address of a thread-local is held across, this function is out of line.
        unsafe { self.own.get().enter() };
        let hook = (!SEPARATE).then(|| enter_hook(None));
        let donor = Block::donor();
        if let Some(hook) = hook {
            enter_hook(hook);
        }
        // SAFETY: back to where we were.
        unsafe { here.enter() };
        donor
    }

    /// The body of a simulated thread, on its own stack and block.
    fn run_thread(&'static self, body: Box<dyn FnOnce() + Send>) {
        let result = catch_unwind(AssertUnwindSafe(body));
        if let Err(payload) = result {
            self.panicked(payload);
        }
        while let Some((destructor, object)) = self.world().me().destructors.pop() {
            // SAFETY: registered for this thread by __cxa_thread_atexit_impl, whose caller vouches for the pair; runs once, on its thread.
            unsafe { destructor(object) };
        }
        self.aside(|world| {
            world.finish_thread();
            let next = world.pick();
            world.leaves(next, |_| Leaving::Ended);
            world.next = next;
        });
    }

    #[cold]
    fn panicked(&self, payload: Box<dyn Any + Send>) {
        let name = self.world().me().name.clone();
        let said = self.world().me().panic.take().unwrap_or_else(|| message(&*payload));
        drop(payload);
        self.world().fail(Verdict::Panic(format!("thread {name} {said}")));
        self.stop();
    }

    /// Runs the world to its end. The first thread to run is chosen.
    pub(crate) fn run(&'static self) {
        if !SEPARATE {
            mark(Some(self));
        }
        let world = self.world();
        world.next = world.pick();
        self.beat.start(world.run);
        self.drive();
        self.world().end_assertions();
        self.beat.stop();
        if !SEPARATE {
            mark(None);
        }
        self.abandon();
    }

    /// Resumes whoever is next, until nobody is.
    #[inline(never)]
    fn drive(&'static self) {
        loop {
            let world = self.world();
            let next = world.next;
            if next == NONE {
                break;
            }
            world.current = next;
            world.switches += 1;
            if world.threads[next as usize].fiber == NONE {
                self.first_run(next);
            }
            let number = self.world().threads[next as usize].fiber;
            let fiber: *mut Fiber = &raw mut *self.fibers().all[number as usize];
            // SAFETY: fibers are boxed and never freed; invariant 2 gives this resume the only use of the coroutine; the block is that of a parked donor.
            let result = unsafe {
                self.yielder.set((*fiber).yielder.get());
                (*fiber).block.enter();
                if !SEPARATE {
                    (*fiber).context.set(swap_context((*fiber).context.get()));
                }
                let result = match &mut (*fiber).body {
                    Some(body) => body.resume(()),
                    None => CoroutineResult::Return(()),
                };
                if !SEPARATE {
                    (*fiber).context.set(swap_context((*fiber).context.get()));
                }
                result
            };
            if let CoroutineResult::Return(()) = result {
                // SAFETY: as above; the coroutine has returned.
                unsafe { (*fiber).body = None };
                self.fibers().free.push(number);
            }
            if !self.world().dead.is_empty() {
                self.bury();
            }
        }
        // SAFETY: the job's own block.
        unsafe { self.own.get().enter() };
    }

    /// Takes back the stacks of threads that did not end. What they held is leaked: unwinding them would run code in a world that is over.
    fn abandon(&self) {
        let fibers = self.fibers();
        for number in 0..fibers.all.len() {
            if let Some(mut body) = fibers.all[number].body.take() {
                // SAFETY: the stack is never resumed, nothing on it is dropped, and nothing outside points into it: the world's records are cleared before the next run.
                unsafe { body.force_reset() };
                fibers.free.push(number as u32);
            }
        }
        fibers.free.sort_unstable_by(|a, b| b.cmp(a));
    }

    // ---- switching; called on simulated threads ----

    /// Gives control to `world.next`; returns when somebody chooses this thread again.
    #[inline]
    fn suspend(&self) {
        // SAFETY: the yielder of the running coroutine, set when it was resumed.
        unsafe { (*self.yielder.get()).suspend(()) }
    }

    /// Switches to `next` if that is somebody else; ends the run at [`NONE`].
    #[inline]
    pub(crate) fn switch_to(&self, next: u32) {
        let world = self.world();
        if next != world.current {
            world.next = next;
            self.suspend();
        }
    }

    /// Ends the run here. Never returns: the stack is taken back.
    #[cold]
    pub(crate) fn stop(&self) -> ! {
        loop {
            self.world().next = NONE;
            self.suspend();
        }
    }

    /// Ends the run here if something failed.
    #[inline]
    pub(crate) fn settle(&self) {
        if self.world().failure.is_some() {
            self.stop();
        }
    }

    /// The running thread waits for `why`; true if it was woken, false if `until` came first.
    pub(crate) fn block(&self, why: Why, until: u64, bits: u32) -> bool {
        let next = self.aside(|world| {
            world.block(why, until, bits);
            let next = world.pick();
            world.leaves(next, |world| Leaving::Waits(world.describe_wait(why, until)));
            next
        });
        self.switch_to(next);
        self.world().me().woken
    }

    /// Waits for a thread's end.
    pub(crate) fn join(&self, thread: u32) {
        while self.world().threads[thread as usize].state != State::Finished {
            self.block(Why::Join(thread), u64::MAX, 0);
        }
    }

    /// The thread computes or sleeps until then.
    pub(crate) fn busy_until(&self, until: u64) {
        while self.world().now < until {
            self.block(Why::Busy, until, 0);
        }
    }
}

impl Fiber {
    fn new(block: Block, beat: &'static Beat) -> io::Result<Self> {
        let stack = DefaultStack::new(STACK).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("no stack for a simulated thread: {error}; raise vm.max_map_count or use fewer jobs"),
            )
        })?;
        crate::overflow::guard(stack.limit().get(), beat);
        Ok(Self {
            stack,
            block,
            body: None,
            yielder: Cell::new(std::ptr::null()),
            context: Cell::new(std::ptr::null()),
        })
    }
}

/// The text of a panic's payload.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(a payload that is no text)"))
}
