//! `UnixStream`: std's, with waits that suspend only the calling green thread.
//!
//! Reading and writing are in `net::transfer`. Any thread, green or not, may use a stream, and any
//! number of them at once.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, debug_of_std, peer_methods};
use crate::green::Reason;
use crate::net::methods::{handle_methods, timeout_methods};
use crate::net::poll::{poll_ready_methods, poll_stream_methods};
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::net::transfer::stream_traits;
use crate::retry::{self, Mode, WritableEvents};
use crate::sys::{sock, unix_sock};

/// A connection between two processes of one machine, or two threads:
/// [`std::os::unix::net::UnixStream`] for green threads.
///
/// It is created by [`connect`](UnixStream::connect),
/// [`UnixListener::accept`](super::UnixListener::accept), or [`pair`](UnixStream::pair), and read
/// and written through [`Read`](io::Read) and [`Write`](io::Write), also through `&UnixStream`, so
/// that one green thread can read while another writes. Dropping the last handle closes it.
///
/// Reading, writing, [`peek`](UnixStream::peek) and connecting suspend the calling green thread
/// until they can go on; on an OS thread they block, as in std. All other methods return at once.
///
/// It converts from and into [`std::os::unix::net::UnixStream`], [`OwnedFd`] and raw descriptors
/// like [`TcpStream`](crate::net::TcpStream).
///
/// # Examples
///
/// ```
/// use rustlet::os::unix::net::UnixStream;
/// use rustlet::thread;
/// use std::io::{BufRead, BufReader, Write};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let (mut asking, answering) = UnixStream::pair()?;
///     thread::spawn(move || {
///         for line in BufReader::new(&answering).lines() {
///             writeln!(&answering, "you said {}", line.unwrap()).unwrap();
///         }
///     });
///
///     writeln!(asking, "hello")?;
///     let mut line = String::new();
///     BufReader::new(asking).read_line(&mut line)?;
///     assert_eq!(line, "you said hello\n");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream {
    socket: Socket,
}

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound),
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the listener is closed,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an invalid socket path, for example one
    /// that is too long.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while the listener's backlog is full (see the
    /// [module](super)); blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixStream;
    ///
    /// let error = UnixStream::connect("/nowhere/at/all").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_to(&unix_sock::of_path(path.as_ref())?)
    }

    /// Connects to any address, also an abstract one; otherwise like
    /// [`connect`](UnixStream::connect).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`connect`](UnixStream::connect).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> std::io::Result<()> {
    /// use rustlet::os::linux::net::SocketAddrExt;
    /// use rustlet::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    ///
    /// let name = format!("rustlet doc connect {}", std::process::id());
    /// let addr = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&addr)?;
    /// let stream = UnixStream::connect_addr(&listener.local_addr()?)?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    #[track_caller]
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&unix_sock::to_system(socket_addr)?)
    }

    #[track_caller]
    fn connect_to(addr: &SocketAddrUnix) -> io::Result<UnixStream> {
        let socket = Socket::new(
            sock::open_of(AddressFamily::UNIX, SocketType::STREAM)?,
            Protocol::Unix,
        );
        retry::write_persistently(
            socket.source(),
            Reason::Connect,
            Mode::default(),
            WritableEvents::Never,
            |fd| unix_sock::connect(fd, addr),
        )?;
        Ok(UnixStream { socket })
    }

    /// Creates two unnamed streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixStream;
    ///
    /// let (one, other) = UnixStream::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # drop(other);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let (one, other) = sock::open_pair(SocketType::STREAM)?;
        Ok((UnixStream::new(one), UnixStream::new(other)))
    }

    /// Wraps a descriptor that `sys` opened.
    pub(super) fn new(fd: OwnedFd) -> UnixStream {
        UnixStream {
            socket: Socket::new(fd, Protocol::Unix),
        }
    }

    /// Reads data without removing it from the queue: the next read or peek returns it again.
    /// Returns 0 at the end of the stream. Unstable in std; this is its signature there.
    ///
    /// # Errors
    ///
    /// Returns the errors of a read.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is data, for at most the read timeout; blocks
    /// an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::net::UnixStream;
    /// use std::io::{Read, Write};
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all(b"x")?;
    /// let mut byte = [0];
    /// assert_eq!(other.peek(&mut byte)?, 1);
    /// assert_eq!(other.read(&mut byte)?, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    handle_methods!(UnixStream, "rustlet::os::unix::net::UnixStream::pair()?.0");
    timeout_methods!("rustlet::os::unix::net::UnixStream::pair()?.0");
}

peer_methods!(UnixStream, "rustlet::os::unix::net::UnixStream::pair()?.0");
stream_traits!(UnixStream);
poll_ready_methods!(UnixStream, "rustlet::os::unix::net::UnixStream::pair()?.0");
poll_stream_methods!(UnixStream, "rustlet::os::unix::net::UnixStream::pair()?");
debug_of_std!(UnixStream, std::os::unix::net::UnixStream);
descriptor_traits!(UnixStream, std::os::unix::net::UnixStream, Protocol::Unix);
