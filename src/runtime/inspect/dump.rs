//! [`dump`]: a description of every worker and every green thread of the process.

use std::collections::HashMap;
#[cfg(feature = "backtrace")]
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::registry::{self, ThreadInfo, ThreadState, WaitsFor};
use crate::green::budget::poll_budget_quietly;
use crate::green::thread::ThreadId;
use crate::runtime::scheduler::shared::{self, Phase, Shared};
use crate::sys::os_threads;

/// Snapshot of every worker and every green thread of the process, returned by [`dump`].
///
/// `Display` writes a text for people: first the workers, then the threads that hold locks which
/// other threads wait for, then the remaining threads. More than four threads that do the same at
/// the same place share a line.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let dump = rustlet::dump();
///     assert_eq!(dump.threads[0].name.as_deref(), Some("main"));
///     assert!(dump.to_string().contains("green thread 'main'"));
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The workers of all runtimes.
    pub workers: Vec<WorkerInfo>,
    /// The green threads, sorted by number.
    pub threads: Vec<ThreadInfo>,
}

/// Snapshot of one worker, part of a [`Dump`].
///
/// # Examples
///
/// ```
/// let runtime = rustlet::runtime::Builder::new().workers(2).name("net").build()?;
/// runtime.run(|| {
///     let me = rustlet::current().id();
///     let dump = rustlet::dump();
///     let mine = dump.workers.iter().find(|worker| worker.runs == Some(me)).unwrap();
///     assert_eq!(mine.runtime, "net");
///     assert!(!mine.sleeps);
/// });
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The name of its runtime.
    pub runtime: String,
    /// The index of the worker in its runtime.
    pub index: usize,
    /// The system's number of its OS thread; `None` before that has started.
    pub os_thread: Option<i32>,
    /// The green thread that is running on it.
    pub runs: Option<ThreadId>,
    /// How long, approximately, that thread has run without a wait.
    pub since: Duration,
    /// Whether it sleeps because no thread is ready to run.
    pub sleeps: bool,
    /// Number of green threads that live on it.
    pub live: usize,
    /// Number of green threads that are ready to run there.
    pub ready: usize,
    /// Number of green threads that are queued there to start.
    pub unstarted: usize,
    /// The state of its OS thread, according to the system: it runs, or it waits, and in which
    /// system call.
    pub os_state: Option<String>,
}

/// Describes every worker and every green thread of the process.
///
/// This is for diagnosis: it visits each thread and takes a lock that spawning rarely needs, so it
/// takes some milliseconds for ten thousand threads. It stops none of them. What a thread waits for
/// is read while it waits, so it is correct, but two threads may be described as of slightly
/// different moments.
///
/// # Suspends
///
/// Does not suspend.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Arc, Mutex};
///
/// rustlet::run(|| {
///     let mutex = Arc::new(Mutex::new(()));
///     let guard = mutex.lock();
///     let its = Arc::clone(&mutex);
///     let waiter = rustlet::thread::Builder::new()
///         .name("waiter".into())
///         .spawn(move || drop(its.lock()))
///         .unwrap();
///     while !rustlet::dump().to_string().contains("held by green thread 'main'") {
///         rustlet::yield_now();
///     }
///     drop(guard);
///     waiter.join().unwrap();
/// });
/// ```
#[must_use]
#[track_caller]
pub fn dump() -> Dump {
    poll_budget_quietly(Location::caller());
    take()
}

/// Does what [`dump`] does, for the library's own OS threads: it uses no coop budget.
pub(super) fn take() -> Dump {
    #[cfg_attr(
        not(feature = "backtrace"),
        expect(unused_mut, reason = "for backtraces")
    )]
    let mut threads = registry::describe_all(|_| true);
    #[cfg(feature = "backtrace")]
    trace_some(&mut threads);
    let workers = shared::runtimes()
        .iter()
        .filter(|runtime| runtime.phase() < Phase::Ended)
        .flat_map(|runtime| workers_of(runtime, &threads))
        .collect();
    Dump { workers, threads }
}

/// Most backtraces of one dump.
#[cfg(feature = "backtrace")]
const MAX_BACKTRACES: usize = 200;

/// Takes the backtraces of one thread of each kind, and of each that gets a line of its own.
#[cfg(feature = "backtrace")]
fn trace_some(threads: &mut [ThreadInfo]) {
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for thread in threads.iter() {
        *kinds.entry(Kind::of(thread)).or_default() += 1;
    }
    let is_alone = |thread: &ThreadInfo| kinds[&Kind::of(thread)] <= MAX_LISTED;
    let holders = held_up(threads);
    let mut seen: HashSet<Kind> = HashSet::new();
    let mut wanted: HashSet<ThreadId> = HashSet::new();
    for thread in threads.iter() {
        let is_first = seen.insert(Kind::of(thread));
        if (is_first || is_alone(thread) || holders.contains_key(&thread.id))
            && wanted.len() < MAX_BACKTRACES
        {
            wanted.insert(thread.id);
        }
    }
    registry::trace(threads, |thread| wanted.contains(&thread.id));
}

/// Returns the threads that hold locks which others wait for, with the number of those.
fn held_up(threads: &[ThreadInfo]) -> HashMap<ThreadId, usize> {
    let mut found: HashMap<ThreadId, usize> = HashMap::new();
    for thread in threads {
        if let Some(WaitsFor::LockOf { id, .. }) = thread.waits_for {
            *found.entry(id).or_default() += 1;
        }
    }
    found
}

/// Writes the frames of a thread, a line each.
fn write_frames(f: &mut fmt::Formatter<'_>, thread: &ThreadInfo) -> fmt::Result {
    #[cfg(feature = "backtrace")]
    for frame in (thread.backtrace.iter()).flat_map(|backtrace| backtrace.frames()) {
        write!(f, "\n      {frame}")?;
    }
    #[cfg(not(feature = "backtrace"))]
    let (_, _) = (f, thread);
    Ok(())
}

fn workers_of(runtime: &Shared, threads: &[ThreadInfo]) -> Vec<WorkerInfo> {
    let mut ready = vec![0; runtime.workers.len()];
    for thread in threads {
        let is_ready = thread.state == ThreadState::Ready && thread.runtime == runtime.group;
        if let Some(index) = thread.worker.filter(|_| is_ready) {
            ready[index] += 1;
        }
    }
    let describe = |index: usize| {
        let worker = &runtime.workers[index];
        let os_thread = match worker.os_thread.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number),
        };
        let running = threads.iter().find(|thread| {
            thread.state == ThreadState::Running
                && thread.worker == Some(index)
                && thread.runtime == runtime.group
        });
        WorkerInfo {
            runtime: runtime.config.name.to_string(),
            index,
            os_thread,
            runs: running.map(|thread| thread.id),
            since: running.map_or(Duration::ZERO, |thread| thread.since),
            sleeps: worker.load.is_asleep(),
            live: worker.live(),
            ready: ready[index],
            unstarted: worker.unstarted.len(),
            os_state: os_thread
                .and_then(os_threads::doing)
                .map(|doing| doing.to_string()),
        }
    };
    (0..runtime.workers.len()).map(describe).collect()
}

impl fmt::Display for WorkerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}-{}", self.runtime, self.index)?;
        if let Some(os_thread) = self.os_thread {
            write!(f, " (OS thread {os_thread}")?;
            if let Some(state) = &self.os_state {
                write!(f, ": {state}")?;
            }
            write!(f, ")")?;
        }
        match self.runs {
            Some(id) => write!(f, " runs {id:?} for {:.3?}", self.since)?,
            None if self.sleeps => write!(f, " sleeps")?,
            None => write!(f, " is between two threads")?,
        }
        let (live, ready, unstarted) = (self.live, self.ready, self.unstarted);
        write!(
            f,
            "; {live} threads live on it, {ready} of them ready to run, {unstarted} unstarted"
        )
    }
}

/// Largest number of similar threads that get a line each; more than that share one line.
const MAX_LISTED: usize = 4;

/// The properties that the threads of one line share.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    state: ThreadState,
    waits_in: &'static str,
    waits_at: Option<&'static Location<'static>>,
    spawned_at: Option<&'static Location<'static>>,
    lock_of: Option<ThreadId>,
    channel: Option<usize>,
}

impl Kind {
    fn of(thread: &ThreadInfo) -> Kind {
        Kind {
            state: thread.state,
            waits_in: thread.waits_in,
            waits_at: thread.waits_at,
            spawned_at: thread.spawned_at,
            lock_of: match thread.waits_for {
                Some(WaitsFor::LockOf { id, .. }) => Some(id),
                _ => None,
            },
            channel: match thread.waits_for {
                Some(WaitsFor::Channel { address, .. }) => Some(address),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, workers) = (self.threads.len(), self.workers.len());
        write!(f, "rustlet: {threads} green threads, {workers} workers")?;
        for worker in &self.workers {
            write!(f, "\n  {worker}")?;
        }
        // By holder: the number of threads that wait for its locks.
        let held_up = held_up(&self.threads);
        let mut groups: HashMap<Kind, Vec<&ThreadInfo>> = HashMap::new();
        for thread in &self.threads {
            if held_up.contains_key(&thread.id) {
                continue;
            }
            groups.entry(Kind::of(thread)).or_default().push(thread);
        }
        let mut holders: Vec<&ThreadInfo> = (self.threads.iter())
            .filter(|thread| held_up.contains_key(&thread.id))
            .collect();
        holders.sort_by_key(|thread| std::cmp::Reverse(held_up[&thread.id]));
        for holder in holders {
            let count = held_up[&holder.id];
            write!(f, "\n  {holder}; holds locks that {count} threads wait for")?;
            write_frames(f, holder)?;
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0].id.0));
        for group in groups {
            if group.len() <= MAX_LISTED {
                for thread in group {
                    write!(f, "\n  {thread}")?;
                    write_frames(f, thread)?;
                }
            } else {
                write_group(f, &group)?;
                // Of the first, which that line names.
                write_frames(f, group[0])?;
            }
        }
        Ok(())
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &[&ThreadInfo]) -> fmt::Result {
    let first = group[0];
    write!(f, "\n  {} green threads", group.len())?;
    if let Some(at) = first.spawned_at {
        write!(f, ", spawned at {at}")?;
    }
    match first.state {
        ThreadState::Unstarted => return write!(f, ", have not started"),
        ThreadState::Ready => return write!(f, ", ready to run"),
        ThreadState::Running => return write!(f, ", running"),
        ThreadState::Waiting => write!(f, ", wait in {}", first.waits_in)?,
    }
    if let Some(at) = first.waits_at {
        write!(f, " at {at}")?;
    }
    let since = group.iter().map(|thread| thread.since);
    let (least, most) = (since.clone().min(), since.max());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    write!(f, " for {least:.1?} to {most:.1?}")?;
    let limits = group.iter().filter_map(|thread| thread.limit);
    if let (Some(least), Some(most)) = (limits.clone().min(), limits.max()) {
        write!(f, " and at most {least:.1?} to {most:.1?} more")?;
    }
    if let Some(what @ (WaitsFor::LockOf { .. } | WaitsFor::Channel { .. })) = &first.waits_for {
        write!(f, ", {what}")?;
    }
    write!(f, ": ")?;
    const MAX_SHOWN: usize = 3;
    for (index, thread) in group.iter().take(MAX_SHOWN).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{:?}", thread.id)?;
    }
    match group.len() - MAX_SHOWN.min(group.len()) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// Writes a dump to stderr whenever the process receives a signal, from an OS thread of its own, so
/// it needs no worker.
pub(in crate::runtime) mod on_signal {
    use std::collections::BTreeSet;
    use std::io::{self, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use super::super::report::eprintln_lossy;
    use crate::shim::lock;
    use crate::sys::os_threads::OwnThread;

    static DUMP_SIGNALS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

    /// # Errors
    ///
    /// The signal does not exist or cannot be caught, or no descriptor or OS thread is available.
    pub(crate) fn start(signal: i32) -> io::Result<()> {
        let mut signals = lock(&DUMP_SIGNALS);
        if signals.contains(&signal) {
            return Ok(());
        }
        if signal_hook::consts::FORBIDDEN.contains(&signal) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "signal {signal} cannot request a dump: no handler can be installed for it; use SIGQUIT or SIGUSR1"
                ),
            ));
        }
        let (mut here, there) = UnixStream::pair()?;
        there.set_nonblocking(true)?;
        std::thread::Builder::new()
            .name("rustlet-dump".into())
            .spawn(move || {
                let _own = OwnThread::mark();
                let mut bytes = [0; 64];
                while here.read(&mut bytes).is_ok_and(|count| count > 0) {
                    eprintln_lossy(&super::take().to_string());
                }
            })?;
        signal_hook::low_level::pipe::register(signal, there)?;
        signals.insert(signal);
        Ok(())
    }
}
