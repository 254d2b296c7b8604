//! Groups of workers and tasks that hop between them, live.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream, UdpSocket};
use pirn::{Builder, GroupSpec, Handle, HopError, Runtime, Topology, hop};

use crate::process::backends;

fn topologies() -> Vec<Topology> {
    vec![
        Topology::stealing(2),
        Topology::per_core(3),
        Topology::stages([("accept", 1), ("read", 2), ("respond", 1)]),
        Topology::dispatcher(1, 2),
        Topology::stealing(2).with_slow(1),
        Topology::groups([GroupSpec::new("main", 1), GroupSpec::new("rest", 3).steals(false)]),
    ]
}

fn build(topology: Topology) -> Runtime {
    Builder::new().topology(topology).build().expect("a runtime")
}

/// The threads that a task in a group was seen on.
async fn threads(group: &pirn::Group) -> BTreeSet<String> {
    let seen = (0..50).map(|_| group.spawn(async { format!("{:?}", thread::current().id()) }));
    let mut threads = BTreeSet::new();
    for task in seen.collect::<Vec<_>>() {
        threads.insert(task.await.expect("it ran"));
    }
    threads
}

#[test]
fn groups_share_no_worker() {
    for topology in topologies() {
        build(topology).block_on(async {
            let mut all = BTreeSet::new();
            for group in Handle::current().groups() {
                let threads = threads(&group).await;
                assert!((1..=group.workers()).contains(&threads.len()), "{group:?}: {threads:?}");
                for thread in threads {
                    assert!(all.insert(thread), "{group:?} shares a thread with another group");
                }
            }
        });
    }
}

#[test]
fn a_hop_goes_there_and_back() {
    build(Topology::stages([("one", 1), ("two", 1)])).block_on(async {
        let [one, two] = ["one", "two"].map(|name| Handle::current().group(name).expect("a group"));
        let here = thread::current().id();
        let task = pirn::spawn(async move {
            let mut seen: Vec<ThreadId> = Vec::new();
            for _ in 0..100 {
                for group in [&one, &two] {
                    hop(group).await.expect("it may move");
                    // Already there.
                    hop(group).await.expect("it may stay");
                    seen.push(thread::current().id());
                }
            }
            seen
        });
        let seen = task.await.expect("it ends");
        assert!(seen.iter().step_by(2).all(|thread| *thread == here), "the first group is the main future's");
        assert!(seen.iter().skip(1).step_by(2).all(|thread| *thread == seen[1] && *thread != here));
    });
}

#[test]
fn who_may_not_move_is_told_so() {
    build(Topology::per_core(2)).block_on(async {
        let there = Handle::current().group("core1").expect("a group");
        assert_eq!(hop(&there).await, Err(HopError::Pinned));
        let group = there.clone();
        let pinned = pirn::spawn_local(async move { hop(&group).await });
        assert_eq!(pinned.await.expect("it ran"), Err(HopError::Pinned));
        let other = thread::spawn(|| build(Topology::per_core(2)));
        let other = other.join().expect("a runtime");
        let foreign = other.handle().group("core1").expect("a group");
        let task = pirn::spawn(async move { hop(&foreign).await });
        assert_eq!(task.await.expect("it ran"), Err(HopError::OtherRuntime));
        thread::spawn(move || drop(other)).join().expect("it shuts down");
    });
}

#[test]
fn impossible_groups_are_named() {
    let error = |builder: Builder| builder.build().expect_err("it is impossible").to_string();
    let of = |groups: Vec<GroupSpec>| Builder::new().topology(Topology::groups(groups));
    let cases = [
        (of(vec![]), "workers(0)"),
        (of(vec![GroupSpec::new("a", 1), GroupSpec::new("b", 0)]), "\"b\" has 0 workers"),
        (of(vec![GroupSpec::new("a", 1), GroupSpec::new("a", 1)]), "two groups are called \"a\""),
        (of(vec![GroupSpec::new("a", 4096)]), "workers(4096)"),
        (of(vec![GroupSpec::new("a", usize::MAX), GroupSpec::new("b", 2)]), "1 to 4095 workers"),
        (of(vec![GroupSpec::new("a", 1).carries_io(false)]), "no group carries I/O"),
        (Builder::new().workers(2).topology(Topology::per_core(2)), "choose one"),
    ];
    for (builder, says) in cases {
        let error = error(builder);
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
    let unknown =
        build(Topology::per_core(2)).handle().group("core7").expect_err("there are two").to_string();
    assert!(unknown.contains("core7") && unknown.contains("core0, core1"), "{unknown}");
}

/// Sockets go on working wherever their task goes.
#[test]
fn connections_survive_hops_in_every_topology() {
    for backend in backends() {
        for topology in topologies() {
            let runtime = Builder::new().topology(topology).backend(backend).build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
                let address = listener.local_addr().expect("address");
                let groups = Handle::current().groups();
                let clients: Vec<_> = (0..4)
                    .map(|number| {
                        let groups = groups.clone();
                        pirn::spawn(async move {
                            let stream = TcpStream::connect(address).await?;
                            for round in 0..40_usize {
                                hop(&groups[(number + round) % groups.len()]).await.expect("it may move");
                                stream.write_all(&[round as u8; 100]).await?;
                                let mut back = [0; 100];
                                stream.read_exact(&mut back).await?;
                                assert_eq!(back, [round as u8; 100]);
                            }
                            std::io::Result::Ok(())
                        })
                    })
                    .collect();
                for _ in 0..clients.len() {
                    let (stream, _) = listener.accept().await.expect("accept");
                    let groups = groups.clone();
                    pirn::spawn(async move {
                        let mut bytes = [0; 256];
                        for round in 0.. {
                            let Ok(count @ 1..) = stream.read(&mut bytes).await else { break };
                            hop(&groups[round % groups.len()]).await.expect("it may move");
                            stream.write_all(&bytes[..count]).await.expect("write");
                        }
                    })
                    .detach();
                }
                for client in clients {
                    client.await.expect("it ends").expect("no I/O error");
                }
            });
        }
    }
}

/// Where a group carries no I/O, what its tasks wait for waits elsewhere.
#[test]
fn a_dispatcher_has_all_ops() {
    for backend in backends() {
        let topology = Topology::dispatcher(1, 2);
        let runtime = Builder::new().topology(topology).backend(backend).build().expect("a runtime");
        let handle = runtime.handle();
        runtime.block_on(async {
            let waits: Vec<_> = (0..8)
                .map(|_| {
                    pirn::spawn(async {
                        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
                        socket.recv(&mut [0]).await
                    })
                })
                .collect();
            let io = handle.group("io").expect("a group").seats();
            let in_flight = |seats: core::ops::Range<usize>| -> usize {
                handle.metrics().workers[seats].iter().map(|worker| worker.ops_in_flight).sum()
            };
            while in_flight(io.clone()) < waits.len() {
                pirn::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(in_flight(handle.group("compute").expect("a group").seats()), 0);
            waits.iter().for_each(pirn::task::JoinHandle::abort);
        });
    }
}

/// Each of two joined hops comes to its end, one behind the other; neither takes the other back for ever.
#[test]
fn joined_hops_both_arrive() {
    build(Topology::per_core(3)).block_on(async {
        let groups: Arc<[pirn::Group]> = Handle::current().groups().into();
        let task = pirn::spawn(async move {
            for at in 0..60 {
                let (one, two) = (&groups[at % 3], &groups[(at / 3 + at) % 3]);
                let joined = futures_lite::future::zip(hop(one), hop(two)).await;
                assert_eq!(joined, (Ok(()), Ok(())));
            }
        });
        pirn::time::timeout(crate::support::PATIENCE, task).await.expect("no livelock").expect("it ends");
    });
}

#[test]
fn a_dropped_hop_moves_nothing() {
    build(Topology::per_core(2)).block_on(async {
        let there = Handle::current().group("core1").expect("a group");
        let task = pirn::spawn(async move {
            let before = thread::current().id();
            for _ in 0..100 {
                assert!(futures_lite::future::poll_once(hop(&there)).await.is_none(), "it is elsewhere");
                pirn::yield_now().await;
                pirn::time::sleep(Duration::from_micros(10)).await;
                assert_eq!(thread::current().id(), before);
            }
        });
        task.await.expect("it stays");
    });
}

/// The CPUs that the calling thread may use.
fn cpus() -> Vec<usize> {
    pirn::Handle::current().os().cpus()
}

#[test]
fn pinned_groups_run_on_their_cpus() {
    let any = pirn::os::epoll().expect("epoll").cpus();
    let (first, last) = (any[0], any[any.len() - 1]);
    let groups = [GroupSpec::new("first", 1).cpus([first]), GroupSpec::new("last", 2).cpus([last])];
    let runtime = build(Topology::groups(groups));
    let outside = runtime.handle().os().cpus();
    runtime.block_on(async {
        let there = Handle::current().group("last").expect("a group");
        assert_eq!(cpus(), [first]);
        assert_eq!(there.spawn(async { cpus() }).await.expect("it ran"), [last]);
        let blocking = pirn::spawn_blocking(|| pirn::os::epoll().expect("epoll").cpus());
        assert_eq!(blocking.await.expect("it ran"), any, "a thread of the blocking pool is pinned");
    });
    assert_eq!(runtime.handle().os().cpus(), outside, "the thread stays pinned after block_on");
    let absent = any.iter().max().expect("one at least") + 1000;
    let spec = Topology::groups([GroupSpec::new("far", 1).cpus([absent])]);
    let error = Builder::new().topology(spec).build().expect_err("it is not there").to_string();
    assert!(error.contains("far") && error.contains(&absent.to_string()), "{error}");
}

/// A runtime ends with tasks on their way from group to group; every future is dropped.
#[test]
fn a_shutdown_ends_hopping_tasks() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for topology in topologies() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let runtime = build(topology);
        let groups: Arc<[pirn::Group]> = runtime.handle().groups().into();
        for at in 0..20 {
            let (counted, groups) = (Counted(dropped.clone()), groups.clone());
            let group = groups[at % groups.len()].clone();
            group
                .spawn(async move {
                    let _counted = counted;
                    for round in at.. {
                        hop(&groups[round % groups.len()]).await.expect("it may move");
                        pirn::yield_now().await;
                    }
                })
                .detach();
        }
        runtime.block_on(async { pirn::time::sleep(Duration::from_millis(5)).await });
        runtime.shutdown_timeout(Duration::from_secs(30)).expect("it ends");
        assert_eq!(dropped.load(Ordering::SeqCst), 20);
    }
}
