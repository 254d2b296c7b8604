//! What every live machine does alike, over its own kind of descriptor: names, children.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use super::signal;

/// Asks the system's resolver. Blocks.
pub(super) fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    Ok(found)
}

/// Starts a child and opens its pidfd. A child that can't be watched is ended again.
pub(super) fn start_child(command: &mut Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = command.spawn()?;
    match signal::pidfd(child.id()) {
        Ok(pidfd) => Ok((child, pidfd)),
        Err(error) => {
            drop(child.kill());
            drop(child.wait());
            Err(io::Error::new(
                error.kind(),
                format!(
                    "pidfd_open failed: {error}; children need Linux 5.3, and a filter (seccomp) that allows it"
                ),
            ))
        }
    }
}
