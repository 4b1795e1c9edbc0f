#![allow(unsafe_code, reason = "finds a remote queue by its address")]
//! Operations of other threads on a green thread: waking it, cancelling it, recycling its block.
//!
//! The invariants are those of the control block, in `green/mod.rs`, and of `remote_queue.rs`.

use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

use super::ThreadInner;
use super::slab;
use crate::green::context::remote::Remote;
use crate::green::context::worker_context;
use crate::green::context::worker_context::WorkerContext;
use crate::timeline::{self, flag};

impl ThreadInner {
    /// Cancels the thread: its present or next wait unwinds; if it has not started, it never runs.
    pub(crate) fn cancel(&self) {
        self.note_cancelled();
        // Pairs with the fence of `attach`.
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Ends the thread's present wait, or its next one.
    #[inline]
    pub(crate) fn wake(&self) {
        let remote = self.remote.load(Ordering::Acquire);
        // SAFETY: a `Remote` is never freed.
        let Some(remote) = (unsafe { remote.as_ref() }) else {
            return;
        };
        match WorkerContext::of_thread() {
            Some(here) if here.wakes_directly(remote) => here.wake(self),
            here => self.post(remote, here),
        }
    }

    #[cold]
    fn post(&self, remote: &'static Remote, here: Option<&WorkerContext>) {
        if let Some(here) = here.filter(|here| ptr::eq(here.remote, remote)) {
            return here.wake_traced(self);
        }
        if self.wake_node.claim() {
            if timeline::is_on() {
                let waker = here.map_or(0, WorkerContext::current_id);
                self.record_wake(waker, flag::REMOTE);
            }
            if here.is_none_or(WorkerContext::count_wakeup) {
                remote.note_post();
            }
            let message = self.to_ref().into_raw();
            // SAFETY: within the block.
            let wake_node = unsafe { message.byte_add(offset_of!(ThreadInner, wake_node)) };
            // SAFETY: claimed just now (M1); the reference goes with it (M2).
            unsafe { remote.queue.push(wake_node.cast()) };
            remote.notifier.wake();
        }
    }

    /// Records that the green thread `waker`, or other code if that is 0, ends a wait of this
    /// thread.
    #[cold]
    pub(crate) fn record_wake(&self, waker: u64, flags: u8) {
        let wait = (self.reason() as u8, self.subject());
        timeline::wake(self.id().get(), wait, waker, flags);
    }

    /// Gives the token that `park` takes, for `Thread::unpark`.
    #[inline]
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        match WorkerContext::of_thread() {
            // The thread's own worker calls: there is no concurrent access.
            Some(here) if here.wakes_directly(self.remote()) => here.wake(self),
            _ => {
                // Pairs with the fence of `attach`.
                fence(Ordering::SeqCst);
                self.wake();
            }
        }
    }

    /// Returns whether the calling OS thread steps this thread by hand, also before the thread is
    /// attached to its worker.
    pub(crate) fn is_stepped_here(&self) -> bool {
        worker_context::is_stepped_here(self.group())
    }

    /// Recycles the block after its last reference was dropped.
    pub(super) fn recycle(&self) {
        // SAFETY: no other thread has it (G1).
        if unsafe { (*self.rare.get()).is_some() } {
            self.drop_rare();
        }
        let cx = WorkerContext::of_thread();
        slab::give(NonNull::from(self), cx.map(|cx| &cx.spare));
    }

    #[cold]
    fn drop_rare(&self) {
        // SAFETY: no other thread has it (G1).
        drop(unsafe { (*self.rare.get()).take() });
    }
}

impl Remote {
    /// Closes it and keeps it for reuse. Wake-ups that arrive later are dropped by its next user.
    pub(crate) fn close(&'static self) {
        drop(self.notifier.set_wakeup(None));
        self.notifier.awake();
        for wake_node in self.queue.take() {
            drop(ThreadInner::from_wake_node(wake_node));
        }
        self.keep_spare();
    }
}
