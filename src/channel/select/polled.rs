#![allow(unsafe_code, reason = "what comes is written where the receiver says")]
//! Receivers without senders: moments, questions, latches. They hold no timer and no registration except
//! while somebody waits.
//!
//! PL1. A question behind an `Arc<dyn Asked<T>>` fills a `Place<T>` when it is polled.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::several::{Arm, Order, Pause, Polled, Verdict};
use super::waiters::{Key, Waiters, wake};
use crate::channel::core::sleep::Waits;
use crate::channel::core::slot::Place;
use crate::green::{Unparker, Wait, Wake, park};
use crate::shim::lock;
use crate::sync::wait::line::Ticket;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::waiting::Thread;
use crate::sys::clock::{self, NEVER, Tick};

/// Something that is looked at again and again.
pub(crate) trait Question: Polled + Send + Sync {
    /// When to look again at the latest.
    fn due(&self) -> Tick {
        NEVER
    }

    /// Somebody waits for it. What comes back, if it has to be told, is for [`disarm`](Question::disarm).
    fn arm(&self, _waiter: &Unparker) -> Option<Key> {
        None
    }

    fn disarm(&self, _key: Key) {}
}

/// A question whose answers are of type `T`.
///
/// # Safety
///
/// PL1.
pub(crate) unsafe trait Asked<T>: Question {}

/// An arm of a select between threads of ours.
pub(crate) type ThreadArm<'a> = Arm<'a, Thread, dyn Question + 'a>;

/// `after` and `at`: a moment, to be received once.
#[derive(Debug)]
pub(crate) struct At {
    moment: Instant,
    taken: AtomicBool,
}

impl At {
    pub(crate) fn new(moment: Instant) -> At {
        At {
            moment,
            taken: AtomicBool::new(false),
        }
    }
}

impl Polled for At {
    unsafe fn poll(&self, slot: *mut ()) -> bool {
        // Relaxed: it carries nothing but itself.
        if !self.is_ready() || self.taken.swap(true, Ordering::Relaxed) {
            return false;
        }
        // SAFETY: PL1, by the contract.
        unsafe { &*slot.cast::<Place<Instant>>() }.fill(self.moment);
        true
    }

    fn is_ready(&self) -> bool {
        !self.taken.load(Ordering::Relaxed) && clock::instant() >= self.moment
    }
}

impl Question for At {
    fn due(&self) -> Tick {
        if self.taken.load(Ordering::Relaxed) {
            NEVER
        } else {
            clock::ticks(self.moment)
        }
    }
}

// SAFETY: it fills a `Place<Instant>`.
unsafe impl Asked<Instant> for At {}

/// `tick`: a moment in each period, the next one counted from the one before if somebody was waiting for that, else
/// from when it was received.
#[derive(Debug)]
pub(crate) struct Ticker {
    state: Spin<Next>,
    period: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    /// None: beyond what an `Instant` can say.
    moment: Option<Instant>,
    awaited: bool,
}

impl Ticker {
    pub(crate) fn new(first: Instant, period: Duration) -> Ticker {
        Ticker {
            state: Spin::new(Next {
                moment: Some(first),
                awaited: false,
            }),
            period,
        }
    }
}

impl Polled for Ticker {
    unsafe fn poll(&self, slot: *mut ()) -> bool {
        let now = clock::instant();
        let mut next = self.state.lock();
        let Some(moment) = next.moment.filter(|&moment| moment <= now) else {
            return false;
        };
        let in_step = moment
            .checked_add(self.period)
            .filter(|&after| next.awaited && after > now);
        *next = Next {
            moment: in_step.or_else(|| now.checked_add(self.period)),
            awaited: false,
        };
        drop(next);
        // SAFETY: PL1, by the contract.
        unsafe { &*slot.cast::<Place<Instant>>() }.fill(moment);
        true
    }

    fn is_ready(&self) -> bool {
        let next = *self.state.lock();
        next.moment.is_some_and(|moment| moment <= clock::instant())
    }
}

impl Question for Ticker {
    fn due(&self) -> Tick {
        let mut next = self.state.lock();
        next.awaited = true;
        next.moment.map_or(NEVER, clock::ticks)
    }
}

// SAFETY: it fills a `Place<Instant>`.
unsafe impl Asked<Instant> for Ticker {}

/// `never`.
pub(crate) struct Never<T>(pub(crate) PhantomData<fn() -> T>);

impl<T> Polled for Never<T> {
    unsafe fn poll(&self, _slot: *mut ()) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        false
    }
}

impl<T> Question for Never<T> {}

/// A question about the state of something, such as "is it readable?". It is asked whenever somebody looks, and asked
/// again when the one who waits was woken; the answer is not used up.
pub(crate) trait Ask: Send + Sync {
    /// Whether it is so, now.
    fn is_ready(&self) -> bool;

    /// `waiter`, which is the calling thread, is about to wait: it is to be unparked, at least once, when it may have become so. It
    /// asks once more after this call; if it is woken for nothing, it calls `disarm` and then this again. Returns a name for the
    /// registration.
    fn arm(&self, waiter: Unparker) -> Key;

    /// The waiter has gone.
    fn disarm(&self, key: Key);
}

/// An [`Ask`] as what is received from.
pub(crate) struct Source(pub(crate) Arc<dyn Ask>);

impl Polled for Source {
    unsafe fn poll(&self, slot: *mut ()) -> bool {
        let ready = self.0.is_ready();
        if ready {
            // SAFETY: PL1, by the contract.
            unsafe { &*slot.cast::<Place<()>>() }.fill(());
        }
        ready
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

impl Question for Source {
    fn arm(&self, waiter: &Unparker) -> Option<Key> {
        Some(self.0.arm(waiter.clone()))
    }

    fn disarm(&self, key: Key) {
        self.0.disarm(key);
    }
}

// SAFETY: it fills a `Place<()>`.
unsafe impl Asked<()> for Source {}

/// Something that happens once, and then has happened for ever: the sending side.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "for the ends of threads and of children")]
pub(crate) struct Latch(Arc<LatchState>);

#[derive(Default)]
struct LatchState {
    /// Written under the lock of `waiters`.
    set: AtomicBool,
    waiters: Mutex<Waiters>,
}

#[allow(dead_code, reason = "for the ends of threads and of children")]
impl Latch {
    pub(crate) fn new() -> Latch {
        Latch(Arc::default())
    }

    pub(crate) fn question(&self) -> Arc<dyn Ask> {
        Arc::clone(&self.0) as Arc<dyn Ask>
    }

    /// It has happened. What the caller has written before is seen by those who receive.
    pub(crate) fn set(&self) {
        let mut waiters = lock(&self.0.waiters);
        // Release: pairs with the Acquire of `is_ready`.
        self.0.set.store(true, Ordering::Release);
        let woken = waiters.take();
        drop(waiters);
        wake(woken);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_ready()
    }
}

impl Ask for LatchState {
    fn is_ready(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    fn arm(&self, waiter: Unparker) -> Key {
        // If it is set already: the one who waits asks once more.
        lock(&self.waiters).add(waiter)
    }

    fn disarm(&self, key: Key) {
        let gone = lock(&self.waiters).remove(key);
        drop(gone);
    }
}

impl fmt::Debug for LatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatchState")
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

/// The wait of a select between threads of ours: for a claim, a question that comes true, or the deadline.
pub(crate) struct Sleeping<'a, 's> {
    arms: &'s [(ThreadArm<'a>, *mut ())],
    order: &'s Order,
    /// Whether a polled arm that is ready is also received from.
    take: bool,
    wait: Wait,
    deadline: Tick,
}

impl<'a, 's> Sleeping<'a, 's> {
    /// `wait` says where, and until when.
    pub(crate) fn new(
        arms: &'s [(ThreadArm<'a>, *mut ())],
        order: &'s Order,
        take: bool,
        wait: Wait,
    ) -> Sleeping<'a, 's> {
        let deadline = wait.deadline;
        Sleeping {
            arms,
            order,
            take,
            wait,
            deadline,
        }
    }

    fn questions(&self) -> impl Iterator<Item = (usize, &'a (dyn Question + 'a), *mut ())> {
        self.order
            .of(self.arms.len())
            .filter_map(|at| match self.arms[at] {
                (Arm::Polled(question), slot) => Some((at, question, slot)),
                (Arm::Meeting(..), _) => None,
            })
    }

    /// Tells all questions that want to know of the calling thread.
    #[inline(always)]
    fn arm(&self) -> Armed<'a> {
        let polled = |arm: &(ThreadArm<'_>, *mut ())| matches!(arm.0, Arm::Polled(_));
        if self.arms.iter().any(polled) {
            self.arm_all()
        } else {
            Armed(Vec::new())
        }
    }

    #[cold]
    #[inline(never)]
    fn arm_all(&self) -> Armed<'a> {
        let waiter = Unparker::current();
        let mut armed = Armed(Vec::new());
        for (_, question, _) in self.questions() {
            armed
                .0
                .extend(question.arm(&waiter).map(|key| (question, key)));
        }
        armed
    }

    /// Gets the ticket back, if it can.
    fn give_up(ticket: &Ticket<Thread>, verdict: Verdict) -> Verdict {
        if ticket.give_up() {
            return verdict;
        }
        Thread::wait_out(ticket);
        Verdict::Claimed
    }
}

/// Questions that have been told of the waiter.
struct Armed<'a>(Vec<(&'a (dyn Question + 'a), Key)>);

impl Armed<'_> {
    fn disarm(&mut self) {
        for (question, key) in self.0.drain(..) {
            question.disarm(key);
        }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl Pause<Thread> for Sleeping<'_, '_> {
    #[inline(always)]
    fn pause(&mut self, ticket: &Ticket<Thread>) -> Verdict {
        let mut armed = self.arm();
        // A wake-up may have used a registration up.
        let mut stale = false;
        let mut expired = false;
        loop {
            if ticket.is_done() {
                return Verdict::Claimed;
            }
            if let Some((at, question, slot)) = self
                .questions()
                .find(|(_, question, _)| question.is_ready())
            {
                return match Sleeping::give_up(ticket, Verdict::Polled(at)) {
                    // SAFETY: SV1 in `several.rs`.
                    Verdict::Polled(_) if self.take && !unsafe { question.poll(slot) } => {
                        Verdict::Again
                    }
                    verdict => verdict,
                };
            }
            if expired {
                return Sleeping::give_up(ticket, Verdict::Elapsed);
            }
            if stale {
                armed.disarm();
                armed = self.arm();
                stale = false;
                continue;
            }
            let due = self.questions().map(|(_, question, _)| question.due());
            self.wait.deadline = due.fold(self.deadline, Tick::min);
            match park(&self.wait) {
                Wake::Event => stale = !armed.0.is_empty(),
                Wake::Elapsed => expired = self.deadline <= clock::now(),
                Wake::Cancelled => return Sleeping::give_up(ticket, Verdict::Cancelled),
            }
        }
    }

    fn unwind(&mut self) {
        Thread::unwind();
    }
}
