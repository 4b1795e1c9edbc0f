#![allow(
    unsafe_code,
    reason = "takes results of any type out of control blocks"
)]
//! Handles that own the result of a green thread.
//!
//! J2. A shared reference to a handle gives nothing of `T`: taking or dropping the result needs the
//!     handle itself.
//! J1. A [`Joiner`] is the handle of C2 in `completion.rs`, and its `T` is that of the spawn.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::scheduler::runtime_context::RuntimeContext;
use super::scheduler::shared::Phase;
use crate::green::budget::poll_budget_quietly;
use crate::green::cancel::assert_unwinding;
use crate::green::completion::Completion;
use crate::green::completion_hooks::{self, OnDone};
use crate::green::park::unwind_if_cancelled;
use crate::green::task::Task;
use crate::green::thread::Thread;
use crate::green::{
    Cancelled, OnCancel, Outcome, Reason, ThreadInner, ThreadRef, Unparker, Wait, Wake,
    WorkerContext, park,
};
use crate::sys::clock;

/// The common part of [`JoinHandle`] and
/// [`ScopedJoinHandle`](crate::thread::ScopedJoinHandle).
pub(crate) struct Joiner<T> {
    thread: Thread,
    // It makes the handle `Send` only if `T` is: the result goes to the joining thread, and the
    // result of a thread of `spawn_local` may not be `Send`.
    result: PhantomData<T>,
}

// SAFETY: J2.
unsafe impl<T> Sync for Joiner<T> {}

impl<T> Joiner<T> {
    /// # Safety
    ///
    /// J1: `green` is the handle's reference that its spawn gave, and `T` the type of its result.
    pub(crate) unsafe fn new(green: ThreadRef) -> Joiner<T> {
        Joiner {
            thread: Thread::new(Unparker::Green(green)),
            result: PhantomData,
        }
    }

    pub(crate) fn thread(&self) -> &Thread {
        &self.thread
    }

    #[inline(always)]
    fn green(&self) -> &ThreadInner {
        match self.thread.unparker() {
            Unparker::Green(green) => green,
            Unparker::Os(_) | Unparker::Task(_) => {
                unreachable!("a joiner is made of a green thread")
            }
        }
    }

    /// Returns the unparker of the caller, which is about to wait for the end.
    #[inline(always)]
    fn waiter(&self) -> Unparker {
        let waiter = Unparker::current();
        if let Unparker::Os(_) = waiter {
            assert_not_self_join(self.green());
        }
        waiter
    }

    #[track_caller]
    pub(crate) fn is_finished(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.green().completion().is_done()
    }

    /// # Panics
    ///
    /// The program is built with `panic = "abort"`.
    #[track_caller]
    pub(crate) fn cancel(&self) {
        assert_unwinding("cancel");
        poll_budget_quietly(Location::caller());
        self.green().cancel();
    }

    /// Cancels the thread where that is possible, without a charge to the budget: for destructors.
    pub(crate) fn cancel_uncharged(&self) {
        if cfg!(panic = "unwind") {
            self.green().cancel();
        }
    }

    /// Waits for the end and returns the result. If the wait unwinds, the handle is dropped.
    ///
    /// # Panics
    ///
    /// The caller is that thread itself.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn join(self, wait: &Wait) -> Outcome<T> {
        let completion = self.green().completion();
        if !completion.is_done() {
            if let Some(cx) = WorkerContext::get()
                && ptr::eq(cx.current(), self.green())
            {
                joins_itself();
            }
            if completion.register(self.waiter()) {
                // The thread had not ended when the waiter entered, so its end wakes the waiter.
                let wait = &self.named(wait);
                loop {
                    park(wait);
                    if completion.is_done() {
                        break;
                    }
                }
            } else {
                // The wait has no limit, so the thread has ended.
                let _end = self.wait_hooked(wait);
            }
        }
        self.take(wait)
    }

    /// Returns `wait` with the joined thread as its subject. If that thread waits for a lock or
    /// another end in turn, or the caller is awaited itself, this may close a cycle.
    #[inline(always)]
    fn named(&self, wait: &Wait) -> Wait {
        let green = self.green();
        if let Some(cx) = WorkerContext::get()
            // A thread that joins the caller at this moment may not be seen to wait yet.
            && (cx.current().completion().may_be_awaited() || green.may_be_deadlocked())
        {
            cx.suspicion.set(true);
        }
        wait.on(green.id().get() as usize)
    }

    /// Takes the result of a thread that is done.
    #[inline(always)]
    fn take(self, wait: &Wait) -> Outcome<T> {
        // SAFETY: J1; it is done.
        let outcome = unsafe { self.green().take_result() };
        self.drop_reference();
        if let Err(payload) = &outcome
            && payload.is::<Cancelled>()
        {
            // Both are: the end of the caller is its own, not a result that it did not expect.
            unwind_with_runtime(wait);
        }
        outcome
    }

    /// Drops a handle whose thread is done and has no result any more: only the reference is left.
    #[inline(always)]
    fn drop_reference(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: it is not dropped again.
        drop(unsafe { ptr::read(&raw const this.thread) });
    }

    /// Joins like [`Joiner::join`], until the deadline of `wait`; then returns the joiner.
    pub(crate) fn join_until(self, wait: &Wait) -> Result<Outcome<T>, Joiner<T>> {
        match self.wait_done(wait) {
            Wake::Event => Ok(self.take(wait)),
            Wake::Elapsed | Wake::Cancelled => Err(self),
        }
    }

    /// Waits for the end (then it is [`Wake::Event`]), as `wait` says. Unwinding out of it leaves
    /// the handle as it was.
    pub(crate) fn wait_done(&self, wait: &Wait) -> Wake {
        /// Removes the waiter from the completion.
        struct Leave<'a>(&'a Completion);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.unregister::<Unparker>();
            }
        }
        let completion = self.green().completion();
        if completion.is_done() {
            return Wake::Event;
        }
        if !completion.register(self.waiter()) {
            return self.wait_hooked(wait);
        }
        let leave = Leave(completion);
        let wake = self.park_until_done(wait);
        drop(leave);
        wake
    }

    /// Parks until it is done ([`Wake::Event`]), or the wait ends otherwise.
    fn park_until_done(&self, wait: &Wait) -> Wake {
        let wait = &self.named(wait);
        let completion = self.green().completion();
        let mut wake = Wake::Event;
        while !completion.is_done() && wake == Wake::Event {
            wake = park(wait);
        }
        match completion.is_done() {
            true => Wake::Event,
            false => wake,
        }
    }
}

/// The panic of std, which the system tells of the deadlock.
#[cold]
#[inline(never)]
#[track_caller]
fn joins_itself() -> ! {
    panic!("join: a green thread cannot wait for its own end, which would be a deadlock");
}

/// Panics if the caller would wait for itself: a thread of a stepped worker never ends while the OS
/// thread that steps it waits.
#[cold]
#[track_caller]
fn assert_not_self_join(green: &ThreadInner) {
    if green.is_stepped_here() && !green.completion().is_done() {
        panic!(
            "join: the green thread belongs to a Worker of the calling OS thread, which would wait for itself; \
             call Worker::tick until `is_finished`, or Worker::work, and join then"
        );
    }
}

/// A joiner of a thread whose end has hooks: one more hook.
struct DoneWaiter(Unparker);

impl OnDone for DoneWaiter {
    fn on_done(&self) {
        self.0.unpark();
    }
}

impl<T> Joiner<T> {
    /// Waits through a hook, if the thread has not ended: its end has hooks already (C4 in
    /// `completion.rs`).
    #[cold]
    fn wait_hooked(&self, wait: &Wait) -> Wake {
        struct Forget<'a>(&'a ThreadInner, Arc<dyn OnDone>);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                completion_hooks::remove_hook(self.0, &self.1);
            }
        }
        let green = self.green();
        if green.completion().is_done() {
            return Wake::Event;
        }
        let me: Arc<dyn OnDone> = Arc::new(DoneWaiter(Unparker::current()));
        let me = Forget(green, me);
        completion_hooks::add_hook(green, Arc::clone(&me.1));
        self.park_until_done(wait)
    }

    /// Adds a completion hook of this type unless there is one, and returns it. It is called when
    /// the thread has ended, at once if it has already. The handle keeps the result.
    pub(crate) fn add_hook_once<W: OnDone>(&self, make: impl FnOnce() -> W) -> Arc<W> {
        completion_hooks::add_hook_once(self.green(), make)
    }
}

/// The completion hook of a task.
pub(crate) struct TaskHook(Arc<dyn OnDone>);

/// For a future, which waits without a thread.
impl<T> Joiner<T> {
    /// Returns whether the thread has ended, for a caller that is charged elsewhere.
    pub(crate) fn is_done(&self) -> bool {
        self.green().completion().is_done()
    }

    /// Registers `task` to be woken at the end, once for each joiner: through the completion word,
    /// or through the hook that is returned (C4 in `completion.rs`). The caller then checks whether
    /// the thread has ended already.
    pub(crate) fn enter_task(&self, task: &Arc<Task>) -> Option<TaskHook> {
        let green = self.green();
        let waiter = || Unparker::Task(Arc::clone(task));
        if green.completion().is_done() || green.completion().register(waiter()) {
            return None;
        }
        let hook: Arc<dyn OnDone> = Arc::new(DoneWaiter(waiter()));
        completion_hooks::add_hook(green, Arc::clone(&hook));
        Some(TaskHook(hook))
    }

    /// Removes a hook that has not run. That in the completion word goes with the joiner.
    pub(crate) fn remove_task_hook(&self, hook: TaskHook) {
        completion_hooks::remove_hook(self.green(), &hook.0);
    }

    /// Takes the result, if the thread has ended.
    pub(crate) fn take_if_done(self) -> Result<Outcome<T>, Joiner<T>> {
        if !self.is_done() {
            return Err(self);
        }
        // SAFETY: J1; it is done.
        let outcome = unsafe { self.green().take_result() };
        self.drop_reference();
        Ok(outcome)
    }
}

#[cold]
fn unwind_with_runtime(wait: &Wait) {
    if let Some(cx) = WorkerContext::get()
        && RuntimeContext::of(cx).is_some_and(|context| context.shared.phase() != Phase::Open)
        && wait.on_cancel != OnCancel::Shield
    {
        // The runtime is ending but may not have cancelled this thread yet.
        if cfg!(panic = "unwind") {
            cx.current().cancel();
            unwind_if_cancelled();
        }
    }
}

impl<T> Drop for Joiner<T> {
    fn drop(&mut self) {
        self.green().completion().unregister::<Unparker>();
        self.green().detach();
    }
}

/// Owned permission to join a green thread: to wait for its end and to take its result.
///
/// It mirrors [`std::thread::JoinHandle`]. Dropping it detaches the thread, which continues until
/// it ends or its runtime does.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let thread = rustlet::spawn(|| 6 * 7);
///     assert_eq!(thread.join().unwrap(), 42);
/// });
/// ```
pub struct JoinHandle<T>(pub(crate) Joiner<T>);

impl<T> JoinHandle<T> {
    /// # Safety
    ///
    /// J1.
    pub(crate) unsafe fn new(green: ThreadRef) -> JoinHandle<T> {
        // SAFETY: J1.
        JoinHandle(unsafe { Joiner::new(green) })
    }

    /// Returns the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let parked = rustlet::thread::Builder::new().name("parked".into()).spawn(rustlet::park)?;
    ///     assert_eq!(parked.thread().name(), Some("parked"));
    ///     parked.thread().unpark();
    ///     parked.join().unwrap();
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.0.thread()
    }

    /// Waits until the thread has ended, and returns its result.
    ///
    /// # Errors
    ///
    /// Returns the payload of the panic if the thread panicked, or [`Cancelled`](crate::Cancelled)
    /// if it was cancelled.
    ///
    /// # Panics
    ///
    /// Panics if the caller is the thread itself, as std's `join` does.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread, or blocks the calling OS thread, until the thread has
    /// ended.
    ///
    /// # Cancellation
    ///
    /// If the caller is cancelled while it waits, it unwinds and the thread is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| -> u32 { std::panic::resume_unwind(Box::new("no")) });
    ///     let payload = thread.join().unwrap_err();
    ///     assert_eq!(payload.downcast_ref::<&str>(), Some(&"no"));
    /// });
    /// ```
    // Down to the switch, as `park`: each return between it and the caller's code would be
    // mispredicted.
    #[track_caller]
    #[inline(always)]
    pub fn join(self) -> Outcome<T> {
        self.0.join(&Wait::new(Reason::Join))
    }

    /// Waits like [`join`](JoinHandle::join), for at most `duration`.
    ///
    /// A duration of zero yields to the other threads.
    ///
    /// # Errors
    ///
    /// Returns the handle if the thread has not ended in time, so that the caller can wait again,
    /// cancel the thread, or drop the handle.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let parked = rustlet::spawn(rustlet::park);
    ///     let parked = parked.join_timeout(Duration::from_millis(1)).unwrap_err();
    ///     parked.thread().unpark();
    ///     parked.join_timeout(Duration::from_secs(60)).unwrap().unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn join_timeout(self, duration: Duration) -> Result<Outcome<T>, JoinHandle<T>> {
        let wait = Wait::new(Reason::Join).until(clock::after(duration));
        self.0.join_until(&wait).map_err(JoinHandle)
    }

    /// Returns whether the thread has ended. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(rustlet::park);
    ///     assert!(!thread.is_finished());
    ///     thread.thread().unpark();
    ///     while !thread.is_finished() {
    ///         rustlet::yield_now();
    ///     }
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Cancels the thread, and does not wait for its end.
    ///
    /// The thread unwinds from its present wait or its next one, running destructors, and its
    /// `join` returns [`Cancelled`](crate::Cancelled). If it has not started, it never runs.
    ///
    /// Cancellation is level-triggered: each wait unwinds again until the thread has ended.
    /// [`shield`](crate::shield) defers it. The behaviour in destructors, with `catch_unwind`, in
    /// scopes and in C callbacks is described at [`timeout`](crate::timeout).
    ///
    /// # Panics
    ///
    /// Panics in a program that is built with `panic = "abort"`, which cannot unwind.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(rustlet::park);
    ///     thread.cancel();
    ///     assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
