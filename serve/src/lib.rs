//! The file server of `pirn serve`, as a library: what is in a folder, over HTTP.
//!
//! [`Files`] answers GET and HEAD, with ranges, entity tags, dates, content types, `index.html`, listings of folders and files that were
//! compressed beforehand. It is a handler and no more: `pirn_hyper::Server` serves it, and so does any other server that
//! speaks hyper's types, in a simulated world too.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pirn_serve::Files;
//!
//! # let folder = std::env::temp_dir().join(format!("pirn-serve-example-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::fs::write(folder.join("tea.txt"), "hot")?;
//! # pirn::Runtime::new()?.block_on(async {
//! let files = Files::open(&folder).await?;
//! let request = hyper::Request::get("/tea.txt").body(())?;
//! let response = files.respond(&request).await;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
//!
//! let request = hyper::Request::get("/%2e%2e/secret").body(())?;
//! assert_eq!(files.respond(&request).await.status(), 400);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! **What is never served**: anything outside of the folder, by whatever spelling or symbolic link (the kernel refuses it,
//! [`open_beneath`](pirn::fs::OpenOptions::open_beneath)); anything that is no regular file or folder; names that begin with a dot, except
//! `.well-known` and unless asked for.
//!
//! **Who waits for the disk?** The request that needs it. What is in the page cache is read in place.

pub use self::body::{Body, BodyError};
pub use self::files::Files;

mod body;
mod conditions;
mod encoding;
mod files;
mod listing;
mod path;
