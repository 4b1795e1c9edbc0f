//! What is left for the next caller of an open file: what a read of a caller that has gone has got, an error of its write.
//!
//! `device.rs` says how it comes to that, and has KE1.
//!
//! - **KE2** `waiters` are woken after each end; they look again.
//!
//! Any thread may use any of this at any time; `wait` suspends.

use std::io::{self, IoSliceMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::green::{Reason, Unparker, Wait, park};
use crate::runtime::io::source::Way;
use crate::shim::lock;

/// What is kept for one file.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Whether there is anything in `state`: a hint for callers who did not come after the one that left.
    pub(super) is_used: AtomicBool,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) is_busy: [bool; 2],
    /// What was read, and how much of it has been given away.
    pub(super) read: Option<(Vec<u8>, usize)>,
    pub(super) write_error: Option<io::Error>,
    pub(super) waiters: Vec<(u64, Unparker)>,
    next_waiter: u64,
}

impl Kept {
    pub(crate) const fn new() -> Kept {
        Kept {
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

    /// What was kept of a read, into `bufs`; waits while one is under way. None: there is nothing, and none is.
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
            self.wait(Way::Read);
        }
        None
    }

    /// Waits while a write is under way.
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
            self.wait(Way::Write);
        }
        Ok(())
    }

    /// Keeps what was read, when nothing else is kept.
    pub(crate) fn put(&self, bytes: &[u8]) {
        self.change(|state| state.read = Some((bytes.to_vec(), 0)));
    }

    /// Whether a write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        lock(&self.state).is_busy[1]
    }

    /// Waits until the call that is under way that way has ended.
    #[track_caller]
    pub(crate) fn wait(&self, way: Way) {
        let mut state = lock(&self.state);
        if !state.is_busy[index(way)] {
            return;
        }
        let number = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.push((number, Unparker::current()));
        drop(state);
        let waiting = Waiting { kept: self, number };
        let wait = Wait::new(if way == Way::Read {
            Reason::Read
        } else {
            Reason::Write
        });
        while waiting.is_there() {
            park(&wait);
        }
    }
}

/// A waiter in the list, taken out on every way out, unwinding included.
struct Waiting<'a> {
    kept: &'a Kept,
    number: u64,
}

impl Waiting<'_> {
    fn is_there(&self) -> bool {
        let state = lock(&self.kept.state);
        state
            .waiters
            .iter()
            .any(|&(number, _)| number == self.number)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.kept.state);
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

pub(super) fn index(way: Way) -> usize {
    match way {
        Way::Read => 0,
        Way::Write => 1,
    }
}
