//! [`Report`]: a problem of the program that the runtime noticed, and where reports are sent.

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

/// The kind of problem that a [`Report`] describes.
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{Builder, ReportKind};
///
/// let runtime = Builder::new()
///     .on_report(|report| match report.kind() {
///         ReportKind::Deadlock => eprintln!("a bug: {report}"),
///         _ => eprintln!("a warning: {report}"),
///     })
///     .build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// A green thread has kept its worker for a long time
    /// ([`Builder::watchdog`](crate::Builder::watchdog)).
    Stuck,
    /// Blocking calls have waited for a thread of the pool for a long time.
    PoolJam,
    /// Green threads can never continue ([`Builder::on_deadlock`](crate::Builder::on_deadlock)).
    Deadlock,
    /// Green threads did not end when their runtime was dropped, and were left behind.
    Leftover,
    /// A green thread has used more than four fifths of its stack
    /// ([`Builder::stack_size`](crate::Builder::stack_size)).
    ///
    /// It is checked when a thread ends, and reported once for each place that spawns.
    DeepStack,
    /// A server is out of file descriptors, or of memory for sockets.
    OutOfDescriptors,
}

/// A problem that a runtime noticed, passed to the hook of
/// [`Builder::on_report`](crate::Builder::on_report).
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{Builder, OnDeadlock, ReportKind};
/// use std::sync::{Arc, Mutex};
///
/// let reports = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&reports);
/// let runtime = Builder::new()
///     .on_report(move |report| log.lock().unwrap().push((report.kind(), report.to_string())))
///     .on_deadlock(OnDeadlock::Panic)
///     .build()?;
/// let deadlocked = std::panic::catch_unwind(|| {
///     runtime.run(|| {
///         let mutex = rustlet::sync::Mutex::new(());
///         let _first = mutex.lock();
///         let _second = mutex.lock();
///     })
/// });
/// assert!(deadlocked.is_err());
/// let reports = reports.lock().unwrap();
/// assert_eq!(reports[0].0, ReportKind::Deadlock);
/// assert!(reports[0].1.contains("waits for itself"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    kind: ReportKind,
    text: String,
}

impl Report {
    /// Returns the kind of the problem.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::runtime::{Builder, ReportKind};
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (log, kinds) = mpsc::channel();
    /// let runtime = Builder::new()
    ///     .watchdog(Duration::from_millis(10))
    ///     .on_report(move |report| drop(log.send(report.kind())))
    ///     .build()?;
    /// // This receive of std keeps the worker until the watchdog reports it.
    /// let kind = runtime.run(move || kinds.recv().unwrap());
    /// assert_eq!(kind, ReportKind::Stuck);
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn kind(&self) -> ReportKind {
        self.kind
    }
}

/// Writes the text that goes to stderr by default: one line or several, without the last line feed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

type Hook = dyn Fn(&Report) + Send + Sync;

/// Destination of a runtime's reports: stderr, or the hook of its builder.
#[derive(Clone, Default)]
pub(crate) struct Reporter(Option<Arc<Hook>>);

impl Reporter {
    pub(crate) fn new(hook: impl Fn(&Report) + Send + Sync + 'static) -> Reporter {
        Reporter(Some(Arc::new(hook)))
    }

    /// Returns whether reports go to stderr.
    pub(crate) fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// Sends a report. If a hook panics, the panic hook prints its message, and nothing else
    /// happens.
    pub(crate) fn report(&self, kind: ReportKind, text: &str) {
        let Some(hook) = &self.0 else {
            return eprintln_lossy(text);
        };
        let report = Report {
            kind,
            text: text.to_owned(),
        };
        let _panicked = catch_unwind(AssertUnwindSafe(|| hook(&report)));
    }
}

// A hook that panics has its panic contained, and what it captured is its own: a runtime stays as
// unwind safe as it is without one.
impl UnwindSafe for Reporter {}
impl RefUnwindSafe for Reporter {}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = if self.is_default() {
            "stderr"
        } else {
            "a hook"
        };
        f.debug_tuple("Reporter").field(&to).finish()
    }
}

/// Writes a line to stderr, and ignores errors: a closed stderr is no reason to panic, least of all
/// in a destructor.
pub(crate) fn eprintln_lossy(line: &str) {
    let _unheard = writeln!(std::io::stderr(), "{line}");
}
