//! Transfers of sockets: the two functions for streams, the calls for datagrams, and the traits of
//! the stream types.
//!
//! `retry` decides when an operation is tried again; this file interprets counts and errors. Any
//! number of threads may be in here for one socket at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use super::socket::{Protocol, Socket};
use crate::green::Reason;
use crate::retry::{self, WritableEvents, advance_slices};
use crate::runtime::io::source::{Interest, Source};
use crate::runtime::scheduler::worker::place_next;
use crate::sys::sock;

/// How often one write may find room without yielding: the budget of `retry` counts rounds.
const MAX_SENDS_PER_ROUND: usize = 16;

/// Receives a datagram with `receive`; an empty result if there is none and the receiving half was
/// shut down, because the system would never report one then.
pub(super) fn receive_or_end<T: Default>(
    source: &Source,
    fd: BorrowedFd<'_>,
    receive: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    match receive(fd) {
        Err(error)
            if error.kind() == io::ErrorKind::WouldBlock
                && source.may_have_ended()
                && sock::is_shut(fd) =>
        {
            // Datagrams from before the shutdown are still there.
            receive(fd).or_else(|error| match error.kind() {
                io::ErrorKind::WouldBlock => Ok(T::default()),
                _ => Err(error),
            })
        }
        result => result,
    }
}

impl Socket {
    /// Waits for data that `receive` takes. `short` tells of a count above zero whether it is less
    /// than was requested. Inlined with all of `retry::read`, which says why.
    #[track_caller]
    #[inline(always)]
    fn receive(
        &self,
        receive: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        short: impl Fn(usize) -> bool,
    ) -> io::Result<usize> {
        let drained = |&received: &usize| received > 0 && short(received);
        let received = retry::read(
            self.source(),
            Reason::Read,
            self.read_mode(),
            receive,
            drained,
        )?;
        if received == 0 {
            // Data that the peer has sent comes before the error of the connection, as in the
            // kernel.
            self.take_failure()?;
        }
        Ok(received)
    }

    /// Performs an operation that waits for room.
    #[track_caller]
    #[inline(always)]
    fn write_with<T>(&self, op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let (source, mode) = (self.source(), self.write_mode());
        match self.protocol() {
            Protocol::Tcp | Protocol::Other => retry::write(source, Reason::Write, mode, op),
            Protocol::Unix => {
                retry::write_persistently(source, Reason::Write, mode, WritableEvents::Mostly, op)
            }
        }
    }

    /// Calls `send`, with the number of bytes sent, until that is `size`, as the kernel does for a
    /// blocking socket.
    ///
    /// Its buffer is full only on `WouldBlock`: a short count alone promises no wake-up. Bytes sent
    /// before an error are a success, and the error of a TCP connection must stay where the next
    /// call finds it: the kernel's blocking call leaves it pending. A call that has sent nothing
    /// takes it, so the connection is first asked whether it has failed (`Socket::keep_failure`
    /// covers a failure in between).
    #[track_caller]
    fn transmit(
        &self,
        size: usize,
        mut send: impl FnMut(BorrowedFd<'_>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.take_failure()?;
        let mut sent = 0;
        let mut has_waited = false;
        loop {
            let round = |fd: BorrowedFd<'_>| {
                for _ in 0..MAX_SENDS_PER_ROUND {
                    if sent > 0 && self.protocol() == Protocol::Tcp && sock::has_failed(fd) {
                        return Ok(true);
                    }
                    let count = match send(fd, sent) {
                        Ok(count) => count,
                        Err(error) if has_waited => return Err(self.reason_to_stop(error)),
                        Err(error) => {
                            has_waited = error.kind() == io::ErrorKind::WouldBlock;
                            return Err(error);
                        }
                    };
                    sent += count;
                    if sent >= size || count == 0 {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            match self.write_with(round) {
                Ok(true) => return Ok(sent),
                Ok(false) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.keep_failure(&error);
                    }
                    return Ok(sent);
                }
            }
        }
    }

    /// Returns the error of a Unix stream whose peer has gone. A new call gets `EPIPE`. One that
    /// waits meanwhile gets the pending error, if there is one, so that no later call does.
    #[cold]
    fn reason_to_stop(&self, error: io::Error) -> io::Error {
        if self.protocol() != Protocol::Unix || error.kind() != io::ErrorKind::BrokenPipe {
            return error;
        }
        match sock::take_error(self.fd()) {
            Ok(Some(pending)) => pending,
            _ => error,
        }
    }

    /// Reads the next bytes of a stream.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let size = buf.len();
        if size == 0 {
            return self.receive_nothing(sock::recv);
        }
        self.receive(|fd| sock::recv(fd, buf), |received| received < size)
    }

    /// Reads like [`read`](Socket::read), and leaves the data in the queue.
    #[track_caller]
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.receive_nothing(sock::peek);
        }
        self.receive(|fd| sock::peek(fd, buf), |_| false)
    }

    /// Performs a read of zero bytes. A blocking call waits like others, but when its time has
    /// passed it succeeds. It also succeeds when it is woken: the kernel does not check why, and
    /// leaves an error to the next call.
    #[cold]
    #[track_caller]
    fn receive_nothing(
        &self,
        call: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut has_waited = false;
        let once = |fd: BorrowedFd<'_>| {
            if has_waited && self.protocol() == Protocol::Tcp {
                return Ok(0);
            }
            has_waited = true;
            call(fd, &mut [])
        };
        // Tried before it waits, whatever the last read has left.
        self.source().readiness(Interest::Read).set_ready();
        match self.receive(once, |_| false) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && !self.read_mode().nonblocking
                    && self.protocol() == Protocol::Tcp =>
            {
                Ok(0)
            }
            other => other,
        }
    }

    #[track_caller]
    #[inline(always)]
    pub(crate) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = bufs.len().min(sock::MAX_BUFFERS);
        let bufs = &mut bufs[..count];
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        if size == 0 {
            return Ok(0);
        }
        self.receive(
            |fd| sock::recv_vectored(fd, bufs),
            |received| received < size,
        )
    }

    /// Writes all of `buf` to a stream.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf.len(), |fd, sent| sock::send(fd, &buf[sent..]))
    }

    #[track_caller]
    #[inline(always)]
    pub(crate) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(sock::MAX_BUFFERS)];
        let size = bufs.iter().map(|buf| buf.len()).sum();
        if size == 0 {
            return Ok(0);
        }
        self.transmit(size, |fd, sent| match advance_slices(bufs, sent) {
            (whole, 0) => sock::send_vectored(fd, whole),
            (cut, skip) => sock::send(fd, &cut[0][skip..]),
        })
    }

    /// Waits for a datagram that `receive` takes.
    ///
    /// For a socket whose receiving half was shut down, a blocking call returns 0, and nonblocking
    /// calls return `EAGAIN` forever (Linux). So after `EAGAIN` from a socket that may be in that
    /// state, the state is checked.
    #[track_caller]
    #[inline(always)]
    fn receive_datagram<T: Default>(
        &self,
        mut receive: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let (source, mode) = (self.source(), self.read_mode());
        let take = |fd: BorrowedFd<'_>| match mode.nonblocking {
            true => receive(fd),
            false => receive_or_end(source, fd, &mut receive),
        };
        retry::read(source, Reason::Read, mode, take, |_| false)
    }

    /// Receives the next datagram.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive_datagram(|fd| sock::recv(fd, buf))
    }

    /// Receives like [`recv`](Socket::recv), and leaves the datagram in the queue.
    #[track_caller]
    pub(crate) fn peek_datagram(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive_datagram(|fd| sock::peek(fd, buf))
    }

    /// Receives the next datagram with its sender. `receive` is `sock::recv_from` or
    /// `sock::peek_from`.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn recv_from(
        &self,
        buf: &mut [u8],
        receive: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<(usize, Option<SocketAddrAny>)>,
    ) -> io::Result<(usize, Option<SocketAddrAny>)> {
        self.receive_datagram(|fd| receive(fd, buf))
    }

    /// Sends one datagram to the peer.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|fd| sock::send(fd, buf))
    }

    /// Sends one datagram to `addr`.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn send_to(&self, buf: &[u8], addr: &impl SocketAddrArg) -> io::Result<usize> {
        let (source, mode) = (self.source(), self.write_mode());
        let op = |fd: BorrowedFd<'_>| sock::send_to(fd, buf, addr);
        match self.protocol() {
            Protocol::Tcp | Protocol::Other => retry::write(source, Reason::Write, mode, op),
            // A sender that is not the receiver's peer is not notified when the receiver's queue
            // has room again.
            Protocol::Unix => {
                retry::write_persistently(source, Reason::Write, mode, WritableEvents::Never, op)
            }
        }
    }

    /// Accepts the next connection of a listening socket.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
        let accepted = retry::read(
            self.source(),
            Reason::Accept,
            self.read_mode(),
            |_| self.accept_now(),
            |_| false,
        )?;
        place_next();
        Ok(accepted)
    }
}

/// `Read` and `Write` for a type with a `socket: Socket` that is a stream, and for references to
/// it.
macro_rules! stream_traits {
    ($name:ident) => {
        /// Suspends until there is data, the end of the stream (0), an error, or the read timeout
        /// ([`WouldBlock`](std::io::ErrorKind::WouldBlock)).
        impl std::io::Read for &$name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.socket.read(buf)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.socket.read_vectored(bufs)
            }
        }

        /// Suspends until the system has taken all of the buffer, or an error or the write timeout
        /// comes first ([`WouldBlock`](std::io::ErrorKind::WouldBlock), if nothing was taken).
        /// `flush` does nothing, as in std.
        impl std::io::Write for &$name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.socket.write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.socket.write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        /// As for a reference.
        impl std::io::Read for $name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        /// As for a reference.
        impl std::io::Write for $name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use stream_traits;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_buffers_starts_where_sending_stopped() {
        let bufs = [
            IoSlice::new(b""),
            IoSlice::new(b"abc"),
            IoSlice::new(b""),
            IoSlice::new(b"d"),
        ];
        let at = |sent| {
            let (left, skip) = advance_slices(&bufs, sent);
            (left.len(), skip)
        };
        assert_eq!(at(0), (4, 0));
        assert_eq!(at(1), (3, 1));
        assert_eq!(at(2), (3, 2));
        // An empty buffer at the front sends nothing more than the ones behind it.
        assert_eq!(at(3), (2, 0));
        assert_eq!(at(4), (0, 0));
    }
}
