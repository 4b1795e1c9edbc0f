#![allow(
    unsafe_code,
    reason = "resumes fibers; a pointer from the home to its worker"
)]
//! A worker: one OS thread that runs green threads. Its loop is [`WorkerLoop::work`].
//!
//! W1. `cx.owner` points to the `WorkerLoop` that contains the home, and `cx.context` to its
//!     context, for as long as the home is entered.
//! W2. A thread in state `Ready` of this home is set up or new, and not running: the worker may
//!     resume it. It is the only one who does.
//! W3. The scheduler's reference is in the unstarted queue, and from the start on it is the
//!     worker's, until the thread has finished.
//! W4. A `WorkerLoop` is neither `Send` nor `Sync`: whoever has a reference to it is on its OS
//!     thread. So what it does to its own peer's unstarted queue is the owner's doing (SQ1 in
//!     `unstarted_queue.rs`).
//! W5. `peer` is in a slice of `shared`, which never changes it and lives as long as the worker.

mod by_hand;
mod end;
mod look;
mod looks;
mod park;
mod placing;
mod sharing;

pub(crate) use self::placing::place_next;
use self::sharing::Sharing;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::looks::Looks;
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
use crate::runtime::placement::sites::ENTRIES;
use crate::stack::StackPool;
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::poll::timer_fd::TimerFd;
use crate::sys::poll::timer_slack::TimerSlack;

/// After so many steps in a row the worker looks around: messages, timers, the reactor.
const STEPS_PER_BATCH: u32 = 64;
/// In a round that the ready threads have used up, so many new ones are started all the same.
const STARTS_PER_BATCH: u32 = 16;
/// While there is always something to run, the reactor is asked this often.
const POLL_EVERY: Tick = 50_000;
/// Memory that is not needed is given back this often.
const TRIM_EVERY: Tick = 1_000_000_000;
/// A worker that is never idle gives back a little more this often.
const STEP_EVERY: Tick = 100_000_000;
/// Without a stack for a new thread, it is tried again this often.
const SHORT_NAP: Tick = 1_000_000;

/// See the module's text.
pub(crate) struct WorkerLoop {
    cx: WorkerContext,
    context: RuntimeContext,
    index: usize,
    /// This one's among those of `shared` (W5).
    peer: NonNull<WorkerShared>,
    stacks: RefCell<StackPool>,
    timers: RefCell<Timers>,
    wake_timer: WakeTimer,
    reactor: RefCell<Reactor>,
    stealer: Stealer,
    cancelled: Cell<bool>,
    out_of_stacks: Cell<bool>,
    /// Since when.
    short_since: Cell<Tick>,
    /// Those that were ready to start here, and nowhere else, and found none. In state `Ready`, and
    /// in no queue.
    waiting_for_stack: RefCell<VecDeque<&'static ThreadInner>>,
    /// Threads here have spawned since the queue of the unstarted was last empty.
    has_fresh: Cell<bool>,
    /// Stepped by its user (`by_hand.rs`), who sees the order: what is spawned is ready at once,
    /// last in the row.
    by_hand: bool,
    /// How many rounds in a row ended with nothing to run, but something by the time of a look.
    short_rounds: Cell<u32>,
    polled: Cell<Tick>,
    trimmed: Cell<Tick>,
    /// There may be memory that nobody has needed for a while: do not sleep through the next trim.
    has_spare: Cell<bool>,
    /// The last trim has not finished: go on in idle moments.
    is_trimming: Cell<bool>,
    stepped: Cell<Tick>,
    spin: AdaptiveSpin,
    /// The next thread that the running one spawns goes to this worker.
    destination: Cell<Option<(*const ThreadInner, usize)>>,
    /// Per spawn site, whose turn it is (`placement.rs`).
    cursors: Box<[Cell<u16>; ENTRIES]>,
    /// Since when the worker leaves its shared threads to others; 0 if it does not.
    deferring_since: Cell<Tick>,
    deferring_until: Cell<Tick>,
    /// Its shared threads, as far as this worker knows them (`placing.rs`).
    sharing: Sharing,
    /// So many threads of a burst stay here before the other workers are looked at again.
    keeps: Cell<usize>,
    looks: Looks,
    /// Per worker, how many it had started, and when (0: not) threads were first seen to wait for
    /// it since then.
    seen: Box<[Cell<(usize, Tick)>]>,
}

impl WorkerLoop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        reactor: Reactor,
        alarm: Option<TimerFd>,
    ) -> WorkerLoop {
        let slack = TimerSlack::new(shared.config.timer_slack);
        let remote = shared.peers[index].remote;
        let stack = shared.config.stack;
        let now = clock::now();
        let seen = shared.peers.iter().map(|_| Cell::default()).collect();
        WorkerLoop {
            cx: WorkerContext::new(remote),
            index,
            peer: NonNull::from(&shared.peers[index]),
            stacks: RefCell::new(StackPool::new(stack)),
            timers: RefCell::new(Timers::default()),
            stealer: Stealer::new(index, shared.peers.len()),
            context: RuntimeContext {
                reactor_handle: Arc::clone(reactor.reactor_handle()),
                idle_waiters: IdleWaiters::new(),
                shared,
            },
            wake_timer: WakeTimer::new(slack, alarm),
            reactor: RefCell::new(reactor),
            by_hand: false,
            cancelled: Cell::new(false),
            out_of_stacks: Cell::new(false),
            short_since: Cell::new(0),
            waiting_for_stack: RefCell::new(VecDeque::new()),
            has_fresh: Cell::new(false),
            short_rounds: Cell::new(0),
            polled: Cell::new(now),
            trimmed: Cell::new(now),
            has_spare: Cell::new(false),
            is_trimming: Cell::new(false),
            stepped: Cell::new(0),
            spin: AdaptiveSpin::new(),
            destination: Cell::new(None),
            cursors: Box::new([const { Cell::new(0) }; ENTRIES]),
            deferring_since: Cell::new(0),
            deferring_until: Cell::new(0),
            sharing: Sharing::default(),
            keeps: Cell::new(0),
            looks: Looks::new(),
            seen,
        }
    }

    /// The worker whose home this is.
    #[inline(always)]
    pub(crate) fn of(cx: &WorkerContext) -> Option<&WorkerLoop> {
        // SAFETY: W1.
        unsafe { cx.owner.get().cast::<WorkerLoop>().as_ref() }
    }

    /// W1 begins.
    fn publish(&self) {
        self.cx.owner.set(ptr::from_ref(self).cast());
        self.cx.context.set((&raw const self.context).cast());
    }

    /// The worker on whose OS thread the caller is.
    #[inline(always)]
    pub(crate) fn current() -> Option<&'static WorkerLoop> {
        WorkerContext::of_thread().and_then(WorkerLoop::of)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its number among the workers of the runtime.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline(always)]
    fn peer(&self) -> &WorkerShared {
        // SAFETY: W5.
        unsafe { self.peer.as_ref() }
    }

    /// Runs green threads until the runtime has ended and none is left here.
    pub(crate) fn work(&self) {
        self.publish();
        self.cx.now.set(clock::now());
        self.cx.enter(|| {
            loop {
                if self.stealer.is_active() && self.has_work() {
                    self.stealer.wake_successor(&self.shared);
                }
                let budget_exhausted = self.run_batch();
                self.cx.drain_remote();
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

    /// After a round: looks around, or rests for at most `most` if there is nothing to run.
    #[inline(always)]
    fn maintain_or_park(&self, budget_exhausted: bool, most: Tick) {
        if budget_exhausted || self.short_rounds.get() >= STEPS_PER_BATCH {
            self.short_rounds.set(0);
            self.maintenance();
        } else if self.has_work() {
            // A message a round keeps it from ever resting.
            self.is_searching(false);
            self.short_rounds.set(self.short_rounds.get() + 1);
        } else {
            self.short_rounds.set(0);
            self.park_worker(most);
        }
    }

    /// Runs what is ready, and starts what is new. True: there may be more.
    #[inline]
    fn run_batch(&self) -> bool {
        for _ in 0..STEPS_PER_BATCH {
            if self.is_halted() {
                return false;
            }
            let ready = self.cx.pop_ready();
            if let Some(green) = ready {
                self.resume_one(green);
                // What the threads here have spawned takes turns with them.
                if !self.has_fresh.get() {
                    continue;
                }
            }
            match self.pop_startable() {
                Some(new) => self.start(new),
                None if ready.is_some() => self.has_fresh.set(false),
                None => return false,
            }
        }
        if self.peer().unstarted.extra() > 0
            && let Some(new) = self.pop_beside()
        {
            self.start_slowly(new);
        }
        for _ in 0..STARTS_PER_BATCH {
            if self.is_halted() {
                return false;
            }
            match self.pop_startable() {
                Some(new) => self.start_slowly(new),
                None => break,
            }
        }
        true
    }

    /// Whether the runtime was abandoned, so that nothing runs here any more.
    #[inline(always)]
    fn is_halted(&self) -> bool {
        self.peer().halted.load(Ordering::Relaxed)
    }

    /// The oldest of the new ones, if there is a stack for it.
    #[inline(always)]
    fn pop_startable(&self) -> Option<Unstarted> {
        if self.out_of_stacks.get() {
            return None;
        }
        match self.pop_unstarted() {
            None if self.peer().unstarted.shared() > 0 => self.pop_shared(),
            new => new,
        }
    }

    /// The oldest of the new ones.
    #[inline(always)]
    pub(super) fn pop_unstarted(&self) -> Option<Unstarted> {
        // SAFETY: W4.
        unsafe { self.peer().unstarted.pop_own() }
    }

    #[inline(always)]
    fn push_unstarted(&self, new: Unstarted) {
        // SAFETY: W4.
        unsafe { self.peer().unstarted.push_own(new) }
    }

    /// One step of a ready thread. False: there is no stack for its first; it waits for one.
    #[inline(always)]
    fn resume_one(&self, green: &'static ThreadInner) -> bool {
        if !green.has_started() && !self.set_up_local(green) {
            return false;
        }
        self.run(green);
        true
    }

    /// One step of a thread that has a stack. True: it has ended, and is gone.
    #[inline(always)]
    fn run(&self, green: &'static ThreadInner) -> bool {
        if green.origin.is_sampled() {
            return self.run_sampled(green);
        }
        self.run_plain(green)
    }

    /// As [`WorkerLoop::run`], without a look at what placement wants to know.
    #[inline(always)]
    fn run_plain(&self, green: &'static ThreadInner) -> bool {
        self.cx.set_current(green);
        // SAFETY: W2.
        let ended = unsafe { green.resume() };
        self.cx.set_current(ptr::null());
        if ended {
            self.reap(green);
        } else if green.deadline.get() != NEVER {
            self.timers.borrow_mut().arm(green);
        }
        ended
    }

    /// The first step of a thread.
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

    /// As [`WorkerLoop::start`], where it is not the usual case.
    #[inline(never)]
    fn start_slowly(&self, new: Unstarted) {
        self.start(new);
    }

    /// It cannot be started now.
    #[cold]
    fn put_back(&self, green: &'static ThreadInner) {
        // SAFETY: W3, it goes back to where it came from.
        self.push_unstarted(Unstarted(unsafe {
            ThreadRef::from_raw(NonNull::from(green))
        }));
    }

    /// It is this worker's from now on.
    #[inline]
    fn attach(&self, green: &ThreadInner) {
        green.attach(self.cx.remote);
        let peer = self.peer();
        bump(&peer.started, 1);
        if green.origin.is_placed() {
            bump(&peer.placed_started, 1);
        }
        if self.shared.phase() != Phase::Open {
            green.cancel();
        }
    }

    /// Gives a thread its stack. False: there is none now; some will be free when others have
    /// ended.
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
            self.try_stacks_again();
        }
        ready
    }

    /// As [`WorkerLoop::set_up`], for a thread that was ready before it started. Without a stack it
    /// is ready no more, lest the worker goes round with it.
    #[cold]
    fn set_up_local(&self, green: &'static ThreadInner) -> bool {
        let hopeless = self.out_of_stacks.get() && !green.has_own_stack();
        let ready = !hopeless && self.set_up(green);
        if !ready {
            self.waiting_for_stack.borrow_mut().push_back(green);
        }
        ready
    }

    /// There may be stacks again: for some at least.
    #[cold]
    fn try_stacks_again(&self) {
        self.out_of_stacks.set(false);
        let mut waiting_for_stack = self.waiting_for_stack.borrow_mut();
        let some = waiting_for_stack.len().min(STEPS_PER_BATCH as usize);
        for green in waiting_for_stack.drain(..some) {
            self.cx.make_ready(green);
        }
    }

    /// A thread has ended.
    #[inline(always)]
    fn reap(&self, green: &'static ThreadInner) {
        if green.timer.get() != NO_TIMER {
            self.timers.borrow_mut().forget(green);
        }
        // SAFETY: it has, says `resume`.
        if let Some(stack) = unsafe { green.reap() } {
            self.stacks.borrow_mut().take_back(stack);
            if self.out_of_stacks.get() {
                self.try_stacks_again();
            }
        }
        self.shared.release_slot();
        if green.origin.is_flagged() {
            self.note_end(green);
        }
        bump(&self.peer().finished, 1);
        self.has_spare.set(true);
        // SAFETY: W3.
        drop(unsafe { ThreadRef::from_raw(NonNull::from(green)) });
    }

    // --- spawning, by green threads of this worker ---

    /// The right to a stack of the usual size for one more thread.
    #[inline]
    pub(crate) fn reserve(&self) -> io::Result<()> {
        self.stacks.borrow_mut().reserve()
    }

    /// Gives it back.
    #[cold]
    pub(crate) fn unreserve(&self) {
        self.stacks.borrow_mut().unreserve();
    }

    /// A block for a thread without wishes that is spawned here at `at`, and the right to its
    /// stack.
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

    /// Takes in a thread that stays here.
    pub(crate) fn push_local(&self, green: ThreadRef) {
        bump(&self.peer().spawned, 1);
        self.enqueue_local(green);
    }

    /// It is this worker's, and ready.
    fn enqueue_local(&self, green: ThreadRef) {
        // SAFETY: a reference is never null; W3.
        let green: &'static ThreadInner = unsafe { green.into_raw().as_ref() };
        self.attach(green);
        self.cx.make_ready(green);
    }

    // --- looking around ---

    fn has_work(&self) -> bool {
        let has_startable = || {
            !self.peer().unstarted.is_empty()
                || !self.waiting_for_stack.borrow().is_empty()
                || self.peer().unstarted.shared() > 0
                    && (self.settle_shared() || self.may_start_shared())
        };
        self.cx.ready() > 0 || (!self.out_of_stacks.get() && has_startable())
    }

    /// Between rounds of a worker that always has something to run.
    fn maintenance(&self) {
        let now = self.tick();
        if now.saturating_sub(self.polled.get()) >= POLL_EVERY {
            self.poll(0);
            self.stealer.rescue(&self.shared, now);
            self.look_when_busy(now);
        }
    }

    /// Reads the clock, and does what is due.
    fn tick(&self) -> Tick {
        let now = clock::now();
        self.cx.now.set(now);
        self.expire(now);
        self.wake_timer.expire(now);
        self.look_for_stacks(now);
        let since = now.saturating_sub(self.trimmed.get());
        if self.is_trimming.get() && now.saturating_sub(self.stepped.get()) >= STEP_EVERY {
            self.stepped.set(now);
            self.is_trimming.set(self.stacks.borrow_mut().trim_step());
        }
        if since >= TRIM_EVERY {
            self.trimmed.set(now);
            let stacks = self.stacks.borrow_mut().trim();
            self.is_trimming.set(stacks);
            let cached = self.cx.trim();
            // SAFETY: W4.
            unsafe { self.peer().unstarted.trim() };
            let blocks = slab::trim();
            self.has_spare.set(stacks || cached || blocks);
        }
        now
    }

    /// When the worker looks for a stack again; [`NEVER`] while it is not short of them.
    fn next_try(&self) -> Tick {
        if self.out_of_stacks.get() {
            self.short_since.get() + SHORT_NAP
        } else {
            NEVER
        }
    }

    /// After a nap without a stack for a new thread, it is tried again; and where some have found
    /// one, the next are.
    fn look_for_stacks(&self, now: Tick) {
        let is_time = match self.next_try() {
            NEVER => !self.waiting_for_stack.borrow().is_empty(),
            at => now >= at,
        };
        if is_time {
            self.try_stacks_again();
        }
    }

    fn expire(&self, now: Tick) {
        let mut timers = self.timers.borrow_mut();
        while let Some(green) = timers.expire(now) {
            green.elapsed.set(true);
            self.cx.wake(green);
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
