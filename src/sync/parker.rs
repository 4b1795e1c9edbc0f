#![allow(unsafe_code, reason = "references as raw pointers")]
//! [`Parker`] and [`Unparker`].
//!
//! PA1. A token is kept only while nobody stands in line; a waiter that is claimed has used one up.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::line::Line;
use super::wait::spin::Spin;
use super::wait::stand::{Ended, Place, Sleep, stand};
use super::wait::waiting::Thread;
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

/// A place to wait that others can end, through its [`Unparker`]. crossbeam-utils' `Parker`.
///
/// As [`park`](crate::park) and [`Thread::unpark`](crate::thread::Thread::unpark), but of one's own: no other code uses its token. Each
/// wait is ended by an `unpark`, and not without one.
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds, and takes no token with it.
///
/// ```
/// use rustlet::sync::Parker;
///
/// rustlet::run(|| {
///     let parker = Parker::new();
///     let unparker = parker.unparker().clone();
///     rustlet::spawn(move || unparker.unpark());
///     parker.park();
/// });
/// ```
///
/// It may go to another thread, but one thread at a time has it:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<rustlet::sync::Parker>();
/// ```
pub struct Parker {
    unparker: Unparker,
    one_thread: PhantomData<Cell<()>>,
}

/// Ends waits of its [`Parker`]. crossbeam-utils' `Unparker`.
pub struct Unparker {
    shared: Arc<Spin<State>>,
}

struct State {
    token: bool,
    line: Line<Thread>,
}

impl UnwindSafe for Parker {}
impl RefUnwindSafe for Parker {}
impl UnwindSafe for Unparker {}
impl RefUnwindSafe for Unparker {}

impl Parker {
    /// One without a token.
    #[must_use]
    pub fn new() -> Parker {
        Parker {
            unparker: Unparker {
                shared: Arc::new(Spin::new(State {
                    token: false,
                    line: Line::new(),
                })),
            },
            one_thread: PhantomData,
        }
    }

    /// Waits for a token, and uses it up. Suspends the calling green thread, or blocks the calling OS thread.
    #[track_caller]
    pub fn park(&self) {
        self.park_until(NEVER, Location::caller());
    }

    /// As [`park`](Parker::park), for at most `timeout`.
    #[track_caller]
    pub fn park_timeout(&self, timeout: Duration) {
        self.park_until(clock::after(timeout), Location::caller());
    }

    /// As [`park`](Parker::park), until `deadline` at the latest.
    #[track_caller]
    pub fn park_deadline(&self, deadline: Instant) {
        self.park_until(clock::ticks(deadline), Location::caller());
    }

    fn park_until(&self, deadline: Tick, at: &'static Location<'static>) {
        spend_quietly(at);
        let wait = Wait::at(Reason::Park, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let spin = &*self.unparker.shared;
        loop {
            let mut state = spin.lock();
            if std::mem::take(&mut state.token) {
                return;
            }
            let ended = stand(
                spin,
                state,
                |state| &mut state.line,
                &Place::BACK,
                &wait,
                || {},
                |_| {},
            );
            match ended {
                Ended::Claimed | Ended::Elapsed => return,
                Ended::Cancelled => raise_if_cancelled(),
            }
        }
    }

    /// What ends its waits.
    #[must_use]
    pub fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// As a pointer, for [`Parker::from_raw`].
    #[must_use]
    pub fn into_raw(this: Parker) -> *const () {
        Unparker::into_raw(this.unparker)
    }

    /// Back from a pointer.
    ///
    /// # Safety
    ///
    /// The pointer came from [`Parker::into_raw`], and comes back once.
    #[must_use]
    pub unsafe fn from_raw(ptr: *const ()) -> Parker {
        Parker {
            // SAFETY: by the contract; it is the same pointer.
            unparker: unsafe { Unparker::from_raw(ptr) },
            one_thread: PhantomData,
        }
    }
}

impl Unparker {
    /// Gives a token, if there is none: ends the parker's present wait, or its next one. Does not wait.
    #[track_caller]
    pub fn unpark(&self) {
        spend_quietly(Location::caller());
        let mut state = self.shared.lock();
        let Some(claimed) = state.line.claim() else {
            state.token = true;
            return;
        };
        let waker = claimed.finish();
        drop(state);
        Thread::wake(waker);
    }

    /// As a pointer, for [`Unparker::from_raw`].
    #[must_use]
    pub fn into_raw(this: Unparker) -> *const () {
        Arc::into_raw(this.shared).cast()
    }

    /// Back from a pointer.
    ///
    /// # Safety
    ///
    /// The pointer came from [`Unparker::into_raw`], and comes back once.
    #[must_use]
    pub unsafe fn from_raw(ptr: *const ()) -> Unparker {
        Unparker {
            // SAFETY: by the contract.
            shared: unsafe { Arc::from_raw(ptr.cast()) },
        }
    }
}

impl Clone for Unparker {
    fn clone(&self) -> Unparker {
        Unparker {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Default for Parker {
    fn default() -> Parker {
        Parker::new()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Parker { .. }")
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Unparker { .. }")
    }
}
