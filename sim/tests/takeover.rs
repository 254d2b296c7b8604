//! Takeover: what a worker keeps waiting that is held inside a task for 20 ms of every 40 is served by the others, within a bound.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use pirn::fs::{Advice, File, OpenOptions};
use pirn::net::{TcpListener, TcpStream};
use pirn::time::{Instant, sleep};
use pirn_sim::{Explore, Faults, Kernel, Network, Report, Simulation, Sizes, Storage, host_addr};

const HELD: Duration = Duration::from_millis(20);
const LATENCY: Duration = Duration::from_micros(200);
/// What the medium usually takes, and at most: the simulated disk is up to 20 times as slow now and then.
const MEDIUM: Duration = Duration::from_micros(300);
const SLOWEST: Duration = Duration::from_millis(6);
/// How late a service may come: the next look of the idle worker, which is no further away than the runtime was quiet before (the ticker
/// lets it be quiet for a millisecond), one interval to see that the peer still is in the same poll, and the way to the task.
const BOUND: Duration = Duration::from_millis(3);
const ROUNDS: usize = 3;
/// The port of the server's connections to itself.
const HERE: u16 = 8;

/// What was done, and how late.
type Late = Arc<Mutex<Vec<(&'static str, Duration)>>>;
type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls it once, so that what it waits for is waited for on this worker; then it is a task. `due`: when it could be done.
async fn homed(mut future: Boxed, due: Instant, what: &'static str, late: &Late) {
    let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    // Of what the disk does at once now and then nobody is late.
    if polled.is_ready() {
        late.lock().unwrap().push((what, Duration::ZERO));
        return;
    }
    let late = late.clone();
    drop(pirn::spawn(async move {
        future.await;
        late.lock().unwrap().push((what, Instant::now().saturating_duration_since(due)));
    }));
}

async fn cold() -> Arc<File> {
    let path = std::env::temp_dir().join("a");
    let file = OpenOptions::new().read(true).write(true).create(true).open(path).await.expect("a file");
    file.write_all_at(&[7; 4096], 0).await.expect("written");
    file.sync_all().await.expect("synced");
    Arc::new(file)
}

/// Two ends of a connection within this host.
async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = SocketAddr::from((host_addr("server"), HERE));
    let connected = TcpStream::connect(address).await.expect("connected");
    (connected, listener.accept().await.expect("accepted").0)
}

/// One round: a timer, a request, a connect, a read and a sync are begun here, a byte is staged, a stream is dropped, and the worker is held.
async fn round(stream: &Arc<TcpStream>, listener: &Arc<TcpListener>, file: &Arc<File>) {
    let late = Late::default();
    let (writer, reader_of_writes) = pair(listener).await;
    let (goes, stays) = pair(listener).await;
    file.advise(.., Advice::DontNeed).await.expect("advised");
    stream.write_all(b"?").await.expect("sent");
    stream.flush().await.expect("sent");
    let now = Instant::now();
    let timer = sleep(Duration::from_millis(1));
    homed(Box::pin(timer), now + Duration::from_millis(1), "a timer", &late).await;
    let receiver = stream.clone();
    let request = async move {
        let mut byte = [0];
        receiver.read_exact(&mut byte).await.expect("received");
    };
    homed(Box::pin(request), now + 2 * LATENCY, "a request", &late).await;
    let connect = async {
        let address = SocketAddr::from((host_addr("client"), 7));
        drop(TcpStream::connect(address).await.expect("connected"));
    };
    homed(Box::pin(connect), now + 2 * LATENCY, "a connect", &late).await;
    let staged = async move {
        let mut bytes = [0; 2];
        reader_of_writes.read_exact(&mut bytes).await.expect("received");
    };
    homed(Box::pin(staged), now + LATENCY, "a staged write", &late).await;
    for byte in [b"1", b"2"] {
        writer.write_all(byte).await.expect("accepted");
    }
    let end = async move { assert_eq!(stays.read(&mut [0]).await.expect("received"), 0) };
    homed(Box::pin(end), now + LATENCY, "an end", &late).await;
    drop(goes);
    let reader = file.clone();
    let read = async move {
        let (result, bytes) = reader.read_owned_at(Vec::with_capacity(64), 0).await;
        assert_eq!((result.expect("read"), &bytes[..]), (64, &[7; 64][..]));
    };
    homed(Box::pin(read), now + SLOWEST, "a read", &late).await;
    let syncer = file.clone();
    let sync = async move { syncer.sync_data().await.expect("synced") };
    homed(Box::pin(sync), now + SLOWEST, "a sync", &late).await;
    std::thread::sleep(HELD);
    let late = late.lock().unwrap();
    assert!(
        late.len() == 7 && late.iter().all(|(_, span)| *span <= BOUND),
        "while the worker was held: {late:?}"
    );
}

async fn server() {
    drop(pirn::spawn(async {
        loop {
            sleep(Duration::from_millis(1)).await;
        }
    }));
    let listener = TcpListener::bind("0.0.0.0:7").await.expect("a listener");
    let (stream, _) = listener.accept().await.expect("accepted");
    let held = pirn::spawn(async move {
        let here = SocketAddr::from((host_addr("server"), HERE));
        let listener = Arc::new(TcpListener::bind(here).await.expect("a listener"));
        let (stream, file) = (Arc::new(stream), cold().await);
        for _ in 0..ROUNDS {
            round(&stream, &listener, &file).await;
            sleep(HELD).await;
        }
    });
    held.await.expect("all came in time");
}

async fn client() {
    let listener = TcpListener::bind("0.0.0.0:7").await.expect("a listener");
    drop(pirn::spawn(async move { while listener.accept().await.is_ok() {} }));
    let address = SocketAddr::from((host_addr("server"), 7));
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    };
    let mut byte = [0];
    while stream.read(&mut byte).await.expect("received") != 0 {
        stream.write_all(&byte).await.expect("sent");
        stream.flush().await.expect("sent");
    }
}

fn explored(kernel: Kernel, workers: usize, seeds: u64) -> Report {
    Simulation::new("takeover")
        .workers(workers..=workers)
        .kernel(kernel)
        .tso(true)
        // Without short transfers, which make a read two, and full queues, behind which ops wait for their own worker.
        .faults(Faults::none())
        .network(Network { latency: LATENCY..=LATENCY, ..Network::default() })
        .storage(Storage { latency: MEDIUM..=MEDIUM, ..Storage::default() })
        .sizes(Sizes::Default)
        .host("server", server)
        .host("client", client)
        .explore(Explore { seeds, ..Explore::default() })
}

#[test]
fn a_worker_that_is_held_half_of_the_time_holds_up_nobody() {
    for kernel in [Kernel::Ops, Kernel::Epoll, Kernel::Uring] {
        for workers in [2, 3] {
            let report = explored(kernel, workers, 40);
            if let Some(failure) = report.failure {
                let outcome = failure.outcome;
                panic!("{kernel:?}, {workers} workers, seed {}: {}", outcome.seed, outcome.verdict);
            }
            let unseen = report.summary.events_never_reached();
            assert!(!unseen.contains(&"Takeover"), "nobody was overdue on {kernel:?}: this tests nothing");
        }
    }
}
