//! Files: opened, read and written without a worker ever waiting for the disk.
//!
//! A read asks the page cache first, and what is in memory is copied at once, with breaks if it is much. Everything else is an op: the
//! kernel's own (io_uring, where it has one) or a call on a side thread, so that a cold read delays nobody but its reader. At most 64
//! such calls run at a time, of each worker on io_uring and of all on epoll; more wait for their turn.
//!
//! **What is not in memory** is read by the file's policy, [`ColdReads`], an option of [`OpenOptions`]: an op of the ring (the default), a hop of the
//! task to the group `slow`, or readahead and a copy from memory. Under all of them a read of what is in memory waits for nobody. For a mapped file:
//! [`File::is_resident`] asks about a part of the mapping (mincore), and [`File::load`] has it brought into memory before it is touched:
//!
//! ```no_run
//! # use pirn::fs::{File, Residency};
//! # async fn first(file: &File, mapped: &[u8]) -> std::io::Result<u8> {
//! if file.is_resident(mapped) != Residency::Resident {
//!     file.load(0..mapped.len() as u64).await?; // the task waits, not its worker
//! }
//! Ok(mapped[0])
//! # }
//! ```
//!
//! **What becomes of a future that is dropped.** Its op is cancelled if it has not begun. An op that has begun goes on: a file
//! that is opened all the same is closed, bytes that are read are thrown away (and can be read again), and a write, rename
//! or removal may have taken place, in part or as a whole. No buffer is given up under an op: ops own their buffers.
//!
//! **When is it on the disk?** After [`File::sync_all`], and for a file that was made or renamed after a `sync_all` of its folder
//! too ([`File::open`] opens folders).
//!
//! Paths are those of the process, or of the host's disk in the simulator, where the current folder is `/`.
//! Dropping the last handle of a file closes it in place; where that may take long (the last name of a large file is gone, a file
//! system over a network), [`File::close`] does it elsewhere.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use pirn::fs;
//!
//! let folder = std::env::temp_dir().join(format!("pirn-example-{}", std::process::id()));
//! pirn::Runtime::new()?.block_on(async {
//!     fs::create_dir_all(&folder).await?;
//!     fs::write(folder.join("greeting"), "hello").await?;
//!     assert_eq!(fs::read_to_string(folder.join("greeting")).await?, "hello");
//!
//!     let file = fs::File::open(folder.join("greeting")).await?;
//!     let mut two = [0; 2];
//!     file.read_exact_at(&mut two, 3).await?;
//!     assert_eq!(&two, b"lo");
//!     fs::remove_dir_all(&folder).await
//! })
//! # }
//! ```

pub use self::cold::ColdReads;
pub use self::directory::{
    DirEntry, ReadDir, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all,
};
pub use self::file::{File, Residency};
pub use self::metadata::{Metadata, Permissions, metadata, set_permissions, symlink_metadata, try_exists};
pub use self::names::{canonicalize, hard_link, read_link, remove_file, rename, symlink};
pub use self::options::OpenOptions;
pub use self::whole::{copy, read, read_to_string, write};
pub use crate::os::file::{Advice, FileKind};

mod cold;
mod cursor;
mod directory;
mod file;
mod metadata;
mod names;
mod op;
mod options;
mod traits;
mod whole;
