//! System calls that should not happen: an idle runtime's, and those of a million yields with nothing in flight.
//! Counted by strace between two marks, which the child makes with getppid.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child;
use crate::peer::{Name, Peer};
use crate::table::{Table, Target};
use crate::with_peer;

const YIELDS: usize = 1_000_000;
/// The machine may take this long to fall quiet.
const SETTLE: Duration = Duration::from_secs(1);

/// The child: idles for `seconds`, or yields a million times, between marks.
pub(crate) fn child(peer: Name, what: &str, seconds: u64) {
    fn idle<P: Peer>(seconds: u64) {
        // The marks come from a thread that is no worker; the runtime has nothing at all to do.
        let done = std::thread::spawn(move || {
            std::thread::sleep(SETTLE);
            mark();
            std::thread::sleep(Duration::from_secs(seconds));
            mark();
            std::process::exit(0);
        });
        P::run(2, std::future::pending::<()>());
        drop(done);
    }
    fn yields<P: Peer>() {
        P::run(2, async {
            for _ in 0..10_000 {
                P::yield_now().await;
            }
            P::sleep(SETTLE).await;
            for _ in 0..10_000 {
                P::yield_now().await;
            }
            mark();
            for _ in 0..YIELDS {
                P::yield_now().await;
            }
            mark();
        });
    }
    match what {
        "idle" => with_peer!(peer, idle(seconds)),
        _ => with_peer!(peer, yields()),
    }
}

fn mark() {
    // SAFETY: getppid takes nothing and can't fail.
    unsafe { libc::getppid() };
}

/// System calls between the marks, without the marking thread's own sleep.
fn count(peer: Name, what: &str, seconds: u64) -> Result<usize, String> {
    let exe = child::own_program()?;
    let output = Command::new("strace")
        .args(["-f", "-qq"])
        .arg(exe)
        .args(["work", what, peer.text(), &seconds.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("strace did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let calls: Vec<&str> = text.lines().filter(|line| line.contains('(')).collect();
    let marks: Vec<usize> =
        calls.iter().enumerate().filter(|(_, line)| line.contains("getppid(")).map(|(at, _)| at).collect();
    let &[first, .., last] = &marks[..] else {
        return Err(format!(
            "strace showed {} marks, not two; its last line: {:?}",
            marks.len(),
            text.lines().last()
        ));
    };
    let ours = calls[first + 1..last].iter().filter(|line| !line.contains("clock_nanosleep"));
    Ok(ours.count())
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, seconds: u64) -> Result<(), String> {
    table.title(&format!(
        "system calls that should not happen (strace): {seconds} s idle, {YIELDS} yields; 2 workers"
    ));
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        table.row(
            "not measured",
            "strace is not installed (apt install strace)".to_owned(),
            0.0,
            Target::None,
        );
        table.flush();
        return Ok(());
    }
    for peer in Name::ALL {
        for what in ["idle", "yields"] {
            let calls = count(peer, what, seconds)? as f64;
            let target = if peer == Name::Pirn { Target::Most(0.0) } else { Target::None };
            table.row(&format!("{}, {what}", peer.text()), format!("{calls}"), calls, target);
        }
    }
    table.flush();
    Ok(())
}
