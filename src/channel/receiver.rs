#![allow(unsafe_code, reason = "a reference-counted raw pointer to the channel")]
//! The receiving side of a channel, and receivers without a channel.
//!
//! RE1. A receiver of a channel is counted in its counter, so the counter exists (HU1 in
//!      `counter.rs`).
//! RE2. After a success the message is in its slot, to be taken once.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::chan::Chan;
use super::core::outcome::Op;
use super::core::outcome::Unreceived;
use super::core::slot::RecvSlot;
use super::counter::Counter;
use super::select::poll_order::PollOrder;
use super::select::poll_source::{Never, ReadyCheck, ThreadArm, ThreadPark, TypedSource};
use super::select::select_wait::{Arm, Operations};
use super::wait_limit::{WaitLimit, yield_point};
use super::{RecvError, RecvTimeoutError, TryRecvError};
use crate::green::budget::poll_budget_quietly;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::wait::waiting_thread::WaitingThread;

/// Receiving side of a channel; clone it, or share it, to receive in several threads.
///
/// Each message goes to one receiver. Timers ([`after`](super::after), [`tick`](super::tick)) and
/// other things that can be waited for are receivers too.
///
/// # Examples
///
/// ```
/// use rustlet::channel::bounded;
///
/// rustlet::run(|| {
///     let (sender, receiver) = bounded(8);
///     rustlet::spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
///     assert_eq!(receiver.iter().count(), 100);
///     assert!(receiver.recv().is_err());
/// });
/// ```
pub struct Receiver<T> {
    kind: Kind<T>,
}

enum Kind<T> {
    Chan(NonNull<Counter<T>>, PhantomData<Counter<T>>),
    TypedSource(Arc<dyn TypedSource<T>>),
    Never(Never<T>),
}

/// What a receiver receives from.
pub(super) enum Origin<'a, T> {
    Channel(&'a Chan<T, WaitingThread>),
    PollSource(&'a dyn ReadyCheck),
}

// SAFETY: messages move from thread to thread; the counter is made for that, and sources are
// `Send` and `Sync`.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Creates the receiver that `Counter::open` has counted.
    pub(super) fn new(counter: NonNull<Counter<T>>) -> Receiver<T> {
        Receiver {
            kind: Kind::Chan(counter, PhantomData),
        }
    }

    pub(super) fn from_source(source: Arc<dyn TypedSource<T>>) -> Receiver<T> {
        Receiver {
            kind: Kind::TypedSource(source),
        }
    }

    pub(super) const fn never() -> Receiver<T> {
        Receiver {
            kind: Kind::Never(Never(PhantomData)),
        }
    }

    #[inline(always)]
    fn counter(&self) -> Result<&Counter<T>, &dyn ReadyCheck> {
        match &self.kind {
            // SAFETY: RE1.
            Kind::Chan(counter, _) => Ok(unsafe { counter.as_ref() }),
            Kind::TypedSource(source) => Err(&**source),
            Kind::Never(never) => Err(never),
        }
    }

    /// Returns what it receives from.
    pub(super) fn origin(&self) -> Origin<'_, T> {
        match self.counter() {
            Ok(counter) => Origin::Channel(&counter.chan),
            Err(source) => Origin::PollSource(source),
        }
    }

    /// Returns the arm for a select.
    pub(super) fn arm(&self) -> ThreadArm<'_> {
        match self.counter() {
            Ok(counter) => Arm::channel(Op::Recv, &counter.chan),
            Err(source) => Arm::PollSource(source),
        }
    }

    #[inline(always)]
    fn take(
        &self,
        slot: &RecvSlot<T>,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<(), Unreceived> {
        yield_point(at);
        let wait = || {
            Wait::at(Reason::Receive, at)
                .until(limit.tick())
                .on_cancel(OnCancel::Defer)
        };
        match self.counter() {
            Ok(counter) => counter.chan.recv(slot, || wait().on(self.address())),
            Err(source) => wait_for_source(source, slot.slot(), wait()),
        }
    }

    /// Receives a message, waiting for one if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty and all senders were dropped, also during the wait.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while the channel is empty; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no message has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::bounded;
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = bounded(4);
    ///     rustlet::spawn(move || sender.send("hello").unwrap());
    ///     assert_eq!(receiver.recv(), Ok("hello"));
    ///     assert!(receiver.recv().is_err()); // The sender is dropped.
    /// });
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        let slot = RecvSlot::new();
        match self.take(&slot, WaitLimit::Never, Location::caller()) {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { slot.take_unchecked() }),
            Err(_) => Err(RecvError),
        }
    }

    /// Receives a message if there is one, without waiting.
    ///
    /// # Errors
    ///
    /// `Empty`: there is no message. `Disconnected`: there is none, and all senders were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, TryRecvError};
    ///
    /// let (sender, receiver) = unbounded();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        yield_point(Location::caller());
        self.try_recv_quietly()
    }

    /// Receives like [`try_recv`](Receiver::try_recv), for a caller that has charged the budget.
    #[inline(always)]
    pub(super) fn try_recv_quietly(&self) -> Result<T, TryRecvError> {
        let slot = RecvSlot::new();
        let result = match self.counter() {
            Ok(counter) => counter.chan.try_recv(&slot),
            Err(source) => try_source(source, slot.slot()),
        };
        match result {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { slot.take_unchecked() }),
            Err(Unreceived::Empty) => Err(TryRecvError::Empty),
            Err(Unreceived::Disconnected) => Err(TryRecvError::Disconnected),
        }
    }

    /// Receives a message, waiting for at most `timeout`; otherwise like [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// `Timeout`: the time has passed. `Disconnected`: the channel is empty and all senders were
    /// dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = unbounded::<()>();
    /// let late = receiver.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// # drop(sender);
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_within(WaitLimit::For(timeout), Location::caller())
    }

    /// Receives a message, waiting until `deadline` at the latest; otherwise like
    /// [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, RecvTimeoutError};
    /// use std::time::Instant;
    ///
    /// let (_sender, receiver) = unbounded::<()>();
    /// let late = receiver.recv_deadline(Instant::now());
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(WaitLimit::Until(deadline), Location::caller())
    }

    #[inline(always)]
    fn recv_within(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<T, RecvTimeoutError> {
        let slot = RecvSlot::new();
        match self.take(&slot, limit, at) {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { slot.take_unchecked() }),
            Err(Unreceived::Empty) => Err(RecvTimeoutError::Timeout),
            Err(Unreceived::Disconnected) => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// Returns `true` if there is no message in the channel. Always `true` at capacity 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::channel::unbounded();
    /// assert!(receiver.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!receiver.is_empty());
    /// ```
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the channel is full. Always `true` at capacity 0. Receivers without
    /// senders hold one message at most.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::channel::bounded(1);
    /// assert!(!receiver.is_full());
    /// sender.send(1).unwrap();
    /// assert!(receiver.is_full());
    /// ```
    #[track_caller]
    pub fn is_full(&self) -> bool {
        poll_budget_quietly(Location::caller());
        match self.counter() {
            Ok(counter) => counter.chan.is_full(),
            Err(_) if matches!(self.kind, Kind::Never(_)) => true,
            Err(source) => source.is_ready(),
        }
    }

    /// Returns the number of messages in the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::channel::unbounded();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    #[track_caller]
    pub fn len(&self) -> usize {
        poll_budget_quietly(Location::caller());
        match self.counter() {
            Ok(counter) => counter.chan.len(),
            Err(source) => usize::from(source.is_ready()),
        }
    }

    /// Returns the capacity, or `None` if the channel is unbounded.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, unbounded};
    ///
    /// assert_eq!(bounded::<u8>(3).1.capacity(), Some(3));
    /// assert_eq!(unbounded::<u8>().1.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match &self.kind {
            Kind::TypedSource(_) => Some(1),
            Kind::Never(_) => Some(0),
            Kind::Chan(..) => self.counter().ok()?.chan.capacity(),
        }
    }

    /// Returns `true` if both receive from the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_sender, receiver) = rustlet::sync::broadcast::channel::<()>(2);
    /// assert!(receiver.same_channel(&receiver.resubscribe()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Chan(one, _), Kind::Chan(other, _)) => one == other,
            (Kind::TypedSource(one), Kind::TypedSource(other)) => Arc::ptr_eq(one, other),
            (Kind::Never(_), Kind::Never(_)) => true,
            _ => false,
        }
    }

    /// Closes the channel, as if this receiver, its clones and all senders were dropped: no more
    /// messages are received.
    pub(crate) fn close(&self) {
        if let Ok(counter) = self.counter() {
            counter.chan.disconnect_senders();
            counter.chan.disconnect_receivers();
        }
    }

    /// Returns an address that identifies the channel.
    pub(super) fn address(&self) -> usize {
        match &self.kind {
            Kind::Chan(counter, _) => counter.as_ptr().addr(),
            Kind::TypedSource(source) => Arc::as_ptr(source).cast::<()>().addr(),
            Kind::Never(_) => ptr::null::<()>().addr(),
        }
    }
}

#[cold]
#[inline(never)]
fn wait_for_source(source: &dyn ReadyCheck, slot: *mut (), wait: Wait) -> Result<(), Unreceived> {
    let arms = [(Arm::PollSource(source), slot)];
    let sleep = ThreadPark::new(&arms, &PollOrder::Written, true, wait);
    let arms = Operations {
        arms: &arms,
        order: &PollOrder::Written,
    };
    // PL1 in `poll_source.rs`.
    arms.select(Some(sleep))
        .map(|_| ())
        .ok_or(Unreceived::Empty)
}

#[cold]
#[inline(never)]
fn try_source(source: &dyn ReadyCheck, slot: *mut ()) -> Result<(), Unreceived> {
    // SAFETY: PL1 in `poll_source.rs`: the receiver and its source have the same type.
    match unsafe { source.poll(slot) } {
        true => Ok(()),
        false => Err(Unreceived::Empty),
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        match &self.kind {
            &Kind::Chan(counter, _) => {
                // SAFETY: RE1.
                unsafe { counter.as_ref() }.add_handle(Op::Recv);
                Receiver::new(counter)
            }
            Kind::TypedSource(source) => Receiver::from_source(Arc::clone(source)),
            Kind::Never(_) => Receiver::never(),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Kind::Chan(counter, _) = self.kind {
            // SAFETY: RE1.
            unsafe { Counter::drop_handle(counter, Op::Recv) };
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
