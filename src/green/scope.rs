//! What a scope and its green threads share: how many still run, who waits for them, and, in one
//! that cancels, who they are.
//!
//! SC1. `enter` comes before a thread of the scope can run, `leave` when it has ended, its locals
//!      are dropped, and its result too if its handle is gone: after the last `leave` nothing
//!      borrows any more.
//! SC2. `running` is counted down with Release and read with Acquire by the owner, who goes on at
//!      zero.
//! SC3. A scope is broken once: `cancelled` is set, *then* those who are listed are taken and
//!      cancelled. A thread is listed before it can run, and *then* its spawner looks at
//!      `cancelled`, and takes and cancels what is listed if it is set. All four are sequentially
//!      consistent, so each thread is cancelled by one or the other.
//!
//! The owner waits; everything else may come from any thread.

use std::any::Any;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::block::RefStack;
use super::context::worker_context::WorkerContext;
use super::park::{OnCancel, Wait, Wake, park};
use super::unparker::Unparker;
use super::{OwningScope, Reason, ThreadRef, catch_and_discard};
use crate::shim::lock;

/// So many threads are listed before the first look for those that have ended.
const MIN_FULL: usize = 16;

/// Shared by a scope and its threads.
#[derive(Debug)]
pub(crate) struct ScopeState {
    running: AtomicUsize,
    failed: AtomicBool,
    owner: Unparker,
    /// One that fails has the others cancelled.
    cancels: bool,
    cancelled: AtomicBool,
    /// Those that may still run. They hold the scope, which holds them: until it has ended, or they
    /// were looked through.
    threads: RefStack,
    /// How many were listed since the list was last looked through, about: two spawners at once may
    /// count as one.
    listed: AtomicUsize,
    /// With so many, those that have ended are sorted out.
    full: AtomicUsize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// Who broke it up. Others may fail because of that, and be known of earlier.
    first: Option<NonZeroU64>,
    /// Its panic if nobody has joined it, else that of another.
    payload: Option<Box<dyn Any + Send>>,
}

impl ScopeState {
    /// A scope of the calling thread. `cancels`: when one of its threads panics, the others are
    /// cancelled. When its owner is, they are in either case.
    pub(crate) fn new(cancels: bool) -> ScopeState {
        ScopeState {
            running: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            owner: Unparker::current(),
            cancels,
            cancelled: AtomicBool::new(false),
            threads: RefStack::new(),
            listed: AtomicUsize::new(0),
            full: AtomicUsize::new(MIN_FULL),
            members: Mutex::default(),
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

    /// Lets go of those that have ended. The caller looks at `cancelled` afterwards.
    #[cold]
    fn sort_out(&self) {
        self.listed.store(0, Ordering::Relaxed);
        let mut left = 0;
        for green in self.threads.take().reversed() {
            if !green.completion().is_done() {
                self.threads.push(green);
                left += 1;
            }
        }
        self.full.store(MIN_FULL.max(left), Ordering::Relaxed);
    }

    /// Cancels those that are listed, in the order in which they were spawned.
    #[cold]
    fn cancel_listed(&self) {
        for green in self.threads.take().reversed() {
            green.cancel();
        }
    }

    /// Cancels all threads of the scope, and whoever waits within its flag; because the thread `by`
    /// has failed, or the owner ends it. Once.
    pub(crate) fn cancel_members(&self, by: Option<NonZeroU64>) {
        let mut members = lock(&self.members);
        // Pairs with the Acquire of `CancelScope::has_ended`. SC3.
        if self.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        members.first = by;
        drop(members);
        self.cancel_listed();
        self.owner.unpark();
    }

    /// What ends the waits of the owner, in a scope that cancels.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// A thread has ended (SC1), or could not be spawned.
    pub(crate) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::Release) == 1 {
            self.owner.unpark();
        }
    }

    /// Whether one has. After [`ScopeState::wait`].
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What the first that failed has thrown, in a scope that cancels. After [`ScopeState::wait`].
    pub(crate) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.members).payload.take()
    }

    /// Waits until all have ended, whatever happens: what they borrow dies afterwards. If the owner
    /// is cancelled meanwhile, cancels them, and waits on; true then.
    pub(crate) fn wait(&self, at: &'static Location<'static>) -> bool {
        if let Some(cx) = WorkerContext::get() {
            cx.poll_budget_shielded(at);
        }
        let shielded = Wait::at(Reason::Scope, at).on_cancel(OnCancel::Shield);
        let deferring = Wait::at(Reason::Scope, at).on_cancel(OnCancel::Defer);
        let mut was_cancelled = false;
        while self.running.load(Ordering::Acquire) != 0 {
            if was_cancelled {
                park(&shielded);
            } else if park(&deferring) == Wake::Cancelled {
                was_cancelled = true;
                self.cancel_members(None);
            }
        }
        drop(self.threads.take());
        was_cancelled
    }
}

impl OwningScope for ScopeState {
    fn list(&self, listed: ThreadRef) {
        self.threads.push(listed);
        let listed = self.listed.load(Ordering::Relaxed) + 1;
        self.listed.store(listed, Ordering::Relaxed);
        if listed > self.full.load(Ordering::Relaxed) {
            self.sort_out();
        }
        // SC3.
        if self.cancelled.load(Ordering::SeqCst) {
            self.cancel_listed();
        }
    }

    /// Cancels the others if the scope does that.
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
