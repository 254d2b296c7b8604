//! Thread-local blocks for simulated threads.
//!
//! A simulated thread has to have thread-locals of its own: a `RefCell` borrowed across a switch, parking_lot's
//! thread data and the panic count would otherwise be shared with its peers. On x86-64 the thread pointer is the FS base:
//! *donors*, parked OS threads, lend their blocks, and the world sets the FS base before each resume.
//!
//! The executable's own segment (PT_TLS, right below the thread pointer: all Rust thread-locals of a statically
//! linked program) is put back to a fresh image before each simulated thread starts. Thread-locals of shared libraries (malloc's
//! cache, errno) stay the donor's own.
//!
//! Elsewhere than on x86-64, [`SEPARATE`] is false: all simulated threads of a job share the thread-locals of the OS
//! thread that runs it; only the runtime's context is swapped. User thread-locals and panics across a switch are then not true to life.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether simulated threads have thread-local blocks of their own.
pub(crate) const SEPARATE: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));

/// A thread-local block: the thread pointer that names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block(usize);

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod arch {
    use super::{AtomicUsize, Ordering};
    use core::arch::asm;

    const UNKNOWN: usize = 0;
    const INSTRUCTION: usize = 1;
    const SYSTEM_CALL: usize = 2;
    /// HWCAP2_FSGSBASE of the x86 auxiliary vector.
    const FSGSBASE: u64 = 1 << 1;
    const ARCH_SET_FS: usize = 0x1002;

    static WAY: AtomicUsize = AtomicUsize::new(UNKNOWN);

    #[cold]
    fn find_way() -> usize {
        // SAFETY: getauxval has no preconditions.
        let fsgsbase = unsafe { libc::getauxval(libc::AT_HWCAP2) } & FSGSBASE != 0;
        let way = if fsgsbase { INSTRUCTION } else { SYSTEM_CALL };
        WAY.store(way, Ordering::Relaxed);
        way
    }

    /// The thread pointer: the ABI keeps it in the first word of the block, too.
    #[inline]
    pub(super) fn get() -> usize {
        let pointer: usize;
        // SAFETY: on x86-64 Linux fs:0 holds the address of the thread control block.
        unsafe {
            asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags));
        }
        pointer
    }

    /// # Safety
    /// `pointer` is the thread pointer of a live thread, and the caller holds no address of a thread-local.
    #[inline(always)]
    pub(super) unsafe fn set(pointer: usize) {
        let way = WAY.load(Ordering::Relaxed);
        if way == INSTRUCTION {
            // SAFETY: the kernel announced FSGSBASE; the pointer is the caller's duty.
            unsafe { asm!("wrfsbase {}", in(reg) pointer, options(nostack, preserves_flags)) };
        } else {
            // SAFETY: as above.
            unsafe { set_slowly(pointer) };
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn set_slowly(pointer: usize) {
        if WAY.load(Ordering::Relaxed) == UNKNOWN && find_way() == INSTRUCTION {
            // SAFETY: as in `set`.
            unsafe { asm!("wrfsbase {}", in(reg) pointer, options(nostack, preserves_flags)) };
            return;
        }
        // SAFETY: arch_prctl(ARCH_SET_FS) changes the FS base and nothing else.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") libc::SYS_arch_prctl => _,
                in("rdi") ARCH_SET_FS,
                in("rsi") pointer,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod arch {
    pub(super) fn get() -> usize {
        0
    }

    pub(super) unsafe fn set(_pointer: usize) {}
}

impl Block {
    /// The block of the calling thread.
    pub(crate) fn current() -> Self {
        Self(arch::get())
    }

    /// Makes this block the calling thread's.
    ///
    /// # Safety
    /// The block's own thread is parked or is the caller, and no address of a thread-local is held across the call.
    #[inline(always)]
    pub(crate) unsafe fn enter(self) {
        // SAFETY: the caller's duty.
        unsafe { arch::set(self.0) }
    }

    /// A block of a new donor thread, which sleeps for ever. Its executable's segment is as in a new thread.
    pub(crate) fn donor() -> std::io::Result<Self> {
        if !SEPARATE {
            return Ok(Self(0));
        }
        static LENT: AtomicUsize = AtomicUsize::new(0);
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

        extern "C" fn sleep_for_ever(_: *mut libc::c_void) -> *mut libc::c_void {
            // Pairs with the Acquire below: the block is complete.
            LENT.store(arch::get(), Ordering::Release);
            loop {
                // SAFETY: no arguments; signals are blocked, and the call, which is not interposed, touches no Rust thread-local.
                unsafe { libc::pause() };
            }
        }

        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        LENT.store(0, Ordering::Relaxed);
        // SAFETY: plain pthread calls on locals; the thread body is a valid function for ever. Signals are blocked
        // around the creation, so that the donor (which inherits the mask) never runs a handler.
        let result = unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let mut attributes = std::mem::zeroed();
            libc::pthread_attr_init(&raw mut attributes);
            libc::pthread_attr_setstacksize(&raw mut attributes, 128 * 1024);
            libc::pthread_attr_setdetachstate(&raw mut attributes, libc::PTHREAD_CREATE_DETACHED);
            let mut thread = std::mem::zeroed();
            let result = libc::pthread_create(
                &raw mut thread,
                &raw const attributes,
                sleep_for_ever,
                std::ptr::null_mut(),
            );
            libc::pthread_attr_destroy(&raw mut attributes);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            result
        };
        if result != 0 {
            let error = std::io::Error::from_raw_os_error(result);
            return Err(std::io::Error::new(
                error.kind(),
                format!("no donor thread for a simulated one: {error}; raise `ulimit -u` or use fewer jobs"),
            ));
        }
        loop {
            match LENT.load(Ordering::Acquire) {
                0 => std::thread::yield_now(),
                pointer => return Ok(Self(pointer)),
            }
        }
    }
}

/// A copy of the executable's thread-local segment.
#[derive(Debug)]
pub(crate) struct Image {
    /// From the segment's first byte up to the thread pointer.
    below: usize,
    bytes: Vec<u8>,
}

impl Image {
    /// The segment of `donor` as it is now.
    ///
    /// # Safety
    /// The donor's thread is parked.
    pub(crate) unsafe fn of(donor: Block) -> Self {
        let (below, size) = if SEPARATE { segment() } else { (0, 0) };
        let mut bytes = vec![0; size];
        // SAFETY: the segment lies `below` bytes under each thread pointer and is `size` bytes long; its thread is parked.
        unsafe {
            std::ptr::copy_nonoverlapping(
                (donor.0.wrapping_sub(below)) as *const u8,
                bytes.as_mut_ptr(),
                size,
            );
        }
        Self { below, bytes }
    }

    /// Makes the segment of `block` equal to this image.
    ///
    /// # Safety
    /// The block's thread is parked, no simulated thread uses the block, and what lives in it may be forgotten.
    #[inline]
    pub(crate) unsafe fn restore(&self, block: Block) {
        // SAFETY: as in `of`, and the caller's duty.
        unsafe {
            let to = block.0.wrapping_sub(self.below) as *mut u8;
            std::ptr::copy_nonoverlapping(self.bytes.as_ptr(), to, self.bytes.len());
        }
    }
}

/// Distance below the thread pointer and size of the executable's segment, from the first entry of
/// `dl_iterate_phdr`, which is the executable.
fn segment() -> (usize, usize) {
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        into: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader passes a valid record; `into` is the pair below.
        unsafe {
            let info = &*info;
            let into = &mut *into.cast::<(usize, usize)>();
            for at in 0..usize::from(info.dlpi_phnum) {
                let header = &*info.dlpi_phdr.add(at);
                if header.p_type == libc::PT_TLS && !info.dlpi_tls_data.is_null() {
                    *into = (arch::get() - info.dlpi_tls_data as usize, header.p_memsz as usize);
                }
            }
        }
        1
    }
    let mut found = (0, 0);
    // SAFETY: `visit` matches the expected signature and `found` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found
}
