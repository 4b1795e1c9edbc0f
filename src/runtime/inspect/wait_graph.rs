//! The wait graph, whose edges lead from a waiting green thread to the threads that it waits for.
//! Dumps and deadlock reports use it.
//!
//! A thread that waits for a lock or for the end of another thread has at most one edge: to the
//! holder, or to the other thread. A thread that waits for the end of a scope has an edge to each
//! thread of the scope, and waits for all of them. Only a cancellation can end a cycle of these
//! edges in which no wait has a time limit. If every green thread waits without a limit for an
//! action of another thread, and no OS thread is there to act, none of them ever continues.
//!
//! Nothing here stops a thread. Nevertheless, a statement about several threads is true at one
//! moment:
//!
//! - **WG1** The moment at which a wait began ([`ThreadInner::since`]) is different for each wait
//!   of a worker. If a thread is seen twice in a wait with the same moment, it waited all the time
//!   in between.
//! - **WG2** Everything is read between two looks at the waits, and is used only if the waits are
//!   the same in both looks. A thread that waits for a lock has borrowed it, so the words of the
//!   lock existed in between.
//! - **WG3** The holder that a lock records may be the previous one, until the thread that has
//!   taken the lock has stored itself. So a cycle that is seen while threads run is a deadlock only
//!   if it is seen again later ([`Suspected`]).

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::green::block::slab;
use crate::green::context::worker_context::{self, ADDRESS_BITS};
use crate::green::os_thread::parked_os_threads;
use crate::green::task;
use crate::green::{Reason, State, ThreadInner, ThreadRef};
use crate::sys::mem::Peek;
use crate::sys::os_threads;

/// The holder of the object that a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The green thread with this control block holds the lock.
    Thread(usize),
    /// Readers hold the lock; this one, if it is green, took it last.
    Readers(usize),
    /// An OS thread, or the code of a worker itself, holds the lock.
    OsThread,
    /// The wait is for the end of the thread with this number.
    EndOf(u64),
    /// The wait is for the end of all threads of the scope at this address.
    EndOfScope(usize),
    /// There is no holder, or it is not known.
    Unknown,
}

const HELD: usize = 1;
const ADDRESS_MASK: usize = (1 << ADDRESS_BITS) - 1;
/// The bits of a mutex's word that are flags.
const MUTEX_FLAGS: usize = 15;

/// Returns the holder of the object that `green` waits for, as far as it can be read right now
/// (WG2).
pub(super) fn holder(peek: &mut Peek, green: &ThreadInner) -> Holder {
    let subject = green.subject();
    if subject == 0 {
        return Holder::Unknown;
    }
    match green.reason() {
        Reason::Join => Holder::EndOf(subject as u64),
        Reason::Scope => Holder::EndOfScope(subject),
        Reason::Mutex => match peek.words(subject) {
            Some([word]) if word & HELD != 0 => held_by(word & ADDRESS_MASK & !MUTEX_FLAGS),
            _ => Holder::Unknown,
        },
        Reason::RwLock => match peek.words(subject) {
            Some([state, holder]) if state & HELD != 0 => held_by(holder & ADDRESS_MASK),
            Some([_, holder]) => Holder::Readers(holder & ADDRESS_MASK),
            None => Holder::Unknown,
        },
        _ => Holder::Unknown,
    }
}

fn held_by(block: usize) -> Holder {
    match block {
        0 => Holder::OsThread,
        block => Holder::Thread(block),
    }
}

/// A wait, as it was when it was read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) green: ThreadRef,
    since: u64,
    pub(super) holder: Holder,
}

impl Seen {
    /// Creates it. `since` must have been read before all other facts about the wait (WG2).
    fn new(green: ThreadRef, since: u64) -> Seen {
        Seen {
            green,
            since,
            holder: Holder::Unknown,
        }
    }

    /// Returns the number of the thread and the moment of the wait, which identify the wait (WG1).
    pub(super) fn wait(&self) -> (u64, u64) {
        (self.green.id().get(), self.since)
    }

    fn still_waits(&self) -> bool {
        self.green.state() == State::Parked
            && self.green.since() == self.since
            && !self.green.is_cancelled()
    }
}

fn address(green: &ThreadInner) -> usize {
    std::ptr::from_ref(green).addr()
}

/// Returns whether the thread waits for another thread, which may in turn wait for it.
fn may_be_in_cycle(green: &ThreadInner) -> bool {
    green.may_be_deadlocked() || green.state() == State::Parked && green.reason() == Reason::Scope
}

/// Returns the cycles among the threads that wait without a time limit for locks and for ends of
/// threads and scopes. Each cycle begins with its oldest thread.
///
/// # Errors
///
/// There is no free descriptor.
pub(super) fn cycles() -> io::Result<Vec<Vec<Seen>>> {
    let mut peek = Peek::new()?;
    let mut waiting: Vec<Seen> = Vec::new();
    // Takes references to these threads only, because one to each thread of a large program would
    // cost far more.
    for green in slab::all_that(may_be_in_cycle) {
        let since = green.since();
        if may_be_in_cycle(&green) && !green.is_limited() && !green.is_cancelled() {
            waiting.push(Seen::new(green, since));
        }
    }
    for seen in &mut waiting {
        seen.holder = holder(&mut peek, &seen.green);
    }
    waiting.retain(Seen::still_waits);
    let mut found = Edges::between(&waiting).cycles();
    for cycle in &mut found {
        let oldest = (0..cycle.len()).min_by_key(|&at| waiting[cycle[at]].green.id());
        cycle.rotate_left(oldest.unwrap_or(0));
    }
    Ok((found.iter())
        .map(|cycle| cycle.iter().map(|&index| waiting[index].clone()).collect())
        .collect())
}

/// The edges between waits, which are identified by their index in a list.
struct Edges<'a> {
    waiting: &'a [Seen],
    by_block: HashMap<usize, usize>,
    by_id: HashMap<u64, usize>,
    /// The threads of each scope.
    by_scope: HashMap<usize, Vec<usize>>,
}

impl Edges<'_> {
    fn between(waiting: &[Seen]) -> Edges<'_> {
        let mut edges = Edges {
            waiting,
            by_block: HashMap::new(),
            by_id: HashMap::new(),
            by_scope: HashMap::new(),
        };
        for (index, seen) in waiting.iter().enumerate() {
            edges.by_block.insert(address(&seen.green), index);
            edges.by_id.insert(seen.green.id().get(), index);
            match seen.green.scope_address() {
                0 => {}
                scope => edges.by_scope.entry(scope).or_default().push(index),
            }
        }
        edges
    }

    /// Returns the wait to which the edge with this number leads.
    fn next(&self, from: usize, number: usize) -> Option<usize> {
        let only = (number == 0).then_some(());
        match self.waiting[from].holder {
            Holder::Thread(block) => only.and_then(|()| self.by_block.get(&block).copied()),
            Holder::EndOf(id) => only.and_then(|()| self.by_id.get(&id).copied()),
            Holder::EndOfScope(scope) => self.by_scope.get(&scope)?.get(number).copied(),
            Holder::Readers(_) | Holder::OsThread | Holder::Unknown => None,
        }
    }

    /// Searches depth first: an edge back to a thread on the path closes a cycle.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        let mut is_visited = vec![false; self.waiting.len()];
        let mut is_on_path = vec![false; self.waiting.len()];
        // Each entry has the number of the next edge to follow.
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..self.waiting.len() {
            if !std::mem::replace(&mut is_visited[start], true) {
                is_on_path[start] = true;
                path.push((start, 0));
            }
            while let Some((from, number)) = path.last_mut() {
                let next = self.next(*from, *number);
                *number += 1;
                match next {
                    None => {
                        is_on_path[*from] = false;
                        path.pop();
                    }
                    Some(next) if is_on_path[next] => {
                        let cycle = path.iter().map(|&(index, _)| index);
                        found.push(cycle.skip_while(|&index| index != next).collect());
                    }
                    Some(next) if is_visited[next] => {}
                    Some(next) => {
                        is_visited[next] = true;
                        is_on_path[next] = true;
                        path.push((next, 0));
                    }
                }
            }
        }
        found
    }
}

/// Cycles that were reported, identified by their oldest thread and the moment of its wait.
#[derive(Debug)]
pub(super) struct Reported(BTreeMap<u64, u64>);

impl Reported {
    pub(super) const fn new() -> Reported {
        Reported(BTreeMap::new())
    }

    /// Records the cycle, and returns whether it was not recorded before.
    pub(super) fn is_new(&mut self, cycle: &[Seen]) -> bool {
        let first = &cycle[0];
        self.0.insert(first.green.id().get(), first.since) != Some(first.since)
    }
}

/// The time in nanoseconds for which a cycle must exist, while threads run, before it is reported.
/// A thread that has just taken a lock may not have stored itself yet, and the lock still records
/// the previous holder.
const CONFIRMED_AFTER_NS: u64 = 10_000_000;

/// Cycles that were seen, by their oldest thread, with the moment of its wait and the time at which
/// the cycle was first seen.
#[derive(Debug)]
pub(super) struct Suspected(BTreeMap<u64, (u64, u64)>);

impl Suspected {
    pub(super) const fn new() -> Suspected {
        Suspected(BTreeMap::new())
    }

    /// Records that the cycle whose oldest thread is in the wait `oldest` ([`Seen::wait`]) is seen
    /// at `now`. Returns whether it has existed for [`CONFIRMED_AFTER_NS`].
    pub(super) fn is_confirmed(&mut self, oldest: (u64, u64), now: u64) -> bool {
        let (thread, since) = oldest;
        let first = self.0.entry(thread).or_insert((since, now));
        if first.0 != since {
            *first = (since, now);
        }
        now.saturating_sub(first.1) >= CONFIRMED_AFTER_NS
    }
}

/// Whether anything can still wake a green thread of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// A thread runs or is about to run, or waits for an event outside of the process, or for a
    /// time.
    Alive,
    /// An OS thread of the program runs, which may own an end of a channel or hold a lock.
    OsThread,
    /// Nothing can. `moments` is a sum that distinguishes this sleep of all threads from others.
    None { moments: u64 },
}

/// Returns whether only another green thread, or an OS thread that runs, can end the wait of this
/// one.
fn needs_another_thread(green: &ThreadInner) -> bool {
    match green.reason() {
        Reason::Park
        | Reason::Join
        | Reason::Scope
        | Reason::Mutex
        | Reason::RwLock
        | Reason::Condvar
        | Reason::Barrier
        | Reason::Once
        | Reason::Semaphore
        | Reason::WaitGroup
        | Reason::Event
        | Reason::Oneshot
        | Reason::Notify
        | Reason::Watch
        | Reason::CancelToken
        | Reason::TaskGroup
        | Reason::Pool => true,
        // A wait for a channel has a subject; one for a timer, a signal and so on has none.
        Reason::Send | Reason::Receive | Reason::Select => green.subject() != 0,
        _ => false,
    }
}

/// Returns whether anything can wake one of the green threads of the runtime `group`.
/// `is_delivered` returns `true` if no wake-up is on its way to one of its workers. Threads of
/// another runtime count as alive.
pub(super) fn liveness(group: usize, is_delivered: impl Fn() -> bool) -> Liveness {
    // The waker of such a task may wake a thread.
    if worker_context::any_stepped() || task::any_at_sources() {
        return Liveness::Alive;
    }
    let mut moments = Vec::new();
    let mut is_alive = false;
    let found = slab::all_while(|green| {
        moments.push(green.since());
        if green.state() == State::Done {
            return true;
        }
        is_alive = green.state() != State::Parked
            || green.group() != group
            || green.is_limited()
            || green.is_cancelled()
            || !needs_another_thread(green);
        !is_alive
    });
    let waiting: Vec<Seen> = (found.into_iter().zip(moments))
        .filter(|(green, _)| green.state() != State::Done)
        .map(|(green, since)| Seen::new(green, since))
        .collect();
    if is_alive || waiting.is_empty() || !is_delivered() {
        return Liveness::Alive;
    }
    let foreign = os_threads::foreign();
    let parked = parked_os_threads();
    if !waiting.iter().all(Seen::still_waits) {
        return Liveness::Alive;
    }
    match foreign {
        Some(foreign) if foreign <= parked => Liveness::None {
            moments: waiting
                .iter()
                .fold(0, |sum, seen| seen.since.wrapping_add(sum)),
        },
        _ => Liveness::OsThread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycle_counts_when_the_same_waits_are_seen_again_later() {
        let mut suspected = Suspected::new();
        assert!(!suspected.is_confirmed((1, 7), 100));
        assert!(!suspected.is_confirmed((1, 7), 99 + CONFIRMED_AFTER_NS));
        assert!(suspected.is_confirmed((1, 7), 100 + CONFIRMED_AFTER_NS));
        // Another wait of the same thread.
        assert!(!suspected.is_confirmed((1, 8), 100 + CONFIRMED_AFTER_NS));
        assert!(suspected.is_confirmed((1, 8), 100 + 2 * CONFIRMED_AFTER_NS));
    }
}
