//! TCP and UDP for green threads: the types of [`std::net`], with the same names, signatures,
//! errors and traits.
//!
//! A wait suspends only the calling green thread; on an OS thread it blocks, as in std. So a server
//! can use one thread for each connection, and blocking code is ported by changing `std::` to
//! `rustlet::` in its `use` lines. Plain data (addresses, [`Shutdown`], their errors) is std's own,
//! reexported.
//!
//! Differences from std that signatures do not show:
//!
//! - names are looked up on the runtime's pool of blocking OS threads ([`ToSocketAddrs`]);
//! - a listener's backlog is as long as the system allows;
//! - no write raises `SIGPIPE`, not even `write_vectored`, and not even when the program has reset
//!   the signal to its default;
//! - timeouts are exact to the nanosecond;
//! - [`serve`], [`Server`] and [`TcpListener::bind_reuse_port`] have no counterpart in std.
//!
//! Options that neither std nor this crate has are set with the crate socket2, on a new socket or
//! through `socket2::SockRef::from(&stream)`. With the feature `socket2`, sockets convert from and
//! into `socket2::Socket`.
//!
//! # Suspends
//!
//! `connect`, `accept`, reading, writing, receiving and sending suspend the calling green thread
//! while they have to wait; each also yields after 128 operations without a wait. All other methods
//! return at once.
//!
//! # Cancellation
//!
//! A wait of a cancelled green thread unwinds. A receive has taken no data and an accept no
//! connection. A write to a stream may have sent a part of its buffer: drop the stream. A thread
//! that is unwinding already gets an error that carries [`Cancelled`](crate::Cancelled) instead.
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
mod options;
pub(crate) mod poll;
mod serve;
pub(crate) mod socket;
mod tcp_listener;
mod tcp_stream;
pub(crate) mod transfer;
mod udp_socket;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use addr::ToSocketAddrs;
pub use options::TcpKeepalive;
pub use serve::{Server, ServerHandle, serve};
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
