#![allow(unsafe_code, reason = "mailboxes are found by address")]
//! What others do to a green thread: wake it, cancel it, give its block back.
//!
//! The invariants are those of the control block, in `green/mod.rs`, and of `remote.rs`.

use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

use super::ThreadInner;
use super::slab;
use crate::green::context::remote::Remote;
use crate::green::context::worker_context;
use crate::green::context::worker_context::WorkerContext;

impl ThreadInner {
    /// Unwinds it from its present or next wait; if it has not started, it never runs.
    pub(crate) fn cancel(&self) {
        self.note_cancelled();
        // Pairs with the fence of `attach`.
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Ends its present wait, or its next.
    #[inline]
    pub(crate) fn wake(&self) {
        let remote = self.remote.load(Ordering::Acquire);
        // SAFETY: mailboxes are never freed.
        let Some(remote) = (unsafe { remote.as_ref() }) else {
            return;
        };
        match WorkerContext::of_thread() {
            Some(here) if ptr::eq(here.remote, remote) => here.wake(self),
            _ => self.post(remote),
        }
    }

    #[cold]
    fn post(&self, remote: &'static Remote) {
        if self.wake_node.claim() {
            let message = self.to_ref().into_raw();
            // SAFETY: within the block.
            let wake_node = unsafe { message.byte_add(offset_of!(ThreadInner, wake_node)) };
            // SAFETY: claimed just now (M1); the reference goes with it (M2).
            unsafe { remote.queue.push(wake_node.cast()) };
            remote.notifier.wake();
        }
    }

    /// `Thread::unpark`: a token that `park` takes.
    #[inline]
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        match WorkerContext::of_thread() {
            // Its own worker calls: nothing happens at the same time.
            Some(here) if ptr::eq(here.remote, self.remote()) => here.wake(self),
            _ => {
                // Pairs with the fence of `attach`.
                fence(Ordering::SeqCst);
                self.wake();
            }
        }
    }

    /// Whether it is the calling OS thread that has to step it, by hand: also before it is taken
    /// in, and has a home.
    pub(crate) fn is_stepped_here(&self) -> bool {
        worker_context::is_stepped_here(self.group())
    }

    /// The last reference is gone.
    pub(super) fn recycle(&self) {
        // SAFETY: nobody else has it (G1).
        if unsafe { (*self.rare.get()).is_some() } {
            self.drop_rare();
        }
        let cx = WorkerContext::of_thread();
        slab::give(NonNull::from(self), cx.map(|cx| &cx.spare));
    }

    #[cold]
    fn drop_rare(&self) {
        // SAFETY: nobody else has it (G1).
        drop(unsafe { (*self.rare.get()).take() });
    }
}

impl Remote {
    /// Gives it back. Messages that come later are dropped by whoever gets it next.
    pub(crate) fn close(&'static self) {
        drop(self.notifier.set_wakeup(None));
        self.notifier.awake();
        for wake_node in self.queue.take() {
            drop(ThreadInner::from_wake_node(wake_node));
        }
        self.keep_spare();
    }
}
