//! The data under the lock of a mailbox: the places of the messages, and the waiting receivers. MB1
//! to MB3 are in `mod.rs`.
//!
//! Sender and receivers call it under that lock.

use std::collections::VecDeque;

use crate::green::Unparker;
use crate::green::completion::PackedWaiter;

/// A place in the queue (MB1).
pub(super) enum Place<M> {
    Here(M),
    Held,
    Gone,
}

/// See the module documentation.
pub(super) struct State<M> {
    /// By ascending number.
    places: VecDeque<(u64, Place<M>)>,
    next: u64,
    pub(super) here: usize,
    gone: usize,
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
            places: VecDeque::new(),
            next: 0,
            here: 0,
            gone: 0,
            closed: false,
            waiter: None,
            more_waiters: Vec::new(),
        }
    }

    /// Appends a message.
    pub(super) fn push(&mut self, message: M) {
        self.places.push_back((self.next, Place::Here(message)));
        self.next += 1;
        self.here += 1;
    }

    /// Closes the mailbox and returns all messages.
    #[must_use]
    pub(super) fn close(&mut self) -> VecDeque<(u64, Place<M>)> {
        self.closed = true;
        std::mem::take(&mut self.places)
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
        self.places
            .binary_search_by_key(&number, |place| place.0)
            .ok()
    }

    /// Takes the message at `index` out, if it is there; its place is held.
    fn hold(&mut self, index: usize) -> Option<M> {
        let place = &mut self.places[index].1;
        match std::mem::replace(place, Place::Held) {
            Place::Here(message) => {
                self.here -= 1;
                Some(message)
            }
            other => {
                *place = other;
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
            match index.map(|index| (index, &self.places[index].1)) {
                Some((_, Place::Held)) => passed += 1,
                None | Some((_, Place::Gone)) => drop(search.passed.remove(passed)),
                Some((index, Place::Here(_))) => {
                    search.passed.remove(passed);
                    return self.hold(index).map(|message| (number, message));
                }
            }
        }
        if self.here == 0 {
            // A held message is put back under a number that has been noted, so it is not skipped.
            search.pass_held(self);
            return None;
        }
        let mut index = self.places.partition_point(|place| place.0 < search.from);
        while let Some((number, place)) = self.places.get(index) {
            let number = *number;
            search.from = number + 1;
            match place {
                Place::Here(_) => return self.hold(index).map(|message| (number, message)),
                Place::Held => search.passed.push(number),
                Place::Gone => {}
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
            self.places[index].1 = Place::Here(message);
            self.here += 1;
        }
    }

    /// Frees the place of a message that was taken, and releases memory.
    pub(super) fn free(&mut self, number: u64) {
        if let Some(index) = self.index_of(number) {
            self.places[index].1 = Place::Gone;
            self.gone += 1;
        }
        while let Some((_, Place::Gone)) = self.places.front() {
            self.places.pop_front();
            self.gone -= 1;
        }
        // Removes holes in the middle when they are more than half: each removal pays for one of
        // them.
        if self.gone > self.places.len() / 2 && self.gone > 32 {
            self.places.retain(|place| !matches!(place.1, Place::Gone));
            self.gone = 0;
        }
        if self.places.capacity() > 64 && self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(self.places.len() * 2);
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
    /// Advances to the end of a queue in which nothing is `Here`.
    fn pass_held<M>(&mut self, state: &State<M>) {
        if self.from < state.next && !state.places.is_empty() {
            let first = state.places.partition_point(|place| place.0 < self.from);
            let rest = state.places.range(first..);
            let held = rest.filter(|place| matches!(place.1, Place::Held));
            self.passed.extend(held.map(|place| place.0));
        }
        self.from = state.next;
    }
}
