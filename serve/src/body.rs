//! Bodies of answers: nothing, bytes at hand, or a range of a file that is read as it is sent.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Bytes, Frame, SizeHint};
use pirn::fs::File;

/// Bytes that one read asks for. Files up to this are read before the answer begins, and leave in one write with its head.
pub(crate) const PART: usize = 64 << 10;

/// The body of an answer.
pub struct Body(Kind);

enum Kind {
    Bytes(Bytes),
    File(Reading),
}

/// A range of a file.
struct Reading {
    file: Arc<File>,
    offset: u64,
    left: u64,
    next: Option<Pin<Box<Read>>>,
}

type Read = dyn Future<Output = io::Result<Bytes>> + Send;

/// Why a body ended early. The server breaks the connection off, so that the client knows.
#[derive(Debug)]
pub enum BodyError {
    /// The file could not be read.
    Read(io::Error),
    /// The file became shorter while it was sent.
    Shorter {
        /// How many of the promised bytes are missing.
        missing: u64,
    },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "a file could not be read while it was sent: {error}"),
            Self::Shorter { missing } => {
                write!(
                    f,
                    "a file became shorter while it was sent: {missing} of the promised bytes are missing"
                )
            }
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Shorter { .. } => None,
        }
    }
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self(Kind::Bytes(Bytes::new()))
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }

    /// `length` bytes of a file from `offset` on. What is small is read now.
    pub(crate) async fn file(file: File, offset: u64, length: u64) -> Result<Self, BodyError> {
        if length <= PART as u64 {
            let bytes = read(Arc::new(file), offset, length as usize).await.map_err(BodyError::Read)?;
            return match length - bytes.len() as u64 {
                0 => Ok(Self::bytes(bytes)),
                missing => Err(BodyError::Shorter { missing }),
            };
        }
        Ok(Self(Kind::File(Reading { file: Arc::new(file), offset, left: length, next: None })))
    }
}

async fn read(file: Arc<File>, offset: u64, count: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; count];
    let count = file.read_at(&mut bytes, offset).await?;
    bytes.truncate(count);
    Ok(bytes.into())
}

impl Reading {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = self.next.get_or_insert_with(|| {
            let count = usize::try_from(self.left).unwrap_or(PART).min(PART);
            Box::pin(read(Arc::clone(&self.file), self.offset, count))
        });
        let result = ready!(next.as_mut().poll(context));
        self.next = None;
        Poll::Ready(Some(match result {
            Ok(bytes) if bytes.is_empty() => Err(BodyError::Shorter { missing: self.left }),
            Ok(bytes) => {
                self.offset += bytes.len() as u64;
                self.left -= bytes.len() as u64;
                Ok(bytes)
            }
            Err(error) => Err(BodyError::Read(error)),
        }))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::File(reading) => reading.poll(context).map(|part| part.map(|part| part.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Kind::Bytes(bytes) => bytes.len() as u64,
            Kind::File(reading) => reading.left,
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = hyper::body::Body::size_hint(self).lower();
        f.debug_struct("Body").field("left", &left).finish_non_exhaustive()
    }
}
