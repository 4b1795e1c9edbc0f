//! Unix sockets for green threads: the types of [`std::os::unix::net`], with the same names, signatures, errors and
//! traits.
//!
//! A wait suspends the calling green thread only; from ordinary OS threads it blocks, as std's does. Addresses
//! ([`SocketAddr`]) are std's own, re-exported; abstract names of Linux come with
//! [`SocketAddrExt`](std::os::linux::net::SocketAddrExt), which `os::linux::net` re-exports.
//!
//! What std has not made stable is left out (credentials of the peer, ancillary data such as descriptors, marks), but for
//! `peek` and `peek_from`, which have its signatures. Everything [lends its descriptor](std::os::fd::AsFd), so that another crate's
//! calls can be made on it.
//!
//! What differs, and is not visible in signatures:
//!
//! - no write raises `SIGPIPE`, not even `write_vectored`;
//! - timeouts are kept as they were set, to the nanosecond;
//! - Linux announces the end of two waits to blocking calls only: connecting to a listener whose queue is full, and
//!   [`UnixDatagram::send_to`] for a receiver whose queue is full. There, the call is tried again, after 50 µs first, then
//!   after pauses that double to 10 ms. So of several that wait, the first need not be the first to go on. Other
//!   writes that wait hear at once of room, and within 100 ms of a [shutdown](UnixStream::shutdown) of either end.
//!
//! # Examples
//!
//! ```
//! use rustlet::os::unix::net::UnixStream;
//! use rustlet::thread;
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! rustlet::run(|| {
//!     let (mut parent, mut child) = UnixStream::pair()?;
//!     thread::spawn(move || child.write_all(b"hello").unwrap());
//!     let mut text = String::new();
//!     parent.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello");
//!     Ok(())
//! })
//! # }
//! ```

mod datagram;
mod listener;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use stream::UnixStream;

/// Names of both ends, and shutting down: for a type of this module that can have a peer.
macro_rules! peer_methods {
    ($name:ident, $make:literal) => {
        impl $name {
            /// The address of this end.
            ///
            /// # Errors
            ///
            /// Those of the system; none on an open Unix socket.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// assert!(socket.local_addr()?.is_unnamed());
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn local_addr(&self) -> std::io::Result<super::SocketAddr> {
                crate::sys::unix_sock::local_addr(self.socket.fd())
            }

            /// The address of the other end.
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) when there is none.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// assert!(socket.peer_addr()?.is_unnamed());
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn peer_addr(&self) -> std::io::Result<super::SocketAddr> {
                crate::sys::unix_sock::peer_addr(self.socket.fd())
            }

            /// Shuts down the receiving half, the sending half, or both. Whoever waits in a half that is shut down, in any
            /// thread and through any clone, goes on (at once or soon, see the [module](super)): what receives gets 0, what sends
            /// fails with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
            ///
            /// # Errors
            ///
            /// Those of the system; none on an open Unix socket.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::net::Shutdown;
            ///
            #[doc = concat!("let socket = ", $make, ";")]
            /// socket.shutdown(Shutdown::Both)?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                crate::sys::sock::shutdown(self.socket.fd(), how)
            }
        }
    };
}
use peer_methods;

/// `Debug` as std has it, whatever that is: `$theirs` prints itself.
macro_rules! debug_of_std {
    ($name:ident, $theirs:ty) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(
                    &*crate::sys::unix_sock::lent::<$theirs>(self.socket.fd()),
                    f,
                )
            }
        }
    };
}
use debug_of_std;
