//! The data under the lock of a mailbox: the places of the messages, and the waiting receivers. MB1
//! to MB3 are in `mod.rs`.
//!
//! Sender and receivers call it under that lock.

use std::collections::VecDeque;

use crate::green::Unparker;
use crate::green::completion::PackedWaiter;

/// A place in the queue (MB1).
pub(super) enum Slot<M> {
    Full(M),
    Held,
    Empty,
}

/// See the module documentation.
pub(super) struct State<M> {
    /// By ascending number.
    slots: VecDeque<(u64, Slot<M>)>,
    next: u64,
    pub(super) full: usize,
    empty: usize,
    pub(super) closed: bool,
    /// The waiting receivers: usually one.
    waiter: Option<Unparker>,
    more_waiters: Vec<Unparker>,
}

/// The receivers to wake when the lock is released.
#[must_use]
pub(super) struct Waiters(Option<Unparker>, Vec<Unparker>);

impl Waiters {
    pub(super) fn wake(self) {
        self.0.into_iter().chain(self.1).for_each(|w| w.unpark());
    }
}

impl<M> State<M> {
    pub(super) fn new() -> State<M> {
        State {
            slots: VecDeque::new(),
            next: 0,
            full: 0,
            empty: 0,
            closed: false,
            waiter: None,
            more_waiters: Vec::new(),
        }
    }

    /// Appends a message.
    pub(super) fn push(&mut self, message: M) {
        self.slots.push_back((self.next, Slot::Full(message)));
        self.next += 1;
        self.full += 1;
    }

    /// Closes the mailbox and returns all messages.
    #[must_use]
    pub(super) fn close(&mut self) -> VecDeque<(u64, Slot<M>)> {
        self.closed = true;
        std::mem::take(&mut self.slots)
    }

    pub(super) fn waiters(&mut self) -> Waiters {
        Waiters(self.waiter.take(), std::mem::take(&mut self.more_waiters))
    }

    pub(super) fn register(&mut self, waiter: Unparker) {
        match &self.waiter {
            None => self.waiter = Some(waiter),
            Some(_) => self.more_waiters.push(waiter),
        }
    }

    /// Removes a waiter; it may have been removed before.
    pub(super) fn withdraw(&mut self, word: usize) -> Option<Unparker> {
        let is_it = |waiter: &Unparker| waiter.word() == word;
        if self.waiter.as_ref().is_some_and(is_it) {
            return self.waiter.take();
        }
        let found = self.more_waiters.iter().position(is_it);
        found.map(|index| self.more_waiters.swap_remove(index))
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&number, |slot| slot.0).ok()
    }

    /// Takes the message at `index` out, if it is there; its place is held.
    fn hold(&mut self, index: usize) -> Option<M> {
        let slot = &mut self.slots[index].1;
        match std::mem::replace(slot, Slot::Held) {
            Slot::Full(message) => {
                self.full -= 1;
                Some(message)
            }
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Takes the next message that `search` has not examined, with its number.
    pub(super) fn hold_next(&mut self, search: &mut Search) -> Option<(u64, M)> {
        // First those that another receiver held when the search passed.
        let mut passed = 0;
        while let Some(&number) = search.passed.get(passed) {
            let index = self.index_of(number);
            match index.map(|index| (index, &self.slots[index].1)) {
                Some((_, Slot::Held)) => passed += 1,
                None | Some((_, Slot::Empty)) => drop(search.passed.remove(passed)),
                Some((index, Slot::Full(_))) => {
                    search.passed.remove(passed);
                    return self.hold(index).map(|message| (number, message));
                }
            }
        }
        if self.full == 0 {
            // A held message is put back under a number that has been noted, so it is not skipped.
            search.pass_held(self);
            return None;
        }
        let mut index = self.slots.partition_point(|slot| slot.0 < search.from);
        while let Some((number, slot)) = self.slots.get(index) {
            let number = *number;
            search.from = number + 1;
            match slot {
                Slot::Full(_) => return self.hold(index).map(|message| (number, message)),
                Slot::Held => search.passed.push(number),
                Slot::Empty => {}
            }
            index += 1;
        }
        None
    }

    /// Puts a held message back. Its place still exists: its holder has the mailbox (MB1).
    pub(super) fn put_back(&mut self, number: u64, message: Option<M>) {
        if let Some(index) = self.index_of(number)
            && let Some(message) = message
        {
            self.slots[index].1 = Slot::Full(message);
            self.full += 1;
        }
    }

    /// Frees the place of a message that was taken, and releases memory.
    pub(super) fn free(&mut self, number: u64) {
        if let Some(index) = self.index_of(number) {
            self.slots[index].1 = Slot::Empty;
            self.empty += 1;
        }
        while let Some((_, Slot::Empty)) = self.slots.front() {
            self.slots.pop_front();
            self.empty -= 1;
        }
        // Removes holes in the middle when they are more than half: each removal pays for one of
        // them.
        if self.empty > self.slots.len() / 2 && self.empty > 32 {
            self.slots.retain(|slot| !matches!(slot.1, Slot::Empty));
            self.empty = 0;
        }
        if self.slots.capacity() > 64 && self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }
}

/// The progress of a receive call.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The first number that was not examined.
    from: u64,
    /// Numbers before it that another receiver held.
    pub(super) passed: Vec<u64>,
}

impl Search {
    /// Advances to the end of a queue in which nothing is `Full`.
    fn pass_held<M>(&mut self, state: &State<M>) {
        if self.from < state.next && !state.slots.is_empty() {
            let first = state.slots.partition_point(|slot| slot.0 < self.from);
            let rest = state.slots.range(first..);
            let held = rest.filter(|slot| matches!(slot.1, Slot::Held));
            self.passed.extend(held.map(|slot| slot.0));
        }
        self.from = state.next;
    }
}
