//! Unix sockets for green threads: the types of [`std::os::unix::net`], with the same names,
//! signatures, errors and traits.
//!
//! A wait suspends only the calling green thread; on an OS thread it blocks, as in std. Addresses
//! ([`SocketAddr`]) are std's own, reexported; for abstract names on Linux there is
//! [`SocketAddrExt`](std::os::linux::net::SocketAddrExt), which `os::linux::net` reexports.
//!
//! Unstable APIs of std are missing (credentials of the peer, ancillary data such as descriptors,
//! marks), except `peek` and `peek_from`, which have its signatures. Every type [lends its
//! descriptor](std::os::fd::AsFd), for calls of other crates.
//!
//! Differences from std that signatures do not show:
//!
//! - no write raises `SIGPIPE`, not even `write_vectored`;
//! - timeouts are exact to the nanosecond;
//! - Linux reports the end of two waits to blocking calls only: connecting to a listener whose
//!   backlog is full, and [`UnixDatagram::send_to`] for a receiver whose queue is full. Such a call
//!   is retried, first after 50 µs, then after pauses that double up to 10 ms. So waiting calls may
//!   succeed out of order. Other waiting writes are woken at once when there is room, and within
//!   100 ms of a [shutdown](UnixStream::shutdown) of either end.
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

/// Addresses and shutdown, for a type of this module that can have a peer.
macro_rules! peer_methods {
    ($name:ident, $make:literal) => {
        impl $name {
            /// Returns the local address.
            ///
            /// # Errors
            ///
            /// Returns the error of the system call, which does not fail on an open Unix socket.
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

            /// Returns the address of the peer.
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) if there is none.
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

            /// Shuts down the receiving half, the sending half, or both. Threads that wait in that
            /// half, through any clone, return (at once or soon, see the [module](super)): a
            /// receive returns 0, a send fails with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
            ///
            /// # Errors
            ///
            /// Returns the error of the system call, which does not fail on an open Unix socket.
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

/// `Debug` as in std: `$theirs` formats itself.
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
