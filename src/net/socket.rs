//! The common part of the sockets of this layer: a [`Source`], and the options of the open socket
//! behind it.
//!
//! - **N1** The options (timeouts, the nonblocking flag) belong to the open socket, as in std, not
//!   to the handle: `try_clone` shares them. They are kept by this crate; the kernel's copies
//!   (`SO_RCVTIMEO`, `SO_SNDTIMEO`, `O_NONBLOCK`) are read when a descriptor comes in and written
//!   when it goes out.
//! - **N2** `O_NONBLOCK` belongs to the open file, which may be shared. A socket that this crate
//!   opens has it from the start; one that comes in keeps its flag; one that goes out (`release`)
//!   gets the flag that std would have given it. Transfers do not rely on the flag (K1 of
//!   `sys::sock`). Accepting does, and asks `Access` whether the flag can be trusted.
//! - **N3** In `Access`, the flag of an open file that no other code knows is set, and stays set:
//!   each way for a descriptor to get out (`lend`, `release`) marks the file first, and then waits
//!   until each call of `accept` has returned that had not seen the mark. Such calls do not wait,
//!   because the flag is still set.
//!
//! Any thread may use any of this at any time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::green::budget::poll_budget_quietly;
use crate::retry::Mode;
use crate::runtime::io::source::{Source, SourceKind};
use crate::sys::sock;
use rustix::net::SocketAddrAny;

/// The protocol of a socket, as far as it affects how the socket waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Certainly a TCP connection: a short read means that the kernel's buffer is empty.
    Tcp,
    /// Listeners, UDP.
    #[default]
    Other,
    /// A Unix socket, or possibly one: the system does not report every end of a write's wait.
    Unix,
}

pub(crate) struct Socket {
    source: Source,
    options: Arc<Options>,
}

/// Each atomic stands alone: it publishes no other data, so `Relaxed` everywhere.
#[derive(Default)]
struct Options {
    protocol: Protocol,
    /// In nanoseconds; 0 is none, and `u64::MAX` stands for 584 years and longer.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    nonblocking: AtomicBool,
    access: Access,
    /// The number of an error that a write met after it had sent something; 0 is none.
    failure: AtomicI32,
}

/// Tells whether others may change the flags of the open file (N3): the marks, and the number of
/// calls that rely on `O_NONBLOCK`.
#[derive(Default)]
struct Access(AtomicU32);

impl Access {
    /// Other code has had the descriptor: the flag may change.
    const LENT: u32 = 1 << 30;
    /// The file was put into blocking mode, for std.
    const RELEASED: u32 = 1 << 31;
    const MARKS: u32 = Access::LENT | Access::RELEASED;

    /// Calls `trusting` while no other code has the file; returns `None` if other code has it.
    fn while_private<T>(&self, trusting: impl FnOnce() -> T) -> Option<T> {
        // SeqCst, as everywhere here: of this and the mark one comes first, and the second sees it.
        let is_private = self.0.fetch_add(1, Ordering::SeqCst) & Access::MARKS == 0;
        let result = is_private.then(trusting);
        self.0.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn has(&self, mark: u32) -> bool {
        self.0.load(Ordering::SeqCst) & mark != 0
    }

    fn mark(&self, mark: u32) {
        if self.has(mark) {
            return;
        }
        self.0.fetch_or(mark, Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) & !Access::MARKS != 0 {
            std::thread::yield_now();
        }
    }
}

impl Options {
    fn of(protocol: Protocol, timeouts: [Option<Duration>; 2]) -> Options {
        let [read, write] = timeouts.map(|timeout| AtomicU64::new(encode(timeout)));
        Options {
            protocol,
            read_timeout: read,
            write_timeout: write,
            ..Options::default()
        }
    }

    fn timeouts(&self) -> [Option<Duration>; 2] {
        [load(&self.read_timeout), load(&self.write_timeout)]
    }
}

impl Socket {
    fn with(fd: OwnedFd, options: Arc<Options>) -> Socket {
        let kind = match options.protocol {
            Protocol::Tcp => SourceKind::TcpStream,
            Protocol::Other | Protocol::Unix => SourceKind::Other,
        };
        Socket {
            source: Source::new(fd, kind),
            options,
        }
    }

    /// Creates a socket from a descriptor that `sys` opened or accepted: `O_NONBLOCK` (N2) and
    /// without timeouts.
    pub(crate) fn new(fd: OwnedFd, protocol: Protocol) -> Socket {
        Socket::with(
            fd,
            Arc::new(Options {
                protocol,
                ..Options::default()
            }),
        )
    }

    /// Creates a TCP connection accepted from `self`. It inherits the listener's timeouts, as in
    /// the kernel.
    pub(crate) fn accepted(&self, fd: OwnedFd) -> Socket {
        let options = Options::of(Protocol::Tcp, self.options.timeouts());
        Socket::with(fd, Arc::new(options))
    }

    /// Takes over a descriptor in any state, with the options that the kernel has for it. A
    /// descriptor that is not a socket is not refused here, as in std: each use returns the
    /// system's error.
    pub(crate) fn from_fd(fd: OwnedFd, protocol: Protocol) -> Socket {
        let protocol = match protocol {
            Protocol::Tcp if !sock::is_tcp(fd.as_fd()) => Protocol::Unix,
            protocol => protocol,
        };
        let options = Options::of(protocol, sock::timeouts(fd.as_fd()).unwrap_or_default());
        let nonblocking = sock::is_nonblocking(fd.as_fd()).unwrap_or(false);
        options.nonblocking.store(nonblocking, Ordering::Relaxed);
        // N2: the owner of another handle finds the file unchanged.
        options.access.mark(Access::LENT);
        Socket::with(fd, Arc::new(options))
    }

    /// Releases the descriptor in the state that std would give it: blocking unless requested
    /// otherwise, with the timeouts in the kernel. A failure is ignored; only a descriptor that is
    /// not a socket fails.
    pub(crate) fn release(self) -> OwnedFd {
        let Socket { source, options } = self;
        let fd = source.into_fd();
        sock::set_timeouts(fd.as_fd(), options.timeouts()).ok();
        if sock::is_standard(fd.as_fd()) {
            return fd;
        }
        let nonblocking = options.nonblocking.load(Ordering::Relaxed);
        let mark = if nonblocking {
            Access::LENT
        } else {
            Access::RELEASED
        };
        options.access.mark(mark);
        sock::set_nonblocking(fd.as_fd(), nonblocking).ok();
        fd
    }

    pub(crate) fn duplicate(&self) -> io::Result<Socket> {
        Ok(Socket::with(
            sock::duplicate(self.fd())?,
            Arc::clone(&self.options),
        ))
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the descriptor for a call that does not wait, which is charged to the budget.
    #[track_caller]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        poll_budget_quietly(Location::caller());
        self.source.fd()
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.options.protocol
    }

    pub(crate) fn read_mode(&self) -> Mode {
        self.mode(&self.options.read_timeout)
    }

    pub(crate) fn write_mode(&self) -> Mode {
        self.mode(&self.options.write_timeout)
    }

    fn mode(&self, timeout: &AtomicU64) -> Mode {
        let nonblocking = self.options.nonblocking.load(Ordering::Relaxed);
        Mode {
            timeout: load(timeout),
            nonblocking,
        }
    }

    /// Keeps an error that a write took from a TCP connection after it had sent something, for the
    /// next call: the kernel's blocking call would have left it pending. This happens only when the
    /// connection fails between `sock::has_failed` and the call that sends.
    ///
    /// `BrokenPipe` is not kept: the next write gets it again, and reads do not return it in std
    /// either. Nor is an error that leaves the connection usable. The kernel itself forgets the
    /// error of a Unix stream.
    pub(crate) fn keep_failure(&self, error: &io::Error) {
        if self.protocol() != Protocol::Tcp
            || error.kind() == io::ErrorKind::BrokenPipe
            || !sock::has_failed(self.fd())
        {
            return;
        }
        let number = error.raw_os_error().unwrap_or(0);
        self.options.failure.store(number, Ordering::Relaxed);
    }

    /// Fails, once, with the kept error.
    pub(crate) fn take_failure(&self) -> io::Result<()> {
        if self.options.failure.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        match self.options.failure.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    #[track_caller]
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        poll_budget_quietly(Location::caller());
        self.options
            .nonblocking
            .store(nonblocking, Ordering::Relaxed);
    }

    /// Returns the descriptor for other code, which may change its flags (N3).
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.options.access.mark(Access::LENT);
        self.fd()
    }

    /// Takes a connection from the queue of a listening socket. Never waits.
    pub(crate) fn accept_now(&self) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
        let (access, fd) = (&self.options.access, self.fd());
        if let Some(accepted) = access.while_private(|| sock::accept(fd)) {
            return accepted;
        }
        if !access.has(Access::RELEASED) && sock::is_nonblocking(fd)? {
            return sock::accept(fd);
        }
        sock::accept_shared(fd)
    }

    #[track_caller]
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        poll_budget_quietly(Location::caller());
        load(&self.options.read_timeout)
    }

    #[track_caller]
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        poll_budget_quietly(Location::caller());
        load(&self.options.write_timeout)
    }

    #[track_caller]
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        poll_budget_quietly(Location::caller());
        store(&self.options.read_timeout, timeout)
    }

    #[track_caller]
    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        poll_budget_quietly(Location::caller());
        store(&self.options.write_timeout, timeout)
    }
}

/// The error of std for `Some(Duration::ZERO)`.
pub(crate) fn refuse_zero(timeout: Option<Duration>) -> io::Result<()> {
    if timeout == Some(Duration::ZERO) {
        let text = "cannot set a 0 duration timeout";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

fn store(word: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    refuse_zero(timeout)?;
    word.store(encode(timeout), Ordering::Relaxed);
    Ok(())
}

fn encode(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
    })
}

fn load(word: &AtomicU64) -> Option<Duration> {
    match word.load(Ordering::Relaxed) {
        0 => None,
        u64::MAX => Some(Duration::MAX),
        nanoseconds => Some(Duration::from_nanos(nanoseconds)),
    }
}

/// The conversions of std for a type with a `socket: Socket`: from and into descriptors and std's
/// type, `$theirs`.
macro_rules! descriptor_traits {
    ($name:ident, $theirs:ty, $protocol:expr) => {
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.lend()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.lend().as_raw_fd()
            }
        }

        /// Keeps the timeouts and the nonblocking flag of the socket.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                $name {
                    socket: Socket::from_fd(fd, $protocol),
                }
            }
        }

        /// The descriptor is in blocking mode unless `set_nonblocking(true)` was called, as in std.
        impl From<$name> for OwnedFd {
            fn from(is_private: $name) -> OwnedFd {
                is_private.socket.release()
            }
        }

        /// Keeps the timeouts and the nonblocking flag of std's type.
        impl From<$theirs> for $name {
            fn from(theirs: $theirs) -> $name {
                $name::from(OwnedFd::from(theirs))
            }
        }

        /// Passes on the timeouts and the nonblocking flag; no system call fails on a valid socket.
        impl From<$name> for $theirs {
            fn from(is_private: $name) -> $theirs {
                <$theirs>::from(OwnedFd::from(is_private))
            }
        }

        /// As [`From<OwnedFd>`].
        #[allow(unsafe_code, reason = "the trait's method is unsafe")]
        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> $name {
                // SAFETY: the caller promises that `fd` is open and owned, as std's contract
                // requires.
                $name::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        /// As [`OwnedFd::from`].
        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        // N1, and the states of a source, are consistent between any two calls: a panic in user
        // code cannot break them. std's types have these impls automatically.
        impl std::panic::UnwindSafe for $name {}
        impl std::panic::RefUnwindSafe for $name {}
    };
}
pub(crate) use descriptor_traits;
