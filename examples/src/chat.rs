//! A chat room: each member's lines go to all members, in one order. A member who does not read is shown out; the others never wait for anybody.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt as _;
use pirn::net::TcpStream;
use tokio::sync::mpsc;

use crate::net::Net;
use crate::run::{Host, host};

/// Lines that may wait for one member.
const WAITING: usize = 64;
/// The longest line.
const LONGEST: usize = 1 << 10;
/// In the example: members, and what each says.
const MEMBERS: usize = 3;
const LINES: usize = 4;

pub(crate) fn hosts() -> Vec<Host> {
    vec![host("server", server), host("client", client)]
}

#[derive(Default)]
struct Room {
    next: u64,
    members: BTreeMap<u64, mpsc::Sender<Arc<str>>>,
}

impl Room {
    fn enter(&mut self) -> (u64, mpsc::Receiver<Arc<str>>) {
        let (sender, lines) = mpsc::channel(WAITING);
        self.next += 1;
        self.members.insert(self.next, sender);
        (self.next, lines)
    }

    /// Under the room's lock, so all see one order. Who has no room for it is out.
    fn say(&mut self, line: &str) {
        let line: Arc<str> = line.into();
        self.members.retain(|_, member| member.try_send(Arc::clone(&line)).is_ok());
    }
}

async fn server(net: Net) -> io::Result<()> {
    let listener = net.listen("server").await?;
    let room = Arc::<Mutex<Room>>::default();
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let room = Arc::clone(&room);
            pirn::spawn(async move {
                let (number, lines) = room.lock().expect("no panic").enter();
                // Whichever ends first: who has left gets nothing, who is shown out says nothing.
                let _ = hear(&stream, lines).or(listen(&stream, &room, number)).await;
                room.lock().expect("no panic").members.remove(&number);
            })
            .detach();
        }
    };
    serve.or(net.closing_time()).await
}

/// Sends a member what is said.
async fn hear(stream: &TcpStream, mut lines: mpsc::Receiver<Arc<str>>) -> io::Result<()> {
    stream.write_all(b"welcome\n").await?;
    while let Some(line) = lines.recv().await {
        stream.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

/// Tells the room what a member says.
async fn listen(stream: &TcpStream, room: &Mutex<Room>, number: u64) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next().await? {
        room.lock().expect("no panic").say(&format!("{number}: {line}\n"));
    }
    Ok(())
}

/// The lines of a stream.
struct Lines<'a> {
    stream: &'a TcpStream,
    bytes: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// The next line without its end. Too long a line is an error, a last one without an end is dropped.
    async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.bytes.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
            }
            let mut part = [0; 512];
            match self.stream.read(&mut part).await? {
                0 => return Ok(None),
                count => self.bytes.extend_from_slice(&part[..count]),
            }
        }
    }
}

async fn client(net: Net) -> io::Result<()> {
    let mut heard = Vec::new();
    // All enter before anybody speaks, so all have to hear the same.
    let mut streams = Vec::new();
    for _ in 0..MEMBERS {
        let stream = net.connect("server").await?;
        let mut welcome = [0; 8];
        stream.read_exact(&mut welcome).await?;
        streams.push(stream);
    }
    let mut members = pirn::task::JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        members.spawn(async move {
            for line in 0..LINES {
                stream.write_all(format!("line {line} of {number}\n").as_bytes()).await?;
                pirn::yield_now().await;
            }
            let mut lines = Lines::new(&stream);
            let mut heard = Vec::new();
            while heard.len() < MEMBERS * LINES {
                heard.push(lines.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            io::Result::Ok(heard)
        });
    }
    while let Some(member) = members.join_next().await {
        heard.push(member??);
    }
    assert!(heard.iter().all(|lines| *lines == heard[0]), "members heard different things: {heard:?}");
    for number in 0..MEMBERS {
        let end = format!("of {number}");
        let own: Vec<&String> = heard[0].iter().filter(|line| line.ends_with(&end)).collect();
        assert!(own.is_sorted() && own.len() == LINES, "{own:?}");
    }
    Ok(())
}
