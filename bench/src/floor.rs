//! The floor: echo by a plain loop over an edge-triggered epoll set, one loop a thread, with no task, no timer and, after
//! a connection was accepted, no allocation. What a runtime takes beyond this is the runtime's.
//!
//! Edges are the cheaper ones here: a level-triggered set puts each reported socket back and asks it once more at the
//! next wait. A read that does not fill the buffer has emptied the queue, so a message is one read, one write and a share
//! of one wait.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

use crate::child;
use crate::epoll::{self, EDGES, READ, Set};

/// The key of the listener.
const LISTENER: u64 = u64::MAX;

/// A connection, at the index of its descriptor.
struct Connection {
    stream: TcpStream,
    /// What was read and did not fit into the socket; nothing is read until it has left.
    owed: Vec<u8>,
}

/// Serves for ever with so many loops, each with a buffer of its own for all its connections.
pub(crate) fn serve(loops: usize, buffer: usize) -> io::Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = listen(address)?;
    let address = first.local_addr()?;
    let others = (1..loops).map(|_| listen(address)).collect::<io::Result<Vec<_>>>()?;
    for listener in others {
        std::thread::spawn(move || run(&listener, buffer).expect("a loop failed"));
    }
    child::announce(address);
    run(&first, buffer)
}

/// A listener that shares its port with those of the other loops.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let SocketAddr::V4(address) = address else {
        return Err(io::Error::other("the floor listens on IPv4"));
    };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    };
    let one = 1_i32;
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the descriptor is fresh and owned at once; the pointers are to locals, with their sizes.
    unsafe {
        let listener = TcpListener::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?);
        let (fd, size) = (listener.as_raw_fd(), size_of::<i32>() as u32);
        check(libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, (&raw const one).cast(), size))?;
        check(libc::bind(fd, (&raw const name).cast(), size_of::<libc::sockaddr_in>() as u32))?;
        check(libc::listen(fd, 1024))?;
        Ok(listener)
    }
}

fn run(listener: &TcpListener, buffer: usize) -> io::Result<()> {
    let mut set = Set::new()?;
    set.add(listener.as_raw_fd(), READ, LISTENER)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; buffer];
    loop {
        for at in 0..set.wait(-1)? {
            match set.key(at) {
                LISTENER => accept(listener, &set, &mut connections)?,
                key => {
                    let slot = &mut connections[key as usize];
                    let alive = slot.as_mut().is_some_and(|connection| connection.serve(&mut buffer));
                    if !alive {
                        *slot = None;
                    }
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, set: &Set, connections: &mut Vec<Option<Connection>>) -> io::Result<()> {
    while let Some((stream, _)) = epoll::not_now(listener.accept())? {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let fd = stream.as_raw_fd();
        if connections.len() <= fd as usize {
            connections.resize_with(fd as usize + 1, || None);
        }
        connections[fd as usize] = Some(Connection { stream, owed: Vec::new() });
        set.add(fd, EDGES, fd as u64)?;
    }
    Ok(())
}

impl Connection {
    /// Sends back what is there; whether the connection goes on.
    fn serve(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            if !self.owed.is_empty() {
                match epoll::write(&self.stream, &self.owed) {
                    Ok(Some(count)) => drop(self.owed.drain(..count)),
                    Ok(None) => return true,
                    Err(_) => return false,
                }
                continue;
            }
            let read = match epoll::read(&self.stream, buffer) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(count)) => count,
                Ok(None) => return true,
            };
            match epoll::write(&self.stream, &buffer[..read]) {
                Ok(sent) if sent == Some(read) => {
                    if read < buffer.len() {
                        return true;
                    }
                }
                Ok(sent) => self.owed.extend_from_slice(&buffer[sent.unwrap_or(0)..read]),
                Err(_) => return false,
            }
        }
    }
}
