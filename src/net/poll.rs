//! Operations of sockets for `async` code: each tries the operation, and registers the task if it
//! would block.
//!
//! Any thread may poll any socket at any time. `retry/task.rs` documents which task is woken.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use super::socket::{Protocol, Socket};
use super::transfer::receive_or_end;
use crate::retry::{poll_io, poll_ready};
use crate::runtime::io::source::Interest;
use crate::runtime::scheduler::worker::place_next;
use crate::service_threads::timer_thread;
use crate::sys::clock;
use crate::sys::sock;

/// The time until a write to a Unix socket is tried again. The system does not report every event
/// that lets the write continue (`WritableEvents` in `retry.rs`): a shutdown, or room at a
/// receiver.
const SHUTDOWN_POLL_EVERY: Duration = Duration::from_millis(100);
const ROOM_POLL_EVERY: Duration = Duration::from_millis(1);

impl Socket {
    #[track_caller]
    pub(crate) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        poll_ready(self.source(), interest, context)
    }

    /// Reads the next bytes of a stream. `size` is the total size of the buffers in bytes.
    #[track_caller]
    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        size: usize,
        receive: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let drained = |&received: &usize| received > 0 && received < size;
        let polled = poll_io(self.source(), Interest::Read, context, receive, drained);
        if let Poll::Ready(Ok(0)) = polled {
            // Only now is the error of the connection returned: the data that the peer has sent
            // comes first.
            self.take_failure()?;
        }
        polled
    }

    #[track_caller]
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(context, buf.len(), |fd| sock::recv(fd, buf))
    }

    #[track_caller]
    pub(crate) fn poll_read_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = bufs.len().min(sock::MAX_BUFFERS);
        let bufs = &mut bufs[..count];
        let size = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_receive(context, size, |fd| sock::recv_vectored(fd, bufs))
    }

    /// Performs an operation that needs room in a send buffer. `never_announced`: the system never
    /// reports that there is room.
    #[track_caller]
    fn poll_transmit<T>(
        &self,
        context: &mut Context<'_>,
        never_announced: bool,
        op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let source = self.source();
        let is_unix = self.protocol() == Protocol::Unix;
        if is_unix && never_announced {
            // There will be no event, so the direction counts as ready all the time.
            source.readiness(Interest::Write).set_ready();
        }
        let polled = poll_io(source, Interest::Write, context, op, |_| false);
        if polled.is_pending() && is_unix {
            let pause = if never_announced {
                ROOM_POLL_EVERY
            } else {
                SHUTDOWN_POLL_EVERY
            };
            if let Some(nudge) = source.nudge() {
                let _armed = timer_thread::set(clock::after(pause), nudge);
            }
        }
        polled
    }

    /// Writes as many bytes to a stream as there is room for.
    #[track_caller]
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take_failure()?;
        self.poll_transmit(context, false, |fd| sock::send(fd, buf))
    }

    #[track_caller]
    pub(crate) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.take_failure()?;
        let bufs = &bufs[..bufs.len().min(sock::MAX_BUFFERS)];
        self.poll_transmit(context, false, |fd| sock::send_vectored(fd, bufs))
    }

    /// Receives the next datagram. As in `transfer.rs`, it checks whether the receiving half was
    /// shut down, and then returns an empty result instead of waiting.
    #[track_caller]
    fn poll_datagram<T: Default>(
        &self,
        context: &mut Context<'_>,
        mut receive: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let source = self.source();
        let take = |fd: BorrowedFd<'_>| receive_or_end(source, fd, &mut receive);
        poll_io(source, Interest::Read, context, take, |_| false)
    }

    #[track_caller]
    pub(crate) fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_datagram(context, |fd| sock::recv(fd, buf))
    }

    #[track_caller]
    pub(crate) fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, Option<SocketAddrAny>)>> {
        self.poll_datagram(context, |fd| sock::recv_from(fd, buf))
    }

    #[track_caller]
    pub(crate) fn poll_send(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_transmit(context, false, |fd| sock::send(fd, buf))
    }

    #[track_caller]
    pub(crate) fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
        addr: &impl SocketAddrArg,
    ) -> Poll<io::Result<usize>> {
        // The system does not report to a sender that is not the receiver's peer that the
        // receiver's queue has room again.
        self.poll_transmit(context, true, |fd| sock::send_to(fd, buf, addr))
    }

    #[track_caller]
    pub(crate) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SocketAddrAny>)>> {
        let accept = |_: BorrowedFd<'_>| self.accept_now();
        let polled = poll_io(self.source(), Interest::Read, context, accept, |_| false);
        if let Poll::Ready(Ok(_)) = &polled {
            place_next();
        }
        polled
    }
}

/// Defines `poll_readable` and `poll_writable` for a type with a `socket: Socket`.
macro_rules! poll_ready_methods {
    ($name:ident, $make:literal) => {
        impl $name {
            /// Polls whether a read would not wait (for a listener, an accept), for `async` code.
            /// It consumes no data, so it may be called again.
            ///
            /// For each direction, the `poll_` methods keep only the waker of the last poll. The
            /// next event wakes it. Threads that wait in a blocking call are woken too. The
            /// timeouts and the nonblocking flag of the socket do not apply.
            ///
            /// # Errors
            ///
            /// Returns an error if the system cannot register the descriptor: too many are watched,
            /// or there is no memory. On an OS thread it also returns an error if the process-wide
            /// runtime cannot be started.
            ///
            /// # Suspends
            ///
            /// It does not wait. A green thread yields to others after a budget of operations.
            ///
            /// # Cancellation
            ///
            /// A future around it can be dropped without a loss. The waker stays with the socket
            /// until the next event, which may then wake it needlessly.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            /// use std::time::Duration;
            /// use rustlet::future::{block_on, timeout};
            ///
            #[doc = concat!("let socket = ", $make, ";")]
            /// let readable = poll_fn(|context| socket.poll_readable(context));
            /// let waited = block_on(timeout(Duration::from_millis(1), readable));
            /// # drop(waited);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_readable(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let interest = crate::runtime::io::source::Interest::Read;
                self.socket.poll_ready(interest, context)
            }

            /// Polls whether a write would not wait, for `async` code. Otherwise like
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            ///
            /// As [`poll_readable`](Self::poll_readable).
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            /// use std::time::Duration;
            /// use rustlet::future::{block_on, timeout};
            ///
            #[doc = concat!("let socket = ", $make, ";")]
            /// let writable = poll_fn(|context| socket.poll_writable(context));
            /// let waited = block_on(timeout(Duration::from_millis(1), writable));
            /// # drop(waited);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_writable(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let interest = crate::runtime::io::source::Interest::Write;
                self.socket.poll_ready(interest, context)
            }
        }
    };
}
pub(crate) use poll_ready_methods;

/// Defines `poll_read`, `poll_write` and their vectored forms for a stream with a `socket: Socket`.
/// `$pair` creates two connected streams.
macro_rules! poll_stream_methods {
    ($name:ident, $pair:literal) => {
        impl $name {
            /// Reads bytes into `buf` and returns their number, for `async` code. The number is 0
            /// at the end of the stream, or if `buf` is empty.
            ///
            /// [`poll_readable`](Self::poll_readable) documents which waker is woken.
            ///
            /// # Errors
            ///
            /// Returns the errors of a read, except `WouldBlock`, and those of
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
            /// use rustlet::block_on;
            ///
            #[doc = concat!("let (one, other) = ", $pair, ";")]
            /// let mut bytes = [0; 8];
            /// let read = rustlet::run(|| {
            ///     block_on(poll_fn(|context| other.poll_write(context, b"hello")))?;
            ///     block_on(poll_fn(|context| one.poll_read(context, &mut bytes)))
            /// })?;
            /// assert_eq!(&bytes[..read], b"hello");
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_read(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_read(context, buf)
            }

            /// Reads like [`poll_read`](Self::poll_read), into several buffers.
            ///
            /// # Errors
            ///
            /// As [`poll_read`](Self::poll_read).
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            /// use std::io::{IoSliceMut, Write};
            ///
            #[doc = concat!("let (one, mut other) = ", $pair, ";")]
            /// other.write_all(b"ab")?;
            /// let (mut a, mut b) = ([0; 1], [0; 1]);
            /// let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
            /// rustlet::block_on(poll_fn(|context| one.poll_read_vectored(context, &mut bufs)))?;
            /// assert_eq!((&a, &b), (b"a", b"b"));
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_read_vectored(
                &self,
                context: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_read_vectored(context, bufs)
            }

            /// Writes as many bytes of `buf` as the system takes at once, and returns their number,
            /// for `async` code. (The blocking `write` continues until all are written.)
            ///
            /// [`poll_readable`](Self::poll_readable) documents which waker is woken.
            ///
            /// # Errors
            ///
            /// Returns the errors of a write, except `WouldBlock`, and those of
            /// [`poll_readable`](Self::poll_readable).
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
            #[doc = concat!("let (one, _other) = ", $pair, ";")]
            /// let written = rustlet::block_on(poll_fn(|context| one.poll_write(context,
            /// b"hello")))?; assert_eq!(written, 5);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_write(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_write(context, buf)
            }

            /// Writes like [`poll_write`](Self::poll_write), from several buffers.
            ///
            /// # Errors
            ///
            /// As [`poll_write`](Self::poll_write).
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            /// use std::io::IoSlice;
            ///
            #[doc = concat!("let (_one, other) = ", $pair, ";")]
            /// let bufs = [IoSlice::new(b"a"), IoSlice::new(b"b")];
            /// let write = poll_fn(|context| other.poll_write_vectored(context, &bufs));
            /// assert_eq!(rustlet::block_on(write)?, 2);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_write_vectored(
                &self,
                context: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_write_vectored(context, bufs)
            }
        }
    };
}
pub(crate) use poll_stream_methods;

/// Defines `poll_recv` and `poll_send` for a datagram socket with a `socket: Socket`. `$pair`
/// creates two connected sockets.
macro_rules! poll_datagram_methods {
    ($name:ident, $pair:literal) => {
        impl $name {
            /// Receives a datagram into `buf` and returns its size in bytes, for `async` code.
            ///
            /// [`poll_readable`](Self::poll_readable) documents which waker is woken.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`recv`](Self::recv), except `WouldBlock`, and those of
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Cancellation
            ///
            /// A poll that is pending has taken no datagram.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            /// use rustlet::block_on;
            ///
            #[doc = concat!("let (one, other) = ", $pair, ";")]
            /// block_on(poll_fn(|context| other.poll_send(context, b"hello")))?;
            /// let mut buf = [0; 16];
            /// let size = block_on(poll_fn(|context| one.poll_recv(context, &mut buf)))?;
            /// assert_eq!(&buf[..size], b"hello");
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_recv(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_recv(context, buf)
            }

            /// Sends a datagram to the peer and returns the number of bytes sent, for `async` code.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`send`](Self::send), except `WouldBlock`, and those of
            /// [`poll_writable`](Self::poll_writable).
            ///
            /// # Cancellation
            ///
            /// A poll that is pending has sent nothing.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::future::poll_fn;
            ///
            #[doc = concat!("let (one, _other) = ", $pair, ";")]
            /// let sent = rustlet::block_on(poll_fn(|context| one.poll_send(context, b"hello")))?;
            /// assert_eq!(sent, 5);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn poll_send(
                &self,
                context: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.socket.poll_send(context, buf)
            }
        }
    };
}
pub(crate) use poll_datagram_methods;
