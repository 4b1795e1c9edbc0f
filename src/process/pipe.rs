//! The parent's ends of a child's pipes: `ChildStdin`, `ChildStdout`, `ChildStderr`.
//!
//! - **PI1** The open file is `O_NONBLOCK` while it is ours, and gets its former mode when it goes
//!   out. A descriptor that came in as 0, 1 or 2 keeps its flags, which are shared with other
//!   programs: each transfer first checks whether it would wait, and moves no more than there is
//!   room for.
//!
//! Any thread may use any of this at any time; reads and writes suspend.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::Stdio;
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;

use crate::green::Reason;
use crate::io::file::poll::{poll_read_methods, poll_write_methods};
use crate::retry::{self, Mode};
use crate::runtime::io::source::{Interest, Source, SourceKind};
use crate::sys::sock;

/// Minimum room of a writable pipe, in bytes.
const PIPE_CHUNK_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// How often one write may find room without yielding.
const MAX_WRITES_PER_ROUND: usize = 16;

/// One end of a pipe.
pub(super) struct Pipe {
    source: Source,
    /// PI1: it was blocking and is not now.
    made_nonblocking: bool,
    /// PI1: it may block.
    asks_first: bool,
}

impl Pipe {
    pub(super) fn from_fd(fd: OwnedFd) -> Pipe {
        let was_nonblocking = sock::is_nonblocking(fd.as_fd()).unwrap_or(true);
        let made_nonblocking = !was_nonblocking
            && !sock::is_standard(fd.as_fd())
            && sock::set_nonblocking(fd.as_fd(), true).is_ok();
        Pipe {
            source: Source::new(fd, SourceKind::Other),
            made_nonblocking,
            asks_first: !was_nonblocking && !made_nonblocking,
        }
    }

    fn release(self) -> OwnedFd {
        let fd = self.source.into_fd();
        if self.made_nonblocking {
            // Fails for no descriptor for which it has succeeded before.
            sock::set_nonblocking(fd.as_fd(), false).ok();
        }
        fd
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    fn may(&self, interest: Interest) -> io::Result<()> {
        if self.asks_first && !retry::is_ready(self.source.fd(), interest)? {
            return Err(retry::would_block());
        }
        Ok(())
    }

    #[track_caller]
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            // Does not wait, whatever is in the pipe.
            return Ok(rustix::io::read(self.source.fd(), buf)?);
        }
        let read = |fd: BorrowedFd<'_>| {
            self.may(Interest::Read)?;
            Ok(rustix::io::read(fd, &mut *buf)?)
        };
        retry::read(&self.source, Reason::Read, Mode::default(), read, |_| false)
    }

    #[track_caller]
    fn poll_ready(&self, interest: Interest, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        retry::poll_ready(&self.source, interest, context)
    }

    #[track_caller]
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let read = |_: BorrowedFd<'_>| {
            self.may(Interest::Read)?;
            Ok(rustix::io::readv(self.source.fd(), bufs)?)
        };
        retry::poll_io(&self.source, Interest::Read, context, read, |_| false)
    }

    /// Writes some bytes, as many as there is room for.
    #[track_caller]
    fn poll_write(
        &self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |fd: BorrowedFd<'_>| {
            self.may(Interest::Write)?;
            if !self.asks_first {
                return Ok(rustix::io::writev(fd, bufs)?);
            }
            let buf = bufs.iter().find(|buf| !buf.is_empty());
            let buf = buf.map_or(&[][..], |buf| &**buf);
            Ok(rustix::io::write(
                fd,
                &buf[..buf.len().min(PIPE_CHUNK_BYTES)],
            )?)
        };
        retry::poll_io(&self.source, Interest::Write, context, write, |_| false)
    }

    /// Reads into the reserved capacity of `into`. Returns `None` if it would wait.
    pub(super) fn try_read_onto(&self, into: &mut Vec<u8>) -> io::Result<Option<usize>> {
        retry::try_read(&self.source, |fd| {
            self.may(Interest::Read)?;
            Ok(rustix::io::read(fd, spare_capacity(into))?)
        })
    }

    /// Reads into the reserved capacity of `into`.
    #[track_caller]
    pub(super) fn read_onto(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        let read = |fd: BorrowedFd<'_>| {
            self.may(Interest::Read)?;
            Ok(rustix::io::read(fd, spare_capacity(into))?)
        };
        retry::read(&self.source, Reason::Read, Mode::default(), read, |_| false)
    }

    #[track_caller]
    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = bufs.len().min(sock::MAX_BUFFERS);
        if bufs[..count].iter().all(|buf| buf.is_empty()) {
            return Ok(rustix::io::readv(self.source.fd(), &mut bufs[..count])?);
        }
        let read = |fd: BorrowedFd<'_>| {
            self.may(Interest::Read)?;
            Ok(rustix::io::readv(fd, &mut bufs[..count])?)
        };
        retry::read(&self.source, Reason::Read, Mode::default(), read, |_| false)
    }

    /// Writes all, as a blocking pipe does; less if an error or a cancellation interrupts it, which
    /// the next write reports.
    #[track_caller]
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        loop {
            let round = |fd: BorrowedFd<'_>| {
                for _ in 0..MAX_WRITES_PER_ROUND {
                    self.may(Interest::Write)?;
                    let rest = &buf[written..];
                    let max_bytes = if self.asks_first {
                        PIPE_CHUNK_BYTES
                    } else {
                        usize::MAX
                    };
                    let count = rustix::io::write(fd, &rest[..rest.len().min(max_bytes)])?;
                    written += count;
                    if written >= buf.len() || count == 0 {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            let write = || retry::write(&self.source, Reason::Write, Mode::default(), round);
            // The bytes that were written must be reported, also those of the last round before it
            // had to wait.
            match retry::defer_cancel(write) {
                Ok(Ok(true)) => return Ok(written),
                Ok(Ok(false)) => {}
                Ok(Err(error)) if written == 0 => return Err(error),
                Err(cancelled) if written == 0 => cancelled.resume(),
                Ok(Err(_)) | Err(_) => return Ok(written),
            }
        }
    }

    /// Writes all buffers like `write`, together if the pipe has the room.
    #[track_caller]
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(sock::MAX_BUFFERS)];
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.asks_first || size == 0 {
            return bufs
                .iter()
                .find(|buf| !buf.is_empty())
                .map_or(Ok(0), |buf| self.write(buf));
        }
        let first = retry::write(&self.source, Reason::Write, Mode::default(), |fd| {
            Ok(rustix::io::writev(fd, bufs)?)
        })?;
        let mut written = first;
        let mut skip = first;
        for buf in bufs {
            let rest = buf.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(buf.len());
            if rest.is_empty() {
                continue;
            }
            match retry::defer_cancel(|| self.write(rest)) {
                Ok(Ok(count)) => {
                    written += count;
                    if count < rest.len() {
                        break;
                    }
                }
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(written)
    }
}

/// The common part of the three: descriptors, conversions, `Debug`.
macro_rules! pipe_traits {
    ($name:ident) => {
        impl $name {
            pub(super) fn from_std(theirs: std::process::$name) -> $name {
                $name::from(OwnedFd::from(theirs))
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.source().fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        /// Accepts any suitable descriptor. Its open file becomes `O_NONBLOCK`, unless the
        /// descriptor is 0, 1 or 2; converting it back restores the flag.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                $name {
                    pipe: Pipe::from_fd(fd),
                }
            }
        }

        /// The descriptor blocks, as in std.
        impl From<$name> for OwnedFd {
            fn from(ours: $name) -> OwnedFd {
                ours.pipe.release()
            }
        }

        /// As [`OwnedFd::from`].
        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        /// Passes this end to another child, which gets it in blocking mode.
        impl From<$name> for Stdio {
            fn from(ours: $name) -> Stdio {
                Stdio::from(OwnedFd::from(ours))
            }
        }

        impl From<std::process::$name> for $name {
            fn from(theirs: std::process::$name) -> $name {
                $name::from_std(theirs)
            }
        }

        impl From<$name> for std::process::$name {
            fn from(ours: $name) -> std::process::$name {
                std::process::$name::from(OwnedFd::from(ours))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        // The states of a source are consistent between any two calls, and std's types have these
        // impls.
        impl UnwindSafe for $name {}
        impl RefUnwindSafe for $name {}
    };
}

macro_rules! reads {
    ($name:ident) => {
        /// Suspends until there is data, or the end (0): the child, and all processes that
        /// inherited the other end, have closed it.
        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.pipe.read(buf)
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.pipe.read_vectored(bufs)
            }
        }

        impl $name {
            pub(super) fn into_pipe(self) -> Pipe {
                self.pipe
            }
        }
    };
}

/// Pipe to the standard input of a child. Dropping it closes the pipe.
///
/// # Examples
///
/// ```
/// use rustlet::process::{Command, Stdio};
/// use std::io::Write;
///
/// rustlet::run(|| {
///     let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let mut stdin = child.stdin.take().unwrap();
///     rustlet::spawn(move || stdin.write_all(b"through the cat"));
///     assert_eq!(child.wait_with_output()?.stdout, b"through the cat");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct ChildStdin {
    pipe: Pipe,
}

/// Pipe from the standard output of a child.
///
/// # Examples
///
/// ```
/// use rustlet::process::{Command, Stdio};
///
/// rustlet::run(|| {
///     let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
///     assert_eq!(std::io::read_to_string(child.stdout.take().unwrap())?, "hello\n");
///     assert!(child.wait()?.success());
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct ChildStdout {
    pipe: Pipe,
}

/// Pipe from the standard error of a child.
///
/// # Examples
///
/// ```
/// use rustlet::process::{Command, Stdio};
///
/// rustlet::run(|| {
///     let mut command = Command::new("sh");
///     let mut child = command.args(["-c", "echo oh >&2"]).stderr(Stdio::piped()).spawn()?;
///     assert_eq!(std::io::read_to_string(child.stderr.take().unwrap())?, "oh\n");
///     child.wait().map(drop)
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct ChildStderr {
    pipe: Pipe,
}

pipe_traits!(ChildStdin);
pipe_traits!(ChildStdout);
pipe_traits!(ChildStderr);
reads!(ChildStdout);
reads!(ChildStderr);
poll_read_methods!(
    ChildStdout,
    |this| this.pipe,
    r#"{
        let mut echo = rustlet::process::Command::new("printf");
        let mut child = echo.arg("hello").stdout(std::process::Stdio::piped()).spawn()?;
        child.stdout.take().unwrap()
    }"#
);
poll_read_methods!(
    ChildStderr,
    |this| this.pipe,
    r#"{
        let mut shell = rustlet::process::Command::new("sh");
        let shell = shell.args(["-c", "printf hello >&2"]);
        let mut child = shell.stderr(std::process::Stdio::piped()).spawn()?;
        child.stderr.take().unwrap()
    }"#
);
poll_write_methods!(
    ChildStdin,
    |this| this.pipe,
    r#"{
        let mut cat = rustlet::process::Command::new("cat");
        let cat = cat.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        cat.spawn()?.stdin.take().unwrap()
    }"#
);

/// Suspends until the pipe has taken all of the buffer, or an error stops it. `flush` does nothing,
/// as in std.
impl Write for &ChildStdin {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pipe.write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pipe.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As for `&ChildStdin`.
impl Write for ChildStdin {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
