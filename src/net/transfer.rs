//! Reading from and writing to a socket: the two functions that all transfers of streams go through, the calls for
//! datagrams, and the traits of the stream types.
//!
//! `retry` decides when an operation is tried again; what is here decides what a count and an error mean.
//! Any number of threads may be in here for one socket at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use super::socket::Socket;
use crate::green::Reason;
use crate::retry;
use crate::runtime::worker::place_next;
use crate::sys::sock;

/// How often one write may find room without giving way: the budget of `retry` counts rounds.
const SENDS_A_ROUND: usize = 16;

impl Socket {
    /// Waits for what `receive` takes. `short` says of a count above zero whether it is less than was asked for.
    // Inlined with all of `retry::read`, which says why.
    #[track_caller]
    #[inline(always)]
    fn receive(
        &self,
        receive: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        short: impl Fn(usize) -> bool,
    ) -> io::Result<usize> {
        self.take_failure()?;
        let drained = |&received: &usize| received > 0 && short(received);
        let received = retry::read(
            self.source(),
            Reason::Read,
            self.read_mode(),
            receive,
            drained,
        )?;
        if received == 0 {
            // A writer may have met the failure that we see as the end of the stream.
            self.take_failure()?;
        }
        Ok(received)
    }

    /// Calls `send`, with the count of what is sent, until that is `size`, as the kernel does for a blocking socket.
    ///
    /// Its buffer is full only when it says so: a short count alone promises no wake-up. What was sent before
    /// an error is a success; what becomes of the error `Socket::keep_failure` knows.
    #[track_caller]
    fn transmit(
        &self,
        size: usize,
        mut send: impl FnMut(BorrowedFd<'_>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.take_failure()?;
        let mut sent = 0;
        loop {
            let round = |fd: BorrowedFd<'_>| {
                for _ in 0..SENDS_A_ROUND {
                    let count = send(fd, sent)?;
                    sent += count;
                    if sent >= size || count == 0 {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            match retry::write(self.source(), Reason::Write, self.write_mode(), round) {
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

    /// The next bytes of a stream, or the next datagram.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let size = buf.len();
        self.receive(|fd| sock::recv(fd, buf), |received| received < size)
    }

    /// As [`read`](Socket::read), and leaves it in the queue.
    #[track_caller]
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sock::peek(fd, buf), |_| false)
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

    /// All of `buf`, to a stream.
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
        self.transmit(size, |fd, sent| match rest(bufs, sent) {
            (whole, 0) => sock::send_vectored(fd, whole),
            (cut, skip) => sock::send(fd, &cut[0][skip..]),
        })
    }

    /// The next datagram, with its sender. `receive` is `sock::recv_from` or `sock::peek_from`.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn receive_from(
        &self,
        buf: &mut [u8],
        receive: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<(usize, Option<SocketAddrAny>)>,
    ) -> io::Result<(usize, Option<SocketAddrAny>)> {
        retry::read(
            self.source(),
            Reason::Read,
            self.read_mode(),
            |fd| receive(fd, buf),
            |_| false,
        )
    }

    /// One datagram, to the peer.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        retry::write(self.source(), Reason::Write, self.write_mode(), |fd| {
            sock::send(fd, buf)
        })
    }

    /// One datagram, to `addr`.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn send_to(&self, buf: &[u8], addr: &impl SocketAddrArg) -> io::Result<usize> {
        retry::write(self.source(), Reason::Write, self.write_mode(), |fd| {
            sock::send_to(fd, buf, addr)
        })
    }

    /// As [`send_to`](Socket::send_to), where no event may tell that the receiver has room again.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn send_to_unannounced(
        &self,
        buf: &[u8],
        addr: &impl SocketAddrArg,
    ) -> io::Result<usize> {
        retry::write_unannounced(self.source(), Reason::Write, self.write_mode(), |fd| {
            sock::send_to(fd, buf, addr)
        })
    }

    /// The next connection to a listening socket.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
        let take = |fd: BorrowedFd<'_>| {
            if self.shares_file() && !sock::is_readable(fd)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            sock::accept(fd)
        };
        let accepted = retry::read(
            self.source(),
            Reason::Accept,
            self.read_mode(),
            take,
            |_| false,
        )?;
        place_next();
        Ok(accepted)
    }
}

/// The buffers from the one on in which byte number `sent` lies, and how much of that one to skip.
fn rest<'a, 'b>(mut bufs: &'a [IoSlice<'b>], mut sent: usize) -> (&'a [IoSlice<'b>], usize) {
    while let [first, others @ ..] = bufs
        && sent >= first.len()
        && sent > 0
    {
        sent -= first.len();
        bufs = others;
    }
    (bufs, sent)
}

/// `Read` and `Write` for a type that holds one `socket: Socket` that is a stream, and for references to it.
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
        /// ([`WouldBlock`](std::io::ErrorKind::WouldBlock), when nothing was taken) comes first. `flush` does nothing, as in std.
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
            let (left, skip) = rest(&bufs, sent);
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
