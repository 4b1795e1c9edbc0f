//! What stands between stdout or stderr and its descriptor: a buffer from which each byte is written once.
//!
//! A text is put into the buffer whole before any of it is written. A thread that is cancelled while it writes leaves the rest
//! there, and the next one that prints, or the end of the process, writes it first. So no line comes twice, and none is cut off.
//!
//! - **PR1** Of the bytes from `start` on, the first `due` are to be written now, the others when their line ends. What the descriptor has taken is
//!   before `start`: nothing unwinds between the two.
//!
//! Owned by whoever has the stream's lock. `settle`, and what calls it, suspends.

use std::io::{self, IoSlice, Write as _};

use super::standard::Standard;

/// How much of a line stdout keeps until its end; as much as std does.
const MAX_PARTIAL_LINE: usize = 1024;
/// How much of a long text is put into the buffer at once: up to the end of the line after so much.
const PIECE: usize = 64 << 10;
/// A line that is longer than this may be cut off.
const MAX_LINE: usize = 1 << 20;

/// When a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    LineEnds,
    AtOnce,
}

#[derive(Debug)]
pub(super) struct Printer {
    target: Standard,
    bytes: Vec<u8>,
    start: usize,
    due: usize,
    until: Until,
    /// A write has begun. If nobody is at it, the thread that was has been unwound.
    is_writing: bool,
}

/// How much of a text was written all the same, and what has stopped it.
type Failed = (usize, io::Error);

impl Printer {
    /// One that keeps lines until they end.
    pub(super) const fn of_lines(target: Standard) -> Printer {
        Printer::new(target, Until::LineEnds)
    }

    /// One that keeps nothing.
    pub(super) const fn unbuffered(target: Standard) -> Printer {
        Printer::new(target, Until::AtOnce)
    }

    const fn new(target: Standard, until: Until) -> Printer {
        Printer {
            target,
            bytes: Vec::new(),
            start: 0,
            due: 0,
            until,
            is_writing: false,
        }
    }

    fn unwritten(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn append(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        let all = self.unwritten();
        if self.until == Until::AtOnce {
            self.due = all;
        } else if let Some(end) = text.iter().rposition(|&byte| byte == b'\n') {
            self.due = all - (text.len() - end - 1);
        }
        if all - self.due > MAX_PARTIAL_LINE {
            self.due = all;
        }
    }

    /// Writes what is due.
    #[track_caller]
    fn settle(&mut self) -> io::Result<()> {
        while self.due > 0 {
            self.is_writing = true;
            let result = self.target.write(&self.bytes[self.start..][..self.due]);
            self.is_writing = false;
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// PR1.
    fn advance(&mut self, count: usize) {
        self.start += count;
        self.due -= count;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(PIECE);
        } else if self.start >= PIECE {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// As `settle`, when the last `count` bytes are the caller's. After an error none of them is left.
    #[track_caller]
    fn settle_own(&mut self, count: usize) -> Result<(), Failed> {
        self.settle().map_err(|error| {
            let left = self.unwritten().min(count);
            self.bytes.truncate(self.bytes.len() - left);
            self.due = self.due.min(self.unwritten());
            (count - left, error)
        })
    }

    #[track_caller]
    fn print(&mut self, mut text: &[u8]) -> Result<(), Failed> {
        let mut done = 0;
        while !text.is_empty() {
            let piece;
            (piece, text) = text.split_at(end_of_piece(text));
            self.append(piece);
            self.settle_own(piece.len())
                .map_err(|(count, error)| (done + count, error))?;
            done += piece.len();
        }
        Ok(())
    }

    #[track_caller]
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        count(self.print(text), text.len())
    }

    #[track_caller]
    pub(super) fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        self.print(text).map_err(|(_, error)| error)
    }

    #[track_caller]
    pub(super) fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut all = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            if all == 0 && buf.len() > PIECE {
                return self.write(buf);
            }
            if all + buf.len() > PIECE {
                break;
            }
            self.append(buf);
            all += buf.len();
        }
        count(self.settle_own(all), all)
    }

    #[track_caller]
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.due = self.unwritten();
        self.settle()
    }

    /// Takes a part of a text whose end is told by [`end_text`](Printer::end_text).
    ///
    /// # Errors
    ///
    /// It is so long that some of it was written.
    #[track_caller]
    pub(super) fn begin_text(&mut self, part: &[u8]) -> io::Result<()> {
        if self.unwritten() + part.len() > MAX_LINE {
            return self.write_all(part);
        }
        self.append(part);
        Ok(())
    }

    /// Writes what is due of a text, of which `count` bytes were taken.
    #[track_caller]
    pub(super) fn end_text(&mut self, count: usize) -> io::Result<()> {
        self.settle_own(count).map_err(|(_, error)| error)
    }

    /// The process ends: writes all, and keeps nothing from now on. What a thread has left that was cancelled is written as far as the stream
    /// takes it within a second: that thread was not to wait for it, and neither is the end of the process.
    pub(super) fn finish(&mut self) {
        self.until = Until::AtOnce;
        self.due = self.unwritten();
        if self.is_writing || self.target.is_writing() {
            // One look at least: the pool may be at a write whose caller was cancelled.
            while self.target.has_room_soon() && self.due > 0 {
                const MAX_ROOM: usize = 512;
                let some = self.due.min(MAX_ROOM);
                match self.target.write(&self.bytes[self.start..][..some]) {
                    Ok(count @ 1..) => self.advance(count),
                    _ => break,
                }
            }
        } else {
            let _unheard = self.settle();
        }
        *self = Printer::unbuffered(self.target);
    }
}

fn count(result: Result<(), Failed>, all: usize) -> io::Result<usize> {
    match result {
        Ok(()) => Ok(all),
        Err((0, error)) => Err(error),
        Err((count, _)) => Ok(count),
    }
}

/// Where the first piece of a text ends.
fn end_of_piece(text: &[u8]) -> usize {
    let limit = text.len().min(MAX_LINE);
    match text.get(PIECE..limit) {
        Some(rest) => rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(limit, |end| PIECE + end + 1),
        None => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_lines() {
        assert_eq!(end_of_piece(b"short"), 5);
        let mut text = vec![b'x'; 3 * MAX_LINE];
        assert_eq!(end_of_piece(&text), MAX_LINE);
        text[PIECE - 1] = b'\n';
        text[PIECE + 9] = b'\n';
        assert_eq!(end_of_piece(&text), PIECE + 10);
    }

    #[test]
    fn lines_are_due_when_they_end() {
        let mut printer = Printer::of_lines(Standard::Out);
        printer.append(b"one");
        assert_eq!(printer.due, 0);
        printer.append(b"\ntwo");
        assert_eq!(printer.due, 4);
        printer.append(&[b'x'; MAX_PARTIAL_LINE]);
        assert_eq!(printer.due, printer.unwritten());
        printer.advance(5);
        assert_eq!(printer.due, printer.unwritten());
        assert_eq!(printer.bytes[printer.start], b'w');
    }
}
