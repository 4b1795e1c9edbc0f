#![allow(unsafe_code, reason = "values change frames under a lock")]
//! The one channel behind all capacities: 0, some, no limit. After Go's `chan.c`.
//!
//! A [`Spin`] guards who waits on either side, and the items in between. A sender that finds a waiting receiver writes the value
//! into the receiver's frame; a receiver that makes room moves the first waiting sender's value in; with capacity 0 values
//! go from frame to frame. So a thread that was woken has what it waited for, and nothing is tried twice.
//!
//! A select does not know the value that it will send before it has chosen. So there a sender is *lazy*: it gets a [`Pledge`], a place that
//! is kept free in the buffer or a partner that waits, and redeems it with the value.
//!
//! CH1. The queue is touched under the lock of the core only.
//! CH2. While receivers wait that can be claimed, the queue is empty. While senders wait that can be claimed, there is no room:
//!      `queue.len() + reserved >= capacity`.
//! CH3. Nodes in `receivers` have slots that are `Place<T>`, those in `senders` have slots that are `Head<S>`, and, if
//!      it is not lazy, the head of an `Offer<T, S>`; those in `watchers` have none.
//! CH4. No code of the user's runs under the lock, and nobody is woken.
//! CH5. A wait does not unwind ([`Waits::wait`]): whoever stands in line leaves it by the code that follows.

use std::cell::UnsafeCell;

use super::queue::Queue;
use super::sleep::{End, Waits};
use super::slot::{Fate, Head, Offer, Place, Pledge};
use crate::sync::line::{Claimed, Line, Node, Ticket};
use crate::sync::spin::{Held, Spin};

/// No limit.
pub(crate) const UNBOUNDED: usize = usize::MAX;

/// What is known of a channel without the type of its items.
#[derive(Debug)]
pub(crate) struct Core<S: Waits> {
    pub(super) receivers: Line<S>,
    pub(super) senders: Line<S>,
    /// Those who want to know when the channel becomes ready for something, and to look for themselves.
    pub(super) watchers: Line<S>,
    capacity: usize,
    /// Places in the buffer that are pledged.
    reserved: usize,
    senders_gone: bool,
    receivers_gone: bool,
}

/// See the module's text.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Chan<T, S: Waits> {
    core: Spin<Core<S>>,
    queue: UnsafeCell<Queue<T>>,
}

// SAFETY: CH1; values go from thread to thread, references to them do not.
unsafe impl<T: Send, S: Waits> Sync for Chan<T, S> {}
// SAFETY: as above.
unsafe impl<T: Send, S: Waits> Send for Chan<T, S> {}

/// What is left to do when the lock is released.
#[must_use]
#[derive(Debug)]
pub(crate) struct After<S: Waits> {
    waker: Option<S::Waker>,
    watched: bool,
}

/// What is to be had.
enum Take<T, S: Waits> {
    Value(T, After<S>),
    Nothing,
    Disconnected,
    /// A lazy sender, which was claimed.
    Meet(Claimed<'static, S>),
}

enum Put<T, S: Waits> {
    Done(After<S>),
    Full(T),
    Disconnected(T),
}

/// Why a value was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsent<T> {
    Full(T),
    Disconnected(T),
}

/// Why none was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    Empty,
    Disconnected,
}

/// How many are woken at a time when there may be many.
const BATCH: usize = 8;

impl<T, S: Waits> Chan<T, S> {
    pub(crate) fn new(capacity: usize) -> Chan<T, S> {
        Chan {
            core: Spin::new(Core {
                receivers: Line::new(),
                senders: Line::new(),
                watchers: Line::new(),
                capacity,
                reserved: 0,
                senders_gone: false,
                receivers_gone: false,
            }),
            queue: UnsafeCell::new(Queue::new(capacity)),
        }
    }

    pub(super) fn core(&self) -> &Spin<Core<S>> {
        &self.core
    }

    // --- under the lock ---

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the core's guard stands for it")]
    fn queue(&self, _core: &mut Core<S>) -> &mut Queue<T> {
        // SAFETY: CH1; a caller holds one at a time.
        unsafe { &mut *self.queue.get() }
    }

    #[inline(always)]
    fn has_room(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() + core.reserved < core.capacity
    }

    #[inline(always)]
    fn take(&self, core: &mut Core<S>) -> Take<T, S> {
        if let Some(value) = self.queue(core).pop() {
            let mut waker = None;
            if let Some(claimed) = core.senders.claim() {
                // CH3.
                let head = claimed.slot().cast::<Head<S>>();
                // SAFETY: the waiter's frame is there (L2), and ours to touch (SL1).
                let head = unsafe { &*head };
                if head.lazy {
                    head.pledge(Pledge::Room);
                    waker = Some(claimed.finish());
                    core.reserved += 1;
                } else {
                    let (offered, woken) = Self::relieve(claimed);
                    waker = Some(woken);
                    self.queue(core).push(offered);
                }
            }
            let watched = !core.watchers.is_empty();
            return Take::Value(value, After { waker, watched });
        }
        if core.capacity == 0
            && let Some(claimed) = core.senders.claim()
        {
            let head = claimed.slot().cast::<Head<S>>();
            // SAFETY: as above.
            if unsafe { &*head }.lazy {
                // SAFETY: `meet` finishes it.
                return Take::Meet(unsafe { claimed.detach() });
            }
            let (value, waker) = Self::relieve(claimed);
            let after = After {
                waker: Some(waker),
                watched: false,
            };
            return Take::Value(value, after);
        }
        if core.senders_gone {
            return Take::Disconnected;
        }
        Take::Nothing
    }

    /// Takes the value of a sender that was claimed, and is not lazy.
    #[inline(always)]
    fn relieve(claimed: Claimed<'_, S>) -> (T, S::Waker) {
        // CH3.
        let offer = claimed.slot().cast::<Offer<T, S>>();
        // SAFETY: L2, SL1.
        let offer = unsafe { &*offer };
        // SAFETY: SL3, claimed just now.
        let value = unsafe { offer.take() };
        offer.head.settle(Fate::Served);
        (value, claimed.finish())
    }

    #[inline(always)]
    fn put(&self, core: &mut Core<S>, value: T) -> Put<T, S> {
        if core.receivers_gone {
            return Put::Disconnected(value);
        }
        if let Some(claimed) = core.receivers.claim() {
            return Put::Done(After {
                waker: Some(Self::hand_over(claimed, value)),
                watched: false,
            });
        }
        if self.has_room(core) {
            self.queue(core).push(value);
            return Put::Done(After {
                waker: None,
                watched: !core.watchers.is_empty(),
            });
        }
        Put::Full(value)
    }

    #[inline(always)]
    fn hand_over(claimed: Claimed<'_, S>, value: T) -> S::Waker {
        // CH3.
        let place = claimed.slot().cast::<Place<T>>();
        // SAFETY: L2, SL1.
        unsafe { &*place }.fill(value);
        claimed.finish()
    }

    // --- the operations ---

    /// What an operation under the lock has left to do.
    #[inline(always)]
    fn conclude(&self, after: After<S>) {
        if let Some(waker) = after.waker {
            S::wake(waker);
        }
        if after.watched {
            self.tell_watchers();
        }
    }

    /// Waits for room (or a receiver) as `wait` says.
    #[inline(always)]
    pub(crate) fn send(
        &self,
        mut value: T,
        mut wait: impl FnMut() -> S::Wait,
    ) -> Result<(), Unsent<T>> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            value = match self.put(&mut core, value) {
                Put::Done(after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(());
                }
                Put::Disconnected(value) => {
                    drop(core);
                    return Err(Unsent::Disconnected(value));
                }
                Put::Full(value) => value,
            };
            let wait = made.get_or_insert_with(&mut wait);
            let ticket = Ticket::single(S::current());
            let offer = Offer::<T, S>::new(value);
            let node = Node::new(&ticket, 0, offer.slot());
            // SAFETY: L1: CH5, and all paths below know that it is unlinked.
            unsafe { core.senders.push(&node) };
            let watched = core.capacity == 0 && !core.watchers.is_empty();
            drop(core);
            if watched {
                self.tell_watchers();
            }
            let end = S::wait(&ticket, wait);
            if end == End::Done || !self.core.lock().senders.remove(&node) {
                if end != End::Done {
                    S::wait_out(&ticket);
                }
                if offer.head.fate() == Fate::Served {
                    return Ok(());
                }
                // SAFETY: SL3.
                return Err(Unsent::Disconnected(unsafe { offer.take() }));
            }
            // SAFETY: SL3, nobody has claimed it.
            value = unsafe { offer.take() };
            if end == End::Elapsed {
                return Err(Unsent::Full(value));
            }
            S::unwind(wait);
        }
    }

    #[inline(always)]
    pub(crate) fn try_send(&self, value: T) -> Result<(), Unsent<T>> {
        let mut core = self.core.lock();
        let put = self.put(&mut core, value);
        drop(core);
        match put {
            Put::Done(after) => {
                self.conclude(after);
                Ok(())
            }
            Put::Full(value) => Err(Unsent::Full(value)),
            Put::Disconnected(value) => Err(Unsent::Disconnected(value)),
        }
    }

    /// Waits for a value as `wait` says.
    #[inline(always)]
    pub(crate) fn recv(&self, mut wait: impl FnMut() -> S::Wait) -> Result<T, Unreceived> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            match self.take(&mut core) {
                Take::Value(value, after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(value);
                }
                Take::Disconnected => return Err(Unreceived::Disconnected),
                Take::Meet(sender) => {
                    drop(core);
                    match Self::meet(sender) {
                        Some(value) => return Ok(value),
                        None => continue,
                    }
                }
                Take::Nothing => {}
            }
            let wait = made.get_or_insert_with(&mut wait);
            let ticket = Ticket::single(S::current());
            let place = Place::new();
            let node = Node::new(&ticket, 0, place.slot());
            // SAFETY: L1: CH5, and all paths below know that it is unlinked.
            unsafe { core.receivers.push(&node) };
            let watched = core.capacity == 0 && !core.watchers.is_empty();
            drop(core);
            if watched {
                self.tell_watchers();
            }
            let end = S::wait(&ticket, wait);
            if end == End::Done || !self.core.lock().receivers.remove(&node) {
                if end != End::Done {
                    S::wait_out(&ticket);
                }
                match place.take() {
                    Some(value) => return Ok(value),
                    None if place.fate() == Fate::Disconnected => {
                        return Err(Unreceived::Disconnected);
                    }
                    None => continue,
                }
            }
            if end == End::Elapsed {
                return Err(Unreceived::Empty);
            }
            S::unwind(wait);
        }
    }

    #[inline(always)]
    pub(crate) fn try_recv(&self) -> Result<T, Unreceived> {
        loop {
            let mut core = self.core.lock();
            let take = self.take(&mut core);
            drop(core);
            match take {
                Take::Value(value, after) => {
                    self.conclude(after);
                    return Ok(value);
                }
                Take::Nothing => return Err(Unreceived::Empty),
                Take::Disconnected => return Err(Unreceived::Disconnected),
                Take::Meet(sender) => {
                    if let Some(value) = Self::meet(sender) {
                        return Ok(value);
                    }
                }
            }
        }
    }

    /// Receives from a lazy sender, face to face: it has been chosen, and works out its value. None: it has
    /// thought better of it.
    #[cold]
    fn meet(sender: Claimed<'static, S>) -> Option<T> {
        let ticket = Ticket::single(S::current());
        let place = Place::new();
        // CH3.
        let head = sender.slot().cast::<Head<S>>();
        // SAFETY: it is finished by `redeem` or `renounce`, which the sender's pledge sees to.
        let me = unsafe { Claimed::of(&ticket, place.slot()).detach() };
        // SAFETY: L2, SL1.
        unsafe { &*head }.pledge(Pledge::Partner(me));
        S::wake(sender.finish());
        S::wait_out(&ticket);
        place.take()
    }

    // --- for select ---

    /// Receives into the place, or says that it is disconnected, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of an open `Place<T>` of the caller's.
    pub(super) unsafe fn attempt_recv(&self, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        match self.take(core) {
            Take::Value(value, after) => {
                place.fill(value);
                Attempt::Done(after)
            }
            Take::Nothing => Attempt::Nothing,
            Take::Disconnected => {
                place.settle(Fate::Disconnected);
                Attempt::Done(After {
                    waker: None,
                    watched: false,
                })
            }
            Take::Meet(sender) => Attempt::Meet(sender),
        }
    }

    /// Finishes an attempt that came upon a lazy sender. False: it has thought better of it.
    ///
    /// # Safety
    ///
    /// As [`attempt_recv`](Chan::attempt_recv).
    #[cold]
    pub(super) unsafe fn attempt_meeting(
        &self,
        sender: Claimed<'static, S>,
        slot: *mut (),
    ) -> bool {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        Self::meet(sender).map(|value| place.fill(value)).is_some()
    }

    /// Gets a pledge, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of a lazy `Head<S>` of the caller's.
    pub(super) unsafe fn attempt_send(&self, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        // SAFETY: by the contract.
        let head = unsafe { &*slot.cast::<Head<S>>() };
        let pledge = if core.receivers_gone {
            Pledge::Disconnected
        } else if core.capacity == 0 {
            match core.receivers.claim() {
                // SAFETY: by `redeem` or `renounce`.
                Some(receiver) => Pledge::Partner(unsafe { receiver.detach() }),
                None => return Attempt::Nothing,
            }
        } else if self.has_room(core) {
            core.reserved += 1;
            Pledge::Room
        } else {
            return Attempt::Nothing;
        };
        head.pledge(pledge);
        Attempt::Done(After {
            waker: None,
            watched: false,
        })
    }

    /// Sends what was pledged. Never waits.
    pub(crate) fn redeem(&self, pledge: Pledge<S>, value: T) -> Result<(), T> {
        match pledge {
            Pledge::Partner(receiver) => {
                S::wake(Self::hand_over(receiver, value));
                Ok(())
            }
            Pledge::Room => {
                let mut core = self.core.lock();
                core.reserved -= 1;
                let put = self.put(&mut core, value);
                // A receiver that waited has it: the room is still there.
                let room = !core.senders.is_empty();
                drop(core);
                let result = match put {
                    Put::Done(after) => {
                        self.conclude(after);
                        Ok(())
                    }
                    Put::Disconnected(value) | Put::Full(value) => Err(value),
                };
                if room {
                    self.admit();
                }
                result
            }
            Pledge::None | Pledge::Disconnected => Err(value),
        }
    }

    /// Gives a pledge back.
    #[cold]
    pub(crate) fn renounce(&self, pledge: Pledge<S>) {
        match pledge {
            Pledge::Partner(receiver) => {
                // CH3.
                let place = receiver.slot().cast::<Place<T>>();
                // SAFETY: L2, SL1.
                unsafe { &*place }.settle(Fate::Again);
                S::wake(receiver.finish());
            }
            Pledge::Room => {
                let mut core = self.core.lock();
                core.reserved -= 1;
                let watched = !core.watchers.is_empty();
                drop(core);
                self.admit();
                if watched {
                    self.tell_watchers();
                }
            }
            Pledge::None | Pledge::Disconnected => {}
        }
    }

    /// Restores CH2 when a place has become free otherwise than by a receiver.
    #[cold]
    fn admit(&self) {
        loop {
            let mut core = self.core.lock();
            if !self.has_room(&mut core) {
                return;
            }
            let Some(claimed) = core.senders.claim() else {
                return;
            };
            // CH3.
            let head = claimed.slot().cast::<Head<S>>();
            // SAFETY: L2, SL1.
            let head = unsafe { &*head };
            if head.lazy {
                head.pledge(Pledge::Room);
                let waker = claimed.finish();
                core.reserved += 1;
                drop(core);
                S::wake(waker);
                continue;
            }
            let (value, waker) = Self::relieve(claimed);
            let put = self.put(&mut core, value);
            drop(core);
            S::wake(waker);
            match put {
                Put::Done(after) => self.conclude(after),
                // Whoever disconnects claims all that wait, so none would have been found; but if so, it is as if it had been sent
                // just before.
                Put::Full(value) | Put::Disconnected(value) => drop(value),
            }
        }
    }

    pub(super) fn is_ready_to_recv(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() > 0
            || core.senders_gone
            || (core.capacity == 0 && core.senders.is_claimable())
    }

    pub(super) fn is_ready_to_send(&self, core: &mut Core<S>) -> bool {
        core.receivers_gone
            || self.has_room(core)
            || (core.capacity == 0 && core.receivers.is_claimable())
    }

    /// Wakes those who watch: they look for themselves.
    #[cold]
    pub(super) fn tell_watchers(&self) {
        self.wake_all(|core| core.watchers.claim().map(Claimed::finish));
    }

    // --- ends ---

    /// Nobody will send any more: who waits for a value is told. What is in the channel can still be received.
    #[cold]
    pub(crate) fn disconnect_senders(&self) {
        self.core.lock().senders_gone = true;
        self.wake_all(|core| {
            let claimed = core.receivers.claim()?;
            // CH3.
            let place = claimed.slot().cast::<Place<T>>();
            // SAFETY: L2, SL1.
            unsafe { &*place }.settle(Fate::Disconnected);
            Some(claimed.finish())
        });
        self.tell_watchers();
    }

    /// Nobody will receive any more: who waits to send is told, and what is in the channel is dropped.
    #[cold]
    pub(crate) fn disconnect_receivers(&self) {
        let mut core = self.core.lock();
        core.receivers_gone = true;
        let capacity = core.capacity;
        let left = std::mem::replace(self.queue(&mut core), Queue::new(capacity));
        drop(core);
        self.wake_all(|core| {
            let claimed = core.senders.claim()?;
            // CH3.
            let head = claimed.slot().cast::<Head<S>>();
            // SAFETY: L2, SL1.
            unsafe { &*head }.settle(Fate::Disconnected);
            Some(claimed.finish())
        });
        self.tell_watchers();
        drop(left);
    }

    /// Claims until there is none to be claimed; wakes them under no lock, some at a time.
    fn wake_all(&self, mut claim: impl FnMut(&mut Core<S>) -> Option<S::Waker>) {
        loop {
            let mut core = self.core.lock();
            let wakers: [_; BATCH] = std::array::from_fn(|_| claim(&mut core));
            drop(core);
            let all = wakers.last().is_some_and(Option::is_none);
            wakers.into_iter().flatten().for_each(S::wake);
            if all {
                return;
            }
        }
    }

    // --- questions ---

    pub(crate) fn len(&self) -> usize {
        self.queue(&mut self.core.lock()).len()
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(&mut self.core.lock())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        let capacity = self.core.lock().capacity;
        (capacity != UNBOUNDED).then_some(capacity)
    }
}

/// What a select finds at one of its channels.
#[derive(Debug)]
pub(crate) enum Attempt<S: Waits> {
    Nothing,
    Done(After<S>),
    /// A lazy sender: to be met when no lock is held.
    Meet(Claimed<'static, S>),
}

/// A channel, for a select that does not know the type of its items.
///
/// # Safety
///
/// `attempt` and `meet` fill slots as their contracts say, `side` is the line that the nodes with such slots stand in.
pub(crate) unsafe trait Meeting<S: Waits> {
    fn core(&self) -> &Spin<Core<S>>;

    /// # Safety
    ///
    /// `core` is what [`core`](Meeting::core) guards, `slot` fits the side: an open `Place<T>`, or a lazy `Head<S>`.
    unsafe fn attempt(&self, side: Side, core: &mut Core<S>, slot: *mut ()) -> Attempt<S>;

    /// After an attempt of a receiver. False: begin again.
    ///
    /// # Safety
    ///
    /// `slot` is that of the attempt.
    unsafe fn meet(&self, sender: Claimed<'static, S>, slot: *mut ()) -> bool;

    fn is_ready(&self, side: Side, core: &mut Core<S>) -> bool;

    fn conclude(&self, after: After<S>);

    fn tell_watchers(&self);

    /// Whether a receiver that has waited has something to say: a value, or that there is none to come.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `Place<T>` whose ticket is done.
    unsafe fn has_come(&self, slot: *mut ()) -> bool;

    /// Makes a `Place<T>` open again.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `Place<T>` that nobody else knows.
    unsafe fn reset(&self, slot: *mut ());
}

/// What a select wants of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Send,
    Recv,
}

impl<S: Waits> Core<S> {
    #[inline]
    pub(super) fn line(&mut self, side: Side) -> &mut Line<S> {
        match side {
            Side::Send => &mut self.senders,
            Side::Recv => &mut self.receivers,
        }
    }

    /// Whether a thread that begins to wait makes the other side ready, and somebody wants to know.
    pub(super) fn waits_are_watched(&self) -> bool {
        self.capacity == 0 && !self.watchers.is_empty()
    }
}

// SAFETY: see each.
unsafe impl<T, S: Waits> Meeting<S> for Chan<T, S> {
    fn core(&self) -> &Spin<Core<S>> {
        self.core()
    }

    unsafe fn attempt(&self, side: Side, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        match side {
            // SAFETY: by the contract.
            Side::Send => unsafe { self.attempt_send(core, slot) },
            // SAFETY: by the contract.
            Side::Recv => unsafe { self.attempt_recv(core, slot) },
        }
    }

    unsafe fn meet(&self, sender: Claimed<'static, S>, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        unsafe { self.attempt_meeting(sender, slot) }
    }

    fn is_ready(&self, side: Side, core: &mut Core<S>) -> bool {
        match side {
            Side::Send => self.is_ready_to_send(core),
            Side::Recv => self.is_ready_to_recv(core),
        }
    }

    fn conclude(&self, after: After<S>) {
        Chan::conclude(self, after);
    }

    fn tell_watchers(&self) {
        Chan::tell_watchers(self);
    }

    unsafe fn has_come(&self, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        matches!(place.fate(), Fate::Served | Fate::Disconnected)
    }

    unsafe fn reset(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { &*slot.cast::<Place<T>>() }.reset();
    }
}

/// A guard on a channel, whatever its items.
pub(crate) type HeldCore<'a, S> = Held<'a, Core<S>>;
