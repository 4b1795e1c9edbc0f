//! `UdpSocket`: std's, with waits that suspend only the calling green thread.
//!
//! Any thread, green or not, may use a socket, and any number of them at once: each datagram goes
//! to one of the receivers. Multicast options are in `multicast.rs`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};

use rustix::net::{SocketType, sockopt};

mod multicast;

use super::ToSocketAddrs;
use super::addr::first_that_works;
use super::methods::{handle_methods, timeout_methods};
use super::poll::{poll_datagram_methods, poll_ready_methods};
use super::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::sock;

/// A UDP socket: [`std::net::UdpSocket`] for green threads.
///
/// It is created by [`bind`](UdpSocket::bind). [`send_to`](UdpSocket::send_to) and
/// [`recv_from`](UdpSocket::recv_from) exchange datagrams with any address; after
/// [`connect`](UdpSocket::connect), [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv) use
/// that peer alone.
///
/// Receiving suspends the calling green thread until a datagram arrives, sending until the system
/// has room for one; on an OS thread they block, as in std. Names are looked up on the pool of
/// blocking OS threads. All other methods return at once. A cancelled wait has not taken a
/// datagram.
///
/// As in std, a datagram that does not fit into the buffer is truncated; an empty one is received
/// as such (0 is not an end); and an error that the network reports about an earlier datagram to
/// the peer, such as [`ConnectionRefused`](io::ErrorKind::ConnectionRefused), fails the next call,
/// once.
///
/// It converts from and into [`std::net::UdpSocket`], [`OwnedFd`] and raw descriptors like
/// [`TcpStream`](super::TcpStream).
///
/// # Examples
///
/// ```
/// use rustlet::net::UdpSocket;
/// use rustlet::thread;
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let addr = server.local_addr()?;
///     thread::spawn(move || {
///         let mut buf = [0; 1500];
///         while let Ok((count, client)) = server.recv_from(&mut buf) {
///             server.send_to(&buf[..count], client).unwrap();
///         }
///     });
///
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(addr)?;
///     client.send(b"echo")?;
///     let mut buf = [0; 1500];
///     let count = client.recv(&mut buf)?;
///     assert_eq!(&buf[..count], b"echo");
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket {
    pub(super) socket: Socket,
}

impl UdpSocket {
    /// Binds to the first usable address of `addr`. With port 0 the system chooses a port;
    /// [`local_addr`](UdpSocket::local_addr) returns it.
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
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let again = UdpSocket::bind(socket.local_addr()?);
    /// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        first_that_works(addr, |addr| {
            let fd = sock::open(addr, SocketType::DGRAM)?;
            sock::bind(fd.as_fd(), addr)?;
            Ok(UdpSocket {
                socket: Socket::new(fd, Protocol::Other),
            })
        })
    }

    /// Sets the peer to the first address of `addr` that the system accepts. From then on
    /// [`send`](UdpSocket::send) sends to it, and only datagrams from it are received. Nothing is
    /// sent, so the peer need not exist.
    ///
    /// # Errors
    ///
    /// That of the last address tried; [`InvalidInput`](io::ErrorKind::InvalidInput) if there was
    /// no address.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread only while names are resolved.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let one = UdpSocket::bind("127.0.0.1:0")?;
    /// let other = UdpSocket::bind("127.0.0.1:0")?;
    /// one.connect(other.local_addr()?)?;
    /// assert_eq!(one.peer_addr()?, other.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that_works(addr, |addr| sock::associate(self.socket.fd(), addr))
    }

    /// Receives a datagram and returns its size and its sender.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the read timeout has passed; otherwise the
    /// system's.
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
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// let mut buf = [0; 16];
    /// assert_eq!(socket.recv_from(&mut buf)?, (9, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.socket.recv_from(buf, sock::recv_from)?;
        Ok((count, sock::internet(sender)?))
    }

    /// Receives like [`recv_from`](UdpSocket::recv_from), but leaves the datagram in the queue: the
    /// next call returns it again.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// let mut buf = [0; 16];
    /// assert_eq!(socket.peek_from(&mut buf)?.0, 9);
    /// assert_eq!(socket.recv_from(&mut buf)?.0, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.socket.recv_from(buf, sock::peek_from)?;
        Ok((count, sock::internet(sender)?))
    }

    /// Sends a datagram to the first address of `addr`.
    ///
    /// # Errors
    ///
    /// The system's, such as `EMSGSIZE` for too many bytes;
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the write timeout has passed;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there was no address.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until the system has room for it, and while names are
    /// resolved; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let one = UdpSocket::bind("127.0.0.1:0")?;
    /// let other = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(one.send_to(b"hello", other.local_addr()?)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        match addr.to_socket_addrs()?.next() {
            Some(addr) => self.socket.send_to(buf, &addr),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            )),
        }
    }

    /// Receives a datagram with its sender, for `async` code.
    ///
    /// [`poll_readable`](UdpSocket::poll_readable) says who is woken.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UdpSocket::recv_from), except `WouldBlock`, and those of
    /// [`poll_readable`](UdpSocket::poll_readable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has taken no datagram.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::block_on;
    /// use rustlet::net::UdpSocket;
    /// use std::future::poll_fn;
    ///
    /// let one = UdpSocket::bind("127.0.0.1:0")?;
    /// let other = UdpSocket::bind("127.0.0.1:0")?;
    /// let address = one.local_addr()?;
    /// block_on(poll_fn(|context| other.poll_send_to(context, b"hello", address)))?;
    /// let mut buf = [0; 16];
    /// let (size, sender) = block_on(poll_fn(|context| one.poll_recv_from(context, &mut buf)))?;
    /// assert_eq!((&buf[..size], sender), (&b"hello"[..], other.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let (count, sender) = ready!(self.socket.poll_recv_from(context, buf))?;
        Poll::Ready(Ok((count, sock::internet(sender)?)))
    }

    /// Sends a datagram to `addr`, for `async` code. Names are not resolved, because that waits.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](UdpSocket::send_to), except `WouldBlock`, and those of
    /// [`poll_writable`](UdpSocket::poll_writable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has sent nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    /// use std::future::poll_fn;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// let send = poll_fn(|context| socket.poll_send_to(context, b"to itself", address));
    /// assert_eq!(rustlet::block_on(send)?, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
        addr: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(context, buf, &addr)
    }

    /// Receives a datagram and returns its size; from the peer only, if there is one.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the read timeout has passed; otherwise the
    /// system's, such as [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if there is no
    /// socket at the peer's address.
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
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.connect(socket.local_addr()?)?;
    /// socket.send(b"to myself")?;
    /// let mut buf = [0; 16];
    /// assert_eq!(socket.recv(&mut buf)?, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf)
    }

    /// Receives like [`recv`](UdpSocket::recv), but leaves the datagram in the queue: the next call
    /// returns it again.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv`](UdpSocket::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// let mut buf = [0; 16];
    /// assert_eq!(socket.peek(&mut buf)?, 9);
    /// assert_eq!(socket.recv(&mut buf)?, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek_datagram(buf)
    }

    /// Sends a datagram to the peer.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` without a peer; otherwise as [`send_to`](UdpSocket::send_to), and
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if an earlier one was not received.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until the system has room for it; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// assert!(socket.send(b"to whom?").is_err());
    /// socket.connect(socket.local_addr()?)?;
    /// assert_eq!(socket.send(b"to myself")?, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf)
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on a socket that
    /// [`bind`](UdpSocket::bind) made.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// assert_ne!(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sock::local_addr(self.socket.fd())
    }

    /// Returns the address of the peer that [`connect`](UdpSocket::connect) set.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let error = UdpSocket::bind("127.0.0.1:0")?.peer_addr().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sock::peer_addr(self.socket.fd())
    }

    handle_methods!(
        UdpSocket,
        r#"rustlet::net::UdpSocket::bind("127.0.0.1:0")?"#
    );
    timeout_methods!(r#"rustlet::net::UdpSocket::bind("127.0.0.1:0")?"#);

    /// Sets `SO_BROADCAST`: whether the socket may send to a broadcast address. Default: `false`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_broadcast(self.socket.fd(), broadcast)?)
    }

    /// Returns the value of `SO_BROADCAST`; see [`set_broadcast`](UdpSocket::set_broadcast).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open socket.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("{}", rustlet::net::UdpSocket::bind("127.0.0.1:0")?.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(sockopt::socket_broadcast(self.socket.fd())?)
    }

    /// Sets `IP_TTL`, the maximum number of hops of a datagram.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a value that the system rejects (Linux: 1
    /// to 255 are valid).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_ttl(100)?;
    /// assert_eq!(socket.ttl()?, 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(self.socket.fd(), ttl)?)
    }

    /// Returns the value of `IP_TTL`; see [`set_ttl`](UdpSocket::set_ttl).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open socket.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("{}", rustlet::net::UdpSocket::bind("127.0.0.1:0")?.ttl()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(self.socket.fd())?)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UdpSocket");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        out.field("fd", &self.socket.fd().as_raw_fd()).finish()
    }
}

poll_ready_methods!(
    UdpSocket,
    r#"rustlet::net::UdpSocket::bind("127.0.0.1:0")?"#
);
poll_datagram_methods!(
    UdpSocket,
    r#"{
    let bind = || rustlet::net::UdpSocket::bind("127.0.0.1:0");
    let (one, other) = (bind()?, bind()?);
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    (one, other)
}"#
);
descriptor_traits!(UdpSocket, std::net::UdpSocket, Protocol::Other);
