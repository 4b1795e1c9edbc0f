//! Multicast options of `UdpSocket`. None of them suspends; any thread may use them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::net::sockopt;

use super::UdpSocket;

impl UdpSocket {
    /// Sets `IP_MULTICAST_LOOP`: whether datagrams sent to a group come back to this machine.
    /// Default: `true`. IPv4 only.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open IPv4 socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_loop_v4(false)?;
    /// assert!(!socket.multicast_loop_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_loop(
            self.socket.fd(),
            multicast_loop_v4,
        )?)
    }

    /// Returns the value of `IP_MULTICAST_LOOP`; see
    /// [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open socket.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("{}", rustlet::net::UdpSocket::bind("127.0.0.1:0")?.multicast_loop_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        Ok(sockopt::ip_multicast_loop(self.socket.fd())?)
    }

    /// Sets `IP_MULTICAST_TTL`, the maximum number of hops of a datagram to a group. Default: 1,
    /// the local network. IPv4 only.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a value above 255.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_ttl_v4(8)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_ttl(
            self.socket.fd(),
            multicast_ttl_v4,
        )?)
    }

    /// Returns the value of `IP_MULTICAST_TTL`; see
    /// [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open socket.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("{}", rustlet::net::UdpSocket::bind("127.0.0.1:0")?.multicast_ttl_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        Ok(sockopt::ip_multicast_ttl(self.socket.fd())?)
    }

    /// Sets `IPV6_MULTICAST_LOOP`: whether this socket receives datagrams that it sends to a group.
    /// Default: `true`. IPv6 only.
    ///
    /// # Errors
    ///
    /// The socket is not an IPv6 socket.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("[::1]:0")?;
    /// socket.set_multicast_loop_v6(false)?;
    /// assert!(!socket.multicast_loop_v6()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        Ok(sockopt::set_ipv6_multicast_loop(
            self.socket.fd(),
            multicast_loop_v6,
        )?)
    }

    /// Returns the value of `IPV6_MULTICAST_LOOP`; see
    /// [`set_multicast_loop_v6`](UdpSocket::set_multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// The socket is not an IPv6 socket.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// println!("{}", rustlet::net::UdpSocket::bind("[::1]:0")?.multicast_loop_v6()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_multicast_loop(self.socket.fd())?)
    }

    /// Joins the multicast group `multiaddr`, to receive datagrams sent to it, on the interface
    /// with the address `interface`. If that is unspecified, the system chooses one.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` or `ENODEV` if there is no such interface,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the address is not a multicast address.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::{Ipv4Addr, UdpSocket};
    ///
    /// let socket = UdpSocket::bind("0.0.0.0:7654")?;
    /// let group = Ipv4Addr::new(239, 1, 2, 3);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_add_membership(
            self.socket.fd(),
            multiaddr,
            interface,
        )?)
    }

    /// Joins the multicast group `multiaddr`, to receive datagrams sent to it, on the interface
    /// with the index `interface`. If that is 0, the system chooses one.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` or `ENODEV` if there is no such interface,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the address is not a multicast address.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::{Ipv6Addr, UdpSocket};
    ///
    /// let socket = UdpSocket::bind("[::]:7654")?;
    /// let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x123);
    /// socket.join_multicast_v6(&group, 0)?;
    /// socket.leave_multicast_v6(&group, 0)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_add_membership(
            self.socket.fd(),
            multiaddr,
            interface,
        )?)
    }

    /// Leaves the multicast group `multiaddr`, joined at `interface`.
    ///
    /// # Errors
    ///
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if the socket is not a member.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::{Ipv4Addr, UdpSocket};
    ///
    /// let socket = UdpSocket::bind("0.0.0.0:7654")?;
    /// let group = Ipv4Addr::new(239, 1, 2, 3);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_drop_membership(
            self.socket.fd(),
            multiaddr,
            interface,
        )?)
    }

    /// Leaves the multicast group `multiaddr`, joined at the interface with the index `interface`.
    ///
    /// # Errors
    ///
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if the socket is not a member.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::{Ipv6Addr, UdpSocket};
    ///
    /// let socket = UdpSocket::bind("[::]:7654")?;
    /// let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x123);
    /// socket.join_multicast_v6(&group, 0)?;
    /// socket.leave_multicast_v6(&group, 0)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_drop_membership(
            self.socket.fd(),
            multiaddr,
            interface,
        )?)
    }
}
