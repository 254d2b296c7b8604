//! What becomes of a runtime where io_uring is refused: it runs on epoll, says why, and serves.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

use pirn::net::{TcpListener, TcpStream};
use pirn::{Backend, Builder};

use crate::alone::{alone, refuse};

/// What `f` writes to standard error.
fn said(f: impl FnOnce()) -> String {
    // SAFETY: the name is a C string; the descriptor is fresh.
    let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"said".as_ptr(), 0)) };
    // SAFETY: numbers only.
    let before = unsafe { libc::dup(2) };
    // SAFETY: numbers only.
    unsafe { libc::dup2(file.as_raw_fd(), 2) };
    f();
    // SAFETY: numbers only; `before` is closed once.
    unsafe { (libc::dup2(before, 2), libc::close(before)) };
    file.rewind().expect("a file in memory");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("text");
    text
}

/// Builds a runtime with all defaults, has it echo a little, and returns its backend's name.
fn serve() -> &'static str {
    let runtime = Builder::new().workers(2).build().expect("there is a backend left");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let server = pirn::spawn(async move {
            let (stream, _) = listener.accept().await.expect("accept");
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.expect("read");
            stream.write_all(&bytes).await.expect("write");
        });
        let client = TcpStream::connect(address).await.expect("connect");
        client.write_all(b"hello").await.expect("write");
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).await.expect("read");
        assert_eq!(&bytes, b"hello");
        server.await.expect("no panic");
    });
    runtime.handle().os().name()
}

fn falls_back(errno: i32, why: &str) {
    // SAFETY: this process runs one test on one thread.
    unsafe { std::env::remove_var("PIRN_BACKEND") };
    refuse(libc::SYS_io_uring_setup, errno);
    let error = pirn::os::uring().err().expect("it is refused");
    assert!(error.to_string().contains(why), "{error}");
    let error = Builder::new().backend(Backend::Uring).build().expect_err("it was asked for");
    assert!(error.to_string().contains(why), "{error}");
    let text = said(|| {
        assert_eq!(serve(), "epoll");
        assert_eq!(serve(), "epoll");
    });
    assert_eq!(text.matches("pirn:").count(), 1, "it is said once: {text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn a_filter_refuses_it() {
    alone("runtime::fallback::a_filter_refuses_it", || falls_back(libc::EPERM, "seccomp"));
}

#[test]
fn a_kernel_without_it() {
    alone("runtime::fallback::a_kernel_without_it", || falls_back(libc::ENOSYS, "no io_uring"));
}

/// Without a right to lock memory the kernel either counts a ring's pages against the limit, or does not count them.
#[test]
fn no_memory_may_be_locked() {
    alone("runtime::fallback::no_memory_may_be_locked", || {
        // SAFETY: this process runs one test on one thread.
        unsafe { std::env::remove_var("PIRN_BACKEND") };
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `none` is readable.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) }, 0);
        // SAFETY: numbers only. Who is nobody already stays nobody.
        unsafe { libc::setuid(65_534) };
        match pirn::os::uring() {
            Err(error) => {
                assert!(error.to_string().contains("ulimit"), "{error}");
                let text = said(|| assert_eq!(serve(), "epoll"));
                assert!(text.contains("ulimit -l"), "{text}");
            }
            Ok(_) => {
                serve();
            }
        }
    });
}

/// What the kernel answers where `kernel.io_uring_disabled` is set: EPERM, and the value can be read. The machine's own setting
/// stays as it is: this process sees another file in its place.
#[test]
fn switched_off_for_all() {
    alone("runtime::fallback::switched_off_for_all", || {
        if show_disabled("2") {
            falls_back(libc::EPERM, "kernel.io_uring_disabled = 2");
        }
    });
}

#[test]
fn kept_for_a_group() {
    alone("runtime::fallback::kept_for_a_group", || {
        if show_disabled("1") {
            falls_back(libc::EPERM, "kernel.io_uring_group");
        }
    });
}

const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// Puts a file over the setting, in a mount namespace of this process' own. False: not allowed here.
fn show_disabled(value: &str) -> bool {
    if !std::path::Path::new(DISABLED).exists() {
        println!("not run: this kernel has no {DISABLED}");
        return false;
    }
    let file = std::env::temp_dir().join(format!("pirn-disabled-{}", std::process::id()));
    std::fs::write(&file, value).expect("a file in the folder for such files");
    let source = std::ffi::CString::new(file.to_str().expect("a plain name")).expect("no zero byte");
    let target = std::ffi::CString::new(DISABLED).expect("no zero byte");
    let (root, none) = (c"/".as_ptr(), std::ptr::null());
    // SAFETY: the strings outlive the calls; null stands for the arguments that a bind mount has not.
    let shown = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
            && libc::mount(source.as_ptr(), target.as_ptr(), none, libc::MS_BIND, none.cast()) == 0
    };
    let refused = std::io::Error::last_os_error();
    // The mount holds the file.
    std::fs::remove_file(&file).expect("the file just made");
    match shown {
        true => assert_eq!(std::fs::read_to_string(DISABLED).expect("readable").trim(), value),
        false => println!("not run: no mounts for this process: {refused}"),
    }
    shown
}

/// The real setting, which is the whole machine's: only where PIRN_TEST_SYSCTL says that nobody else needs rings now.
#[test]
fn switched_off_by_the_machine() {
    /// Puts the setting back.
    struct Restore(String);

    impl Drop for Restore {
        fn drop(&mut self) {
            std::fs::write(DISABLED, &self.0).expect("the setting could be written before");
        }
    }

    alone("runtime::fallback::switched_off_by_the_machine", || {
        if std::env::var_os("PIRN_TEST_SYSCTL").is_none() {
            println!("not run: PIRN_TEST_SYSCTL is not set");
            return;
        }
        // SAFETY: this process runs one test on one thread.
        unsafe { std::env::remove_var("PIRN_BACKEND") };
        let before = std::fs::read_to_string(DISABLED).expect("this kernel has the setting");
        let restore = Restore(before);
        std::fs::write(DISABLED, "2").expect("the right to write it");
        let text = said(|| assert_eq!(serve(), "epoll"));
        drop(restore);
        assert!(text.contains("kernel.io_uring_disabled = 2"), "{text}");
    });
}

/// The first rings can be had and a later one not, for want of descriptors, of which a ring's worker needs more than an epoll set's.
#[test]
fn a_later_ring_is_refused() {
    const WORKERS: u64 = 8;
    alone("runtime::fallback::a_later_ring_is_refused", || {
        // SAFETY: this process runs one test on one thread.
        unsafe { std::env::remove_var("PIRN_BACKEND") };
        if pirn::os::uring().is_err() {
            println!("not run: no rings here");
            return;
        }
        let before = crate::alone::descriptors() as u64;
        let needs = |backend| {
            let runtime =
                Builder::new().workers(WORKERS as usize).backend(backend).build().expect("no limit yet");
            let count = crate::alone::descriptors() as u64 - before;
            drop(runtime);
            count
        };
        let (rings, sets) = (needs(Backend::Uring), needs(Backend::Epoll));
        assert!(
            rings > sets,
            "{rings} descriptors for rings, {sets} for epoll sets: another limit must be found"
        );
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is writable.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        limit.rlim_cur = before + rings + 2;
        // Down to where one is missing.
        let error = loop {
            // SAFETY: `limit` is readable.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
            match Builder::new().workers(WORKERS as usize).backend(Backend::Uring).build() {
                Ok(runtime) => drop(runtime),
                Err(error) => break error,
            }
            limit.rlim_cur -= 1;
        };
        assert!(pirn::os::uring().is_ok(), "one ring can be had");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        assert_eq!(crate::alone::descriptors() as u64, before, "the rings that were made are closed");
        let text = said(|| {
            let runtime = Builder::new().workers(WORKERS as usize).build().expect("there is a backend left");
            assert_eq!(runtime.handle().os().name(), "epoll");
            let task = runtime.block_on(async { pirn::spawn(async { 7 }).await });
            assert_eq!(task.expect("no panic"), 7);
        });
        assert_eq!(text.matches("pirn: runs on epoll").count(), 1, "{text}");
        assert!(text.contains("ulimit -n"), "{text}");
    });
}
