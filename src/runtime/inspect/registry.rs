//! Who is alive, where, and why: the list of green threads, and what is said of those that went wrong.

use std::fmt;
use std::io::Write as _;
use std::panic::Location;
use std::time::Duration;

use crate::green::block::blocks;
use crate::green::thread::ThreadId;
use crate::green::{Green, Home, Reason, State};
use crate::runtime::blocking::pool::Jam;
use crate::stack::overflow::{Overflowed, SignalWriter};
use crate::sys::clock;

/// What a green thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadState {
    /// It has not started: no worker has got to it yet.
    Unstarted,
    /// It may run and waits for its turn.
    Ready,
    /// It runs.
    Running,
    /// It waits for something.
    Waiting,
}

/// A green thread, as it was at some moment of the call of [`threads`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its number.
    pub id: ThreadId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned_at: Option<&'static Location<'static>>,
    /// What it is doing.
    pub state: ThreadState,
    /// What it waits in ("read", "sleep", …), or waited in last.
    pub waits_in: &'static str,
    /// Where that wait was called for.
    pub waits_at: Option<&'static Location<'static>>,
    /// For how long, about: workers look at the clock now and then only.
    pub since: Duration,
}

impl fmt::Display for ThreadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "green thread ")?;
        if let Some(name) = &self.name {
            write!(f, "'{name}' ")?;
        }
        write!(f, "{:?}", self.id)?;
        if let Some(at) = self.spawned_at {
            write!(f, ", spawned at {at}")?;
        }
        match self.state {
            ThreadState::Unstarted => write!(f, ", has not started"),
            ThreadState::Ready => write!(f, ", ready to run"),
            ThreadState::Running => write!(f, ", running"),
            ThreadState::Waiting => {
                write!(f, ", waits in {}", self.waits_in)?;
                if let Some(at) = self.waits_at {
                    write!(f, " at {at}")?;
                }
                write!(f, " for {:?}", self.since)
            }
        }
    }
}

/// Every green thread of the process that is alive, of all runtimes, by number. For dumps and diagnosis: it looks at each
/// of them, and takes a lock that spawning rarely needs.
///
/// ```
/// rustlet::run(|| {
///     let sleeper = rustlet::thread::Builder::new().name("sleeper".into()).spawn(rustlet::park).unwrap();
///     rustlet::yield_now();
///     let found = rustlet::runtime::threads();
///     assert!(found.iter().any(|thread| thread.name.as_deref() == Some("sleeper")));
///     sleeper.thread().unpark();
///     sleeper.join().unwrap();
/// });
/// ```
#[must_use]
#[track_caller]
pub fn threads() -> Vec<ThreadInfo> {
    crate::green::budget::spend_quietly(Location::caller());
    let now = clock::now();
    let mut list: Vec<_> = blocks::all()
        .iter()
        .filter_map(|green| describe(green, now))
        .collect();
    list.sort_by_key(|info| info.id.0);
    list
}

fn describe(green: &Green, now: clock::Tick) -> Option<ThreadInfo> {
    let state = match green.state() {
        State::New => ThreadState::Unstarted,
        State::Ready if green.reason() == Reason::None => ThreadState::Unstarted,
        State::Ready => ThreadState::Ready,
        State::Running => ThreadState::Running,
        State::Parked => ThreadState::Waiting,
        State::Done => return None,
    };
    Some(ThreadInfo {
        id: ThreadId(green.id()),
        name: green.name().map(String::from),
        spawned_at: green.born_at(),
        state,
        waits_in: green.reason().text(),
        waits_at: green.at(),
        since: Duration::from_nanos(now.saturating_sub(green.since())),
    })
}

/// Writes a line to stderr. A closed stderr is no reason to panic, in a destructor least of all.
pub(crate) fn say(line: &str) {
    let _unheard = writeln!(std::io::stderr(), "{line}");
}

/// The green threads of the runtime `group` that have not ended.
fn alive(group: usize) -> Vec<ThreadInfo> {
    let now = clock::now();
    let mut left: Vec<_> = blocks::all()
        .iter()
        .filter(|green| green.group() == group)
        .filter_map(|green| describe(green, now))
        .collect();
    left.sort_by_key(|info| info.id.0);
    left
}

/// How many there are and what became of them, then each, or the first of many.
fn list(f: &mut impl fmt::Write, left: &[ThreadInfo], fate: fmt::Arguments<'_>) -> fmt::Result {
    const SHOWN: usize = 20;
    write!(f, "rustlet: {} green threads {fate}:", left.len())?;
    for info in left.iter().take(SHOWN) {
        write!(f, "\n  {info}")?;
    }
    match left.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, "\n  … and {more} more"),
    }
}

/// Names on stderr what keeps a worker that is stepped by hand from ending, and with it the process.
pub(crate) fn report_refusing(group: usize, patience: Duration) {
    let mut text = String::new();
    let fate = format_args!(
        "of a Worker that was dropped were cancelled and have not ended within {patience:?}; aborting, because nobody \
         will step them any more"
    );
    // A `String` takes everything.
    let _written = list(&mut text, &alive(group), fate);
    say(&text);
}

/// Who has not ended when a runtime was [shut down](crate::Runtime::shutdown): cancelled, and left behind.
#[derive(Clone, Debug)]
pub struct ShutdownError {
    left: Vec<ThreadInfo>,
    patience: Duration,
}

impl ShutdownError {
    /// Those of the runtime `group` that are alive.
    pub(crate) fn new(group: usize, patience: Duration) -> ShutdownError {
        ShutdownError {
            left: alive(group),
            patience,
        }
    }

    /// The green threads, by number: what they are called, what they do, where they wait.
    ///
    /// ```
    /// use rustlet::{channel, park, shield, thread};
    /// use std::time::Duration;
    ///
    /// let runtime = rustlet::Builder::new().workers(1).build()?;
    /// runtime.run(|| {
    ///     let (sender, begun) = channel::unbounded::<()>();
    ///     thread::Builder::new().name("stubborn".into()).spawn(|| {
    ///         shield(|| {
    ///             drop(sender);
    ///             park();
    ///         });
    ///     })?;
    ///     assert!(begun.recv().is_err()); // disconnected: it has begun
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// let error = runtime.shutdown(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.threads()[0].name.as_deref(), Some("stubborn"));
    /// assert_eq!(error.threads()[0].waits_in, "park");
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn threads(&self) -> &[ThreadInfo] {
        &self.left
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patience = self.patience;
        list(
            f,
            &self.left,
            format_args!(
                "were cancelled and have not ended within {patience:?}; they are left behind"
            ),
        )
    }
}

impl std::error::Error for ShutdownError {}

/// Says on stderr that `green` has kept its worker for `span`.
pub(super) fn report_stuck(green: &Green, span: Duration) {
    let Some(info) = describe(green, clock::now()) else {
        return;
    };
    let waited = info.waits_at.filter(|_| green.reason() != Reason::None);
    let last = waited.map(|at| format!("; it last waited in {} at {at}", info.waits_in));
    say(&format!(
        "rustlet: {info}, has kept its worker for {span:?} without a wait{}. Others on that worker stand still: \
         let it call yield_now, or move the work to unblock",
        last.unwrap_or_default()
    ));
}

/// Says on stderr that blocking calls have waited for long to be made.
pub(super) fn report_jam(jam: &Jam) {
    let Jam {
        queued,
        longest,
        threads,
    } = jam;
    say(&format!(
        "rustlet: {queued} blocking calls (unblock, files, name look-ups) wait for a thread of the pool, the first for {longest:?}; \
         its {threads} threads are at other calls, or all that may look names up are. runtime::Builder::blocking_threads raises the limit"
    ));
}

/// For the report of an overflow, in a signal handler: no locks, no allocation.
pub(crate) fn describe_overflow(writer: &mut SignalWriter, overflowed: Overflowed) {
    let Some(home) = Home::get() else {
        writer.text(
            "a thread that is not green, reaching into the guard of a stack that is not its own,",
        );
        return;
    };
    let green = home.current();
    writer.text("green thread ");
    if let Some(name) = green.name() {
        writer.text("'");
        writer.text(name);
        writer.text("' ");
    }
    writer.text("ThreadId(");
    writer.number(green.id().get());
    writer.text(")");
    if let Some(at) = green.born_at() {
        writer.text(", spawned at ");
        writer.text(at.file());
        writer.text(":");
        writer.number(at.line().into());
        writer.text(":");
        writer.number(at.column().into());
        writer.text(",");
    }
    let _stack = overflowed.limit;
}
