//! Whether this process may have rings of the kind needed, and if not, why.

use std::io;

use io_uring::opcode;

use super::ring::Ring;

/// Makes a ring and throws it away. An error says what was refused, by whom as far as can be told, and what would help.
pub(super) fn probe() -> io::Result<()> {
    let ring = Ring::new().map_err(refused)?;
    let (probe, parameters) = ring.probe().map_err(refused)?;
    let ops = [
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("RECV", opcode::RecvMulti::CODE),
        ("ACCEPT", opcode::AcceptMulti::CODE),
        ("CONNECT", opcode::Connect::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("CLOSE", opcode::Close::CODE),
    ];
    let missing: Vec<&str> =
        ops.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(unsupported(&format!("this kernel's io_uring has no {}", missing.join(", "))));
    }
    if !parameters.is_feature_nodrop() {
        return Err(unsupported("this kernel's io_uring drops completions"));
    }
    Ok(())
}

fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{why}; Pirn needs Linux 6.1 or newer for it"))
}

/// An error of setting a ring up, explained.
pub(super) fn refused(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring, or a filter (seccomp) hides it".to_owned(),
        Some(libc::EPERM | libc::EACCES) => match disabled() {
            Some(2) => "switched off for all: sysctl kernel.io_uring_disabled = 2".to_owned(),
            Some(1) => {
                "kept for a group: sysctl kernel.io_uring_disabled = 1 (see kernel.io_uring_group)".to_owned()
            }
            _ => "refused to this process by a filter (seccomp, a container's default) or a security module"
                .to_owned(),
        },
        Some(libc::ENOMEM) => {
            "no memory that may be locked is left: raise the limit (ulimit -l, RLIMIT_MEMLOCK) or use fewer workers"
                .to_owned()
        }
        Some(libc::EINVAL) => {
            "this kernel's io_uring lacks deferred task work or buffer rings: Pirn needs Linux 6.1 or newer for it"
                .to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => "no descriptor is left: raise the limit (ulimit -n)".to_owned(),
        _ => "a ring can't be set up".to_owned(),
    };
    io::Error::new(error.kind(), format!("{why} ({error})"))
}

/// The value of `kernel.io_uring_disabled`, where that exists (Linux 6.6).
fn disabled() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}
