//! The disk of the world: what a loss of power leaves, bits that rot, pages that left memory.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pirn::fs::{self, Advice, File, OpenOptions};
use pirn_sim::{Simulation, Verdict, crash_disk, rot_disk};

/// Runs a program for some seeds on a host that is called `host`.
fn seeds<F: Future<Output = ()> + 'static>(name: &str, program: impl Fn() -> F + Send + Sync + 'static) {
    let simulation = Simulation::new(name).host("host", program);
    for seed in 0..60 {
        let outcome = simulation.run(seed);
        assert!(matches!(outcome.verdict, Verdict::Pass), "{name} with seed {seed}: {:?}", outcome.verdict);
        if seed % 20 == 0 {
            let again = simulation.replay(&outcome.trace).expect("the same again");
            assert_eq!(outcome.digest, again.digest);
        }
    }
}

async fn sync(folder: &Path) {
    File::open(folder).await.expect("a folder").sync_all().await.expect("synced");
}

/// A folder whose name is on the medium.
async fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join("f");
    fs::create_dir(&folder).await.expect("a folder");
    sync(&std::env::temp_dir()).await;
    folder
}

async fn update(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(path).await.expect("a file")
}

/// Counts how often each of some outcomes was seen.
#[derive(Clone)]
struct Seen(Arc<[AtomicUsize; 4]>);

impl Seen {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn count(&self, outcome: usize) {
        self.0[outcome].fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self, outcomes: usize) {
        let seen: Vec<usize> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert!(seen[..outcomes].iter().all(|count| *count > 0), "seen: {seen:?}");
    }
}

#[test]
fn what_was_synced_survives_and_the_rest_may_be_torn() {
    let seen = Seen::new();
    let theirs = seen.clone();
    seeds("torn", move || {
        let seen = theirs.clone();
        async move {
            let folder = folder().await;
            let path = folder.join("a");
            let file = update(&path).await;
            file.write_all_at(&[1; 10_000], 0).await.expect("written");
            file.sync_data().await.expect("synced");
            sync(&folder).await;
            file.write_all_at(&[2; 6_000], 1_000).await.expect("written");
            drop(file);
            crash_disk("host");
            let bytes = fs::read(&path).await.expect("its name was synced");
            assert_eq!(bytes.len(), 10_000);
            assert!(
                bytes[..1_000].iter().chain(&bytes[7_000..]).all(|&byte| byte == 1),
                "synced bytes are lost"
            );
            let new = bytes[1_000..7_000].iter().filter(|&&byte| byte == 2).count();
            assert!(bytes[1_000..7_000].iter().all(|&byte| byte == 1 || byte == 2));
            seen.count(match new {
                0 => 0,
                6_000 => 1,
                _ => 2,
            });
        }
    });
    seen.all(3);
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let seen = Seen::new();
    let theirs = seen.clone();
    seeds("names", move || {
        let seen = theirs.clone();
        async move {
            let folder = folder().await;
            fs::write(folder.join("one"), "one").await.expect("written");
            sync(&folder).await;
            for name in ["two", "three"] {
                let file = update(&folder.join(name)).await;
                file.write_all_at(name.as_bytes(), 0).await.expect("written");
                file.sync_all().await.expect("synced");
            }
            crash_disk("host");
            assert!(fs::try_exists(folder.join("one")).await.expect("known"));
            let two = fs::try_exists(folder.join("two")).await.expect("known");
            let three = fs::try_exists(folder.join("three")).await.expect("known");
            assert!(two || !three, "names reach the medium in their order");
            for name in ["two", "three"] {
                if let Ok(bytes) = fs::read(folder.join(name)).await {
                    assert_eq!(bytes, name.as_bytes(), "content was synced");
                }
            }
            seen.count(usize::from(two) + usize::from(three));
        }
    });
    seen.all(3);
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let seen = Seen::new();
    let theirs = seen.clone();
    seeds("rename", move || {
        let seen = theirs.clone();
        async move {
            let folder = folder().await;
            let (old, new) = (folder.join("a"), folder.join("b"));
            for path in [&old, &new] {
                let file = update(path).await;
                let text = path.file_name().expect("a name").as_encoded_bytes();
                file.write_all_at(text, 0).await.expect("written");
                file.sync_all().await.expect("synced");
            }
            sync(&folder).await;
            fs::rename(&new, &old).await.expect("renamed");
            crash_disk("host");
            let held = fs::read(&old).await.expect("one of both has the name");
            let left = fs::try_exists(&new).await.expect("known");
            match held.as_slice() {
                b"a" => assert!(left, "the new file is lost"),
                b"b" => assert!(!left, "the new file has two names"),
                other => panic!("{other:?}"),
            }
            seen.count(usize::from(left));
        }
    });
    seen.all(2);
}

#[test]
fn a_bit_rots_on_the_medium() {
    seeds("rot", || async {
        let folder = folder().await;
        assert!(!rot_disk("host"), "nothing is on it");
        let file = update(&folder.join("a")).await;
        let bytes: Vec<u8> = (0..9_000_u32).map(|at| at as u8).collect();
        file.write_all_at(&bytes, 0).await.expect("written");
        file.sync_all().await.expect("synced");
        assert!(rot_disk("host"));
        file.advise(.., Advice::DontNeed).await.expect("advice");
        let mut seen = vec![0; 9_000];
        file.read_exact_at(&mut seen, 0).await.expect("it is readable");
        let turned: u32 = seen.iter().zip(&bytes).map(|(seen, was)| (seen ^ was).count_ones()).sum();
        assert_eq!(turned, 1);
    });
}

/// A file is cut, grows again and loses power: what was cut off never comes back as content.
#[test]
fn what_was_cut_off_does_not_come_back() {
    seeds("cut", || async {
        let folder = folder().await;
        let path = folder.join("a");
        let mut file = update(&path).await;
        file.write_all(&[7; 9_000]).await.expect("written");
        file.sync_all().await.expect("synced");
        sync(&folder).await;
        file.set_len(100).await.expect("cut");
        file.sync_all().await.expect("synced");
        file.set_len(9_000).await.expect("longer");
        file.seek(SeekFrom::Start(8_000)).await.expect("a seek");
        file.write_all(&[8; 1_000]).await.expect("written");
        drop(file);
        crash_disk("host");
        let bytes = fs::read(&path).await.expect("its name was synced");
        assert!(bytes.len() == 100 || bytes.len() == 9_000, "{}", bytes.len());
        let late = bytes.get(100..).unwrap_or_default();
        assert!(late.iter().all(|&byte| byte == 0 || byte == 8), "what was cut off is back");
    });
}

#[test]
fn a_socket_may_be_closed_while_a_file_op_is_in_flight() {
    seeds("file and socket", || async {
        let listener = pirn::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let file = update(&folder().await.join("a")).await;
        let syncing = pirn::spawn(async move { file.sync_all().await });
        pirn::yield_now().await;
        drop(listener);
        syncing.await.expect("no panic").expect("synced");
    });
}
