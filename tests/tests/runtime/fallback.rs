//! What becomes of a runtime where io_uring is refused: it runs on epoll, says why, and serves.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

use pirn::net::{TcpListener, TcpStream};
use pirn::{Backend, Builder};

use crate::alone::alone;

/// Has the kernel answer io_uring_setup with `errno`, for this process and for good.
fn refuse(errno: i32) {
    let statement = |code: u32, yes, no, k| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let mut program = [
        // The system call's number; is it that one? Then this errno, else let it pass.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
    // SAFETY: `filter` and the program it points to are alive.
    let set =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    assert_eq!(set, 0, "a filter: {}", std::io::Error::last_os_error());
}

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
    refuse(errno);
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
