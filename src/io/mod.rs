//! Reading and writing, with the names of [`std::io`].
//!
//! The traits, the buffered readers and writers, [`Error`] and its kinds, [`Cursor`] and so on are
//! std's own, reexported, so `use rustlet::io::{self, Read}` is the same as with std. Functions
//! that would block the worker have their own versions here, which suspend the calling green
//! thread: [`stdin`], [`stdout`] and [`stderr`], [`pipe`], and [`copy`]. A thread can wait for any
//! descriptor: [`wait_readable`], [`wait_writable`], and [`Watch`] for `select!`.
//!
//! # The standard streams
//!
//! They work like std's, with buffers and locks of their own: do not read standard input through
//! both crates. Output of both appears in the order in which *lines* are finished. `println!`,
//! `eprintln!`, `print!`, `dbg!` are std's: they write in place and block the worker while standard
//! output is full. A terminal, a file, or a pipe with an active reader takes output at once. If
//! nothing may be reading the pipe for a while, use `writeln!(rustlet::io::stdout(), …)`.
//!
//! The three descriptors are shared with other programs, so they are never made `O_NONBLOCK`.
//!
//! # Examples
//!
//! ```
//! use rustlet::io::{self, BufRead, BufReader, Write};
//!
//! rustlet::run(|| {
//!     let (reader, mut writer) = io::pipe()?;
//!     rustlet::spawn(move || writer.write_all(b"one\ntwo\n"));
//!     for line in BufReader::new(reader).lines() {
//!         writeln!(io::stdout(), "{}", line?)?;
//!     }
//!     io::Result::Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod copy;
mod copy_bidirectional;
pub(crate) mod file;
mod pipe;
mod stdio;
mod watch;

pub use std::io::prelude;
pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError,
    IoSlice, IoSliceMut, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink, Split,
    Take, Write, WriterPanicked, empty, read_to_string, repeat, sink,
};

#[doc(hidden)]
pub use self::stdio::macros::{__eprint, __print};
#[doc(hidden)]
pub use std::format_args as __format_args;

pub use self::{
    copy::copy,
    copy_bidirectional::{HalfClose, copy_bidirectional},
    pipe::{PipeReader, PipeWriter, pipe},
    stdio::output::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout},
    stdio::stdin::{Stdin, StdinLock, stdin},
    stdio::terminal::IsTerminal,
    watch::{Watch, wait_readable, wait_readable_timeout, wait_writable, wait_writable_timeout},
};
