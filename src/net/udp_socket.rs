//! `UdpSocket`: std's, with waits that suspend the calling green thread only.
//!
//! Any thread, green or not, may use a socket, and any number of them at once: each datagram goes to one of the
//! receivers, whole. What concerns groups of receivers is in `udp_multicast`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::net::{SocketType, sockopt};

use super::ToSocketAddrs;
use super::addr::first_that_works;
use super::methods::{handle_methods, timeout_methods};
use super::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::sock;

/// A UDP socket: [`std::net::UdpSocket`] for green threads.
///
/// Made by [`bind`](UdpSocket::bind). It sends to and receives from anybody with [`send_to`](UdpSocket::send_to) and
/// [`recv_from`](UdpSocket::recv_from); once it has a peer by [`connect`](UdpSocket::connect), [`send`](UdpSocket::send) and
/// [`recv`](UdpSocket::recv) talk to that peer alone.
///
/// Receiving suspends the calling green thread until a datagram comes, sending until the system has room for one. On an
/// ordinary OS thread they block, as std's do. Everything else is immediate, but for names, which are looked up on the
/// pool of blocking OS threads. A wait that is cancelled has taken no datagram.
///
/// As with std: a datagram that does not fit the buffer is cut off, and the rest is lost; one of no bytes is received as
/// such (0 is not an end); and what the network reports about an earlier datagram to the peer, such as
/// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused), fails the next call, once.
///
/// It converts from and into [`std::net::UdpSocket`], [`OwnedFd`] and raw descriptors as [`TcpStream`](super::TcpStream) does.
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
    /// A socket at the first address of `addr` that can be had. Port 0 lets the system choose one; ask
    /// [`local_addr`](UdpSocket::local_addr) for it. Suspends only while names are resolved.
    ///
    /// # Errors
    ///
    /// That of the last address tried, such as [`AddrInUse`](io::ErrorKind::AddrInUse);
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when there was no address at all.
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

    /// Names the peer: the first address of `addr` that the system takes. From then on [`send`](UdpSocket::send) sends to it, and only
    /// what comes from it is received. Nothing is sent, so that nobody need be there. Suspends only while names are resolved.
    ///
    /// # Errors
    ///
    /// That of the last address tried; [`InvalidInput`](io::ErrorKind::InvalidInput) when there was no address at all.
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

    /// Receives a datagram, and says from whom. Suspends, for at most the read timeout, until one comes.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the time is up; else the system's.
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

    /// As [`recv_from`](UdpSocket::recv_from), but the datagram stays in the queue: the next call gives it again.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UdpSocket::recv_from).
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

    /// Sends a datagram to the first address that `addr` gives. Suspends until the system has room for it, and while
    /// names are resolved.
    ///
    /// # Errors
    ///
    /// The system's, such as `EMSGSIZE` for too many bytes; [`WouldBlock`](io::ErrorKind::WouldBlock) when the write timeout is over;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when there was no address.
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

    /// Receives a datagram; from the peer, if there is one. Suspends, for at most the read timeout, until one comes.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the time is up; else the system's, such as
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens at the peer's address.
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

    /// As [`recv`](UdpSocket::recv), but the datagram stays in the queue: the next call gives it again.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](UdpSocket::recv).
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

    /// Sends a datagram to the peer. Suspends until the system has room for it.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` without a peer; else as [`send_to`](UdpSocket::send_to), and [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody has
    /// received an earlier one.
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

    /// The address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// Those of the system; none on a socket that [`bind`](UdpSocket::bind) made.
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

    /// The address of the peer that [`connect`](UdpSocket::connect) named.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) when there is none.
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

    /// Sets `SO_BROADCAST`: whether the socket may send to a broadcast address.
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open socket.
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

    /// The value of `SO_BROADCAST`; see [`set_broadcast`](UdpSocket::set_broadcast).
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open socket.
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

    /// Sets `IP_TTL`: how many routers a datagram may pass.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a number that the system does not take (Linux: 1 to 255).
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

    /// The value of `IP_TTL`; see [`set_ttl`](UdpSocket::set_ttl).
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open socket.
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

descriptor_traits!(UdpSocket, std::net::UdpSocket, Protocol::Other);
