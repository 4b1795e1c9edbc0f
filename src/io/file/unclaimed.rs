//! Results that are kept for the next caller of an open file: data of a cancelled read, the error
//! of a cancelled write.
//!
//! `device.rs` explains how they arise, and has KE1.
//!
//! - **KE2** `waiters` are woken after each end; they check again.
//!
//! Any thread may use any of this at any time; `wait` suspends.

use std::io::{self, IoSliceMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::green::{Reason, Unparker, Wait, park};
use crate::runtime::io::source::Interest;
use crate::shim::lock;

/// Kept results of one file.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    /// Whether `state` has anything: a hint, for callers that are not ordered after the one that
    /// left.
    pub(super) is_used: AtomicBool,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) is_busy: [bool; 2],
    /// Data that was read, and how much of it has been returned.
    pub(super) read: Option<(Vec<u8>, usize)>,
    pub(super) write_error: Option<io::Error>,
    pub(super) waiters: Vec<(u64, Unparker)>,
    next_waiter: u64,
}

impl Unclaimed {
    pub(crate) const fn new() -> Unclaimed {
        Unclaimed {
            is_used: AtomicBool::new(false),
            state: Mutex::new(State {
                is_busy: [false; 2],
                read: None,
                write_error: None,
                waiters: Vec::new(),
                next_waiter: 0,
            }),
        }
    }

    pub(super) fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = f(&mut state);
        self.note(&state);
        result
    }

    fn note(&self, state: &State) {
        let State {
            is_busy,
            read,
            write_error,
            ..
        } = state;
        let is_used = is_busy.contains(&true) || read.is_some() || write_error.is_some();
        self.is_used.store(is_used, Ordering::Relaxed);
    }

    /// Takes kept data into `bufs`, without waiting for a read that is running.
    pub(super) fn try_take_read(&self, bufs: &mut [IoSliceMut<'_>]) -> Option<usize> {
        let is_used = self.is_used.load(Ordering::Relaxed);
        is_used.then(|| self.change(|state| state.take(bufs)))?
    }

    /// Moves kept data of a read into `bufs`; waits while a read is running. Returns `None` if
    /// there is neither.
    #[track_caller]
    pub(crate) fn take_read(&self, bufs: &mut [IoSliceMut<'_>]) -> Option<usize> {
        while self.is_used.load(Ordering::Relaxed) {
            let (taken, is_busy) = self.change(|state| (state.take(bufs), state.is_busy[0]));
            if taken.is_some() {
                return taken;
            }
            if !is_busy {
                break;
            }
            self.wait(Interest::Read);
        }
        None
    }

    /// Waits while a write is running.
    ///
    /// # Errors
    ///
    /// That of a write whose caller had left.
    #[track_caller]
    pub(crate) fn settle_write(&self) -> io::Result<()> {
        while self.is_used.load(Ordering::Relaxed) {
            let (error, is_busy) =
                self.change(|state| (state.write_error.take(), state.is_busy[1]));
            if let Some(error) = error {
                return Err(error);
            }
            if !is_busy {
                break;
            }
            self.wait(Interest::Write);
        }
        Ok(())
    }

    /// Keeps data that was read, when nothing else is kept.
    pub(crate) fn put(&self, bytes: &[u8]) {
        self.change(|state| state.read = Some((bytes.to_vec(), 0)));
    }

    /// Returns whether a write is running.
    pub(crate) fn is_writing(&self) -> bool {
        lock(&self.state).is_busy[1]
    }

    /// Waits until the running call in that direction has ended.
    #[track_caller]
    pub(crate) fn wait(&self, interest: Interest) {
        let mut state = lock(&self.state);
        if !state.is_busy[index(interest)] {
            return;
        }
        let number = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.push((number, Unparker::current()));
        drop(state);
        let waiting = Waiting {
            unclaimed: self,
            number,
        };
        let wait = Wait::new(if interest == Interest::Read {
            Reason::Read
        } else {
            Reason::Write
        });
        while waiting.is_there() {
            park(&wait);
        }
    }
}

/// A waiter in the list, removed on every path, including unwinding.
struct Waiting<'a> {
    unclaimed: &'a Unclaimed,
    number: u64,
}

impl Waiting<'_> {
    fn is_there(&self) -> bool {
        let state = lock(&self.unclaimed.state);
        state
            .waiters
            .iter()
            .any(|&(number, _)| number == self.number)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.unclaimed.state);
        state.waiters.retain(|&(number, _)| number != self.number);
    }
}

impl State {
    fn take(&mut self, bufs: &mut [IoSliceMut<'_>]) -> Option<usize> {
        let (bytes, given) = self.read.as_mut()?;
        let before = *given;
        for buf in bufs {
            let count = buf.len().min(bytes.len() - *given);
            buf[..count].copy_from_slice(&bytes[*given..][..count]);
            *given += count;
        }
        let taken = *given - before;
        if *given == bytes.len() {
            self.read = None;
        }
        Some(taken)
    }
}

pub(super) fn index(interest: Interest) -> usize {
    match interest {
        Interest::Read => 0,
        Interest::Write => 1,
    }
}
