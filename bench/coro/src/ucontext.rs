//! Coroutines as a first attempt makes them: libc's ucontext, whose switch saves the signal mask by a system call, and a
//! fresh stack for each, or one from a list.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

/// Bytes of a stack, the guard apart: as many as Pirn's.
pub(crate) const STACK: usize = 128 * 1024;
const GUARD: usize = 16 * 1024;

thread_local! {
    static CURRENT: Cell<*const Inner> = const { Cell::new(ptr::null()) };
    static POOL: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// A mapped stack with a guard.
struct Memory(*mut libc::c_void);

impl Memory {
    fn map() -> Self {
        // SAFETY: a fresh mapping, whose lowest part becomes the guard.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let at =
                libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert!(at != libc::MAP_FAILED, "no memory for a stack");
            assert!(libc::mprotect(at, GUARD, libc::PROT_NONE) == 0, "no guard for a stack");
            Self(at)
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our mapping, which nobody uses any more.
        unsafe { libc::munmap(self.0, GUARD + STACK) };
    }
}

struct Inner {
    inside: Cell<MaybeUninit<libc::ucontext_t>>,
    outside: Cell<MaybeUninit<libc::ucontext_t>>,
    waker: Cell<*const Waker>,
    job: RefCell<Option<Box<dyn FnOnce()>>>,
    ended: Cell<bool>,
}

/// A coroutine as a future. It must be polled to its end.
pub(crate) struct Ucontext {
    inner: Box<Inner>,
    memory: Option<Memory>,
    pooled: bool,
}

impl Ucontext {
    pub(crate) fn new(pooled: bool, job: impl FnOnce() + 'static) -> Self {
        let memory = if pooled { POOL.with_borrow_mut(Vec::pop) } else { None }.unwrap_or_else(Memory::map);
        let inner = Box::new(Inner {
            inside: Cell::new(MaybeUninit::zeroed()),
            outside: Cell::new(MaybeUninit::zeroed()),
            waker: Cell::new(ptr::null()),
            job: RefCell::new(Some(Box::new(job))),
            ended: Cell::new(false),
        });
        // SAFETY: getcontext fills the record before makecontext changes it; the stack is ours.
        unsafe {
            let inside = inner.inside.as_ptr().cast::<libc::ucontext_t>();
            libc::getcontext(inside);
            (*inside).uc_stack.ss_sp = memory.0.byte_add(GUARD);
            (*inside).uc_stack.ss_size = STACK;
            (*inside).uc_link = inner.outside.as_ptr().cast();
            libc::makecontext(inside, entry, 0);
        }
        Self { inner, memory: Some(memory), pooled }
    }
}

extern "C" fn entry() {
    let inner = CURRENT.get();
    // SAFETY: set by the poll that switched here; the record lives until the coroutine has ended.
    let job = unsafe { (*inner).job.borrow_mut().take() }.expect("a job");
    job();
    // SAFETY: as above. Returning goes to `uc_link`, the poll.
    unsafe { (*inner).ended.set(true) };
}

impl Future for Ucontext {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.inner.waker.set(context.waker());
        let before = CURRENT.replace(&raw const *self.inner);
        // SAFETY: both records are valid; the stack is ours and in one use.
        unsafe { libc::swapcontext(self.inner.outside.as_ptr().cast(), self.inner.inside.as_ptr().cast()) };
        CURRENT.set(before);
        if !self.inner.ended.get() {
            return Poll::Pending;
        }
        if let Some(memory) = self.memory.take().filter(|_| self.pooled) {
            POOL.with_borrow_mut(|pool| pool.push(memory));
        }
        Poll::Ready(())
    }
}

/// Waits for a future in a coroutine of this kind.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        let inner = CURRENT.get();
        // SAFETY: this runs inside the coroutine, so its record is alive, and so is the waker of the poll it runs in.
        unsafe {
            match future.as_mut().poll(&mut Context::from_waker(&*(*inner).waker.get())) {
                Poll::Ready(output) => return output,
                Poll::Pending => {
                    libc::swapcontext((*inner).inside.as_ptr().cast(), (*inner).outside.as_ptr().cast());
                }
            }
        }
    }
}
