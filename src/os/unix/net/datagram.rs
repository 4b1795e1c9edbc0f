//! `UnixDatagram`: std's, with waits that suspend the calling green thread only.
//!
//! Any thread, green or not, may use a socket, and any number of them at once: each datagram goes to one of the
//! receivers, whole.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, debug_of_std, peer_methods};
use crate::net::methods::{handle_methods, timeout_methods};
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::{sock, unix_sock};

/// A Unix socket for datagrams: [`std::os::unix::net::UnixDatagram`] for green threads.
///
/// Datagrams between Unix sockets arrive, in order and once: if the receiver's queue is full, the sender waits. One that does
/// not fit the receiver's buffer is cut off, and the rest is lost; one of no bytes is received as such.
///
/// Receiving and sending suspend the calling green thread until they can go on. On an ordinary OS thread they block,
/// as std's do. Everything else is immediate. A wait that is cancelled has taken, or sent, no datagram. The file of a
/// path stays, as with std, until somebody removes it.
///
/// It converts from and into [`std::os::unix::net::UnixDatagram`], [`OwnedFd`] and raw descriptors as
/// [`TcpStream`](crate::net::TcpStream) does.
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
    /// A socket at `path`, where it makes a file.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) when there is a file already, even one that a socket has left behind;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no path of a socket, such as one that is too long.
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

    /// As [`bind`](UnixDatagram::bind), at any address, abstract ones too.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](UnixDatagram::bind).
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

    /// A socket without a name: it can send, and receive from a peer that has one of its own making.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let fd = sock::open_of(AddressFamily::UNIX, SocketType::DGRAM)?;
        Ok(UnixDatagram::new(fd))
    }

    /// Two sockets, each the other's peer, without names.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let (one, other) = sock::open_pair(SocketType::DGRAM)?;
        Ok((UnixDatagram::new(one), UnixDatagram::new(other)))
    }

    fn new(fd: OwnedFd) -> UnixDatagram {
        UnixDatagram {
            socket: Socket::new(fd, Protocol::Unix),
        }
    }

    /// Makes the socket at `path` the peer, instead of any that there was: [`send`](UnixDatagram::send) sends to it, and only what it
    /// sends is received.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound), [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody has that socket open any
    /// more, [`PermissionDenied`](io::ErrorKind::PermissionDenied) when it has another peer, [`InvalidInput`](io::ErrorKind::InvalidInput) for
    /// what is no path of a socket.
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

    /// As [`connect`](UnixDatagram::connect), for any address, abstract ones too.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](UnixDatagram::connect).
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

    /// Receives a datagram, and says from whom, who may have no name. Suspends, for at most the read timeout, until one comes.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the time is up; else the system's, such as
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer has taken another one.
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

    /// Receives a datagram. Suspends, for at most the read timeout, until one comes.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UnixDatagram::recv_from).
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

    /// As [`recv`](UnixDatagram::recv), but the datagram stays in the queue: the next call gives it again.
    ///
    /// Not stable in std yet; this is its unstable signature.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UnixDatagram::recv_from).
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

    /// As [`recv_from`](UnixDatagram::recv_from), but the datagram stays in the queue: the next call gives it again.
    ///
    /// Not stable in std yet; this is its unstable signature.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UnixDatagram::recv_from).
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

    /// Sends a datagram to the socket at `path`. Suspends until there is room for it (the [module](super) says how).
    ///
    /// # Errors
    ///
    /// As [`connect`](UnixDatagram::connect), and `EMSGSIZE` for too many bytes; [`WouldBlock`](io::ErrorKind::WouldBlock) when the write
    /// timeout is over.
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

    /// As [`send_to`](UnixDatagram::send_to), for any address, abstract ones too.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](UnixDatagram::send_to).
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

    /// Sends a datagram to the peer. Suspends until there is room for it.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) without a peer, [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when it has been closed;
    /// else as [`send_to`](UnixDatagram::send_to).
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
descriptor_traits!(
    UnixDatagram,
    std::os::unix::net::UnixDatagram,
    Protocol::Unix
);
