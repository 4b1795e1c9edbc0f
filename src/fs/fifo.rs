//! Opens a FIFO without a thread that blocks in `open(2)`, which could not be interrupted.
//!
//! A writer is refused until there is a reader, and retries after pauses. A reader opens its end at
//! once, so that writers see it, and checks for a writer after pauses. If the reader gives up, it
//! closes its end: a writer that comes later finds no reader that takes and loses its data.
//!
//! Suspends the calling thread.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::io::Errno;

use super::file::File;
use crate::green::Reason;
use crate::io::file::file_state::Handle as _;
use crate::retry::{self, Pauses};
use crate::runtime::blocking;
use crate::runtime::io::source::Interest;
use crate::sys::clock::NEVER;
use crate::sys::sock;

/// A FIFO that is being opened. A reader has its end already, a writer perhaps.
pub(super) struct Fifo {
    /// They include `O_NONBLOCK`.
    options: OpenOptions,
    path: PathBuf,
    interest: Interest,
    end: Option<std::fs::File>,
}

impl Fifo {
    /// Opens the end on the pool, unless there is no other end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn begin(
        options: OpenOptions,
        path: PathBuf,
        interest: Interest,
    ) -> io::Result<Fifo> {
        let end = match options.open(&path) {
            Err(error)
                if interest == Interest::Write
                    && error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) =>
            {
                None
            }
            result => Some(result?),
        };
        Ok(Fifo {
            end,
            ..Fifo::unopened(options, path, interest)
        })
    }

    pub(super) fn unopened(options: OpenOptions, path: PathBuf, interest: Interest) -> Fifo {
        Fifo {
            options,
            path,
            interest,
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
                options,
                path,
                interest,
                ..
            } = self;
            self = blocking::on_file_shielded(move || Fifo::begin(options, path, interest))?;
            if self.end.is_none() {
                pauses.wait(Reason::File, NEVER)?;
            }
        };
        if self.interest == Interest::Read {
            while !has_writer(&file)? {
                pauses.wait(Reason::File, NEVER)?;
            }
        }
        sock::set_nonblocking(file.as_fd(), false)?;
        Ok(file)
    }
}

/// Returns whether there is, or was, a writer.
fn has_writer(file: &File) -> io::Result<bool> {
    if retry::is_ready(file.as_fd(), Interest::Read)? {
        return Ok(true);
    }
    let mut byte = [0];
    match file.open.file().read(&mut byte) {
        // There is none, or it has gone, which the next check will show.
        Ok(0) => Ok(false),
        Ok(_) => {
            file.open.unclaimed_or_init().put(&byte);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
