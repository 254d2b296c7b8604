//! Whole files: read, written, copied.

use std::io;
use std::path::Path;

use super::op;
use super::options::open;
use super::{File, OpenOptions};
use crate::os::file::OpenHow;

/// Bytes of one step of a copy.
const STEP: usize = 256 << 10;

/// Reads a whole file.
///
/// Cancel-safe.
///
/// # Errors
/// The system's, with the path: not there, a folder, a medium that fails.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let at = path.as_ref();
    let file = open(OpenHow { read: true, ..OpenHow::default() }, at).await?;
    read_all(&file).await.map_err(|error| op::failed("read", at, error))
}

async fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata().await?.len()).unwrap_or(usize::MAX);
    // A byte more, so that the end is seen without another buffer.
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length.saturating_add(1))?;
    let mut offset = 0;
    loop {
        if bytes.capacity() == bytes.len() {
            // It grew, or its file system knows no length.
            bytes.try_reserve(bytes.len().max(4096))?;
        }
        let (result, back) = file.read_owned_at(bytes, offset).await;
        bytes = back;
        match result? {
            0 => return Ok(bytes),
            count => offset += count as u64,
        }
    }
}

/// Reads a whole file as text.
///
/// Cancel-safe.
///
/// # Errors
/// As [`read`], and `InvalidData` if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let at = path.as_ref();
    String::from_utf8(read(at).await?).map_err(|error| {
        let at_byte = error.utf8_error().valid_up_to();
        let message = format!("{} is no text: from byte {at_byte} on it is not UTF-8", at.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Makes a file with this content, in place of what it held.
///
/// Not cancel-safe: dropped before its end, it may have written a part. To replace a file as a whole, write another one,
/// [`sync_all`](File::sync_all) it and [`rename`](super::rename) it.
///
/// # Errors
/// The system's, with the path: a folder, no room left, a medium that fails.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let at = path.as_ref();
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(at).await?;
    file.write_all_at(contents.as_ref(), 0).await.map_err(|error| op::failed("write", at, error))
}

/// Copies the content and permissions of a file, in place of what `to` held, and returns how many bytes.
///
/// Not cancel-safe: dropped before its end, it may have written a part.
///
/// # Errors
/// `InvalidInput` if `from` is no regular file, or the same file as `to`; the system's, with a path.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let source = File::open(from).await?;
    let facts = source.metadata().await?;
    let refuse = |why: &str| {
        let message = format!("cannot copy {} to {}: {why}", from.display(), to.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    };
    if !facts.is_file() {
        return refuse("only regular files can be copied");
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(facts.permissions().mode());
    let target = options.open(to).await?;
    if target.metadata().await?.is_same_file(&facts) {
        return refuse("both are the same file");
    }
    target.set_len(0).await.map_err(|error| op::failed("write", to, error))?;
    let mut offset = 0;
    let mut buffer = Vec::with_capacity(STEP);
    loop {
        buffer.clear();
        let (result, back) = source.read_owned_at(buffer, offset).await;
        let count = result.map_err(|error| op::failed("read", from, error))? as u64;
        if count == 0 {
            break;
        }
        let (result, back) = target.write_owned_at(back, offset).await;
        result.map_err(|error| op::failed("write", to, error))?;
        buffer = back;
        offset += count;
    }
    target
        .set_permissions(facts.permissions())
        .await
        .map_err(|error| op::failed("set the permissions of", to, error))?;
    Ok(offset)
}
