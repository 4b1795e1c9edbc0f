//! OS threads for calls that truly block, and the queues in which calls wait for them.
//! `blocking/mod.rs` has the callers and the effect of a cancellation.
//!
//! The pool grows by a thread when a call finds none idle, up to the builder's limit; beyond it,
//! calls wait first in, first out. A thread that was idle for ten seconds exits.
//!
//! The length of the queue is bounded: the caller waits for its call, and takes it back when it is
//! cancelled before the call has started. So there are never more calls than waiting green threads
//! (`max_threads` bounds those), and cancelled entries are less than half of the queue plus a
//! constant. The queue is also visible: `Metrics` counts it, a dump shows the callers, and the
//! watchdog reports calls that have waited for a period.
//!
//! Name look-ups have a queue of their own, and at most a quarter of the pool's threads (at least
//! one) are at them: a name server that does not answer holds up other look-ups, but no file and no
//! `unblock`.
//!
//! PL1. A job goes from `Queued` to `Claimed` or `Abandoned` under the pool's lock, and is in a
//!      queue exactly while it is `Queued`, or `Abandoned` and counted in `abandoned_count`.
//! PL2. `idle` counts the threads inside `more.wait`. A thread that queues a job that may start, or
//!      makes one startable, wakes an idle one. A thread that ends a look-up and so makes another
//!      startable checks the queues itself.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::job::{Call, Job};
use crate::sys::clock::{self, Tick};
use crate::sys::os_threads::OwnThread;

const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The kind of a call, which decides where it queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    General,
    LookUp,
}

/// The owner of a pool.
type Owner = Arc<dyn Any + Send + Sync>;

struct Entry {
    call: Arc<dyn Call>,
    /// In the order of arrival, over both queues.
    number: u64,
    since: Tick,
}

/// A call that a thread is making.
struct Running {
    number: u64,
    /// The kernel's thread ID of that thread.
    os_thread: i32,
}

/// Where a call is, for dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallPlace {
    /// In a queue, behind this many entries.
    Queued { ahead: usize },
    /// A thread is making it, with this kernel's thread ID.
    Running { os_thread: i32 },
}

#[derive(Default)]
struct Queues {
    general: VecDeque<Entry>,
    look_ups: VecDeque<Entry>,
    /// Number of entries in both queues that their callers have abandoned.
    abandoned_count: usize,
    /// How many entries there have ever been.
    arrived: u64,
    threads: usize,
    idle: usize,
    looking_up: usize,
    /// How many of the entries were name look-ups.
    look_ups_arrived: u64,
    /// The calls that threads are making.
    running: Vec<Running>,
    /// How many threads there have ever been.
    threads_started: u64,
    closed: bool,
}

/// The pool's part of `Metrics`, at one moment.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
    /// How many calls there have ever been, look-ups among them.
    pub(crate) calls: u64,
    pub(crate) looking_up: usize,
    pub(crate) look_ups: u64,
}

/// Calls that have waited for a long time.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) queued: usize,
    pub(crate) longest: Duration,
    pub(crate) threads: usize,
}

/// The pool of one runtime.
pub(crate) struct Pool {
    queues: Mutex<Queues>,
    work_added: Condvar,
    name: Box<str>,
    max_threads: usize,
    max_look_ups: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PoolMetrics {
            threads,
            idle,
            queued,
            ..
        } = self.metrics();
        f.debug_struct("Pool")
            .field("threads", &threads)
            .field("idle", &idle)
            .field("queued", &queued)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Its threads are called `name`, `-pool-` and a number.
    pub(crate) fn new(name: &str, max_threads: usize) -> Pool {
        let max_threads = max_threads.max(1);
        Pool {
            queues: Mutex::default(),
            work_added: Condvar::new(),
            name: name.into(),
            max_threads,
            max_look_ups: (max_threads / 4).max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call. `owner` is what the pool belongs to, which [`owner_of_thread`] gives to the
    /// call. Returns the number of the call, for [`Pool::find`].
    pub(super) fn submit<O: Any + Send + Sync>(
        self: &Arc<Pool>,
        owner: &Arc<O>,
        kind: CallKind,
        call: Arc<dyn Call>,
    ) -> io::Result<u64> {
        let mut queues = self.lock();
        let number = queues.arrived;
        queues.arrived += 1;
        queues.look_ups_arrived += u64::from(kind == CallKind::LookUp);
        let queue = match kind {
            CallKind::General => &mut queues.general,
            CallKind::LookUp => &mut queues.look_ups,
        };
        queue.push_back(Entry {
            call,
            number,
            since: clock::now(),
        });
        if queues.startable(self.max_look_ups) > queues.idle
            && queues.threads < self.max_threads
            && let Err(error) = self.grow(&mut queues, Arc::<O>::clone(owner))
            && queues.threads == 0
        {
            // No thread would ever make the call. No other call is queued, or its caller would have
            // received the same error.
            match kind {
                CallKind::General => queues.general.pop_back(),
                CallKind::LookUp => queues.look_ups.pop_back(),
            };
            return Err(io::Error::new(
                error.kind(),
                format!(
                    "no OS thread for a blocking call ({error}); see `ulimit -u` and kernel.threads-max"
                ),
            ));
        }
        drop(queues);
        self.work_added.notify_one();
        Ok(number)
    }

    /// Returns where the call with this number is; `None` if it has ended.
    pub(crate) fn find(&self, number: u64) -> Option<CallPlace> {
        let queues = self.lock();
        if let Some(running) = queues.running.iter().find(|call| call.number == number) {
            return Some(CallPlace::Running {
                os_thread: running.os_thread,
            });
        }
        let ahead = |queue: &VecDeque<Entry>| queue.binary_search_by_key(&number, |e| e.number);
        let ahead = ahead(&queues.general).or_else(|_| ahead(&queues.look_ups));
        ahead.ok().map(|ahead| CallPlace::Queued { ahead })
    }

    /// Starts one more thread.
    fn grow(self: &Arc<Pool>, queues: &mut Queues, owner: Owner) -> io::Result<()> {
        let name = format!("{}-pool-{}", self.name, queues.threads_started);
        let pool = Arc::clone(self);
        std::thread::Builder::new()
            .name(name)
            .spawn(move || serve(&pool, owner))?;
        queues.threads_started += 1;
        queues.threads += 1;
        Ok(())
    }

    /// The caller of `job` goes away. If it has not started, it never will (PL1), and what it holds
    /// is dropped here.
    pub(super) fn abandon<F, T>(&self, job: &Job<F, T>)
    where
        F: FnOnce() -> T,
    {
        let mut queues = self.lock();
        let abandoned = job.abandon();
        if abandoned.was_queued() {
            queues.abandoned_count += 1;
            queues.sweep();
        }
        drop(queues);
        abandoned.discard();
    }

    /// The caller of `job` takes it back, if no thread has claimed it: then it is never made (PL1).
    pub(super) fn withdraw<F, T>(&self, job: &Job<F, T>) -> bool
    where
        F: FnOnce() -> T,
    {
        let mut queues = self.lock();
        let Some(abandoned) = job.withdraw() else {
            return false;
        };
        queues.abandoned_count += 1;
        queues.sweep();
        drop(queues);
        abandoned.discard();
        true
    }

    pub(crate) fn metrics(&self) -> PoolMetrics {
        let queues = self.lock();
        PoolMetrics {
            threads: queues.threads,
            idle: queues.idle,
            queued: queues.waiting(),
            calls: queues.arrived,
            looking_up: queues.looking_up,
            look_ups: queues.look_ups_arrived,
        }
    }

    /// Whether calls have waited for `min_wait` or longer.
    pub(crate) fn backlog(&self, now: Tick, min_wait: Duration) -> Option<Backlog> {
        let queues = self.lock();
        let first = [queues.general.front(), queues.look_ups.front()];
        let oldest = first.into_iter().flatten().map(|entry| entry.since);
        let longest = Duration::from_nanos(now.saturating_sub(oldest.min()?));
        (longest >= min_wait && queues.waiting() > 0).then(|| Backlog {
            queued: queues.waiting(),
            longest,
            threads: queues.threads,
        })
    }

    /// Closes the pool: idle threads exit, busy ones exit when nothing is queued.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work_added.notify_all();
    }
}

impl Queues {
    /// Returns the number of calls that wait to be started.
    fn waiting(&self) -> usize {
        (self.general.len() + self.look_ups.len()).saturating_sub(self.abandoned_count)
    }

    /// How many may be started now, as far as their kind goes. Those that were left count too:
    /// better a thread too many.
    fn startable(&self, max_look_ups: usize) -> usize {
        let room = max_look_ups.saturating_sub(self.looking_up);
        self.general.len() + self.look_ups.len().min(room)
    }

    /// Takes the call that has waited longest, among those that may start.
    fn take(&mut self, max_look_ups: usize) -> Option<(CallKind, u64, Arc<dyn Call>)> {
        loop {
            let general = self.general.front().map(|entry| entry.number);
            let look_up = self.look_ups.front().map(|entry| entry.number);
            let look_up = look_up.filter(|_| self.looking_up < max_look_ups);
            let kind = match (general, look_up) {
                (None, None) => return None,
                (Some(general), Some(look_up)) if look_up < general => CallKind::LookUp,
                (None, Some(_)) => CallKind::LookUp,
                (Some(_), _) => CallKind::General,
            };
            let entry = match kind {
                CallKind::General => self.general.pop_front(),
                CallKind::LookUp => self.look_ups.pop_front(),
            };
            let Entry { call, number, .. } = entry?;
            if call.claim() {
                if kind == CallKind::LookUp {
                    self.looking_up += 1;
                }
                return Some((kind, number, call));
            }
            self.abandoned_count -= 1;
        }
    }

    /// Drops the abandoned entries, if they are most of the queues.
    fn sweep(&mut self) {
        const SWEEP_SLACK: usize = 32;
        if self.abandoned_count * 2 > self.general.len() + self.look_ups.len() + SWEEP_SLACK {
            self.general.retain(|entry| !entry.call.is_abandoned());
            self.look_ups.retain(|entry| !entry.call.is_abandoned());
            self.abandoned_count = 0;
        }
    }
}

/// Runs a thread of the pool.
fn serve(pool: &Pool, owner: Owner) {
    OWNER.set(Some(owner));
    let os_thread = rustix::thread::gettid().as_raw_nonzero().get();
    let mut queues = pool.lock();
    loop {
        if let Some((kind, number, call)) = queues.take(pool.max_look_ups) {
            queues.running.push(Running { number, os_thread });
            drop(queues);
            call.run();
            drop(call);
            queues = pool.lock();
            queues.running.retain(|call| call.number != number);
            if kind == CallKind::LookUp {
                queues.looking_up -= 1;
            }
            continue;
        }
        if queues.closed {
            break;
        }
        queues.idle += 1;
        // Only while it waits for a call: a call may hold the end of a channel, or a lock.
        let own = OwnThread::mark();
        let waited = pool.work_added.wait_timeout(queues, IDLE_TIMEOUT);
        let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(own);
        queues = guard;
        queues.idle -= 1;
        if timeout.timed_out() && queues.startable(pool.max_look_ups) == 0 {
            break;
        }
    }
    queues.threads -= 1;
}

thread_local! {
    /// On a thread of a pool, what the pool belongs to.
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

/// Returns the owner of the pool whose call runs on the calling OS thread, if one does.
pub(super) fn owner_of_thread() -> Option<Owner> {
    // Inaccessible only in the destructors of the thread's other values.
    OWNER
        .try_with(|owner| owner.borrow().clone())
        .ok()
        .flatten()
}
