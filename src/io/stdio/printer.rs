//! The buffer between stdout or stderr and its descriptor, which writes each byte once.
//!
//! A text is put into the buffer as a whole before any of it is written. A thread that is cancelled
//! while it writes leaves the rest there, and the next thread that prints, or the end of the
//! process, writes it first. So no line is duplicated or truncated.
//!
//! - **PR1** Of the bytes from `start` on, the first `due` are to be written now, the others when
//!   their line ends. Bytes that the descriptor has taken are before `start`: nothing unwinds
//!   between the write and the update.
//!
//! Owned by the holder of the stream's lock. `write_out` and its callers suspend.

use std::io::{self, IoSlice, Write as _};

use super::stream::StdStream;

/// Maximum size of an unfinished line that stdout buffers; as in std.
const MAX_PARTIAL_LINE_BYTES: usize = 1024;
/// Minimum size of the pieces in which a long text is put into the buffer; each goes to the end of
/// a line.
const MIN_PIECE_BYTES: usize = 64 << 10;
/// A line that is longer than this may be split.
const MAX_LINE_BYTES: usize = 1 << 20;

/// When a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    LineEnds,
    AtOnce,
}

#[derive(Debug)]
pub(super) struct Printer {
    target: StdStream,
    bytes: Vec<u8>,
    start: usize,
    due: usize,
    until: Until,
    /// A write has begun. If no thread is writing, the one that was has been unwound.
    is_writing: bool,
}

/// The number of bytes written all the same, and the error.
type Failed = (usize, io::Error);

impl Printer {
    /// Creates one that buffers unfinished lines.
    pub(super) const fn of_lines(target: StdStream) -> Printer {
        Printer::new(target, Until::LineEnds)
    }

    /// Creates one that does not buffer.
    pub(super) const fn unbuffered(target: StdStream) -> Printer {
        Printer::new(target, Until::AtOnce)
    }

    const fn new(target: StdStream, until: Until) -> Printer {
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
        if all - self.due > MAX_PARTIAL_LINE_BYTES {
            self.due = all;
        }
    }

    /// Writes the bytes that are due.
    #[track_caller]
    fn write_out(&mut self) -> io::Result<()> {
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

    /// Removes written bytes (PR1).
    fn advance(&mut self, count: usize) {
        self.start += count;
        self.due -= count;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(MIN_PIECE_BYTES);
        } else if self.start >= MIN_PIECE_BYTES {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Writes the bytes that are due, of which the last `count` are the caller's. After an error
    /// none of these is left.
    #[track_caller]
    fn settle_own(&mut self, count: usize) -> Result<(), Failed> {
        self.write_out().map_err(|error| {
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
            if all == 0 && buf.len() > MIN_PIECE_BYTES {
                return self.write(buf);
            }
            if all + buf.len() > MIN_PIECE_BYTES {
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
        self.write_out()
    }

    /// Takes a part of a text whose end is marked by [`end_text`](Printer::end_text).
    ///
    /// # Errors
    ///
    /// The text is so long that some of it was written.
    #[track_caller]
    pub(super) fn begin_text(&mut self, part: &[u8]) -> io::Result<()> {
        if self.unwritten() + part.len() > MAX_LINE_BYTES {
            return self.write_all(part);
        }
        self.append(part);
        Ok(())
    }

    /// Writes the due bytes of a text of `count` bytes.
    #[track_caller]
    pub(super) fn end_text(&mut self, count: usize) -> io::Result<()> {
        self.settle_own(count).map_err(|(_, error)| error)
    }

    /// Called when the process ends: writes all, and buffers nothing from now on. Data of a
    /// cancelled thread is written as far as the stream takes it within a second: that thread was
    /// not to wait for it, and neither is the end of the process.
    pub(super) fn finish(&mut self) {
        self.until = Until::AtOnce;
        self.due = self.unwritten();
        if self.is_writing || self.target.is_writing() {
            // At least one check: the pool may be running a write whose caller was cancelled.
            while self.target.has_room_soon() && self.due > 0 {
                const MAX_ROOM: usize = 512;
                let some = self.due.min(MAX_ROOM);
                match self.target.write(&self.bytes[self.start..][..some]) {
                    Ok(count @ 1..) => self.advance(count),
                    _ => break,
                }
            }
        } else {
            let _unheard = self.write_out();
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

/// Returns the end of the first piece of a text.
fn end_of_piece(text: &[u8]) -> usize {
    let limit = text.len().min(MAX_LINE_BYTES);
    match text.get(MIN_PIECE_BYTES..limit) {
        Some(rest) => rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(limit, |end| MIN_PIECE_BYTES + end + 1),
        None => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_lines() {
        assert_eq!(end_of_piece(b"short"), 5);
        let mut text = vec![b'x'; 3 * MAX_LINE_BYTES];
        assert_eq!(end_of_piece(&text), MAX_LINE_BYTES);
        text[MIN_PIECE_BYTES - 1] = b'\n';
        text[MIN_PIECE_BYTES + 9] = b'\n';
        assert_eq!(end_of_piece(&text), MIN_PIECE_BYTES + 10);
    }

    #[test]
    fn lines_are_due_when_they_end() {
        let mut printer = Printer::of_lines(StdStream::Out);
        printer.append(b"one");
        assert_eq!(printer.due, 0);
        printer.append(b"\ntwo");
        assert_eq!(printer.due, 4);
        printer.append(&[b'x'; MAX_PARTIAL_LINE_BYTES]);
        assert_eq!(printer.due, printer.unwritten());
        printer.advance(5);
        assert_eq!(printer.due, printer.unwritten());
        assert_eq!(printer.bytes[printer.start], b'w');
    }
}
