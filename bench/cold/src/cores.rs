//! Servers whose two threads share nothing, with a ring each that takes every read: monoio, compio, glommio. Each thread has a listener of its own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

use crate::disk::{COLD, COLDS, HOT, cold, hot};
use crate::{ANSWER, ASKS, Request, announce};

/// Threads of a server.
const THREADS: usize = 2;

/// Opens the files: the hot one, then the cold ones.
fn open<T>(folder: &Path, take: impl Fn(File) -> io::Result<T>) -> io::Result<Rc<Vec<T>>> {
    let mut files = vec![take(File::open(hot(folder))?)?];
    for file in 0..COLDS {
        files.push(take(File::open(cold(folder, file))?)?);
    }
    Ok(Rc::new(files))
}

/// What runs on a thread, with a listener; it tells its address when it listens.
type Serve = fn(&Path, TcpListener, Sender<SocketAddr>) -> io::Result<()>;

/// Runs `serve` on each thread.
fn on_threads(folder: &Path, serve: Serve) -> Result<(), String> {
    let failed = |error: io::Error| format!("a server without shared state: {error}");
    let mut listeners = Vec::new();
    for _ in 0..THREADS {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?);
    }
    let (tell, told) = channel();
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let (folder, tell) = (folder.to_owned(), tell.clone());
            std::thread::spawn(move || serve(&folder, listener, tell))
        })
        .collect();
    drop(tell);
    announce(&told.iter().take(THREADS).collect::<Vec<_>>());
    for thread in threads {
        thread.join().map_err(|_| "a server's thread panicked".to_owned())?.map_err(failed)?;
    }
    Ok(())
}

/// Which file, from where, how much.
fn place(request: Request) -> (usize, u64, usize) {
    match request {
        Request::Hot(place) => (0, place, HOT),
        Request::Cold(file) => (file + 1, 0, COLD),
    }
}

/// monoio.
pub(crate) fn monoio(folder: &Path) -> Result<(), String> {
    on_threads(folder, |folder, listener, tell| {
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
        runtime.block_on(async move {
            let files = open(folder, monoio::fs::File::from_std)?;
            listener.set_nonblocking(true)?;
            let _ = tell.send(listener.local_addr()?);
            let listener = monoio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                monoio::spawn(on_monoio(stream, files.clone()));
            }
        })
    })
}

async fn on_monoio(mut stream: monoio::net::TcpStream, files: Rc<Vec<monoio::fs::File>>) {
    use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
    let (mut asked, mut answer) = (vec![0; ASKS], vec![0; ANSWER]);
    let mut buffers = [vec![0; HOT], Vec::new()];
    loop {
        let (result, back) = stream.read_exact(asked).await;
        asked = back;
        if result.is_err() {
            return;
        }
        let (file, offset, length) = place(Request::parse(&asked));
        let kind = usize::from(file > 0);
        let mut buffer = std::mem::take(&mut buffers[kind]);
        buffer.resize(length, 0);
        let (result, back) = files[file].read_exact_at(buffer, offset).await;
        result.expect("a read");
        answer.copy_from_slice(&back[..ANSWER]);
        buffers[kind] = back;
        let (result, back) = stream.write_all(answer).await;
        answer = back;
        if result.is_err() {
            return;
        }
    }
}

/// compio.
pub(crate) fn compio(folder: &Path) -> Result<(), String> {
    on_threads(folder, |folder, listener, tell| {
        let runtime = compio::runtime::Runtime::new()?;
        runtime.block_on(async move {
            let mut files = vec![compio::fs::File::open(hot(folder)).await?];
            for file in 0..COLDS {
                files.push(compio::fs::File::open(cold(folder, file)).await?);
            }
            let files = Rc::new(files);
            listener.set_nonblocking(true)?;
            let _ = tell.send(listener.local_addr()?);
            let listener = compio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                compio::runtime::spawn(on_compio(stream, files.clone())).detach();
            }
        })
    })
}

async fn on_compio(mut stream: compio::net::TcpStream, files: Rc<Vec<compio::fs::File>>) {
    use compio::buf::BufResult;
    use compio::io::{AsyncReadAtExt, AsyncReadExt, AsyncWriteExt};
    let (mut asked, mut answer) = (vec![0; ASKS], vec![0; ANSWER]);
    let mut buffers = [vec![0; HOT], Vec::new()];
    loop {
        let BufResult(result, back) = stream.read_exact(asked).await;
        asked = back;
        if result.is_err() {
            return;
        }
        let (file, offset, length) = place(Request::parse(&asked));
        let kind = usize::from(file > 0);
        let mut buffer = std::mem::take(&mut buffers[kind]);
        buffer.resize(length, 0);
        let BufResult(result, back) = files[file].read_exact_at(buffer, offset).await;
        result.expect("a read");
        answer.copy_from_slice(&back[..ANSWER]);
        buffers[kind] = back;
        let BufResult(result, back) = stream.write_all(answer).await;
        answer = back;
        if result.is_err() {
            return;
        }
    }
}

/// An error of glommio's, which is not Sync.
fn told(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// glommio.
pub(crate) fn glommio(folder: &Path) -> Result<(), String> {
    use glommio::{LocalExecutorBuilder, Placement};
    on_threads(folder, |folder, listener, tell| {
        // It makes its own listeners.
        let address = listener.local_addr()?;
        drop(listener);
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(told)?;
        executor.run(async move {
            let mut files = vec![glommio::io::BufferedFile::open(hot(folder)).await.map_err(told)?];
            for file in 0..COLDS {
                let path = cold(folder, file);
                files.push(glommio::io::BufferedFile::open(path).await.map_err(told)?);
            }
            let files = Rc::new(files);
            let listener = glommio::net::TcpListener::bind(address).map_err(told)?;
            let _ = tell.send(address);
            loop {
                let stream = listener.accept().await.map_err(told)?;
                stream.set_nodelay(true).map_err(told)?;
                glommio::spawn_local(on_glommio(stream, files.clone())).detach();
            }
        })
    })
}

async fn on_glommio(mut stream: glommio::net::TcpStream, files: Rc<Vec<glommio::io::BufferedFile>>) {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let mut asked = [0; ASKS];
    while stream.read_exact(&mut asked).await.is_ok() {
        let (file, offset, length) = place(Request::parse(&asked));
        // Its buffers are its own, and a read may be short.
        let (mut read, mut answer) = (0, [0; ANSWER]);
        while read < length {
            let part = files[file].read_at(offset + read as u64, length - read).await.expect("a read");
            assert!(!part.is_empty(), "a file ended early");
            if read == 0 {
                answer.copy_from_slice(&part[..ANSWER]);
            }
            read += part.len();
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}
