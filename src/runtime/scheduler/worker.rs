#![allow(
    unsafe_code,
    reason = "resumes fibers; a pointer from the home to its worker"
)]
//! A worker: one OS thread that runs green threads. Its loop is [`Worker::work`].
//!
//! W1. `home.owner` points to the `Worker` that contains the home, and `home.context` to its context, for as long as the home is entered.
//! W2. A thread in state `Ready` of this home is set up or new, and not running: the worker may resume it.
//!     It is the only one who does.
//! W3. The scheduler's reference is in the unstarted queue, and from the start on it is the worker's, until
//!     the thread is buried.
//! W4. A `Worker` is neither `Send` nor `Sync`: whoever has a reference to it is on its OS thread. So what it does to its own
//!     peer's unstarted queue is the owner's doing (SQ1 in `start_queue.rs`).
//! W5. `peer` is in a slice of `shared`, which never changes it and lives as long as the worker.

mod by_hand;
mod end;
mod look;
mod looks;
mod place;
mod rest;
mod sharing;

pub(crate) use self::place::place_next;
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
use super::context::Context;
use super::linger::Linger;
use super::lull::Lull;
use super::sentinel::Sentinel;
use super::shared::{Peer, Phase, Shared};
use super::start_queue::Unstarted;
use super::timer::Timers;
use super::wake_timer::WakeTimer;
use crate::green::block::blocks;
use crate::green::{Green, GreenRef, Home, NO_TIMER};
use crate::runtime::io::reactor::Reactor;
use crate::runtime::placement::sites::ENTRIES;
use crate::stack::StackPool;
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::poll::alarm::Alarm;
use crate::sys::poll::timer_slack::TimerSlack;

/// After so many steps in a row the worker looks around: messages, timers, the reactor.
const ROUND: u32 = 64;
/// In a round that the ready threads have used up, so many new ones are started all the same.
const STARTS: u32 = 16;
/// While there is always something to run, the reactor is asked this often.
const POLL_EVERY: Tick = 50_000;
/// Memory that is not needed is given back this often.
const TRIM_EVERY: Tick = 1_000_000_000;
/// A worker that is never idle gives back a little more this often.
const STEP_EVERY: Tick = 100_000_000;
/// Without a stack for a new thread, it is tried again this often.
const SHORT_NAP: Tick = 1_000_000;

/// See the module's text.
pub(crate) struct Worker {
    home: Home,
    context: Context,
    index: usize,
    /// This one's among those of `shared` (W5).
    peer: NonNull<Peer>,
    stacks: RefCell<StackPool>,
    timers: RefCell<Timers>,
    wake_timer: WakeTimer,
    reactor: RefCell<Reactor>,
    sentinel: Sentinel,
    cancelled: Cell<bool>,
    short_of_stacks: Cell<bool>,
    /// Since when.
    short_since: Cell<Tick>,
    /// Those that were ready to start here, and nowhere else, and found none. In state `Ready`, and in no queue.
    stackless: RefCell<VecDeque<&'static Green>>,
    /// Threads here have spawned since the queue of the unstarted was last empty.
    has_fresh: Cell<bool>,
    /// Stepped by its user (`by_hand.rs`), who sees the order: what is spawned is ready at once, last in the row.
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
    linger: Linger,
    /// The next thread that the running one spawns goes to this worker.
    destination: Cell<Option<(*const Green, usize)>>,
    /// Per spawn site, whose turn it is (`placement.rs`).
    cursors: Box<[Cell<u16>; ENTRIES]>,
    /// Since when the worker leaves its shared threads to others; 0 if it does not.
    deferring_since: Cell<Tick>,
    deferring_until: Cell<Tick>,
    /// Its shared threads, as far as this worker knows them (`place.rs`).
    sharing: Sharing,
    /// So many threads of a burst stay here before the other workers are looked at again.
    keeps: Cell<usize>,
    looks: Looks,
    /// Per worker, how many it had started, and when (0: not) threads were first seen to wait for it since then.
    seen: Box<[Cell<(usize, Tick)>]>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        reactor: Reactor,
        alarm: Option<Alarm>,
    ) -> Worker {
        let slack = TimerSlack::new(shared.config.timer_slack);
        let mailbox = shared.peers[index].mailbox;
        let stack = shared.config.stack;
        let now = clock::now();
        let seen = shared.peers.iter().map(|_| Cell::default()).collect();
        Worker {
            home: Home::new(mailbox),
            index,
            peer: NonNull::from(&shared.peers[index]),
            stacks: RefCell::new(StackPool::new(stack)),
            timers: RefCell::new(Timers::default()),
            sentinel: Sentinel::new(index, shared.peers.len()),
            context: Context {
                port: Arc::clone(reactor.port()),
                lull: Lull::new(),
                shared,
            },
            wake_timer: WakeTimer::new(slack, alarm),
            reactor: RefCell::new(reactor),
            by_hand: false,
            cancelled: Cell::new(false),
            short_of_stacks: Cell::new(false),
            short_since: Cell::new(0),
            stackless: RefCell::new(VecDeque::new()),
            has_fresh: Cell::new(false),
            short_rounds: Cell::new(0),
            polled: Cell::new(now),
            trimmed: Cell::new(now),
            has_spare: Cell::new(false),
            is_trimming: Cell::new(false),
            stepped: Cell::new(0),
            linger: Linger::new(),
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
    pub(crate) fn of(home: &Home) -> Option<&Worker> {
        // SAFETY: W1.
        unsafe { home.owner.get().cast::<Worker>().as_ref() }
    }

    /// W1 begins.
    fn publish(&self) {
        self.home.owner.set(ptr::from_ref(self).cast());
        self.home.context.set((&raw const self.context).cast());
    }

    /// The worker on whose OS thread the caller is.
    #[inline(always)]
    pub(crate) fn current() -> Option<&'static Worker> {
        Home::of_thread().and_then(Worker::of)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its number among the workers of the runtime.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline(always)]
    fn peer(&self) -> &Peer {
        // SAFETY: W5.
        unsafe { self.peer.as_ref() }
    }

    /// Runs green threads until the runtime has ended and none is left here.
    pub(crate) fn work(&self) {
        self.publish();
        self.home.now.set(clock::now());
        self.home.enter(|| {
            loop {
                if self.sentinel.is_up() && self.has_work() {
                    self.sentinel.hand_over(&self.shared);
                }
                let tired = self.round();
                self.home.collect();
                match self.shared.phase() {
                    Phase::Open => {}
                    Phase::Abandoned => {
                        self.stay_if_lived_on();
                        break;
                    }
                    Phase::Closing | Phase::Ended if self.close() => break,
                    Phase::Closing | Phase::Ended => {}
                }
                self.look_or_rest(tired, NEVER);
            }
        });
        self.reactor.borrow().close();
    }

    /// After a round: looks around, or rests for at most `most` if there is nothing to run.
    #[inline(always)]
    fn look_or_rest(&self, tired: bool, most: Tick) {
        if tired || self.short_rounds.get() >= ROUND {
            self.short_rounds.set(0);
            self.look_around();
        } else if self.has_work() {
            // A message a round keeps it from ever resting.
            self.is_searching(false);
            self.short_rounds.set(self.short_rounds.get() + 1);
        } else {
            self.short_rounds.set(0);
            self.rest(most);
        }
    }

    /// Runs what is ready, and starts what is new. True: there may be more.
    #[inline]
    fn round(&self) -> bool {
        for _ in 0..ROUND {
            if self.is_halted() {
                return false;
            }
            let ready = self.home.pop_ready();
            if let Some(green) = ready {
                self.step(green);
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
        for _ in 0..STARTS {
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
        if self.short_of_stacks.get() {
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
    fn step(&self, green: &'static Green) -> bool {
        if !green.has_started() && !self.set_up_local(green) {
            return false;
        }
        self.run(green);
        true
    }

    /// One step of a thread that has a stack. True: it has ended, and is gone.
    #[inline(always)]
    fn run(&self, green: &'static Green) -> bool {
        if green.origin.is_sampled() {
            return self.run_sampled(green);
        }
        self.run_plain(green)
    }

    /// As [`Worker::run`], without a look at what placement wants to know.
    #[inline(always)]
    fn run_plain(&self, green: &'static Green) -> bool {
        self.home.set_current(green);
        // SAFETY: W2.
        let ended = unsafe { green.resume() };
        self.home.set_current(ptr::null());
        if ended {
            self.bury(green);
        } else if green.deadline.get() != NEVER {
            self.timers.borrow_mut().arm(green);
        }
        ended
    }

    /// The first step of a thread.
    #[inline(always)]
    fn start(&self, new: Unstarted) {
        // SAFETY: a reference is never null; W3.
        let green: &'static Green = unsafe { new.0.into_raw().as_ref() };
        if !self.set_up(green) {
            return self.put_back(green);
        }
        self.adopt(green);
        self.run_first(green);
    }

    /// As [`Worker::start`], where it is not the usual case.
    #[inline(never)]
    fn start_slowly(&self, new: Unstarted) {
        self.start(new);
    }

    /// It cannot be started now.
    #[cold]
    fn put_back(&self, green: &'static Green) {
        // SAFETY: W3, it goes back to where it came from.
        self.push_unstarted(Unstarted(unsafe {
            GreenRef::from_raw(NonNull::from(green))
        }));
    }

    /// It is this worker's from now on.
    #[inline]
    fn adopt(&self, green: &Green) {
        green.adopt(self.home.mailbox);
        let peer = self.peer();
        bump(&peer.started, 1);
        if green.origin.is_placed() {
            bump(&peer.settled, 1);
        }
        if self.shared.phase() != Phase::Open {
            green.cancel();
        }
    }

    /// Gives a thread its stack. False: there is none now; some will be free when others have ended.
    #[inline(always)]
    fn set_up(&self, green: &Green) -> bool {
        let stack = match green.take_own_stack() {
            Some(stack) => Ok(stack),
            None => self.stacks.borrow_mut().take(),
        };
        let ready = stack.is_ok_and(|stack| green.set_up(stack));
        if !ready {
            self.short_of_stacks.set(true);
            self.short_since.set(self.home.now.get());
        } else if self.short_of_stacks.get() {
            self.try_stacks_again();
        }
        ready
    }

    /// As [`Worker::set_up`], for a thread that was ready before it started. Without a stack it is ready no more, lest the worker goes round with it.
    #[cold]
    fn set_up_local(&self, green: &'static Green) -> bool {
        let hopeless = self.short_of_stacks.get() && !green.has_own_stack();
        let ready = !hopeless && self.set_up(green);
        if !ready {
            self.stackless.borrow_mut().push_back(green);
        }
        ready
    }

    /// There may be stacks again: for some at least.
    #[cold]
    fn try_stacks_again(&self) {
        self.short_of_stacks.set(false);
        let mut stackless = self.stackless.borrow_mut();
        let some = stackless.len().min(ROUND as usize);
        for green in stackless.drain(..some) {
            self.home.make_ready(green);
        }
    }

    /// A thread has ended.
    #[inline(always)]
    fn bury(&self, green: &'static Green) {
        if green.timer.get() != NO_TIMER {
            self.timers.borrow_mut().forget(green);
        }
        // SAFETY: it has, says `resume`.
        if let Some(stack) = unsafe { green.bury() } {
            self.stacks.borrow_mut().take_back(stack);
            if self.short_of_stacks.get() {
                self.try_stacks_again();
            }
        }
        self.shared.dismiss();
        if green.origin.is_flagged() {
            self.note_end(green);
        }
        bump(&self.peer().buried, 1);
        self.has_spare.set(true);
        // SAFETY: W3.
        drop(unsafe { GreenRef::from_raw(NonNull::from(green)) });
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

    /// A block for a thread without wishes that is spawned here at `at`, and the right to its stack.
    ///
    /// # Errors
    ///
    /// There is no memory for one of the two.
    #[inline(never)]
    pub(crate) fn bear(&self, at: &'static Location<'static>) -> io::Result<NonNull<Green>> {
        self.reserve()?;
        Green::born(Some(&self.home), at, self.shared.group).inspect_err(|_| self.unreserve())
    }

    /// Takes in a thread that stays here.
    pub(crate) fn push_local(&self, green: GreenRef) {
        bump(&self.peer().spawned, 1);
        self.admit(green);
    }

    /// It is this worker's, and ready.
    fn admit(&self, green: GreenRef) {
        // SAFETY: a reference is never null; W3.
        let green: &'static Green = unsafe { green.into_raw().as_ref() };
        self.adopt(green);
        self.home.make_ready(green);
    }

    // --- looking around ---

    fn has_work(&self) -> bool {
        let has_startable = || {
            !self.peer().unstarted.is_empty()
                || !self.stackless.borrow().is_empty()
                || self.peer().unstarted.shared() > 0
                    && (self.settle_shared() || self.may_start_shared())
        };
        self.home.ready() > 0 || (!self.short_of_stacks.get() && has_startable())
    }

    /// Between rounds of a worker that always has something to run.
    fn look_around(&self) {
        let now = self.tick();
        if now.saturating_sub(self.polled.get()) >= POLL_EVERY {
            self.poll(0);
            self.sentinel.rescue(&self.shared, now);
            self.look_when_busy(now);
        }
    }

    /// Reads the clock, and does what is due.
    fn tick(&self) -> Tick {
        let now = clock::now();
        self.home.now.set(now);
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
            let cached = self.home.trim();
            // SAFETY: W4.
            unsafe { self.peer().unstarted.trim() };
            let blocks = blocks::trim();
            self.has_spare.set(stacks || cached || blocks);
        }
        now
    }

    /// When the worker looks for a stack again; [`NEVER`] while it is not short of them.
    fn next_try(&self) -> Tick {
        if self.short_of_stacks.get() {
            self.short_since.get() + SHORT_NAP
        } else {
            NEVER
        }
    }

    /// After a nap without a stack for a new thread, it is tried again; and where some have found one, the next are.
    fn look_for_stacks(&self, now: Tick) {
        let is_time = match self.next_try() {
            NEVER => !self.stackless.borrow().is_empty(),
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
            self.home.wake(green);
        }
    }
}

/// Adds to a counter that only this worker writes.
#[inline]
fn bump(counter: &std::sync::atomic::AtomicUsize, by: usize) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Release);
}

impl Deref for Worker {
    type Target = Context;
    #[inline(always)]
    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.sentinel.is_up() {
            self.sentinel.stand_down(&self.shared);
        }
    }
}
