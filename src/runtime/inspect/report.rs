//! [`Report`]: what a runtime has to say of a program that goes wrong, and where it says it.

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a [`Report`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// A green thread has kept its worker for long
    /// ([`Builder::watchdog`](crate::Builder::watchdog)).
    Stuck,
    /// Blocking calls have waited for a thread of the pool for long.
    PoolJam,
    /// Green threads can never go on ([`Builder::on_deadlock`](crate::Builder::on_deadlock)).
    Deadlock,
    /// Green threads had not ended when their runtime was dropped, and were left behind.
    Leftover,
    /// A server is out of file descriptors, or of memory for sockets.
    OutOfDescriptors,
}

/// What a runtime has noticed, for [`Builder::on_report`](crate::Builder::on_report).
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
    /// Returns what the report is about.
    #[must_use]
    pub fn kind(&self) -> ReportKind {
        self.kind
    }
}

/// The text that is written to stderr by default: one line, or several, without the last line feed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

type Hook = dyn Fn(&Report) + Send + Sync;

/// Where the reports of a runtime go: to stderr, unless its builder has said otherwise.
#[derive(Clone, Default)]
pub(crate) struct Reporter(Option<Arc<Hook>>);

impl Reporter {
    pub(crate) fn new(hook: impl Fn(&Report) + Send + Sync + 'static) -> Reporter {
        Reporter(Some(Arc::new(hook)))
    }

    /// Whether reports go to stderr.
    pub(crate) fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// Makes a report. A hook that panics has its message printed, and nothing else happens.
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

/// Writes a line to stderr. A closed stderr is no reason to panic, in a destructor least of all.
pub(crate) fn eprintln_lossy(line: &str) {
    let _unheard = writeln!(std::io::stderr(), "{line}");
}
