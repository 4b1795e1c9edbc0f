//! `stdout` and `stderr`: std's, with writers that suspend.
//!
//! Each has one lock for the process, which is reentrant. Stdout is buffered up to the end of a
//! line; the rest is written when the process ends (SD3 of `stream.rs`), unless another thread is
//! writing at that moment.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::Once;

use super::printer::Printer;
use super::reentrant::{Guard, Reentrant};
use super::stream::{self, StdStream};
use crate::sys::exit::at_exit;

/// Handle to standard output, shared by the process: [`std::io::Stdout`] for green threads;
/// returned by [`stdout`].
///
/// # Examples
///
/// ```
/// use rustlet::io::{self, Write};
///
/// let mut out: io::Stdout = io::stdout();
/// out.write_all(b"hello\n")?;
/// # io::Result::Ok(())
/// ```
pub struct Stdout {
    shared: &'static Reentrant<Printer>,
}

/// Locked standard output: [`std::io::StdoutLock`] for green threads; returned by [`Stdout::lock`].
///
/// It is not `Send`:
///
/// ```compile_fail,E0277
/// let locked = rustlet::io::stdout().lock();
/// std::thread::spawn(move || drop(locked));
/// ```
pub struct StdoutLock<'a> {
    guard: Guard<'a, Printer>,
}

/// Handle to standard error, shared by the process: [`std::io::Stderr`] for green threads; returned
/// by [`stderr`].
///
/// # Examples
///
/// ```
/// use rustlet::io::{self, Write};
///
/// let mut err: io::Stderr = io::stderr();
/// err.write_all(b"hello\n")?;
/// # io::Result::Ok(())
/// ```
pub struct Stderr {
    shared: &'static Reentrant<Printer>,
}

/// Locked standard error: [`std::io::StderrLock`] for green threads; returned by [`Stderr::lock`].
///
/// It is not `Send`:
///
/// ```compile_fail,E0277
/// let locked = rustlet::io::stderr().lock();
/// std::thread::spawn(move || drop(locked));
/// ```
pub struct StderrLock<'a> {
    guard: Guard<'a, Printer>,
}

static STDOUT: Reentrant<Printer> = Reentrant::new(Printer::of_lines(StdStream::Out));
static STDERR: Reentrant<Printer> = Reentrant::new(Printer::unbuffered(StdStream::Err));
static AT_EXIT: Once = Once::new();

/// Returns a handle to the standard output of the process.
///
/// Output is buffered up to the end of a line. Writing a line suspends the calling green thread
/// until the terminal, the pipe or the file has taken it, and blocks an OS thread. The descriptor
/// is not made `O_NONBLOCK`, which would affect other programs that share it.
///
/// A write is put into the buffer as a whole before any of it is written, and each byte is written
/// once. A thread that is ended in between by a time limit or a cancellation leaves the rest, which
/// the next write to stdout writes first: no line is duplicated or truncated.
///
/// The rest of the buffer is written when `main` returns or [`exit`](crate::process::exit) is
/// called, as in std; not when the process aborts. The buffer is separate from std's, which
/// `println!` uses: whole lines of the two come out in order, parts of lines may not.
///
/// # Examples
///
/// ```
/// use rustlet::io::{Write, stdout};
///
/// rustlet::run(|| writeln!(stdout(), "hello"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    AT_EXIT.call_once(|| at_exit(finish));
    Stdout { shared: &STDOUT }
}

/// Called when the process ends.
fn finish() {
    stream::exits();
    let finish = || {
        // A thread that is writing now, perhaps the caller, is not waited for.
        for stream in [&STDOUT, &STDERR] {
            if let Some(guard) = stream.try_lock()
                && let Some(mut printer) = guard.try_get()
            {
                printer.finish();
            }
        }
    };
    drop(catch_unwind(finish));
}

/// Returns a handle to the standard error of the process, which is unbuffered. Only the rest of a
/// cancelled thread's write is written with the next, as for [`stdout`].
///
/// A write suspends the calling green thread until the terminal, the pipe or the file has taken it,
/// and blocks an OS thread.
///
/// # Examples
///
/// ```
/// use rustlet::io::{Write, stderr};
///
/// rustlet::run(|| writeln!(stderr(), "oh"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stderr() -> Stderr {
    AT_EXIT.call_once(|| at_exit(finish));
    Stderr { shared: &STDERR }
}

/// Collects the parts of a formatted text in the buffer.
struct Text<'a, 'b> {
    guard: &'a Guard<'b, Printer>,
    count: usize,
}

impl Write for Text<'_, '_> {
    #[track_caller]
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        // Borrowed for each part: formatting code may print, too.
        self.guard.get().begin_text(part)?;
        self.count += part.len();
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a text of several parts as one: there is no wait in between.
#[track_caller]
fn write_text(guard: &Guard<'_, Printer>, text: fmt::Arguments<'_>) -> io::Result<()> {
    if let Some(whole) = text.as_str() {
        return guard.get().write_all(whole.as_bytes());
    }
    let mut parts = Text { guard, count: 0 };
    let formatted = parts.write_fmt(text);
    let ended = guard.get().end_text(parts.count);
    formatted.and(ended)
}

macro_rules! output {
    ($name:ident, $lock:ident, $function:literal, $descriptor:expr, $standard:expr) => {
        impl $name {
            /// Locks the stream for several writes. The lock is reentrant.
            ///
            /// # Suspends
            ///
            /// Suspends the calling green thread while another thread has the lock; blocks an OS
            /// thread.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::io::Write;
            ///
            #[doc = concat!("let mut locked = rustlet::io::", $function, "().lock();")]
            /// writeln!(locked, "one")?;
            /// writeln!(locked, "two")?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            #[must_use = "it is locked for as long as this lives"]
            pub fn lock(&self) -> $lock<'static> {
                $lock {
                    guard: self.shared.lock(),
                }
            }
        }

        impl Write for $lock<'_> {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.guard.get().write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.guard.get().write_vectored(bufs)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                self.guard.get().flush()
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.guard.get().write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                write_text(&self.guard, text)
            }
        }

        /// Locks the stream for one call.
        impl Write for &$name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.lock().write_vectored(bufs)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(text)
            }
        }

        /// Writes like a reference to it.
        impl Write for $name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $lock<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($lock)).finish_non_exhaustive()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $descriptor
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                $descriptor.as_raw_fd()
            }
        }

        impl AsFd for $lock<'_> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $descriptor
            }
        }

        impl AsRawFd for $lock<'_> {
            fn as_raw_fd(&self) -> RawFd {
                $descriptor.as_raw_fd()
            }
        }

        impl From<$name> for Stdio {
            fn from(_: $name) -> Stdio {
                $standard.into()
            }
        }

        // A panic in the middle of a write leaves consistent state. std's types have these impls
        // too.
        impl UnwindSafe for $name {}
        impl RefUnwindSafe for $name {}
        impl UnwindSafe for $lock<'_> {}
        impl RefUnwindSafe for $lock<'_> {}
    };
}

output!(
    Stdout,
    StdoutLock,
    "stdout",
    rustix::stdio::stdout(),
    io::stdout()
);
output!(
    Stderr,
    StderrLock,
    "stderr",
    rustix::stdio::stderr(),
    io::stderr()
);
