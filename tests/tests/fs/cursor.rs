//! The cursor: reads and writes one after the other, seeks, the traits of futures-io.

use std::future::poll_fn;
use std::io::{self, ErrorKind, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use pirn::fs::{self, Advice, File, OpenOptions};

use super::{everywhere, kind, once, pattern};

async fn update(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).open(path).await
}

#[test]
fn one_after_the_other() {
    everywhere("one_after_the_other", async |folder| {
        let mut file = update(folder.join("a")).await?;
        for at in 0..20 {
            file.write_all(&pattern(at * 700, 700)).await?;
        }
        assert_eq!(file.read(&mut [0; 8]).await?, 0, "the cursor is at the end");
        assert_eq!(file.seek(SeekFrom::Start(0)).await?, 0);
        let mut all = Vec::new();
        assert_eq!(file.read_to_end(&mut all).await?, 14_000);
        assert!(all == pattern(0, 14_000));
        assert_eq!(file.seek(SeekFrom::End(-14)).await?, 13_986);
        assert_eq!(file.seek(SeekFrom::Current(4)).await?, 13_990);
        let mut ten = [0; 10];
        file.read_exact(&mut ten).await?;
        assert_eq!(ten[..], all[13_990..]);
        assert_eq!(kind(file.read_exact(&mut ten).await), ErrorKind::UnexpectedEof);
        assert_eq!(kind(file.seek(SeekFrom::Current(-20_000)).await), ErrorKind::InvalidInput);
        assert_eq!(kind(file.seek(SeekFrom::End(i64::MIN)).await), ErrorKind::InvalidInput);
        assert_eq!(file.seek(SeekFrom::Current(0)).await?, 14_000, "a seek that fails leaves the cursor");
        assert_eq!(file.seek(SeekFrom::End(6)).await?, 14_006);
        file.write_all(b"x").await?;
        assert_eq!(file.metadata().await?.len(), 14_007);
        Ok(())
    });
}

#[test]
fn handles_have_cursors_of_their_own() {
    everywhere("handles_have_cursors_of_their_own", async |folder| {
        let mut one = update(folder.join("a")).await?;
        one.write_all(b"abcdef").await?;
        one.seek(SeekFrom::Start(2)).await?;
        let mut two = one.try_clone();
        let mut byte = [0];
        one.read_exact(&mut byte).await?;
        two.read_exact(&mut byte).await?;
        assert_eq!(&byte, b"c");
        drop(one);
        two.read_exact(&mut byte).await?;
        assert_eq!(&byte, b"d");
        Ok(())
    });
}

#[test]
fn appends_leave_the_cursor() {
    everywhere("appends_leave_the_cursor", async |folder| {
        fs::write(folder.join("a"), "abc").await?;
        let mut file = OpenOptions::new().read(true).append(true).open(folder.join("a")).await?;
        let mut byte = [0];
        file.read_exact(&mut byte).await?;
        file.write_all(b"de").await?;
        file.read_exact(&mut byte).await?;
        assert_eq!(&byte, b"b");
        assert_eq!(fs::read(folder.join("a")).await?, b"abcde");
        Ok(())
    });
}

#[test]
fn by_the_traits() {
    everywhere("by_the_traits", async |folder| {
        let mut file = update(folder.join("a")).await?;
        let bytes = pattern(0, 9_000);
        let mut done = 0;
        while done < bytes.len() {
            let piece = &bytes[done..bytes.len().min(done + 1_000)];
            done += poll_fn(|context| Pin::new(&mut file).poll_write(context, piece)).await?;
        }
        poll_fn(|context| Pin::new(&mut file).poll_flush(context)).await?;
        let end = poll_fn(|context| Pin::new(&mut file).poll_seek(context, SeekFrom::End(0))).await?;
        assert_eq!(end, 9_000);
        poll_fn(|context| Pin::new(&mut file).poll_seek(context, SeekFrom::Start(100))).await?;
        file.advise(.., Advice::DontNeed).await?;
        let mut all = Vec::new();
        let mut piece = [0; 777];
        loop {
            match poll_fn(|context| Pin::new(&mut file).poll_read(context, &mut piece)).await? {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        assert!(all == bytes[100..]);
        poll_fn(|context| Pin::new(&mut file).poll_close(context)).await
    });
}

#[test]
fn dropped_reads_move_nothing() {
    everywhere("dropped_reads_move_nothing", async |folder| {
        let mut file = update(folder.join("a")).await?;
        let bytes = pattern(0, 40_000);
        file.write_all(&bytes).await?;
        file.sync_all().await?;
        file.seek(SeekFrom::Start(0)).await?;
        let (mut all, mut piece) = (Vec::new(), [0; 1_500]);
        for round in 0.. {
            if round % 3 == 0 {
                file.advise(.., Advice::DontNeed).await?;
            }
            let got = match once(file.read(&mut piece)).await {
                Some(count) => count?,
                // Another read, of another size, gets the bytes.
                None if round % 2 == 0 => file.read(&mut piece[..300]).await?,
                None => continue,
            };
            if got == 0 {
                break;
            }
            all.extend_from_slice(&piece[..got]);
        }
        assert!(all == bytes);
        Ok(())
    });
}

#[test]
fn a_read_after_a_dropped_one_sees_what_was_written_since() {
    everywhere("a_read_after_a_dropped_one_sees_what_was_written_since", async |folder| {
        let mut reader = update(folder.join("a")).await?;
        reader.write_all_at(&[0; 100], 0).await?;
        reader.sync_all().await?;
        let writer = reader.try_clone();
        for round in 1..30 {
            reader.seek(SeekFrom::Start(0)).await?;
            writer.sync_data().await?;
            writer.advise(.., Advice::DontNeed).await?;
            drop(once(reader.read(&mut [0; 100])).await);
            reader.seek(SeekFrom::Start(0)).await?;
            writer.write_all_at(&[round; 100], 0).await?;
            let mut seen = [0; 100];
            reader.read_exact(&mut seen).await?;
            assert_eq!(seen, [round; 100]);
        }
        Ok(())
    });
}

#[test]
fn dropped_writes_leave_no_gap_and_double_nothing() {
    everywhere("dropped_writes_leave_no_gap_and_double_nothing", async |folder| {
        let mut file = update(folder.join("a")).await?;
        let mut expected = Vec::new();
        for round in 0..40_u8 {
            let piece = [round; 50];
            // What an abandoned write comes to is seen by where the cursor is after the next flush.
            if once(file.write(&piece)).await.transpose()?.is_none() {
                file.flush().await?;
            }
            let at = file.seek(SeekFrom::Current(0)).await? as usize;
            assert!(at >= expected.len() && at <= expected.len() + 50, "round {round}: at {at}");
            expected.resize(at, round);
        }
        assert!(fs::read(folder.join("a")).await? == expected);
        // A handle that goes lets its last write go on.
        drop(once(file.write(b"last")).await);
        drop(file);
        Ok(())
    });
}
