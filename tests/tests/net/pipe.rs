//! Pipes: their bytes, their ends, and those of the standard library.

use std::io;
use std::time::Duration;

use pirn::net::{PipeReader, PipeWriter, pipe};

use super::{everywhere, pattern, run, scale};

#[test]
fn bytes_go_through_a_pipe() {
    everywhere("bytes_go_through_a_pipe", async || {
        let whole = scale(500_000, 80_000);
        let (reader, writer) = pipe()?;
        let writing = pirn::spawn(async move {
            let mut at = 0;
            while at < whole {
                let size = (1 + at % 9_000).min(whole - at);
                writer.write_all(&pattern(at, size)).await?;
                at += size;
            }
            writer.flush().await
        });
        let mut all = Vec::new();
        assert_eq!(reader.read_to_end(&mut all).await?, whole);
        assert!(all == pattern(0, whole));
        writing.await.expect("no panic")
    });
}

#[test]
fn a_dropped_writer_still_writes_what_it_accepted() {
    everywhere("a_dropped_writer_still_writes_what_it_accepted", async || {
        let (reader, writer) = pipe()?;
        let mut accepted = 0;
        // More than the pipe holds: the last write is a copy in flight.
        while let Some(count) =
            super::cancel::once(writer.write(&pattern(accepted, 40_000))).await.transpose()?
        {
            accepted += count;
        }
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await?;
        assert!(all == pattern(0, accepted), "{} of {accepted} bytes", all.len());
        Ok(())
    });
}

#[test]
fn a_pipe_without_a_reader_is_broken() {
    everywhere("a_pipe_without_a_reader_is_broken", async || {
        let (reader, writer) = pipe()?;
        drop(reader);
        assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn ends_of_std_are_taken_over_and_given_back() {
    use std::io::{Read, Write};
    run(2, async {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let reader = PipeReader::from_fd(reader).expect("from_fd");
        let writer = PipeWriter::from_fd(writer).expect("from_fd");
        let reading = pirn::spawn(async move {
            let mut bytes = [0; 3];
            reader.read_exact(&mut bytes).await.expect("read");
            (bytes, reader)
        });
        pirn::time::sleep(Duration::from_millis(2)).await;
        writer.write_all(b"abc").await.expect("write");
        let (bytes, reader) = reading.await.expect("no panic");
        assert_eq!(&bytes, b"abc");
        let mut writer = std::io::PipeWriter::from(writer.into_fd().await.expect("into_fd"));
        let mut reader = std::io::PipeReader::from(reader.into_fd().await.expect("into_fd"));
        writer.write_all(b"de").expect("write");
        let mut bytes = [0; 2];
        reader.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"de");
    });
}
