//! `copy_bidirectional`: tokio's name, with a green thread for one of the directions.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::panic::resume_unwind;

use super::copy;
use crate::net::TcpStream;
use crate::os::unix::net::UnixStream;
use crate::thread::{CancelToken, scope};

/// Stream of which one thread can read while another writes, and whose writing half can be closed
/// alone. For [`copy_bidirectional`].
///
/// # Examples
///
/// ```
/// use rustlet::io::HalfClose;
/// use rustlet::net::TcpStream;
/// use std::io::{self, Read, Write};
///
/// /// Counts what it reads.
/// struct Counted(TcpStream, std::sync::atomic::AtomicUsize);
///
/// impl Read for &Counted {
///     fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
///         let count = (&self.0).read(buf)?;
///         self.1.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
///         Ok(count)
///     }
/// }
///
/// impl Write for &Counted {
///     fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
///         (&self.0).write(buf)
///     }
///     fn flush(&mut self) -> io::Result<()> {
///         (&self.0).flush()
///     }
/// }
///
/// impl HalfClose for Counted {
///     fn shutdown_write(&self) -> io::Result<()> {
///         self.0.shutdown_write()
///     }
/// }
/// ```
pub trait HalfClose {
    /// Closes the writing half: the peer reads the end of the data.
    ///
    /// # Errors
    ///
    /// Those of the system, such as [`NotConnected`](io::ErrorKind::NotConnected).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::io::HalfClose;
    /// use rustlet::os::unix::net::UnixStream;
    /// use std::io::Read;
    ///
    /// let (one, mut other) = UnixStream::pair()?;
    /// one.shutdown_write()?;
    /// assert_eq!(other.read(&mut [0])?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    fn shutdown_write(&self) -> io::Result<()>;
}

impl HalfClose for TcpStream {
    #[track_caller]
    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl HalfClose for UnixStream {
    #[track_caller]
    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Copies from `a` to `b` and from `b` to `a` at the same time, until both directions have ended.
/// Returns the numbers of bytes, in this order.
///
/// The end of one direction is passed on: the writing half of the other stream is closed, and the
/// other direction goes on.
///
/// # Errors
///
/// The first error of a direction; the other one ends then, wherever it is, and the streams stay
/// open. In a program that is built with `panic = "abort"` the other direction is waited for.
///
/// # Suspends
///
/// Suspends the calling green thread, which copies one direction; a green thread that it spawns
/// copies the other. Blocks an OS thread.
///
/// # Panics
///
/// Propagates a panic of the streams. Panics if no green thread can be spawned.
///
/// # Cancellation
///
/// Both directions end, and the caller unwinds. A part of what was read may not have been written.
///
/// # Examples
///
/// ```
/// use rustlet::io::copy_bidirectional;
/// use rustlet::os::unix::net::UnixStream;
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
///
/// rustlet::run(|| {
///     let (mut client, inside) = UnixStream::pair()?;
///     let (outside, mut server) = UnixStream::pair()?;
///     let proxy = rustlet::spawn(move || copy_bidirectional(&inside, &outside));
///
///     client.write_all(b"ping")?;
///     client.shutdown(Shutdown::Write)?;
///     let mut request = String::new();
///     server.read_to_string(&mut request)?;
///     server.write_all(b"pong!")?;
///     drop(server);
///     let mut answer = String::new();
///     client.read_to_string(&mut answer)?;
///
///     assert_eq!((&*request, &*answer), ("ping", "pong!"));
///     assert_eq!(proxy.join().unwrap()?, (4, 5));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: HalfClose + Sync + ?Sized,
    B: HalfClose + Sync + ?Sized,
    for<'a> &'a A: Read + Write,
    for<'b> &'b B: Read + Write,
{
    let token = CancelToken::new();
    let (there, back) = scope(|s| {
        let there = s.spawn(|| one_way(a, b, &token));
        let back = one_way(b, a, &token);
        match there.join() {
            Ok(there) => (there, back),
            Err(payload) => resume_unwind(payload),
        }
    });
    match (there, back) {
        (Ended::Copied(there), Ended::Copied(back)) => Ok((there, back)),
        (Ended::Failed(error), _) | (_, Ended::Failed(error)) => Err(error),
        (Ended::Stopped, _) | (_, Ended::Stopped) => unreachable!("a failure has stopped it"),
    }
}

/// How a direction has ended.
enum Ended {
    Copied(u64),
    Failed(io::Error),
    /// The other one has failed.
    Stopped,
}

/// Copies one direction, and stops the other one if it fails.
fn one_way<R, W>(from: &R, to: &W, token: &CancelToken) -> Ended
where
    R: ?Sized,
    W: HalfClose + ?Sized,
    for<'a> &'a R: Read,
    for<'b> &'b W: Write,
{
    /// If a stream panics, the other direction ends too.
    struct StopOther<'a>(Option<&'a CancelToken>);
    impl Drop for StopOther<'_> {
        fn drop(&mut self) {
            if let Some(token) = self.0 {
                token.cancel();
            }
        }
    }
    let one_way = || {
        let count = copy(&mut &*from, &mut &*to)?;
        (&mut &*to).flush()?;
        match to.shutdown_write() {
            // Its peer has gone, and needs no end.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(count),
            result => result.map(|()| count),
        }
    };
    let mut stop_other = StopOther(Some(token));
    let result = match cfg!(panic = "unwind") {
        true => token.run_until_cancelled(one_way),
        false => Some(one_way()),
    };
    if !matches!(result, Some(Err(_))) {
        stop_other.0 = None;
    }
    match result {
        Some(Ok(count)) => Ended::Copied(count),
        Some(Err(error)) => Ended::Failed(error),
        None => Ended::Stopped,
    }
}
