//! A replicated log of three hosts that loses a write when a host crashes between write and fsync.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pirn::fs::{File, OpenOptions};
use pirn::net::{TcpListener, TcpStream};
use pirn::time::{sleep, timeout};
use pirn_sim::{Faults, Simulation, Verdict, say};

/// The hosts that keep the log.
const REPLICAS: [&str; 3] = ["first", "second", "third"];

/// How many of them have to say that they have a write. Whoever asks as many later meets at least one that has it.
const MAJORITY: usize = 2;

/// Writes of the client. Each is one byte, its number, at the place of that number in the log.
const WRITES: u8 = 3;

/// A request for what is in the log; any other byte is a write.
const READ: u8 = 255;

/// How a replica keeps a write before it says that it has it.
#[derive(Clone, Copy)]
enum Keep {
    /// The bug: the kernel has it.
    Written,
    /// The fix: the medium has it.
    Synced,
}

/// The log of this host; made, with its name synced, at the first start.
async fn open() -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).open("/log").await?;
    file.sync_all().await?;
    File::open("/").await?.sync_all().await?;
    Ok(file)
}

async fn replicate(keep: Keep) -> io::Result<()> {
    let file = open().await?;
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    let accepting = pirn::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            pirn::spawn(serve(file.try_clone(), stream, keep)).detach();
        }
    });
    sleep(Duration::from_secs(30)).await;
    accepting.abort();
    Ok(())
}

async fn serve(file: File, stream: TcpStream, keep: Keep) -> io::Result<()> {
    let mut request = [0];
    stream.read_exact(&mut request).await?;
    let [number] = request;
    if number == READ {
        let mut log = [0; WRITES as usize];
        file.read_at(&mut log, 0).await?;
        stream.write_all(&log).await?;
        return stream.flush().await;
    }
    file.write_all_at(&request, u64::from(number) - 1).await?;
    if let Keep::Synced = keep {
        file.sync_data().await?;
    }
    say!("{} says that it has write {number}", pirn_sim::host_name());
    stream.write_all(&request).await?;
    stream.flush().await?;
    file.sync_data().await
}

/// Sends a request to a replica; the answer is as long as `answer`.
async fn ask(replica: &str, request: u8, answer: &mut [u8]) -> io::Result<()> {
    let exchange = async {
        let stream = TcpStream::connect(SocketAddr::new(pirn_sim::host_addr(replica), 7)).await?;
        stream.write_all(&[request]).await?;
        stream.flush().await?;
        stream.read_exact(answer).await
    };
    timeout(Duration::from_secs(1), exchange).await?
}

/// Writes until a majority has each, then looks who has what.
async fn write_and_look() -> io::Result<()> {
    sleep(Duration::from_millis(500)).await;
    for number in 1..=WRITES {
        let mut missing = REPLICAS.to_vec();
        while REPLICAS.len() - missing.len() < MAJORITY {
            let replica = missing.remove(0);
            if ask(replica, number, &mut [0]).await.is_err() {
                missing.push(replica);
            }
        }
    }
    // Whoever crashed is back by then.
    sleep(Duration::from_secs(5)).await;
    let mut logs = [[0; WRITES as usize]; REPLICAS.len()];
    for (replica, log) in REPLICAS.iter().zip(&mut logs) {
        ask(replica, READ, log).await?;
    }
    for number in 1..=WRITES {
        let copies = logs.iter().filter(|log| log[usize::from(number) - 1] == number).count();
        assert!(copies >= MAJORITY, "a majority said it has write {number}, and only {copies} has it");
    }
    Ok(())
}

/// Power fails on a replica at some moment while the client writes, for two seconds.
async fn fail_power() {
    let moment = Duration::from_millis(500) + Duration::from_micros(pirn_sim::random() % 100_000);
    sleep(moment).await;
    pirn_sim::crash(REPLICAS[0], Duration::from_secs(2));
}

fn system(keep: Keep) -> Simulation {
    let simulation = Simulation::new("log").workers(1..=2).faults(Faults::none());
    REPLICAS
        .iter()
        .fold(simulation, |system, name| system.host(name, move || replicate(keep)))
        .host("client", write_and_look)
        .host("power", fail_power)
}

#[test]
fn an_answer_before_the_sync_loses_a_write() {
    let (shrunk, story) = super::super::found(&system(Keep::Written), 5_000);
    assert!(matches!(&shrunk.outcome.verdict, Verdict::Panic(text) if text.contains("only 1 has it")));
    // No schedule is needed, only the moment.
    assert!(shrunk.to.switches <= 2, "{}", shrunk.to);
    // It answered, and then it crashed.
    let text = story.to_string();
    let answered = text.rfind("first says that it has write").expect("the story has the answer");
    assert!(text[answered..].contains("host first crashes"), "{text}");
}

#[test]
fn an_answer_after_the_sync_loses_none() {
    super::super::clean(&system(Keep::Synced), 1_000);
}
