//! Hot requests beside cold ones: `pirn-bench-cold measure <server> <folder> <rate> <percent> <seconds>` starts a server as a child and prints
//! its figures; `pirn-bench-cold disk <folder>` says how fast the folder's disk is.

use std::path::Path;
use std::process::ExitCode;

mod cores;
mod disk;
mod load;
mod pools;
#[path = "../../src/urgent.rs"]
mod urgent;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["disk", folder] => disk::speed(Path::new(folder)),
        ["serve", server, folder] => serve(server, Path::new(folder)),
        ["measure", server, folder, rate, percent, seconds] => {
            match (rate.parse(), percent.parse(), seconds.parse()) {
                (Ok(rate @ 1..=100_000), Ok(percent @ 0..=50), Ok(seconds)) => {
                    let plan = load::Plan { rate, percent, seconds };
                    load::measure(server, Path::new(folder), &plan)
                }
                _ => return usage(),
            }
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: pirn-bench-cold disk <folder> | measure <server> <folder> <rate: 1 to 100000> <percent: 0 to 50> <seconds>"
    );
    ExitCode::from(2)
}

/// Serves until its standard input ends.
fn serve(server: &str, folder: &Path) -> Result<(), String> {
    match server.split_once('-') {
        _ if server == "tokio" => pools::tokio(folder),
        _ if server == "smol" => pools::smol(folder),
        _ if server == "monoio" => cores::monoio(folder),
        _ if server == "compio" => cores::compio(folder),
        _ if server == "glommio" => cores::glommio(folder),
        Some(("pirn", how)) => pools::pirn(folder, how),
        _ => Err(format!("there is no server `{server}`")),
    }
}

/// What a request asks for: 8 bytes, kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// So many bytes of the hot file, from here on.
    Hot(u64),
    /// A whole cold file.
    Cold(usize),
}

/// Bytes of a request.
const ASKS: usize = 8;
/// Bytes of an answer: the first of what was read.
const ANSWER: usize = 64;

impl Request {
    fn bytes(self) -> [u8; ASKS] {
        let (kind, number) = match self {
            Self::Hot(place) => (0_u32, place as u32),
            Self::Cold(file) => (1, file as u32),
        };
        let mut bytes = [0; ASKS];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        if word(0) == 0 { Self::Hot(u64::from(word(4))) } else { Self::Cold(word(4) as usize) }
    }
}

/// The server's side: prints its addresses, and ends the process when its input does. `cpu` asks for the CPU time so far.
fn announce(addresses: &[std::net::SocketAddr]) {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    println!("{}", list.join(" "));
    std::thread::spawn(|| {
        for line in std::io::stdin().lines() {
            match line.as_deref() {
                Ok("cpu") => println!("{}", cpu_seconds()),
                _ => break,
            }
        }
        std::process::exit(0);
    });
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
