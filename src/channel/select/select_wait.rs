#![allow(
    unsafe_code,
    reason = "nodes are linked into the wait queues of several channels"
)]
//! Waiting at several channels at once: the engine of `select!` and
//! [`Select`](crate::channel::select::dynamic::Select).
//!
//! 1. Try each channel, in a random order: the first ready operation is performed, and that is all.
//! 2. Lock all of them, in the order of their addresses, and try again. If nothing is ready now,
//!    enter the wait queue of each with one `Waiter`, and unlock. So no thread finds a waiter that
//!    is in some queues only, and two selects that wait for each other cannot miss each other.
//! 3. Wait. The thread that claims the waiter performs the operation (see `chan.rs`); no other can.
//! 4. Leave the other queues.
//!
//! A select that must not wait does 1 and the try of 2: "nothing is ready" must hold at one moment.
//!
//! A source that is not a channel with a lock (a timer, a latch) is *polled*: in 1, and again
//! whenever the thread is woken; before it takes the result, it must withdraw its waiter.
//!
//! SV1. Each arm's slot fits its operation (see [`SelectChannel`]) and does not move; its owner
//!      reads it when the choice has been made.
//! SV2. Entries do not move between `push` and the unlinking that follows every wait; no wait
//!      unwinds (CH5 in `chan.rs`).

use std::cell::Cell;
use std::ptr;

use super::poll_order::{INLINE_OPS, PollOrder};
use crate::channel::core::chan::{Core, CoreGuard};
use crate::channel::core::channel_thread::ChannelThread;
use crate::channel::core::outcome::Op;
use crate::channel::core::select_channel::{SelectChannel, TryOutcome};
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_queue::{WaitNode, Waiter};

/// A source to be polled: a receiver without senders.
pub(crate) trait PollSource {
    /// Performs the operation if it is ready: fills the slot, a `RecvSlot` for its message.
    ///
    /// # Safety
    ///
    /// SV1.
    unsafe fn poll(&self, slot: *mut ()) -> bool;

    fn is_ready(&self) -> bool;
}

/// One of the operations of a select.
pub(crate) enum Arm<'a, S: ChannelThread, P: ?Sized> {
    SelectChannel(Op, &'a Spin<Core<S>>, &'a dyn SelectChannel<S>),
    PollSource(&'a P),
}

impl<'a, S: ChannelThread, P: ?Sized> Arm<'a, S, P> {
    /// Creates the arm for one side of a channel.
    #[inline]
    pub(crate) fn channel(op: Op, channel: &'a dyn SelectChannel<S>) -> Arm<'a, S, P> {
        Arm::SelectChannel(op, channel.core(), channel)
    }
}

impl<S: ChannelThread, P: ?Sized> Clone for Arm<'_, S, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ChannelThread, P: ?Sized> Copy for Arm<'_, S, P> {}

/// How a select's wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// Its waiter was claimed: it is done.
    Dequeued,
    /// The waiter was withdrawn, and this polled arm was performed.
    PollSource(usize),
    /// The waiter was withdrawn; try again.
    Again,
    /// The waiter was withdrawn, and the deadline has passed.
    Elapsed,
    /// The waiter was withdrawn, and the thread must unwind.
    Cancelled,
}

/// The wait of a select.
pub(crate) trait SelectPark<S: ChannelThread> {
    /// Waits until the waiter is claimed, or has been withdrawn. Does not unwind.
    fn park(&mut self, waiter: &Waiter<S>) -> WaitOutcome;

    /// Unwinds after [`WaitOutcome::Cancelled`], when all queues have been left.
    fn unwind(&mut self);
}

/// The node in the queue of one arm, and, until all have been visited, the lock of its channel.
struct SelectEntry<'a, S: ChannelThread> {
    node: WaitNode<S>,
    held: Cell<Option<CoreGuard<'a, S>>>,
    /// The arm that keeps the lock of this arm's channel: the first arm of the channel.
    keeper: Cell<usize>,
}

/// The arms and their slots.
pub(crate) struct Operations<'a, 's, S: ChannelThread, P: ?Sized> {
    pub(crate) arms: &'s [(Arm<'a, S, P>, *mut ())],
    pub(crate) order: &'s PollOrder,
}

impl<'a, S: ChannelThread, P: PollSource + ?Sized> Operations<'a, '_, S, P> {
    /// Performs steps 1 to 4. `pause` gets the waiter and waits; `None`: enter no queue. Returns
    /// the arm that was performed.
    pub(crate) fn select(&self, mut pause: Option<impl SelectPark<S>>) -> Option<usize> {
        loop {
            if let Some(done) = self.try_each() {
                return Some(done);
            }
            if pause.is_none() && !self.may_have_crossed() {
                return None;
            }
            let waiter = Waiter::shared(S::current());
            let entries = self.entries(&waiter);
            let enqueued = match (self.try_all(&entries), &mut pause) {
                (Some(enqueued), _) => enqueued,
                (None, Some(_)) => self.enqueue_all(&entries),
                (None, None) => {
                    Self::unlock(&entries);
                    return None;
                }
            };
            match enqueued {
                Enqueued::Done(done) => return Some(done),
                Enqueued::Again => continue,
                Enqueued::Queued => {}
            }
            let pause = pause.as_mut()?;
            let outcome = pause.park(&waiter);
            self.leave(&entries, waiter.done());
            match outcome {
                WaitOutcome::Dequeued => {
                    let done = waiter.done()?;
                    if self.is_delivered(done) {
                        return Some(done);
                    }
                }
                WaitOutcome::PollSource(done) => return Some(done),
                WaitOutcome::Again => {}
                WaitOutcome::Elapsed => return None,
                WaitOutcome::Cancelled => pause.unwind(),
            }
        }
    }

    /// Returns which arm is ready, without performing it. `pause` as in
    /// [`select`](Operations::select).
    pub(crate) fn ready(&self, mut pause: Option<impl SelectPark<S>>) -> Option<usize> {
        let ready = || {
            self.each().find(|&(_, arm, _)| match arm {
                Arm::SelectChannel(op, core, channel) => channel.is_ready(op, &mut core.lock()),
                Arm::PollSource(polled) => polled.is_ready(),
            })
        };
        loop {
            if let Some((at, ..)) = ready() {
                return Some(at);
            }
            if pause.is_none() && !self.may_have_crossed() {
                return None;
            }
            let waiter = Waiter::shared(S::current());
            let entries = self.entries(&waiter);
            let Some(pause) = pause.as_mut() else {
                return self.ready_at_once(&entries);
            };
            for (at, arm, _) in self.all() {
                if let Arm::SelectChannel(_, core, _) = arm {
                    let mut core = core.lock();
                    // SAFETY: L1, SV2.
                    unsafe { core.observers.push(&entries[at].node) };
                }
            }
            // A change before the queues were entered has notified no one.
            let found = ready();
            let outcome = match found {
                Some(_) if waiter.give_up() => WaitOutcome::Again,
                // It is done, or will be at once.
                _ => pause.park(&waiter),
            };
            for (at, arm, _) in self.all() {
                if let Arm::SelectChannel(_, core, _) = arm {
                    core.lock().observers.remove(&entries[at].node);
                }
            }
            match (found, outcome) {
                (Some((at, ..)), _) => return Some(at),
                (None, WaitOutcome::PollSource(at)) => return Some(at),
                (None, WaitOutcome::Elapsed) => return ready().map(|(at, ..)| at),
                (None, WaitOutcome::Dequeued | WaitOutcome::Again) => {}
                (None, WaitOutcome::Cancelled) => pause.unwind(),
            }
        }
    }

    /// Returns an arm that is ready at one moment.
    fn ready_at_once(&self, entries: &[SelectEntry<'a, S>]) -> Option<usize> {
        self.lock(entries);
        let mut channels = self.all().filter_map(|(at, arm, _)| match arm {
            Arm::SelectChannel(op, core, channel) => Some((at, op, core, channel)),
            Arm::PollSource(_) => None,
        });
        let found = channels.find(|&(at, op, core, channel)| {
            self.with_core(entries, (at, core), |core| channel.is_ready(op, core))
        });
        Self::unlock(entries);
        found.map(|(at, ..)| at)
    }

    /// Returns all arms in order, with their numbers.
    fn all(&self) -> impl Iterator<Item = (usize, Arm<'a, S, P>, *mut ())> {
        self.order.fixed(self.arms.len()).map(|at| {
            let (arm, slot) = self.arms[at];
            (at, arm, slot)
        })
    }

    /// Iterates over the arms in order, with their numbers.
    fn each(&self) -> impl Iterator<Item = (usize, Arm<'a, S, P>, *mut ())> {
        self.order.of(self.arms.len()).map(|at| {
            let (arm, slot) = self.arms[at];
            (at, arm, slot)
        })
    }

    /// Performs step 1.
    fn try_each(&self) -> Option<usize> {
        for (at, arm, slot) in self.each() {
            let done = match arm {
                Arm::SelectChannel(op, core, channel) => {
                    let mut core = core.lock();
                    // SAFETY: SV1.
                    let attempt = unsafe { channel.try_select(op, &mut core, slot) };
                    drop(core);
                    match attempt {
                        TryOutcome::Nothing => false,
                        TryOutcome::Done(after) => {
                            channel.conclude(after);
                            true
                        }
                        // SAFETY: SV1.
                        TryOutcome::Rendezvous(sender) => unsafe {
                            channel.rendezvous(sender, slot)
                        },
                    }
                }
                // SAFETY: SV1.
                Arm::PollSource(polled) => unsafe { polled.poll(slot) },
            };
            if done {
                return Some(at);
            }
        }
        None
    }

    fn entries(&self, waiter: &Waiter<S>) -> Vec<SelectEntry<'a, S>> {
        let entry = |(at, (_, slot)): (usize, &(Arm<'a, S, P>, *mut ()))| SelectEntry {
            node: WaitNode::new(waiter, at, *slot),
            held: Cell::new(None),
            keeper: Cell::new(at),
        };
        self.arms.iter().enumerate().map(entry).collect()
    }

    /// Returns whether trying one arm after the other can have found nothing although at each
    /// moment one was ready: an arm became ready after its try, before another one ceased to be.
    fn may_have_crossed(&self) -> bool {
        self.channels().nth(1).is_some()
    }

    /// Performs the try of step 2: leaves all locked if nothing is ready.
    fn try_all(&self, entries: &[SelectEntry<'a, S>]) -> Option<Enqueued> {
        self.lock(entries);
        for (at, arm, slot) in self.all() {
            let Arm::SelectChannel(op, core, channel) = arm else {
                continue;
            };
            let attempt = self.with_core(entries, (at, core), |core| {
                // SAFETY: SV1.
                unsafe { channel.try_select(op, core, slot) }
            });
            match attempt {
                TryOutcome::Nothing => continue,
                TryOutcome::Done(after) => {
                    Self::unlock(entries);
                    channel.conclude(after);
                    return Some(Enqueued::Done(at));
                }
                TryOutcome::Rendezvous(sender) => {
                    Self::unlock(entries);
                    // SAFETY: SV1.
                    return Some(match unsafe { channel.rendezvous(sender, slot) } {
                        true => Enqueued::Done(at),
                        false => Enqueued::Again,
                    });
                }
            }
        }
        None
    }

    /// Enters the queues in step 2: all are locked before, and none after.
    fn enqueue_all(&self, entries: &[SelectEntry<'a, S>]) -> Enqueued {
        let mut has_observers = false;
        // In this order too: a partner that meets the same channel twice claims the first.
        for (at, arm, _) in self.all() {
            if let Arm::SelectChannel(op, core, _) = arm {
                has_observers |= self.with_core(entries, (at, core), |core| {
                    // SAFETY: L1, SV2.
                    unsafe { core.wait_queue(op).push(&entries[at].node) };
                    core.waits_are_observed()
                });
            }
        }
        Self::unlock(entries);
        if has_observers {
            self.channels()
                .for_each(|channel| channel.notify_observers());
        }
        Enqueued::Queued
    }

    fn channels(&self) -> impl Iterator<Item = &'a dyn SelectChannel<S>> {
        self.arms.iter().filter_map(|&(arm, _)| match arm {
            Arm::SelectChannel(_, _, channel) => Some(channel),
            Arm::PollSource(_) => None,
        })
    }

    /// Locks each channel once, in the order of their addresses. The first arm of a channel keeps
    /// its lock.
    fn lock(&self, entries: &[SelectEntry<'a, S>]) {
        let address = |core: &Spin<Core<S>>| ptr::from_ref(core).addr();
        if self.arms.len() > INLINE_OPS {
            return self.lock_many(entries);
        }
        let mut last = 0;
        loop {
            let next = self
                .arms
                .iter()
                .zip(entries)
                .filter_map(|(&(arm, _), entry)| match arm {
                    Arm::SelectChannel(_, core, _) => Some((core, entry)),
                    Arm::PollSource(_) => None,
                })
                .filter(|(core, _)| address(core) > last)
                .min_by_key(|(core, _)| address(core));
            let Some((core, entry)) = next else {
                return;
            };
            last = address(core);
            entry.held.set(Some(core.lock()));
        }
    }

    /// Does the same for more arms than can be compared pairwise: others wait for their locks.
    #[cold]
    fn lock_many(&self, entries: &[SelectEntry<'a, S>]) {
        let core = |at: usize| match self.arms[at].0 {
            Arm::SelectChannel(_, core, _) => Some((ptr::from_ref(core).addr(), at, core)),
            Arm::PollSource(_) => None,
        };
        let mut cores: Vec<_> = (0..self.arms.len()).filter_map(core).collect();
        cores.sort_unstable_by_key(|&(address, at, _)| (address, at));
        for of_one in cores.chunk_by(|one, other| one.0 == other.0) {
            let (_, keeper, core) = of_one[0];
            for &(_, at, _) in of_one {
                entries[at].keeper.set(keeper);
            }
            entries[keeper].held.set(Some(core.lock()));
        }
    }

    fn unlock(entries: &[SelectEntry<'a, S>]) {
        for entry in entries {
            drop(entry.held.take());
        }
    }

    /// Calls `f` with the data of `core`, under the lock that the first arm of its channel keeps.
    fn with_core<R>(
        &self,
        entries: &[SelectEntry<'a, S>],
        (at, core): (usize, &Spin<Core<S>>),
        f: impl FnOnce(&mut Core<S>) -> R,
    ) -> R {
        let first = || {
            self.arms.iter().position(|&(arm, _)| match arm {
                Arm::SelectChannel(_, of, _) => ptr::eq(of, core),
                Arm::PollSource(_) => false,
            })
        };
        let keeper = match self.arms.len() > INLINE_OPS {
            true => entries[at].keeper.get(),
            false => first().unwrap_or_default(),
        };
        let held = &entries[keeper].held;
        let mut guard = held.take().expect("`lock` has locked it");
        let result = f(&mut guard);
        held.set(Some(guard));
        result
    }

    /// Performs step 4. The claimer has removed the claimed arm from its queue (L4).
    fn leave(&self, entries: &[SelectEntry<'a, S>], claimed: Option<usize>) {
        for (at, (&(arm, _), entry)) in self.arms.iter().zip(entries).enumerate() {
            if let Arm::SelectChannel(op, core, _) = arm
                && claimed != Some(at)
            {
                core.lock().wait_queue(op).remove(&entry.node);
            }
        }
    }

    /// Returns whether a claim has brought a result, or the partner has released its reservation.
    fn is_delivered(&self, at: usize) -> bool {
        let (arm, slot) = self.arms[at];
        match arm {
            Arm::SelectChannel(Op::Recv, _, channel) => {
                // SAFETY: SV1, it is done.
                let come = unsafe { channel.is_delivered(slot) };
                if !come {
                    // SAFETY: SV1, and out of all queues.
                    unsafe { channel.reset(slot) };
                }
                come
            }
            _ => true,
        }
    }
}

/// How step 2 has ended.
enum Enqueued {
    Queued,
    Done(usize),
    Again,
}
