//! More arrives at once, on many connections, than a driver has buffers for; then small messages again.

use std::io;

use super::{everywhere, pair, pattern, scale};

#[test]
fn bursts_beyond_all_buffers() {
    everywhere("bursts_beyond_all_buffers", async || {
        let (connections, burst) = (scale(48, 5), scale(160 << 10, 9_000));
        let mut pairs = Vec::new();
        for _ in 0..connections {
            pairs.push(pair().await?);
        }
        let (clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        // All wait before the first byte is sent, so that a ring takes what comes.
        let reading: Vec<_> = servers
            .into_iter()
            .enumerate()
            .map(|(number, server)| {
                pirn::spawn(async move {
                    let (mut bytes, mut all) = (vec![0; 10_000 + 997 * number], 0);
                    loop {
                        let count = server.read(&mut bytes).await?;
                        if count == 0 {
                            return io::Result::Ok(all);
                        }
                        assert!(
                            bytes[..count] == pattern(number + all, count),
                            "bytes out of order at {all}"
                        );
                        all += count;
                    }
                })
            })
            .collect();
        pirn::drained().await;
        let writing: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                pirn::spawn(async move {
                    let mut at = number;
                    for _ in 0..3 {
                        client.write_all(&pattern(at, burst)).await?;
                        at += burst;
                        for _ in 0..scale(100, 5) {
                            client.write_all(&pattern(at, 50)).await?;
                            at += 50;
                            pirn::yield_now().await;
                        }
                    }
                    client.flush().await?;
                    io::Result::Ok(at - number)
                })
            })
            .collect();
        for (writing, reading) in writing.into_iter().zip(reading) {
            let sent = writing.await.expect("no panic")?;
            assert_eq!(reading.await.expect("no panic")?, sent);
        }
        Ok(())
    });
}
