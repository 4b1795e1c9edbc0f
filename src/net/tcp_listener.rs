//! `TcpListener`: std's, with an `accept` that suspends only the calling green thread.
//!
//! Any thread, green or not, may use a listener, and any number of them may accept at once.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};

use rustix::net::{SocketType, sockopt};

use super::addr::first_that_works;
use super::poll::poll_ready_methods;
use super::socket::{Protocol, Socket, descriptor_traits};
use super::{TcpStream, ToSocketAddrs};
use crate::sys::sock;

/// A TCP socket that listens for connections: [`std::net::TcpListener`] for green threads.
///
/// [`accept`](TcpListener::accept) suspends the calling green thread, and blocks an OS thread.
/// Several threads may accept from one listener; each connection goes to one of them. All other
/// methods return at once. The socket is closed when the last handle is dropped.
///
/// It converts from and into [`std::net::TcpListener`], [`OwnedFd`] and raw descriptors like
/// [`TcpStream`].
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
    pub(super) socket: Socket,
}

impl TcpListener {
    /// Returns the descriptor, for uses inside this crate.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    /// Binds to the first usable address of `addr` and listens. With port 0 the system chooses a
    /// port; [`local_addr`](TcpListener::local_addr) returns it.
    ///
    /// Like std on Unix, it sets `SO_REUSEADDR`, so that a server can be restarted at once. The
    /// backlog is as long as the system allows (std: 128).
    ///
    /// # Errors
    ///
    /// That of the last address tried, such as [`AddrInUse`](io::ErrorKind::AddrInUse);
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there was no address.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread only while names are resolved.
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

    /// Binds like [`bind`](TcpListener::bind), with `SO_REUSEPORT`: several listeners may have the
    /// same address if all of them were bound in this way. Linux distributes the connections among
    /// them.
    ///
    /// The listeners may belong to several programs of the same user.
    ///
    /// # Errors
    ///
    /// The same as for [`bind`](TcpListener::bind).
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

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on a listener that
    /// [`bind`](TcpListener::bind) made.
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

    /// Creates a second handle to the same listening socket: both take connections from one queue.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
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

    /// Accepts a connection and returns it with the peer's address.
    ///
    /// # Errors
    ///
    /// The system's, as in std: [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if the peer
    /// has already left, `EMFILE` or `ENFILE` if descriptors have run out. The listener stays
    /// usable; [`serve`](super::serve) knows which errors are transient.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is a connection; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no connection has been taken.
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

    /// Accepts a connection, for `async` code: the next in the queue, or the first that arrives.
    ///
    /// [`poll_readable`](TcpListener::poll_readable) says who is woken: tasks that accept from one
    /// listener need a `try_clone` each.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](TcpListener::accept), except `WouldBlock`, and those of
    /// [`poll_readable`](TcpListener::poll_readable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has accepted nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use std::future::poll_fn;
    ///
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let address = listener.local_addr()?;
    ///     rustlet::spawn(move || TcpStream::connect(address));
    ///     let accept = poll_fn(|context| listener.poll_accept(context));
    ///     let (stream, peer) = rustlet::block_on(accept)?;
    ///     assert_eq!(stream.peer_addr()?, peer);
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (fd, peer) = ready!(self.socket.poll_accept(context))?;
        let peer = sock::internet(peer)?;
        Poll::Ready(Ok((TcpStream::accepted(&self.socket, fd), peer)))
    }

    /// Returns an iterator over incoming connections; it never ends. It is the same as calling
    /// [`accept`](TcpListener::accept) in a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let addr = listener.local_addr()?;
    ///     let clients = [(); 2].map(|()| TcpStream::connect(addr).unwrap());
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

    /// Returns an iterator like [`incoming`](TcpListener::incoming) that owns the listener.
    /// Unstable in std; this is its signature there.
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

    /// Sets `IPV6_V6ONLY`. As in std it fails, because a bound socket cannot be changed.
    ///
    /// # Errors
    ///
    /// The socket is bound, or is not an IPv6 socket.
    #[deprecated(
        since = "0.1.0",
        note = "this option can only be set before the socket is bound"
    )]
    #[doc(hidden)]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        Ok(sockopt::set_ipv6_v6only(self.socket.fd(), only_v6)?)
    }

    /// Returns the value of `IPV6_V6ONLY`.
    ///
    /// # Errors
    ///
    /// The socket is not an IPv6 socket.
    #[deprecated(
        since = "0.1.0",
        note = "this option can only be set before the socket is bound"
    )]
    #[doc(hidden)]
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_v6only(self.socket.fd())?)
    }

    /// Sets `IP_TTL`, the maximum number of hops of a packet. Accepted connections inherit it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a value that the system rejects (Linux: 1
    /// to 255 are valid).
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

    /// Returns the value of `IP_TTL`; see [`set_ttl`](TcpListener::set_ttl).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open listener.
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

    /// Takes and clears the pending error of the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open listener.
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

    /// Sets nonblocking mode: [`accept`](TcpListener::accept) returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no connection, through any clone.
    /// Default: `false`.
    ///
    /// It is a flag of this crate; see [`TcpStream::set_nonblocking`]. Connections do not inherit
    /// it.
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

/// Iterator over connections, returned by [`TcpListener::incoming`].
///
/// # Examples
///
/// ```
/// use rustlet::net::{Incoming, TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let client = TcpStream::connect(listener.local_addr()?)?;
///     let mut connections: Incoming<'_> = listener.incoming();
///     let stream = connections.next().expect("the iterator never ends")?;
///     assert_eq!(stream.peer_addr()?, client.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
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

/// Owning iterator over connections, returned by [`TcpListener::into_incoming`].
///
/// # Examples
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     // The thread owns the listener.
///     let accepted = rustlet::spawn(move || listener.into_incoming().take(2).count());
///     let _clients = [TcpStream::connect(address)?, TcpStream::connect(address)?];
///     assert_eq!(accepted.join().unwrap(), 2);
///     Ok(())
/// })
/// # }
/// ```
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

poll_ready_methods!(
    TcpListener,
    r#"rustlet::net::TcpListener::bind("127.0.0.1:0")?"#
);
descriptor_traits!(TcpListener, std::net::TcpListener, Protocol::Other);
