//! TCP and UDP for green threads: the types of [`std::net`], with the same names, signatures, errors and traits.
//!
//! A wait suspends the calling green thread only; from ordinary OS threads it blocks, as std's does. A server is
//! therefore written with one thread a connection, as plainly as with std: replace `std::` by `rustlet::` in the
//! `use` lines. Plain data (addresses, [`Shutdown`], their errors) is std's own, re-exported.
//!
//! What differs, and is not visible in signatures:
//!
//! - names are looked up on the runtime's pool of blocking OS threads ([`ToSocketAddrs`]);
//! - a listener's queue is as long as the system allows;
//! - no write raises `SIGPIPE`, not even `write_vectored`, and not even when the program has reset the signal to its default;
//! - timeouts are kept as they were set, to the nanosecond;
//! - [`serve`], [`Server`] and [`TcpListener::bind_reuse_port`] have no counterpart in std.
//!
//! # Examples
//!
//! ```no_run
//! use rustlet::net;
//! use std::io::Write;
//!
//! fn main() -> std::io::Result<()> {
//!     rustlet::run(|| net::serve("127.0.0.1:8080", |mut stream| {
//!         let _ = stream.write_all(b"hello\n");
//!     }))
//! }
//! ```

mod accept_error;
mod addr;
pub(crate) mod methods;
mod serve;
pub(crate) mod socket;
mod tcp_listener;
mod tcp_stream;
pub(crate) mod transfer;
mod udp_multicast;
mod udp_socket;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use addr::ToSocketAddrs;
pub use serve::{Server, ServerHandle, serve};
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
