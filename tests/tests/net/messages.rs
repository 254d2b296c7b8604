//! Datagrams and Unix sockets at their edges: what users of other runtimes rely on (the test suites of tokio, smol and compio ask for
//! it).

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{AsyncFd, UdpSocket, UnixAddress, UnixDatagram, UnixListener, UnixStream};
use pirn::time::{sleep, timeout};

use super::{any, everywhere, on_workers};

async fn two() -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?))
}

#[test]
fn an_empty_datagram_is_no_end() {
    everywhere("an_empty_datagram_is_no_end", async || {
        let (one, other) = two().await?;
        one.connect(other.local_addr()?).await?;
        other.connect(one.local_addr()?).await?;
        for size in [0, 3, 0, 0, 5] {
            one.send(&[7; 8][..size]).await?;
        }
        let mut buffer = [0; 8];
        for size in [0, 3, 0, 0, 5] {
            assert_eq!(other.recv(&mut buffer).await?, size);
        }
        let (one, other) = UnixDatagram::pair()?;
        one.send(&[]).await?;
        one.send(b"next").await?;
        assert_eq!(other.recv(&mut buffer).await?, 0);
        assert_eq!(other.recv(&mut buffer).await?, 4);
        Ok(())
    });
}

#[test]
fn a_second_connect_is_to_somebody_else() {
    everywhere("a_second_connect_is_to_somebody_else", async || {
        let (one, other) = two().await?;
        let third = UdpSocket::bind(any()).await?;
        let here = one.local_addr()?;
        one.connect(other.local_addr()?).await?;
        one.connect(third.local_addr()?).await?;
        assert_eq!(one.peer_addr()?, third.local_addr()?);
        other.send_to(b"forgotten", here).await?;
        third.send_to(b"heard", here).await?;
        let mut buffer = [0; 16];
        assert_eq!(one.recv(&mut buffer).await?, 5);
        assert_eq!(&buffer[..5], b"heard");
        one.send(b"to the third").await?;
        assert_eq!(third.recv(&mut buffer).await?, 12);
        Ok(())
    });
}

#[test]
fn one_task_sends_while_another_receives() {
    everywhere("one_task_sends_while_another_receives", async || {
        let (one, other) = two().await?;
        one.connect(other.local_addr()?).await?;
        other.connect(one.local_addr()?).await?;
        let one = Arc::new(one);
        let echo = pirn::spawn(async move {
            let mut buffer = [0; 8];
            for _ in 0..50 {
                let count = other.recv(&mut buffer).await?;
                other.send(&buffer[..count]).await?;
            }
            io::Result::Ok(())
        });
        let receiver = one.clone();
        let receiving = pirn::spawn(async move {
            let mut buffer = [0; 8];
            for number in 0..50_u32 {
                assert_eq!(receiver.recv(&mut buffer).await?, 4);
                assert_eq!(buffer[..4], number.to_le_bytes());
            }
            io::Result::Ok(())
        });
        for number in 0..50_u32 {
            one.send(&number.to_le_bytes()).await?;
            if number % 10 == 9 {
                sleep(Duration::from_millis(2)).await;
            }
        }
        receiving.await.expect("no panic")?;
        echo.await.expect("no panic")
    });
}

#[test]
fn a_receive_that_is_tried_never_waits() {
    on_workers(async || {
        let (one, other) = two().await?;
        let mut buffer = [0; 8];
        let error = other.try_recv_from(&mut buffer).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(timeout(Duration::from_millis(2), other.readable()).await.is_err());
        one.send_to(b"first", other.local_addr()?).await?;
        // Readiness may come without a reason: who tries then hears so.
        let count = loop {
            other.readable().await?;
            match other.try_recv_from(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => break received?.0,
            }
        };
        assert_eq!(&buffer[..count], b"first");
        assert_eq!(other.try_recv_from(&mut buffer).expect_err("taken").kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn datagrams_that_can_go_nowhere() {
    on_workers(async || {
        let socket = UdpSocket::bind(any()).await?;
        let nowhere = SocketAddr::new(socket.local_addr()?.ip(), 0);
        let error = socket.send_to(b"x", nowhere).await.expect_err("port 0 is nobody's");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let other_family: SocketAddr = "[::1]:9".parse().expect("an address");
        let error = socket.send_to(b"x", other_family).await.expect_err("a socket of IPv4");
        assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT), "{error}");
        // And the socket is as good as before.
        socket.send_to(b"x", socket.local_addr()?).await?;
        assert_eq!(socket.recv_from(&mut [0; 4]).await?.0, 1);
        Ok(())
    });
}

#[test]
fn a_datagram_socket_hears_that_its_peer_is_gone() {
    on_workers(async || {
        let (one, other) = UnixDatagram::pair()?;
        other.send(b"last").await?;
        drop(other);
        sleep(Duration::from_millis(2)).await;
        // What was sent stays.
        assert_eq!(one.recv(&mut [0; 8]).await?, 4);
        let error = one.send(b"x").await.expect_err("nobody is there");
        let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::NotConnected];
        assert!(kinds.contains(&error.kind()), "{error}");
        Ok(())
    });
}

#[test]
fn unix_datagrams_are_cut_to_the_buffer() {
    everywhere("unix_datagrams_are_cut_to_the_buffer", async || {
        let (one, other) = UnixDatagram::pair()?;
        one.send(b"abcdef").await?;
        one.send(b"next").await?;
        let mut buffer = [0; 3];
        assert_eq!(other.peek(&mut buffer[..1]).await?, 1);
        assert_eq!(other.recv(&mut buffer).await?, 3);
        assert_eq!(&buffer, b"abc");
        assert_eq!(other.recv(&mut buffer).await?, 3);
        assert_eq!(&buffer, b"nex");
        Ok(())
    });
}

/// An abstract name is bytes, with a length.
#[test]
fn abstract_names_of_all_bytes() {
    on_workers(async || {
        let long = [&std::process::id().to_le_bytes()[..], &[0, 0xff, b'/', 0], &[0; 99]].concat();
        assert_eq!(long.len(), 107);
        let names = [&long[..], &long[..106], &long[..8]].map(UnixAddress::from_abstract_name);
        let mut listeners = Vec::new();
        for name in names {
            let name = name?;
            let listener = UnixListener::bind(&name)?;
            assert_eq!(listener.local_addr()?, name, "zeros at its end belong to it");
            listeners.push((listener, name));
        }
        for (at, (listener, name)) in listeners.iter().enumerate() {
            let client = UnixStream::connect(name).await?;
            assert_eq!(client.peer_addr()?.as_abstract_name(), name.as_abstract_name());
            client.write_all(&[at as u8]).await?;
            let (server, peer) = listener.accept().await?;
            assert!(peer.is_unnamed());
            let mut byte = [0];
            server.read_exact(&mut byte).await?;
            assert_eq!(usize::from(byte[0]), at);
        }
        let error = UnixAddress::from_abstract_name([0; 108]).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// A path outlives its listener, as a file that nobody listens at.
#[test]
fn paths_stay_behind() {
    on_workers(async || {
        let path = std::env::temp_dir().join(format!("pirn-stays-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        assert_eq!(UnixListener::bind(&path).expect_err("taken").kind(), ErrorKind::AddrInUse);
        drop(listener);
        sleep(Duration::from_millis(2)).await;
        assert_eq!(UnixListener::bind(&path).expect_err("still there").kind(), ErrorKind::AddrInUse);
        let error = UnixStream::connect(&path).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        // A listener for streams is nobody to datagrams.
        std::fs::remove_file(&path)?;
        let listener = UnixListener::bind(&path)?;
        let error = UnixDatagram::unbound()?.connect(&path).await.expect_err("another kind");
        assert!(error.to_string().contains("wrong type"), "{error}");
        drop(listener);
        std::fs::remove_file(&path)?;
        std::fs::write(&path, "no socket")?;
        let error = UnixStream::connect(&path).await.expect_err("a file");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        std::fs::remove_file(&path)
    });
}

/// Room for one descriptor beside a message, aligned as the kernel wants it.
#[repr(align(8))]
struct Beside([u8; 64]);

/// Sends or receives one byte with a descriptor beside it, by the system's own call.
fn with_descriptor(socket: i32, fd: Option<i32>) -> io::Result<Option<OwnedFd>> {
    let mut byte = [7_u8];
    let mut slice = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut beside = Beside([0; 64]);
    // SAFETY: plain integers and pointers; zeros are a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut slice, 1);
    message.msg_control = (&raw mut beside.0).cast();
    // SAFETY: arithmetic. The room is larger than that.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
    // SAFETY: the header's pointers are to locals; what they point to has the lengths that stand beside them.
    unsafe {
        if let Some(fd) = fd {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
            return match libc::sendmsg(socket, &raw const message, 0) {
                1 => Ok(None),
                _ => Err(io::Error::last_os_error()),
            };
        }
        if libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) != 1 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS, "a descriptor came along");
        Ok(Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())))
    }
}

/// Descriptors travel beside bytes, which is a matter of the user's own calls.
#[test]
fn a_descriptor_is_handed_over() {
    on_workers(async || {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        let (one, other) = (AsyncFd::new(one)?, AsyncFd::new(other)?);
        let receiving =
            pirn::spawn(
                async move { other.read_with(|socket| with_descriptor(socket.as_raw_fd(), None)).await },
            );
        sleep(Duration::from_millis(2)).await;
        let (reader, writer) = pirn::net::pipe()?;
        let theirs = writer.into_fd().await.map_err(|(_, error)| error)?;
        one.write_with(|socket| with_descriptor(socket.as_raw_fd(), Some(theirs.as_raw_fd()))).await?;
        drop(theirs);
        let handed = receiving.await.expect("no panic")?.expect("a descriptor");
        let writer = pirn::net::PipeWriter::from_fd(handed)?;
        writer.write_all(b"through it").await?;
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await?;
        assert_eq!(all, b"through it");
        Ok(())
    });
}
