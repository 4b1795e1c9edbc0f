//! The state that a scope and its green threads share: how many still run, the waiting owner, and,
//! in a scope that cancels, the list of its threads.
//!
//! SC1. `enter` comes before a thread of the scope can run; `leave` comes when it has ended and its
//!      locals are dropped, and its result too if its handle is gone: after the last `leave`
//!      nothing borrows any more.
//! SC2. `running` is counted down with Release and read with Acquire by the owner, which continues
//!      at zero.
//! SC3. A scope fails once: `cancelled` is set, *then* the listed threads are taken and cancelled.
//!      A thread is listed before it can run, and *then* its spawner reads `cancelled`, and takes
//!      and cancels the listed threads if it is set. All four are sequentially consistent, so each
//!      thread is cancelled by one or the other.
//!
//! Only the owner waits; every other call may come from any thread.

use std::any::Any;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::block::RefStack;
use super::context::worker_context::WorkerContext;
use super::park::{OnCancel, Wait, Wake, park};
use super::unparker::Unparker;
use super::{OwningScope, Reason, ThreadRef, catch_and_discard};
use crate::shim::lock;

/// The number of listed threads before the first sweep for those that have ended.
const MIN_FULL: usize = 16;

/// Shared by a scope and its threads.
#[derive(Debug)]
pub(crate) struct ScopeState {
    running: AtomicUsize,
    failed: AtomicBool,
    owner: Unparker,
    /// When one of the threads fails, the others are cancelled.
    cancels: bool,
    cancelled: AtomicBool,
    /// The threads that may still run. They hold the scope, which holds them, until it has ended or
    /// a sweep has removed them.
    threads: RefStack,
    /// The approximate number of threads listed since the last sweep: two spawners at once may
    /// count as one.
    listed: AtomicUsize,
    /// When `listed` exceeds this, threads that have ended are removed.
    full: AtomicUsize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// The thread that failed first. Others may fail because of it, and be recorded earlier.
    first: Option<NonZeroU64>,
    /// The panic of the first thread if it was not joined, otherwise that of another.
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
            cancelled: AtomicBool::new(false),
            threads: RefStack::new(),
            listed: AtomicUsize::new(0),
            full: AtomicUsize::new(MIN_FULL),
            members: Mutex::default(),
        }
    }

    /// Counts a thread that is about to be spawned.
    pub(crate) fn enter(&self) {
        // As in std and in `Arc`: more than half of the range is a bug that must not wrap around.
        if self.running.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            self.leave();
            panic!("too many running green threads in one scope");
        }
    }

    /// Removes threads that have ended from the list. The caller reads `cancelled` afterwards.
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

    /// Cancels the listed threads, in the order in which they were spawned.
    #[cold]
    fn cancel_listed(&self) {
        for green in self.threads.take().reversed() {
            green.cancel();
        }
    }

    /// Cancels all threads of the scope and the waits within its flag, because the thread `by` has
    /// failed or the owner ends the scope. Only the first call has an effect.
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

    /// Returns the flag that ends the waits of the owner, in a scope that cancels.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.cancelled
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

    /// Waits until all threads have ended, in any case: the data they borrow is dropped afterwards.
    /// If the owner is cancelled meanwhile, cancels them, continues to wait, and returns true.
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

    /// Cancels the other threads if the scope is a cancelling one.
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
