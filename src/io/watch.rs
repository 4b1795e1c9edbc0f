//! Waiting for any descriptor: the four functions, and `Watch`, which is for more than one wait.
//!
//! - **WA1** What is registered anywhere is a duplicate of the descriptor (`retry/asking.rs` says what happens without one). The original keeps its flags and its place in whatever else
//!   watches it, and the same open file can be watched by any number of us.
//! - **WA2** Readiness is a question about the present, answered by `poll(2)`; an event only says when to ask again.
//!
//! Any thread may use any of this at any time; `wait_*` suspend.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Receiver;
use crate::readiness;
use crate::retry::{until_ready, until_ready_borrowed};
use crate::runtime::io::source::{Kind, Source, Way};
use crate::sys::sock;

/// Waits until `fd` is readable: until a read would not have to wait, because there is something, an end, or an error. Takes nothing
/// and changes nothing, `O_NONBLOCK` neither. Regular files are always readable.
///
/// Suspends the calling green thread, or blocks the calling OS thread. Somebody else may take what has come before you do: read in nonblocking
/// mode if others read too.
///
/// # Errors
///
/// `EBADF` for a closed descriptor. A green thread waits with a duplicate; when no descriptor is left for one, it asks again after pauses.
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
#[track_caller]
pub fn wait_readable(fd: impl AsFd) -> io::Result<()> {
    until_ready_borrowed(fd.as_fd(), Way::Read, None).map(drop)
}

/// Waits until `fd` is writable: until a write of a little would not have to wait, because there is room, or an error. Otherwise as
/// [`wait_readable`].
///
/// # Errors
///
/// As [`wait_readable`].
///
/// ```
/// rustlet::run(|| {
///     let (reader, writer) = std::io::pipe()?;
///     rustlet::io::wait_writable(&writer)
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn wait_writable(fd: impl AsFd) -> io::Result<()> {
    until_ready_borrowed(fd.as_fd(), Way::Write, None).map(drop)
}

/// As [`wait_readable`], for at most `timeout`: whether it is readable. [`Duration::MAX`] is for ever, zero only looks.
///
/// # Errors
///
/// As [`wait_readable`].
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
    until_ready_borrowed(fd.as_fd(), Way::Read, Some(timeout))
}

/// As [`wait_writable`], for at most `timeout`: whether it is writable. [`Duration::MAX`] is for ever, zero only looks.
///
/// # Errors
///
/// As [`wait_readable`].
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
    until_ready_borrowed(fd.as_fd(), Way::Write, Some(timeout))
}

/// Watches a descriptor that others read and write: for several waits, cheaper than [`wait_readable`], and for `select!`.
///
/// It keeps a duplicate of the descriptor: what is open stays open until the `Watch`, its receivers and the original are all gone. The flags of
/// the descriptor are left alone.
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
pub struct Watch<T: AsFd> {
    // Goes before the original does.
    source: Arc<Source>,
    inner: T,
}

impl<T: AsFd> Watch<T> {
    /// Watches `inner`, or what it borrows.
    ///
    /// # Errors
    ///
    /// `EBADF` for a closed descriptor; that no descriptor is left for the duplicate.
    ///
    /// ```
    /// let watch = rustlet::io::Watch::new(std::io::stdin())?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(inner: T) -> io::Result<Watch<T>> {
        let own = sock::duplicate(inner.as_fd())?;
        Ok(Watch {
            source: Arc::new(Source::new(own, Kind::Other)),
            inner,
        })
    }

    /// As the function [`wait_readable`].
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open descriptor.
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
        until_ready(&self.source, Way::Read, None).map(drop)
    }

    /// As the function [`wait_writable`].
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open descriptor.
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
        until_ready(&self.source, Way::Write, None).map(drop)
    }

    /// As the function [`wait_readable_timeout`].
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open descriptor.
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
        until_ready(&self.source, Way::Read, Some(timeout))
    }

    /// As the function [`wait_writable_timeout`].
    ///
    /// # Errors
    ///
    /// Those of the system; none on an open descriptor.
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
        until_ready(&self.source, Way::Write, Some(timeout))
    }

    /// A receiver that gives `Ok(())` whenever the descriptor is readable, for `select!`. The question is asked anew each time: what
    /// is received says that it was readable, not that something was taken.
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
        readiness::receiver(Arc::clone(&self.source), Way::Read)
    }

    /// As [`readable`](Watch::readable), for room to write.
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
        readiness::receiver(Arc::clone(&self.source), Way::Write)
    }

    /// What is watched.
    ///
    /// ```
    /// let watch = rustlet::io::Watch::new(std::io::stdin())?;
    /// let stdin = watch.get_ref();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What was watched, back.
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

// The states of a source are whole between any two calls.
impl<T: AsFd + UnwindSafe> UnwindSafe for Watch<T> {}
impl<T: AsFd + RefUnwindSafe> RefUnwindSafe for Watch<T> {}
