#![allow(unsafe_code, reason = "nodes stand in the lines of several channels")]
//! Waiting at several channels at once: the engine of `select!` and
//! [`Select`](crate::channel::select::dynamic::Select).
//!
//! 1. Try each channel, in a random order: the first ready operation is performed, and that is all.
//! 2. Lock all of them, in the order of their addresses, and try again. If nothing is ready now,
//!    enter the wait queue of each with one ticket, and unlock. So no thread finds a waiter that is
//!    in some queues only, and two selects that wait for each other cannot miss each other.
//! 3. Wait. The thread that claims the ticket performs the operation (see `chan.rs`); no other can.
//! 4. Leave the other queues.
//!
//! A select that must not wait does 1 and the try of 2: "nothing is ready" must hold at one moment.
//!
//! A source that is not a channel with a lock (a timer, a question) is *polled*: in 1, and again
//! whenever the thread is woken; before it takes the result, it must get its own ticket back.
//!
//! SV1. Each arm's slot fits its side (see [`SelectChannel`]) and does not move; its owner reads it
//!      when the choice has been made.
//! SV2. Stands do not move between `push` and the unlinking that follows every wait; no wait
//!      unwinds (CH5 in `chan.rs`).

use std::cell::{Cell, RefCell};
use std::ptr;

use crate::channel::core::chan::{Core, HeldCore};
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
    pub(crate) fn meeting(side: Op, channel: &'a dyn SelectChannel<S>) -> Arm<'a, S, P> {
        Arm::SelectChannel(side, channel.core(), channel)
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
    /// Its ticket was claimed: it is done.
    Dequeued,
    /// Its ticket is its own again, and this polled arm was performed.
    PollSource(usize),
    /// The ticket is its own again; try again.
    Again,
    /// The ticket is its own again, and the deadline has passed.
    Elapsed,
    /// The ticket is its own again, and the thread must unwind.
    Cancelled,
}

/// The wait of a select.
pub(crate) trait SelectPark<S: ChannelThread> {
    /// Waits until the ticket is claimed, or has been withdrawn. Does not unwind.
    fn park(&mut self, waiter: &Waiter<S>) -> WaitOutcome;

    /// Unwinds after [`WaitOutcome::Cancelled`], when all queues have been left.
    fn unwind(&mut self);
}

/// The order in which arms are tried. The first ready one is performed, so the choice among the
/// ready ones is uniform if each permutation is as likely as any other. A random start is not
/// enough: it favours an arm that follows many that are not ready.
///
/// A permutation is drawn step by step (Fisher and Yates, from the front), no further than it is
/// read: if many arms are ready, one or two steps are enough.
#[derive(Debug)]
pub(crate) enum PollOrder {
    /// As they are written.
    Written,
    Few(FewShuffled),
    Many(RefCell<ManyShuffled>),
}

impl PollOrder {
    /// A permutation of `count` arms, uniform as far as `random` is one of all numbers.
    #[inline]
    pub(crate) fn shuffled(count: usize, random: impl FnOnce() -> u64) -> PollOrder {
        if count < 2 {
            PollOrder::Written
        } else if count <= INLINE_OPS {
            PollOrder::Few(FewShuffled::new(random()))
        } else {
            PollOrder::Many(RefCell::new(ManyShuffled::new(count, random())))
        }
    }

    /// The arms in order, of `count`, which is the number that it was made for.
    #[inline]
    pub(crate) fn of(&self, count: usize) -> impl Iterator<Item = usize> {
        (0..count).map(move |step| match self {
            PollOrder::Written => step,
            PollOrder::Few(few) => few.arm(step, count),
            PollOrder::Many(many) => many.borrow_mut().arm(step),
        })
    }
}

/// A permutation of at most [`INLINE_OPS`] arms.
#[derive(Debug)]
pub(crate) struct FewShuffled {
    /// Four bits each, the first in the lowest.
    arms: Cell<u64>,
    /// So many are drawn.
    drawn: Cell<usize>,
    /// What is left of a random number, read as a fraction. One is enough for all steps: 16! has 45
    /// bits.
    random: Cell<u64>,
}

impl FewShuffled {
    #[inline]
    fn new(random: u64) -> FewShuffled {
        FewShuffled {
            arms: Cell::new(0xFEDC_BA98_7654_3210),
            drawn: Cell::new(0),
            random: Cell::new(random),
        }
    }

    /// The arm at `step`. All before it have been asked for.
    #[inline]
    fn arm(&self, step: usize, count: usize) -> usize {
        let here = 4 * step;
        if step >= self.drawn.get() {
            let (ahead, rest) = scale(self.random.get(), (count - step) as u64);
            self.random.set(rest);
            let arms = self.arms.get();
            let there = here + 4 * ahead as usize;
            let differ = (arms >> here ^ arms >> there) & 15;
            self.arms.set(arms ^ differ << here ^ differ << there);
            self.drawn.set(step + 1);
        }
        (self.arms.get() >> here & 15) as usize
    }
}

/// A permutation of more.
#[derive(Debug)]
pub(crate) struct ManyShuffled {
    arms: Vec<u32>,
    drawn: usize,
    /// The state of a generator: splitmix64.
    random: u64,
}

impl ManyShuffled {
    #[cold]
    fn new(count: usize, random: u64) -> ManyShuffled {
        let count = u32::try_from(count).expect("fewer than 2^32 arms");
        ManyShuffled {
            arms: (0..count).collect(),
            drawn: 0,
            random,
        }
    }

    /// As [`FewShuffled::arm`].
    fn arm(&mut self, step: usize) -> usize {
        if step >= self.drawn {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut random = self.random;
            random = (random ^ random >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            random = (random ^ random >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            random ^= random >> 31;
            let (ahead, _) = scale(random, (self.arms.len() - step) as u64);
            self.arms.swap(step, step + ahead as usize);
            self.drawn = step + 1;
        }
        self.arms[step] as usize
    }
}

/// A random number below `limit`, and what is left of `random` for the next.
#[inline]
fn scale(random: u64, limit: u64) -> (u64, u64) {
    let product = u128::from(random) * u128::from(limit);
    ((product >> 64) as u64, product as u64)
}

/// The maximum number of arms that are ordered, and compared with each other, without an
/// allocation: four bits identify one.
const INLINE_OPS: usize = 16;

/// The node in the queue of one arm, and, until all have been visited, the lock of its channel.
struct SelectEntry<'a, S: ChannelThread> {
    node: WaitNode<S>,
    held: Cell<Option<HeldCore<'a, S>>>,
    /// The arm that keeps the lock of this arm's channel: the first arm of the channel.
    keeper: Cell<usize>,
}

/// The arms and their slots.
pub(crate) struct Operations<'a, 's, S: ChannelThread, P: ?Sized> {
    pub(crate) arms: &'s [(Arm<'a, S, P>, *mut ())],
    pub(crate) order: &'s PollOrder,
}

impl<'a, S: ChannelThread, P: PollSource + ?Sized> Operations<'a, '_, S, P> {
    /// Performs steps 1 to 4. `pause` gets the ticket and waits; `None`: enter no queue. Returns
    /// the arm that was performed.
    pub(crate) fn select(&self, mut pause: Option<impl SelectPark<S>>) -> Option<usize> {
        loop {
            if let Some(done) = self.look() {
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
                Arm::SelectChannel(side, core, channel) => channel.is_ready(side, &mut core.lock()),
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
            for (at, arm, _) in self.each() {
                if let Arm::SelectChannel(_, core, _) = arm {
                    let mut core = core.lock();
                    // SAFETY: L1, SV2.
                    unsafe { core.watchers.push(&entries[at].node) };
                }
            }
            // A change before the queues were entered has notified no one.
            let found = ready();
            let outcome = match found {
                Some(_) if waiter.give_up() => WaitOutcome::Again,
                // It is done, or will be at once.
                _ => pause.park(&waiter),
            };
            for (at, arm, _) in self.each() {
                if let Arm::SelectChannel(_, core, _) = arm {
                    core.lock().watchers.remove(&entries[at].node);
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
        let mut meetings = self.each().filter_map(|(at, arm, _)| match arm {
            Arm::SelectChannel(side, core, channel) => Some((at, side, core, channel)),
            Arm::PollSource(_) => None,
        });
        let found = meetings.find(|&(at, side, core, channel)| {
            self.with_core(entries, (at, core), |core| channel.is_ready(side, core))
        });
        Self::unlock(entries);
        found.map(|(at, ..)| at)
    }

    /// Iterates over the arms in order, with their numbers.
    fn each(&self) -> impl Iterator<Item = (usize, Arm<'a, S, P>, *mut ())> {
        self.order.of(self.arms.len()).map(|at| {
            let (arm, slot) = self.arms[at];
            (at, arm, slot)
        })
    }

    /// Performs step 1.
    fn look(&self) -> Option<usize> {
        for (at, arm, slot) in self.each() {
            let done = match arm {
                Arm::SelectChannel(side, core, channel) => {
                    let mut core = core.lock();
                    // SAFETY: SV1.
                    let attempt = unsafe { channel.try_select(side, &mut core, slot) };
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
        let stand = |(at, (_, slot)): (usize, &(Arm<'a, S, P>, *mut ()))| SelectEntry {
            node: WaitNode::new(waiter, at, *slot),
            held: Cell::new(None),
            keeper: Cell::new(at),
        };
        self.arms.iter().enumerate().map(stand).collect()
    }

    /// Returns whether trying one arm after the other can have found nothing although at each
    /// moment one was ready: an arm became ready after its try, before another one ceased to be.
    fn may_have_crossed(&self) -> bool {
        self.meetings().nth(1).is_some()
    }

    /// Performs the try of step 2: leaves all locked if nothing is ready.
    fn try_all(&self, entries: &[SelectEntry<'a, S>]) -> Option<Enqueued> {
        self.lock(entries);
        for (at, arm, slot) in self.each() {
            let Arm::SelectChannel(side, core, channel) = arm else {
                continue;
            };
            let attempt = self.with_core(entries, (at, core), |core| {
                // SAFETY: SV1.
                unsafe { channel.try_select(side, core, slot) }
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
        let mut watched = false;
        // In this order too: a partner that meets the same channel twice claims the first.
        for (at, arm, _) in self.each() {
            if let Arm::SelectChannel(side, core, _) = arm {
                watched |= self.with_core(entries, (at, core), |core| {
                    // SAFETY: L1, SV2.
                    unsafe { core.line(side).push(&entries[at].node) };
                    core.waits_are_watched()
                });
            }
        }
        Self::unlock(entries);
        if watched {
            self.meetings()
                .for_each(|channel| channel.notify_watchers());
        }
        Enqueued::Queued
    }

    fn meetings(&self) -> impl Iterator<Item = &'a dyn SelectChannel<S>> {
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
                .filter_map(|(&(arm, _), stand)| match arm {
                    Arm::SelectChannel(_, core, _) => Some((core, stand)),
                    Arm::PollSource(_) => None,
                })
                .filter(|(core, _)| address(core) > last)
                .min_by_key(|(core, _)| address(core));
            let Some((core, stand)) = next else {
                return;
            };
            last = address(core);
            stand.held.set(Some(core.lock()));
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
        for stand in entries {
            drop(stand.held.take());
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
        for (at, (&(arm, _), stand)) in self.arms.iter().zip(entries).enumerate() {
            if let Arm::SelectChannel(side, core, _) = arm
                && claimed != Some(at)
            {
                core.lock().line(side).remove(&stand.node);
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
                    // SAFETY: SV1, and out of all lines.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A random number that stands for as many permutations as any other of its kind gives another
    /// permutation, so each subset of ready arms is led by each of its members equally often.
    #[test]
    fn each_permutation_of_few_arms_is_drawn_as_often() {
        for count in 2..=6 {
            let permutations = (1..=count as u64).product::<u64>();
            let mut drawn = BTreeMap::new();
            for number in 0..permutations {
                let random = (number as f64 + 0.5) / permutations as f64 * 2_f64.powi(64);
                let order = PollOrder::shuffled(count, || random as u64);
                let arms: Vec<_> = order.of(count).collect();
                // It stays as it was drawn, also where it was looked at only in part.
                assert_eq!(order.of(count).next(), Some(arms[0]));
                assert!(order.of(count).eq(arms.iter().copied()));
                *drawn.entry(arms).or_insert(0) += 1;
            }
            assert_eq!(drawn.len() as u64, permutations, "{count} arms");
        }
    }

    #[test]
    fn many_arms_are_permuted_and_each_comes_first() {
        let mut first = BTreeMap::new();
        for random in 0..2_000 {
            let order = PollOrder::shuffled(20, || random);
            *first.entry(order.of(20).next()).or_insert(0) += 1;
            let mut arms: Vec<_> = order.of(20).collect();
            arms.sort_unstable();
            assert!(arms.into_iter().eq(0..20));
        }
        assert_eq!(first.len(), 20);
        assert!(
            first.values().all(|count| (50..200).contains(count)),
            "{first:?}"
        );
    }
}
