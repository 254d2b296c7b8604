//! Which HTTP a connection without TLS speaks: HTTP/2 begins with a preface that no other request begins with.

use std::io;

use futures_io::AsyncRead;
use futures_lite::AsyncReadExt as _;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What the first read is offered: most first requests are whole then.
const ROOM: usize = 1 << 10;

/// Whether it is HTTP/2, and the bytes that it took to know, which are the connection's first. Fewer than one: it has ended.
pub(super) async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Vec<u8>)> {
    let mut bytes = vec![0; ROOM];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut bytes[filled..]).await?;
        filled += count;
        let looked_at = filled.min(PREFACE.len());
        let alike = bytes[..looked_at] == PREFACE[..looked_at];
        if !alike || count == 0 || looked_at == PREFACE.len() {
            bytes.truncate(filled);
            return Ok((alike && looked_at == PREFACE.len(), bytes));
        }
    }
}
