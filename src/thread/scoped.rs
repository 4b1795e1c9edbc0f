#![allow(unsafe_code, reason = "spawns closures that borrow")]
//! Scopes: green threads that borrow from the stack of the thread that spawns them.
//!
//! Z1. `scope` neither returns nor unwinds before every thread of the scope has ended (SC1 in
//!     `green/scope/mod.rs`). So `'scope` data outlives them.
//! Z2. `unblock_scoped` neither returns nor unwinds before its closure has been consumed by its
//!     call, or was dropped without a call, and its result is with the caller. The stack of a
//!     thread that is left behind in it is never freed. So what the closure borrows outlives it.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Thread;
use crate::green::budget::poll_budget_quietly;
use crate::green::cancel::{CancelLimit, CaughtToken, within};
use crate::green::park::unwind_if_cancelled;
use crate::green::scope::ScopeState;
use crate::green::{Cancelled, Reason, ThreadRef, Wait};
use crate::runtime::blocking;
use crate::runtime::join::Joiner;
use crate::runtime::{current, spawn::SpawnRequest};
use crate::sys::clock;

/// A scope in which green threads are spawned; see [`scope`] and [`std::thread::Scope`].
///
/// # Examples
///
/// ```
/// fn spawn_two<'scope>(s: &'scope rustlet::thread::Scope<'scope, '_>) {
///     s.spawn(|| 1);
///     s.spawn(|| 2);
/// }
/// rustlet::run(|| rustlet::scope(|s| spawn_two(s)));
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    state: Arc<ScopeState>,
    // Invariant over both, as in std: a scope must not be taken for one of another lifetime.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Handle to join or cancel a scoped green thread; see [`std::thread::ScopedJoinHandle`].
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let number = 1;
///     let sum = rustlet::scope(|s| {
///         let handle = s.spawn(|| number + 1);
///         handle.join().unwrap()
///     });
///     assert_eq!(sum, 2);
/// });
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    pub(super) joiner: Joiner<T>,
    scope: PhantomData<&'scope ()>,
}

/// Runs `f` with a scope in which green threads may borrow, and waits for all of them; see
/// [`std::thread::scope`].
///
/// If `f` or one of its threads panics, the scope still waits for the others and then panics.
/// [`scope_cancelling`] cancels them instead; that is the only difference between the two.
///
/// # Panics
///
/// Propagates a panic of `f`. Panics if a thread has panicked that was not joined.
///
/// # Suspends
///
/// Suspends the calling green thread until all threads of the scope have ended; blocks an OS
/// thread.
///
/// # Cancellation
///
/// Cancellation flows down: if the caller is cancelled, or a [`timeout`](crate::timeout) around the
/// scope elapses, while `f` or the scope waits, the threads of the scope are cancelled too. The
/// scope still waits until they have ended, because they may borrow from the caller, and then
/// unwinds. Threads spawned into it after that never run. A [`shield`](crate::shield) around the
/// scope holds all of that off.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let mut numbers = vec![1, 2, 3];
///     let sum = rustlet::scope(|s| {
///         let sum = s.spawn(|| numbers.iter().sum::<i32>());
///         sum.join().unwrap()
///     });
///     numbers.push(sum);
///     assert_eq!(numbers, [1, 2, 3, 6]);
/// });
/// ```
#[doc(alias = "join_all")]
#[doc(alias = "WaitGroup")]
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    poll_budget_quietly(Location::caller());
    let scope = Scope::new(false);
    // Caught, so that the wait happens in a normal state, not in a destructor during unwinding.
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let was_cancelled = scope.state.wait(Location::caller());
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.state.has_failed() => panic!("a scoped thread panicked"),
        Ok(value) => {
            if was_cancelled {
                unwind_if_cancelled();
            }
            value
        }
    }
}

/// Runs `f` with a scope like [`scope`], and cancels the other threads as soon as one panics (a
/// nursery).
///
/// When a thread of the scope panics, joined or not, its other threads are cancelled, and `f`
/// unwinds from its next wait. If `f` panics, or is cancelled from outside while it runs or while
/// the scope waits (an elapsed [`timeout`](crate::timeout),
/// [`JoinHandle::cancel`](super::JoinHandle::cancel)), its threads are cancelled too. In every case
/// the scope waits for all of them before it returns or unwinds; a thread in a
/// [`shield`](crate::shield) leaves it first. Threads spawned into a scope that has failed are
/// cancelled before they start.
///
/// A thread that ends because it alone was [cancelled](ScopedJoinHandle::cancel) does not affect
/// the others.
///
/// On an OS thread, `f` unwinds from its next wait too; in a socket operation, within ten
/// milliseconds.
///
/// # Panics
///
/// Propagates a panic of `f`, else that of the first thread whose result was not joined. Their
/// messages have been printed by then, so none is printed for this one.
///
/// # Suspends
///
/// Suspends the calling green thread until all threads of the scope have ended; blocks an OS
/// thread.
///
/// # Cancellation
///
/// As [`scope`].
///
/// # Examples
///
/// ```
/// use rustlet::{park, sleep, thread};
/// use std::panic::{catch_unwind, resume_unwind};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let result = catch_unwind(|| {
///         thread::scope_cancelling(|s| {
///             s.spawn(park);
///             s.spawn(|| {
///                 sleep(Duration::from_millis(1));
///                 resume_unwind(Box::new("the disk is full"));
///             });
///             park();
///         })
///     });
///     let payload = result.unwrap_err();
///     assert_eq!(payload.downcast_ref::<&str>(), Some(&"the disk is full"));
/// });
/// ```
#[doc(alias = "nursery")]
#[doc(alias = "errgroup")]
#[doc(alias = "TaskGroup")]
#[doc(alias = "JoinSet")]
#[track_caller]
pub fn scope_cancelling<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    poll_budget_quietly(Location::caller());
    let scope = Scope::new(true);
    let state = &scope.state;
    // Caught, as in `scope`.
    let result = catch_unwind(AssertUnwindSafe(|| {
        within(CancelLimit::Flag(state.flag()), || f(&scope))
    }));
    if !matches!(result, Ok(Ok(_))) {
        state.cancel_members(None);
    }
    let was_cancelled = state.wait(Location::caller());
    let payload = state.take_payload();
    match (result, payload) {
        // A panic is more informative than a cancellation that came meanwhile.
        (Err(own), Some(payload)) if Cancelled::is(&*own) => resume_unwind(payload),
        (Err(own), _) => resume_unwind(own),
        (Ok(_), Some(payload)) => resume_unwind(payload),
        (Ok(Err(CaughtToken)), None) => panic!("a scoped thread panicked"),
        (Ok(Ok(_)), None) if state.has_failed() => panic!("a scoped thread panicked"),
        (Ok(Ok(value)), None) => {
            if was_cancelled {
                unwind_if_cancelled();
            }
            value
        }
    }
}

/// Runs `f`, which may borrow, on an OS thread of the runtime's pool, like
/// [`unblock`](super::unblock), and waits for its end in any case.
///
/// This is to `unblock` what [`scope`] is to [`spawn`](super::spawn): the closure borrows from the
/// caller, so the caller cannot leave before the closure has ended. tokio's `block_in_place` takes
/// such closures too, but runs them on the caller's OS thread; here they move to another one, so
/// they must be [`Send`], and thread-locals are those of the pool's thread.
///
/// On an OS thread it calls `f` in place.
///
/// # Panics
///
/// Propagates a panic of `f`. Panics if no OS thread can be created.
///
/// # Suspends
///
/// Suspends the calling green thread until `f` has returned.
///
/// # Cancellation
///
/// While the call is queued, the caller unwinds, and `f` is dropped without having run. Once `f`
/// has started, the caller waits until it has ended; then it has the result, and the next wait
/// unwinds. So a [`timeout`](crate::timeout) around it does not cut a call short:
/// [`Blocking`](super::Blocking) keeps a value behind the pool whose calls may be left.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let mut numbers = vec![3, 1, 2];
///     rustlet::thread::unblock_scoped(|| numbers.sort_unstable());
///     assert_eq!(numbers, [1, 2, 3]);
/// });
/// ```
#[doc(alias = "block_in_place")]
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn unblock_scoped<'env, F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'env,
    T: Send + 'env,
{
    let mut result = None;
    let call: Box<dyn FnOnce() + Send + '_> = Box::new(|| result = Some(f()));
    // SAFETY: Z2: `run_shielded` returns or unwinds after the call, or after it has dropped the
    // closure; what it hands back has no borrow.
    let call: Box<dyn FnOnce() + Send> = unsafe { std::mem::transmute(call) };
    if let Err(error) = blocking::run_shielded(call) {
        panic!("unblock_scoped: {error}");
    }
    match result {
        Some(value) => value,
        None => unreachable!("a call that has returned has a result"),
    }
}

impl<'scope> Scope<'scope, '_> {
    fn new(cancels: bool) -> Self {
        Scope {
            state: Arc::new(ScopeState::new(cancels)),
            scope: PhantomData,
            env: PhantomData,
        }
    }

    /// Spawns a green thread that may borrow data that outlives the scope. Does not wait.
    ///
    /// # Panics
    ///
    /// As [`spawn`](super::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut left = 0;
    ///     let mut right = 0;
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| left = 1);
    ///         s.spawn(|| right = 2);
    ///     });
    ///     assert_eq!((left, right), (1, 2));
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let at = Location::caller();
        poll_budget_quietly(at);
        // SAFETY: SP1 by Z1.
        let spawn = || unsafe { current::spawn_in_scope(at, &self.state, f) };
        match self.spawn_by(spawn) {
            Ok(handle) => handle,
            Err(error) => super::spawn_failed(&error),
        }
    }

    pub(super) fn spawn_with<F, T>(
        &'scope self,
        request: SpawnRequest,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let request = SpawnRequest {
            scope: Some(Arc::clone(&self.state)),
            ..request
        };
        // SAFETY: SP1 by Z1.
        self.spawn_by(|| unsafe { current::spawn_here(request, f) })
    }

    /// Counts the thread that `spawn` spawns, whose result is a `T`.
    #[inline]
    fn spawn_by<T>(
        &'scope self,
        spawn: impl FnOnce() -> io::Result<ThreadRef>,
    ) -> io::Result<ScopedJoinHandle<'scope, T>> {
        /// Removes a thread from the count that is not spawned after all; its closure's destructor
        /// may panic.
        struct Entered<'a>(&'a ScopeState);
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        self.state.enter();
        let entered = Entered(&self.state);
        let green = spawn()?;
        // The thread leaves the scope by itself.
        let _entered = ManuallyDrop::new(entered);
        Ok(ScopedJoinHandle {
            // SAFETY: J1.
            joiner: unsafe { Joiner::new(green) },
            scope: PhantomData,
        })
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Returns the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     let handle = s.spawn(|| rustlet::current().id());
    ///     let id = handle.thread().id();
    ///     assert_eq!(handle.join().unwrap(), id);
    /// }));
    /// ```
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.joiner.thread()
    }

    /// Waits until the thread has ended and returns its result.
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the scope still waits for the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     assert_eq!(s.spawn(|| 1).join().unwrap(), 1);
    /// }));
    /// ```
    // As that of `JoinHandle`.
    #[track_caller]
    #[inline(always)]
    pub fn join(self) -> super::Result<T> {
        self.joiner.join(&Wait::new(Reason::Join))
    }

    /// Waits until the thread has ended, for at most `duration`; otherwise like
    /// [`join`](ScopedJoinHandle::join).
    ///
    /// # Errors
    ///
    /// Returns the handle if the time has passed and the thread has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     let handle = s.spawn(rustlet::park);
    ///     let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    ///     handle.thread().unpark();
    ///     handle.join().unwrap();
    /// }));
    /// ```
    #[track_caller]
    pub fn join_timeout(self, duration: Duration) -> Result<super::Result<T>, Self> {
        let wait = Wait::new(Reason::Join).until(clock::after(duration));
        let scope = self.scope;
        self.joiner
            .join_until(&wait)
            .map_err(|joiner| ScopedJoinHandle { joiner, scope })
    }

    /// Returns `true` if the thread has ended. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     let handle = s.spawn(rustlet::park);
    ///     assert!(!handle.is_finished());
    ///     handle.thread().unpark();
    /// }));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.joiner.is_finished()
    }

    /// Cancels the thread, as [`JoinHandle::cancel`](super::JoinHandle::cancel). Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     let handle = s.spawn(rustlet::park);
    ///     handle.cancel();
    ///     assert!(handle.join().is_err());
    /// }));
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(&self) {
        self.joiner.cancel();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}
