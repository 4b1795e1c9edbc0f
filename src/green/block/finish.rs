#![allow(
    unsafe_code,
    reason = "what the control block holds goes to its next owner"
)]
//! A green thread runs its closure, and ends: who gets the result, who is told, what of the
//! thread's own goes when.
//!
//! Called on the thread's own stack, or by who ends it unstarted. What is usual, a thread without
//! locals or a scope whose joiner waits or will come, is one piece of code in the frame at the base
//! of the stack; the rest is out of line. The invariants are those of the control block, in
//! `green/mod.rs`, of `body.rs` and of `completion.rs`.

use std::cell::Cell;

use super::super::cancel::catch_and_discard;
use super::super::completion::Finished;
use super::super::completion_hooks;
use super::super::fiber::Fiber;
use super::super::unparker::Unparker;
use super::{OwningScope, State, ThreadInner};
use crate::green::context::worker_context::WorkerContext;
use crate::stack::Stack;

impl ThreadInner {
    /// Ends a thread that no worker will start: its runtime has ended. On the caller's stack.
    pub(crate) fn discard(&self) {
        let failed = self.cancel_body();
        self.set_state(State::Done);
        self.complete(failed);
    }

    /// Gives it a stack. False: the stack is unusable.
    #[inline(always)]
    pub(crate) fn set_up(&self, stack: Stack) -> bool {
        if !stack.is_inhabited() {
            return self.set_up_fresh(stack);
        }
        // SAFETY: just seen; stacks that are inhabited stay with their worker (S7).
        let fiber = unsafe { Fiber::again(stack) };
        // SAFETY: G5.
        unsafe { *self.fiber.get() = Some(fiber) };
        true
    }

    #[cold]
    fn set_up_fresh(&self, stack: Stack) -> bool {
        let fiber = Fiber::new(stack, |started| {
            let Some(cx) = WorkerContext::of_thread() else {
                panic!("rustlet: a green thread runs outside its worker; this is a bug in rustlet");
            };
            let green = cx.current();
            // SAFETY: G5.
            if let Some(fiber) = unsafe { (*green.fiber.get()).as_ref() } {
                started.attach(fiber);
            }
            green.live();
        });
        let usable = fiber.is_some();
        // SAFETY: G5.
        unsafe { *self.fiber.get() = fiber };
        usable
    }

    /// Drops the closure, which has not run. What it has captured is dropped to its end, whatever
    /// ends the waits of the calling thread. True: with a panic.
    fn cancel_body(&self) -> bool {
        let mut failed = false;
        catch_and_discard(|| {
            // SAFETY: B2, not run yet, and nobody else has it.
            failed = unsafe { self.body.cancel() };
        });
        failed
    }

    /// From the first step to the last, on its own stack.
    #[inline]
    pub(super) fn live(&self) {
        let failed = if self.is_cancelled() {
            self.end_cancellation();
            self.cancel_body()
        } else {
            // SAFETY: B2.
            unsafe { self.body.run() }
        };
        self.complete(failed);
    }

    /// The closure is gone and the result is there, a panic if it has `failed`: the rest of its end
    /// that others see.
    #[inline(always)]
    fn complete(&self, failed: bool) {
        self.end_cancellation();
        if self.has_locals() {
            self.destroy_locals();
        }
        match self.completion.finish::<Unparker>() {
            Finished::Kept => {}
            Finished::Joined(waiter) => waiter.unpark(),
            unusual => self.finish_rare(unusual, failed),
        }
        // The destructor of the result may have made new ones.
        if self.has_locals() {
            self.drop_locals();
        }
        // SAFETY: G4.
        if unsafe { (*self.rare.get()).is_some() } {
            self.leave_scope(failed);
        }
    }

    /// The very last thing, for a thread that may be a scope's.
    #[inline(never)]
    fn leave_scope(&self, failed: bool) {
        if let Some(scope) = self.scope() {
            if failed {
                // After its joiner has got the result, which so comes first if both are on one
                // worker.
                scope.note_panic(self.id());
            }
            scope.leave();
        }
    }

    /// Nobody will come for the result, or others are to be told of the end.
    #[inline(never)]
    fn finish_rare(&self, finished: Finished<Unparker>, failed: bool) {
        let (is_detached, is_hooked) = match finished {
            Finished::Kept | Finished::Joined(_) => (false, false),
            Finished::Detached => (true, false),
            Finished::Hooked => (false, true),
            Finished::HookedDetached => (true, true),
        };
        if is_detached {
            // SAFETY: C2.
            unsafe { self.abandon_result(failed) };
        }
        if is_hooked {
            completion_hooks::run_hooks(self);
        }
    }

    /// The scope that it is a thread of.
    #[inline]
    pub(super) fn scope(&self) -> Option<&dyn OwningScope> {
        // SAFETY: G4.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.scope.as_deref()
    }

    /// Its link in the list of its scope (RF1 in `reference.rs`).
    #[inline]
    pub(super) fn scope_link(&self) -> &Cell<*mut ThreadInner> {
        // SAFETY: G4.
        match unsafe { (*self.rare.get()).as_ref() } {
            Some(rare) => &rare.scope_link,
            None => unreachable!("only threads of a scope are in its list"),
        }
    }

    /// Drops a result that nobody took. A panic is its scope's to know.
    ///
    /// # Safety
    ///
    /// C2.
    unsafe fn abandon_result(&self, failed: bool) {
        match self.scope().filter(|_| failed) {
            // SAFETY: by the contract.
            Some(scope) => scope.note_failure(self.id(), unsafe { self.body.take_panic() }),
            None => catch_and_discard(|| {
                // SAFETY: by the contract.
                unsafe { self.body.drop_result() };
            }),
        }
    }

    #[inline(always)]
    fn has_locals(&self) -> bool {
        // SAFETY: G2.
        unsafe { (*self.locals.get()).is_some() }
    }

    /// Runs the destructors of its locals, which stay findable meanwhile: as destroyed.
    #[inline(never)]
    fn destroy_locals(&self) {
        // SAFETY: G2; it is boxed, and taken away only below, by this thread.
        if let Some(locals) = unsafe { (*self.locals.get()).as_ref() } {
            locals.destroy();
        }
    }

    /// The last thing that happens on its stack, but for leaving its scope.
    #[inline(never)]
    fn drop_locals(&self) {
        self.destroy_locals();
        // SAFETY: G2; the reference ends with the statement.
        drop(unsafe { (*self.locals.get()).take() });
    }

    /// The handle goes away.
    pub(crate) fn detach(&self) {
        if self.completion.detach() {
            // SAFETY: C2; it is gone already if it was joined.
            let failed = unsafe { self.body.failed() };
            // SAFETY: C2.
            unsafe { self.abandon_result(failed) };
        }
    }
}
