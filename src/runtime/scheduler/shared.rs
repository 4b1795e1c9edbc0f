//! State that the workers of one runtime share: the list of workers, the unstarted threads, the
//! sleeping workers, and the runtime's phase.
//!
//! There are two kinds of queue, with two types. An unstarted thread is an [`Unstarted`] in the
//! `unstarted` queue of some worker, where any worker may take it. Starting consumes it, and a
//! started thread is only in the run queue of its own worker. So a started thread cannot be stolen.
//!
//! Counting: each worker counts what it spawned and what it finished, and is the only one that
//! writes its counters. Threads that were spawned from outside are counted in `spawned_outside`.
//!
//! Q1. [`Shared::is_quiet`] reads all `finished` counters *before* all `spawned` counters. A thread
//!     is counted as spawned before it can end, and what it spawned is counted before it has
//!     finished; so if the sums are equal, nothing was alive at the moment between the two readings
//!     (Mattern's counting argument, "Algorithms for distributed termination detection", 1987).

mod assign;
pub(crate) mod stats;

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use self::stats::WorkerStats;
use super::idle::Idle;
use super::unstarted_queue::{Unstarted, UnstartedQueue};
use crate::green::context::remote::Remote;
use crate::green::os_thread::CountAsParked;
use crate::runtime::blocking::pool::Pool;
use crate::runtime::config::Config;
use crate::runtime::io::reactor::ReactorHandle;
use crate::runtime::placement::load::Load;
use crate::runtime::placement::policy::MAX_HOLD_NS;
use crate::runtime::placement::sites::Sites;
use crate::shim::lock;
use crate::sys::clock::{self, NEVER, Tick};

/// Worker state that other threads read, and through which they hand threads to the worker.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct WorkerShared {
    // The fields that placement reads are in one cache line.
    pub(crate) finished: AtomicUsize,
    /// How many threads were started here. If it does not change, the stealer sees that the worker
    /// starts none.
    pub(crate) started: AtomicUsize,
    /// How many threads were placed here ([`Shared::choose_worker`]) and have neither ended nor
    /// been taken by another worker.
    pub(crate) placed: AtomicUsize,
    /// How many of the placed threads have started.
    pub(crate) placed_started: AtomicUsize,
    pub(crate) load: Load,
    /// Whether the worker has nothing to run and looks for work.
    pub(crate) is_searching: AtomicBool,
    /// The time since when the worker holds its shared threads back from others, to see what the
    /// first one does; 0 if it does not.
    pub(crate) held_since: AtomicU64,
    pub(crate) spawned: AtomicUsize,
    pub(crate) unstarted: UnstartedQueue,
    pub(crate) remote: &'static Remote,
    /// Whether the worker resumes no more threads.
    pub(crate) halted: AtomicBool,
    /// The kernel's thread ID of the worker's OS thread; 0 before it has started.
    pub(crate) os_thread: AtomicI32,
    /// Its reactor, for tasks that are polled outside of all workers; set when the runtime starts.
    pub(crate) reactor_handle: OnceLock<Arc<ReactorHandle>>,
    /// For metrics.
    pub(crate) stats: WorkerStats,
}

impl WorkerShared {
    pub(crate) fn new(remote: &'static Remote) -> WorkerShared {
        WorkerShared {
            unstarted: UnstartedQueue::new(),
            remote,
            spawned: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            placed: AtomicUsize::new(0),
            placed_started: AtomicUsize::new(0),
            load: Load::new(clock::now()),
            is_searching: AtomicBool::new(false),
            held_since: AtomicU64::new(0),
            halted: AtomicBool::new(false),
            os_thread: AtomicI32::new(0),
            reactor_handle: OnceLock::new(),
            stats: WorkerStats::new(clock::now()),
        }
    }

    /// Returns how many threads have started here and not ended.
    pub(crate) fn started_live(&self) -> usize {
        let finished = self.finished.load(Ordering::Relaxed);
        self.started
            .load(Ordering::Relaxed)
            .saturating_sub(finished)
    }

    /// Returns how many threads live here, or have been placed here and will start.
    pub(crate) fn residents(&self) -> usize {
        self.started_live() + self.placed_unstarted()
    }

    /// Returns whether the worker sleeps, wakes up, or looks for work.
    pub(crate) fn is_idle(&self) -> bool {
        self.load.is_asleep() || self.is_searching.load(Ordering::Relaxed)
    }

    /// Returns whether the worker holds its shared threads back.
    fn holds_shared(&self) -> bool {
        let since = self.held_since.load(Ordering::Relaxed);
        since != 0 && clock::now().saturating_sub(since) < MAX_HOLD_NS
    }

    /// Returns how many threads that were placed here have not started.
    pub(crate) fn placed_unstarted(&self) -> usize {
        let placed_started = self.placed_started.load(Ordering::Relaxed);
        self.placed
            .load(Ordering::Relaxed)
            .saturating_sub(placed_started)
    }

    /// Returns how many green threads live here or will start here.
    pub(crate) fn live(&self) -> usize {
        self.started_live() + self.unstarted.len()
    }
}

/// The phase of a runtime's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Threads run.
    Open,
    /// All live threads are cancelled.
    Closing,
    /// Workers without live threads exit.
    Ended,
    /// Workers resume no more threads. Those without live threads exit; the others keep theirs
    /// suspended.
    Abandoned,
}

/// The runtimes of the process, for dumps.
static RUNTIMES: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Adds this runtime to those that a dump shows.
pub(crate) fn register_runtime(shared: &Arc<Shared>) {
    let mut runtimes = lock(&RUNTIMES);
    runtimes.retain(|runtime| runtime.strong_count() > 0);
    runtimes.push(Arc::downgrade(shared));
}

/// Returns the runtimes that have not ended, oldest first.
pub(crate) fn runtimes() -> Vec<Arc<Shared>> {
    let runtimes = lock(&RUNTIMES);
    runtimes.iter().filter_map(Weak::upgrade).collect()
}

/// State shared by the workers, the handles and the runtime itself.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) workers: Box<[WorkerShared]>,
    pub(crate) config: Config,
    pub(crate) pool: Arc<Pool>,
    /// The number of this runtime within the process.
    pub(crate) group: usize,
    pub(crate) spawned_outside: AtomicUsize,
    /// How many threads were dropped without starting because the runtime had ended.
    discarded: AtomicUsize,
    /// How many threads are alive or reserved; counted only if there is a limit.
    reserved: AtomicUsize,
    phase: AtomicU8,
    pub(crate) idle: Idle,
    pub(crate) sites: Sites,
    /// How many threads in all queues the first idle worker is to start; each is counted before it
    /// is pushed.
    waiting_shared: AtomicUsize,
    /// How many callers wait in `wait_quiet`. If there are any, workers that fall asleep notify
    /// them.
    quiet_waiters: AtomicUsize,
    quiet_lock: Mutex<()>,
    quiet_changed: Condvar,
    next_worker: AtomicUsize,
    /// The report of the deadlock that has ended the runtime.
    pub(crate) deadlock: OnceLock<Box<str>>,
    /// The spawn sites of threads that were reported for the depth of their stacks.
    pub(crate) deep_sites: Mutex<Vec<&'static Location<'static>>>,
}

impl Shared {
    pub(crate) fn new(workers: Box<[WorkerShared]>, config: Config) -> Shared {
        static GROUPS: AtomicUsize = AtomicUsize::new(1);
        Shared {
            workers,
            pool: Arc::new(Pool::new(&config.name, config.blocking_threads)),
            config,
            group: GROUPS.fetch_add(1, Ordering::Relaxed),
            spawned_outside: AtomicUsize::new(0),
            discarded: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            phase: AtomicU8::new(Phase::Open as u8),
            idle: Idle::new(),
            sites: Sites::new(),
            waiting_shared: AtomicUsize::new(0),
            quiet_waiters: AtomicUsize::new(0),
            quiet_lock: Mutex::new(()),
            quiet_changed: Condvar::new(),
            next_worker: AtomicUsize::new(0),
            deadlock: OnceLock::new(),
            deep_sites: Mutex::default(),
        }
    }

    /// Returns the number of the worker that owns `remote`.
    pub(crate) fn worker_with(&self, remote: *const Remote) -> Option<usize> {
        let is_its = |worker: &WorkerShared| std::ptr::eq(worker.remote, remote);
        self.workers.iter().position(is_its)
    }

    /// Returns the reactor of one worker after the other, for tasks that are polled outside of all
    /// workers.
    pub(crate) fn next_reactor(&self) -> Option<&Arc<ReactorHandle>> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        self.workers[next % self.workers.len()].reactor_handle.get()
    }

    // --- life ---

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Closing,
            2 => Phase::Ended,
            _ => Phase::Abandoned,
        }
    }

    /// Advances to `phase`, and wakes every worker so that it sees the new phase.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        for worker in &self.workers {
            worker.remote.notifier.wake();
        }
        drop(lock(&self.quiet_lock));
        self.quiet_changed.notify_all();
    }

    /// Advances to [`Phase::Abandoned`]: no worker resumes a thread any more.
    pub(crate) fn abandon(&self) {
        for worker in &self.workers {
            worker.halted.store(true, Ordering::Relaxed);
        }
        self.advance(Phase::Abandoned);
    }

    /// Blocks the calling OS thread for `period`, or until the runtime ends; returns whether it has
    /// ended.
    pub(crate) fn sleep_unless_ended(&self, period: Duration) -> bool {
        let guard = self
            .quiet_lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _woken = self
            .quiet_changed
            .wait_timeout_while(guard, period, |()| self.phase() < Phase::Ended);
        self.phase() >= Phase::Ended
    }

    pub(crate) fn finished(&self) -> usize {
        let inside: usize = self
            .workers
            .iter()
            .map(|worker| worker.finished.load(Ordering::Acquire))
            .sum();
        inside + self.discarded.load(Ordering::Acquire)
    }

    pub(crate) fn spawned(&self) -> usize {
        let inside: usize = self
            .workers
            .iter()
            .map(|worker| worker.spawned.load(Ordering::Acquire))
            .sum();
        inside + self.spawned_outside.load(Ordering::Acquire)
    }

    /// Returns how many green threads are alive; exact while none is spawned and none ends.
    pub(crate) fn live(&self) -> usize {
        let finished = self.finished();
        self.spawned().saturating_sub(finished)
    }

    /// Returns whether nothing was alive at some moment of this call (Q1).
    pub(crate) fn is_quiet(&self) -> bool {
        self.live() == 0
    }

    /// Returns whether no wake-up is on its way to a worker.
    pub(crate) fn has_no_pending_wakeup(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.remote.queue.is_empty())
    }

    /// Notifies the callers of `wait_quiet` if nothing is alive; called by a worker with nothing to
    /// run.
    pub(crate) fn notify_quiet(&self) {
        if self.quiet_waiters.load(Ordering::Relaxed) > 0 && self.is_quiet() {
            drop(lock(&self.quiet_lock));
            self.quiet_changed.notify_all();
        }
    }

    /// Blocks the calling OS thread until nothing is alive, or until nothing has ended for
    /// `timeout`. Returns whether nothing is alive.
    pub(crate) fn wait_quiet(&self, timeout: Duration) -> bool {
        let mut finished = self.finished();
        loop {
            if self.wait_quiet_until(clock::after(timeout)) {
                return true;
            }
            let now = self.finished();
            if now == finished {
                return self.is_quiet();
            }
            // The timeout counts from the last thread that ended.
            finished = now;
        }
    }

    /// Blocks the calling OS thread until nothing is alive, or until `deadline`. Returns whether
    /// nothing is alive.
    pub(crate) fn wait_quiet_until(&self, deadline: Tick) -> bool {
        self.quiet_waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Wakes workers that slept already, so that they look again and notify.
        for worker in &self.workers {
            worker.remote.notifier.wake();
        }
        let guard: MutexGuard<'_, ()> = self
            .quiet_lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let quiet = self.wait_quiet_locked(guard, deadline);
        self.quiet_waiters.fetch_sub(1, Ordering::Relaxed);
        quiet
    }

    fn wait_quiet_locked(&self, mut guard: MutexGuard<'_, ()>, deadline: Tick) -> bool {
        loop {
            if self.is_quiet() {
                return true;
            }
            guard = match deadline {
                NEVER => {
                    let _parked = CountAsParked::new();
                    self.quiet_changed
                        .wait(guard)
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                }
                _ => {
                    let left = deadline.saturating_sub(clock::now());
                    if left == 0 {
                        return false;
                    }
                    let waited = self
                        .quiet_changed
                        .wait_timeout(guard, Duration::from_nanos(left));
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
    }

    // --- the limit ---

    #[inline]
    pub(crate) fn has_no_limit(&self) -> bool {
        self.config.max_threads == usize::MAX
    }

    /// Counts a thread that is about to be spawned; returns false if the limit is reached.
    #[inline]
    pub(crate) fn acquire_slot(&self) -> bool {
        let limit = self.config.max_threads;
        if limit == usize::MAX {
            return true;
        }
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                (live < limit).then_some(live + 1)
            })
            .is_ok()
    }

    /// Releases the slot of a thread that has ended, or that was not spawned after all.
    #[inline]
    pub(crate) fn release_slot(&self) {
        if self.config.max_threads != usize::MAX {
            self.reserved.fetch_sub(1, Ordering::Relaxed);
        }
    }

    // --- placement ---

    /// Wakes one sleeping worker other than `except`, if there is one and no active stealer.
    #[inline]
    pub(crate) fn wake_worker(&self, except: usize) {
        if self.idle.should_wake() {
            self.wake_worker_slow(except);
        }
    }

    #[cold]
    fn wake_worker_slow(&self, except: usize) {
        let count = self.workers.len();
        for offset in 1..count {
            if self.workers[(except + offset) % count]
                .remote
                .notifier
                .wake()
            {
                return;
            }
        }
    }

    /// Returns the worker for a thread that will live long, as that of a connection does: the one
    /// with fewer placed threads, and if equal, with fewer live threads of any kind. A slightly
    /// lower load does not decide: of many threads that arrive at once, none has shown what it will
    /// cost.
    pub(crate) fn choose_worker(&self, now: Tick) -> usize {
        self.emptier_of_two(now, |worker| {
            (worker.placed.load(Ordering::Relaxed), worker.live())
        })
    }

    /// Returns the one with the smaller count, of two workers. If one of them has been clearly
    /// busier of late, the counts are compared in proportion to what is left of each core.
    /// (Mitzenmacher, "The power of two choices in randomized load balancing".)
    fn emptier_of_two(&self, now: Tick, count: impl Fn(&WorkerShared) -> (usize, usize)) -> usize {
        let workers = self.workers.len();
        if workers == 1 {
            return 0;
        }
        let next = self.next_worker.fetch_add(1, Ordering::Relaxed);
        let one = next % workers;
        // While `one` goes through all workers `workers - 1` times, `other` is each of the other
        // workers.
        let other = (one + 1 + (next / workers) % (workers - 1)) % workers;
        let (worker, rival) = (&self.workers[one], &self.workers[other]);
        let (has, rival_has) = (count(worker), count(rival));
        let is_emptier = match worker.load.spare(&rival.load, now) {
            Some((room, rivals_room)) => {
                (has.0 + 1) as f64 * rivals_room <= (rival_has.0 + 1) as f64 * room
            }
            None => has <= rival_has,
        };
        if is_emptier { one } else { other }
    }

    /// Hands a thread to the worker `index`, and wakes that worker.
    ///
    /// If the runtime has ended, the worker may have exited; then the threads in its queue end
    /// here, unstarted. A worker that exits reads the phase, fences, and looks at its queue; this
    /// function pushes, fences (in `wake`), and reads the phase. So this function sees any thread
    /// that a worker leaves behind.
    pub(crate) fn push_to(&self, index: usize, unstarted: Unstarted) {
        let worker = &self.workers[index];
        if self.phase() == Phase::Abandoned {
            return self.discard(worker, unstarted);
        }
        worker.unstarted.push(unstarted);
        worker.remote.notifier.wake();
        if self.phase() == Phase::Ended {
            self.discard_unstarted(worker);
        }
    }

    /// Ends all unstarted threads. Called when the runtime has ended and workers may have exited,
    /// or be blocked forever.
    pub(crate) fn discard_all_unstarted(&self) {
        for worker in &self.workers {
            self.discard_unstarted(worker);
        }
    }

    fn discard_unstarted(&self, worker: &WorkerShared) {
        let next = || {
            let new = worker.unstarted.take_shared()?;
            self.waiting_shared.fetch_sub(1, Ordering::Relaxed);
            Some(new)
        };
        while let Some(unstarted) = next().or_else(|| worker.unstarted.take_last()) {
            self.discard(worker, unstarted);
        }
    }

    fn discard(&self, worker: &WorkerShared, Unstarted(green): Unstarted) {
        green.discard();
        if green.origin.is_placed() {
            worker.placed.fetch_sub(1, Ordering::Relaxed);
        }
        if !green.has_own_stack() {
            crate::stack::unreserve_shared(self.config.stack);
        }
        self.release_slot();
        self.discarded.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::AtEnd;
    use crate::runtime::config::OnDeadlock;
    use crate::runtime::inspect::report::Reporter;
    use crate::stack::StackSize;

    fn shared(workers: usize) -> Shared {
        let workers = (0..workers)
            .map(|_| WorkerShared::new(Remote::open().expect("an eventfd")))
            .collect();
        let config = Config {
            name: "test".into(),
            stack: StackSize::DEFAULT,
            first_stack: StackSize::DEFAULT,
            max_threads: 2,
            blocking_threads: 1,
            shutdown_timeout: Duration::ZERO,
            at_end: AtEnd::Unwind,
            on_deadlock: OnDeadlock::Ignore,
            reporter: Reporter::default(),
            timer_slack: None,
        };
        Shared::new(workers, config)
    }

    /// Places `count` threads one after the other at `now`; returns how many each worker then has.
    fn placed(shared: &Shared, count: usize, now: Tick) -> Vec<usize> {
        for _ in 0..count {
            shared.workers[shared.choose_worker(now)]
                .placed
                .fetch_add(1, Ordering::Relaxed);
        }
        let workers = shared.workers.iter();
        workers
            .map(|worker| worker.placed.load(Ordering::Relaxed))
            .collect()
    }

    const MS: Tick = 1_000_000;

    #[test]
    fn workers_get_as_many_whatever_else_lives_on_them() {
        let shared = shared(2);
        shared.workers[0].started.store(40, Ordering::Relaxed);
        assert_eq!(placed(&shared, 1, clock::now()), [0, 1]);
        assert_eq!(placed(&shared, 1000, clock::now())[0].abs_diff(500), 0);
    }

    #[test]
    fn pairs_fill_many_workers_evenly() {
        let shared = shared(3);
        for count in placed(&shared, 300, clock::now()) {
            assert!((98..=102).contains(&count), "{count}");
        }
    }

    /// The worker that accepts is fully busy while connections arrive, and no busier than the
    /// others afterwards.
    #[test]
    fn briefly_busy_workers_get_as_many() {
        let shared = shared(2);
        let now = clock::now();
        shared.workers[0].load.note_wake(now);
        assert_eq!(placed(&shared, 1000, now + 100 * MS), [500, 500]);
    }

    #[test]
    fn busy_workers_get_threads_by_what_is_left_of_their_core() {
        let now = clock::now();
        let computing = shared(2);
        computing.workers[0].load.note_wake(now);
        assert_eq!(placed(&computing, 40, now + 100_000 * MS), [0, 40]);
        let half = shared(2);
        half.workers[0].load.note_wake(now);
        // One busy second counts as much as the idle past, so half of the core is left.
        assert_eq!(placed(&half, 300, now + 1000 * MS), [100, 200]);
    }

    #[test]
    fn slots_are_acquired_up_to_the_limit_and_released() {
        let shared = shared(1);
        assert!(shared.acquire_slot());
        assert!(shared.acquire_slot());
        assert!(!shared.acquire_slot());
        shared.release_slot();
        assert!(shared.acquire_slot());
    }
}
