#![allow(unsafe_code, reason = "stores pointers to green threads")]
//! The deadlines of a worker, in a 4-ary heap that is corrected lazily.
//!
//! A green thread waits for one thing at a time, so it has one deadline, in its control block, and
//! at most one entry here. An entry may be *early*: when a wait ends, its entry stays. If the next
//! wait has a later deadline (as the next read of a connection with a read timeout has), the entry
//! stays unchanged, and the true deadline is read when the entry expires. So a timeout that is set
//! and cancelled at each read costs two stores, and one entry per timeout period, instead of two
//! heap operations a read. The idea is old: TCP in BSD and Linux keeps its keepalive timers this
//! way.
//!
//! T1. The thread of an entry is alive: the entry is removed when the thread ends
//!     ([`Timers::forget`]).
//! T2. `green.timer` is the index of its entry, or `NO_TIMER`; only this file changes it.
//! T3. An entry is never later than the deadline of its thread.

use std::ptr::NonNull;

use crate::green::{NO_TIMER, ThreadInner};
use crate::sys::clock::{NEVER, Tick};

const WIDTH: usize = 4;

#[derive(Clone, Copy)]
struct Entry {
    at: Tick,
    green: NonNull<ThreadInner>,
}

/// The heap of deadlines.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Entry>,
}

impl Timers {
    /// Returns the time of the first entry, which may be early; [`NEVER`] if there is none.
    #[inline]
    pub(crate) fn next(&self) -> Tick {
        self.heap.first().map_or(NEVER, |entry| entry.at)
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns the next true deadline, and corrects early entries; [`NEVER`] if there is none.
    pub(crate) fn next_deadline(&mut self) -> Tick {
        while let Some(&entry) = self.heap.first() {
            // SAFETY: T1.
            match unsafe { entry.green.as_ref() }.deadline() {
                NEVER => self.remove(0),
                at if at > entry.at => {
                    self.heap[0].at = at;
                    self.sink(0);
                }
                at => return at,
            }
        }
        NEVER
    }

    /// Adds the entry of `green`, which has parked with a deadline, or makes it earlier if needed.
    #[inline]
    pub(crate) fn arm(&mut self, green: &ThreadInner) {
        let at = green.deadline();
        let index = green.timer.get();
        if index == NO_TIMER {
            self.push(at, green);
        } else {
            let index = index as usize;
            if at < self.heap[index].at {
                self.heap[index].at = at;
                self.rise(index);
            }
        }
    }

    /// Takes the next thread whose deadline has passed at `now`, and corrects early entries.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<&'static ThreadInner> {
        loop {
            let entry = *self.heap.first().filter(|entry| entry.at <= now)?;
            // SAFETY: T1.
            let green = unsafe { entry.green.as_ref() };
            let deadline = green.deadline();
            if deadline > now && deadline != NEVER {
                self.heap[0].at = deadline;
                self.sink(0);
                continue;
            }
            self.remove(0);
            if deadline != NEVER {
                return Some(green);
            }
        }
    }

    /// Removes the entry of `green`, which ends.
    #[inline]
    pub(crate) fn forget(&mut self, green: &ThreadInner) {
        let index = green.timer.get();
        if index != NO_TIMER {
            self.remove(index as usize);
        }
    }

    fn push(&mut self, at: Tick, green: &ThreadInner) {
        let index = self.heap.len();
        self.heap.push(Entry {
            at,
            green: NonNull::from(green),
        });
        green.timer.set(index as u32);
        self.rise(index);
    }

    fn remove(&mut self, index: usize) {
        let gone = self.heap.swap_remove(index);
        // SAFETY: T1.
        unsafe { gone.green.as_ref() }.timer.set(NO_TIMER);
        if index < self.heap.len() {
            self.note(index);
            self.sink(index);
            self.rise(index);
        }
        if self.heap.len() * 4 < self.heap.capacity() && self.heap.capacity() > 4096 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }

    /// Stores the index of the entry at `index` in its thread (T2).
    #[inline]
    fn note(&self, index: usize) {
        // SAFETY: T1.
        unsafe { self.heap[index].green.as_ref() }
            .timer
            .set(index as u32);
    }

    fn rise(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / WIDTH;
            if self.heap[parent].at <= self.heap[index].at {
                break;
            }
            self.heap.swap(parent, index);
            self.note(index);
            index = parent;
        }
        self.note(index);
    }

    fn sink(&mut self, mut index: usize) {
        loop {
            let first = index * WIDTH + 1;
            let end = (first + WIDTH).min(self.heap.len());
            let Some(least) = (first..end).min_by_key(|&child| self.heap[child].at) else {
                break;
            };
            if self.heap[index].at <= self.heap[least].at {
                break;
            }
            self.heap.swap(least, index);
            self.note(index);
            index = least;
        }
        if index < self.heap.len() {
            self.note(index);
        }
    }
}
