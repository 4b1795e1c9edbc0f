//! Waiting for any descriptor: the four functions, and `Watch`, for more than one wait.
//!
//! - **WA1** Only a duplicate of the descriptor is registered (`retry/timed_poll.rs` handles the
//!   case that there is none). The original keeps its flags and its other watchers, and the same
//!   open file can be watched any number of times.
//! - **WA2** `poll(2)` determines the present readiness; an event only says when to check again.
//!
//! Any thread may use any of this at any time; `wait_*` suspend.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel::Receiver;
use crate::ready_source;
use crate::retry::{poll_ready, until_ready, until_ready_borrowed};
use crate::runtime::io::source::{Interest, Source, SourceKind};
use crate::sys::sock;

/// Waits until `fd` is readable: a read would not wait, because there is data, an end, or an error.
/// Takes nothing and changes nothing, not even `O_NONBLOCK`. Regular files are always readable.
///
/// Another reader may take the data before the caller does: read in nonblocking mode if there are
/// others.
///
/// # Errors
///
/// `EBADF` for a closed descriptor. A green thread waits with a duplicate; if there is no free
/// descriptor for one, it polls after pauses.
///
/// # Suspends
///
/// Suspends the calling green thread until then; blocks an OS thread.
///
/// # Cancellation
///
/// The caller unwinds; no data has been taken.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// rustlet::run(|| {
///     let (mut reader, mut writer) = std::io::pipe()?;
///     rustlet::spawn(move || writer.write_all(b"x"));
///     rustlet::io::wait_readable(&reader)?;
///     // This does not block, although `reader` is not ours.
///     reader.read_exact(&mut [0])
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "wait_read")]
#[doc(alias = "AsyncFd")]
#[track_caller]
pub fn wait_readable(fd: impl AsFd) -> io::Result<()> {
    until_ready_borrowed(fd.as_fd(), Interest::Read, None).map(drop)
}

/// Waits until `fd` is writable: a small write would not wait, because there is room, or an error.
/// Otherwise like [`wait_readable`].
///
/// # Errors
///
/// As [`wait_readable`].
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let (reader, writer) = std::io::pipe()?;
///     rustlet::io::wait_writable(&writer)
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "wait_write")]
#[doc(alias = "AsyncFd")]
#[track_caller]
pub fn wait_writable(fd: impl AsFd) -> io::Result<()> {
    until_ready_borrowed(fd.as_fd(), Interest::Write, None).map(drop)
}

/// Waits until `fd` is readable, for at most `timeout`, and returns whether it is.
/// [`Duration::MAX`] means no limit; zero only checks.
///
/// # Errors
///
/// As [`wait_readable`].
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let (reader, writer) = std::io::pipe()?;
///     assert!(!rustlet::io::wait_readable_timeout(&reader, std::time::Duration::from_millis(1))?);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn wait_readable_timeout(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    until_ready_borrowed(fd.as_fd(), Interest::Read, Some(timeout))
}

/// Waits until `fd` is writable, for at most `timeout`, and returns whether it is.
/// [`Duration::MAX`] means no limit; zero only checks.
///
/// # Errors
///
/// As [`wait_readable`].
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let (reader, writer) = std::io::pipe()?;
///     assert!(rustlet::io::wait_writable_timeout(&writer, std::time::Duration::ZERO)?);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn wait_writable_timeout(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    until_ready_borrowed(fd.as_fd(), Interest::Write, Some(timeout))
}

/// Watches a descriptor that other code reads and writes: for `select!`, and for several waits,
/// cheaper than [`wait_readable`].
///
/// It keeps a duplicate of the descriptor: the open file stays open until the `Watch`, its
/// receivers and the original are all dropped. The flags of the descriptor do not change.
///
/// # Examples
///
/// ```
/// use rustlet::io::Watch;
/// use std::io::{Read, Write};
///
/// rustlet::run(|| {
///     let (reader, mut writer) = std::io::pipe()?;
///     let reader = Watch::new(reader)?;
///     rustlet::spawn(move || writer.write_all(b"xy"));
///     for _ in 0..2 {
///         reader.wait_readable()?;
///         reader.get_ref().read_exact(&mut [0])?;
///     }
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "AsyncFd")]
pub struct Watch<T: AsFd> {
    // Dropped before the original.
    source: Arc<Source>,
    inner: T,
}

impl<T: AsFd> Watch<T> {
    /// Watches `inner`, or the descriptor that it borrows.
    ///
    /// # Errors
    ///
    /// `EBADF` for a closed descriptor; another error if there is no free descriptor for the
    /// duplicate.
    ///
    /// # Examples
    ///
    /// ```
    /// let watch = rustlet::io::Watch::new(std::io::stdin())?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(inner: T) -> io::Result<Watch<T>> {
        let own = sock::duplicate(inner.as_fd())?;
        Ok(Watch {
            source: Arc::new(Source::new(own, SourceKind::Other)),
            inner,
        })
    }

    /// Waits until the descriptor is readable, as the function [`wait_readable`].
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let (reader, writer) = std::io::pipe()?;
    /// let reader = rustlet::io::Watch::new(reader)?;
    /// drop(writer);
    /// // The end can be read.
    /// reader.wait_readable()
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        until_ready(&self.source, Interest::Read, None).map(drop)
    }

    /// Waits until the descriptor is writable, as the function [`wait_writable`].
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let (reader, writer) = std::io::pipe()?;
    /// rustlet::io::Watch::new(writer)?.wait_writable()
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_writable(&self) -> io::Result<()> {
        until_ready(&self.source, Interest::Write, None).map(drop)
    }

    /// Waits until the descriptor is readable, for at most `timeout`, as the function
    /// [`wait_readable_timeout`].
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let (reader, writer) = std::io::pipe()?;
    /// let reader = rustlet::io::Watch::new(reader)?;
    /// assert!(!reader.wait_readable_timeout(std::time::Duration::from_millis(1))?);
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_readable_timeout(&self, timeout: Duration) -> io::Result<bool> {
        until_ready(&self.source, Interest::Read, Some(timeout))
    }

    /// Waits until the descriptor is writable, for at most `timeout`, as the function
    /// [`wait_writable_timeout`].
    ///
    /// # Errors
    ///
    /// Returns the error of the system call, which does not fail on an open descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let (reader, writer) = std::io::pipe()?;
    /// let writer = rustlet::io::Watch::new(writer)?;
    /// assert!(writer.wait_writable_timeout(std::time::Duration::from_millis(1))?);
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_writable_timeout(&self, timeout: Duration) -> io::Result<bool> {
        until_ready(&self.source, Interest::Write, Some(timeout))
    }

    /// Polls until the descriptor is readable, for `async` code. It takes nothing, so it may be
    /// asked again.
    ///
    /// Of each direction, the waker of the last poll is remembered only, and the next event wakes
    /// it; a `Watch` for each task lets several wait. Any executor may poll, on any thread.
    ///
    /// # Errors
    ///
    /// Those of the registration with the system: `EPERM` for a descriptor that cannot be waited
    /// for (a file), too many watched descriptors, no memory; on an OS thread, the process-wide
    /// runtime may fail to start.
    ///
    /// # Suspends
    ///
    /// Never, except that a green thread yields after a budget of operations.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost when the future around it is dropped: the waker stays until the next event.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::io::Watch;
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write};
    ///
    /// rustlet::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = Watch::new(reader)?;
    ///     rustlet::spawn(move || writer.write_all(b"x"));
    ///     rustlet::block_on(poll_fn(|context| reader.poll_readable(context)))?;
    ///     reader.get_ref().read_exact(&mut [0])
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_ready(&self.source, Interest::Read, context)
    }

    /// Polls until the descriptor is writable, for `async` code; otherwise like
    /// [`poll_readable`](Watch::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`poll_readable`](Watch::poll_readable).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let writer = rustlet::io::Watch::new(writer)?;
    /// rustlet::block_on(poll_fn(|context| writer.poll_writable(context)))?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_ready(&self.source, Interest::Write, context)
    }

    /// Returns a receiver for `select!` that yields `Ok(())` whenever the descriptor is readable.
    /// Each receive checks the descriptor again. A message says that it was readable; no data has
    /// been read from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use rustlet::io::Watch;
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = Watch::new(reader)?;
    ///     rustlet::spawn(move || writer.write_all(b"x"));
    ///     select! {
    ///         recv(reader.readable()) -> _ => reader.get_ref().read_exact(&mut [0]),
    ///         recv(after(Duration::from_secs(60))) -> _ => panic!("nothing came"),
    ///     }
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn readable(&self) -> Receiver<()> {
        ready_source::receiver(Arc::clone(&self.source), Interest::Read)
    }

    /// Returns a receiver for `select!` that yields `Ok(())` whenever the descriptor is writable,
    /// as [`readable`](Watch::readable).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::io::Watch;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// assert!(Watch::new(writer)?.writable().recv().is_ok());
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn writable(&self) -> Receiver<()> {
        ready_source::receiver(Arc::clone(&self.source), Interest::Write)
    }

    /// Returns a reference to the watched value.
    ///
    /// # Examples
    ///
    /// ```
    /// let watch = rustlet::io::Watch::new(std::io::stdin())?;
    /// let stdin = watch.get_ref();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Consumes the `Watch` and returns the watched value.
    ///
    /// # Examples
    ///
    /// ```
    /// let watch = rustlet::io::Watch::new(std::io::stdin())?;
    /// let stdin = watch.into_inner();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsFd> AsFd for Watch<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.inner).finish()
    }
}

// The states of a source are consistent between any two calls.
impl<T: AsFd + UnwindSafe> UnwindSafe for Watch<T> {}
impl<T: AsFd + RefUnwindSafe> RefUnwindSafe for Watch<T> {}
