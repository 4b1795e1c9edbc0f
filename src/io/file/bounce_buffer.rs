//! Buffers that travel to a thread of the blocking pool and back.
//!
//! A transfer on the pool cannot borrow the caller's buffer: a cancelled caller unwinds at once,
//! while the system call goes on. So the bytes are copied, which costs a small part of the whole
//! trip.
//!
//! - **BO1** The usable part begins at a multiple of 4,096, as required for files opened with
//!   `O_DIRECT`.
//! - **BO2** Each OS thread keeps the last returned buffer, up to [`MAX_SPARE`] bytes of it, for
//!   the next user. It has one user at a time: taking it leaves none.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};

/// Maximum size of one transfer on the pool, in bytes. Longer reads and writes are short ones;
/// `write_all` and so on continue.
pub(crate) const MAX_TRANSFER: usize = 2 << 20;
const MAX_SPARE: usize = 256 << 10;
const PAGE: usize = 4096;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer for one trip to the pool.
#[derive(Debug)]
pub(crate) struct BounceBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl BounceBuffer {
    /// Creates one of `len` bytes, or of [`MAX_TRANSFER`].
    pub(crate) fn of(len: usize) -> BounceBuffer {
        let len = len.min(MAX_TRANSFER);
        // As in `keep`.
        let mut bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        if bytes.len() < len + PAGE {
            let size = len + PAGE;
            bytes = vec![
                0;
                if size <= MAX_SPARE {
                    size.next_power_of_two()
                } else {
                    size
                }
            ];
        }
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        BounceBuffer { bytes, start, len }
    }

    /// Creates one with the contents of `bufs`, up to the maximum.
    pub(crate) fn gather(bufs: &[IoSlice<'_>]) -> BounceBuffer {
        let size = bufs
            .iter()
            .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
        let mut bounce_buffer = BounceBuffer::of(size);
        let mut room = bounce_buffer.as_mut();
        for buf in bufs {
            let count = buf.len().min(room.len());
            let (head, tail) = room.split_at_mut(count);
            head.copy_from_slice(&buf[..count]);
            room = tail;
        }
        bounce_buffer
    }

    pub(crate) fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }

    /// Copies the first `count` bytes into `bufs`, and keeps the buffer for the next user.
    pub(crate) fn scatter(self, count: usize, bufs: &mut [IoSliceMut<'_>]) {
        let mut rest = &self.as_ref()[..count];
        for buf in bufs {
            let count = rest.len().min(buf.len());
            let (head, tail) = rest.split_at(count);
            buf[..count].copy_from_slice(head);
            rest = tail;
        }
        self.keep();
    }

    /// Keeps the buffer for the next user on this OS thread.
    pub(crate) fn keep(self) {
        if self.bytes.len() <= MAX_SPARE {
            // Missing only in the destructors of the thread's other values.
            let _gone = SPARE.try_with(|spare| spare.set(self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_long_enough() {
        for len in [
            0,
            1,
            4096,
            5000,
            65536,
            MAX_TRANSFER,
            MAX_TRANSFER + 1,
            usize::MAX,
        ] {
            let mut bounce_buffer = BounceBuffer::of(len);
            assert_eq!(bounce_buffer.as_mut().len(), len.min(MAX_TRANSFER));
            assert_eq!(bounce_buffer.as_ref().as_ptr().addr() % PAGE, 0);
            bounce_buffer.keep();
        }
    }

    #[test]
    fn gathered_bytes_are_scattered() {
        let bounce_buffer =
            BounceBuffer::gather(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]);
        assert_eq!(bounce_buffer.as_ref(), b"abcde");
        let (mut one, mut two) = ([0; 1], [0; 3]);
        bounce_buffer.scatter(
            4,
            &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)],
        );
        assert_eq!((&one, &two), (b"a", b"bcd"));
    }

    #[test]
    fn a_buffer_is_used_again() {
        let first = BounceBuffer::of(1000);
        let address = first.as_ref().as_ptr();
        first.keep();
        let second = BounceBuffer::of(900);
        assert_eq!(second.as_ref().as_ptr(), address);
        assert_ne!(BounceBuffer::of(900).as_ref().as_ptr(), address);
    }
}
