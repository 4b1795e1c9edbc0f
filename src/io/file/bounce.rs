//! Buffers that travel to a thread of the blocking pool and back.
//!
//! A transfer on the pool cannot borrow the caller's buffer: a cancelled caller unwinds at once, while the system
//! call goes on. So the bytes are copied, which costs a small part of what the trip does.
//!
//! - **BO1** The usable part begins at a multiple of 4,096, as files opened with `O_DIRECT` ask of a buffer.
//! - **BO2** Each OS thread keeps the last buffer that came back, up to [`KEPT`] bytes of it, for the next to take. It is never in two hands:
//!   who takes it leaves nothing.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};

/// The most that one trip carries. Longer reads and writes are short ones; `write_all` and the like go on.
pub(crate) const MOST: usize = 2 << 20;
const KEPT: usize = 256 << 10;
const PAGE: usize = 4096;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Such a buffer.
#[derive(Debug)]
pub(crate) struct Bounce {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Bounce {
    /// One of `len` bytes, or of [`MOST`].
    pub(crate) fn of(len: usize) -> Bounce {
        let len = len.min(MOST);
        // As in `keep`.
        let mut bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        if bytes.len() < len + PAGE {
            let size = len + PAGE;
            bytes = vec![
                0;
                if size <= KEPT {
                    size.next_power_of_two()
                } else {
                    size
                }
            ];
        }
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Bounce { bytes, start, len }
    }

    /// One that holds what `bufs` hold, as far as it goes.
    pub(crate) fn gather(bufs: &[IoSlice<'_>]) -> Bounce {
        let size = bufs
            .iter()
            .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
        let mut bounce = Bounce::of(size);
        let mut room = bounce.as_mut();
        for buf in bufs {
            let count = buf.len().min(room.len());
            let (head, tail) = room.split_at_mut(count);
            head.copy_from_slice(&buf[..count]);
            room = tail;
        }
        bounce
    }

    pub(crate) fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }

    /// Copies the first `count` bytes into `bufs`, and keeps the buffer for the next.
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

    /// Leaves the buffer for the next on this OS thread.
    pub(crate) fn keep(self) {
        if self.bytes.len() <= KEPT {
            // Not there in the destructors of the thread's other values only.
            let _gone = SPARE.try_with(|spare| spare.set(self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_long_enough() {
        for len in [0, 1, 4096, 5000, 65536, MOST, MOST + 1, usize::MAX] {
            let mut bounce = Bounce::of(len);
            assert_eq!(bounce.as_mut().len(), len.min(MOST));
            assert_eq!(bounce.as_ref().as_ptr().addr() % PAGE, 0);
            bounce.keep();
        }
    }

    #[test]
    fn what_is_gathered_is_scattered() {
        let bounce =
            Bounce::gather(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]);
        assert_eq!(bounce.as_ref(), b"abcde");
        let (mut one, mut two) = ([0; 1], [0; 3]);
        bounce.scatter(
            4,
            &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)],
        );
        assert_eq!((&one, &two), (b"a", b"bcd"));
    }

    #[test]
    fn a_buffer_is_used_again() {
        let first = Bounce::of(1000);
        let address = first.as_ref().as_ptr();
        first.keep();
        let second = Bounce::of(900);
        assert_eq!(second.as_ref().as_ptr(), address);
        assert_ne!(Bounce::of(900).as_ref().as_ptr(), address);
    }
}
