//! Limits on what clients take: time, connections. Every one of them is met while another client is served.

use std::io::Write as _;
use std::time::Duration;

use pirn::time::{sleep, timeout};
use pirn_hyper::Limits;

use crate::site::{Answer, PATIENCE, Site, everywhere, to_the_end};

/// Asks for a file, as a client that does all it should.
async fn is_served(site: &Site) {
    let answer = timeout(PATIENCE, site.get("/tea.txt", "")).await.expect("others are served");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hot"));
}

/// Asks for so many descriptors, and says how many there are.
fn descriptors(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: `limit` is valid.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    }
    limit.rlim_cur
}

#[test]
fn a_head_in_drops_is_given_up() {
    // Both ends of each connection are this process'.
    let connections = descriptors(2_600).saturating_sub(600).min(2_000) / 2;
    println!("{connections} connections");
    let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
    everywhere(limits, async |site| {
        site.put("tea.txt", "hot");
        let slow: Vec<_> = (0..connections)
            .map(|number| {
                let address = site.address;
                pirn::spawn(async move {
                    let stream = pirn::net::TcpStream::connect(address).await.expect("it listens");
                    // Some send nothing at all, some one byte now and then, for ever.
                    for byte in b"GET /tea.txt HTTP/1.1\r\nhost: x\r\nx: ".iter().chain([b'x'; 10_000].iter())
                    {
                        if number % 2 == 0 || stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        sleep(Duration::from_millis(50)).await;
                    }
                    to_the_end(&stream).await.len()
                })
            })
            .collect();
        // While they are at it.
        while site.stats.slow_heads() == 0 {
            is_served(site).await;
        }
        for slow in slow {
            assert_eq!(timeout(PATIENCE, slow).await.expect("it is given up")?, 0);
        }
        assert!(site.stats.slow_heads() >= connections, "{:?}", site.stats);
        is_served(site).await;
        Ok(())
    });
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
    everywhere(limits, async |site| {
        site.put("tea.txt", "hot");
        site.put("large.bin", vec![7; 64 << 20]);
        let mut stream = std::net::TcpStream::connect(site.address)?;
        stream.write_all(b"GET /large.bin HTTP/1.1\r\nhost: x\r\n\r\n")?;
        is_served(site).await;
        let start = std::time::Instant::now();
        while site.stats.stalled() == 0 {
            assert!(start.elapsed() < PATIENCE, "it is not given up: {:?}", site.stats);
            sleep(Duration::from_millis(20)).await;
        }
        // It stays open on the client's side: the server keeps nothing of it, or the end of its runtime would wait.
        std::mem::forget(stream);
        Ok(())
    });
}

#[test]
fn at_the_limit_of_connections_more_have_to_wait() {
    let limits = Limits { connections: 2, ..Limits::default() };
    everywhere(limits, async |site| {
        site.put("tea.txt", "hot");
        let request = b"GET /tea.txt HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut answer = [0; 12];
        let (one, two) = (site.connect().await, site.connect().await);
        for stream in [&one, &two] {
            stream.write_all(request).await?;
            stream.read_exact(&mut answer).await?;
        }
        let three = site.connect().await;
        three.write_all(request).await?;
        let waits = timeout(Duration::from_millis(200), three.read_exact(&mut answer)).await;
        assert!(waits.is_err(), "a third connection was served");
        assert_eq!(site.stats.open(), 2);
        drop(one);
        timeout(PATIENCE, three.read_exact(&mut answer)).await.expect("there is a place now")?;
        assert_eq!(&answer, b"HTTP/1.1 200");
        drop((two, three));
        Ok(())
    });
}

#[test]
fn a_stop_does_not_wait_for_clients_that_do_not_care() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        // HTTP/2: a request that is answered, and then nobody reads any more. HTTP/1: half a head.
        let mut idle = std::net::TcpStream::connect(site.address)?;
        idle.write_all(&[crate::hostile::PREFACE, &crate::hostile::get(1)].concat())?;
        let mut half = std::net::TcpStream::connect(site.address)?;
        half.write_all(b"GET /tea.txt HTTP/1.1\r\n")?;
        while site.stats.answers(2) + site.stats.answers(4) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        // They stay open for as long as the test runs. Its stop fails if the limit of the drain has to end them.
        std::mem::forget((idle, half));
        Ok(())
    });
}

#[test]
fn a_stop_waits_for_answers_and_not_for_idle_connections() {
    everywhere(Limits::default(), async |site| {
        site.put("large.bin", vec![7; 16 << 20]);
        site.put("tea.txt", "hot");
        // Idle ones, new and used, that stay: the stop at the end of the test finds them.
        let new = site.connect().await;
        let used = site.connect().await;
        used.write_all(b"GET /tea.txt HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        used.read_exact(&mut [0; 12]).await?;
        let busy = site.connect().await;
        busy.write_all(b"GET /large.bin HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut begin = vec![0; 1 << 10];
        busy.read_exact(&mut begin).await?;
        pirn::spawn(async move {
            sleep(Duration::from_millis(200)).await;
            begin.extend(to_the_end(&busy).await);
            let answer = Answer::parse(&begin).expect("an answer");
            assert_eq!(answer.body.len(), 16 << 20, "the answer under way is whole");
            drop((new, used));
        })
        .detach();
        Ok(())
    });
}
