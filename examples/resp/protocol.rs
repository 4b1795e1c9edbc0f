//! The protocol of Redis, version 2: reads commands, writes replies. Error messages are those of
//! Redis.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

/// The longest inline command, or line with a count or a length, in bytes.
const MAX_LINE: usize = 64 * 1024;
const MAX_WORDS: i64 = 1024 * 1024;
/// The longest command in bytes, all of its words together. (Redis allows 512 MiB for a word.)
const MAX_COMMAND: usize = 64 * 1024 * 1024;

/// The words of a command, at least one.
pub(crate) type Command = Vec<Vec<u8>>;

#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    /// Malformed input; the message is for the client.
    Protocol(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem::Io(error)
    }
}

fn protocol_error(text: impl AsRef<str>) -> Problem {
    Problem::Protocol(format!("ERR Protocol error: {}", text.as_ref()))
}

/// Reads the next command, or `None` when the client has closed its side.
pub(crate) fn read_command(reader: &mut impl BufRead) -> Result<Option<Command>, Problem> {
    loop {
        let Some(line) = read_line(reader, "too big inline request")? else {
            return Ok(None);
        };
        let words = match line.strip_prefix(b"*") {
            Some(count) => read_words(reader, count)?,
            None => split_words(&line)?,
        };
        // An empty command has no reply.
        if !words.is_empty() {
            return Ok(Some(words));
        }
    }
}

/// Reads `count` words, each after a line with its length.
fn read_words(reader: &mut impl BufRead, count: &[u8]) -> Result<Command, Problem> {
    let count = integer(count).filter(|&count| count <= MAX_WORDS);
    let count = count.ok_or_else(|| protocol_error("invalid multibulk length"))?;
    let mut words = Vec::new();
    let mut room = MAX_COMMAND;
    for _ in 0..count {
        let line = read_line(reader, "too big bulk count string")?;
        let line = line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let Some(length) = line.strip_prefix(b"$") else {
            let first = line.first().map_or(' ', |&byte| byte.into());
            return Err(protocol_error(format!("expected '$', got '{first}'")));
        };
        let length = integer(length).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|&length| length <= room);
        let length = length.ok_or_else(|| protocol_error("invalid bulk length"))?;
        room -= length;
        words.push(read_bytes(reader, length)?);
    }
    Ok(words)
}

/// Reads a word and its line end. Allocates for the bytes that have arrived, not for the announced
/// length.
fn read_bytes(reader: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length.min(16 * 1024));
    reader
        .by_ref()
        .take(length as u64)
        .read_to_end(&mut bytes)?;
    let mut end = [0; 2];
    reader.read_exact(&mut end)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Reads a line without its end, or `None` at the end of the stream.
fn read_line(reader: &mut impl BufRead, too_long: &str) -> Result<Option<Vec<u8>>, Problem> {
    let mut line = Vec::new();
    let limit = MAX_LINE as u64;
    reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
        Ok(Some(line))
    } else if line.len() == MAX_LINE {
        Err(protocol_error(too_long))
    } else {
        Ok(None)
    }
}

/// Splits an inline command into words. A word may be in quotes, with escapes in double quotes.
fn split_words(line: &[u8]) -> Result<Command, Problem> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let (word, after) = match first {
            b'"' | b'\'' => quoted(&rest[1..], first)
                .ok_or_else(|| protocol_error("unbalanced quotes in request"))?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace);
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                (word.to_vec(), after)
            }
        };
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// Returns the quoted word and the text after it, which is empty or begins with a space.
fn quoted(text: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut bytes = text.iter();
    loop {
        match *bytes.next()? {
            byte if byte == quote => break,
            b'\\' if quote == b'"' => word.push(match *bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let digits = [*bytes.next()?, *bytes.next()?];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
                }
                byte => byte,
            }),
            byte => word.push(byte),
        }
    }
    let after = bytes.as_slice();
    let ends = after.first().is_none_or(u8::is_ascii_whitespace);
    ends.then_some((word, after))
}

/// Reads an integer as Redis writes it: no plus sign, no leading zeros, no spaces.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A reply to a command.
#[derive(Debug)]
pub(crate) enum Reply {
    Simple(&'static str),
    /// A message that begins with a word in capitals.
    Error(String),
    Integer(i64),
    Bytes(Arc<[u8]>),
    Nothing,
    List(Vec<Reply>),
}

impl Reply {
    pub(crate) fn bytes(bytes: &[u8]) -> Reply {
        Reply::Bytes(bytes.into())
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(text) => line(out, b'+', text),
            // A line end in the message would begin another reply.
            Reply::Error(text) => line(out, b'-', &text.replace(['\r', '\n'], " ")),
            Reply::Integer(number) => line(out, b':', &number.to_string()),
            Reply::Bytes(bytes) => {
                line(out, b'$', &bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Reply::Nothing => line(out, b'$', "-1"),
            Reply::List(replies) => {
                line(out, b'*', &replies.len().to_string());
                for reply in replies {
                    reply.write_to(out);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}
