//! The programs of the comparison: a server and its clients, and task graphs. Each is written once, in terms of groups; the very same
//! futures run live and simulated.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pirn::fs::{Advice, File, OpenOptions};
use pirn::graph::{self, Node, spawn_after};
use pirn::net::{TcpListener, TcpStream};
use pirn::os::Os;
use pirn::task::JoinHandle;
use pirn::time::Instant;
use pirn::{Handle, hop};

use super::load::{HOG, HOG_EVERY, Kind, NODES};
use super::plan::{PAGE, Plan};
use super::shape::Places;
use crate::workloads::finished;

/// Bytes of a request: the connection's number and where it reads; of an answer: the same.
const MESSAGE: usize = 16;

type Result<T> = std::result::Result<T, String>;

/// The server's main future: serves all requests, then returns.
pub(crate) async fn server(plan: Arc<Plan>) -> Result<()> {
    plan.is_served_here();
    let places = Places::new(plan.shape);
    let file = if plan.load.kind == Kind::Files { Some(Arc::new(prepare(&plan).await?)) } else { None };
    let hogs: Vec<_> = match plan.load.kind {
        Kind::Hog => (0..(plan.workers / HOG_EVERY).max(1) as u32)
            .map(|number| places.long(number * HOG_EVERY as u32).spawn(hog(plan.clone())))
            .collect(),
        _ => Vec::new(),
    };
    if plan.load.kind == Kind::Churn {
        serve_all(&plan, &places).await?;
    } else {
        let listener = plan.listen().await?;
        plan.open();
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            let (stream, _) = listener.accept().await.map_err(|error| format!("no connection: {error}"))?;
            let serving = serve(stream, plan.clone(), places.clone(), file.clone());
            connections.push(places.home(number).spawn(serving));
        }
        for connection in connections {
            plan.count(&[], finished(connection).await??);
        }
    }
    for hog in hogs {
        hog.abort();
        let _ = hog.await;
    }
    Ok(())
}

/// Computes half of the time, for ever.
async fn hog(plan: Arc<Plan>) {
    loop {
        plan.work(HOG.as_nanos() as u64);
        pirn::time::sleep(HOG).await;
    }
}

/// Counts how often a task goes on on another worker.
struct Steps {
    os: Arc<dyn Os>,
    last: u64,
    moves: u64,
}

impl Steps {
    fn new() -> Self {
        let os = Handle::current().os();
        Self { last: os.thread_id(), os, moves: 0 }
    }

    fn step(&mut self) {
        let now = self.os.thread_id();
        self.moves += u64::from(now != self.last);
        self.last = now;
    }
}

/// One connection of the server; returns how often it moved.
async fn serve(stream: TcpStream, plan: Arc<Plan>, places: Places, file: Option<Arc<File>>) -> Result<u64> {
    let failed = |error: std::io::Error| format!("the server lost a connection: {error}");
    stream.set_nodelay(true).map_err(failed)?;
    let mut message = [0; MESSAGE];
    let mut page = vec![0; if file.is_some() { PAGE as usize } else { 0 }];
    let mut steps = Steps::new();
    loop {
        if let Some((read, _)) = places.stages() {
            hop(read).await.map_err(|error| error.to_string())?;
        }
        steps.step();
        match stream.read(&mut message).await.map_err(failed)? {
            0 => return Ok(steps.moves),
            MESSAGE => {}
            // A part of one: rare, and only where segments are cut.
            n => stream.read_exact(&mut message[n..]).await.map_err(failed)?,
        }
        steps.step();
        plan.work(plan.load.work[0]);
        if let Some((_, answer)) = places.stages() {
            hop(answer).await.map_err(|error| error.to_string())?;
            steps.step();
        }
        let (number, offset) = message.split_at(MESSAGE / 2);
        let number = u64::from_le_bytes(number.try_into().expect("eight bytes")) as u32;
        if let Some(file) = &file {
            let offset = u64::from_le_bytes(offset.try_into().expect("eight bytes"));
            file.read_exact_at(&mut page, offset).await.map_err(|error| format!("the file: {error}"))?;
            steps.step();
        }
        plan.work(plan.answer_ns(number));
        stream.write_all(&message).await.map_err(failed)?;
        // Release: pairs with the load in `serve_all`.
        plan.served.fetch_add(u64::from(plan.load.kind == Kind::Churn), Ordering::Release);
    }
}

/// Accepts as long as there are requests, in each group that listens.
async fn serve_all(plan: &Arc<Plan>, places: &Places) -> Result<()> {
    let mut listeners = Vec::new();
    for group in places.listeners() {
        listeners.push((group, plan.listen().await?));
    }
    let acceptors: Vec<JoinHandle<()>> = listeners
        .into_iter()
        .map(|(group, listener)| group.spawn(accept(listener, plan.clone(), places.clone())))
        .collect();
    plan.open();
    // Acquire: pairs with the additions in `serve` and, the last one, in `client`, which looks at the counters before.
    while plan.served.load(Ordering::Acquire) <= plan.requests() {
        pirn::time::sleep(Duration::from_millis(1)).await;
    }
    for acceptor in acceptors {
        acceptor.abort();
        let _ = acceptor.await;
    }
    Ok(())
}

async fn accept(listener: TcpListener, plan: Arc<Plan>, places: Places) {
    while let Ok((stream, _)) = listener.accept().await {
        let (plan, places) = (plan.clone(), places.clone());
        pirn::spawn(async move {
            // A connection that breaks is noticed by its client.
            if let Ok(moves) = serve(stream, plan.clone(), places, None).await {
                plan.count(&[], moves);
            }
        })
        .detach();
    }
}

/// The file, its hot part in memory and the rest not.
async fn prepare(plan: &Plan) -> Result<File> {
    let failed = |error: std::io::Error| format!("{}: {error}", plan.file.display());
    let (hot, size) = plan.file_size();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).open(&plan.file).await.map_err(failed)?;
    let there = file.metadata().await.map_err(failed)?.len();
    let block = vec![7; 1 << 18];
    let mut at = there;
    while at < size {
        let count = (size - at).min(block.len() as u64);
        file.write_all_at(&block[..count as usize], at).await.map_err(failed)?;
        at += count;
    }
    if there < size {
        file.sync_all().await.map_err(failed)?;
    }
    file.advise(.., Advice::DontNeed).await.map_err(failed)?;
    file.advise(.., Advice::Random).await.map_err(failed)?;
    let mut page = vec![0; PAGE as usize];
    for offset in (0..hot).step_by(PAGE as usize) {
        file.read_exact_at(&mut page, offset).await.map_err(failed)?;
    }
    Ok(file)
}

// ---- the clients ----

/// The client's main future: all connections, one request after another on each; first a few to warm up, for which nothing is counted.
pub(crate) async fn client(plan: Arc<Plan>) -> Result<()> {
    let mut streams: Vec<Option<TcpStream>> = (0..plan.connections).map(|_| None).collect();
    if plan.load.kind == Kind::Churn {
        drop(plan.connect().await?);
    } else {
        // One after another, so that the server deals them out in this order.
        for stream in &mut streams {
            *stream = Some(plan.connect().await?);
        }
    }
    let (streams, _) = talk_all(&plan, streams, 0..plan.warm_up).await?;
    plan.snapshot();
    let (_, latencies) = talk_all(&plan, streams, plan.warm_up..plan.warm_up + plan.rounds).await?;
    plan.snapshot();
    plan.count(&latencies, 0);
    // Release: pairs with the load in `serve_all`.
    plan.served.fetch_add(1, Ordering::Release);
    Ok(())
}

type Streams = Vec<Option<TcpStream>>;

/// Rounds on all connections; returns these and the latencies.
async fn talk_all(plan: &Arc<Plan>, streams: Streams, rounds: Range<u32>) -> Result<(Streams, Vec<u64>)> {
    let tasks: Vec<_> = (0..)
        .zip(streams)
        .map(|(number, stream)| pirn::spawn(talk(plan.clone(), number, stream, rounds.clone())))
        .collect();
    let (mut streams, mut all) = (Vec::new(), Vec::new());
    for task in tasks {
        let (stream, latencies) = finished(task).await??;
        streams.push(stream);
        all.extend(latencies);
    }
    Ok((streams, all))
}

/// Rounds on one connection, or with a connection for each. Latencies of the first quarter are left out: all begin at the same moment.
async fn talk(
    plan: Arc<Plan>,
    number: u32,
    mut open: Option<TcpStream>,
    rounds: Range<u32>,
) -> Result<(Option<TcpStream>, Vec<u64>)> {
    let failed = |error: std::io::Error| format!("connection {number} broke: {error}");
    let counted = rounds.start + rounds.len() as u32 / 4;
    let mut latencies = Vec::with_capacity(rounds.len());
    for round in rounds {
        let started = Instant::now();
        let stream = match &mut open {
            Some(stream) => stream,
            none => {
                let fresh = plan.connect().await?;
                fresh.set_nodelay(true).map_err(failed)?;
                none.insert(fresh)
            }
        };
        let offset = if plan.load.kind == Kind::Files { plan.offset(number, round) } else { 0 };
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&u64::from(number).to_le_bytes());
        message[8..].copy_from_slice(&offset.to_le_bytes());
        stream.write_all(&message).await.map_err(failed)?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer).await.map_err(failed)?;
        if answer != message {
            return Err(format!("connection {number}: the answer in round {round} is not what was asked"));
        }
        if round >= counted {
            latencies.push((Instant::now() - started).as_nanos() as u64);
        }
        if plan.load.kind == Kind::Churn {
            open = None;
        }
    }
    Ok((open, latencies))
}

// ---- task graphs ----

/// The main future of the graphs: so many at a time, one after another in each lane.
pub(crate) async fn graphs(plan: Arc<Plan>) -> Result<()> {
    plan.is_served_here();
    let places = Places::new(plan.shape);
    plan.snapshot();
    let lanes: Vec<_> =
        (0..plan.connections).map(|lane| places.graphs(lane).spawn(run_graphs(plan.clone()))).collect();
    for lane in lanes {
        let (latencies, moves) = finished(lane).await??;
        plan.count(&latencies, moves);
    }
    plan.snapshot();
    Ok(())
}

async fn run_graphs(plan: Arc<Plan>) -> Result<(Vec<u64>, u64)> {
    let (mut latencies, mut moves) = (Vec::new(), 0);
    let os = Handle::current().os();
    for _ in 0..plan.rounds {
        let started = Instant::now();
        let here = os.thread_id();
        let source: Node<()> = spawn_after(graph::NONE, async {});
        let nodes: Vec<Node<u64>> = (0..NODES)
            .map(|_| {
                let (plan, os) = (plan.clone(), os.clone());
                spawn_after([&source], async move {
                    plan.work(plan.load.work[1]);
                    u64::from(os.thread_id() != here)
                })
            })
            .collect();
        spawn_after(&nodes, async {}).await.map_err(|error| error.to_string())?;
        for node in nodes {
            moves += node.await.map_err(|error| error.to_string())?;
        }
        latencies.push((Instant::now() - started).as_nanos() as u64);
    }
    Ok((latencies, moves))
}
