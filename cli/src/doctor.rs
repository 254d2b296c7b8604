//! `pirn doctor`: what this machine offers, what Pirn will use, and why.

use std::io;

use crate::failure::Failure;
use crate::probe;

/// Descriptors that a server with ten thousand connections wants.
const DESCRIPTORS_WANTED: u64 = 16_384;

pub(crate) fn doctor() -> Result<(), Failure> {
    let mut advice = Vec::new();
    let (online, usable) = probe::cpus();
    println!("this machine");
    line("kernel", &format!("Linux {} on {}", probe::kernel(), std::env::consts::ARCH));
    line("cpus", &format!("{usable} usable by this process, {online} online"));
    line("epoll", &epoll(&mut advice)?);
    line("io_uring", &io_uring());
    line("open files", &descriptors(&mut advice)?);
    line("locked memory", &locked()?);
    let fsgsbase = probe::fsgsbase();
    line("FSGSBASE", if fsgsbase { "yes" } else { "no" });

    println!("\nwhat Pirn will use, and why");
    line(
        "backend",
        "epoll: the only one built in so far (io_uring is planned and changes nothing for programs)",
    );
    line("workers", &format!("{usable}, one for each usable CPU (Builder::workers, --workers)"));
    line("simulator", simulator(fsgsbase));
    if !advice.is_empty() {
        println!("\nworth changing");
        for advice in advice {
            println!("  {advice}");
        }
    }
    println!("\nnext: {}", crate::show::command("run echo"));
    Ok(())
}

fn line(what: &str, text: &str) {
    println!("  {what:<14} {text}");
}

fn epoll(advice: &mut Vec<String>) -> Result<String, Failure> {
    match probe::epoll_nanoseconds() {
        Ok(true) => Ok("yes, waits in nanoseconds (epoll_pwait2)".to_owned()),
        Ok(false) => {
            advice.push(
                "a kernel of 5.11 or newer: this one's epoll_wait rounds deadlines up to milliseconds"
                    .to_owned(),
            );
            Ok("yes, but waits in milliseconds only (no epoll_pwait2)".to_owned())
        }
        Err(error) => Err(Failure::input(format!(
            "epoll does not work here ({error}): Pirn can't run live on this machine; the simulator still can"
        ))),
    }
}

fn io_uring() -> String {
    match probe::io_uring() {
        Ok(features) => format!(
            "the kernel offers it (features {features:#x}); not used: Pirn's backend for it is not built in yet"
        ),
        Err(error) => {
            let why = match (error.raw_os_error(), probe::io_uring_disabled()) {
                (Some(libc::ENOSYS), _) => "this kernel has none, or a seccomp filter hides it".to_owned(),
                (Some(libc::EPERM), Some(2)) => {
                    "switched off: sysctl kernel.io_uring_disabled = 2".to_owned()
                }
                (Some(libc::EPERM), Some(1)) => {
                    "reserved for a group: sysctl kernel.io_uring_disabled = 1".to_owned()
                }
                (Some(libc::EPERM | libc::EACCES), _) => {
                    "refused, probably by a seccomp filter (a container's default)".to_owned()
                }
                _ => format!("refused: {error}"),
            };
            format!("{why}; nothing is lost: Pirn's backend for it is not built in yet")
        }
    }
}

fn descriptors(advice: &mut Vec<String>) -> Result<String, Failure> {
    let (soft, hard) =
        probe::limit(libc::RLIMIT_NOFILE).map_err(|error| unreadable("RLIMIT_NOFILE", &error))?;
    if soft.is_some_and(|soft| soft < DESCRIPTORS_WANTED) {
        let reach = hard.map_or(DESCRIPTORS_WANTED, |hard| hard.min(DESCRIPTORS_WANTED));
        advice.push(format!(
            "ulimit -n {reach}: one connection is one descriptor, and the limit is {}",
            shown(soft)
        ));
    }
    Ok(format!("{} (may be raised to {}); each connection is one", shown(soft), shown(hard)))
}

fn locked() -> Result<String, Failure> {
    let (soft, _) =
        probe::limit(libc::RLIMIT_MEMLOCK).map_err(|error| unreadable("RLIMIT_MEMLOCK", &error))?;
    Ok(match soft {
        None => "no limit".to_owned(),
        Some(bytes) => format!("{} KiB; Pirn locks none on epoll", bytes / 1024),
    })
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::input(format!("the limit {what} can't be read: {error}"))
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}

fn simulator(fsgsbase: bool) -> &'static str {
    if fsgsbase {
        "each simulated thread has thread-locals of its own (FSGSBASE): user thread-locals, parking_lot and panics behave as live"
    } else {
        "simulated threads share one block of thread-locals (no FSGSBASE here): RefCells in thread-locals held across a switch and parking_lot may fail falsely"
    }
}
