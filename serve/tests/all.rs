//! The file server behind a real server, on each live backend.

mod files;
mod hostile;
mod limits;
mod site;
