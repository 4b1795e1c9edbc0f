//! The state that a scope and its green threads share: how many still run, the waiting owner, and,
//! in a scope that cancels, the list of its threads.
//!
//! SC1. `enter` is called before a thread of the scope can run. `leave` is called when the thread
//!      has ended and its locals are dropped, and also its result if its handle was dropped. After
//!      the last `leave` nothing borrows any more.
//! SC2. `running` is counted down with Release and read with Acquire by the owner, which continues
//!      at zero.
//! SC3. A scope fails once; `member_list.rs` documents how each of its threads is then cancelled
//!      (ML2).
//!
//! Only the owner waits; every other call may come from any thread.

pub(crate) mod member_list;

use std::any::Any;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use self::member_list::MemberList;
use super::context::worker_context::WorkerContext;
use super::park::{OnCancel, Wait, Wake, park};
use super::unparker::Unparker;
use super::{OwningScope, Reason, ThreadRef, catch_and_discard};
use crate::shim::lock;

/// State that a scope and its threads share.
#[derive(Debug)]
pub(crate) struct ScopeState {
    running: AtomicUsize,
    failed: AtomicBool,
    owner: Unparker,
    /// Whether the failure of one thread cancels the others.
    cancels: bool,
    /// The threads that may still run. A thread and the scope refer to each other until the scope
    /// has ended or a sweep has removed the thread.
    threads: MemberList<ThreadRef>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// The thread that failed first. Other threads may fail because of it and be recorded earlier.
    first: Option<NonZeroU64>,
    /// The panic payload of the first thread if it was not joined, otherwise that of another one.
    payload: Option<Box<dyn Any + Send>>,
}

impl ScopeState {
    /// Creates a scope of the calling thread. `cancels`: when one of its threads panics, the others
    /// are cancelled. When the owner is cancelled, they are cancelled in either case.
    pub(crate) fn new(cancels: bool) -> ScopeState {
        ScopeState {
            running: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            owner: Unparker::current(),
            cancels,
            threads: MemberList::new(),
            members: Mutex::default(),
        }
    }

    /// Counts a thread that is about to be spawned.
    pub(crate) fn enter(&self) {
        // As in std's scopes and `Arc`: a count above half of the range is a bug, and it must not
        // wrap around.
        if self.running.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            self.leave();
            panic!("too many running green threads in one scope");
        }
    }

    /// Cancels all threads of the scope and the waits within its flag, because the thread `by` has
    /// failed or the owner ends the scope. Only the first call has an effect.
    pub(crate) fn cancel_members(&self, by: Option<NonZeroU64>) {
        let mut members = lock(&self.members);
        // Pairs with the Acquire of `CancelScope::has_ended`.
        if !self.threads.mark_cancelled() {
            return;
        }
        members.first = by;
        drop(members);
        self.threads.cancel_listed();
        self.owner.unpark();
    }

    /// Returns the flag that ends the waits of the owner, in a scope that cancels.
    pub(crate) fn flag(&self) -> &AtomicBool {
        self.threads.flag()
    }

    /// Counts a thread that has ended (SC1), or could not be spawned.
    pub(crate) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::Release) == 1 {
            self.owner.unpark();
        }
    }

    /// Returns whether a thread has failed. Called after [`ScopeState::wait`].
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes the panic payload of the first thread that failed, in a scope that cancels. Called
    /// after [`ScopeState::wait`].
    pub(crate) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.members).payload.take()
    }

    /// Waits until all threads have ended, even if the owner is cancelled, because the data they
    /// borrow is dropped afterwards. If the owner is cancelled meanwhile, the call cancels the
    /// threads, continues to wait, and returns true.
    pub(crate) fn wait(&self, at: &'static Location<'static>) -> bool {
        if let Some(cx) = WorkerContext::get() {
            cx.poll_budget_shielded(at);
        }
        let wait = Wait::at(Reason::Scope, at).on(ptr::from_ref(self).addr());
        let shielded = wait.on_cancel(OnCancel::Shield);
        let deferring = wait.on_cancel(OnCancel::Defer);
        let mut was_cancelled = false;
        while self.running.load(Ordering::Acquire) != 0 {
            if was_cancelled {
                park(&shielded);
            } else if park(&deferring) == Wake::Cancelled {
                was_cancelled = true;
                self.cancel_members(None);
            }
        }
        self.threads.clear();
        was_cancelled
    }
}

impl OwningScope for ScopeState {
    fn list(&self, listed: ThreadRef) {
        self.threads.list(listed);
    }

    /// Cancels the other threads because the thread `by` has panicked, if the scope cancels.
    fn note_panic(&self, by: NonZeroU64) {
        if self.cancels {
            self.cancel_members(Some(by));
        }
    }

    fn note_failure(&self, who: NonZeroU64, payload: Option<Box<dyn Any + Send>>) {
        self.failed.store(true, Ordering::Relaxed);
        let mut unwanted = payload;
        if self.cancels {
            let mut members = lock(&self.members);
            if members.payload.is_none() || members.first == Some(who) {
                std::mem::swap(&mut members.payload, &mut unwanted);
            }
        }
        catch_and_discard(|| drop(unwanted));
    }

    fn leave(&self) {
        ScopeState::leave(self);
    }
}
