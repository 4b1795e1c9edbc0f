//! [`dump`]: what every worker and every green thread of the process does.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::registry::{self, ThreadInfo, ThreadState, WaitsFor};
use crate::green::budget::poll_budget_quietly;
use crate::green::thread::ThreadId;
use crate::runtime::scheduler::shared::{self, Phase, Shared};
use crate::sys::os_threads::{self, Doing};

/// What every worker and every green thread does, as [`dump`] found it.
///
/// `Display` is for people: workers first, then the threads that hold locks which others wait for,
/// then the rest. Threads that do the same at the same place share a line if they are many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The workers of all runtimes.
    pub workers: Vec<WorkerInfo>,
    /// The green threads, by number.
    pub threads: Vec<ThreadInfo>,
}

/// A worker, as it was at the moment of a [`dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The name of its runtime.
    pub runtime: String,
    /// Its number in the runtime.
    pub index: usize,
    /// The number that the system gives its OS thread; none before that has started.
    pub os_thread: Option<i32>,
    /// The green thread that runs on it.
    pub runs: Option<ThreadId>,
    /// For how long that has run without a wait, about.
    pub since: Duration,
    /// Whether it sleeps, because it has nothing to run.
    pub sleeps: bool,
    /// How many green threads live on it.
    pub live: usize,
    /// How many green threads wait there to be started.
    pub unstarted: usize,
    /// What the system says that its OS thread does: it runs, or waits, and in which system call.
    pub os_state: Option<String>,
}

/// Describes every worker and every green thread of the process.
///
/// For diagnosis: it looks at each thread and takes a lock that spawning rarely needs, so it takes
/// some milliseconds for ten thousand threads. It stops none of them. What a thread waits for is
/// looked at while it waits, so it is right; two threads may be described as of slightly different
/// moments. It does not suspend.
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

/// As [`dump`], for the library's own threads.
pub(super) fn take() -> Dump {
    let threads = registry::describe_all(|_| true);
    let workers = shared::runtimes()
        .iter()
        .filter(|runtime| runtime.phase() < Phase::Ended)
        .flat_map(|runtime| workers_of(runtime, &threads))
        .collect();
    Dump { workers, threads }
}

fn workers_of(runtime: &Shared, threads: &[ThreadInfo]) -> Vec<WorkerInfo> {
    let describe = |index: usize| {
        let peer = &runtime.peers[index];
        let os_thread = match peer.os_thread.load(Ordering::Relaxed) {
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
            sleeps: peer.load.sleeps(),
            live: peer.live(),
            unstarted: peer.unstarted.len(),
            os_state: os_thread.and_then(os_state),
        }
    };
    (0..runtime.peers.len()).map(describe).collect()
}

fn os_state(os_thread: i32) -> Option<String> {
    Some(match os_threads::doing(os_thread)? {
        Doing::Computing => String::from("runs"),
        Doing::Waiting {
            call: None, disk, ..
        } => String::from(if disk {
            "waits for a disk"
        } else {
            "waits in the kernel"
        }),
        Doing::Waiting {
            call: Some(call),
            fd,
            ..
        } => match fd {
            Some(fd) => format!("waits in {call} on descriptor {fd}"),
            None => format!("waits in {call}"),
        },
    })
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
        let (live, unstarted) = (self.live, self.unstarted);
        write!(
            f,
            "; {live} threads live on it, {unstarted} of them unstarted"
        )
    }
}

/// With more threads than this at one place, they share a line.
const GROUP: usize = 4;

/// What threads of one line have in common.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    state: ThreadState,
    waits_in: &'static str,
    waits_at: Option<&'static Location<'static>>,
    spawned_at: Option<&'static Location<'static>>,
    lock_of: Option<ThreadId>,
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
        // How many wait for a lock that this thread holds.
        let mut held_up: HashMap<ThreadId, usize> = HashMap::new();
        for thread in &self.threads {
            if let Some(WaitsFor::LockOf { id, .. }) = thread.waits_for {
                *held_up.entry(id).or_default() += 1;
            }
        }
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
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0].id.0));
        for group in groups {
            if group.len() <= GROUP {
                for thread in group {
                    write!(f, "\n  {thread}")?;
                }
            } else {
                write_group(f, &group)?;
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
    if let Some(what @ WaitsFor::LockOf { .. }) = &first.waits_for {
        write!(f, ", {what}")?;
    }
    write!(f, ": ")?;
    const SHOWN: usize = 3;
    for (index, thread) in group.iter().take(SHOWN).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{:?}", thread.id)?;
    }
    match group.len() - SHOWN.min(group.len()) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// Writes a dump to stderr whenever the process gets the signal, from an OS thread of its own: it
/// needs no worker.
pub(in crate::runtime) mod on_signal {
    use std::collections::BTreeSet;
    use std::io::{self, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use super::super::report::eprintln_lossy;
    use crate::shim::lock;
    use crate::sys::os_threads::OwnThread;

    static WATCHED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

    /// # Errors
    ///
    /// There is no such signal, it cannot be caught, or no descriptor or OS thread can be had.
    pub(crate) fn start(signal: i32) -> io::Result<()> {
        let mut watched = lock(&WATCHED);
        if watched.contains(&signal) {
            return Ok(());
        }
        if signal_hook::consts::FORBIDDEN.contains(&signal) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("signal {signal} cannot ask for a dump: it cannot be caught"),
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
        watched.insert(signal);
        Ok(())
    }
}
