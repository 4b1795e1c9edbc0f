#![allow(unsafe_code, reason = "a counted pointer to the channel")]
//! The receiving side of a channel, and what is received from without a channel.
//!
//! RE1. A receiver of a channel is counted in its hub, so the hub is there (HU1 in `hub.rs`).
//! RE2. After a success the message is in its place, to be taken once.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::outcome::Side;
use super::core::outcome::Unreceived;
use super::core::slot::Place;
use super::hub::Hub;
use super::limit::{Limit, give_way};
use super::select::polled::{Asked, Never, Question, Sleeping, ThreadArm};
use super::select::several::{Arm, Arms, Order};
use super::{RecvError, RecvTimeoutError, TryRecvError};
use crate::green::budget::spend_quietly;
use crate::green::{OnCancel, Reason, Wait};

/// The receiving side of a channel. Clone it to receive in several threads, or share it; each message goes to one.
///
/// Timers ([`after`](super::after), [`tick`](super::tick)) and other things that can be waited for are receivers too.
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
    Chan(NonNull<Hub<T>>, PhantomData<Hub<T>>),
    Asked(Arc<dyn Asked<T>>),
    Never(Never<T>),
}

// SAFETY: messages go from thread to thread; the hub is made for it, and questions are `Send` and `Sync`.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// The one that `Hub::open` has counted.
    pub(super) fn new(hub: NonNull<Hub<T>>) -> Receiver<T> {
        Receiver {
            kind: Kind::Chan(hub, PhantomData),
        }
    }

    pub(super) fn asking(question: Arc<dyn Asked<T>>) -> Receiver<T> {
        Receiver {
            kind: Kind::Asked(question),
        }
    }

    pub(super) const fn silent() -> Receiver<T> {
        Receiver {
            kind: Kind::Never(Never(PhantomData)),
        }
    }

    #[inline(always)]
    fn hub(&self) -> Result<&Hub<T>, &dyn Question> {
        match &self.kind {
            // SAFETY: RE1.
            Kind::Chan(hub, _) => Ok(unsafe { hub.as_ref() }),
            Kind::Asked(question) => Err(&**question),
            Kind::Never(never) => Err(never),
        }
    }

    /// As a select sees it.
    pub(super) fn arm(&self) -> ThreadArm<'_> {
        match self.hub() {
            Ok(hub) => Arm::meeting(Side::Recv, &hub.chan),
            Err(question) => Arm::Polled(question),
        }
    }

    #[inline(always)]
    fn take(
        &self,
        place: &Place<T>,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<(), Unreceived> {
        give_way(at);
        let wait = || {
            Wait::at(Reason::Receive, at)
                .until(limit.tick())
                .on_cancel(OnCancel::Defer)
        };
        match self.hub() {
            Ok(hub) => hub.chan.recv(place, wait),
            Err(question) => wait_for_answer(question, place.slot(), wait()),
        }
    }

    /// Receives a message, and waits for one if there is none.
    ///
    /// # Errors
    ///
    /// The channel is empty and all senders are gone, or go while it waits.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; no message has been taken then.
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        let place = Place::new();
        match self.take(&place, Limit::Never, Location::caller()) {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { place.come() }),
            Err(_) => Err(RecvError),
        }
    }

    /// Receives a message if that needs no wait.
    ///
    /// # Errors
    ///
    /// There is none; or there is none, and all senders are gone.
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
        give_way(Location::caller());
        let place = Place::new();
        let result = match self.hub() {
            Ok(hub) => hub.chan.try_recv(&place),
            Err(question) => ask(question, place.slot()),
        };
        match result {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { place.come() }),
            Err(Unreceived::Empty) => Err(TryRecvError::Empty),
            Err(Unreceived::Disconnected) => Err(TryRecvError::Disconnected),
        }
    }

    /// As [`recv`](Receiver::recv), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is up; or the channel is empty and all senders are gone.
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
        self.recv_within(Limit::For(timeout), Location::caller())
    }

    /// As [`recv`](Receiver::recv), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    #[track_caller]
    #[inline(always)]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(Limit::Until(deadline), Location::caller())
    }

    #[inline(always)]
    fn recv_within(
        &self,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<T, RecvTimeoutError> {
        let place = Place::new();
        match self.take(&place, limit, at) {
            // SAFETY: RE2.
            Ok(()) => Ok(unsafe { place.come() }),
            Err(Unreceived::Empty) => Err(RecvTimeoutError::Timeout),
            Err(Unreceived::Disconnected) => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// Whether there is no message in the channel. Always so at capacity 0.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel is full. Always so at capacity 0. What has no sender holds one message at most.
    #[track_caller]
    pub fn is_full(&self) -> bool {
        spend_quietly(Location::caller());
        match self.hub() {
            Ok(hub) => hub.chan.is_full(),
            Err(_) if matches!(self.kind, Kind::Never(_)) => true,
            Err(question) => question.is_ready(),
        }
    }

    /// How many messages are in the channel.
    #[track_caller]
    pub fn len(&self) -> usize {
        spend_quietly(Location::caller());
        match self.hub() {
            Ok(hub) => hub.chan.len(),
            Err(question) => usize::from(question.is_ready()),
        }
    }

    /// How many it can hold; none if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        match &self.kind {
            Kind::Asked(_) => Some(1),
            Kind::Never(_) => Some(0),
            Kind::Chan(..) => self.hub().ok()?.chan.capacity(),
        }
    }

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Chan(one, _), Kind::Chan(other, _)) => one == other,
            (Kind::Asked(one), Kind::Asked(other)) => Arc::ptr_eq(one, other),
            (Kind::Never(_), Kind::Never(_)) => true,
            _ => false,
        }
    }

    /// As if it, its clones and all senders were dropped: nothing is received from the channel any more.
    pub(crate) fn close(&self) {
        if let Ok(hub) = self.hub() {
            hub.chan.disconnect_senders();
            hub.chan.disconnect_receivers();
        }
    }

    /// Where it is, to tell it from other channels.
    pub(super) fn address(&self) -> usize {
        match &self.kind {
            Kind::Chan(hub, _) => hub.as_ptr().addr(),
            Kind::Asked(question) => Arc::as_ptr(question).cast::<()>().addr(),
            Kind::Never(_) => ptr::null::<()>().addr(),
        }
    }
}

#[cold]
#[inline(never)]
fn wait_for_answer(question: &dyn Question, slot: *mut (), wait: Wait) -> Result<(), Unreceived> {
    let arms = [(Arm::Polled(question), slot)];
    let sleep = Sleeping::new(&arms, &Order::Written, true, wait);
    let arms = Arms {
        arms: &arms,
        order: &Order::Written,
    };
    // PL1 in `polled.rs`.
    arms.select(Some(sleep))
        .map(|_| ())
        .ok_or(Unreceived::Empty)
}

#[cold]
#[inline(never)]
fn ask(question: &dyn Question, slot: *mut ()) -> Result<(), Unreceived> {
    // SAFETY: PL1 in `polled.rs`: it gives what its receiver is made for.
    match unsafe { question.poll(slot) } {
        true => Ok(()),
        false => Err(Unreceived::Empty),
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        match &self.kind {
            &Kind::Chan(hub, _) => {
                // SAFETY: RE1.
                unsafe { hub.as_ref() }.join(Side::Recv);
                Receiver::new(hub)
            }
            Kind::Asked(question) => Receiver::asking(Arc::clone(question)),
            Kind::Never(_) => Receiver::silent(),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Kind::Chan(hub, _) = self.kind {
            // SAFETY: RE1.
            unsafe { Hub::leave(hub, Side::Recv) };
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
