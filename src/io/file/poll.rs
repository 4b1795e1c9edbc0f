//! Reading and writing pipes for `async` code: with calls that do not wait, as in `transfer.rs`,
//! and the task is registered if they would.
//!
//! Any thread may poll at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::device::READY_PIPE_BYTES;
use super::file_state::{Handle, read_plain, write_plain};
use super::unclaimed::Unclaimed;
use crate::retry::{self, is_ready, would_block};
use crate::runtime::io::source::{Interest, Source};
use crate::sys::file::{self, CURRENT_POS, NonblockingResult};

/// Returns the descriptor for the reactor to watch.
///
/// # Errors
///
/// It is 0, 1 or 2, which may become another file at any time.
fn source<H: Handle>(handle: &H) -> io::Result<&Source> {
    handle.source().ok_or_else(|| {
        let text = "rustlet: the descriptors 0, 1 and 2 cannot be polled; use a duplicate";
        io::Error::new(io::ErrorKind::Unsupported, text)
    })
}

/// Polls until the file is ready that way.
#[track_caller]
pub(crate) fn poll_ready<H: Handle>(
    handle: &H,
    interest: Interest,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    retry::poll_ready(source(handle)?, interest, context)
}

/// Reads the next bytes of a stream.
#[track_caller]
pub(crate) fn poll_read<H: Handle>(
    handle: &H,
    context: &mut Context<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    if bufs.iter().all(|buf| buf.is_empty()) {
        return Poll::Ready(Ok(0));
    }
    let kept = |unclaimed: &Unclaimed| unclaimed.try_take_read(bufs);
    if let Some(count) = handle.unclaimed().and_then(kept) {
        return Poll::Ready(Ok(count));
    }
    let op = |fd: BorrowedFd<'_>| match file::read_now(fd, bufs, CURRENT_POS)? {
        NonblockingResult::Done(count) => Ok(count),
        NonblockingResult::WouldWait => Err(would_block()),
        // There is no such call: what is ready does not wait, unless another reader is faster.
        NonblockingResult::Unknown | NonblockingResult::Invalid => {
            if is_ready(fd, Interest::Read)? {
                read_plain(fd, bufs, CURRENT_POS)
            } else {
                Err(would_block())
            }
        }
    };
    retry::poll_io(source(handle)?, Interest::Read, context, op, |_| false)
}

/// Writes some bytes to a stream, as many as there is room for.
#[track_caller]
pub(crate) fn poll_write<H: Handle>(
    handle: &H,
    context: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let op = |fd: BorrowedFd<'_>| match file::write_now(fd, bufs, CURRENT_POS)? {
        NonblockingResult::Done(count) => Ok(count),
        NonblockingResult::WouldWait => Err(would_block()),
        NonblockingResult::Unknown | NonblockingResult::Invalid => {
            if !is_ready(fd, Interest::Write)? {
                return Err(would_block());
            }
            let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else {
                return write_plain(fd, bufs, CURRENT_POS);
            };
            let some = IoSlice::new(&buf[..buf.len().min(READY_PIPE_BYTES)]);
            write_plain(fd, &[some], CURRENT_POS)
        }
    };
    retry::poll_io(source(handle)?, Interest::Write, context, op, |_| false)
}

/// `poll_readable` and `poll_read`, for the reading end of a pipe; `$file` is an expression of
/// `self`.
macro_rules! poll_read_methods {
    ($name:ident, |$this:ident| $file:expr, $make:literal) => {
        impl $name {
            /// Polls until a read would not wait, for `async` code. It takes nothing, so it may be
            /// asked again.
            ///
            /// The waker of the last poll is remembered only, and the next event wakes it. Threads
            /// that wait in a blocking call are woken beside it.
            ///
            /// # Errors
            ///
            /// [`Unsupported`](std::io::ErrorKind::Unsupported) for the descriptors 0, 1 and 2 of
            /// the process; those of the registration with the system.
            ///
            /// # Cancellation
            ///
            /// Nothing is lost when the future around it is dropped.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            ///
            /// rustlet::run(|| {
            #[doc = concat!("    let reader = ", $make, ";")]
            ///     rustlet::block_on(poll_fn(|context| reader.poll_readable(context)))
            /// })?;
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn poll_readable(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let ($this, interest) = (self, crate::runtime::io::source::Interest::Read);
                $file.poll_ready(interest, context)
            }

            /// Reads bytes into `buf`, for `async` code: 0 at the end, or for an empty buffer.
            ///
            /// # Errors
            ///
            /// Those of a read, except `WouldBlock`, and those of
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Cancellation
            ///
            /// A poll that is pending has read nothing.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            ///
            /// rustlet::run(|| {
            #[doc = concat!("    let reader = ", $make, ";")]
            ///     rustlet::block_on(poll_fn(|context| reader.poll_readable(context)))?;
            ///     let mut bytes = [0; 8];
            ///     let read = poll_fn(|context| reader.poll_read(context, &mut bytes));
            ///     let size = rustlet::block_on(read)?;
            ///     assert_eq!(&bytes[..size], b"hello");
            ///     std::io::Result::Ok(())
            /// })?;
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn poll_read(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = self;
                $file.poll_read(context, &mut [std::io::IoSliceMut::new(buf)])
            }
        }
    };
}
pub(crate) use poll_read_methods;

/// `poll_writable` and `poll_write`, for the writing end of a pipe.
macro_rules! poll_write_methods {
    ($name:ident, |$this:ident| $file:expr, $make:literal) => {
        impl $name {
            /// Polls until a write would not wait, for `async` code. It writes nothing, so it may
            /// be asked again.
            ///
            /// The waker of the last poll is remembered only, and the next event wakes it. Threads
            /// that wait in a blocking call are woken beside it.
            ///
            /// # Errors
            ///
            /// [`Unsupported`](std::io::ErrorKind::Unsupported) for the descriptors 0, 1 and 2 of
            /// the process; those of the registration with the system.
            ///
            /// # Cancellation
            ///
            /// Nothing is lost when the future around it is dropped.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            ///
            /// rustlet::run(|| {
            #[doc = concat!("    let writer = ", $make, ";")]
            ///     rustlet::block_on(poll_fn(|context| writer.poll_writable(context)))
            /// })?;
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn poll_writable(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let ($this, interest) = (self, crate::runtime::io::source::Interest::Write);
                $file.poll_ready(interest, context)
            }

            /// Writes bytes of `buf`, for `async` code, as many as the pipe takes at once. (The
            /// blocking `write` goes on until it has taken all.)
            ///
            /// # Errors
            ///
            /// Those of a write, except `WouldBlock`, and those of
            /// [`poll_writable`](Self::poll_writable).
            ///
            /// # Cancellation
            ///
            /// A poll that is pending has written nothing.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            ///
            /// rustlet::run(|| {
            #[doc = concat!("    let writer = ", $make, ";")]
            ///     rustlet::block_on(poll_fn(|context| writer.poll_writable(context)))?;
            ///     let write = poll_fn(|context| writer.poll_write(context, b"hello"));
            ///     assert_eq!(rustlet::block_on(write)?, 5);
            ///     std::io::Result::Ok(())
            /// })?;
            /// # std::io::Result::Ok(())
            /// ```
            #[track_caller]
            pub fn poll_write(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = self;
                $file.poll_write(context, &[std::io::IoSlice::new(buf)])
            }
        }
    };
}
pub(crate) use poll_write_methods;
