//! `UnixDatagram`: std's, with waits that suspend only the calling green thread.
//!
//! Any thread, green or not, may use a socket, and any number of them at once: each datagram goes
//! to one of the receivers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::task::{Context, Poll, ready};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, debug_of_std, peer_methods};
use crate::net::methods::{handle_methods, timeout_methods};
use crate::net::poll::{poll_datagram_methods, poll_ready_methods};
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::{sock, unix_sock};

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`] for green threads.
///
/// Datagrams between Unix sockets arrive in order and exactly once: if the receiver's queue is
/// full, the sender waits. A datagram that does not fit into the receiver's buffer is truncated; an
/// empty one is received as such.
///
/// Receiving and sending suspend the calling green thread until they can go on; on an OS thread
/// they block, as in std. All other methods return at once. A cancelled wait has neither taken nor
/// sent a datagram. The file of a path stays until it is removed, as in std.
///
/// It converts from and into [`std::os::unix::net::UnixDatagram`], [`OwnedFd`] and raw descriptors
/// like [`TcpStream`](crate::net::TcpStream).
///
/// # Examples
///
/// ```
/// use rustlet::os::unix::net::UnixDatagram;
/// use rustlet::thread;
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let (one, other) = UnixDatagram::pair()?;
///     thread::spawn(move || other.send(b"hello").unwrap());
///     let mut buf = [0; 16];
///     assert_eq!(one.recv(&mut buf)?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixDatagram {
    socket: Socket,
}

impl UnixDatagram {
    /// Creates a socket that is bound to `path`, where it creates a file.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the file exists, even if it belonged to a former
    /// socket; [`InvalidInput`](io::ErrorKind::InvalidInput) for an invalid socket path, for
    /// example one that is too long.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let socket = rustlet::os::unix::net::UnixDatagram::bind("/run/log.socket")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&unix_sock::of_path(path.as_ref())?)
    }

    /// Creates a socket that is bound to any address, also an abstract one; otherwise like
    /// [`bind`](UnixDatagram::bind).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`bind`](UnixDatagram::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> std::io::Result<()> {
    /// use rustlet::os::linux::net::SocketAddrExt;
    /// use rustlet::os::unix::net::{SocketAddr, UnixDatagram};
    ///
    /// let name = format!("rustlet doc datagram {}", std::process::id());
    /// let addr = SocketAddr::from_abstract_name(name)?;
    /// let receiver = UnixDatagram::bind_addr(&addr)?;
    /// UnixDatagram::unbound()?.send_to_addr(b"hello", &addr)?;
    /// assert_eq!(receiver.recv(&mut [0; 16])?, 5);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&unix_sock::to_system(socket_addr)?)
    }

    fn bind_to(addr: &SocketAddrUnix) -> io::Result<UnixDatagram> {
        let unbound = UnixDatagram::unbound()?;
        sock::bind(unbound.as_fd(), addr)?;
        Ok(unbound)
    }

    /// Creates a socket without a name: it can send, and receive from a connected peer.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// let socket = rustlet::os::unix::net::UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let fd = sock::open_of(AddressFamily::UNIX, SocketType::DGRAM)?;
        Ok(UnixDatagram::new(fd))
    }

    /// Creates two unnamed sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let (one, other) = sock::open_pair(SocketType::DGRAM)?;
        Ok((UnixDatagram::new(one), UnixDatagram::new(other)))
    }

    fn new(fd: OwnedFd) -> UnixDatagram {
        UnixDatagram {
            socket: Socket::new(fd, Protocol::Unix),
        }
    }

    /// Sets the peer to the socket at `path`: [`send`](UnixDatagram::send) sends to it, and only
    /// its datagrams are received.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound),
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if that socket is closed,
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if it has another peer,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an invalid socket path.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let socket = rustlet::os::unix::net::UnixDatagram::unbound()?;
    /// socket.connect("/run/log.socket")?;
    /// socket.send(b"it works")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        sock::associate(self.socket.fd(), &unix_sock::of_path(path.as_ref())?)
    }

    /// Sets the peer to any address, also an abstract one; otherwise like
    /// [`connect`](UnixDatagram::connect).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`connect`](UnixDatagram::connect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn answer(socket: &rustlet::os::unix::net::UnixDatagram) -> std::io::Result<()> {
    /// let (_, sender) = socket.recv_from(&mut [0; 1500])?;
    /// socket.connect_addr(&sender)?;
    /// socket.send(b"the same to you")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        sock::associate(self.socket.fd(), &unix_sock::to_system(socket_addr)?)
    }

    /// Receives a datagram and returns its size and its sender, which may be unnamed.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the read timeout has passed; otherwise the
    /// system's, such as [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the peer has
    /// connected to another socket.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until a datagram arrives, for at most the read timeout;
    /// blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no datagram has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// let (count, sender) = other.recv_from(&mut [0; 16])?;
    /// assert!(count == 5 && sender.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.socket.recv_from(buf, sock::recv_from)?;
        Ok((
            count,
            unix_sock::from_system(sender, unix_sock::from_longest_path)?,
        ))
    }

    /// Receives a datagram and returns its size.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until a datagram arrives, for at most the read timeout;
    /// blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no datagram has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 3])?, 3); // the rest is lost
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf)
    }

    /// Receives like [`recv`](UnixDatagram::recv), but leaves the datagram in the queue: the next
    /// call returns it again. Unstable in std; this is its signature there.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.peek(&mut [0; 16])?, 5);
    /// assert_eq!(other.recv(&mut [0; 16])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek_datagram(buf)
    }

    /// Receives like [`recv_from`](UnixDatagram::recv_from), but leaves the datagram in the queue:
    /// the next call returns it again. Unstable in std; this is its signature there.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.peek_from(&mut [0; 16])?.0, 5);
    /// assert_eq!(other.recv_from(&mut [0; 16])?.0, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.socket.recv_from(buf, sock::peek_from)?;
        Ok((
            count,
            unix_sock::from_system(sender, unix_sock::from_longest_path)?,
        ))
    }

    /// Receives a datagram with its sender, for `async` code.
    ///
    /// [`poll_readable`](UnixDatagram::poll_readable) says who is woken.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UnixDatagram::recv_from), except `WouldBlock`, and those of
    /// [`poll_readable`](UnixDatagram::poll_readable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has taken no datagram.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixDatagram;
    /// use std::future::poll_fn;
    ///
    /// let (one, other) = UnixDatagram::pair()?;
    /// other.send(b"hello")?;
    /// let mut buf = [0; 16];
    /// let receive = poll_fn(|context| one.poll_recv_from(context, &mut buf));
    /// let (size, sender) = rustlet::block_on(receive)?;
    /// assert!(size == 5 && sender.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let (count, sender) = ready!(self.socket.poll_recv_from(context, buf))?;
        let sender = unix_sock::from_system(sender, unix_sock::from_longest_path)?;
        Poll::Ready(Ok((count, sender)))
    }

    /// Sends a datagram to the socket at `path`, for `async` code. If the receiver's queue is full,
    /// the task tries again each millisecond, because the system does not report room there.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](UnixDatagram::send_to), except `WouldBlock`, and those of
    /// [`poll_writable`](UnixDatagram::poll_writable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has sent nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixDatagram;
    /// use std::future::poll_fn;
    ///
    /// let socket = UnixDatagram::unbound()?;
    /// let send = poll_fn(|context| socket.poll_send_to(context, b"hello", "/nowhere/at/all"));
    /// assert_eq!(rustlet::block_on(send).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn poll_send_to<P: AsRef<Path>>(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
        path: P,
    ) -> Poll<io::Result<usize>> {
        let addr = unix_sock::of_path(path.as_ref())?;
        self.socket.poll_send_to(context, buf, &addr)
    }

    /// Sends a datagram to the socket at `path`.
    ///
    /// # Errors
    ///
    /// The same as for [`connect`](UnixDatagram::connect), and `EMSGSIZE` for too many bytes;
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the write timeout has passed.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is room for it (see the [module](super));
    /// blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let socket = rustlet::os::unix::net::UnixDatagram::unbound()?;
    /// let error = socket.send_to(b"hello", "/nowhere/at/all").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let addr = unix_sock::of_path(path.as_ref())?;
        self.socket.send_to(buf, &addr)
    }

    /// Sends a datagram to any address, also an abstract one; otherwise like
    /// [`send_to`](UnixDatagram::send_to).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`send_to`](UnixDatagram::send_to).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn answer(socket: &rustlet::os::unix::net::UnixDatagram) -> std::io::Result<()> {
    /// let (_, sender) = socket.recv_from(&mut [0; 1500])?;
    /// socket.send_to_addr(b"the same to you", &sender)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let addr = unix_sock::to_system(socket_addr)?;
        self.socket.send_to(buf, &addr)
    }

    /// Sends a datagram to the peer.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) without a peer,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if it has been closed; otherwise as
    /// [`send_to`](UnixDatagram::send_to).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is room for it; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = rustlet::os::unix::net::UnixDatagram::pair()?;
    /// assert_eq!(one.send(b"hello")?, 5);
    /// # drop(other);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf)
    }

    handle_methods!(
        UnixDatagram,
        "rustlet::os::unix::net::UnixDatagram::pair()?.0"
    );
    timeout_methods!("rustlet::os::unix::net::UnixDatagram::pair()?.0");
}

peer_methods!(
    UnixDatagram,
    "rustlet::os::unix::net::UnixDatagram::pair()?.0"
);
debug_of_std!(UnixDatagram, std::os::unix::net::UnixDatagram);
poll_ready_methods!(
    UnixDatagram,
    "rustlet::os::unix::net::UnixDatagram::pair()?.0"
);
poll_datagram_methods!(
    UnixDatagram,
    "rustlet::os::unix::net::UnixDatagram::pair()?"
);
descriptor_traits!(
    UnixDatagram,
    std::os::unix::net::UnixDatagram,
    Protocol::Unix
);
