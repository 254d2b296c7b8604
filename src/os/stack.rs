//! Memory for stacks of coroutines: slabs of slots with a guard below each stack, and the report of an overflow.
//!
//! ```text
//! slab:  | guard | stack ......... owner | guard | stack ......... owner | ...
//! slot 0 ^                               ^ slot 1
//! ```
//! A guard is a range that faults on every access. Since Linux 6.13 `MADV_GUARD_INSTALL` makes one inside a mapping, so a slab
//! stays one mapping however many stacks it has; older kernels need `mprotect`, which splits the mapping at each guard, and
//! vm.max_map_count (65,530 by default) then bounds the stacks of a process. The last word of a slot, the *owner*, is where
//! the coroutine on it was spawned, for the report.
//!
//! What is here is the process' own, the same for every machine, live or simulated: addresses reach no decision.

use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

use super::signal::call_earlier;

/// Bytes of a guard. A frame that is larger than it touches its pages one by one in code that Rust compiles; C code may not.
const GUARD: usize = 16 * 1024;
/// From the kernel's `mman-common.h`; Linux 6.13.
const MADV_GUARD_INSTALL: c_int = 102;

/// The kernel has refused `MADV_GUARD_INSTALL`.
static NO_GUARDS: AtomicBool = AtomicBool::new(false);

/// How guards are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// Inside the mapping, if the kernel can.
    Auto,
    /// By `mprotect`.
    Mapped,
}

/// One mapping with room for a number of stacks.
#[derive(Debug)]
pub(crate) struct Slab {
    base: NonNull<u8>,
    slots: u32,
    stack: usize,
    guards: Guards,
    post: &'static Post,
}

impl Slab {
    /// Maps a slab; memory is committed as it is touched. `stack`: bytes of each, a multiple of the page size.
    pub(crate) fn map(slots: u32, stack: usize, guards: Guards) -> io::Result<Self> {
        REPORT.call_once(report_overflows);
        let bytes = slots as usize * (GUARD + stack);
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a fresh mapping, of which nothing is known to anybody.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(refused(
                &format!("mmap of {bytes} bytes for {slots} stacks"),
                io::Error::last_os_error(),
            ));
        }
        let base = NonNull::new(address.cast::<u8>()).expect("mmap returns no null");
        // A huge page would commit 2 MiB for the first stack that is touched. Refused where there are no huge pages.
        // SAFETY: advice on our own mapping.
        unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
        Ok(Self { base, slots, stack, guards, post: Post::take(base.as_ptr() as usize, slots, stack) })
    }

    /// Slots it has.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// Puts the guard below a stack that is used for the first time.
    pub(crate) fn guard(&self, slot: u32) -> io::Result<()> {
        let at = self.low(slot).cast::<c_void>();
        // Relaxed: at worst the kernel is asked once more.
        if self.guards == Guards::Auto && !NO_GUARDS.load(Ordering::Relaxed) {
            // SAFETY: the guard's range is part of our mapping and nobody's data.
            if unsafe { libc::madvise(at, GUARD, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            // EINVAL: an older kernel, or memory that is locked (mlockall).
            if error.raw_os_error() != Some(libc::EINVAL) {
                return Err(refused("MADV_GUARD_INSTALL", error));
            }
            NO_GUARDS.store(true, Ordering::Relaxed);
        }
        // SAFETY: as above.
        if unsafe { libc::mprotect(at, GUARD, libc::PROT_NONE) } == 0 {
            return Ok(());
        }
        Err(refused("mprotect", io::Error::last_os_error()))
    }

    /// The lowest address of a slot: that of its guard.
    pub(crate) fn low(&self, slot: u32) -> *mut u8 {
        debug_assert!(slot < self.slots);
        // SAFETY: inside the mapping.
        unsafe { self.base.as_ptr().add(slot as usize * (GUARD + self.stack)) }
    }

    /// The end of the memory a stack may use; above it is the owner. Aligned to 16 bytes.
    pub(crate) fn top(&self, slot: u32) -> *mut u8 {
        // SAFETY: inside the slot.
        unsafe { self.low(slot).add(GUARD + self.stack - 16) }
    }

    /// Gives the memory of a stack back to the kernel; the slot and its guard stay.
    pub(crate) fn discard(&self, slot: u32) {
        // SAFETY: the stack part of a slot of ours, which its user has left.
        unsafe { libc::madvise(self.low(slot).add(GUARD).cast(), self.stack, libc::MADV_DONTNEED) };
    }
}

/// Notes where the coroutine that uses a stack was spawned.
///
/// # Safety
/// `top` came from [`Slab::top`], and the slot is the caller's.
pub(crate) unsafe fn set_owner(top: *mut u8, owner: &'static Location<'static>) {
    // SAFETY: 16 bytes above the top belong to the slot.
    unsafe { top.cast::<*const Location<'static>>().write(owner) }
}

impl Drop for Slab {
    fn drop(&mut self) {
        self.post.leave();
        // SAFETY: our mapping, and the caller of drop says that nobody uses it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.slots as usize * (GUARD + self.stack)) };
    }
}

/// What was refused and why that may be.
fn refused(what: &str, error: io::Error) -> io::Error {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            "each mapping counts against vm.max_map_count (sysctl), and before Linux 6.13 each guard of a stack is one: \
             raise it, or have fewer coroutines at a time; or the memory is used up (ulimit -v, the cgroup, overcommit)"
        }
        _ => "is there a filter (seccomp)?",
    };
    io::Error::new(
        error.kind(),
        format!("there is no stack for a coroutine: {what} failed: {error}; {remedy}"),
    )
}

/// A slab as the signal handler finds it. Never freed; the next slab takes it when this one has gone.
#[derive(Debug)]
struct Post {
    /// 0: free. 1: being written.
    base: AtomicUsize,
    slots: AtomicUsize,
    stack: AtomicUsize,
    next: *const Post,
}

// SAFETY: `next` is written before the post is published, the rest is atomic.
unsafe impl Sync for Post {}

/// All posts, the newest first. Pushed with Release, which pairs with the Acquire in `posts`.
static POSTS: AtomicPtr<Post> = AtomicPtr::new(ptr::null_mut());

impl Post {
    fn take(base: usize, slots: u32, stack: usize) -> &'static Self {
        // Acquire: pairs with the Release in `leave`.
        let claim =
            |post: &&Self| post.base.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let post = posts().find(claim).unwrap_or_else(Self::push);
        post.slots.store(slots as usize, Ordering::Relaxed);
        post.stack.store(stack, Ordering::Relaxed);
        // Release: pairs with the handler's Acquire: it reads the rest after it.
        post.base.store(base, Ordering::Release);
        post
    }

    fn push() -> &'static Self {
        let (zero, taken) = (|| AtomicUsize::new(0), AtomicUsize::new(1));
        // Relaxed: the exchange below publishes the post, and repeats if this was old.
        let mut next = POSTS.load(Ordering::Relaxed);
        let post = Box::leak(Box::new(Self { base: taken, slots: zero(), stack: zero(), next }));
        loop {
            // Release: pairs with the Acquire in `posts`.
            match POSTS.compare_exchange(next, post, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return post,
                Err(now) => {
                    next = now;
                    post.next = now;
                }
            }
        }
    }

    fn leave(&self) {
        // Release: pairs with the Acquire in `take`.
        self.base.store(0, Ordering::Release);
    }

    /// The stack that a fault at this address overflowed: its size and its owner.
    fn overflowed(&self, address: usize) -> Option<(usize, *const Location<'static>)> {
        // Acquire: pairs with the Release in `take`.
        let base = self.base.load(Ordering::Acquire);
        let (slots, stack) = (self.slots.load(Ordering::Relaxed), self.stack.load(Ordering::Relaxed));
        let offset = address.wrapping_sub(base);
        if base <= 1 || offset >= slots * (GUARD + stack) || offset % (GUARD + stack) >= GUARD {
            return None;
        }
        let owner = address - offset % (GUARD + stack) + GUARD + stack - 16;
        // SAFETY: the last words of a slot in a slab that is mapped: a fault in it is under way.
        Some((stack, unsafe { *(owner as *const *const Location<'static>) }))
    }
}

fn posts() -> impl Iterator<Item = &'static Post> {
    // Acquire: pairs with the Release in `push`.
    let mut next = POSTS.load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: null, or a post that was published whole and is never freed.
        let post = unsafe { next.as_ref() }?;
        next = post.next;
        Some(post)
    })
}

static REPORT: Once = Once::new();
/// What handled SIGSEGV before: leaked, so the handler may read it.
static EARLIER: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler.
fn report_overflows() {
    // SAFETY: `sigaction` is integers and a pointer; zeros are a value. Both structures are valid for the calls.
    unsafe {
        let mut earlier: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGSEGV, ptr::null(), &mut earlier) != 0 {
            return;
        }
        // Release: pairs with the Acquire in `on_fault`. Before the handler is installed, so it finds it.
        EARLIER.store(Box::leak(Box::new(earlier)), Ordering::Release);
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        libc::sigaction(libc::SIGSEGV, &ours, ptr::null_mut());
    }
}

/// The handler: async-signal-safe, because it loads, formats into an array, writes, and calls what was there before.
extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid record for SIGSEGV.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some((stack, owner)) = posts().find_map(|post| post.overflowed(address)) {
        die(stack, owner);
    }
    // Acquire: pairs with the Release in `report_overflows`.
    let earlier = EARLIER.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `report_overflows`.
    if let Some(earlier) = unsafe { earlier.as_ref() }
        && !call_earlier(earlier, signal, info, context)
    {
        // Nobody handled it: the instruction faults again, and the system does what it does by default.
        // SAFETY: a sigaction that the kernel gave us.
        unsafe { libc::sigaction(libc::SIGSEGV, earlier, ptr::null_mut()) };
    }
}

/// Says what happened, without allocating, and ends the process.
fn die(stack: usize, owner: *const Location<'static>) -> ! {
    struct Text([u8; 512], usize);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = &mut self.0[self.1..];
            let count = text.len().min(room.len());
            room[..count].copy_from_slice(&text.as_bytes()[..count]);
            self.1 += count;
            Ok(())
        }
    }
    let mut text = Text([0; 512], 0);
    let _ = write!(text, "pirn: a coroutine overflowed its stack of {} KiB", stack / 1024);
    // SAFETY: null, or a location of the program, which lives for ever.
    if let Some(owner) = unsafe { owner.as_ref() } {
        let _ = write!(text, " (spawned at {}:{})", owner.file(), owner.line());
    }
    let _ = writeln!(
        text,
        ": recursion without end, or large values in its frames; coro::spawn_on(StackSize::Large, ..) and Builder::stack_size give more room"
    );
    // SAFETY: a valid buffer; abort does not return.
    unsafe {
        libc::write(2, text.0.as_ptr().cast(), text.1);
        libc::abort()
    }
}

/// Sees to it that the calling thread can run a signal handler when its stack is full. Threads that std started can already.
pub(crate) fn prepare_thread() {
    thread_local! {
        static PREPARED: Cell<bool> = const { Cell::new(false) };
    }
    PREPARED.with(|prepared| {
        if !prepared.replace(true) {
            give_signal_stack();
        }
    });
}

#[cold]
fn give_signal_stack() {
    const BYTES: usize = 64 * 1024;
    // SAFETY: `stack_t` is integers and a pointer; zeros are a value. The memory of the new stack is leaked, a few pages for each
    // thread that std did not start: it must outlive whatever the thread does at its end.
    unsafe {
        let mut now: libc::stack_t = std::mem::zeroed();
        if libc::sigaltstack(ptr::null(), &mut now) != 0 || now.ss_flags & libc::SS_DISABLE == 0 {
            return;
        }
        let memory = Box::leak(vec![0_u8; BYTES].into_boxed_slice());
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: BYTES };
        libc::sigaltstack(&stack, ptr::null_mut());
    }
}
