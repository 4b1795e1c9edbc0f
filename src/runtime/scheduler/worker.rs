#![allow(
    unsafe_code,
    reason = "resumes fibers; a pointer from the worker context to its worker"
)]
//! A worker: one OS thread that runs green threads. Its loop is [`WorkerLoop::work`].
//!
//! W1. While `cx` is entered, `cx.owner` points to the `WorkerLoop` that contains `cx`, and
//!     `cx.context` to its context.
//! W2. A thread in state `Ready` that belongs to `cx` is set up or new, and not running: the worker
//!     may resume it. Only the worker resumes it.
//! W3. The scheduler's reference is in the unstarted queue. The worker owns it from the start of
//!     the thread until the thread has finished.
//! W4. A `WorkerLoop` is neither `Send` nor `Sync`: code that has a reference to it runs on its OS
//!     thread. So its operations on its own worker's unstarted queue are the owner's (SQ1 in
//!     `unstarted_queue.rs`).
//! W5. `worker` is in a slice of `shared`, which never changes it and lives as long as the worker.

mod check_schedule;
mod deadlock_check;
mod end;
mod measure;
mod park;
mod placing;
mod sampling;
mod sharing;
mod step_recorder;
mod stepped_worker;
mod traced;

pub(crate) use self::placing::place_next;
use self::sharing::Sharing;
use self::step_recorder::{StepRecorder, Untraced};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::check_schedule::CheckSchedule;
use self::sampling::Sampling;
use super::adaptive_spin::AdaptiveSpin;
use super::idle_wait::IdleWaiters;
use super::runtime_context::RuntimeContext;
use super::shared::{Phase, Shared, WorkerShared};
use super::stealer::Stealer;
use super::timer::Timers;
use super::unstarted_queue::Unstarted;
use super::wake_timer::WakeTimer;
use crate::green::block::slab;
use crate::green::{NO_TIMER, ThreadInner, ThreadRef, WorkerContext};
use crate::runtime::io::reactor::Reactor;
use crate::stack::StackPool;
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::poll::timer_fd::TimerFd;
use crate::sys::poll::timer_slack::TimerSlack;
use crate::timeline::{self, Kind};

/// After this many steps in a row the worker does maintenance: messages, timers, the reactor.
const STEPS_PER_BATCH: u32 = 64;
/// How many new threads are started after a batch whose steps the ready threads have used up.
const STARTS_PER_BATCH: u32 = 16;
/// How often the reactor is polled while there is always something to run.
const POLL_EVERY_NS: Tick = 50_000;
/// How often unneeded memory is given back.
const TRIM_EVERY_NS: Tick = 1_000_000_000;
/// How often a worker that is never idle continues an unfinished trim by one step.
const TRIM_STEP_EVERY_NS: Tick = 100_000_000;
/// How long a worker that has no stack for a new thread waits before it tries again.
const STACK_RETRY_EVERY_NS: Tick = 1_000_000;

/// A worker's state and loop; see the module's text.
pub(crate) struct WorkerLoop {
    cx: WorkerContext,
    context: RuntimeContext,
    index: usize,
    /// The entry of this worker in `shared.workers` (W5).
    worker_shared: NonNull<WorkerShared>,
    stacks: RefCell<StackPool>,
    timers: RefCell<Timers>,
    wake_timer: WakeTimer,
    reactor: RefCell<Reactor>,
    stealer: Stealer,
    cancelled: Cell<bool>,
    out_of_stacks: Cell<bool>,
    /// The time of the last failed attempt to get a stack.
    short_since: Cell<Tick>,
    /// Threads that were ready to start here, and nowhere else, when there was no stack for them.
    /// They are in state `Ready`, and in no queue.
    waiting_for_stack: RefCell<VecDeque<&'static ThreadInner>>,
    /// Set when a thread is spawned here; cleared when the unstarted queue is found empty.
    has_fresh: Cell<bool>,
    /// Whether a user steps this worker (`stepped_worker.rs`). The user observes the order, so a
    /// spawned thread is ready at once, at the end of the run queue.
    is_stepped: bool,
    /// How many batches in a row ran out of threads, but had work again right after messages were
    /// drained.
    short_rounds: Cell<u32>,
    last_poll: Cell<Tick>,
    last_trim: Cell<Tick>,
    /// There may be memory that has not been used for a while: the worker must not sleep past the
    /// next trim.
    has_spare: Cell<bool>,
    /// The last trim has not finished and continues in idle moments.
    is_trimming: Cell<bool>,
    last_trim_step: Cell<Tick>,
    spin: AdaptiveSpin,
    /// The spawner and the worker for its next spawned thread (see [`WorkerLoop::place_next`]).
    destination: Cell<Option<(*const ThreadInner, usize)>>,
    /// What the worker keeps to place threads (`placing.rs`).
    sharing: Sharing,
    deadlock_checks: CheckSchedule,
    sampling: Sampling,
}

impl WorkerLoop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        reactor: Reactor,
        alarm: Option<TimerFd>,
    ) -> WorkerLoop {
        let slack = TimerSlack::new(shared.config.timer_slack);
        let remote = shared.workers[index].remote;
        let stack = shared.config.stack;
        let now = clock::now();
        let sharing = Sharing::new(shared.workers.len());
        WorkerLoop {
            cx: WorkerContext::new(remote),
            index,
            worker_shared: NonNull::from(&shared.workers[index]),
            stacks: RefCell::new(StackPool::new(stack)),
            timers: RefCell::new(Timers::default()),
            stealer: Stealer::new(index, shared.workers.len()),
            context: RuntimeContext {
                reactor_handle: Arc::clone(reactor.reactor_handle()),
                idle_waiters: IdleWaiters::new(),
                shared,
            },
            wake_timer: WakeTimer::new(slack, alarm),
            reactor: RefCell::new(reactor),
            is_stepped: false,
            cancelled: Cell::new(false),
            out_of_stacks: Cell::new(false),
            short_since: Cell::new(0),
            waiting_for_stack: RefCell::new(VecDeque::new()),
            has_fresh: Cell::new(false),
            short_rounds: Cell::new(0),
            last_poll: Cell::new(now),
            last_trim: Cell::new(now),
            has_spare: Cell::new(false),
            is_trimming: Cell::new(false),
            last_trim_step: Cell::new(0),
            spin: AdaptiveSpin::new(),
            destination: Cell::new(None),
            sharing,
            deadlock_checks: CheckSchedule::new(),
            sampling: Sampling::new(),
        }
    }

    /// Returns the worker that `cx` belongs to.
    #[inline(always)]
    pub(crate) fn of(cx: &WorkerContext) -> Option<&WorkerLoop> {
        // SAFETY: W1.
        unsafe { cx.owner.get().cast::<WorkerLoop>().as_ref() }
    }

    /// Stores the pointers of W1.
    fn publish(&self) {
        self.cx.owner.set(ptr::from_ref(self).cast());
        self.cx.context.set((&raw const self.context).cast());
    }

    /// Returns the worker whose OS thread the caller runs on.
    #[inline(always)]
    pub(crate) fn current() -> Option<&'static WorkerLoop> {
        WorkerContext::of_thread().and_then(WorkerLoop::of)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the number of this worker among the workers of the runtime.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline(always)]
    fn worker_shared(&self) -> &WorkerShared {
        // SAFETY: W5.
        unsafe { self.worker_shared.as_ref() }
    }

    /// Runs green threads until the runtime has ended and none is left here.
    pub(crate) fn work(&self) {
        self.publish();
        let now = clock::now();
        self.cx.now.set(now);
        self.worker_shared().load.note_wake(now);
        self.cx.enter(|| {
            loop {
                if self.stealer.is_active() && self.has_work() {
                    self.stealer.wake_successor(&self.shared, self.cx.ready());
                }
                // A stealer looks again: a thread may have come to its queue just now, and its step
                // may be long.
                let budget_exhausted = !self.stealer.is_active() && self.run_batch();
                self.cx.drain_remote();
                self.publish_counts();
                match self.shared.phase() {
                    Phase::Open => {}
                    Phase::Abandoned => {
                        self.stay_if_alive();
                        break;
                    }
                    Phase::Closing | Phase::Ended if self.close() => break,
                    Phase::Closing | Phase::Ended => {}
                }
                self.maintain_or_park(budget_exhausted, NEVER);
            }
        });
        self.reactor.borrow().close();
    }

    /// Ends a batch: does maintenance, or sleeps for at most `max_sleep` if there is nothing to
    /// run.
    #[inline(always)]
    fn maintain_or_park(&self, budget_exhausted: bool, max_sleep: Tick) {
        if budget_exhausted || self.short_rounds.get() >= STEPS_PER_BATCH {
            self.short_rounds.set(0);
            self.maintenance();
        } else if self.has_work() {
            // With a message in every batch, the worker never sleeps, so these batches are counted.
            self.is_searching(false);
            self.short_rounds.set(self.short_rounds.get() + 1);
        } else {
            self.short_rounds.set(0);
            self.park_worker(max_sleep);
        }
    }

    /// Runs ready threads and starts new ones. Returns true if there may be more to do.
    #[inline]
    fn run_batch(&self) -> bool {
        match timeline::is_on() {
            true => self.run_batch_with(self.begin_traced()),
            false => self.run_batch_with(Untraced),
        }
    }

    /// Runs a batch whose steps are recorded by `recorder`.
    #[inline]
    fn run_batch_with(&self, mut recorder: impl StepRecorder<Self>) -> bool {
        let steps = self.steps_to_run();
        // Counted down, because a second number would be in memory across each step.
        let mut left = steps;
        while left > 0 {
            left -= 1;
            if self.is_halted() {
                return false;
            }
            let ready = self.cx.pop_ready();
            if let Some(green) = ready {
                recorder.resume(self, green);
                // New threads take turns with the ready threads, which may have spawned them.
                if !self.has_fresh.get() {
                    continue;
                }
            }
            match self.pop_startable() {
                Some(new) => recorder.start(self, new),
                None if ready.is_some() => self.has_fresh.set(false),
                None => return false,
            }
        }
        if steps < STEPS_PER_BATCH {
            self.record_latency();
            return true;
        }
        if self.worker_shared().unstarted.extra() > 0
            && let Some(new) = self.pop_beside()
        {
            recorder.start_slowly(self, new);
        }
        for _ in 0..STARTS_PER_BATCH {
            if self.is_halted() {
                return false;
            }
            match self.pop_startable() {
                Some(new) => recorder.start_slowly(self, new),
                None => break,
            }
        }
        true
    }

    /// Returns whether the runtime was abandoned, so that nothing runs here any more.
    #[inline(always)]
    fn is_halted(&self) -> bool {
        self.worker_shared().halted.load(Ordering::Relaxed)
    }

    /// Takes the oldest unstarted thread, unless there is no stack for it.
    #[inline(always)]
    fn pop_startable(&self) -> Option<Unstarted> {
        if self.out_of_stacks.get() {
            return None;
        }
        match self.pop_unstarted() {
            None if self.worker_shared().unstarted.shared() > 0 => self.pop_shared(),
            new => new,
        }
    }

    /// Takes the oldest unstarted thread of this worker's own queue.
    #[inline(always)]
    pub(super) fn pop_unstarted(&self) -> Option<Unstarted> {
        // SAFETY: W4.
        unsafe { self.worker_shared().unstarted.pop_own() }
    }

    #[inline(always)]
    fn push_unstarted(&self, new: Unstarted) {
        // SAFETY: W4.
        unsafe { self.worker_shared().unstarted.push_own(new) }
    }

    /// Runs one step of a ready thread. Returns false if the thread needs a stack and there is
    /// none; the thread then waits for one.
    #[inline(always)]
    fn resume_one(&self, green: &'static ThreadInner) -> bool {
        if !green.has_started() && !self.set_up_local(green) {
            return false;
        }
        self.run(green);
        true
    }

    /// Runs one step of a thread that has a stack. Returns true if the thread has ended and is
    /// freed.
    #[inline(always)]
    fn run(&self, green: &'static ThreadInner) -> bool {
        if green.origin.is_sampled() {
            return self.run_sampled(green);
        }
        self.run_plain(green)
    }

    /// Runs one step like [`WorkerLoop::run`], without sampling it for placement.
    #[inline(always)]
    fn run_plain(&self, green: &'static ThreadInner) -> bool {
        self.cx.set_current(green);
        // SAFETY: W2.
        let ended = unsafe { green.resume() };
        self.cx.set_current(ptr::null());
        if ended {
            self.reap(green);
        } else if green.is_limited() {
            self.timers.borrow_mut().arm(green);
        }
        ended
    }

    /// Starts a thread and runs its first step.
    #[inline(always)]
    fn start(&self, new: Unstarted) {
        // SAFETY: a reference is never null; W3.
        let green: &'static ThreadInner = unsafe { new.0.into_raw().as_ref() };
        if !self.set_up(green) {
            return self.put_back(green);
        }
        self.attach(green);
        self.run_first(green);
    }

    /// Calls [`WorkerLoop::start`], out of line because this is not the usual case.
    #[inline(never)]
    fn start_slowly(&self, new: Unstarted) {
        self.start(new);
    }

    /// Puts back a thread that cannot be started now.
    #[cold]
    fn put_back(&self, green: &'static ThreadInner) {
        // SAFETY: W3, the reference goes back to the queue that it came from.
        self.push_unstarted(Unstarted(unsafe {
            ThreadRef::from_raw(NonNull::from(green))
        }));
    }

    /// Makes a thread belong to this worker.
    #[inline]
    fn attach(&self, green: &ThreadInner) {
        green.attach(self.cx.remote);
        let worker = self.worker_shared();
        bump(&worker.started, 1);
        if green.origin.is_placed() {
            bump(&worker.placed_started, 1);
        }
        if self.shared.phase() != Phase::Open {
            green.cancel();
        }
    }

    /// Gives a thread its stack. Returns false if there is none now; stacks become free when other
    /// threads end.
    #[inline(always)]
    fn set_up(&self, green: &ThreadInner) -> bool {
        let stack = match green.take_own_stack() {
            Some(stack) => Ok(stack),
            None => self.stacks.borrow_mut().take(),
        };
        let ready = stack.is_ok_and(|stack| green.set_up(stack));
        if !ready {
            self.out_of_stacks.set(true);
            self.short_since.set(self.cx.now.get());
        } else if self.out_of_stacks.get() {
            self.queue_waiting_for_stack();
        }
        ready
    }

    /// Sets up a thread, like [`WorkerLoop::set_up`], that became ready before it had a stack. If
    /// there is no stack, the thread leaves the run queue, otherwise the worker would busy-loop.
    #[cold]
    fn set_up_local(&self, green: &'static ThreadInner) -> bool {
        let hopeless = self.out_of_stacks.get() && !green.has_own_stack();
        let ready = !hopeless && self.set_up(green);
        if !ready {
            self.sampling.note_no_step();
            self.waiting_for_stack.borrow_mut().push_back(green);
        }
        ready
    }

    /// Makes some of the threads ready that wait for a stack, because there may be stacks again.
    #[cold]
    fn queue_waiting_for_stack(&self) {
        self.out_of_stacks.set(false);
        let mut waiting_for_stack = self.waiting_for_stack.borrow_mut();
        let some = waiting_for_stack.len().min(STEPS_PER_BATCH as usize);
        for green in waiting_for_stack.drain(..some) {
            self.cx.make_ready(green);
        }
    }

    /// Frees what a thread that has ended leaves behind.
    #[inline(always)]
    fn reap(&self, green: &'static ThreadInner) {
        if green.timer.get() != NO_TIMER {
            self.timers.borrow_mut().forget(green);
        }
        // SAFETY: the thread has ended, as `resume` reported.
        if let Some(stack) = unsafe { green.reap() } {
            if stack.was_deep() {
                self.take_back_deep(green, stack);
            } else {
                self.stacks.borrow_mut().take_back(stack);
            }
            if self.out_of_stacks.get() {
                self.queue_waiting_for_stack();
            }
        }
        self.shared.release_slot();
        if green.origin.is_flagged() {
            self.note_end(green);
        }
        bump(&self.worker_shared().finished, 1);
        self.has_spare.set(true);
        // SAFETY: W3.
        drop(unsafe { ThreadRef::from_raw(NonNull::from(green)) });
    }

    // --- spawning, by green threads of this worker ---

    /// Reserves a stack of the usual size for one more thread.
    #[inline]
    pub(crate) fn reserve(&self) -> io::Result<()> {
        self.stacks.borrow_mut().reserve()
    }

    /// Releases a reservation of [`WorkerLoop::reserve`].
    #[cold]
    pub(crate) fn unreserve(&self) {
        self.stacks.borrow_mut().unreserve();
    }

    /// Allocates a control block for a thread with default settings that is spawned here at `at`,
    /// and reserves its stack.
    ///
    /// # Errors
    ///
    /// There is no memory for one of the two.
    #[inline(never)]
    pub(crate) fn allocate_local(
        &self,
        at: &'static Location<'static>,
    ) -> io::Result<NonNull<ThreadInner>> {
        self.reserve()?;
        ThreadInner::allocate(Some(&self.cx), at, self.shared.group)
            .inspect_err(|_| self.unreserve())
    }

    /// Enqueues a spawned thread that stays on this worker.
    pub(crate) fn push_local(&self, green: ThreadRef) {
        bump(&self.worker_shared().spawned, 1);
        self.enqueue_local(green);
    }

    /// Attaches a thread to this worker and makes it ready.
    fn enqueue_local(&self, green: ThreadRef) {
        // SAFETY: a reference is never null; W3.
        let green: &'static ThreadInner = unsafe { green.into_raw().as_ref() };
        self.attach(green);
        self.sampling.note_no_step();
        self.cx.make_ready(green);
    }

    // --- maintenance ---

    fn has_work(&self) -> bool {
        let has_startable = || {
            !self.worker_shared().unstarted.is_empty()
                || !self.waiting_for_stack.borrow().is_empty()
                || self.worker_shared().unstarted.shared() > 0
                    && (self.reconsider_shared() || self.may_start_shared())
        };
        self.cx.ready() > 0 || (!self.out_of_stacks.get() && has_startable())
    }

    /// Does the periodic work between batches of a worker that always has something to run.
    fn maintenance(&self) {
        let now = self.tick();
        self.sample(now);
        if now.saturating_sub(self.last_poll.get()) >= POLL_EVERY_NS {
            self.poll(0);
            self.stealer.rescue(&self.shared, now);
            self.check_deadlocks_when_busy(now);
        }
    }

    /// Reads the clock, and does what is due.
    fn tick(&self) -> Tick {
        let now = clock::now();
        self.cx.now.set(now);
        self.expire(now);
        self.wake_timer.expire(now);
        self.retry_stacks(now);
        let since = now.saturating_sub(self.last_trim.get());
        if self.is_trimming.get()
            && now.saturating_sub(self.last_trim_step.get()) >= TRIM_STEP_EVERY_NS
        {
            self.last_trim_step.set(now);
            self.trim_step();
        }
        if since >= TRIM_EVERY_NS {
            self.last_trim.set(now);
            let stacks = Self::traced(Kind::Trim, || self.stacks.borrow_mut().trim());
            self.is_trimming.set(stacks);
            let cached = self.cx.trim();
            // SAFETY: W4.
            unsafe { self.worker_shared().unstarted.trim() };
            let blocks = slab::trim();
            self.has_spare.set(stacks || cached || blocks);
        }
        now
    }

    /// Returns when the worker tries to get a stack again; [`NEVER`] while it is not out of stacks.
    fn next_try(&self) -> Tick {
        if self.out_of_stacks.get() {
            self.short_since.get() + STACK_RETRY_EVERY_NS
        } else {
            NEVER
        }
    }

    /// Retries the threads that wait for a stack: after a nap if stacks had run out, and else at
    /// once, because threads before them have found one.
    fn retry_stacks(&self, now: Tick) {
        let is_time = match self.next_try() {
            NEVER => !self.waiting_for_stack.borrow().is_empty(),
            at => now >= at,
        };
        if is_time {
            self.queue_waiting_for_stack();
        }
    }

    fn expire(&self, now: Tick) {
        let mut timers = self.timers.borrow_mut();
        let mut expired = 0;
        while let Some(green) = timers.expire(now) {
            green.elapsed.set(true);
            match timeline::is_on() {
                true => self.cx.wake_traced(green),
                false => self.cx.wake(green),
            }
            expired += 1;
        }
        if expired > 0 {
            self.worker_shared().stats.timers_expired.add(expired);
        }
    }
}

/// Adds to a counter that only this worker writes.
#[inline]
fn bump(counter: &std::sync::atomic::AtomicUsize, by: usize) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Release);
}

impl Deref for WorkerLoop {
    type Target = RuntimeContext;
    #[inline(always)]
    fn deref(&self) -> &RuntimeContext {
        &self.context
    }
}

impl Drop for WorkerLoop {
    fn drop(&mut self) {
        if self.stealer.is_active() {
            self.stealer.stop_stealing(&self.shared);
        }
    }
}
