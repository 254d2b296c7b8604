//! Child processes.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use pirn::process::Command;
use pirn::time::{sleep, timeout};

use super::live;
use crate::alone::{alone, descriptors};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn output_and_status() {
    live(|| async {
        let output = shell("echo out; echo err >&2; exit 3").output().await?;
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        let mut child = shell("sleep 0.02; exit 7").spawn()?;
        assert!(child.id().is_some());
        assert_eq!(child.wait().await?.code(), Some(7));
        assert_eq!(child.wait().await?.code(), Some(7), "a second wait knows it still");
        assert!(child.id().is_none());
        Ok(())
    });
}

#[test]
fn much_output_on_both_streams() {
    live(|| async {
        let script = "head -c 300000 /dev/zero >&2; head -c 400000 /dev/zero";
        let output = shell(script).output().await?;
        assert_eq!((output.stdout.len(), output.stderr.len()), (400_000, 300_000));
        Ok(())
    });
}

#[test]
fn a_conversation_with_cat() {
    live(|| async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut bytes = [0; 5];
        for text in [b"one__", b"two__"] {
            input.write_all(text).await?;
            output.read_exact(&mut bytes).await?;
            assert_eq!(&bytes, text);
        }
        assert!(child.try_wait()?.is_none());
        drop(input);
        assert_eq!(output.read(&mut bytes).await?, 0);
        assert!(child.wait().await?.success());
        Ok(())
    });
}

#[test]
fn kill_and_signals() {
    live(|| async {
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        assert!(timeout(Duration::from_millis(5), child.wait()).await.is_err());
        child.kill().await?;
        assert_eq!(child.wait().await?.signal(), Some(libc::SIGKILL));
        child.start_kill()?;
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        child.signal(libc::SIGTERM)?;
        assert_eq!(child.wait().await?.signal(), Some(libc::SIGTERM));
        Ok(())
    });
}

/// Whoever waits for a child has nothing more to tell it.
#[test]
fn a_wait_closes_the_input() {
    live(|| async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let status =
            timeout(Duration::from_secs(10), child.wait()).await.expect("cat sees the end of its input");
        assert!(status?.success());
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.as_ref().expect("piped").write_all(b"all of it").await?;
        let output = timeout(Duration::from_secs(10), child.wait_with_output()).await.expect("it ends")?;
        assert_eq!(output.stdout, b"all of it");
        Ok(())
    });
}

#[test]
fn a_status_that_is_given_up() {
    live(|| async {
        let path = std::env::temp_dir().join(format!("pirn-given-up-{}", std::process::id()));
        let script = format!("echo $$ > {}; exec sleep 3600", path.display());
        let mut command = shell(&script);
        let status = timeout(Duration::from_millis(300), command.kill_on_drop(true).status());
        assert!(status.await.is_err(), "it sleeps for an hour");
        let text = std::fs::read_to_string(&path)?;
        std::fs::remove_file(&path)?;
        let pid = text.trim().parse().expect("the number of a process");
        timeout(Duration::from_secs(10), gone(pid)).await.expect("it was not killed, or a zombie is left");
        Ok(())
    });
}

#[test]
fn environment_and_folder() {
    live(|| async {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo \"$PIRN_ONE-$PIRN_TWO-$HOME\"; pwd"]).env("PIRN_TWO", "2").env_clear();
        let output = command.env("PIRN_ONE", "1").current_dir("/").output().await?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1--\n/\n");
        Ok(())
    });
}

#[test]
fn no_such_program() {
    live(|| async {
        let error = Command::new("pirn-no-such-program").spawn().expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("pirn-no-such-program"), "{error}");
        Ok(())
    });
}

/// The state of a process, as procfs has it; `None`: it is gone.
fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

async fn gone(pid: u32) {
    while state(pid).is_some() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_dropped_child_leaves_no_zombie() {
    live(|| async {
        let child = shell("sleep 0.02").spawn()?;
        let pid = child.id().expect("it runs");
        drop(child);
        assert!(state(pid).is_some(), "it goes on");
        timeout(Duration::from_secs(10), gone(pid)).await.expect("a zombie is left");
        let child = Command::new("sleep").arg("3600").kill_on_drop(true).spawn()?;
        let pid = child.id().expect("it runs");
        drop(child);
        timeout(Duration::from_secs(10), gone(pid)).await.expect("it was not killed, or a zombie is left");
        Ok(())
    });
}

#[test]
fn children_leave_no_descriptor() {
    alone("process::child::children_leave_no_descriptor", || {
        live(|| async {
            let before = descriptors();
            for _ in 0..20 {
                shell("echo x").output().await?;
                let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
                // Dropped in the middle of a wait.
                drop(timeout(Duration::from_micros(100), child.wait()).await);
                child.kill().await?;
            }
            // The driver may hold the last ones until its next look.
            for _ in 0..1_000 {
                if descriptors() == before {
                    return Ok(());
                }
                sleep(Duration::from_millis(5)).await;
            }
            panic!("{before} descriptors before, {} after", descriptors());
        });
    });
}

#[cfg(feature = "sim")]
#[test]
fn the_simulator_has_no_processes() {
    let simulation = pirn_sim::Simulation::new("the_simulator_has_no_processes").host("host", || async {
        let error = Command::new("true").spawn().expect_err("there are none");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    });
    assert!(matches!(simulation.run(1).verdict, pirn_sim::Verdict::Pass));
}
