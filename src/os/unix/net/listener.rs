//! `UnixListener`: std's, with an `accept` that suspends only the calling green thread.
//!
//! Any thread, green or not, may use a listener, and any number of them may accept at once.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::task::{Context, Poll, ready};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, UnixStream, debug_of_std};
use crate::net::methods::handle_methods;
use crate::net::poll::poll_ready_methods;
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::sys::{sock, unix_sock};

/// A Unix socket that listens for connections: [`std::os::unix::net::UnixListener`] for green
/// threads.
///
/// [`accept`](UnixListener::accept) suspends the calling green thread, and blocks an OS thread.
/// Several threads may accept from one listener; each connection goes to one of them. All other
/// methods return at once. The socket is closed when the last handle is dropped; the file of its
/// path stays until it is removed, as in std.
///
/// It converts from and into [`std::os::unix::net::UnixListener`], [`OwnedFd`] and raw descriptors
/// like [`TcpStream`](crate::net::TcpStream).
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
    /// Listens at `path`, where it creates a file. The backlog is as long as the system allows.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the file exists, even if it belonged to a former
    /// listener; [`InvalidInput`](io::ErrorKind::InvalidInput) for an invalid socket path, for
    /// example one that is too long.
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

    /// Listens at any address, also an abstract one; otherwise like [`bind`](UnixListener::bind).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`bind`](UnixListener::bind).
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
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let fd = sock::open_of(AddressFamily::UNIX, SocketType::STREAM)?;
        sock::bind(fd.as_fd(), addr)?;
        sock::listen(fd.as_fd())?;
        Ok(UnixListener {
            socket: Socket::new(fd, Protocol::Unix),
        })
    }

    /// Accepts a connection and returns it with the peer's address, which is usually unnamed.
    ///
    /// # Errors
    ///
    /// The system's, such as `EMFILE` if descriptors have run out. The listener stays usable.
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

    /// Accepts a connection, for `async` code: the next in the queue, or the first that arrives.
    ///
    /// [`poll_readable`](UnixListener::poll_readable) says who is woken: tasks that accept from one
    /// listener need a `try_clone` each.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](UnixListener::accept), except `WouldBlock`, and those of
    /// [`poll_readable`](UnixListener::poll_readable).
    ///
    /// # Cancellation
    ///
    /// A poll that is pending has accepted nothing.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use rustlet::os::unix::net::UnixListener;
    /// use std::future::poll_fn;
    ///
    /// let listener = UnixListener::bind("/tmp/socket")?;
    /// let (stream, _) = rustlet::block_on(poll_fn(|context| listener.poll_accept(context)))?;
    /// # drop(stream);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let (fd, peer) = ready!(self.socket.poll_accept(context))?;
        let peer = unix_sock::from_system(peer, |_| unix_sock::peer_addr(fd.as_fd()))?;
        Poll::Ready(Ok((UnixStream::new(fd), peer)))
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on a listener that
    /// [`bind`](UnixListener::bind) made.
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

    /// Returns an iterator over incoming connections; it never ends. It is the same as calling
    /// [`accept`](UnixListener::accept) in a loop.
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

/// Iterator over connections, returned by [`UnixListener::incoming`].
///
/// # Examples
///
/// ```no_run
/// use rustlet::os::unix::net::UnixListener;
///
/// let listener = UnixListener::bind("/run/app.socket")?;
/// let stream = listener.incoming().next().unwrap()?;
/// # std::io::Result::Ok(())
/// ```
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
poll_ready_methods!(
    UnixListener,
    r#"{
    let path = std::env::temp_dir().join(format!("rustlet-poll-{}", std::process::id()));
    let listener = rustlet::os::unix::net::UnixListener::bind(&path)?;
    std::fs::remove_file(path)?;
    listener
}"#
);
descriptor_traits!(
    UnixListener,
    std::os::unix::net::UnixListener,
    Protocol::Unix
);
