//! Opening a FIFO without a thread that blocks in `open(2)`, which nothing could take back.
//!
//! A writer is refused until there is a reader, and asks again after pauses. A reader is there at once, for writers to see; whether one has come
//! is asked after pauses. Given up, it closes its end: a writer that comes later finds no reader that takes and loses what it writes.
//!
//! Suspends the calling thread.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::io::Errno;

use super::file::File;
use crate::green::Reason;
use crate::io::file::traffic::Handle as _;
use crate::retry::{self, Pauses};
use crate::runtime::blocking;
use crate::runtime::io::source::Way;
use crate::sys::clock::NEVER;
use crate::sys::sock;

/// A FIFO that is being opened. A reader has its end already, a writer perhaps.
pub(super) struct Fifo {
    /// They are `O_NONBLOCK`.
    options: OpenOptions,
    path: PathBuf,
    way: Way,
    end: Option<std::fs::File>,
}

impl Fifo {
    /// On the pool: opens the end, unless there is no other one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn begin(options: OpenOptions, path: PathBuf, way: Way) -> io::Result<Fifo> {
        let end = match options.open(&path) {
            Err(error)
                if way == Way::Write
                    && error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) =>
            {
                None
            }
            result => Some(result?),
        };
        Ok(Fifo {
            end,
            ..Fifo::unopened(options, path, way)
        })
    }

    pub(super) fn unopened(options: OpenOptions, path: PathBuf, way: Way) -> Fifo {
        Fifo {
            options,
            path,
            way,
            end: None,
        }
    }

    /// Waits for the other end. The file is not `O_NONBLOCK`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[track_caller]
    pub(super) fn finish(mut self) -> io::Result<File> {
        let mut pauses = Pauses::default();
        let file = loop {
            if let Some(end) = self.end {
                break File::new(end);
            }
            let Fifo {
                options, path, way, ..
            } = self;
            self = blocking::on_file_shielded(move || Fifo::begin(options, path, way))?;
            if self.end.is_none() {
                pauses.wait(Reason::File, NEVER)?;
            }
        };
        if self.way == Way::Read {
            while !has_writer(&file)? {
                pauses.wait(Reason::File, NEVER)?;
            }
        }
        sock::set_nonblocking(file.as_fd(), false)?;
        Ok(file)
    }
}

/// Whether there is, or was, somebody who writes.
fn has_writer(file: &File) -> io::Result<bool> {
    if retry::is_ready(file.as_fd(), Way::Read)? {
        return Ok(true);
    }
    let mut byte = [0];
    match file.open.file().read(&mut byte) {
        // There is none, or it has gone, which the next question will show.
        Ok(0) => Ok(false),
        Ok(_) => {
            file.open.kept_for_good().put(&byte);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
