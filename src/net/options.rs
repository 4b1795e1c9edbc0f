//! Options of internet sockets that std does not offer, with the names of the crate socket2.
//!
//! Set other options with socket2 itself: on a new socket, which is then converted with
//! `TcpStream::from(OwnedFd::from(socket))` (with the feature `socket2`,
//! `TcpStream::from(socket)`), or on an existing one with `socket2::SockRef::from(&stream)`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use super::{TcpListener, TcpStream, UdpSocket};
use crate::sys::sock;

/// Settings of TCP keepalive, for [`TcpStream::set_tcp_keepalive`]. A value that is not set here
/// stays as it is on the socket; on a new socket that is the system's default.
///
/// # Examples
///
/// ```
/// use rustlet::net::TcpKeepalive;
/// use std::time::Duration;
///
/// let keepalive = TcpKeepalive::new()
///     .with_time(Duration::from_secs(60))
///     .with_interval(Duration::from_secs(10))
///     .with_retries(3);
/// # let _ = keepalive;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    time: Option<Duration>,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl TcpKeepalive {
    /// Creates settings in which no value is set.
    ///
    /// # Examples
    ///
    /// ```
    /// let keepalive = rustlet::net::TcpKeepalive::new();
    /// # let _ = keepalive;
    /// ```
    #[must_use]
    pub const fn new() -> TcpKeepalive {
        TcpKeepalive {
            time: None,
            interval: None,
            retries: None,
        }
    }

    /// Sets how long the connection is idle before the first probe (`TCP_KEEPIDLE`), rounded up to
    /// whole seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let keepalive = rustlet::net::TcpKeepalive::new().with_time(Duration::from_secs(60));
    /// # let _ = keepalive;
    /// ```
    #[must_use]
    pub const fn with_time(mut self, time: Duration) -> TcpKeepalive {
        self.time = Some(time);
        self
    }

    /// Sets the time between two probes (`TCP_KEEPINTVL`), rounded up to whole seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let keepalive = rustlet::net::TcpKeepalive::new().with_interval(Duration::from_secs(5));
    /// # let _ = keepalive;
    /// ```
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> TcpKeepalive {
        self.interval = Some(interval);
        self
    }

    /// Sets the number of unanswered probes after which the connection is closed (`TCP_KEEPCNT`).
    ///
    /// # Examples
    ///
    /// ```
    /// let keepalive = rustlet::net::TcpKeepalive::new().with_retries(3);
    /// # let _ = keepalive;
    /// ```
    #[must_use]
    pub const fn with_retries(mut self, retries: u32) -> TcpKeepalive {
        self.retries = Some(retries);
        self
    }
}

impl TcpStream {
    /// Sets `SO_KEEPALIVE`: whether the system probes an idle connection, and closes it with an
    /// error if the peer does not answer. Default: `false`. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call. None is expected on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// stream.set_keepalive(true)?;
    /// assert!(stream.keepalive()?);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_keepalive(self.socket.fd(), keepalive)?)
    }

    /// Returns the value of `SO_KEEPALIVE`; see [`set_keepalive`](TcpStream::set_keepalive). Does
    /// not wait.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call. None is expected on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let stream = rustlet::net::TcpStream::connect("127.0.0.1:8080")?;
    /// assert!(!stream.keepalive()?);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn keepalive(&self) -> io::Result<bool> {
        Ok(sockopt::socket_keepalive(self.socket.fd())?)
    }

    /// Turns keepalive on, with these settings. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a value that the system does not
    /// accept, such as an interval of zero. Keepalive is then on, and the values before that one
    /// (in the order idle time, interval, retries) are set.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::{TcpKeepalive, TcpStream};
    /// use std::time::Duration;
    ///
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// // A peer that is gone is noticed after 90 s.
    /// let keepalive = TcpKeepalive::new()
    ///     .with_time(Duration::from_secs(60))
    ///     .with_interval(Duration::from_secs(10))
    ///     .with_retries(3);
    /// stream.set_tcp_keepalive(&keepalive)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn set_tcp_keepalive(&self, keepalive: &TcpKeepalive) -> io::Result<()> {
        let fd = self.socket.fd();
        sockopt::set_socket_keepalive(fd, true)?;
        if let Some(time) = keepalive.time {
            sockopt::set_tcp_keepidle(fd, time)?;
        }
        if let Some(interval) = keepalive.interval {
            sockopt::set_tcp_keepintvl(fd, interval)?;
        }
        if let Some(retries) = keepalive.retries {
            sockopt::set_tcp_keepcnt(fd, retries)?;
        }
        Ok(())
    }
}

impl TcpListener {
    /// Sets how many connections may wait to be accepted. Default: as many as the system allows.
    /// Does not wait.
    ///
    /// When the queue is full, the systems of further clients retry the connection until there is
    /// room or they give up. The system clamps the number (on Linux to `net.core.somaxconn`). Linux
    /// queues one connection more than the number.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call. None is expected on an open listener.
    ///
    /// # Examples
    ///
    /// ```
    /// let listener = rustlet::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.listen(16)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[doc(alias = "backlog")]
    #[track_caller]
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        sock::set_backlog(self.socket.fd(), backlog)
    }
}

fn is_v6(address: io::Result<SocketAddr>) -> io::Result<bool> {
    Ok(address?.is_ipv6())
}

/// Sets the type of service, in the option of the socket's address family.
fn set_tos(fd: BorrowedFd<'_>, is_v6: bool, tos: u32) -> io::Result<()> {
    if is_v6 {
        return Ok(sockopt::set_ipv6_tclass(fd, tos)?);
    }
    let tos = u8::try_from(tos).map_err(|_| io::Error::from(Errno::INVAL))?;
    Ok(sockopt::set_ip_tos(fd, tos)?)
}

fn tos(fd: BorrowedFd<'_>, is_v6: bool) -> io::Result<u32> {
    Ok(match is_v6 {
        true => sockopt::ipv6_tclass(fd)?,
        false => u32::from(sockopt::ip_tos(fd)?),
    })
}

/// Defines the methods for buffer sizes and the type of service. `$make` creates a socket of the
/// type, for the examples.
macro_rules! buffer_and_tos_methods {
    ($name:ident, $make:literal) => {
        impl $name {
            /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`).
            ///
            /// Linux clamps the number to `net.core.rmem_max`, doubles it, and stops tuning the
            /// size of this buffer automatically. A connection inherits the size from its listener.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a number above 2³¹ − 1.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// socket.set_recv_buffer_size(64 * 1024)?;
            /// assert!(socket.recv_buffer_size()? >= 64 * 1024);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn set_recv_buffer_size(&self, size: usize) -> io::Result<()> {
                Ok(sockopt::set_socket_recv_buffer_size(
                    self.socket.fd(),
                    size,
                )?)
            }

            /// Returns the size of the receive buffer in bytes (`SO_RCVBUF`). On Linux a number
            /// that was set is returned doubled.
            ///
            /// # Errors
            ///
            /// Returns the error of the system call. None is expected on an open socket.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// assert!(socket.recv_buffer_size()? > 0);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn recv_buffer_size(&self) -> io::Result<usize> {
                Ok(sockopt::socket_recv_buffer_size(self.socket.fd())?)
            }

            /// Sets the size of the send buffer in bytes (`SO_SNDBUF`).
            ///
            /// Linux clamps the number to `net.core.wmem_max`, doubles it, and stops tuning the
            /// size of this buffer automatically. A connection inherits the size from its listener.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a number above 2³¹ − 1.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// socket.set_send_buffer_size(64 * 1024)?;
            /// assert!(socket.send_buffer_size()? >= 64 * 1024);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn set_send_buffer_size(&self, size: usize) -> io::Result<()> {
                Ok(sockopt::set_socket_send_buffer_size(
                    self.socket.fd(),
                    size,
                )?)
            }

            /// Returns the size of the send buffer in bytes (`SO_SNDBUF`). On Linux a number that
            /// was set is returned doubled.
            ///
            /// # Errors
            ///
            /// Returns the error of the system call. None is expected on an open socket.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// assert!(socket.send_buffer_size()? > 0);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn send_buffer_size(&self) -> io::Result<usize> {
                Ok(sockopt::socket_send_buffer_size(self.socket.fd())?)
            }

            /// Sets the type of service of the packets that the socket sends: `IP_TOS` of an IPv4
            /// socket, `IPV6_TCLASS` of an IPv6 socket.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a number above 255.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// socket.set_tos(0x10)?; // low delay
            /// assert_eq!(socket.tos()?, 0x10);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn set_tos(&self, value: u32) -> io::Result<()> {
                let is_v6 = is_v6(self.local_addr())?;
                set_tos(self.socket.fd(), is_v6, value)
            }

            /// Returns the type of service of the packets that the socket sends: `IP_TOS` or
            /// `IPV6_TCLASS`.
            ///
            /// # Errors
            ///
            /// Returns the error of the system call. None is expected on an open socket.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let socket = ", $make, ";")]
            /// assert_eq!(socket.tos()?, 0);
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn tos(&self) -> io::Result<u32> {
                let is_v6 = is_v6(self.local_addr())?;
                tos(self.socket.fd(), is_v6)
            }
        }
    };
}

buffer_and_tos_methods!(
    TcpStream,
    "{
    let listener = rustlet::net::TcpListener::bind(\"127.0.0.1:0\")?;
    rustlet::net::TcpStream::connect(listener.local_addr()?)?
}"
);
buffer_and_tos_methods!(
    TcpListener,
    "rustlet::net::TcpListener::bind(\"127.0.0.1:0\")?"
);
buffer_and_tos_methods!(UdpSocket, "rustlet::net::UdpSocket::bind(\"127.0.0.1:0\")?");
