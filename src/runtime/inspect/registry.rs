//! The list of green threads that are alive, and the texts of reports about them.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "backtrace")]
use super::backtrace::{Backtrace, Tracer};
use super::channel_words::{self, ChannelState};
use super::report::{ReportKind, Reporter, eprintln_lossy};
use super::wait_graph::{self, Holder};
use crate::green::block::slab;
use crate::green::thread::ThreadId;
use crate::green::{Reason, State, ThreadInner, ThreadRef, WorkerContext};
use crate::runtime::blocking::pool::{Backlog, CallPlace};
use crate::runtime::scheduler::shared::{self, Shared};
use crate::shim::lock;
use crate::stack::overflow::{Overflowed, SignalWriter};
use crate::stack::{self, StackUse};
use crate::sys::clock::{self, NEVER};
use crate::sys::mem::Peek;
use crate::sys::os_threads::{self, Doing};
use crate::sys::sock;

/// The state of a green thread.
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{ThreadState, threads};
///
/// rustlet::run(|| {
///     let me = rustlet::current().id();
///     let threads = threads();
///     let mine = threads.iter().find(|thread| thread.id == me).unwrap();
///     assert_eq!(mine.state, ThreadState::Running);
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadState {
    /// It has not started: no worker has taken it yet.
    Unstarted,
    /// It is ready to run.
    Ready,
    /// It is running.
    Running,
    /// It waits for something.
    Waiting,
}

/// Snapshot of one green thread, returned by [`threads`].
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{ThreadState, threads};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
///     // Prints what each thread that waits is waiting in, and where.
///     for thread in threads() {
///         if thread.state == ThreadState::Waiting {
///             let place = thread.waits_at.map(ToString::to_string).unwrap_or_default();
///             println!("{:?}: {} at {place}", thread.id, thread.waits_in);
///         }
///     }
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its number.
    pub id: ThreadId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned_at: Option<&'static Location<'static>>,
    /// Its state.
    pub state: ThreadState,
    /// The operation that it waits in ("read", "sleep", …), or waited in last.
    pub waits_in: &'static str,
    /// The place in the source that called for that wait.
    pub waits_at: Option<&'static Location<'static>>,
    /// How long, approximately, it has been in this state: workers read the clock only now and
    /// then.
    pub since: Duration,
    /// How much longer the wait lasts at most: until its timer, or until the limit of the call or
    /// of a [`timeout`](crate::timeout) around it. `None` if nothing limits it.
    pub limit: Option<Duration>,
    /// The object that it waits for, as far as that is known.
    pub waits_for: Option<WaitsFor>,
    /// The bytes that it has used of its stack, at the deepest so far.
    ///
    /// These are the pages of the stack that are in memory, so it may be too much if an earlier
    /// thread has used the same stack. `None` before its start, if the system does not tell, and
    /// after the first 10,000 threads.
    pub stack_used: Option<usize>,
    /// The bytes of its stack; `None` where `stack_used` is.
    pub stack_size: Option<usize>,
    /// Index of the worker that it lives on; `None` before its start.
    pub worker: Option<usize>,
    /// The number of its runtime.
    pub(super) runtime: usize,
    /// When the state began, by the clock of its worker: different for each wait of it.
    #[cfg(feature = "backtrace")]
    pub(super) moment: clock::Tick,
    #[cfg(feature = "backtrace")]
    pub(super) backtrace: Option<Backtrace>,
}

/// The object that a green thread waits for, part of a [`ThreadInfo`].
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{WaitsFor, threads};
///
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// runtime.run(|| {
///     let first = rustlet::spawn(rustlet::park);
///     let parked = first.thread().clone();
///     let second = rustlet::spawn(move || first.join().unwrap());
///     // With one worker: returns when both wait.
///     rustlet::wait_idle();
///     let threads = threads();
///     let info = threads.iter().find(|thread| thread.id == second.thread().id()).unwrap();
///     assert_eq!(info.waits_for, Some(WaitsFor::EndOf { id: parked.id(), name: None }));
///     parked.unpark();
///     second.join().unwrap();
/// });
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A lock that a green thread holds; an [`RwLock`](crate::sync::RwLock) is held for writing.
    LockOf {
        /// The holder.
        id: ThreadId,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A lock that an OS thread holds.
    LockOfOsThread,
    /// An [`RwLock`](crate::sync::RwLock) that readers hold. Only the last reader that took it is
    /// known, and that one may have released it.
    LockOfReaders {
        /// The green thread that took it last.
        last: Option<ThreadId>,
    },
    /// The end of a green thread.
    EndOf {
        /// That thread.
        id: ThreadId,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A descriptor.
    #[non_exhaustive]
    Descriptor {
        /// Its number.
        fd: i32,
        /// The system's description of it, such as `socket 127.0.0.1:80 with 127.0.0.1:51234` or
        /// `/dev/pts/0`.
        text: Option<String>,
    },
    /// A channel. Threads that wait for the same one have the same number.
    #[non_exhaustive]
    Channel {
        /// Where the channel lies in memory.
        address: usize,
        /// What is in it and how many threads wait for it; `None` if that could not be read.
        state: Option<ChannelState>,
    },
    /// A call on the pool for blocking calls that no thread of the pool has taken yet.
    #[non_exhaustive]
    QueuedCall {
        /// How many calls are queued before it. Some may have been given up.
        ahead: usize,
    },
    /// A call that a thread of the pool for blocking calls is making.
    #[non_exhaustive]
    RunningCall {
        /// The system's number of that OS thread.
        os_thread: i32,
        /// What it does, according to the system: it runs, or it waits, and in which system call.
        os_state: Option<String>,
    },
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::LockOf { id, name } => {
                write!(f, "held by ")?;
                write_thread(f, *id, name.as_deref())
            }
            WaitsFor::LockOfOsThread => write!(f, "held by an OS thread"),
            WaitsFor::LockOfReaders { last: Some(last) } => {
                write!(f, "held by readers, the last of them {last:?}")
            }
            WaitsFor::LockOfReaders { last: None } => write!(f, "held by readers"),
            WaitsFor::EndOf { id, name } => {
                write!(f, "for the end of ")?;
                write_thread(f, *id, name.as_deref())
            }
            WaitsFor::Descriptor { fd, text } => {
                write!(f, "on descriptor {fd}")?;
                match text {
                    Some(text) => write!(f, " ({text})"),
                    None => Ok(()),
                }
            }
            WaitsFor::Channel { address, state } => {
                write!(f, "on channel {address:#x}")?;
                match state {
                    Some(state) => write!(f, " ({state})"),
                    None => Ok(()),
                }
            }
            WaitsFor::QueuedCall { ahead } => write!(f, "queued behind {ahead} calls"),
            WaitsFor::RunningCall {
                os_thread,
                os_state,
            } => {
                write!(f, "made by OS thread {os_thread}")?;
                match os_state {
                    Some(state) => write!(f, " ({state})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Writes the name and the number of a green thread, as every report names one.
pub(super) fn write_thread(
    f: &mut impl fmt::Write,
    id: ThreadId,
    name: Option<&str>,
) -> fmt::Result {
    write!(f, "green thread ")?;
    if let Some(name) = name {
        write!(f, "'{name}' ")?;
    }
    write!(f, "{id:?}")
}

#[cfg(feature = "backtrace")]
impl ThreadInfo {
    /// Returns the calls that the thread waits in, if it still is in the wait that this describes;
    /// otherwise `None`.
    ///
    /// The thread is neither resumed nor held up: its stack is copied, and the copy is unwound. A
    /// thread that is ready to run again has a backtrace, too; one that runs, or has not started,
    /// has none. [`dump`](crate::dump) takes some backtraces itself, and these are returned
    /// whatever the thread does now.
    ///
    /// The first call in a process reads the program's debug information, which takes longer than
    /// the later ones. Needs the feature `backtrace`.
    ///
    /// # Suspends
    ///
    /// Does not suspend.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(rustlet::park);
    ///     rustlet::yield_now();
    ///     for info in rustlet::runtime::threads() {
    ///         if let Some(backtrace) = info.backtrace() {
    ///             println!("{info}\n{backtrace}");
    ///         }
    ///     }
    ///     thread.thread().unpark();
    ///     thread.join().unwrap();
    /// });
    /// ```
    #[must_use]
    pub fn backtrace(&self) -> Option<Backtrace> {
        if self.backtrace.is_some() || !self.may_be_suspended() {
            return self.backtrace.clone();
        }
        let mut tracer = Tracer::new().ok()?;
        let found = slab::all_while(|green| green.id() != self.id.0);
        let green = found.last().filter(|green| green.id() == self.id.0)?;
        tracer.trace(green, self.moment)
    }

    fn may_be_suspended(&self) -> bool {
        matches!(self.state, ThreadState::Waiting | ThreadState::Ready)
    }
}

/// Takes the backtraces of the wanted threads, as far as they are in the wait that was described.
#[cfg(feature = "backtrace")]
pub(super) fn trace(threads: &mut [ThreadInfo], is_wanted: impl Fn(&ThreadInfo) -> bool) {
    let Ok(mut tracer) = Tracer::new() else {
        return;
    };
    let by_id: HashMap<NonZeroU64, ThreadRef> = (slab::all().into_iter())
        .map(|green| (green.id(), green))
        .collect();
    for info in threads.iter_mut() {
        if info.may_be_suspended()
            && is_wanted(info)
            && let Some(green) = by_id.get(&info.id.0)
        {
            info.backtrace = tracer.trace(green, info.moment);
        }
    }
}

impl fmt::Display for ThreadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_thread(f, self.id, self.name.as_deref())?;
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
                write!(f, " for {:?}", self.since)?;
                if let Some(limit) = self.limit {
                    write!(f, " and at most {limit:.1?} more")?;
                }
                match &self.waits_for {
                    Some(what) => write!(f, ", {what}"),
                    None => Ok(()),
                }
            }
        }?;
        match self.stack_use() {
            Some(stack) if stack.is_nearly_full() => write!(f, "; it has {}", in_kib(stack)),
            _ => Ok(()),
        }
    }
}

impl ThreadInfo {
    fn stack_use(&self) -> Option<StackUse> {
        Some(StackUse {
            used: self.stack_used?,
            usable: self.stack_size?,
            may_be_older: true,
        })
    }
}

fn in_kib(StackUse { used, usable, .. }: StackUse) -> String {
    format!(
        "used {} of the {} KiB of its stack",
        used >> 10,
        usable >> 10
    )
}

/// Returns a snapshot of every green thread of the process that is alive, sorted by number.
///
/// The list covers all runtimes. It is for dumps and diagnosis: it visits each thread and takes a
/// lock that spawning rarely needs.
///
/// # Suspends
///
/// Does not suspend.
///
/// # Examples
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
    crate::green::budget::poll_budget_quietly(Location::caller());
    describe_all(|_| true)
}

/// State of one pass over the green threads of the process.
struct Survey {
    by_block: HashMap<usize, ThreadRef>,
    runtimes: Vec<Arc<Shared>>,
    /// `None` if no descriptor was available; then the holders of locks stay unknown.
    peek: Option<Peek>,
    /// Number of descriptors that were described.
    described: usize,
    /// By address: a channel has one state for all threads that wait for it.
    channels: HashMap<usize, Option<ChannelState>>,
    /// Number of stacks that were measured.
    measured: usize,
}

/// Maximum number of threads per pass whose stacks are measured, at some 2 µs each.
const MAX_MEASURED: usize = 10_000;

/// Maximum number of descriptors per pass for which the system is asked for a description.
const MAX_DESCRIBED: usize = 1000;

/// Returns the live threads that `is_wanted` selects, with what they wait for.
pub(super) fn describe_all(is_wanted: impl Fn(&ThreadInner) -> bool) -> Vec<ThreadInfo> {
    let now = clock::now();
    let mut survey = Survey {
        by_block: (slab::all().into_iter())
            .map(|green| (std::ptr::from_ref::<ThreadInner>(&green).addr(), green))
            .collect(),
        runtimes: shared::runtimes(),
        peek: Peek::new().ok(),
        described: 0,
        channels: HashMap::new(),
        measured: 0,
    };
    let wanted: Vec<ThreadRef> = (survey.by_block.values())
        .filter(|green| is_wanted(green))
        .cloned()
        .collect();
    let mut list: Vec<ThreadInfo> = wanted
        .iter()
        .filter_map(|green| survey.describe(green, now))
        .collect();
    list.sort_by_key(|info| info.id.0);
    list
}

impl Survey {
    fn describe(&mut self, green: &ThreadInner, now: clock::Tick) -> Option<ThreadInfo> {
        let since = green.since();
        let mut info = describe(green, now)?;
        let runtime = self
            .runtimes
            .iter()
            .find(|runtime| runtime.group == green.group());
        info.worker = runtime.and_then(|runtime| runtime.worker_with(green.remote()));
        if info.state == ThreadState::Waiting {
            let waits_for = self.waits_for(green);
            let deadline = green.deadline();
            // WG2 in `wait_graph.rs`.
            if green.state() == State::Parked && green.since() == since {
                info.waits_for = waits_for;
                info.limit = (deadline != NEVER)
                    .then(|| Duration::from_nanos(deadline.saturating_sub(clock::now())));
            }
        }
        if info.state != ThreadState::Unstarted && self.measured < MAX_MEASURED {
            self.measured += 1;
            let used = stack::used_at(green.stack_top().wrapping_sub(1));
            info.stack_used = used.map(|used| used.used);
            info.stack_size = used.map(|used| used.usable);
        }
        Some(info)
    }

    fn waits_for(&mut self, green: &ThreadInner) -> Option<WaitsFor> {
        match green.reason() {
            Reason::Join | Reason::Mutex | Reason::RwLock => self.holder(green),
            Reason::Send | Reason::Receive => match green.subject() {
                0 => None,
                address => Some(WaitsFor::Channel {
                    address,
                    state: self.channel(address),
                }),
            },
            Reason::Blocking | Reason::File | Reason::LookUp => {
                let number = green.subject().checked_sub(1)? as u64;
                let mut runtimes = self.runtimes.iter();
                let runtime = runtimes.find(|runtime| runtime.group == green.group())?;
                Some(match runtime.pool.find(number)? {
                    CallPlace::Queued { ahead } => WaitsFor::QueuedCall { ahead },
                    CallPlace::Running { os_thread } => WaitsFor::RunningCall {
                        os_thread,
                        os_state: os_threads::doing(os_thread).map(|doing| doing.to_string()),
                    },
                })
            }
            Reason::Read | Reason::Write | Reason::Accept | Reason::Connect | Reason::Readiness => {
                let fd = i32::try_from(green.subject().checked_sub(1)?).ok()?;
                self.described += 1;
                let is_asked = self.described <= MAX_DESCRIBED;
                Some(WaitsFor::Descriptor {
                    fd,
                    text: is_asked.then(|| sock::describe(fd)).flatten(),
                })
            }
            _ => None,
        }
    }

    fn channel(&mut self, address: usize) -> Option<ChannelState> {
        let peek = self.peek.as_mut()?;
        let read = || channel_words::read(peek, address);
        self.channels.entry(address).or_insert_with(read).clone()
    }

    fn holder(&mut self, green: &ThreadInner) -> Option<WaitsFor> {
        let holder = wait_graph::holder(self.peek.as_mut()?, green);
        match holder {
            Holder::Thread(block) => self.by_block.get(&block).map(|green| WaitsFor::LockOf {
                id: ThreadId(green.id()),
                name: green.name().map(String::from),
            }),
            Holder::Readers(block) => Some(WaitsFor::LockOfReaders {
                last: self.by_block.get(&block).map(|green| ThreadId(green.id())),
            }),
            Holder::OsThread => Some(WaitsFor::LockOfOsThread),
            Holder::EndOf(id) => {
                let found = self.by_block.values().find(|green| green.id().get() == id);
                Some(WaitsFor::EndOf {
                    id: ThreadId(NonZeroU64::new(id)?),
                    name: found.and_then(|green| green.name().map(String::from)),
                })
            }
            Holder::EndOfScope(_) | Holder::Unknown => None,
        }
    }
}

pub(super) fn describe(green: &ThreadInner, now: clock::Tick) -> Option<ThreadInfo> {
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
        spawned_at: green.spawned_at(),
        state,
        waits_in: green.reason().text(),
        waits_at: green.at(),
        since: Duration::from_nanos(now.saturating_sub(green.since())),
        limit: None,
        waits_for: None,
        stack_used: None,
        stack_size: None,
        worker: None,
        runtime: green.group(),
        #[cfg(feature = "backtrace")]
        moment: green.since(),
        #[cfg(feature = "backtrace")]
        backtrace: None,
    })
}

/// Returns the green threads of the runtime `group` that have not ended.
pub(super) fn alive(group: usize) -> Vec<ThreadInfo> {
    describe_all(|green| green.group() == group)
}

/// Writes the number of threads and what became of them, then each thread, or the first ones of
/// many.
fn list(f: &mut impl fmt::Write, left: &[ThreadInfo], fate: fmt::Arguments<'_>) -> fmt::Result {
    write!(f, "rustlet: {} green threads {fate}:", left.len())?;
    list_some(f, left)
}

/// Writes each thread on a line of its own, or the first ones of many.
pub(super) fn list_some(f: &mut impl fmt::Write, left: &[ThreadInfo]) -> fmt::Result {
    const MAX_SHOWN: usize = 20;
    for info in left.iter().take(MAX_SHOWN) {
        write!(f, "\n  {info}")?;
    }
    match left.len().saturating_sub(MAX_SHOWN) {
        0 => Ok(()),
        more => write!(f, "\n  … and {more} more"),
    }
}

/// Names on stderr the threads that keep a stepped worker from ending, before the process aborts.
pub(crate) fn report_refusing(group: usize, timeout: Duration) {
    let mut text = String::new();
    let fate = format_args!(
        "of a Worker that was dropped were cancelled and have not ended within {timeout:?}; aborting, because no \
         caller can step them any more"
    );
    // A `String` takes everything.
    let _written = list(&mut text, &alive(group), fate);
    eprintln_lossy(&text);
}

/// Error returned when threads did not end within the timeout of a
/// [shutdown](crate::Runtime::shutdown).
///
/// These threads were cancelled, and left behind.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// let (sender, receiver) = rustlet::channel::bounded(0);
/// runtime.spawn(move || {
///     rustlet::shield(|| {
///         sender.send("begun").unwrap();
///         rustlet::park();
///     });
/// });
/// assert_eq!(receiver.recv(), Ok("begun"));
/// let error = runtime.shutdown(Duration::from_millis(1)).unwrap_err();
/// assert_eq!(error.threads().len(), 1);
/// eprintln!("{error}");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct ShutdownError {
    left: Vec<ThreadInfo>,
    timeout: Duration,
}

impl ShutdownError {
    /// Lists the threads of the runtime `group` that are alive.
    pub(crate) fn new(group: usize, timeout: Duration) -> ShutdownError {
        ShutdownError {
            left: alive(group),
            timeout,
        }
    }

    /// Returns the green threads that were left behind, sorted by number.
    ///
    /// # Examples
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
        let timeout = self.timeout;
        list(
            f,
            &self.left,
            format_args!(
                "were cancelled and have not ended within {timeout:?}; they are left behind"
            ),
        )
    }
}

impl std::error::Error for ShutdownError {}

/// Reports that `green` has kept its worker for `span`, and what its OS thread does.
pub(super) fn report_stuck(
    reporter: &Reporter,
    green: &ThreadInner,
    span: Duration,
    os_thread: Option<i32>,
) {
    let Some(info) = describe(green, clock::now()) else {
        return;
    };
    let waited = info.waits_at.filter(|_| green.reason() != Reason::None);
    let last = waited.map(|at| format!("; it last waited in {} at {at}", info.waits_in));
    let doing = match os_thread.and_then(os_threads::doing) {
        None => String::from("let it call yield_now, or move the work to unblock"),
        Some(Doing::Computing) => {
            String::from("it computes: let it call yield_now, or move the work to unblock")
        }
        Some(Doing::Waiting {
            call: Some("futex"),
            ..
        }) => String::from(
            "its OS thread waits in futex, for a lock of std or of another crate, which a green thread of the same \
             worker may hold: use rustlet::sync, or release the lock before waits",
        ),
        Some(Doing::Waiting {
            call: Some("clock_nanosleep"),
            ..
        }) => String::from("its OS thread sleeps in clock_nanosleep: use rustlet::sleep"),
        Some(Doing::Waiting {
            call: Some(call),
            fd: Some(fd),
            ..
        }) => {
            let what = sock::describe(fd).map_or_else(String::new, |text| format!(" ({text})"));
            format!(
                "its OS thread waits in {call} on descriptor {fd}{what}, in a blocking call of std or of another crate: \
                 use rustlet's type, or move the call to unblock"
            )
        }
        Some(Doing::Waiting {
            call: Some(call), ..
        }) => {
            format!("its OS thread waits in {call}: move the call to unblock")
        }
        Some(Doing::Waiting { disk: true, .. }) => {
            String::from("its OS thread waits for a disk: move the call to unblock")
        }
        Some(Doing::Waiting { .. }) => {
            String::from("its OS thread waits in the kernel: move the call to unblock")
        }
    };
    let text = format!(
        "rustlet: {info}, has kept its worker for {span:?} without a wait{}. The other threads of that worker cannot run: {doing}",
        last.unwrap_or_default()
    );
    reporter.report(ReportKind::Stuck, &text);
}

/// Reports that blocking calls have waited for a thread of the pool for a long time.
pub(super) fn report_backlog(reporter: &Reporter, backlog: &Backlog) {
    let Backlog {
        queued,
        longest,
        threads,
    } = backlog;
    let text = format!(
        "rustlet: {queued} blocking calls (unblock, files, name look-ups) wait for a thread of the pool, the first for {longest:?}: \
         all of its {threads} threads are busy, or the quarter of them that looks names up. \
         Raise the limit with runtime::Builder::blocking_threads"
    );
    reporter.report(ReportKind::PoolJam, &text);
}

/// Reports a thread that has ended and has used nearly all of its stack, once for each spawn site.
pub(crate) fn report_deep_stack(shared: &Shared, green: &ThreadInner, used: StackUse) {
    const MAX_SITES: usize = 100;
    if let Some(at) = green.spawned_at() {
        let mut sites = lock(&shared.deep_sites);
        if sites.len() >= MAX_SITES || sites.contains(&at) {
            return;
        }
        sites.push(at);
    }
    let mut text = String::from("rustlet: ");
    // A `String` takes everything.
    let _written = write_thread(&mut text, ThreadId(green.id()), green.name());
    if let Some(at) = green.spawned_at() {
        text += &format!(", spawned at {at}");
    }
    text += ", has ";
    if used.may_be_older {
        text += "(or an earlier thread on the same stack has) ";
    }
    text += &in_kib(used);
    text += "; an overflow would end the process. thread::Builder::stack_size, runtime::Builder::stack_size or \
             RUSTLET_STACK_SIZE (bytes) raise it";
    if cfg!(debug_assertions) {
        text += ". This is a debug build, whose frames are several times as large as those of a release build";
    }
    shared.config.reporter.report(ReportKind::DeepStack, &text);
}

/// Describes the current thread for the report of a stack overflow. It runs in a signal handler, so
/// it takes no locks and does not allocate.
pub(crate) fn describe_overflow(writer: &mut SignalWriter, overflowed: Overflowed) {
    let Some(cx) = WorkerContext::get() else {
        writer.text("an OS thread that touches the guard of a green thread's stack");
        return;
    };
    let green = cx.current();
    writer.text("green thread ");
    if let Some(name) = green.name() {
        writer.text("'");
        writer.text(name);
        writer.text("' ");
    }
    writer.text("ThreadId(");
    writer.number(green.id().get());
    writer.text(")");
    if let Some(at) = green.spawned_at() {
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
