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
//! SV1. Each arm's slot fits its side (see [`Meeting`]) and does not move; its owner reads it when
//!      the choice has been made.
//! SV2. Stands do not move between `push` and the unlinking that follows every wait; no wait
//!      unwinds (CH5 in `chan.rs`).

use std::cell::Cell;
use std::ptr;

use crate::channel::core::chan::{Core, HeldCore};
use crate::channel::core::meeting::{Attempt, Meeting};
use crate::channel::core::outcome::Side;
use crate::channel::core::sleep::Waits;
use crate::sync::wait::line::{Node, Ticket};
use crate::sync::wait::spin::Spin;

/// A source to be polled: a receiver without senders.
pub(crate) trait Polled {
    /// Performs the operation if it is ready: fills the slot, a `Place` for its message.
    ///
    /// # Safety
    ///
    /// SV1.
    unsafe fn poll(&self, slot: *mut ()) -> bool;

    fn is_ready(&self) -> bool;
}

/// One of the operations of a select.
pub(crate) enum Arm<'a, S: Waits, P: ?Sized> {
    Meeting(Side, &'a Spin<Core<S>>, &'a dyn Meeting<S>),
    Polled(&'a P),
}

impl<'a, S: Waits, P: ?Sized> Arm<'a, S, P> {
    /// Creates the arm for one side of a channel.
    #[inline]
    pub(crate) fn meeting(side: Side, channel: &'a dyn Meeting<S>) -> Arm<'a, S, P> {
        Arm::Meeting(side, channel.core(), channel)
    }
}

impl<S: Waits, P: ?Sized> Clone for Arm<'_, S, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Waits, P: ?Sized> Copy for Arm<'_, S, P> {}

/// How a select's wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its ticket was claimed: it is done.
    Claimed,
    /// Its ticket is its own again, and this polled arm was performed.
    Polled(usize),
    /// The ticket is its own again; try again.
    Again,
    /// The ticket is its own again, and the deadline has passed.
    Elapsed,
    /// The ticket is its own again, and the thread must unwind.
    Cancelled,
}

/// The wait of a select.
pub(crate) trait Pause<S: Waits> {
    /// Waits until the ticket is claimed, or has been withdrawn. Does not unwind.
    fn pause(&mut self, ticket: &Ticket<S>) -> Verdict;

    /// Unwinds after [`Verdict::Cancelled`], when all queues have been left.
    fn unwind(&mut self);
}

/// In which order arms are looked at. Whatever is found first is done, so it is a uniform choice
/// among the ready ones if each permutation is as likely as any other. A random start is not
/// enough: it favours an arm that follows many that are not ready.
#[derive(Debug)]
pub(crate) enum Order {
    /// A permutation of few arms: four bits each, the first in the lowest.
    Few(u64),
    /// As they are written.
    Written,
    Many(Vec<u32>),
}

impl Order {
    /// As they are written, of few arms.
    pub(crate) const FEW_WRITTEN: Order = Order::Few(0xFEDC_BA98_7654_3210);

    /// As they are written, of `count` arms.
    #[inline]
    pub(crate) fn written(count: usize) -> Order {
        match count <= FEW {
            true => Order::FEW_WRITTEN,
            false => Order::Written,
        }
    }

    /// A permutation of `count` arms, uniform as far as `random` gives uniform numbers.
    #[inline]
    pub(crate) fn shuffled(count: usize, random: impl FnMut() -> u64) -> Order {
        if count < 2 {
            Order::FEW_WRITTEN
        } else if count <= FEW {
            Order::shuffled_few(count, random)
        } else {
            Order::shuffled_many(count, random)
        }
    }

    /// One random number is enough for all steps of the shuffle: 16! has 45 bits.
    #[inline]
    fn shuffled_few(count: usize, mut random: impl FnMut() -> u64) -> Order {
        let Order::Few(mut order) = Order::FEW_WRITTEN else {
            unreachable!();
        };
        let mut random = random();
        for left in (2..=count as u64).rev() {
            let (at, rest) = scale(random, left);
            random = rest;
            let (last, at) = (4 * (left - 1), 4 * at);
            let differ = (order >> last ^ order >> at) & 15;
            order ^= differ << last;
            order ^= differ << at;
        }
        Order::Few(order)
    }

    #[cold]
    fn shuffled_many(count: usize, mut random: impl FnMut() -> u64) -> Order {
        let count = u32::try_from(count).expect("fewer than 2^32 arms");
        let mut order: Vec<u32> = (0..count).collect();
        for left in (2..=count).rev() {
            let (at, _) = scale(random(), u64::from(left));
            order.swap(left as usize - 1, at as usize);
        }
        Order::Many(order)
    }

    /// The arms in order, of `count`.
    #[inline]
    pub(crate) fn of(&self, count: usize) -> impl Iterator<Item = usize> {
        (0..count).map(move |step| match self {
            Order::Few(order) => (order >> (4 * step) & 15) as usize,
            Order::Written => step,
            Order::Many(order) => order[step] as usize,
        })
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
const FEW: usize = 16;

/// The node in the queue of one arm, and, until all have been visited, the lock of its channel.
struct Stand<'a, S: Waits> {
    node: Node<S>,
    held: Cell<Option<HeldCore<'a, S>>>,
    /// The arm that keeps the lock of this arm's channel: the first arm of the channel.
    keeper: Cell<usize>,
}

/// The arms and their slots.
pub(crate) struct Arms<'a, 's, S: Waits, P: ?Sized> {
    pub(crate) arms: &'s [(Arm<'a, S, P>, *mut ())],
    pub(crate) order: &'s Order,
}

impl<'a, S: Waits, P: Polled + ?Sized> Arms<'a, '_, S, P> {
    /// Performs steps 1 to 4. `pause` gets the ticket and waits; `None`: enter no queue. Returns
    /// the arm that was performed.
    pub(crate) fn select(&self, mut pause: Option<impl Pause<S>>) -> Option<usize> {
        loop {
            if let Some(done) = self.look() {
                return Some(done);
            }
            if pause.is_none() && !self.may_have_crossed() {
                return None;
            }
            let ticket = Ticket::shared(S::current());
            let stands = self.stands(&ticket);
            let stood = match (self.attempt(&stands), &mut pause) {
                (Some(stood), _) => stood,
                (None, Some(_)) => self.stand(&stands),
                (None, None) => {
                    Self::unlock(&stands);
                    return None;
                }
            };
            match stood {
                Stood::Done(done) => return Some(done),
                Stood::Again => continue,
                Stood::InLine => {}
            }
            let pause = pause.as_mut()?;
            let verdict = pause.pause(&ticket);
            self.leave(&stands, ticket.done());
            match verdict {
                Verdict::Claimed => {
                    let done = ticket.done()?;
                    if self.has_come(done) {
                        return Some(done);
                    }
                }
                Verdict::Polled(done) => return Some(done),
                Verdict::Again => {}
                Verdict::Elapsed => return None,
                Verdict::Cancelled => pause.unwind(),
            }
        }
    }

    /// Returns which arm is ready, without performing it. `pause` as in [`select`](Arms::select).
    pub(crate) fn ready(&self, mut pause: Option<impl Pause<S>>) -> Option<usize> {
        let ready = || {
            self.each().find(|&(_, arm, _)| match arm {
                Arm::Meeting(side, core, channel) => channel.is_ready(side, &mut core.lock()),
                Arm::Polled(polled) => polled.is_ready(),
            })
        };
        loop {
            if let Some((at, ..)) = ready() {
                return Some(at);
            }
            if pause.is_none() && !self.may_have_crossed() {
                return None;
            }
            let ticket = Ticket::shared(S::current());
            let stands = self.stands(&ticket);
            let Some(pause) = pause.as_mut() else {
                return self.ready_at_once(&stands);
            };
            for (at, arm, _) in self.each() {
                if let Arm::Meeting(_, core, _) = arm {
                    let mut core = core.lock();
                    // SAFETY: L1, SV2.
                    unsafe { core.watchers.push(&stands[at].node) };
                }
            }
            // A change before the queues were entered has notified no one.
            let found = ready();
            let verdict = match found {
                Some(_) if ticket.give_up() => Verdict::Again,
                // It is done, or will be at once.
                _ => pause.pause(&ticket),
            };
            for (at, arm, _) in self.each() {
                if let Arm::Meeting(_, core, _) = arm {
                    core.lock().watchers.remove(&stands[at].node);
                }
            }
            match (found, verdict) {
                (Some((at, ..)), _) => return Some(at),
                (None, Verdict::Polled(at)) => return Some(at),
                (None, Verdict::Elapsed) => return ready().map(|(at, ..)| at),
                (None, Verdict::Claimed | Verdict::Again) => {}
                (None, Verdict::Cancelled) => pause.unwind(),
            }
        }
    }

    /// Returns an arm that is ready at one moment.
    fn ready_at_once(&self, stands: &[Stand<'a, S>]) -> Option<usize> {
        self.lock(stands);
        let mut meetings = self.each().filter_map(|(at, arm, _)| match arm {
            Arm::Meeting(side, core, channel) => Some((at, side, core, channel)),
            Arm::Polled(_) => None,
        });
        let found = meetings.find(|&(at, side, core, channel)| {
            self.with_core(stands, (at, core), |core| channel.is_ready(side, core))
        });
        Self::unlock(stands);
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
                Arm::Meeting(side, core, channel) => {
                    let mut core = core.lock();
                    // SAFETY: SV1.
                    let attempt = unsafe { channel.attempt(side, &mut core, slot) };
                    drop(core);
                    match attempt {
                        Attempt::Nothing => false,
                        Attempt::Done(after) => {
                            channel.conclude(after);
                            true
                        }
                        // SAFETY: SV1.
                        Attempt::Meet(sender) => unsafe { channel.meet(sender, slot) },
                    }
                }
                // SAFETY: SV1.
                Arm::Polled(polled) => unsafe { polled.poll(slot) },
            };
            if done {
                return Some(at);
            }
        }
        None
    }

    fn stands(&self, ticket: &Ticket<S>) -> Vec<Stand<'a, S>> {
        let stand = |(at, (_, slot)): (usize, &(Arm<'a, S, P>, *mut ()))| Stand {
            node: Node::new(ticket, at, *slot),
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
    fn attempt(&self, stands: &[Stand<'a, S>]) -> Option<Stood> {
        self.lock(stands);
        for (at, arm, slot) in self.each() {
            let Arm::Meeting(side, core, channel) = arm else {
                continue;
            };
            let attempt = self.with_core(stands, (at, core), |core| {
                // SAFETY: SV1.
                unsafe { channel.attempt(side, core, slot) }
            });
            match attempt {
                Attempt::Nothing => continue,
                Attempt::Done(after) => {
                    Self::unlock(stands);
                    channel.conclude(after);
                    return Some(Stood::Done(at));
                }
                Attempt::Meet(sender) => {
                    Self::unlock(stands);
                    // SAFETY: SV1.
                    return Some(match unsafe { channel.meet(sender, slot) } {
                        true => Stood::Done(at),
                        false => Stood::Again,
                    });
                }
            }
        }
        None
    }

    /// Enters the queues in step 2: all are locked before, and none after.
    fn stand(&self, stands: &[Stand<'a, S>]) -> Stood {
        let mut watched = false;
        // In this order too: a partner that meets the same channel twice claims the first.
        for (at, arm, _) in self.each() {
            if let Arm::Meeting(side, core, _) = arm {
                watched |= self.with_core(stands, (at, core), |core| {
                    // SAFETY: L1, SV2.
                    unsafe { core.line(side).push(&stands[at].node) };
                    core.waits_are_watched()
                });
            }
        }
        Self::unlock(stands);
        if watched {
            self.meetings().for_each(|channel| channel.tell_watchers());
        }
        Stood::InLine
    }

    fn meetings(&self) -> impl Iterator<Item = &'a dyn Meeting<S>> {
        self.arms.iter().filter_map(|&(arm, _)| match arm {
            Arm::Meeting(_, _, channel) => Some(channel),
            Arm::Polled(_) => None,
        })
    }

    /// Locks each channel once, in the order of their addresses. The first arm of a channel keeps
    /// its lock.
    fn lock(&self, stands: &[Stand<'a, S>]) {
        let address = |core: &Spin<Core<S>>| ptr::from_ref(core).addr();
        if self.arms.len() > FEW {
            return self.lock_many(stands);
        }
        let mut last = 0;
        loop {
            let next = self
                .arms
                .iter()
                .zip(stands)
                .filter_map(|(&(arm, _), stand)| match arm {
                    Arm::Meeting(_, core, _) => Some((core, stand)),
                    Arm::Polled(_) => None,
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
    fn lock_many(&self, stands: &[Stand<'a, S>]) {
        let core = |at: usize| match self.arms[at].0 {
            Arm::Meeting(_, core, _) => Some((ptr::from_ref(core).addr(), at, core)),
            Arm::Polled(_) => None,
        };
        let mut cores: Vec<_> = (0..self.arms.len()).filter_map(core).collect();
        cores.sort_unstable_by_key(|&(address, at, _)| (address, at));
        for of_one in cores.chunk_by(|one, other| one.0 == other.0) {
            let (_, keeper, core) = of_one[0];
            for &(_, at, _) in of_one {
                stands[at].keeper.set(keeper);
            }
            stands[keeper].held.set(Some(core.lock()));
        }
    }

    fn unlock(stands: &[Stand<'a, S>]) {
        for stand in stands {
            drop(stand.held.take());
        }
    }

    /// Calls `f` with the data of `core`, under the lock that the first arm of its channel keeps.
    fn with_core<R>(
        &self,
        stands: &[Stand<'a, S>],
        (at, core): (usize, &Spin<Core<S>>),
        f: impl FnOnce(&mut Core<S>) -> R,
    ) -> R {
        let first = || {
            self.arms.iter().position(|&(arm, _)| match arm {
                Arm::Meeting(_, of, _) => ptr::eq(of, core),
                Arm::Polled(_) => false,
            })
        };
        let keeper = match self.arms.len() > FEW {
            true => stands[at].keeper.get(),
            false => first().unwrap_or_default(),
        };
        let held = &stands[keeper].held;
        let mut guard = held.take().expect("`lock` has locked it");
        let result = f(&mut guard);
        held.set(Some(guard));
        result
    }

    /// Performs step 4. The claimer has removed the claimed arm from its queue (L4).
    fn leave(&self, stands: &[Stand<'a, S>], claimed: Option<usize>) {
        for (at, (&(arm, _), stand)) in self.arms.iter().zip(stands).enumerate() {
            if let Arm::Meeting(side, core, _) = arm
                && claimed != Some(at)
            {
                core.lock().line(side).remove(&stand.node);
            }
        }
    }

    /// Returns whether a claim has brought a result, or the partner has released its reservation.
    fn has_come(&self, at: usize) -> bool {
        let (arm, slot) = self.arms[at];
        match arm {
            Arm::Meeting(Side::Recv, _, channel) => {
                // SAFETY: SV1, it is done.
                let come = unsafe { channel.has_come(slot) };
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
enum Stood {
    InLine,
    Done(usize),
    Again,
}
