//! `TcpListener`: std's, with an `accept` that suspends the calling green thread only.
//!
//! Any thread, green or not, may use a listener, and any number of them may accept at once.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::net::{SocketType, sockopt};

use super::addr::first_that_works;
use super::socket::{Protocol, Socket, descriptor_traits};
use super::{TcpStream, ToSocketAddrs};
use crate::sys::sock;

/// A TCP socket that listens for connections: [`std::net::TcpListener`] for green threads.
///
/// [`accept`](TcpListener::accept) suspends the calling green thread, and blocks an ordinary OS thread. Several threads may accept from
/// one listener at once; each connection goes to one of them. Everything else is immediate. The socket is closed
/// when the last handle is dropped.
///
/// It converts from and into [`std::net::TcpListener`], [`OwnedFd`] and raw descriptors as [`TcpStream`] does.
///
/// # Examples
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use rustlet::thread;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     thread::spawn(move || {
///         for stream in listener.incoming() {
///             let mut stream = stream.unwrap();
///             thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
///         }
///     });
///
///     let mut stream = TcpStream::connect(addr)?;
///     stream.write_all(b"echo")?;
///     let mut answer = [0; 4];
///     stream.read_exact(&mut answer)?;
///     assert_eq!(&answer, b"echo");
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    /// The descriptor, for what this crate does with it.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    /// Listens on the first address of `addr` that can be had. Port 0 lets the system choose one; ask
    /// [`local_addr`](TcpListener::local_addr) for it.
    ///
    /// As std's on Unix, with `SO_REUSEADDR`, so that a server can be started again at once; the queue of connections
    /// that wait to be accepted is as long as the system allows (std: 128). Suspends only while names are resolved.
    ///
    /// # Errors
    ///
    /// That of the last address tried, such as [`AddrInUse`](io::ErrorKind::AddrInUse);
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when there was no address at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let again = TcpListener::bind(listener.local_addr()?);
    /// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        TcpListener::bind_first(addr, false)
    }

    /// As [`bind`](TcpListener::bind), with `SO_REUSEPORT` too: several listeners, of one program or of several of the same user, may hold
    /// the same address when all of them were bound so. Linux spreads the connections over them.
    ///
    /// # Errors
    ///
    /// As [`bind`](TcpListener::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let one = TcpListener::bind_reuse_port("127.0.0.1:0")?;
    /// let two = TcpListener::bind_reuse_port(one.local_addr()?)?;
    /// assert_eq!(one.local_addr()?, two.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn bind_reuse_port<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        TcpListener::bind_first(addr, true)
    }

    #[track_caller]
    fn bind_first<A: ToSocketAddrs>(addr: A, reuse_port: bool) -> io::Result<TcpListener> {
        first_that_works(addr, |addr| TcpListener::bind_one(addr, reuse_port))
    }

    fn bind_one(addr: &SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
        let fd = sock::open(addr, SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if reuse_port {
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        sock::bind(fd.as_fd(), addr)?;
        sock::listen(fd.as_fd())?;
        Ok(TcpListener {
            socket: Socket::new(fd, Protocol::Other),
        })
    }

    /// The address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Those of the system; none on a listener that [`bind`](TcpListener::bind) made.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sock::local_addr(self.socket.fd())
    }

    /// A second handle to the same listening socket: the two take connections from one queue.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// assert_eq!(listener.try_clone()?.local_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener {
            socket: self.socket.duplicate()?,
        })
    }

    /// Takes a connection from the queue, with the address of the other end. Suspends until there is one.
    ///
    /// # Errors
    ///
    /// As std's, the system's: [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the other end has left already, `EMFILE` or `ENFILE` when
    /// descriptors have run out. The listener stays good; [`serve`](super::serve) knows which errors to go on after.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let client = TcpStream::connect(listener.local_addr()?)?;
    ///     let (_stream, peer) = listener.accept()?;
    ///     assert_eq!(peer, client.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, peer) = self.socket.accept()?;
        let peer = sock::internet(peer)?;
        Ok((TcpStream::accepted(&self.socket, fd), peer))
    }

    /// An iterator over the connections that come in; it never ends. The same as calling [`accept`](TcpListener::accept) in a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let clients = [(); 2].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    ///     for (client, stream) in clients.iter().zip(listener.incoming()) {
    ///         assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// [`incoming`](TcpListener::incoming), but the iterator owns the listener. Not stable in std yet; this is its unstable signature.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let _client = TcpStream::connect(listener.local_addr()?)?;
    ///     let mut streams = listener.into_incoming().flatten();
    ///     assert!(streams.next().is_some());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use = "the listener is closed when the iterator is dropped"]
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// Sets `IPV6_V6ONLY`. As std's: it cannot be changed once the socket is bound, so it fails.
    ///
    /// # Errors
    ///
    /// The socket is bound, or not one of IPv6.
    #[deprecated(
        since = "0.1.0",
        note = "this option can only be set before the socket is bound"
    )]
    #[doc(hidden)]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        Ok(sockopt::set_ipv6_v6only(self.socket.fd(), only_v6)?)
    }

    /// The value of `IPV6_V6ONLY`.
    ///
    /// # Errors
    ///
    /// The socket is not one of IPv6.
    #[deprecated(
        since = "0.1.0",
        note = "this option can only be set before the socket is bound"
    )]
    #[doc(hidden)]
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_v6only(self.socket.fd())?)
    }

    /// Sets `IP_TTL`, which accepted connections take over: how many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a number that the system does not take (Linux: 1 to 255).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_ttl(100)?;
    /// assert_eq!(listener.ttl()?, 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(self.socket.fd(), ttl)?)
    }

    /// The value of `IP_TTL`; see [`set_ttl`](TcpListener::set_ttl).
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open listener.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("{}", rustlet::net::TcpListener::bind("127.0.0.1:0")?.ttl()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(self.socket.fd())?)
    }

    /// Takes the pending error of the socket (`SO_ERROR`), which is then cleared.
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open listener.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// assert!(TcpListener::bind("127.0.0.1:0")?.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sock::take_error(self.socket.fd())
    }

    /// With `true`, [`accept`](TcpListener::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no connection yet, through any clone.
    ///
    /// A flag of ours, as [`TcpStream::set_nonblocking`] explains. Connections do not take it over.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// The iterator of [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

/// The iterator of [`TcpListener::into_incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for IntoIncoming {}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        out.field("fd", &self.socket.fd().as_raw_fd()).finish()
    }
}

descriptor_traits!(TcpListener, std::net::TcpListener, Protocol::Other);
