//! The files of a soak: those that stay as they are, and those that are changed, removed, and pushed out of the page cache meanwhile.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// A file and what is in it.
#[derive(Clone)]
pub(super) struct Known {
    /// As it is asked for.
    pub(super) path: String,
    pub(super) content: Arc<Vec<u8>>,
}

/// A kind of file: name, how many, bytes.
type Kind = (&'static str, usize, usize);
const SMALL: Kind = ("small", 64, 1 << 10);
const MEDIUM: Kind = ("medium", 16, 64 << 10);
const LARGE: Kind = ("large", 2, 8 << 20);
const COLD: Kind = ("cold", 16, 1 << 20);
/// Files that come and go, and bytes that they have at most.
const CHANGING: (usize, usize) = (16, 256 << 10);
/// Between two acts of the meddler.
const PAUSE: Duration = Duration::from_millis(5);

/// A folder with files.
pub(super) struct Site {
    folder: PathBuf,
    /// What is served.
    pub(super) root: PathBuf,
    /// Files that nobody changes.
    pub(super) known: Vec<Known>,
}

impl Site {
    pub(super) fn create() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("pirn-soak-{}", std::process::id()));
        let root = folder.join("site");
        fs::create_dir_all(&root)?;
        let mut site = Self { folder, root, known: Vec::new() };
        for (kind, count, bytes) in [SMALL, MEDIUM, LARGE, COLD] {
            for number in 0..count {
                let seed = site.known.len();
                let content: Vec<u8> = (0..bytes).map(|at| (at % 251 + seed) as u8).collect();
                fs::write(site.root.join(format!("{kind}-{number}.bin")), &content)?;
                site.known.push(Known { path: format!("/{kind}-{number}.bin"), content: Arc::new(content) });
            }
        }
        Ok(site)
    }

    /// One of the large files.
    pub(super) fn large(&self, number: usize) -> Known {
        let first = SMALL.1 + MEDIUM.1;
        self.known[first + number % LARGE.1].clone()
    }

    /// A file that may be there or not, and may change while it is read.
    pub(super) fn changing(number: u64) -> String {
        format!("/changing-{}.bin", number % CHANGING.0 as u64)
    }

    /// Changes, removes and replaces files, and pushes cold ones out of the page cache.
    pub(super) fn meddle(&self, over: &AtomicBool) {
        let mut number = 0;
        while !over.load(Relaxed) {
            number += 1;
            let path = self.root.join(&Self::changing(number / 4)[1..]);
            // What fails here does so for want of a file that an earlier act removed.
            let _ = match number % 4 {
                0 => fs::write(&path, vec![number as u8; (number as usize * 7_919) % CHANGING.1]),
                1 => File::options().write(true).open(&path).and_then(|file| file.set_len(number % 1_000)),
                2 => self.replace(&path, number),
                _ => fs::remove_file(&path),
            };
            let cold = self.root.join(format!("{}-{}.bin", COLD.0, number as usize % COLD.1));
            if let Ok(file) = File::open(cold) {
                // SAFETY: a plain call on an open descriptor.
                unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            }
            thread::sleep(PAUSE);
        }
    }

    /// Another file under the same name, at once.
    fn replace(&self, path: &PathBuf, number: u64) -> io::Result<()> {
        let fresh = self.folder.join("fresh");
        File::create(&fresh)?.write_all(&vec![number as u8; 10_000])?;
        fs::rename(fresh, path)
    }

    /// wrk over small, medium and, now and then, large files; `None` where it is not installed.
    pub(super) fn wrk(&self, address: SocketAddr, connections: usize, seconds: &str) -> Option<Child> {
        let script = format!(
            "local n = 0\nfunction request()\n n = n + 1\n if n % 500 == 0 then return wrk.format(nil, '/large-' .. (n % {}) .. '.bin') end\n\
             if n % 16 == 0 then return wrk.format(nil, '/medium-' .. (n % {}) .. '.bin') end\n return wrk.format(nil, '/small-' .. (n % {}) .. '.bin')\nend\n",
            LARGE.1, MEDIUM.1, SMALL.1
        );
        let path = self.folder.join("wrk.lua");
        fs::write(&path, script).ok()?;
        Command::new("wrk")
            .args(["-t1", "-c", &connections.to_string(), "-d", seconds, "--timeout", "60s", "-s"])
            .arg(path)
            .arg(format!("http://{address}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    }

    /// h2load over small and medium files; `None` where it is not installed.
    pub(super) fn h2load(&self, address: SocketAddr, connections: usize, seconds: &str) -> Option<Child> {
        let paths =
            (0..8).flat_map(|number| [format!("/small-{number}.bin"), format!("/medium-{number}.bin")]);
        Command::new("h2load")
            .args(["-D", seconds, "-c", &connections.max(1).to_string(), "-m", "8"])
            .args(paths.map(|path| format!("http://{address}{path}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
