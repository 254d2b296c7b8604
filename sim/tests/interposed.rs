//! What a library may ask of libc on a simulated thread: the world serves it, or the run ends and says why.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::Duration;

use pirn_sim::{Simulation, Verdict};

fn simulation(program: impl Fn() + Send + Sync + 'static) -> Simulation {
    Simulation::new("libc").bare_host("a", program)
}

#[test]
fn clocks_and_sleeps_are_virtual_by_every_name() {
    let outcome = simulation(|| {
        let now = || {
            let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
            // SAFETY: a valid timeval, and no pointer for the others.
            let seconds = unsafe {
                libc::gettimeofday(&raw mut time, std::ptr::null_mut());
                libc::time(std::ptr::null_mut())
            };
            assert_eq!(seconds, time.tv_sec);
            time.tv_sec
        };
        let start = now();
        // SAFETY: valid timespecs and no descriptors.
        unsafe {
            libc::usleep(1_000_000);
            libc::sleep(10);
            libc::poll(std::ptr::null_mut(), 0, 100_000);
            let mut limit = libc::timeval { tv_sec: 1_000, tv_usec: 0 };
            let none = std::ptr::null_mut();
            libc::select(0, none, none, none, &raw mut limit);
            let span = libc::timespec { tv_sec: 10_000, tv_nsec: 0 };
            libc::syscall(libc::SYS_nanosleep, &raw const span, 0);
            let span = libc::timespec { tv_sec: 5_000, tv_nsec: 0 };
            libc::ppoll(std::ptr::null_mut(), 0, &raw const span, std::ptr::null());
            libc::syscall(libc::SYS_ppoll, 0, 0, &raw const span, 0, 0);
            let none = std::ptr::null_mut();
            libc::pselect(0, none, none, none, &raw const span, std::ptr::null());
        }
        std::thread::sleep(Duration::from_secs(50_000));
        let passed = now() - start;
        assert!((76_111..76_121).contains(&passed), "{passed} s passed");
    })
    .run(1);
    assert!(outcome.verdict.is_pass(), "{}", outcome.verdict);
}

#[test]
fn entropy_is_the_run_s_by_every_name() {
    let draw = || {
        let mut bytes = [[0u8; 16]; 3];
        // SAFETY: three buffers of 16 bytes.
        unsafe {
            libc::getrandom(bytes[0].as_mut_ptr().cast(), 16, 0);
            libc::getentropy(bytes[1].as_mut_ptr().cast(), 16);
            libc::syscall(libc::SYS_getrandom, bytes[2].as_mut_ptr(), 16, 0);
        }
        bytes
    };
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = std::sync::Arc::clone(&seen);
    let simulation = simulation(move || list.lock().unwrap().push(draw()));
    simulation.run(1);
    simulation.run(1);
    simulation.run(2);
    let seen = seen.lock().unwrap();
    // The first is the run that measures the length.
    let [.., one, again, two] = &seen[..] else { panic!("{} runs", seen.len()) };
    assert_eq!(one, again);
    assert_ne!(one, two);
    assert!(one[0] != one[1] && one[1] != one[2]);
}

#[test]
fn what_can_t_be_simulated_ends_the_run_with_its_name_and_caller() {
    fn fork() {
        // SAFETY: never gets as far. Its result is used, so that the call is no tail call and this function stays on the stack.
        std::hint::black_box(unsafe { libc::fork() });
    }
    fn check(result: std::ffi::c_int) {
        std::hint::black_box(result);
    }
    let cases: [(&str, fn()); 22] = [
        ("fork", fork),
        ("pthread_create", || drop(std::thread::spawn(|| {}))),
        ("posix_spawnp", || drop(Command::new("true").status())),
        ("posix_spawn,", || {
            use std::ptr::{null, null_mut};
            // SAFETY: never gets as far.
            check(unsafe { libc::posix_spawn(null_mut(), null(), null(), null(), null(), null()) });
        }),
        ("socket,", || drop(std::net::TcpStream::connect("127.0.0.1:9"))),
        ("socket,", || drop(std::net::UdpSocket::bind("127.0.0.1:0"))),
        ("socketpair,", || drop(std::os::unix::net::UnixStream::pair())),
        ("pipe2,", || drop(std::io::pipe())),
        // SAFETY: room for two descriptors.
        ("pipe,", || check(unsafe { libc::pipe([0; 2].as_mut_ptr()) })),
        ("getaddrinfo,", || drop(std::net::ToSocketAddrs::to_socket_addrs("localhost:80"))),
        // SAFETY: no pointers.
        ("epoll_create1,", || check(unsafe { libc::epoll_create1(0) })),
        // SAFETY: no pointers.
        ("eventfd,", || check(unsafe { libc::eventfd(0, 0) })),
        // SAFETY: no pointers.
        ("timerfd_create,", || check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) })),
        // SAFETY: no pointers.
        ("the system call socket,", || check(unsafe { libc::syscall(libc::SYS_socket, 2, 1, 0) } as _)),
        ("the system call epoll_create1,", || {
            // SAFETY: no pointers.
            check(unsafe { libc::syscall(libc::SYS_epoll_create1, 0) } as _);
        }),
        ("the system call io_uring_setup,", || {
            // SAFETY: no parameters to read.
            check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) } as _);
        }),
        ("open(\"/dev/random\")", || {
            // SAFETY: a terminated path.
            check(unsafe { libc::openat(libc::AT_FDCWD, c"/dev/random".as_ptr(), libc::O_RDONLY) });
        }),
        ("open(\"/dev/urandom\")", || {
            // SAFETY: terminated texts.
            std::hint::black_box(unsafe { libc::fopen(c"/dev/urandom".as_ptr(), c"r".as_ptr()) });
        }),
        ("select with descriptors", || {
            let none = std::ptr::null_mut();
            // SAFETY: no sets.
            check(unsafe { libc::select(1, none, none, none, none.cast()) });
        }),
        ("ppoll with descriptors", || {
            let mut fd = libc::pollfd { fd: 0, events: 0, revents: 0 };
            // SAFETY: one valid record.
            check(unsafe { libc::ppoll(&raw mut fd, 1, std::ptr::null(), std::ptr::null()) });
        }),
        ("open(\"/dev/urandom\")", || drop(std::fs::File::open("/dev/urandom"))),
        ("poll with descriptors", || {
            let mut fd = libc::pollfd { fd: 0, events: 0, revents: 0 };
            // SAFETY: one valid record.
            std::hint::black_box(unsafe { libc::poll(&raw mut fd, 1, 0) });
        }),
    ];
    for (call, program) in cases {
        match simulation(program).run(1).verdict {
            Verdict::Unsupported(text) => {
                assert!(text.contains(call), "{text}");
                assert!(text.contains("called from:") && text.contains("interposed::"), "{call}: {text}");
            }
            other => panic!("{call}: {other}"),
        }
    }
}

/// What a program sees that iterates over std's maps.
fn order() -> String {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let text = std::sync::Arc::clone(&seen);
    simulation(move || {
        let map: HashMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
        let set: HashSet<String> = (0..20).map(|n| n.to_string()).collect();
        *text.lock().unwrap() = format!("order {:?} {set:?}", map.keys().collect::<Vec<_>>());
    })
    .run(5);
    seen.lock().unwrap().clone()
}

#[test]
fn a_std_map_has_the_same_order_in_every_process() {
    let here = order();
    assert_eq!(order(), here);
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let there = String::from_utf8_lossy(&output.stdout);
        assert!(there.contains(&here), "here: {here}\nthere: {there}");
    }
}

#[test]
#[ignore = "the other process of the test above"]
fn child() {
    println!("{}", order());
}
