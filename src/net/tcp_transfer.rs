//! Reading from and writing to a `TcpStream`: the traits, and the two functions that all transfers go through.
//!
//! `retry` decides when an operation is tried again; what is here decides what a count and an error mean.
//! Any number of threads may be in here for one stream at once.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::BorrowedFd;

use super::TcpStream;
use crate::green::Reason;
use crate::retry;
use crate::sys::sock;

/// How often one write may find room without giving way: the budget of `retry` counts rounds.
const SENDS_A_ROUND: usize = 16;

impl TcpStream {
    /// Waits for what `receive` takes. `short` says of a count above zero whether it is less than was asked for.
    // Inlined with all of `retry::read`, which says why.
    #[track_caller]
    #[inline(always)]
    pub(super) fn receive(
        &self,
        receive: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        short: impl Fn(usize) -> bool,
    ) -> io::Result<usize> {
        let socket = &self.socket;
        socket.take_failure()?;
        let drained = |&received: &usize| received > 0 && short(received);
        let received = retry::read(
            socket.source(),
            Reason::Read,
            socket.read_mode(),
            receive,
            drained,
        )?;
        if received == 0 {
            // A writer may have met the failure that we see as the end of the stream.
            socket.take_failure()?;
        }
        Ok(received)
    }

    /// Calls `send`, with the count of what is sent, until that is `size`, as the kernel does for a blocking socket.
    ///
    /// Its buffer is full only when it says so: a short count alone promises no wake-up. What was sent before
    /// an error is a success; the kernel would then keep the error for the next call, so `Socket` does.
    #[track_caller]
    fn transmit(
        &self,
        size: usize,
        mut send: impl FnMut(BorrowedFd<'_>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let socket = &self.socket;
        socket.take_failure()?;
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
            match retry::write(socket.source(), Reason::Write, socket.write_mode(), round) {
                Ok(true) => return Ok(sent),
                Ok(false) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        socket.keep_failure(&error);
                    }
                    return Ok(sent);
                }
            }
        }
    }
}

/// Suspends until there is data, the end of the stream (0), an error, or the read timeout
/// ([`WouldBlock`](io::ErrorKind::WouldBlock)).
impl Read for &TcpStream {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = buf.len();
        self.receive(|fd| sock::recv(fd, buf), |received| received < size)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
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
}

/// Suspends until the system has taken all of the buffer, or an error or the write timeout
/// ([`WouldBlock`](io::ErrorKind::WouldBlock), when nothing was taken) comes first. `flush` does nothing, as in std.
impl Write for &TcpStream {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf.len(), |fd, sent| sock::send(fd, &buf[sent..]))
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
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

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// As for `&TcpStream`.
impl Read for TcpStream {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// As for `&TcpStream`.
impl Write for TcpStream {
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
