//! The buffer of stdin: data stays in it until a call returns it as a whole.
//!
//! `read_line`, `read_until`, `read_exact` and `read_to_string` take nothing out of the buffer
//! before they have all that they need. So a cancelled thread has read nothing: the next call, of
//! any thread, begins where that one did.
//!
//! - **IN1** `bytes[start..end]` has been read and not been returned. The space behind `end` is for
//!   the next read.
//!
//! Owned by the holder of the stream's lock. Reading suspends.

use std::io::{self, BufRead, IoSliceMut, Read};

use super::stream::StdStream;

/// As large as std's; also the minimum size of a read.
const BUFFER_BYTES: usize = 8 << 10;
/// `read_exact` takes more than this in parts.
const MAX_EXACT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Input {
    source: StdStream,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) const fn new(source: StdStream) -> Input {
        Input {
            source,
            bytes: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    fn buffered(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Reads more data into the buffer. Returns 0 at the end of file.
    #[track_caller]
    fn read_more(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < BUFFER_BYTES {
            self.bytes
                .resize((2 * self.end).max(self.end + BUFFER_BYTES), 0);
        }
        loop {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the number of bytes up to `byte`, or to the end, and the error that came before
    /// either.
    #[track_caller]
    fn find(&mut self, byte: u8) -> (usize, io::Result<()>) {
        let mut seen = 0;
        loop {
            let found = self.buffered()[seen..]
                .iter()
                .position(|&other| other == byte);
            if let Some(place) = found {
                return (seen + place + 1, Ok(()));
            }
            seen = self.end - self.start;
            match self.read_more() {
                Ok(0) => return (seen, Ok(())),
                Ok(_) => {}
                Err(error) => return (seen, Err(error)),
            }
        }
    }

    /// As [`BufRead::read_line`].
    #[track_caller]
    pub(super) fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let (count, result) = self.find(b'\n');
        self.give_text(count, result, line)
    }

    fn give_text(
        &mut self,
        count: usize,
        result: io::Result<()>,
        text: &mut String,
    ) -> io::Result<usize> {
        let given = match std::str::from_utf8(&self.buffered()[..count]) {
            Ok(piece) => {
                text.push_str(piece);
                result
            }
            Err(_) => result.and(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "stream did not contain valid UTF-8",
            ))),
        };
        self.consume(count);
        given.map(|()| count)
    }
}

impl Read for Input {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if self.start == self.end {
            // A caller with enough room reads directly.
            if bufs.iter().map(|buf| buf.len()).sum::<usize>() >= BUFFER_BYTES {
                return self.source.read_vectored(bufs);
            }
            if bufs.iter().any(|buf| !buf.is_empty()) {
                self.read_more()?;
            }
        }
        let count = self.buffered().read_vectored(bufs)?;
        self.consume(count);
        Ok(count)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.end - self.start;
        buf.extend_from_slice(self.buffered());
        self.consume(count);
        Ok(count + self.source.read_to_end(buf)?)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let result = loop {
            match self.read_more() {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.give_text(self.end - self.start, result, buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        for part in buf.chunks_mut(MAX_EXACT_BYTES) {
            while self.buffered().len() < part.len() {
                if self.read_more()? == 0 {
                    // std's error. As in std, the buffered data is lost.
                    let result = self.buffered().read_exact(part);
                    self.consume(self.end - self.start);
                    return result;
                }
            }
            part.copy_from_slice(&self.buffered()[..part.len()]);
            self.consume(part.len());
        }
        Ok(())
    }
}

impl BufRead for Input {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.read_more()?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
        if self.start == self.end && self.bytes.len() > 8 * BUFFER_BYTES {
            *self = Input::new(self.source);
        }
    }

    #[track_caller]
    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        let (count, result) = self.find(byte);
        buf.extend_from_slice(&self.buffered()[..count]);
        self.consume(count);
        result.map(|()| count)
    }
}
