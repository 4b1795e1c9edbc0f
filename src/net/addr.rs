//! `ToSocketAddrs`: std's trait, but that names are looked up on the pool of blocking OS threads.
//!
//! It cannot be std's own: the lookup inside std's implementations for strings would block the worker.
//! What is written as a number is read here and now; only real names go to the pool.

use std::io;
use std::iter;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::slice;
use std::vec;

use crate::runtime::blocking;

/// What can be turned into one or more [`SocketAddr`]: [`std::net::ToSocketAddrs`], with the same implementations,
/// for green threads.
///
/// Implemented for [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`], pairs of an IP address and a port, pairs of a host (`&str` or
/// [`String`]) and a port, `"host:port"` as `str` or [`String`], `&[SocketAddr]`, and references to all these.
///
/// A host that is not a number is looked up by the system, which blocks: that happens on the runtime's pool
/// of blocking OS threads, and the calling green thread suspends meanwhile.
///
/// # Examples
///
/// ```
/// use rustlet::net::ToSocketAddrs;
///
/// rustlet::run(|| {
///     let addrs: Vec<_> = "127.0.0.1:80".to_socket_addrs().unwrap().collect();
///     assert_eq!(addrs, [([127, 0, 0, 1], 80).into()]);
///
///     let no_port = "127.0.0.1".to_socket_addrs().unwrap_err();
///     assert_eq!(no_port.kind(), std::io::ErrorKind::InvalidInput);
/// });
/// ```
pub trait ToSocketAddrs {
    /// The addresses, one after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that `self` stands for, which may be none. Suspends while a name is looked up.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for text that is no address; the system's error when a name is not found.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::ToSocketAddrs;
    ///
    /// let mut addrs = ("::1", 443).to_socket_addrs()?;
    /// assert_eq!(addrs.next(), Some("[::1]:443".parse().unwrap()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// The types for which std's implementation only reads what is there.
macro_rules! immediate {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<option::IntoIter<SocketAddr>> {
                net::ToSocketAddrs::to_socket_addrs(self)
            }
        }
    )*};
}

immediate!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        match self.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => look_up(self.to_owned()),
            // Nothing to look up: std knows the error.
            _ => net::ToSocketAddrs::to_socket_addrs(self),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Lets std look a name up, off the worker.
#[track_caller]
fn look_up<N>(name: N) -> io::Result<vec::IntoIter<SocketAddr>>
where
    N: net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
{
    blocking::run(move || name.to_socket_addrs())?
}

/// The error of std for an address that stands for none.
pub(super) fn no_addresses() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "could not resolve to any addresses",
    )
}
