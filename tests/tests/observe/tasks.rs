//! The list of all tasks.

use std::sync::mpsc;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::observe::{TaskInfo, TaskState};
use pirn::{Builder, Handle};

use crate::support::{PATIENCE, eventually, within, yields};

fn find(handle: &Handle, id: u64) -> TaskInfo {
    let tasks = handle.tasks();
    tasks.into_iter().find(|task| task.id.get() == id).expect("the task is listed")
}

#[test]
fn a_task_says_where_it_is_from_and_what_it_waits_for() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).timing(true).build().unwrap();
        let handle = runtime.handle();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (near, _) = listener.accept().await.unwrap();
            let line = line!() + 1;
            let reads = pirn::spawn(async move { drop(near.read(&mut [0; 8]).await) });
            let naps = pirn::spawn(pirn::time::sleep(Duration::from_secs(600)));
            let (keep, lost) = async_channel::bounded::<()>(1);
            let waits = pirn::spawn_local(async move { lost.recv().await });
            let ended = pirn::spawn(yields(1));
            let ended_id = ended.id();
            ended.await.unwrap();
            while handle.tasks().iter().filter(|task| task.state == TaskState::Idle).count() < 3 {
                pirn::time::sleep(Duration::from_millis(1)).await;
            }

            let task = find(&handle, reads.id().get());
            assert_eq!(task.spawned_at.split(':').nth(1), Some(line.to_string().as_str()), "{task}");
            assert!(task.name.contains("a_task_says_where"), "{task}");
            assert!(task.waits.len() == 1 && task.waits[0].starts_with("to read descriptor "), "{task}");
            assert!(task.since.is_some_and(|since| since < PATIENCE) && !task.pinned, "{task}");
            let task = find(&handle, naps.id().get());
            let left = task.waits[0].strip_prefix("for a timer in ").and_then(|left| left.strip_suffix('s'));
            let left: f64 = left.and_then(|left| left.parse().ok()).unwrap_or_else(|| panic!("{task}"));
            assert!((500.0..=600.0).contains(&left), "{task}");
            assert!(task.to_string().contains(" idle for "), "{task}");
            let task = find(&handle, waits.id().get());
            assert!(task.pinned && task.waits.is_empty() && task.worker == 0, "{task}");
            assert!(handle.tasks().iter().all(|task| task.id != ended_id));
            drop((keep, far));
            reads.await.unwrap();
        });
    });
}

#[test]
fn a_worker_that_is_stuck_is_not_waited_for() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).timing(true).build().unwrap();
        let handle = runtime.handle();
        let (go, wait) = mpsc::channel::<()>();
        // In its first poll, on a worker that has other tasks.
        let stuck = runtime.spawn(async move { wait.recv().unwrap() });
        let id = stuck.id();
        let running = || handle.tasks().iter().any(|task| task.id == id && task.state == TaskState::Running);
        eventually("the task runs", running);
        let dump = handle.dump("a test");
        let busy = dump.workers.iter().find(|worker| worker.polling == Some(Some(id)));
        assert!(busy.is_some_and(|worker| worker.since.is_some()), "{dump}");
        go.send(()).unwrap();
        runtime.block_on(stuck).unwrap();
        assert_eq!(handle.tasks(), []);
    });
}

#[test]
fn walks_meet_spawns_and_ends() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(3).build().unwrap();
        let handle = runtime.handle();
        let done = runtime.spawn(async {
            for _ in 0..500 {
                let tasks: Vec<_> = (0..10).map(|n| pirn::spawn(yields(n))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
        });
        let mut seen = 0;
        while !done.is_finished() {
            let tasks = handle.tasks();
            assert!(tasks.len() <= 11 && tasks.is_sorted_by_key(|task| task.id), "{tasks:?}");
            seen += tasks.len();
        }
        assert!(seen > 0 || done.is_finished());
        runtime.block_on(done).unwrap();
        assert_eq!(handle.tasks(), []);
    });
}
