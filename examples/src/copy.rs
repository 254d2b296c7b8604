//! Copies a file: the next part is read while the last one is written, and the copy gets its name when it is whole and on the medium.

use std::io;
use std::path::Path;

use futures_lite::future::zip;
use pirn::fs::{self, File, OpenOptions};

use crate::net::Net;
use crate::run::{Host, host};

/// Bytes of a part.
const PART: usize = 64 << 10;

pub(crate) fn hosts() -> Vec<Host> {
    vec![host("client", client)]
}

/// Copies `from` to `to`; returns the length. Whoever looks finds no copy or a whole one, after a loss of power too.
pub(crate) async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let unfinished = to.with_added_extension("part");
    let (source, target) = (File::open(from).await?, File::create(&unfinished).await?);
    let mut place = 0;
    let mut now = read(&source, Vec::new(), 0).await?;
    let mut spare = Vec::new();
    while !now.is_empty() {
        let next = place + now.len() as u64;
        let (written, ahead) = zip(target.write_owned_at(now, place), read(&source, spare, next)).await;
        written.0?;
        (spare, now, place) = (written.1, ahead?, next);
    }
    target.sync_all().await?;
    fs::rename(&unfinished, to).await?;
    // The name is on the medium when its folder is.
    File::open(to.parent().unwrap_or(Path::new("."))).await?.sync_all().await?;
    Ok(place)
}

/// Reads a part into a buffer that was used before.
async fn read(file: &File, mut buffer: Vec<u8>, place: u64) -> io::Result<Vec<u8>> {
    buffer.resize(PART, 0);
    let count = file.read_at(&mut buffer, place).await?;
    buffer.truncate(count);
    Ok(buffer)
}

async fn client(_: Net) -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("pirn-example-copy-{}", std::process::id()));
    fs::create_dir_all(&folder).await?;
    for length in [0, 1, PART, PART + 1, 5 * PART - 1] {
        let (from, to) = (folder.join("from"), folder.join("to"));
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&from).await?;
        file.write_all_at(&bytes, 0).await?;
        assert_eq!(copy(&from, &to).await?, length as u64);
        assert!(fs::read(&to).await? == bytes, "the copy of {length} bytes differs");
    }
    fs::remove_dir_all(&folder).await
}
