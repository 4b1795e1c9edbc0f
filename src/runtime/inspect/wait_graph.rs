//! Which green thread waits for which: the graph behind dumps and deadlock reports.
//!
//! A thread that waits for a lock or for the end of another thread has at most one edge: to the
//! holder, or to the other thread. A thread that waits for the end of a scope has an edge to each
//! thread of it, and needs all of them. A cycle of such edges, in which no wait has a limit, can
//! only be ended by a cancellation. If every green thread waits without a limit for an action of another
//! thread, and no OS thread is there to act, none of them ever continues.
//!
//! Nothing here stops a thread. What is said of several threads is true of one moment all the same:
//!
//! - **WG1** The moment at which a wait began ([`ThreadInner::since`]) is different for each wait
//!   of a worker. A thread that is seen to wait twice, with the same moment, waited all the time in
//!   between.
//! - **WG2** Everything is read between two looks at the waits, and counts only if they are the
//!   same in both looks. A thread that waits for a lock has borrowed it, so the words of the lock
//!   existed in between.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::green::block::slab;
use crate::green::context::worker_context::{self, ADDRESS_BITS};
use crate::green::os_thread::parked_os_threads;
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
    /// No thread, or the holder is not known.
    Unknown,
}

const HELD: usize = 1;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
/// Of the word of a mutex.
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
            Some([word]) if word & HELD != 0 => held_by(word & ADDRESS & !MUTEX_FLAGS),
            _ => Holder::Unknown,
        },
        Reason::RwLock => match peek.words(subject) {
            Some([state, place]) if state & HELD != 0 => held_by(place & ADDRESS),
            Some([_, place]) => Holder::Readers(place & ADDRESS),
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

/// A wait as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) green: ThreadRef,
    since: u64,
    pub(super) holder: Holder,
}

impl Seen {
    /// `since` was read before anything else that is known of the wait (WG2).
    fn new(green: ThreadRef, since: u64) -> Seen {
        Seen {
            green,
            since,
            holder: Holder::Unknown,
        }
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

/// The cycles among the threads that wait for locks and ends without a limit; each begins with its
/// oldest thread.
///
/// # Errors
///
/// There is no descriptor left.
pub(super) fn cycles() -> io::Result<Vec<Vec<Seen>>> {
    let mut peek = Peek::new()?;
    let mut waiting: Vec<Seen> = Vec::new();
    for green in slab::all() {
        let since = green.since();
        let may_be = green.may_be_deadlocked()
            || green.state() == State::Parked && green.reason() == Reason::Scope;
        if may_be && !green.is_limited() && !green.is_cancelled() {
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

/// The edges between waits, by their place in a list.
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

    /// Returns the end of an edge, by its number.
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
        // With the number of the next edge to follow.
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

/// Cycles that were reported, by the oldest thread and the moment of its wait.
#[derive(Debug)]
pub(super) struct Reported(BTreeMap<u64, u64>);

impl Reported {
    pub(super) const fn new() -> Reported {
        Reported(BTreeMap::new())
    }

    /// Notes the cycle, and returns whether this is the first time.
    pub(super) fn is_new(&mut self, cycle: &[Seen]) -> bool {
        let first = &cycle[0];
        self.0.insert(first.green.id().get(), first.since) != Some(first.since)
    }
}

/// What may wake a green thread when all of them wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// A thread runs or is about to, or waits for something outside of the process, or for a time.
    Alive,
    /// An OS thread runs that is not the library's: it may hold the end of a channel, or a lock.
    OsThread,
    /// Nothing. With a sum that tells this sleep of all threads from others.
    None { moments: u64 },
}

/// Whether a wait for this can only be ended by another green thread, or by an OS thread that runs.
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
        | Reason::Oneshot => true,
        // Of channels, not of a timer, a signal and the like.
        Reason::Send | Reason::Receive | Reason::Select => green.subject() != 0,
        _ => false,
    }
}

/// Whether anything may wake one of the green threads of the runtime `group`. `is_delivered`: no
/// wake-up is on its way to a worker of it. Threads of another runtime count as alive.
pub(super) fn hope(group: usize, is_delivered: impl Fn() -> bool) -> Hope {
    if worker_context::any_by_hand() {
        return Hope::Alive;
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
        return Hope::Alive;
    }
    let foreign = os_threads::foreign();
    let parked = parked_os_threads();
    if !waiting.iter().all(Seen::still_waits) {
        return Hope::Alive;
    }
    match foreign {
        Some(foreign) if foreign <= parked => Hope::None {
            moments: waiting
                .iter()
                .fold(0, |sum, seen| seen.since.wrapping_add(sum)),
        },
        _ => Hope::OsThread,
    }
}
