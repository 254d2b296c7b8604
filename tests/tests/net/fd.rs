//! Descriptors of the user's own.

use std::io::{self, Read, Write};
use std::time::Duration;

use pirn::net::AsyncFd;

use super::{on_workers, run};

#[test]
fn reads_and_writes_of_the_users_own() {
    on_workers(async || {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (AsyncFd::new(reader)?, AsyncFd::new(writer)?);
        let writing = pirn::spawn(async move {
            let mut left = 500_000;
            while left > 0 {
                left -= writer.write_with(|mut pipe| pipe.write(&vec![7; left.min(9_000)])).await?;
            }
            io::Result::Ok(())
        });
        let (mut buffer, mut all) = ([0; 4_000], 0);
        loop {
            match reader.read_with(|mut pipe| pipe.read(&mut buffer)).await? {
                0 => break,
                count => all += count,
            }
        }
        writing.await.expect("no panic")?;
        assert_eq!(all, 500_000);
        Ok(())
    });
}

/// Readiness is asked for anew each time: nobody has to say that the descriptor was emptied.
#[test]
fn readable_means_now() {
    on_workers(async || {
        let (reader, mut writer) = io::pipe()?;
        let mut reader = AsyncFd::new(reader)?;
        for round in 0..3 {
            let early = pirn::time::timeout(Duration::from_millis(2), reader.readable()).await;
            assert!(early.is_err(), "round {round}: the pipe is empty");
            writer.write_all(b"x")?;
            reader.readable().await?;
            reader.readable().await?;
            let mut byte = [0];
            reader.get_mut().read_exact(&mut byte)?;
        }
        let mut inner = reader.into_inner();
        assert_eq!(inner.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn a_regular_file_cannot_be_waited_for() {
    run(1, async {
        let file = std::fs::File::open(std::env::current_exe().expect("a program")).expect("open");
        let file = AsyncFd::new(file).expect("any descriptor can be taken over");
        // poll(2) says that a file is always ready.
        file.readable().await.expect("always");
    });
}
