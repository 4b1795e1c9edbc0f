//! What the sockets of this layer share: a [`Source`], and the options of the open socket behind it.
//!
//! - **N1** The options (timeouts, the nonblocking flag) belong to the open socket, as they do in std, not to the
//!   handle: `try_clone` shares them. They are ours alone; the kernel's copies (`SO_RCVTIMEO`, `SO_SNDTIMEO`,
//!   `O_NONBLOCK`) are read when a descriptor comes in and written when it goes out.
//! - **N2** The open file is `O_NONBLOCK` while it is ours, unless it came in as descriptor 0, 1 or 2, or a
//!   clone of it went out. Transfers do not rely on it (K1 of `sys::sock`); accepting does, and asks first
//!   while `shared_file` says that the flag may be off.
//!
//! Any thread may use any of this at any time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use crate::green::budget::spend_quietly;
use crate::retry::Mode;
use crate::runtime::source::{Kind, Source};
use crate::sys::sock;

/// What a socket speaks, as far as that changes how it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A connection of TCP, for certain: a short read means that the kernel's buffer is empty.
    Tcp,
    /// Listeners, UDP.
    #[default]
    Other,
    /// A Unix socket, or what may be one: the system does not announce all that ends a write's wait.
    Unix,
}

pub(crate) struct Socket {
    source: Source,
    options: Arc<Options>,
}

/// Each atomic stands alone: nothing is published through it, so `Relaxed` everywhere.
#[derive(Default)]
struct Options {
    protocol: Protocol,
    /// In nanoseconds; 0 is none, and `u64::MAX` stands for all of 584 years and longer.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    nonblocking: AtomicBool,
    shared_file: AtomicBool,
    /// The number of an error that a write met after it had sent something; 0 is none.
    failure: AtomicI32,
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
            Protocol::Tcp => Kind::TcpStream,
            Protocol::Other | Protocol::Unix => Kind::Other,
        };
        Socket {
            source: Source::new(fd, kind),
            options,
        }
    }

    /// A socket that `sys` opened or accepted: `O_NONBLOCK` (N2) and without timeouts.
    pub(crate) fn new(fd: OwnedFd, protocol: Protocol) -> Socket {
        Socket::with(
            fd,
            Arc::new(Options {
                protocol,
                ..Options::default()
            }),
        )
    }

    /// A connection of TCP accepted from `self`. The kernel hands a listener's timeouts on to what it accepts.
    pub(crate) fn accepted(&self, fd: OwnedFd) -> Socket {
        let options = Options::of(Protocol::Tcp, self.options.timeouts());
        Socket::with(fd, Arc::new(options))
    }

    /// Takes in a descriptor in any state, with the options that the kernel has for it. A descriptor that is
    /// no socket is not refused here, as in std: each use of it gives the system's error.
    pub(crate) fn adopt(fd: OwnedFd, protocol: Protocol) -> Socket {
        let protocol = match protocol {
            Protocol::Tcp if !sock::is_tcp(fd.as_fd()) => Protocol::Unix,
            protocol => protocol,
        };
        let options = Options::of(protocol, sock::timeouts(fd.as_fd()).unwrap_or_default());
        let nonblocking = sock::is_nonblocking(fd.as_fd()).unwrap_or(false);
        options.nonblocking.store(nonblocking, Ordering::Relaxed);
        if !nonblocking {
            let ours =
                !sock::is_standard(fd.as_fd()) && sock::set_nonblocking(fd.as_fd(), true).is_ok();
            options.shared_file.store(!ours, Ordering::Relaxed);
        }
        Socket::with(fd, Arc::new(options))
    }

    /// Lets the descriptor go in the state in which std would have it: blocking unless asked otherwise, with
    /// the timeouts in the kernel. Nothing can be done about a failure, and only a descriptor that is no socket fails.
    pub(crate) fn release(self) -> OwnedFd {
        let Socket { source, options } = self;
        let fd = source.into_fd();
        sock::set_timeouts(fd.as_fd(), options.timeouts()).ok();
        if !options.nonblocking.load(Ordering::Relaxed) && !sock::is_standard(fd.as_fd()) {
            options.shared_file.store(true, Ordering::Relaxed);
            sock::set_nonblocking(fd.as_fd(), false).ok();
        }
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

    /// The descriptor for a call that does not wait, which is charged to the budget.
    #[track_caller]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        spend_quietly(Location::caller());
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

    /// An error that a write met after it had sent something. The kernel would keep that of a TCP connection for the
    /// next call, so it is kept; it forgets that of a Unix stream, whose next call finds out anew.
    pub(crate) fn keep_failure(&self, error: &io::Error) {
        if self.protocol() != Protocol::Tcp {
            return;
        }
        let number = error.raw_os_error().unwrap_or(0);
        self.options.failure.store(number, Ordering::Relaxed);
    }

    /// Fails, once, with the error that was kept.
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
        spend_quietly(Location::caller());
        self.options
            .nonblocking
            .store(nonblocking, Ordering::Relaxed);
    }

    /// N2: whether a call that relies on `O_NONBLOCK` has to ask first.
    pub(crate) fn shares_file(&self) -> bool {
        self.options.shared_file.load(Ordering::Relaxed)
    }

    #[track_caller]
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        spend_quietly(Location::caller());
        load(&self.options.read_timeout)
    }

    #[track_caller]
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        spend_quietly(Location::caller());
        load(&self.options.write_timeout)
    }

    #[track_caller]
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        spend_quietly(Location::caller());
        store(&self.options.read_timeout, timeout)
    }

    #[track_caller]
    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        spend_quietly(Location::caller());
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

fn store(place: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    refuse_zero(timeout)?;
    place.store(encode(timeout), Ordering::Relaxed);
    Ok(())
}

fn encode(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
    })
}

fn load(place: &AtomicU64) -> Option<Duration> {
    match place.load(Ordering::Relaxed) {
        0 => None,
        u64::MAX => Some(Duration::MAX),
        nanoseconds => Some(Duration::from_nanos(nanoseconds)),
    }
}

/// The conversions of std for a type that holds one `socket: Socket`: to and from descriptors and std's type, `$theirs`.
macro_rules! descriptor_traits {
    ($name:ident, $theirs:ty, $protocol:expr) => {
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.source().fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.source().fd().as_raw_fd()
            }
        }

        /// Takes over the timeouts and the nonblocking flag that the socket has.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                $name {
                    socket: Socket::adopt(fd, $protocol),
                }
            }
        }

        /// The descriptor is in blocking mode unless `set_nonblocking(true)` was called, as one of std is.
        impl From<$name> for OwnedFd {
            fn from(ours: $name) -> OwnedFd {
                ours.socket.release()
            }
        }

        /// Takes over the timeouts and the nonblocking flag that std's type has.
        impl From<$theirs> for $name {
            fn from(theirs: $theirs) -> $name {
                $name::from(OwnedFd::from(theirs))
            }
        }

        /// Hands over the timeouts and the nonblocking flag; no system call fails on a good socket.
        impl From<$name> for $theirs {
            fn from(ours: $name) -> $theirs {
                <$theirs>::from(OwnedFd::from(ours))
            }
        }

        /// As [`From<OwnedFd>`].
        #[allow(unsafe_code, reason = "the trait's method is unsafe")]
        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> $name {
                // SAFETY: the caller promises that `fd` is open and his to give, as std's contract asks.
                $name::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        /// As [`OwnedFd::from`].
        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        // N1, and the states of a source, are whole between any two calls: a panic in the user's code cannot
        // leave them broken. std's types have these by themselves.
        impl std::panic::UnwindSafe for $name {}
        impl std::panic::RefUnwindSafe for $name {}
    };
}
pub(crate) use descriptor_traits;
