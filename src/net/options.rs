//! Socket options as methods: a getter and a setter each, over a type's `option` and `set_option`.

use std::io;

use crate::os::SocketOption;

/// A getter and a setter: `/// doc` `get`, `/// doc` `set`: `Option(type, any value)`.
macro_rules! options {
    ($type:ident: $($(#[$get_doc:meta])* $get:ident, $(#[$set_doc:meta])* $set:ident: $option:ident($what:ty, $any:expr);)*) => {
        impl $type {
            $(
                $(#[$get_doc])*
                ///
                /// # Errors
                /// The system's.
                pub fn $get(&self) -> ::std::io::Result<$what> {
                    use $crate::os::SocketOption;
                    match self.option(SocketOption::$option($any))? {
                        SocketOption::$option(value) => Ok(value),
                        other => Err($crate::net::options::mismatch(other)),
                    }
                }

                $(#[$set_doc])*
                ///
                /// # Errors
                /// The system's, for a value out of range among others.
                pub fn $set(&self, value: $what) -> ::std::io::Result<()> {
                    self.set_option($crate::os::SocketOption::$option(value))
                }
            )*
        }
    };
}

/// What every socket has: the sizes of its buffers, and its error.
macro_rules! common_options {
    ($type:ident) => {
        $crate::net::options::options! { $type:
            /// Bytes the kernel may hold for this side's reader (SO_RCVBUF; the kernel doubles what was set).
            recv_buffer_size,
            /// Sets SO_RCVBUF, which also ends the kernel's own tuning of it.
            set_recv_buffer_size: ReceiveBuffer(u32, 0);
            /// Bytes the kernel may hold that were not sent or not acknowledged (SO_SNDBUF; the kernel doubles what was set).
            send_buffer_size,
            /// Sets SO_SNDBUF, which also ends the kernel's own tuning of it.
            set_send_buffer_size: SendBuffer(u32, 0);
        }

        impl $type {
            /// Takes the error that the kernel keeps for the socket, if any (SO_ERROR).
            ///
            /// # Errors
            /// The system's, for the question itself.
            pub fn take_error(&self) -> ::std::io::Result<Option<::std::io::Error>> {
                use $crate::os::SocketOption;
                match self.option(SocketOption::Error(None))? {
                    SocketOption::Error(errno) => Ok(errno.map(::std::io::Error::from_raw_os_error)),
                    other => Err($crate::net::options::mismatch(other)),
                }
            }
        }
    };
}

pub(super) use {common_options, options};

/// A machine that answers another question than it was asked.
pub(super) fn mismatch(answer: SocketOption) -> io::Error {
    io::Error::other(format!("the machine answered {answer:?} to the question for another option"))
}
