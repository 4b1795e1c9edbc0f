//! `pipe`: std's, with ends that suspend.
//!
//! The ends are files that wait in the reactor and stay in blocking mode, so they can be passed to
//! a child process as they are.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use super::file::poll::{poll_read_methods, poll_write_methods};
use crate::fs::File;

/// Creates a pipe and returns its two ends. Both are close-on-exec.
///
/// # Errors
///
/// Returns an error if the process is out of descriptors, or the user out of memory for pipes.
///
/// # Examples
///
/// ```
/// use rustlet::io::{self, Read, Write};
///
/// rustlet::run(|| {
///     let (mut reader, mut writer) = io::pipe()?;
///     rustlet::spawn(move || writer.write_all(b"through"));
///     let mut text = String::new();
///     reader.read_to_string(&mut text)?;
///     assert_eq!(text, "through");
///     io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
    let (reader, writer) = io::pipe()?;
    Ok((
        PipeReader(OwnedFd::from(reader).into()),
        PipeWriter(OwnedFd::from(writer).into()),
    ))
}

/// Reading end of a pipe: [`std::io::PipeReader`] for green threads; returned by [`pipe`].
///
/// # Examples
///
/// ```
/// use rustlet::io::{PipeReader, PipeWriter, Read, Write};
///
/// let (mut reader, mut writer): (PipeReader, PipeWriter) = rustlet::io::pipe()?;
/// writer.write_all(b"x")?;
/// assert_eq!(reader.read(&mut [0; 8])?, 1);
/// # std::io::Result::Ok(())
/// ```
pub struct PipeReader(File);

/// Writing end of a pipe: [`std::io::PipeWriter`] for green threads; returned by [`pipe`].
///
/// # Examples
///
/// ```
/// use rustlet::io::{Read, Write};
///
/// let (mut reader, writer) = rustlet::io::pipe()?;
/// drop(writer);
/// assert_eq!(reader.read(&mut [0])?, 0); // The end.
/// # std::io::Result::Ok(())
/// ```
pub struct PipeWriter(File);

macro_rules! end {
    ($name:ident) => {
        impl $name {
            /// Creates a second handle to the same end.
            ///
            /// # Errors
            ///
            /// Returns an error if the process is out of descriptors.
            ///
            /// # Examples
            ///
            /// ```
            /// let (reader, writer) = rustlet::io::pipe()?;
            /// let more = (reader.try_clone()?, writer.try_clone()?);
            /// # drop(more);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn try_clone(&self) -> io::Result<$name> {
                crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
                self.0.try_clone().map($name)
            }
        }

        /// Formats the end as std does.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let fd = self.0.as_raw_fd();
                f.debug_tuple(stringify!($name))
                    .field(&format_args!("FileDesc(OwnedFd {{ fd: {fd} }})"))
                    .finish()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                $name(fd.into())
            }
        }

        impl From<$name> for OwnedFd {
            fn from(end: $name) -> OwnedFd {
                end.0.into()
            }
        }

        impl From<std::io::$name> for $name {
            fn from(end: std::io::$name) -> $name {
                OwnedFd::from(end).into()
            }
        }

        impl From<$name> for std::io::$name {
            fn from(end: $name) -> std::io::$name {
                OwnedFd::from(end).into()
            }
        }

        impl From<$name> for Stdio {
            fn from(end: $name) -> Stdio {
                OwnedFd::from(end).into()
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_raw_fd()
            }
        }

        /// Creates an end like [`From<OwnedFd>`].
        #[allow(unsafe_code, reason = "the trait's method is unsafe")]
        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> $name {
                // SAFETY: the caller promises that `fd` is open and owned, as std's contract
                // requires.
                $name::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    };
}

end!(PipeReader);
end!(PipeWriter);
poll_read_methods!(
    PipeReader,
    |this| this.0,
    r#"{
        let (reader, mut writer) = rustlet::io::pipe()?;
        std::io::Write::write_all(&mut writer, b"hello")?;
        reader
    }"#
);
poll_write_methods!(
    PipeWriter,
    |this| this.0,
    "{
        let (reader, writer) = rustlet::io::pipe()?;
        rustlet::spawn(move || std::io::read_to_string(reader));
        writer
    }"
);

/// Suspends until there is data, or all writers are dropped (0).
impl Read for &PipeReader {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.0).read_vectored(bufs)
    }
}

/// Reads like `&PipeReader`.
impl Read for PipeReader {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.0).read_vectored(bufs)
    }
}

/// Suspends until the pipe has taken all data.
impl Write for &PipeWriter {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes like `&PipeWriter`.
impl Write for PipeWriter {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
