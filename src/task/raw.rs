//! The cell itself: header, function table, and the steps of a task's life.

use core::alloc::Layout;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::owned::Links;
use super::pool::{self, Pool};
use super::state::{Abort, Phase, Rest, Start, State, Wake};
use super::{Id, JoinError, waker};
use crate::observe::tell::Span;
use crate::queue::Link;
use crate::sched::Shared;
use crate::sync::{Counter, Ghost, Hint, UnsafeCell, ghost};

/// Where a task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On any worker of this group.
    Shared(u32),
    /// On this seat only.
    Pinned(u32),
    /// On a thread of the blocking pool.
    Blocking,
}

/// What all tasks have in common: one cache line.
#[repr(C)]
pub(crate) struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    link: UnsafeCell<*mut Header>,
    shared: *const Shared,
    pub(crate) id: u64,
    /// A pinned task's seat; or SHARED with its group, and LONG or SETTLING; or BLOCKING. Changed by who polls it only.
    home: Hint,
    /// The seat whose owned list it is in, or NO_LIST.
    list: UnsafeCell<u32>,
    pub(super) join_waker: UnsafeCell<Option<Waker>>,
}

const BLOCKING: u32 = u32::MAX;
/// Any worker of a group.
const SHARED: u32 = 1 << 31;
/// Of such a task: its last poll was long.
const LONG: u32 = 1 << 30;
/// Of such a task: its first poll pins it.
const SETTLING: u32 = 1 << 29;
const NO_LIST: u32 = u32::MAX;

/// What most tasks never need.
pub(super) struct Cold {
    pub(super) owned: UnsafeCell<Links>,
    spawned_at: &'static Location<'static>,
    /// Since when (ns) it is scheduled, running or idle; 0: nobody asks.
    since: Counter,
    span: Span,
}

impl Header {
    /// Where it may run.
    pub(crate) fn kind(&self) -> Kind {
        match self.home.get() {
            BLOCKING => Kind::Blocking,
            home if home & SHARED != 0 => Kind::Shared(home & !(SHARED | LONG | SETTLING)),
            seat => Kind::Pinned(seat),
        }
    }

    /// Whether it may run on one seat only.
    pub(crate) fn is_pinned(&self) -> bool {
        self.home.get() & SHARED == 0
    }

    /// Whether its last poll was so long that others had to look after its worker.
    pub(crate) fn is_long(&self) -> bool {
        let home = self.home.get();
        home & (SHARED | LONG) == SHARED | LONG && home != BLOCKING
    }

    /// Notes how its poll was. By the worker that polled it.
    pub(crate) fn set_long(&self, long: bool) {
        let home = self.home.get();
        if !self.is_pinned() {
            self.home.set(if long { home | LONG } else { home & !LONG });
        }
    }

    /// Has it go on in another group. By the worker that polls it; it is not pinned.
    pub(crate) fn set_group(&self, group: u32) {
        debug_assert!(!self.is_pinned(), "a pinned task has no group");
        self.home.set(SHARED | group);
        ghost(|| Ghost::Belongs { task: self.id, group });
    }

    /// Its first poll will pin it. Before it is in any container.
    #[cfg(feature = "coro")]
    pub(crate) fn settle_later(&self) {
        self.home.set(self.home.get() | SETTLING);
    }

    /// What it is doing, some time ago.
    pub(crate) fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The name of its future's type.
    pub(crate) fn name(&self) -> &'static str {
        (self.vtable.name)()
    }

    /// When it was last scheduled, started or came to rest (ns); 0 if nobody notes it.
    pub(crate) fn since(&self) -> u64 {
        // SAFETY: a header in use is that of a live cell.
        unsafe { cold(NonNull::from(self)).as_ref() }.since.get()
    }

    /// Notes that. For who has set SCHEDULED, or runs it.
    pub(crate) fn set_since(&self, now: u64) {
        // SAFETY: a header in use is that of a live cell.
        unsafe { cold(NonNull::from(self)).as_ref() }.since.set(now);
    }

    /// Where it was spawned.
    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        // SAFETY: a header in use is that of a live cell.
        unsafe { cold(NonNull::from(self)).as_ref() }.spawned_at
    }
}

/// The cold part of a cell.
///
/// # Safety
/// `header` is that of a live cell.
pub(super) unsafe fn cold(header: NonNull<Header>) -> NonNull<Cold> {
    // SAFETY: the caller's promise; the offset is that of this cell's type.
    unsafe { header.byte_add(header.as_ref().vtable.cold_offset).cast() }
}

/// The parts of the cell that depend on the future's type.
pub(super) struct Vtable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    cancel: unsafe fn(NonNull<Header>),
    /// Moves the result to the pointer, an `Option<Result<T, JoinError>>`.
    pub(super) take_output: unsafe fn(NonNull<Header>, *mut ()),
    drop_output: unsafe fn(NonNull<Header>),
    /// Drops what is left in the cell.
    drop_cell: unsafe fn(NonNull<Header>),
    layout: Layout,
    cold_offset: usize,
    /// The future's type.
    name: fn() -> &'static str,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Pending,
    Ready,
    Panicked,
}

enum Stage<F: Future> {
    Future(F),
    Finished(Result<F::Output, JoinError>),
    Empty,
}

#[repr(C)]
struct Cell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
    cold: Cold,
}

struct Functions<F>(core::marker::PhantomData<F>);

impl<F: Future> Functions<F> {
    const VTABLE: Vtable = Vtable {
        poll: poll::<F>,
        cancel: cancel::<F>,
        take_output: take_output::<F>,
        drop_output: drop_output::<F>,
        drop_cell: drop_cell::<F>,
        layout: Layout::new::<Cell<F>>(),
        cold_offset: core::mem::offset_of!(Cell<F>, cold),
        name: core::any::type_name::<F>,
    };
}

/// Runs `f` on the stage of the cell.
///
/// # Safety
/// `header` heads a live `Cell<F>`, and the caller has the stage to itself (table in `task`).
unsafe fn with_stage<F: Future, R>(header: NonNull<Header>, f: impl FnOnce(*mut Stage<F>) -> R) -> R {
    let cell = header.cast::<Cell<F>>();
    // SAFETY: the caller's promise; `Cell` is repr(C), its header comes first.
    unsafe { (*cell.as_ptr()).stage.with_mut(f) }
}

/// Drops what the stage holds and puts `next` there. A panic of the drop is returned, the stage is replaced all the same.
unsafe fn replace_stage<F: Future>(
    header: NonNull<Header>,
    next: Stage<F>,
) -> Option<Box<dyn core::any::Any + Send>> {
    // SAFETY: the caller's promise. The future is dropped in place, as its pin demands, and overwritten without another drop.
    unsafe {
        with_stage::<F, _>(header, |stage| {
            let drops = || cold(header).as_ref().span.within(|| stage.drop_in_place());
            let dropped = catch_unwind(AssertUnwindSafe(drops));
            stage.write(next);
            dropped.err()
        })
    }
}

unsafe fn poll<F: Future>(header: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
    // SAFETY: invariant 2; the future stays in its cell until it is dropped there, so pinning it is sound.
    let outcome = unsafe {
        with_stage::<F, _>(header, |stage| {
            catch_unwind(AssertUnwindSafe(|| {
                let Stage::Future(future) = &mut *stage else {
                    unreachable!("a finished task is not polled")
                };
                cold(header).as_ref().span.within(|| Pin::new_unchecked(future).poll(cx))
            }))
        })
    };
    // SAFETY: the header is alive (invariant 1).
    let id = Id(unsafe { header.as_ref() }.id);
    let (result, polled) = match outcome {
        Ok(Poll::Pending) => return Polled::Pending,
        Ok(Poll::Ready(value)) => (Ok(value), Polled::Ready),
        Err(payload) => (Err(JoinError::panic(id, payload)), Polled::Panicked),
    };
    // SAFETY: invariant 2.
    unsafe { finish::<F>(header, id, result, polled) }
}

/// Drops the future, then stores the result; a panic of that drop becomes the result.
unsafe fn finish<F: Future>(
    header: NonNull<Header>,
    id: Id,
    result: Result<F::Output, JoinError>,
    polled: Polled,
) -> Polled {
    // SAFETY: the caller runs the task (invariant 2).
    let dropped = unsafe { replace_stage::<F>(header, Stage::Empty) };
    // SAFETY: as above.
    unsafe { cold(header).as_ref().span.close() };
    match dropped {
        None => {
            // SAFETY: as above; the stage is empty.
            unsafe { replace_stage::<F>(header, Stage::Finished(result)) };
            polled
        }
        Some(payload) => {
            // SAFETY: as above. The value of a future that panics while it is dropped is dropped too: the panic is the news.
            unsafe { replace_stage::<F>(header, Stage::Finished(Err(JoinError::panic(id, payload)))) };
            let _ = catch_unwind(AssertUnwindSafe(move || drop(result)));
            Polled::Panicked
        }
    }
}

unsafe fn cancel<F: Future>(header: NonNull<Header>) {
    // SAFETY: the header is alive (invariant 1).
    let id = Id(unsafe { header.as_ref() }.id);
    // SAFETY: the caller runs the task (invariant 2).
    unsafe { finish::<F>(header, id, Err(JoinError::cancelled(id)), Polled::Ready) };
}

unsafe fn take_output<F: Future>(header: NonNull<Header>, into: *mut ()) {
    // SAFETY: the task is complete and the caller is its handle; `into` points to an Option of the output's type.
    unsafe {
        with_stage::<F, _>(header, |stage| {
            let result = match &*stage {
                // Abandoned: the future stays where it is.
                Stage::Future(_) => Err(JoinError::cancelled(Id(header.as_ref().id))),
                Stage::Finished(_) => {
                    let Stage::Finished(result) = stage.replace(Stage::Empty) else {
                        unreachable!("just seen")
                    };
                    result
                }
                Stage::Empty => return,
            };
            into.cast::<Option<Result<F::Output, JoinError>>>().write(Some(result));
        });
    }
}

unsafe fn drop_output<F: Future>(header: NonNull<Header>) {
    // SAFETY: the task is complete and the output is the caller's. A panic of the output's drop has nowhere to go.
    drop(unsafe { replace_stage::<F>(header, Stage::Empty) });
}

unsafe fn drop_cell<F: Future>(header: NonNull<Header>) {
    // SAFETY: the last reference is gone; the cell was written by `Task::new`.
    let cell = unsafe { &mut *header.cast::<Cell<F>>().as_ptr() };
    debug_assert!(cell.stage.with(|stage| !matches!(
        // SAFETY: nobody else is left.
        unsafe { &*stage },
        Stage::Future(_)
    )));
    // SAFETY: as above; the memory is not used after this but as a free block.
    unsafe { core::ptr::drop_in_place(cell) };
}

/// One reference to a task: a container's, the running poll's or an owned list's.
#[derive(Debug)]
#[must_use = "a dropped Task is a lost task"]
pub(crate) struct Task(NonNull<Header>);

// SAFETY: only what may change threads does: `Kind` says where a task may run, and the scheduler keeps to it (invariant 4).
unsafe impl Send for Task {}

// SAFETY: `link` is the container's while the task is in it; raw and back are inverse.
unsafe impl Link for Task {
    type Node = Header;

    fn into_raw(self) -> NonNull<Header> {
        self.0
    }

    unsafe fn from_raw(raw: NonNull<Header>) -> Self {
        Self(raw)
    }

    unsafe fn next(raw: NonNull<Header>) -> NonNull<UnsafeCell<*mut Header>> {
        // SAFETY: the caller holds the reference.
        NonNull::from(unsafe { &raw.as_ref().link })
    }
}

impl Task {
    /// A scheduled task, and the reference of its handle.
    pub(crate) fn new<F: Future>(
        pool: Option<&Pool>,
        future: F,
        shared: *const Shared,
        id: u64,
        kind: Kind,
        spawned_at: &'static Location<'static>,
    ) -> (Self, NonNull<Header>) {
        let home = match kind {
            Kind::Shared(group) => SHARED | group,
            Kind::Blocking => BLOCKING,
            Kind::Pinned(seat) => seat,
        };
        let cell = Cell {
            header: Header {
                state: State::new(),
                vtable: &Functions::<F>::VTABLE,
                link: UnsafeCell::new(core::ptr::null_mut()),
                shared,
                id,
                home: Hint::new(home),
                list: UnsafeCell::new(NO_LIST),
                join_waker: UnsafeCell::new(None),
            },
            stage: UnsafeCell::new(Stage::Future(future)),
            cold: Cold {
                owned: UnsafeCell::new(Links::default()),
                spawned_at,
                since: Counter::new(0),
                span: Span::none(),
            },
        };
        let block = pool::allocate(pool, Layout::new::<Cell<F>>()).cast::<Cell<F>>();
        // SAFETY: the block is fresh and of the cell's layout.
        unsafe { block.write(cell) };
        let header = block.cast::<Header>();
        // SAFETY: the cell was just written, and nobody else has it.
        unsafe { cold(header).as_ref().span.open(header.as_ref()) };
        ghost(|| Ghost::BitSet { task: id });
        (Self(header), header)
    }

    pub(super) fn from_header(header: NonNull<Header>) -> Self {
        Self(header)
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: invariant 1.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn id(&self) -> u64 {
        self.header().id
    }

    /// The runtime it belongs to.
    ///
    /// # Safety
    /// The task is not complete, or the caller keeps the runtime alive by other means (invariant 5).
    pub(crate) unsafe fn shared<'a>(&self) -> &'a Shared {
        // SAFETY: the caller's promise.
        unsafe { &*self.header().shared }
    }

    /// Whether it belongs to the runtime at this address.
    pub(crate) fn belongs_to(&self, shared: *const Shared) -> bool {
        self.header().shared == shared
    }

    /// Taken out of a container.
    pub(crate) fn start(&self) -> Start {
        let start = self.header().state.start();
        if start != Start::Complete {
            ghost(|| Ghost::BitClear { task: self.id() });
        }
        start
    }

    /// Binds a task to `seat` that stays where it is polled first; true: it was bound just now. Between `start` and `poll`.
    #[inline]
    pub(crate) fn settle(&self, seat: u32) -> bool {
        let home = self.header().home.get();
        if home & (SHARED | SETTLING) != SHARED | SETTLING || home == BLOCKING {
            return false;
        }
        self.header().home.set(seat);
        ghost(|| Ghost::Settled { task: self.id(), worker: seat });
        true
    }

    /// Polls the future with a waker of its own. Only between `start` and `rest` or `complete`.
    pub(crate) fn poll(&self) -> Polled {
        // SAFETY: the waker borrows this task's reference for the time of the poll and is not dropped.
        let waker = ManuallyDrop::new(unsafe { waker::of(self.0) });
        let mut cx = Context::from_waker(&waker);
        // SAFETY: `start` gave the future to the caller (invariant 2).
        unsafe { (self.header().vtable.poll)(self.0, &mut cx) }
    }

    /// Drops the future and stores "cancelled". Only between `start` or `seize` and `complete`.
    pub(crate) fn cancel(&self) {
        // SAFETY: `start` or `seize` gave the future to the caller (invariant 2).
        unsafe { (self.header().vtable.cancel)(self.0) }
    }

    /// The poll was pending.
    pub(crate) fn rest(&self) -> Rest {
        self.header().state.rest()
    }

    /// The result is stored: tells who waits, drops what nobody wants. `told` runs right where the task becomes complete.
    pub(crate) fn complete(&self, told: impl FnOnce()) {
        self.close(told, true);
    }

    /// Completes as cancelled a task whose future only another thread may drop. The future stays for ever, and the cell with it, as
    /// its pin demands: the running reference is never given back. Only between `start` or `seize` and `complete`.
    pub(crate) fn abandon(self, told: impl FnOnce()) {
        self.close(told, false);
        self.kept();
    }

    /// Makes the task complete. `finished`: the stage holds a result.
    fn close(&self, told: impl FnOnce(), finished: bool) {
        let header = self.header();
        let completed = header.state.complete();
        ghost(|| Ghost::BitClear { task: header.id });
        told();
        if completed.drop_output && finished {
            // SAFETY: without a handle the output is the completer's.
            unsafe { (header.vtable.drop_output)(self.0) };
        }
        if completed.wake_join {
            // SAFETY: from COMPLETE until `join_waker_done` the waker is the completer's (see `state`).
            let waker = header.join_waker.with(|waker| unsafe { (*waker).clone() });
            let gone = header.state.join_waker_done();
            if gone {
                // SAFETY: the handle left the waker to the completer.
                drop(header.join_waker.with_mut(|waker| unsafe { (*waker).take() }));
            }
            if let Some(waker) = waker {
                wake_contained(waker);
            }
        }
    }

    /// Ends an idle task at shutdown: true if the caller must now cancel and complete it (it holds a new reference for that).
    pub(crate) fn seize(header: NonNull<Header>) -> Option<Self> {
        // SAFETY: the owned list that is being walked holds a reference.
        match unsafe { header.as_ref() }.state.seize() {
            Abort::Act => Some(Self(header)),
            Abort::Noted | Abort::Nothing => None,
        }
    }

    /// The seat whose owned list holds it. For who runs it.
    pub(crate) fn list(&self) -> Option<u32> {
        // SAFETY: the field is the runner's (table in `task`).
        let list = self.header().list.with(|list| unsafe { *list });
        (list != NO_LIST).then_some(list)
    }

    /// It enters the owned list of `seat`: a reference for the list. For who runs it.
    pub(crate) fn enlist(&self, seat: u32) -> Self {
        // SAFETY: the field is the runner's (table in `task`).
        self.header().list.with_mut(|list| unsafe { *list = seat });
        self.header().state.ref_inc();
        Self(self.0)
    }

    /// This name of the reference ends, the reference does not: a list has it, or it is leaked on purpose.
    pub(crate) fn kept(self) {}

    /// Drops this reference.
    pub(crate) fn release(self) {
        // SAFETY: one reference, given up here.
        unsafe { release(self.0) }
    }
}

/// Wakes; a waker that panics must not take the caller down with it.
pub(crate) fn wake_contained(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(move || waker.wake()));
}

/// Drops one reference, and the cell with the last.
///
/// # Safety
/// The caller gives up a reference that it has.
pub(super) unsafe fn release(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive up to here.
    if unsafe { header.as_ref() }.state.ref_dec() {
        // SAFETY: that was the last one.
        unsafe { free_now(header) };
    }
}

/// # Safety
/// The last reference is gone.
pub(super) unsafe fn free_now(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let (id, vtable) = unsafe { (header.as_ref().id, header.as_ref().vtable) };
    crate::sched::emit(crate::trace::Event::Free { task: id });
    // SAFETY: the caller's promise: the cell is dropped once, then only its memory is left.
    unsafe {
        (vtable.drop_cell)(header);
        crate::sched::with_pool(|pool| pool::free(pool, header.cast(), vtable.layout));
    }
}

/// A wake of the task behind `header`, by reference or consuming the waker's reference.
///
/// # Safety
/// The caller holds a waker's reference.
pub(super) unsafe fn wake(header: NonNull<Header>, consumed: bool) {
    // SAFETY: the caller's reference.
    let (id, outcome) = unsafe { (header.as_ref().id, header.as_ref().state.wake(consumed)) };
    match outcome {
        Wake::Schedule => {
            ghost(|| Ghost::BitSet { task: id });
            ghost(|| Ghost::Debt { debt: crate::sync::Debt::Push, by: 1 });
            crate::sched::emit(crate::trace::Event::Wake { task: id, scheduled: true });
            crate::sched::schedule(Task(header));
        }
        Wake::Nothing { set } => {
            if set {
                ghost(|| Ghost::BitSet { task: id });
            }
            crate::sched::emit(crate::trace::Event::Wake { task: id, scheduled: set });
        }
        // SAFETY: the wake says that its reference was the last.
        Wake::Free => unsafe { free_now(header) },
    }
}
