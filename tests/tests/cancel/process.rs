//! Children, signals, and descriptors of users, whose waits are dropped.

use super::uses;

uses! { All:
    signal_heard
}

uses! { Live:
    child_wait
    child_kill
    child_output
    readable_descriptor
    calls_on_a_descriptor
    handed_to_std
}

mod cuts {
    use std::io::{self, Read, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use pirn::net::AsyncFd;
    use pirn::process::Command;
    use pirn::signal::{SignalKind, signal};
    use pirn::time::sleep;

    use super::super::{Cut, pause};
    use crate::net::{pair, pattern};

    /// Sends the signal to whoever listens on this machine.
    fn raise(kind: SignalKind) {
        #[cfg(feature = "sim")]
        if pirn_sim::is_simulated() {
            assert!(pirn_sim::raise("host", kind.as_raw()), "somebody listens");
            return;
        }
        // SAFETY: no preconditions.
        assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
    }

    pub(super) async fn signal_heard(cut: Cut) -> io::Result<bool> {
        let kind = SignalKind::user_defined1();
        let listener = signal(kind)?;
        let raising = pirn::spawn(async move {
            pause().await;
            raise(kind);
        });
        let ended = cut.at(listener.recv()).await.transpose()?.is_some();
        if !ended {
            // It was not heard yet, whenever it came.
            listener.recv().await?;
        }
        raising.await.expect("no panic");
        assert!(Cut::FIRST.at(listener.recv()).await.is_none(), "one signal is heard once");
        Ok(ended)
    }

    /// Waits until the child is gone: it was reaped, whoever did it.
    async fn gone(pid: u32) {
        let path = format!("/proc/{pid}");
        let mut waits = 0;
        while std::path::Path::new(&path).exists() {
            sleep(Duration::from_millis(1)).await;
            waits += 1;
            assert!(waits < 20_000, "a child is left as a zombie, or runs on");
        }
    }

    pub(super) async fn child_wait(cut: Cut) -> io::Result<bool> {
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
        let pid = child.id().expect("it runs");
        let status = cut.at(child.wait()).await.transpose()?;
        let ended = status.is_some();
        let status = match status {
            Some(status) => status,
            None => child.wait().await?,
        };
        assert_eq!(status.code(), Some(7));
        gone(pid).await;
        Ok(ended)
    }

    pub(super) async fn child_kill(cut: Cut) -> io::Result<bool> {
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        let pid = child.id().expect("it runs");
        let ended = cut.at(child.kill()).await.transpose()?.is_some();
        if ended {
            assert_eq!(child.wait().await?.signal(), Some(libc::SIGKILL));
        }
        // Else nobody waits for it any more but the runtime.
        drop(child);
        gone(pid).await;
        Ok(ended)
    }

    pub(super) async fn child_output(cut: Cut) -> io::Result<bool> {
        let output = cut.at(Command::new("echo").arg("out").output()).await.transpose()?;
        if let Some(output) = &output {
            assert_eq!(output.stdout, b"out\n");
            assert!(output.status.success());
        }
        Ok(output.is_some())
    }

    pub(super) async fn readable_descriptor(cut: Cut) -> io::Result<bool> {
        let (reader, mut writer) = io::pipe()?;
        let reader = AsyncFd::new(reader)?;
        let writing = pirn::spawn(async move {
            pause().await;
            writer.write_all(b"x").map(|()| writer)
        });
        let ended = cut.at(reader.readable()).await.transpose()?.is_some();
        if !ended {
            reader.readable().await?;
        }
        assert_eq!(reader.get_ref().read(&mut [0; 4])?, 1);
        writing.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn calls_on_a_descriptor(cut: Cut) -> io::Result<bool> {
        const WHOLE: usize = 200_000;
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (AsyncFd::new(reader)?, AsyncFd::new(writer)?);
        let reading = pirn::spawn(async move {
            let (mut all, mut buffer) = (Vec::new(), [0; 9_000]);
            loop {
                match reader.read_with(|mut pipe| pipe.read(&mut buffer)).await? {
                    0 => return io::Result::Ok(all),
                    count => all.extend_from_slice(&buffer[..count]),
                }
            }
        });
        let (bytes, mut sent, mut ended) = (pattern(0, WHOLE), 0, true);
        while sent < WHOLE {
            let rest = &bytes[sent..];
            match cut.at(writer.write_with(|mut pipe| pipe.write(rest))).await.transpose()? {
                Some(count) => sent += count,
                None => {
                    ended = false;
                    pause().await;
                }
            }
        }
        drop(writer);
        assert!(reading.await.expect("no panic")? == bytes, "bytes are lost, doubled or out of order");
        Ok(ended)
    }

    pub(super) async fn handed_to_std(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        client.write_all(b"before").await?;
        let Some(handed) = cut.at(client.into_std()).await else {
            // Dropped, it closes the stream, and what was written is sent.
            let mut all = Vec::new();
            server.read_to_end(&mut all).await?;
            assert_eq!(all, b"before");
            return Ok(false);
        };
        let mut handed = handed.map_err(|(_, error)| error)?;
        handed.write_all(b" after")?;
        drop(handed);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        assert_eq!(all, b"before after");
        Ok(true)
    }
}
