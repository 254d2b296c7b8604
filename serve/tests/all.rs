//! The file server behind a real server, on each live backend and in the simulator.

mod files;
mod hostile;
mod limits;
mod simulated;
mod site;
