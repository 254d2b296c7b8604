//! The file server behind a real server, on each live backend and on simulated hosts.

mod files;
mod hostile;
mod limits;
mod simulated;
mod site;
