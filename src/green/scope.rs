//! What a scope and its green threads share: how many still run, and who waits for them.
//!
//! SC1. `enter` comes before a thread of the scope can run, `leave` when it has ended, its locals are
//!      dropped, and its result too if its handle is gone: after the last `leave` nothing borrows any more.
//! SC2. `running` is counted down with Release and read with Acquire by the owner, who goes on at zero.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::home::Home;
use super::park::{OnCancel, Wait, park};
use super::unparker::Unparker;

/// Shared by a scope and its threads.
#[derive(Debug)]
pub(crate) struct ScopeState {
    running: AtomicUsize,
    failed: AtomicBool,
    owner: Unparker,
}

impl ScopeState {
    /// A scope of the calling thread.
    pub(crate) fn new() -> ScopeState {
        ScopeState {
            running: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            owner: Unparker::current(),
        }
    }

    /// A thread is about to be spawned.
    pub(crate) fn enter(&self) {
        // As in std and in Arc: more than half of the range is a bug that must not wrap around.
        if self.running.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            self.leave();
            panic!("too many running green threads in one scope");
        }
    }

    /// A thread has ended (SC1), or could not be spawned.
    pub(crate) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::Release) == 1 {
            self.owner.unpark();
        }
    }

    /// A thread whose result nobody took has panicked.
    pub(crate) fn note_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether one has. After [`ScopeState::wait`].
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until all have ended, whatever happens: what they borrow dies afterwards.
    pub(crate) fn wait(&self, wait: Wait) {
        let wait = wait.on_cancel(OnCancel::Shield);
        if let Some(home) = Home::get() {
            home.spend(wait.at);
        }
        while self.running.load(Ordering::Acquire) != 0 {
            park(&wait);
        }
    }
}
