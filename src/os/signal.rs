//! Signals of the live process: a handler that adds one to the eventfd of each listener.
//!
//! The table is the process' own, as the handlers are: any number of runtimes listen side by side. A listener takes a *post*: an
//! eventfd that stays open for good, because the handler may be about to write to it, and that the next listener takes when
//! this one has gone. So the process holds as many as there ever were at once, and the handler walks a list that only grows.
//! A handler of somebody else that was installed before is called after ours.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use libc::{c_int, c_void, siginfo_t};

use super::sys::{check, owned};

/// One more than the highest number of a signal.
const SIGNALS: usize = 65;

/// A listener's place: the signal it is for (0: free), and its eventfd, open for ever.
struct Post {
    signal: AtomicI32,
    event: RawFd,
    next: *const Post,
}

// SAFETY: `next` is written before the post is published, and posts are never freed.
unsafe impl Sync for Post {}

/// All posts, the newest first. Pushed under `INSTALLED` with Release, which pairs with the handler's Acquire.
static POSTS: AtomicPtr<Post> = AtomicPtr::new(ptr::null_mut());

/// What handled each signal before; `None`: ours is not installed. Written once a signal, then leaked, so the handler may read it.
static EARLIER: [AtomicPtr<libc::sigaction>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// Held while a post is taken or a handler installed.
static INSTALLED: Mutex<()> = Mutex::new(());

/// A listener: its own descriptor of the post's eventfd, and the post, which becomes free with it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) fd: OwnedFd,
    pub(super) post: Leave,
}

/// Frees a post when dropped.
#[derive(Debug)]
pub(super) struct Leave(&'static AtomicI32);

impl Drop for Leave {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `take`: the next listener sees the eventfd as this one left it.
        self.0.store(0, Ordering::Release);
    }
}

fn posts() -> impl Iterator<Item = &'static Post> {
    // Acquire: pairs with the Release in `take`.
    let mut next = POSTS.load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: null, or a post that was published whole and is never freed.
        let post = unsafe { next.as_ref() }?;
        next = post.next;
        Some(post)
    })
}

/// The handler: async-signal-safe, because it loads, writes and calls what was there before.
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the location belongs to the thread, and is put back as the interrupted code had it.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    for post in posts().filter(|post| post.signal.load(Ordering::Relaxed) == signal) {
        let one = 1u64;
        // SAFETY: eight readable bytes; the descriptor is never closed. A full counter is no loss: it says that signals came.
        unsafe { libc::write(post.event, (&raw const one).cast(), 8) };
    }
    // Acquire: pairs with the Release in `install`.
    let earlier = EARLIER[signal as usize % SIGNALS].load(Ordering::Acquire);
    // SAFETY: null, or leaked by `install`.
    if let Some(earlier) = unsafe { earlier.as_ref() } {
        call_earlier(earlier, signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Calls what handled the signal before us; false: that was no function.
pub(super) fn call_earlier(
    earlier: &libc::sigaction,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) -> bool {
    if earlier.sa_sigaction == libc::SIG_DFL || earlier.sa_sigaction == libc::SIG_IGN {
        return false;
    }
    // SAFETY: the kernel told us that this is the address of a handler, with SA_SIGINFO of the second type, else of the first.
    unsafe {
        if earlier.sa_flags & libc::SA_SIGINFO != 0 {
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                mem::transmute(earlier.sa_sigaction);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(c_int) = mem::transmute(earlier.sa_sigaction);
            handler(signal);
        }
    }
    true
}

/// Listens for a signal from now on.
pub(super) fn listen(signal: i32) -> io::Result<Listener> {
    let refused = [libc::SIGKILL, libc::SIGSTOP, libc::SIGILL, libc::SIGFPE, libc::SIGSEGV, libc::SIGBUS];
    if signal < 1 || signal >= SIGNALS as i32 || refused.contains(&signal) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "signal {signal} can't be listened for: it does not exist, can't be caught, or means that the program is broken"
            ),
        ));
    }
    let guard = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let post = take()?;
    // SAFETY: a post's eventfd is never closed.
    let fd = unsafe { BorrowedFd::borrow_raw(post.event) }.try_clone_to_owned()?;
    let mut old = [0u8; 8];
    // SAFETY: eight writable bytes. What an earlier listener left is not for this one.
    unsafe { libc::read(fd.as_raw_fd(), old.as_mut_ptr().cast(), 8) };
    let listener = Listener { fd, post: Leave(&post.signal) };
    // Relaxed: the handler does no more than write to an eventfd that is open in any case.
    post.signal.store(signal, Ordering::Relaxed);
    install(signal)?;
    drop(guard);
    Ok(listener)
}

/// A free post, or a new one. Under `INSTALLED`.
fn take() -> io::Result<&'static Post> {
    // Acquire: pairs with the Release of the listener that freed it.
    if let Some(free) = posts().find(|post| post.signal.load(Ordering::Acquire) == 0) {
        return Ok(free);
    }
    // SAFETY: no pointers; the descriptor is fresh, and given up to the post.
    let event = unsafe { owned(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
    let event = std::os::fd::IntoRawFd::into_raw_fd(event);
    let next = POSTS.load(Ordering::Relaxed).cast_const();
    let post = Box::leak(Box::new(Post { signal: AtomicI32::new(0), event, next }));
    // Release: pairs with the Acquire in `posts`.
    POSTS.store(&raw mut *post, Ordering::Release);
    Ok(post)
}

/// Installs the handler of a signal, once. Under `INSTALLED`.
fn install(signal: i32) -> io::Result<()> {
    let place = &EARLIER[signal as usize];
    if !place.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: `sigaction` is integers and a pointer; zeros are a value. Both structures are valid for the calls.
    unsafe {
        let mut earlier: libc::sigaction = mem::zeroed();
        check(libc::sigaction(signal, ptr::null(), &mut earlier))?;
        // Release: pairs with the Acquire in `on_signal`. Before the handler is, so it finds it.
        place.store(Box::leak(Box::new(earlier)), Ordering::Release);
        let mut ours: libc::sigaction = mem::zeroed();
        ours.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        check(libc::sigaction(signal, &ours, ptr::null_mut())).map(drop)
    }
}

/// A pidfd of a child that has not been waited for.
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is fresh (and has FD_CLOEXEC, as all pidfds do).
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        check(fd as c_int).map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// Sends a signal to the process of a pidfd.
pub(super) fn signal_pidfd(pidfd: RawFd, signal: i32) -> io::Result<()> {
    let none = ptr::null_mut::<siginfo_t>();
    // SAFETY: no information is handed over.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, none, 0) } as c_int).map(drop)
}
