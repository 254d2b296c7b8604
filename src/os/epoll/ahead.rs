//! What a ring took from the kernel before anybody asked for it: bytes, connections, an error. It is handed out first.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};

use crate::os::{Address, Fd};

/// Bytes held for one socket before its ring is told to take no more: what the kernel's own buffer starts with, about.
const MOST_BYTES: usize = 128 << 10;
/// Connections held for one listener before the same.
const MOST_CONNECTIONS: usize = 64;
/// A chunk that large is better handed over than copied.
const MUCH: usize = 4 << 10;
/// A chunk that small is appended to the one before it.
const SMALL: usize = 1 << 10;

/// The queue of one side.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that were handed out.
    at: usize,
    /// Bytes left in all chunks.
    held: usize,
    connections: VecDeque<(Fd, Address)>,
    /// An error the kernel told once, met behind the bytes; 0: the end of the stream, which it tells again.
    failed: Option<i32>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0 && self.connections.is_empty() && self.failed.is_none()
    }

    /// Whether so much is held that no more should be taken.
    pub(super) fn is_full(&self) -> bool {
        self.held >= MOST_BYTES || self.connections.len() >= MOST_CONNECTIONS
    }

    /// Bytes that were not handed out.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn push(&mut self, chunk: Vec<u8>) {
        self.held += chunk.len();
        match self.chunks.back_mut() {
            Some(last) if chunk.len() <= SMALL && last.len() + chunk.len() <= last.capacity().max(SMALL) => {
                last.extend_from_slice(&chunk);
            }
            _ => self.chunks.push_back(chunk),
        }
    }

    pub(super) fn push_connection(&mut self, fd: Fd, peer: Address) {
        self.connections.push_back((fd, peer));
    }

    pub(super) fn connection(&mut self) -> Option<(Fd, Address)> {
        self.connections.pop_front()
    }

    /// Nothing follows but this error (0: the end).
    pub(super) fn fail(&mut self, errno: i32) {
        self.failed = Some(errno);
    }

    /// At most `max` of the bytes, as a buffer of their own; behind them the error. `None`: nothing is held.
    pub(super) fn take(&mut self, max: usize) -> Option<io::Result<Vec<u8>>> {
        let Some(first) = self.chunks.front() else {
            return self.end().map(|end| end.map(|()| Vec::new()));
        };
        if self.at == 0 && first.len() <= max {
            self.held -= first.len();
            return self.chunks.pop_front().map(Ok);
        }
        let end = first.len().min(self.at + max);
        let part = first[self.at..end].to_vec();
        self.consume(part.len());
        Some(Ok(part))
    }

    /// Copies bytes into the slices, and consumes them unless it is a peek. `None`: nothing is held.
    pub(super) fn copy(&mut self, into: &mut [IoSliceMut<'_>], peek: bool) -> Option<io::Result<usize>> {
        if self.chunks.is_empty() {
            return self.end().map(|end| end.map(|()| 0));
        }
        let (mut chunk, mut at, mut count) = (0, self.at, 0);
        'slices: for slice in into {
            let mut filled = 0;
            while filled < slice.len() {
                let Some(bytes) = self.chunks.get(chunk) else { break 'slices };
                let part = (bytes.len() - at).min(slice.len() - filled);
                slice[filled..filled + part].copy_from_slice(&bytes[at..at + part]);
                (filled, at, count) = (filled + part, at + part, count + part);
                if at == bytes.len() {
                    (chunk, at) = (chunk + 1, 0);
                }
            }
        }
        if !peek {
            self.consume(count);
        }
        Some(Ok(count))
    }

    /// Moves bytes behind those of `into`, as far as its capacity goes: without a copy if it is empty and a chunk is as good a
    /// buffer, or one of at least `least` that would be much to copy. `None`: nothing is held.
    pub(super) fn hand_over(&mut self, into: &mut Vec<u8>, least: usize) -> Option<io::Result<usize>> {
        let Some(first) = self.chunks.front() else {
            return self.end().map(|end| end.map(|()| 0));
        };
        let whole = self.at == 0 && first.len() <= into.capacity();
        let least = if first.len() >= MUCH { least } else { into.capacity() };
        let whole = whole && first.capacity() >= least;
        if into.is_empty()
            && whole
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.held -= chunk.len();
            *into = chunk;
            return Some(Ok(into.len()));
        }
        let before = into.len();
        while let Some(first) = self.chunks.front()
            && into.len() < into.capacity()
        {
            let part = (first.len() - self.at).min(into.capacity() - into.len());
            into.extend_from_slice(&first[self.at..self.at + part]);
            self.consume(part);
        }
        Some(Ok(into.len() - before))
    }

    fn end(&mut self) -> Option<io::Result<()>> {
        self.failed
            .take()
            .map(|errno| if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) })
    }

    fn consume(&mut self, mut count: usize) {
        self.held -= count;
        while let Some(first) = self.chunks.front()
            && count > 0
        {
            let part = count.min(first.len() - self.at);
            self.at += part;
            count -= part;
            if self.at == first.len() {
                self.at = 0;
                self.chunks.pop_front();
            }
        }
    }
}
