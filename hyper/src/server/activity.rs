//! What a connection's client is waited for, and whether it moves: seen at the stream's writes and at the answers' bodies.
//!
//! A client stalls when it owes something and nothing moves. It owes when the stream takes no bytes (HTTP/1, or all of HTTP/2), or when
//! a body gave a part and is not asked for the next (one stream of HTTP/2, whose window is full). In HTTP/2 written bytes are no sign of
//! life: an answer to a ping is written too.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::body::{Body, Buf, Frame, SizeHint};

use super::stats::{Answered, Stats};

/// Shared by a connection and its answers, which the connection's task drives. Relaxed throughout: counts, looked at once in a while.
#[derive(Debug, Default)]
pub(super) struct Activity {
    http2: AtomicBool,
    /// The stream takes no bytes now.
    blocked: AtomicBool,
    /// Bodies that gave a part and were not asked again.
    untaken: AtomicU64,
    /// Counts whatever shows that the client takes something.
    moves: AtomicU64,
    /// Requests whose answers have not been handed over whole.
    requests: AtomicU64,
}

impl Activity {
    pub(super) fn is_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    pub(super) fn wrote(&self, result: &Poll<io::Result<usize>>) {
        self.blocked.store(result.is_pending(), Relaxed);
        if matches!(result, Poll::Ready(Ok(_))) && !self.http2.load(Relaxed) {
            self.moved();
        }
    }

    pub(super) fn flushed(&self, result: &Poll<io::Result<()>>) {
        self.blocked.store(result.is_pending(), Relaxed);
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Relaxed);
    }

    /// Whether the client owes something now, and how far it has come.
    pub(super) fn look(&self) -> (bool, u64) {
        (self.blocked.load(Relaxed) || self.untaken.load(Relaxed) > 0, self.moves.load(Relaxed))
    }

    /// If there is no request, and nothing left to be written: how far the client has come.
    pub(super) fn idle(&self) -> Option<u64> {
        let idle = self.requests.load(Relaxed) == 0 && !self.blocked.load(Relaxed);
        idle.then(|| self.moves.load(Relaxed))
    }
}

/// A request of a connection, from its head to the end of its answer.
pub(super) struct Underway(Arc<Activity>);

impl Underway {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

/// What is said of an answer when it ends.
pub(super) struct Entry {
    pub(super) answered: Answered,
    pub(super) start: pirn::time::Instant,
    pub(super) log: Arc<super::Log>,
}

/// The body of an answer, watched.
pub(super) struct Watched<B> {
    body: B,
    request: Underway,
    stats: Arc<Stats>,
    entry: Option<Box<Entry>>,
    /// It gave a part and was not asked again.
    untaken: bool,
    ended: bool,
    bytes: u64,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, request: Underway, stats: &Arc<Stats>, entry: Option<Box<Entry>>) -> Self {
        request.0.moved();
        Self { body, request, stats: Arc::clone(stats), entry, untaken: false, ended: false, bytes: 0 }
    }

    fn set_untaken(&mut self, untaken: bool) {
        if self.untaken != untaken {
            self.untaken = untaken;
            if untaken {
                self.request.0.untaken.fetch_add(1, Relaxed);
            } else {
                self.request.0.untaken.fetch_sub(1, Relaxed);
                self.request.0.moved();
            }
        }
    }
}

impl<B: Body + Unpin> Body for Watched<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        this.set_untaken(false);
        let frame = Pin::new(&mut this.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                this.ended = this.body.is_end_stream();
                // Of the last part it is the stream that tells whether it is taken: nobody asks again.
                this.set_untaken(!this.ended);
            }
            Poll::Ready(None) => this.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.set_untaken(false);
        self.stats.bytes.fetch_add(self.bytes, Relaxed);
        if let Some(mut entry) = self.entry.take() {
            entry.answered.bytes = self.bytes;
            entry.answered.whole = self.ended;
            entry.answered.took = pirn::time::Instant::now() - entry.start;
            (entry.log)(&entry.answered);
        }
    }
}
