//! Traces: a timeline of what each worker and each green thread did, for
//! [Perfetto](https://ui.perfetto.dev) and `chrome://tracing`.
//!
//! A trace has one track for each worker. The track shows which green thread ran at each moment,
//! and where and why it waited afterwards. An arrow shows which thread, timer or descriptor woke
//! it. A trace also shows spawns, the times at which workers slept, the calls on the blocking pool,
//! and the moments at which a worker gave the memory of unused stacks back. [Reading a
//! timeline](crate::guide::timeline) walks through one.
//!
//! To record a program without changing its code, start it with the environment variable
//! `RUSTLET_TRACE=trace.json`. The recording begins with the first runtime. `%p` in the name is
//! replaced by the process id, so that child processes, which inherit the variable, write their own
//! files.
//!
//! To record a part of a program, call [`start`]. It returns a [`Trace`], which writes its file
//! when it is finished or dropped.
//!
//! # At the end of the process
//!
//! A trace that was not finished is written when the process ends:
//!
//! - when `main` returns or panics, or at [`std::process::exit`];
//! - by `SIGINT` (Ctrl-C), `SIGTERM`, `SIGHUP` or `SIGQUIT`, where the program neither handles nor
//!   ignores that signal. A second one ends the process at once;
//! - by [`std::process::abort`], a panic in a program that is built with `panic = "abort"`, a
//!   second panic during unwinding, or a stack overflow. The abort waits until the file is written,
//!   at most for ten seconds.
//!
//! The first recording of a process installs handlers for these signals, where there are none, and
//! starts an OS thread that writes the file. No handler writes it. Signals that the program
//! handles, also later, are left to it. These work on Linux.
//!
//! No file can be written after `SIGKILL`, after a segmentation fault, or at `_exit`; then it is an
//! empty trace, or what [`Trace::flush`] has written.
//!
//! # Memory and cost
//!
//! Each worker keeps its newest 262,144 records in its own buffer of 12 MiB. All other OS threads
//! together keep at most as many. Older records are overwritten; [`Summary::lost`] counts them.
//! [`Options::records`] sets another number.
//!
//! While no trace is recorded, a switch between green threads costs nothing extra, and a wake-up or
//! a spawn costs one branch. While a trace is recorded, a record takes no lock and no system call.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::green::WorkerContext;
use crate::runtime::blocking;
use crate::runtime::trace::{DEFAULT_RECORDS, Recording};
use crate::thread::shield;

pub use crate::runtime::trace::Summary;

/// Starts to record a trace, which will be written to the file `path`.
///
/// The file is created at once, as an empty trace; an existing file is overwritten.
/// [`Trace::finish`] writes the records. The trace covers all runtimes of the process, not only the
/// caller's. The call does not suspend: it creates the file on the calling OS thread.
///
/// # Errors
///
/// Returns an error if the file cannot be created, or if a trace is already being recorded
/// ([`ResourceBusy`](io::ErrorKind::ResourceBusy)), for example because of `RUSTLET_TRACE`.
///
/// # Examples
///
/// ```
/// # let path = std::env::temp_dir().join(format!("rustlet-doc-{}.json", std::process::id()));
/// let trace = rustlet::trace::start(&path)?;
/// rustlet::run(|| {
///     rustlet::spawn(|| "hello").join().unwrap();
/// });
/// let summary = trace.finish()?;
/// assert!(summary.written > 0 && summary.lost == 0);
/// assert!(std::fs::read_to_string(&path)?.contains("main"));
/// # std::fs::remove_file(path)?;
/// # std::io::Result::Ok(())
/// ```
pub fn start(path: impl AsRef<Path>) -> io::Result<Trace> {
    Options::new().start(path)
}

/// Settings of a trace: how many records are kept.
///
/// # Examples
///
/// ```
/// # let path = std::env::temp_dir().join(format!("rustlet-doc-o-{}.json", std::process::id()));
/// // The last few moments only.
/// let trace = rustlet::trace::Options::new().records(1 << 12).start(&path)?;
/// rustlet::run(|| {
///     for _ in 0..10_000 {
///         rustlet::yield_now();
///     }
/// });
/// assert!(trace.finish()?.lost > 5_000);
/// # std::fs::remove_file(path)?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    records: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// Creates the default settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rustlet-doc-n-{}.json", std::process::id()));
    /// let trace = rustlet::trace::Options::new().start(&path)?;
    /// rustlet::run(rustlet::yield_now);
    /// assert_eq!(trace.finish()?.lost, 0);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn new() -> Options {
        Options {
            records: DEFAULT_RECORDS,
        }
    }

    /// Sets how many records each worker keeps. The number is rounded up to a power of two, and to
    /// at least 1,024. A record takes 48 bytes. The default is 262,144.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rustlet-doc-r-{}.json", std::process::id()));
    /// let trace = rustlet::trace::Options::new().records(1 << 10).start(&path)?;
    /// rustlet::run(|| (0..5_000).for_each(|_| rustlet::yield_now()));
    /// // The newest are in the file.
    /// assert!(trace.finish()?.lost > 1_000);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn records(mut self, count: usize) -> Options {
        self.records = count;
        self
    }

    /// Starts to record, like the function [`start`](start()).
    ///
    /// # Errors
    ///
    /// The same as those of the function [`start`](start()).
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rustlet-doc-st-{}.json", std::process::id()));
    /// use rustlet::trace::Options;
    ///
    /// let trace = Options::new().start(&path)?;
    /// // One at a time.
    /// assert!(Options::new().start(&path).is_err());
    /// drop(trace);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn start(&self, path: impl AsRef<Path>) -> io::Result<Trace> {
        let recording = Recording::start(path.as_ref(), self.records, 0)?;
        Ok(Trace {
            recording: Some(recording),
        })
    }
}

/// A trace that is being recorded, returned by [`start`].
///
/// Dropping it finishes the trace, and reports an error on stderr. If it is neither finished nor
/// dropped, the file is written when the process exits.
///
/// # Examples
///
/// ```
/// # let path = std::env::temp_dir().join(format!("rustlet-doc-t-{}.json", std::process::id()));
/// let trace: rustlet::trace::Trace = rustlet::trace::start(&path)?;
/// rustlet::run(rustlet::yield_now);
/// drop(trace);
/// assert!(std::fs::read_to_string(&path)?.contains("main"));
/// # std::fs::remove_file(path)?;
/// # std::io::Result::Ok(())
/// ```
#[must_use = "the trace ends when it is dropped"]
pub struct Trace {
    /// `None` once it is finished.
    recording: Option<Arc<Recording>>,
}

impl Trace {
    /// Stops recording, writes the file, and returns how many records are in it.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written, or if no OS thread can be created for the
    /// blocking pool. It records no more in either case.
    ///
    /// # Suspends
    ///
    /// On a green thread the file is written on the blocking pool, and the caller suspends until
    /// that is done. On an OS thread the call blocks.
    ///
    /// # Cancellation
    ///
    /// A cancellation of the caller does not end the call. The caller unwinds at its next wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rustlet-doc-f-{}.json", std::process::id()));
    /// let trace = rustlet::trace::start(&path)?;
    /// rustlet::run(rustlet::yield_now);
    /// println!("{} records", trace.finish()?.written);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn finish(mut self) -> io::Result<Summary> {
        match self.recording.take() {
            Some(recording) => finish(&recording),
            None => unreachable!("only `finish` and `drop` take the recording"),
        }
    }

    /// Writes what was recorded so far to the file, and continues to record.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written, or if no OS thread can be created for the
    /// blocking pool.
    ///
    /// # Suspends
    ///
    /// Like [`finish`](Trace::finish).
    ///
    /// # Cancellation
    ///
    /// Like [`finish`](Trace::finish).
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rustlet-doc-fl-{}.json", std::process::id()));
    /// let trace = rustlet::trace::start(&path)?;
    /// rustlet::run(rustlet::yield_now);
    /// let before = trace.flush()?;
    /// rustlet::run(rustlet::yield_now);
    /// assert!(trace.finish()?.written > before.written);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn flush(&self) -> io::Result<Summary> {
        match self.recording.clone() {
            Some(recording) => aside(move || recording.flush()),
            None => unreachable!("only `finish` and `drop` take the recording"),
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(recording) = self.recording.take()
            && let Err(error) = finish(&recording)
        {
            recording.report(&error);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

fn finish(recording: &Arc<Recording>) -> io::Result<Summary> {
    let its = Arc::clone(recording);
    let result = aside(move || its.finish());
    // Also if there was no OS thread for the call.
    recording.stop();
    result
}

/// Calls `f`: from a green thread, on the blocking pool and shielded; from an OS thread, in place.
fn aside<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match WorkerContext::get() {
        Some(_) => shield(|| blocking::run(f))?,
        None => f(),
    }
}
