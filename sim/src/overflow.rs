//! A simulated thread that overflows its stack ends the process with a sentence instead of a bare SIGSEGV.

use std::fmt::Write;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::thread::STACK;
use crate::watchdog::Beat;

/// The guard page of a stack, and whose it is.
struct Guard {
    page: AtomicUsize,
    beat: AtomicPtr<Beat>,
}

/// More stacks than this work as well; their overflow is a plain SIGSEGV.
const GUARDS: usize = 4096;

static LIST: [Guard; GUARDS] =
    [const { Guard { page: AtomicUsize::new(0), beat: AtomicPtr::new(ptr::null_mut()) } }; GUARDS];
static USED: AtomicUsize = AtomicUsize::new(0);
/// The handler that was there before: std's.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Notes the guard page at `page`, the lowest of a stack.
pub(crate) fn guard(page: usize, beat: &'static Beat) {
    BEFORE.get_or_init(install);
    // Relaxed: the slot is this caller's own; `page` publishes it.
    let slot = USED.fetch_add(1, Ordering::Relaxed);
    if let Some(guard) = LIST.get(slot) {
        guard.beat.store(ptr::from_ref(beat).cast_mut(), Ordering::Relaxed);
        // Release: pairs with the handler's Acquire.
        guard.page.store(page, Ordering::Release);
    }
}

fn install() -> libc::sigaction {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a handler of the SA_SIGINFO kind, on the alternate stack that std gives each of its threads; zeroed is a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGSEGV, &raw const action, before.as_mut_ptr());
        before.assume_init()
    }
}

extern "C" fn handler(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid record for SIGSEGV.
    let address = unsafe { (*info).si_addr() } as usize;
    for guard in &LIST[..USED.load(Ordering::Relaxed).min(GUARDS)] {
        // Acquire: pairs with the Release above.
        let page = guard.page.load(Ordering::Acquire);
        if page != 0 && address.wrapping_sub(page) < PAGE {
            // SAFETY: set before the page was, and 'static.
            let beat = unsafe { guard.beat.load(Ordering::Relaxed).as_ref() };
            die(beat);
        }
    }
    // Not ours: put back what was there, and let the instruction fault again.
    if let Some(before) = BEFORE.get() {
        // SAFETY: a sigaction that the kernel gave us.
        unsafe { libc::sigaction(libc::SIGSEGV, before, ptr::null_mut()) };
    }
}

const PAGE: usize = 4096;

/// Says so, without allocating: the fault may have come from inside malloc.
fn die(beat: Option<&Beat>) -> ! {
    struct Text([u8; 256], usize);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = &mut self.0[self.1..];
            let count = text.len().min(room.len());
            room[..count].copy_from_slice(&text.as_bytes()[..count]);
            self.1 += count;
            Ok(())
        }
    }
    let mut text = Text([0; 256], 0);
    let (seed, thread) = beat.map_or((0, 0), Beat::running);
    let _ = writeln!(
        text,
        "pirn-sim: seed {seed}: thread {thread} overflowed its stack of {} KiB: recursion without end, or very large locals",
        STACK / 1024
    );
    // SAFETY: a valid buffer; _exit does not return.
    unsafe {
        libc::write(2, text.0.as_ptr().cast(), text.1);
        libc::_exit(1)
    }
}
