//! Reads both output pipes of a child until both have ended.
//!
//! One thread reads both, so that a child which fills one pipe while the other is read does not
//! hang. Any thread may call it; it suspends.

use std::io;

use super::pipe::Pipe;
use crate::retry;

/// Minimum size of a read; buffers double.
const CHUNK_BYTES: usize = 4096;

/// A pipe and its output so far.
struct OutputReader<'a> {
    pipe: &'a Pipe,
    into: &'a mut Vec<u8>,
    ended: bool,
}

impl OutputReader<'_> {
    /// Reads some data if there is any. Returns `true` if there may be more.
    fn draw(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.into.reserve(CHUNK_BYTES);
        let drawn = self.pipe.try_read_onto(self.into)?;
        self.ended = drawn == Some(0);
        Ok(drawn.is_some() && !self.ended)
    }
}

/// Reads both pipes to their ends and appends to the buffers.
///
/// # Errors
///
/// That of a read; the data read before is in the buffers.
#[track_caller]
pub(super) fn both([one, other]: [&Pipe; 2], [first, second]: [&mut Vec<u8>; 2]) -> io::Result<()> {
    let tap = |pipe, into| OutputReader {
        pipe,
        into,
        ended: false,
    };
    let (mut one, mut other) = (tap(one, first), tap(other, second));
    while !one.ended && !other.ended {
        let more = one.draw()?;
        if !(other.draw()? || more || one.ended || other.ended) {
            retry::either_readable(one.pipe.source(), other.pipe.source())?;
        } else {
            // The pipes of a busy child are always ready: other threads must run too.
            retry::poll_budget();
        }
    }
    for OutputReader { pipe, into, ended } in [one, other] {
        if !ended {
            to_end(pipe, into)?;
        }
    }
    Ok(())
}

/// Reads one pipe to its end and appends to the buffer.
///
/// # Errors
///
/// As [`both`].
#[track_caller]
pub(super) fn to_end(pipe: &Pipe, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        into.reserve(CHUNK_BYTES);
        if pipe.read_onto(into)? == 0 {
            return Ok(());
        }
    }
}
