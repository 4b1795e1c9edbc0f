#![allow(
    unsafe_code,
    reason = "writes messages through the pointer to the receiver's slot"
)]
//! Receivers without senders: timers, latches and other states. They have a timer or a registration
//! only while a thread waits.
//!
//! PL1. A source behind an `Arc<dyn TypedSource<T>>` fills a `RecvSlot<T>` when it is polled.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::observers::{Key, Observers, wake};
use super::poll_order::PollOrder;
use super::select_wait::{Arm, PollSource, SelectPark, WaitOutcome};
use crate::channel::core::channel_thread::ChannelThread;
use crate::channel::core::slot::RecvSlot;
use crate::green::{Unparker, Wait, Wake, park};
use crate::shim::lock;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_queue::Waiter;
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::clock::{self, NEVER, Tick};

/// A source that is polled repeatedly.
pub(crate) trait ReadyCheck: PollSource + Send + Sync {
    /// Returns the latest time for the next poll.
    fn due(&self) -> Tick {
        NEVER
    }

    /// Registers a waiter. The result, if any, is for [`disarm`](ReadyCheck::disarm).
    fn arm(&self, _waiter: &Unparker) -> Option<Key> {
        None
    }

    fn disarm(&self, _key: Key) {}
}

/// A source whose messages have the type `T`.
///
/// # Safety
///
/// PL1.
pub(crate) unsafe trait TypedSource<T>: ReadyCheck {}

/// An arm of a select between our threads.
pub(crate) type ThreadArm<'a> = Arm<'a, WaitingThread, dyn ReadyCheck + 'a>;

/// `after` and `at`: a moment that is received once.
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

impl PollSource for At {
    unsafe fn poll(&self, slot: *mut ()) -> bool {
        // Relaxed: it publishes no other data.
        if !self.is_ready() || self.taken.swap(true, Ordering::Relaxed) {
            return false;
        }
        // SAFETY: PL1, by the contract.
        unsafe { &*slot.cast::<RecvSlot<Instant>>() }.fill(self.moment);
        true
    }

    fn is_ready(&self) -> bool {
        !self.taken.load(Ordering::Relaxed) && clock::instant() >= self.moment
    }
}

impl ReadyCheck for At {
    fn due(&self) -> Tick {
        if self.taken.load(Ordering::Relaxed) {
            NEVER
        } else {
            clock::ticks(self.moment)
        }
    }
}

// SAFETY: it fills a `RecvSlot<Instant>`.
unsafe impl TypedSource<Instant> for At {}

/// `tick`: periodic moments. The next one is counted from the last if a thread was waiting for it,
/// else from the time of its receive.
#[derive(Debug)]
pub(crate) struct Ticker {
    state: Spin<Next>,
    period: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    /// None: beyond the range of `Instant`.
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

impl PollSource for Ticker {
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
        unsafe { &*slot.cast::<RecvSlot<Instant>>() }.fill(moment);
        true
    }

    fn is_ready(&self) -> bool {
        let next = *self.state.lock();
        next.moment.is_some_and(|moment| moment <= clock::instant())
    }
}

impl ReadyCheck for Ticker {
    fn due(&self) -> Tick {
        let mut next = self.state.lock();
        next.awaited = true;
        next.moment.map_or(NEVER, clock::ticks)
    }
}

// SAFETY: it fills a `RecvSlot<Instant>`.
unsafe impl TypedSource<Instant> for Ticker {}

/// `never`.
pub(crate) struct Never<T>(pub(crate) PhantomData<fn() -> T>);

impl<T> PollSource for Never<T> {
    unsafe fn poll(&self, _slot: *mut ()) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        false
    }
}

impl<T> ReadyCheck for Never<T> {}

/// A source that is ready while a state holds, such as "it is readable". The state is checked on
/// each poll, and again when the waiter was woken; a receive does not change it.
pub(crate) trait LevelSource: Send + Sync {
    /// Returns whether the state holds now.
    fn is_ready(&self) -> bool;

    /// Registers `waiter`, which is the calling thread and is about to wait: it must be unparked,
    /// at least once, when the state may hold. It checks once more after this call; after a
    /// spurious wake-up, it calls `disarm` and then this again. Returns an identifier of the
    /// registration.
    fn arm(&self, waiter: Unparker) -> Key;

    /// Removes the registration; the waiter has left.
    fn disarm(&self, key: Key);
}

/// Makes a [`LevelSource`] the source of a receiver.
pub(crate) struct LevelAdapter(pub(crate) Arc<dyn LevelSource>);

impl PollSource for LevelAdapter {
    unsafe fn poll(&self, slot: *mut ()) -> bool {
        let ready = self.0.is_ready();
        if ready {
            // SAFETY: PL1, by the contract.
            unsafe { &*slot.cast::<RecvSlot<()>>() }.fill(());
        }
        ready
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

impl ReadyCheck for LevelAdapter {
    fn arm(&self, waiter: &Unparker) -> Option<Key> {
        Some(self.0.arm(waiter.clone()))
    }

    fn disarm(&self, key: Key) {
        self.0.disarm(key);
    }
}

// SAFETY: it fills a `RecvSlot<()>`.
unsafe impl TypedSource<()> for LevelAdapter {}

/// The setting side of a one-time event.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "for the ends of threads and of children")]
pub(crate) struct Latch(Arc<LatchState>);

#[derive(Default)]
struct LatchState {
    /// Written under the lock of `observers`.
    set: AtomicBool,
    observers: Mutex<Observers>,
}

#[allow(dead_code, reason = "for the ends of threads and of children")]
impl Latch {
    pub(crate) fn new() -> Latch {
        Latch(Arc::default())
    }

    pub(crate) fn source(&self) -> Arc<dyn LevelSource> {
        Arc::clone(&self.0) as Arc<dyn LevelSource>
    }

    /// Sets the event. Earlier writes of the caller are visible to receivers.
    pub(crate) fn set(&self) {
        let mut observers = lock(&self.0.observers);
        // Release: pairs with the Acquire of `is_ready`.
        self.0.set.store(true, Ordering::Release);
        let woken = observers.take();
        drop(observers);
        wake(woken);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_ready()
    }
}

impl LevelSource for LatchState {
    fn is_ready(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    fn arm(&self, waiter: Unparker) -> Key {
        // If it is set already, the waiter checks once more.
        lock(&self.observers).add(waiter)
    }

    fn disarm(&self, key: Key) {
        let gone = lock(&self.observers).remove(key);
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

/// The wait of a select between our threads: for a claim, a ready source, or the deadline.
pub(crate) struct ThreadPark<'a, 's> {
    arms: &'s [(ThreadArm<'a>, *mut ())],
    order: &'s PollOrder,
    /// Whether a ready polled arm is also received from.
    take: bool,
    wait: Wait,
    deadline: Tick,
}

impl<'a, 's> ThreadPark<'a, 's> {
    /// `wait` has the location and the deadline.
    pub(crate) fn new(
        arms: &'s [(ThreadArm<'a>, *mut ())],
        order: &'s PollOrder,
        take: bool,
        wait: Wait,
    ) -> ThreadPark<'a, 's> {
        let deadline = wait.deadline;
        ThreadPark {
            arms,
            order,
            take,
            wait,
            deadline,
        }
    }

    fn sources(&self) -> impl Iterator<Item = (usize, &'a (dyn ReadyCheck + 'a), *mut ())> {
        self.order
            .of(self.arms.len())
            .filter_map(|at| match self.arms[at] {
                (Arm::PollSource(source), slot) => Some((at, source, slot)),
                (Arm::SelectChannel(..), _) => None,
            })
    }

    /// Registers the calling thread with all sources that need it.
    #[inline(always)]
    fn arm(&mut self) -> Armed<'a> {
        let polled = |arm: &(ThreadArm<'_>, *mut ())| matches!(arm.0, Arm::PollSource(_));
        if self.arms.iter().any(polled) {
            self.arm_all()
        } else {
            // Only a thread that sends, receives or drops an end can wake it.
            self.wait.subject = self.arms.as_ptr().addr();
            Armed(Vec::new())
        }
    }

    #[cold]
    #[inline(never)]
    fn arm_all(&self) -> Armed<'a> {
        let waiter = Unparker::current();
        let mut armed = Armed(Vec::new());
        for (_, source, _) in self.sources() {
            armed.0.extend(source.arm(&waiter).map(|key| (source, key)));
        }
        armed
    }

    /// Withdraws the waiter, if possible.
    fn give_up(waiter: &Waiter<WaitingThread>, outcome: WaitOutcome) -> WaitOutcome {
        if waiter.give_up() {
            return outcome;
        }
        WaitingThread::wait_until_done(waiter);
        WaitOutcome::Dequeued
    }
}

/// Sources with a registration of the waiter.
struct Armed<'a>(Vec<(&'a (dyn ReadyCheck + 'a), Key)>);

impl Armed<'_> {
    fn disarm(&mut self) {
        for (source, key) in self.0.drain(..) {
            source.disarm(key);
        }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl SelectPark<WaitingThread> for ThreadPark<'_, '_> {
    #[inline(always)]
    fn park(&mut self, waiter: &Waiter<WaitingThread>) -> WaitOutcome {
        let mut armed = self.arm();
        // A wake-up may have used up a registration.
        let mut stale = false;
        let mut expired = false;
        loop {
            if waiter.is_done() {
                return WaitOutcome::Dequeued;
            }
            if let Some((at, source, slot)) =
                self.sources().find(|(_, source, _)| source.is_ready())
            {
                return match ThreadPark::give_up(waiter, WaitOutcome::PollSource(at)) {
                    // SAFETY: SV1 in `select_wait.rs`.
                    WaitOutcome::PollSource(_) if self.take && !unsafe { source.poll(slot) } => {
                        WaitOutcome::Again
                    }
                    outcome => outcome,
                };
            }
            if expired {
                return ThreadPark::give_up(waiter, WaitOutcome::Elapsed);
            }
            if stale {
                armed.disarm();
                armed = self.arm();
                stale = false;
                continue;
            }
            let due = self.sources().map(|(_, source, _)| source.due());
            self.wait.deadline = due.fold(self.deadline, Tick::min);
            match park(&self.wait) {
                Wake::Event => stale = !armed.0.is_empty(),
                Wake::Elapsed => expired = self.deadline <= clock::now(),
                Wake::Cancelled => return ThreadPark::give_up(waiter, WaitOutcome::Cancelled),
            }
        }
    }

    fn unwind(&mut self) {
        WaitingThread::unwind();
    }
}
