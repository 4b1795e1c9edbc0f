//! `stdin`: std's, with readers that suspend.
//!
//! One buffer for the process, behind one lock that suspends. It is separate from std's buffer: see
//! the module documentation of `io`.

use std::fmt;
use std::io::{self, BufRead, IoSliceMut, Lines, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{OnceLock, PoisonError};

use super::input::Input;
use super::stream::StdStream;
use crate::sync::{Mutex, MutexGuard};

/// Handle to standard input, shared by the process: [`std::io::Stdin`] for green threads; returned
/// by [`stdin`].
///
/// # Examples
///
/// ```no_run
/// use rustlet::io::{self, Read};
///
/// let mut bytes = Vec::new();
/// io::stdin().read_to_end(&mut bytes)?;
/// # io::Result::Ok(())
/// ```
pub struct Stdin {
    shared: &'static Mutex<Input>,
}

/// Locked standard input: [`std::io::StdinLock`] for green threads; returned by [`Stdin::lock`].
///
/// It is not `Send`:
///
/// ```compile_fail,E0277
/// let locked = rustlet::io::stdin().lock();
/// std::thread::spawn(move || drop(locked));
/// ```
pub struct StdinLock<'a> {
    reader: MutexGuard<'a, Input>,
}

/// Returns a handle to the standard input of the process.
///
/// A read suspends the calling green thread until there is data (a line, if it is a terminal), and
/// blocks an OS thread. The descriptor is not made `O_NONBLOCK`, which would affect other programs
/// that share it.
///
/// # Cancellation
///
/// A call that is ended by a time limit or a cancellation has read nothing: its data, even half a
/// line, stays in the buffer for the next. Only `read_to_end` leaves data in its vector, and
/// `read_exact` of more than 1 MiB in its buffer.
///
/// # Examples
///
/// ```no_run
/// rustlet::run(|| {
///     let mut line = String::new();
///     rustlet::io::stdin().read_line(&mut line)?;
///     println!("{}", line.trim());
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    static SHARED: OnceLock<Mutex<Input>> = OnceLock::new();
    Stdin {
        shared: SHARED.get_or_init(|| Mutex::new(Input::new(StdStream::In))),
    }
}

impl Stdin {
    /// Locks it for several reads.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while another thread has the lock; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::io::{BufRead, stdin};
    ///
    /// for line in stdin().lock().lines() {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "it is locked for as long as this lives"]
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock {
            // A reader that panicked has left the buffer consistent.
            reader: self.shared.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Locks it and reads up to the end of the line, which is appended to `buf`.
    ///
    /// # Errors
    ///
    /// The same as for [`BufRead::read_line`].
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; nothing is appended, and the next call returns the whole line.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let mut line = String::new();
    /// let count = rustlet::io::stdin().read_line(&mut line)?;
    /// # let _ = count;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// Locks it permanently and returns an iterator over its lines.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// for line in rustlet::io::stdin().lines() {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "iterators are lazy and do nothing unless consumed"]
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

impl Read for StdinLock<'_> {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.reader.read_vectored(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.reader.read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buf)
    }
}

impl BufRead for StdinLock<'_> {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }

    #[track_caller]
    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_until(byte, buf)
    }

    #[track_caller]
    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        self.reader.read_line(buf)
    }
}

/// Locks it for one call.
impl Read for &Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.lock().read_vectored(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

/// Reads like `&Stdin`.
impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        rustix::stdio::stdin()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for StdinLock<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        rustix::stdio::stdin()
    }
}

impl AsRawFd for StdinLock<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
