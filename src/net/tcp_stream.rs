//! `TcpStream`: std's, with waits that suspend only the calling green thread.
//!
//! Reading and writing are in `transfer`. Any thread, green or not, may use a stream, and any
//! number of them at once.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net::{SocketType, sockopt};

use super::ToSocketAddrs;
use super::addr::no_addresses;
use super::poll::{poll_ready_methods, poll_stream_methods};
use super::socket::{Protocol, Socket, descriptor_traits, refuse_zero};
use super::transfer::stream_traits;
use crate::green::Reason;
use crate::retry::{self, Mode};
use crate::sys::sock;

/// A TCP connection: [`std::net::TcpStream`] for green threads.
///
/// It is created by [`connect`](TcpStream::connect) or
/// [`TcpListener::accept`](super::TcpListener::accept), and read and written through
/// [`Read`](io::Read) and [`Write`](io::Write), also through `&TcpStream`, so that one green thread
/// can read while another writes. Dropping the last handle closes the connection. It may be sent to
/// another thread at any time.
///
/// [`read`](io::Read::read), [`write`](io::Write::write), [`peek`](TcpStream::peek) and
/// [`connect`](TcpStream::connect) suspend the calling green thread until they can go on; on an OS
/// thread they block, as in std. All other methods return at once.
///
/// As with a blocking stream of std, `write` returns when all of the buffer has been passed to the
/// system, and a smaller count only if an error or a timeout stopped it.
///
/// # Conversions
///
/// It converts from and into [`std::net::TcpStream`], [`OwnedFd`] and raw descriptors, with the
/// state that std would have: timeouts and the nonblocking flag are kept. A stream that comes in
/// keeps the flags of its open file, so another handle that std has to it still blocks; a clone
/// that stays when a stream is converted into std's still suspends only its green thread. A stream
/// created here is `O_NONBLOCK` until it is converted.
///
/// # Examples
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use rustlet::thread;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     let server = thread::spawn(move || -> std::io::Result<()> {
///         let (mut stream, _) = listener.accept()?;
///         stream.write_all(b"hello")
///     });
///
///     let mut stream = TcpStream::connect(addr)?;
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     server.join().unwrap()
/// })
/// # }
/// ```
pub struct TcpStream {
    pub(super) socket: Socket,
}

impl TcpStream {
    /// Connects to a remote host, trying each address of `addr` until one succeeds.
    ///
    /// # Errors
    ///
    /// That of the last address tried, such as
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused);
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there was no address.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while names are resolved (on the pool of blocking OS
    /// threads) and while the connection is made; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the attempt is abandoned.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let stream = TcpStream::connect(listener.local_addr()?)?;
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let mut last = None;
        // Not `first_that_works`: a closure would hide the caller's location, which identifies the
        // wait.
        for addr in addr.to_socket_addrs()? {
            match TcpStream::connect_one(&addr, None) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_addresses))
    }

    /// Connects to one address, waiting for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is zero; otherwise as
    /// [`connect`](TcpStream::connect).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until the attempt ends; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let addr = listener.local_addr()?;
    ///     TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    ///
    ///     let refused = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
    ///     assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        refuse_zero(Some(timeout))?;
        TcpStream::connect_one(addr, Some(timeout)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "connection timed out")
            }
            _ => error,
        })
    }

    #[track_caller]
    fn connect_one(addr: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let socket = Socket::new(sock::open(addr, SocketType::STREAM)?, Protocol::Tcp);
        let mut started = false;
        let mode = Mode {
            timeout,
            nonblocking: false,
        };
        retry::write(socket.source(), Reason::Connect, mode, |fd| {
            let done = if started {
                sock::connected(fd)
            } else {
                sock::connect(fd, addr)
            };
            started = true;
            if done? {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        })?;
        Ok(TcpStream { socket })
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// assert_eq!(stream.peer_addr()?.port(), 8080);
    /// # Ok(())
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sock::peer_addr(self.socket.fd())
    }

    /// Returns the local address.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// assert!(stream.local_addr()?.ip().is_loopback());
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sock::local_addr(self.socket.fd())
    }

    /// Shuts down the read half, the write half, or both. Threads that wait in a read or a write of
    /// that half, through any clone, return at once.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the peer has closed the connection
    /// completely.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{Shutdown, TcpListener, TcpStream};
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let client = TcpStream::connect(listener.local_addr()?)?;
    ///     client.shutdown(Shutdown::Write)?;
    ///
    ///     let (mut server, _) = listener.accept()?;
    ///     assert_eq!(server.read(&mut [0; 8])?, 0);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sock::shutdown(self.socket.fd(), how)
    }

    /// Creates a second handle to the same stream: it shares data and options. The stream is closed
    /// when the last handle is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut reader = TcpStream::connect("127.0.0.1:8080")?;
    /// let mut writer = reader.try_clone()?;
    /// rustlet::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    /// std::io::Write::write_all(&mut writer, b"ping")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            socket: self.socket.duplicate()?,
        })
    }

    /// Sets the time limit for reads; `None`, the default, means no limit.
    ///
    /// It applies to all clones of the stream, from the next read on. Any nonzero duration is
    /// valid, [`Duration::MAX`] too. A read that exceeds it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), as in std on Unix. No system call is made.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a zero duration.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let mut stream = TcpStream::connect(listener.local_addr()?)?;
    ///     stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    ///     assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(dur)
    }

    /// Sets the time limit for writes; `None`, the default, means no limit.
    ///
    /// Otherwise like [`set_read_timeout`](TcpStream::set_read_timeout), but a write that has sent
    /// a part of its buffer when the time has passed returns the length of that part.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a zero duration.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(dur)
    }

    /// Returns the read timeout, exact to the nanosecond.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// assert_eq!(stream.read_timeout()?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.socket.read_timeout())
    }

    /// Returns the write timeout, exact to the nanosecond.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// assert_eq!(stream.write_timeout()?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.socket.write_timeout())
    }

    /// Reads data without removing it from the queue: the next read or peek returns it again.
    /// Returns 0 at the end of the stream.
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
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     TcpStream::connect(listener.local_addr()?)?.write_all(b"x")?;
    ///
    ///     let (mut stream, _) = listener.accept()?;
    ///     let mut byte = [0];
    ///     assert_eq!(stream.peek(&mut byte)?, 1);
    ///     assert_eq!(stream.read(&mut byte)?, 1);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    /// Sets `SO_LINGER`, in whole seconds. Default: `None`.
    ///
    /// With `Some`, closing waits that long until unsent data is sent; `Some(Duration::ZERO)`
    /// resets the connection instead of closing it gracefully. Unstable in std; this is its
    /// signature there. A value above zero makes the *drop* of the last handle block its OS thread,
    /// and the other green threads on it, while there is unsent data. Drop such a stream inside
    /// `unblock`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// stream.set_linger(Some(Duration::ZERO))?;
    /// drop(stream); // the peer sees a reset
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let longest = i32::MAX.unsigned_abs().into();
        let linger = linger.map(|linger| Duration::from_secs(linger.as_secs().min(longest)));
        Ok(sockopt::set_socket_linger(self.socket.fd(), linger)?)
    }

    /// Returns the value of `SO_LINGER`; see [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// assert_eq!(TcpStream::connect("127.0.0.1:8080")?.linger()?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self.socket.fd())?)
    }

    /// Sets `TCP_NODELAY`: small writes are sent at once instead of being collected while earlier
    /// data is in flight. Default: `false`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(self.socket.fd(), nodelay)?)
    }

    /// Returns the value of `TCP_NODELAY`; see [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// assert!(!TcpStream::connect("127.0.0.1:8080")?.nodelay()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(self.socket.fd())?)
    }

    /// Sets `IP_TTL`, the maximum number of hops of a packet.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a value that the system rejects (Linux: 1
    /// to 255 are valid).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stream = TcpStream::connect("127.0.0.1:8080")?;
    /// stream.set_ttl(100)?;
    /// assert_eq!(stream.ttl()?, 100);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(self.socket.fd(), ttl)?)
    }

    /// Returns the value of `IP_TTL`; see [`set_ttl`](TcpStream::set_ttl).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// println!("{}", TcpStream::connect("127.0.0.1:8080")?.ttl()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(self.socket.fd())?)
    }

    /// Takes and clears the pending error of the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// assert!(TcpStream::connect("127.0.0.1:8080")?.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self.socket.take_failure() {
            Ok(()) => sock::take_error(self.socket.fd()),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Sets nonblocking mode: calls that would wait return
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) instead, through any clone. Default: `false`.
    ///
    /// Green threads do not need it, because their waits do not block others. It is a flag of this
    /// crate, separate from the system's `O_NONBLOCK`; the two are synchronised when the stream is
    /// converted into std's type or a descriptor.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{TcpListener, TcpStream};
    /// use std::io::{ErrorKind, Read};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// rustlet::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let mut stream = TcpStream::connect(listener.local_addr()?)?;
    ///     stream.set_nonblocking(true)?;
    ///     assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            out.field("peer", &peer);
        }
        out.field("fd", &self.socket.fd().as_raw_fd()).finish()
    }
}

impl TcpStream {
    /// Creates a connection that `listener` accepted.
    pub(super) fn accepted(listener: &Socket, fd: OwnedFd) -> TcpStream {
        TcpStream {
            socket: listener.accepted(fd),
        }
    }
}

stream_traits!(TcpStream);
poll_ready_methods!(
    TcpStream,
    r#"{
    let listener = rustlet::net::TcpListener::bind("127.0.0.1:0")?;
    rustlet::net::TcpStream::connect(listener.local_addr()?)?
}"#
);
poll_stream_methods!(
    TcpStream,
    r#"{
    let listener = rustlet::net::TcpListener::bind("127.0.0.1:0")?;
    let one = rustlet::net::TcpStream::connect(listener.local_addr()?)?;
    (one, listener.accept()?.0)
}"#
);
descriptor_traits!(TcpStream, std::net::TcpStream, Protocol::Tcp);
