//! `UnixListener`: std's, with an `accept` that suspends the calling green thread only.
//!
//! Any thread, green or not, may use a listener, and any number of them may accept at once.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, UnixStream, debug_of_std};
use crate::net::methods::handle_methods;
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::{sock, unix_sock};

/// A Unix socket that listens for connections: [`std::os::unix::net::UnixListener`] for green threads.
///
/// [`accept`](UnixListener::accept) suspends the calling green thread, and blocks an ordinary OS thread. Several threads may accept from
/// one listener at once; each connection goes to one of them. Everything else is immediate. The socket is closed
/// when the last handle is dropped; the file of its path stays, as with std, until somebody removes it.
///
/// It converts from and into [`std::os::unix::net::UnixListener`], [`OwnedFd`] and raw descriptors as
/// [`TcpStream`](crate::net::TcpStream) does.
///
/// # Examples
///
/// ```no_run
/// use rustlet::os::unix::net::UnixListener;
/// use rustlet::thread;
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     for stream in UnixListener::bind("/run/echo.socket")?.incoming() {
///         let stream = stream?;
///         thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixListener {
    socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, where it makes a file. The queue of connections that wait to be accepted is as long as the
    /// system allows.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) when there is a file already, even one that a listener has left behind;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no path of a socket, such as one that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixListener;
    ///
    /// let path = std::env::temp_dir().join(format!("rustlet-bind-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let again = UnixListener::bind(&path);
    /// std::fs::remove_file(&path)?;
    /// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_to(&unix_sock::of_path(path.as_ref())?)
    }

    /// As [`bind`](UnixListener::bind), at any address, abstract ones too.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](UnixListener::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> std::io::Result<()> {
    /// use rustlet::os::linux::net::SocketAddrExt;
    /// use rustlet::os::unix::net::{SocketAddr, UnixListener};
    ///
    /// let name = format!("rustlet doc bind {}", std::process::id());
    /// let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    /// assert_eq!(listener.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind_to(&unix_sock::to_system(socket_addr)?)
    }

    fn bind_to(addr: &SocketAddrUnix) -> io::Result<UnixListener> {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let fd = sock::open_of(AddressFamily::UNIX, SocketType::STREAM)?;
        sock::bind(fd.as_fd(), addr)?;
        sock::listen(fd.as_fd())?;
        Ok(UnixListener {
            socket: Socket::new(fd, Protocol::Unix),
        })
    }

    /// Takes a connection from the queue, with the address of the other end, which seldom has one. Suspends until there is one.
    ///
    /// # Errors
    ///
    /// The system's, such as `EMFILE` when descriptors have run out. The listener stays good.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::net::UnixListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = UnixListener::bind("/run/app.socket")?;
    /// let (stream, addr) = listener.accept()?;
    /// assert!(addr.is_unnamed());
    /// # drop(stream);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, peer) = self.socket.accept()?;
        let peer = unix_sock::from_system(peer, |_| unix_sock::peer_addr(fd.as_fd()))?;
        Ok((UnixStream::new(fd), peer))
    }

    /// The address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Those of the system; none on a listener that [`bind`](UnixListener::bind) made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::net::UnixListener;
    /// use std::path::Path;
    ///
    /// let listener = UnixListener::bind("/run/app.socket")?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(Path::new("/run/app.socket")));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_sock::local_addr(self.socket.fd())
    }

    /// An iterator over the connections that come in; it never ends. The same as calling [`accept`](UnixListener::accept) in a loop.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::net::UnixListener;
    ///
    /// for stream in UnixListener::bind("/run/app.socket")?.incoming() {
    ///     println!("{:?}", stream?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    handle_methods!(
        UnixListener,
        "rustlet::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(
            std::os::unix::net::UnixDatagram::unbound()?))"
    );
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The iterator of [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

debug_of_std!(UnixListener, std::os::unix::net::UnixListener);
descriptor_traits!(
    UnixListener,
    std::os::unix::net::UnixListener,
    Protocol::Unix
);
