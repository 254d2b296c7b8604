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
    line("epoll", &epoll()?);
    line("io_uring", &io_uring());
    line("open files", &descriptors(&mut advice)?);
    line("locked memory", &locked()?);
    let fsgsbase = probe::fsgsbase();
    line("FSGSBASE", if fsgsbase { "yes" } else { "no" });

    println!("\nwhat Pirn will use, and why");
    line("backend", &backend());
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

fn epoll() -> Result<String, Failure> {
    match probe::epoll() {
        Ok(()) => Ok("yes, deadlines in nanoseconds (timerfd)".to_owned()),
        Err(error) => Err(Failure::input(format!(
            "epoll, an eventfd or a timerfd can't be had here ({error}): Pirn can't run live on this machine; the simulator still can"
        ))),
    }
}

fn io_uring() -> String {
    match pirn::os::uring() {
        Ok(_) => {
            "yes: rings with deferred task work, provided buffers, multishot receive and accept".to_owned()
        }
        Err(error) => format!("no: {error}"),
    }
}

fn backend() -> String {
    let forced = std::env::var("PIRN_BACKEND").is_ok_and(|name| !name.is_empty() && name != "auto");
    match (pirn::os::choose(), forced) {
        (Ok(os), true) => format!("{}, because PIRN_BACKEND says so", os.name()),
        (Ok(os), false) if os.name() == "uring" => {
            "uring: the kernel allows it (Builder::backend, --os or PIRN_BACKEND=epoll choose the other)"
                .to_owned()
        }
        (Ok(os), false) => format!("{}: see io_uring above (nothing changes for programs)", os.name()),
        (Err(error), _) => format!("none: {error}"),
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
        Some(bytes) => {
            format!("{} KiB; Pirn locks none on epoll, a few pages a worker on io_uring", bytes / 1024)
        }
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
