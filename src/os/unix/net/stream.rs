//! `UnixStream`: std's, with waits that suspend the calling green thread only.
//!
//! How it is read and written is in `net::transfer`. Any thread, green or not, may use a stream, and any number of them at
//! once.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{SocketAddr, debug_of_std, peer_methods};
use crate::green::Reason;
use crate::net::methods::{handle_methods, timeout_methods};
use crate::net::socket::{Protocol, Socket, descriptor_traits};
use crate::net::transfer::stream_traits;
use crate::retry::{self, Announced, Mode};
use crate::sys::{sock, unix_sock};

/// A stream between two programs of one machine, or two threads: [`std::os::unix::net::UnixStream`] for green threads.
///
/// Made by [`connect`](UnixStream::connect), by [`UnixListener::accept`](super::UnixListener::accept), or two at a time by [`pair`](UnixStream::pair); read and written
/// through [`Read`](io::Read) and [`Write`](io::Write), also through `&UnixStream`, so that one green thread can read while another writes.
/// Dropping the last handle closes it.
///
/// Reading, writing, [`peek`](UnixStream::peek) and connecting suspend the calling green thread until they can go on. On an ordinary OS thread
/// they block, as std's do. Everything else is immediate.
///
/// It converts from and into [`std::os::unix::net::UnixStream`], [`OwnedFd`] and raw descriptors as
/// [`TcpStream`](crate::net::TcpStream) does.
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
    /// Suspends while the queue of the listener is full (the [module](super) says how).
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound), [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens there any
    /// more, [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no path of a socket, such as one that is too long.
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

    /// As [`connect`](UnixStream::connect), to any address, abstract ones too.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](UnixStream::connect).
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
            Announced::Never,
            |fd| unix_sock::connect(fd, addr),
        )?;
        Ok(UnixStream { socket })
    }

    /// Two streams, connected to each other, without names.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let (one, other) = sock::open_pair(SocketType::STREAM)?;
        Ok((UnixStream::new(one), UnixStream::new(other)))
    }

    /// Around a descriptor that `sys` opened.
    pub(super) fn new(fd: OwnedFd) -> UnixStream {
        UnixStream {
            socket: Socket::new(fd, Protocol::Unix),
        }
    }

    /// Receives data without taking it from the queue: the next read or peek gives it again. Suspends, like a
    /// read and with its timeout, until there is some, or the end of the stream (0).
    ///
    /// Not stable in std yet; this is its unstable signature.
    ///
    /// # Errors
    ///
    /// Those of a read.
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
debug_of_std!(UnixStream, std::os::unix::net::UnixStream);
descriptor_traits!(UnixStream, std::os::unix::net::UnixStream, Protocol::Unix);
