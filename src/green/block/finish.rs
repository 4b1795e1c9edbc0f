#![allow(unsafe_code, reason = "drops and moves the contents of control blocks")]
//! The end of a green thread: runs its closure, hands over the result, runs completion hooks and
//! drops what the thread owns, in order.
//!
//! Called on the thread's own stack, or by the thread that discards it unstarted. The common case,
//! a thread without locals or a scope whose joiner waits or will come, is one piece of code in the
//! frame at the base of the stack; the rest is out of line. The invariants are those of the control
//! block, in `green/mod.rs`, of `body.rs` and of `completion.rs`.

use std::sync::atomic::Ordering;

use super::super::cancel::catch_and_discard;
use super::super::completion::Finished;
use super::super::completion_hooks;
use super::super::fiber::Fiber;
use super::super::hooks;
use super::super::scope::member_list::Link;
use super::super::unparker::Unparker;
use super::{OwningScope, State, ThreadInner};
use crate::green::context::worker_context::WorkerContext;
use crate::stack::Stack;

impl ThreadInner {
    /// Ends a thread that no worker will start, because its runtime has ended. Runs on the caller's
    /// stack.
    pub(crate) fn discard(&self) {
        let failed = self.cancel_body();
        self.set_state(State::Done);
        self.complete(failed);
    }

    /// Gives the thread a stack. Returns false if the stack is unusable.
    #[inline(always)]
    pub(crate) fn set_up(&self, stack: Stack) -> bool {
        self.stack_top.store(stack.top(), Ordering::Relaxed);
        if !stack.has_coroutine() {
            return self.set_up_fresh(stack);
        }
        // SAFETY: just checked; stacks that are inhabited stay with their worker (S7).
        let fiber = unsafe { Fiber::reuse(stack) };
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

    /// Drops the closure, which has not run. Its captures are dropped to the end, even if the
    /// calling thread is cancelled. Returns true if a destructor panicked.
    fn cancel_body(&self) -> bool {
        let mut failed = false;
        catch_and_discard(|| {
            // SAFETY: B2, not run yet, and no other thread has it.
            failed = unsafe { self.body.cancel() };
        });
        failed
    }

    /// Runs the thread from its first step to the last, on its own stack.
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

    /// Completes the end as other threads see it. The closure is gone and the result is written, a
    /// panic if the thread has `failed`.
    #[inline(always)]
    fn complete(&self, failed: bool) {
        let is_rare = self.end_cancellation();
        if self.has_locals() {
            self.destroy_locals();
        }
        // The state of the OS thread is the caller's, if the thread is discarded unstarted.
        if is_rare && self.state() == State::Running {
            hooks::end(self);
        }
        match self.completion.finish::<Unparker>() {
            Finished::Unjoined => {}
            Finished::Joined(waiter) => waiter.unpark_and_drop(),
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

    /// Leaves the scope, if there is one. This is the last action of a thread.
    #[inline(never)]
    fn leave_scope(&self, failed: bool) {
        if let Some(scope) = self.scope() {
            if failed {
                // After the joiner was woken with the result, so that it comes first if both are on
                // one worker.
                scope.note_panic(self.id());
            }
            scope.leave();
        }
    }

    /// Handles a result without a handle, and completion hooks.
    #[inline(never)]
    fn finish_rare(&self, finished: Finished<Unparker>, failed: bool) {
        let (is_detached, is_hooked) = match finished {
            Finished::Unjoined | Finished::Joined(_) => (false, false),
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

    /// Returns the scope that the thread belongs to.
    #[inline]
    pub(super) fn scope(&self) -> Option<&dyn OwningScope> {
        // SAFETY: G4.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.scope.as_deref()
    }

    /// Returns the address of the scope that the thread belongs to, which is the subject of the
    /// wait for its end; 0 if it belongs to none.
    pub(crate) fn scope_address(&self) -> usize {
        self.scope()
            .map_or(0, |scope| std::ptr::from_ref(scope).addr())
    }

    /// Returns the thread's link in the list of its scope (ML1 in `member_list.rs`).
    #[inline]
    pub(super) fn scope_link(&self) -> &Link<ThreadInner> {
        // SAFETY: G4.
        match unsafe { (*self.rare.get()).as_ref() } {
            Some(rare) => &rare.scope_link,
            None => unreachable!("only threads of a scope are in its list"),
        }
    }

    /// Drops a result that was not taken. A panic is reported to the scope.
    ///
    /// # Safety
    ///
    /// C2.
    unsafe fn abandon_result(&self, failed: bool) {
        // SAFETY: by the contract.
        if unsafe { self.body.drop_plain_result() } {
            return;
        }
        match self.scope().filter(|_| failed) {
            // SAFETY: by the contract.
            Some(scope) => scope.note_failure(self.id(), unsafe { self.body.take_panic() }),
            None => catch_and_discard(|| {
                #[cfg(feature = "testing")]
                if failed {
                    crate::simulation::fail_unseen(self.id().get());
                }
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

    /// Runs the destructors of the thread's locals, which can still be found meanwhile, as
    /// destroyed.
    #[inline(never)]
    fn destroy_locals(&self) {
        // SAFETY: G2; it is boxed, and taken away only below, by this thread.
        if let Some(locals) = unsafe { (*self.locals.get()).as_ref() } {
            locals.destroy();
        }
    }

    /// Drops the locals. Only leaving the scope happens on the thread's stack afterwards.
    #[inline(never)]
    fn drop_locals(&self) {
        self.destroy_locals();
        // SAFETY: G2; the reference ends with the statement.
        drop(unsafe { (*self.locals.get()).take() });
    }

    /// Detaches the thread from its handle, which is being dropped.
    pub(crate) fn detach(&self) {
        if self.completion.detach() {
            // SAFETY: C2; it is gone already if it was joined.
            let failed = unsafe { self.body.failed() };
            // SAFETY: C2.
            unsafe { self.abandon_result(failed) };
        }
    }
}
