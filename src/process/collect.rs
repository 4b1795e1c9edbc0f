//! Reading what a child writes to its two pipes until both have ended, whichever does first.
//!
//! One thread reads both, so a child that fills one pipe while the other is read does not hang. Any thread may call it;
//! it suspends.

use std::io;

use super::pipe::Pipe;
use crate::retry;

/// The least that a read asks for; buffers double.
const CHUNK: usize = 4096;

/// A pipe, and what came out of it.
struct Tap<'a> {
    pipe: &'a Pipe,
    into: &'a mut Vec<u8>,
    ended: bool,
}

impl Tap<'_> {
    /// Takes what is there, or a part of it. True: there may be more.
    fn draw(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.into.reserve(CHUNK);
        let drawn = self.pipe.try_read_onto(self.into)?;
        self.ended = drawn == Some(0);
        Ok(drawn.is_some() && !self.ended)
    }
}

/// Reads both to their ends, onto the ends of the buffers.
///
/// # Errors
///
/// That of a read; what was read until then is in the buffers.
#[track_caller]
pub(super) fn both([one, other]: [&Pipe; 2], [first, second]: [&mut Vec<u8>; 2]) -> io::Result<()> {
    let tap = |pipe, into| Tap {
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
            // The pipes of a busy child are always ready: the others get their turns too.
            retry::spend();
        }
    }
    for Tap { pipe, into, ended } in [one, other] {
        if !ended {
            to_end(pipe, into)?;
        }
    }
    Ok(())
}

/// Reads one to its end, onto the end of the buffer.
///
/// # Errors
///
/// As [`both`].
#[track_caller]
pub(super) fn to_end(pipe: &Pipe, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        into.reserve(CHUNK);
        if pipe.read_onto(into)? == 0 {
            return Ok(());
        }
    }
}
