//! Unix sockets: streams, listeners and datagrams between processes of one machine.

pub use self::datagram::UnixDatagram;
pub use self::listener::UnixListener;
pub use self::stream::UnixStream;

mod datagram;
mod listener;
mod stream;

use std::io;
use std::time::Duration;

use crate::os::UnixAddress;

/// The pauses between two questions where the kernel offers nothing to wait for.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(1))
    }
}

impl Pause {
    async fn take(&mut self) {
        crate::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_millis(50));
    }
}

/// What a Unix socket can be bound or connected to: a path, or a [`UnixAddress`], which may be an abstract name.
pub trait ToUnixAddress {
    /// The address.
    ///
    /// # Errors
    /// If it can't be one: too long, empty.
    fn to_unix_address(&self) -> io::Result<UnixAddress>;
}

impl ToUnixAddress for UnixAddress {
    fn to_unix_address(&self) -> io::Result<UnixAddress> {
        Ok(self.clone())
    }
}

impl<T: ToUnixAddress + ?Sized> ToUnixAddress for &T {
    fn to_unix_address(&self) -> io::Result<UnixAddress> {
        (**self).to_unix_address()
    }
}

macro_rules! paths {
    ($($type:ty),*) => {
        $(
            impl ToUnixAddress for $type {
                fn to_unix_address(&self) -> io::Result<UnixAddress> {
                    UnixAddress::from_path(self)
                }
            }
        )*
    };
}

paths! { str, String, std::path::Path, std::path::PathBuf, std::ffi::OsStr, std::ffi::OsString }
