//! Sockets on Linux: [`std::os::linux::net`] for green threads.

use std::io;

use rustix::net::sockopt;

/// Abstract names of Unix sockets: std's own trait, for std's own
/// [`SocketAddr`](crate::os::unix::net::SocketAddr).
pub use std::os::linux::net::SocketAddrExt;

use crate::net::TcpStream;

mod sealed {
    /// Seals the traits here, so that they may grow as std's do.
    #[allow(unnameable_types, reason = "an unnameable trait seals the others")]
    pub trait Sealed {}
    impl Sealed for crate::net::TcpStream {}
}

/// Linux-only options of [`TcpStream`]: [`std::os::linux::net::TcpStreamExt`], as far as it is
/// stable.
///
/// # Examples
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use rustlet::os::linux::net::TcpStreamExt;
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let stream = TcpStream::connect(listener.local_addr()?)?;
///     stream.set_quickack(false)?;
///     assert!(!stream.quickack()?);
///     Ok(())
/// })
/// # }
/// ```
pub trait TcpStreamExt: sealed::Sealed {
    /// Sets `TCP_QUICKACK`: with `true`, data is acknowledged at once; with `false` the system may
    /// delay that. It is not permanent: the system changes it by itself.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use rustlet::os::linux::net::TcpStreamExt;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// TcpStream::connect(listener.local_addr()?)?.set_quickack(true)?;
    /// # std::io::Result::Ok(())
    /// ```
    fn set_quickack(&self, quickack: bool) -> io::Result<()>;

    /// Returns the current value of `TCP_QUICKACK`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use rustlet::os::linux::net::TcpStreamExt;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// println!("{}", TcpStream::connect(listener.local_addr()?)?.quickack()?);
    /// # std::io::Result::Ok(())
    /// ```
    fn quickack(&self) -> io::Result<bool>;
}

impl TcpStreamExt for TcpStream {
    fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_quickack(self, quickack)?)
    }

    fn quickack(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_quickack(self)?)
    }
}
