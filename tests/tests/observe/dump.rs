//! Dumps: what is in them, their files, what brings one about.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pirn::observe::{Dump, TaskState};
use pirn::signal::SignalKind;
use pirn::trace::Event;
use pirn::{Builder, Runtime};

use crate::alone::alone;
use crate::support::{PATIENCE, eventually, within, yields};

/// A folder of this test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pirn-observe-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a fresh folder");
        Self(path)
    }

    /// The dumps in it.
    fn dumps(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("readable").flatten().map(|entry| entry.path());
        let mut dumps: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "dump")).collect();
        dumps.sort();
        dumps
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A runtime with a past and a present, and its dump.
fn busy() -> (Runtime, Dump) {
    let runtime = Builder::new().workers(2).recorder(1_000).timing(true).build().unwrap();
    runtime.block_on(async {
        for _ in 0..20 {
            pirn::spawn(yields(3)).await.unwrap();
        }
        pirn::spawn(pirn::time::sleep(Duration::from_secs(600))).detach();
        pirn::time::sleep(Duration::from_millis(5)).await;
    });
    let dump = runtime.handle().dump("a test\twith a tab");
    (runtime, dump)
}

#[test]
fn a_dump_survives_its_file() {
    within(PATIENCE, || {
        let folder = Folder::new("file");
        let (_runtime, dump) = busy();
        let (one, two) = (dump.save_in(&folder.0).unwrap(), dump.save_in(&folder.0).unwrap());
        assert_eq!(folder.dumps().len(), 2, "the second of a second has a name of its own");
        for path in [one, two] {
            let mut loaded = Dump::load(path).unwrap();
            assert_eq!(loaded.reason, "a test with a tab");
            loaded.reason.clone_from(&dump.reason);
            assert_eq!(loaded, dump);
        }
        assert_eq!((dump.workers.len(), dump.os.is_empty()), (2, false));
        assert_eq!((dump.tasks.len(), dump.tasks[0].state), (1, TaskState::Idle));

        // Events have times, and spawns have places.
        // Who ran the tasks is up to the workers.
        let events = dump.workers.iter().flat_map(|worker| worker.events());
        let events: Vec<Event> = events.map(|event| event.unwrap()).collect();
        let mut times = events.iter().filter_map(|event| match event {
            Event::Clock { now } => Some(*now),
            _ => None,
        });
        assert!(times.clone().count() > 20 && times.all(|now| now <= dump.now));
        let site = events.iter().find_map(|event| match event {
            Event::Spawn { site, .. } => Some(*site),
            _ => None,
        });
        let site = dump.sites.iter().find(|known| Some(known.number) == site).expect("a spawn has a site");
        assert!(site.location.contains("dump.rs:") && !site.name.is_empty(), "{site:?}");
    });
}

#[test]
fn a_poll_has_its_time_in_the_recording() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(1).recorder(256).build().unwrap();
        runtime.block_on(async {
            pirn::spawn(async { super::hold(Duration::from_millis(20)) }).await.unwrap();
        });
        let dump = runtime.handle().dump("a test");
        let (mut now, mut began, mut longest) = (0, 0, 0);
        for event in dump.workers[0].events() {
            match event.unwrap() {
                Event::Clock { now: at } => {
                    assert!(at >= now, "time runs forward");
                    now = at;
                }
                Event::PollStart { .. } => began = now,
                Event::PollEnd { .. } => longest = longest.max(now - began),
                _ => {}
            }
        }
        assert!(longest >= 20_000_000, "{longest} ns");
    });
}

#[test]
fn what_is_no_dump_is_refused_with_a_reason() {
    let (_runtime, dump) = busy();
    let text = dump.to_string();
    let refused = |text: &str| Dump::parse(text).expect_err("it is damaged").to_string();
    for (bad, reason) in [
        ("", "empty"),
        ("{\"header\": 1}\n", "does not begin with `pirn-dump`"),
        ("pirn-dump\n", "is a number"),
        ("pirn-dump\t2\nnews\t7\nend\t2\n", "format 2"),
        ("pirn-dump\t1\ne\t1\t2\nend\t2\n", "no worker was named"),
        ("pirn-dump\t1\nworker\t1\t-\t-\nend\t2\n", "worker 0 belongs"),
        ("pirn-dump\t1\nworker\t0\t-\t-\ne\t1\tx\nend\t3\n", "line 3, record `e`: \"x\""),
        ("pirn-dump\t1\ntask\t1\tasleep\t-\t0\t-\tx\ty\nend\t2\n", "\"asleep\" is no state"),
        ("pirn-dump\t1\ntask\t1\tidle\t-\t0\nend\t2\n", "is missing"),
        ("pirn-dump\t1\nend\t1\nabout\tos\tx\n", "after the record `end`"),
    ] {
        assert!(refused(bad).contains(reason), "{bad:?}: {}", refused(bad));
    }
    // Cut off at any line.
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for cut in (0..lines.len()).step_by(1 + lines.len() / 50) {
        refused(&lines[..cut].concat());
    }
    // A line is missing in the middle.
    let hole = [&lines[..5], &lines[6..]].concat().concat();
    assert!(refused(&hole).contains("lines are missing"), "{}", refused(&hole));
    // A record of a later version is no harm, nor is an event.
    let count = lines.len() - 1;
    let more =
        text.replace(&format!("end\t{count}\n"), &format!("e\tff\t0\nweather\tfine\nend\t{}\n", count + 2));
    let later = Dump::parse(&more).expect("unknown records are skipped");
    assert!(later.workers[1].events().last().is_some_and(|event| event.is_err()));
    // Not even text.
    let folder = Folder::new("bad");
    let path = folder.0.join("noise");
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(Dump::load(&path).unwrap_err().to_string().contains("no dump"));
    assert!(Dump::load(folder.0.join("absent")).unwrap_err().to_string().contains("can't be read"));
    assert!(dump.save_in(folder.0.join("absent")).unwrap_err().to_string().contains("absent"));
}

#[test]
fn the_first_panic_leaves_a_dump() {
    within(PATIENCE, || {
        let folder = Folder::new("panic");
        let runtime = Builder::new().workers(2).recorder(256).dump_on_panic(&folder.0).build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                pirn::spawn(async { panic!("as asked for") }).await.unwrap_err();
            }
        });
        let dumps = folder.dumps();
        assert_eq!(dumps.len(), 1, "{dumps:?}");
        let dump = Dump::load(&dumps[0]).unwrap();
        assert!(
            dump.reason.starts_with("panic of task ") && dump.reason.contains("dump.rs:"),
            "{}",
            dump.reason
        );
        let name = dumps[0].file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.ends_with("-panic.dump"), "{name}");
    });
}

#[test]
fn a_signal_brings_a_dump_even_when_all_workers_are_stuck() {
    alone("observe::dump::a_signal_brings_a_dump_even_when_all_workers_are_stuck", || {
        let folder = Folder::new("signal");
        let kind = SignalKind::user_defined2();
        let runtime = Builder::new().workers(1).dump_on_signal(kind, &folder.0).build().unwrap();
        runtime.block_on(async {
            pirn::spawn(async move {
                for number in 1..=2 {
                    // SAFETY: no preconditions.
                    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
                    // The only worker is in this poll meanwhile.
                    let whole = |path: &PathBuf| Dump::load(path).is_ok();
                    eventually("a dump", || {
                        folder.dumps().iter().filter(|path| whole(path)).count() == number
                    });
                }
                let dump = Dump::load(&folder.dumps()[0]).unwrap();
                assert!(dump.workers[0].polling.is_some(), "{dump}");
                assert_eq!(dump.reason, format!("signal {}", kind.as_raw()));
            })
            .await
            .unwrap();
        });
    });
}

#[test]
fn a_signal_that_cant_be_caught_is_refused() {
    let kind = SignalKind::from_raw(libc::SIGKILL);
    let error = Builder::new().workers(1).dump_on_signal(kind, Path::new(".")).build().expect_err("SIGKILL");
    assert!(error.to_string().contains("dump_on_signal: signal 9"), "{error}");
}
