#![allow(unsafe_code, reason = "green threads that borrow")]
//! Scopes: green threads that borrow from the stack of the one that spawns them.
//!
//! Z1. `scope` does not return, nor unwind, before every thread of the scope has ended (SC1 in
//!     `green/scope.rs`). So what is `'scope` outlives them.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::Thread;
use crate::green::scope::ScopeState;
use crate::green::{Reason, Wait};
use crate::runtime::join::Joiner;
use crate::runtime::spawn::{self as start, Order};

/// Where scoped green threads are spawned. As [`std::thread::Scope`]; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    state: Arc<ScopeState>,
    // Invariant over both, as std's: a scope must not be taken for one of another lifetime.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// The right to join a scoped green thread. As [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    joiner: Joiner<T>,
    scope: PhantomData<&'scope ()>,
}

/// Runs `f` with a scope in which green threads may borrow, and waits for all of them. As [`std::thread::scope`].
///
/// The wait is not ended by a cancellation of the caller, whose data the threads may hold; it is raised at the next wait. If
/// `f` panics, its threads are waited for all the same, and the panic goes on afterwards.
///
/// # Panics
///
/// With the panic of `f`, or if a thread that nobody joined has panicked.
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
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        state: Arc::new(ScopeState::new()),
        scope: PhantomData,
        env: PhantomData,
    };
    let wait = Wait::new(Reason::Scope);
    // Caught, so that the wait happens in a normal state, not in a destructor during unwinding.
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.state.wait(wait);
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.state.has_failed() => panic!("a scoped thread panicked"),
        Ok(value) => value,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a green thread that may borrow what outlives the scope. Never suspends.
    ///
    /// # Panics
    ///
    /// As [`spawn`](super::spawn).
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
        match self.spawn_with(Order::new(), f) {
            Ok(handle) => handle,
            Err(error) => super::spawn_failed(&error),
        }
    }

    pub(super) fn spawn_with<F, T>(
        &'scope self,
        order: Order,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        /// Counts a thread out that is not spawned after all; its closure's destructor may panic on the way.
        struct Entered<'a>(&'a ScopeState);
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        let shared = start::here()?;
        self.state.enter();
        let entered = Entered(&self.state);
        let order = Order {
            scope: Some(Arc::clone(&self.state)),
            ..order
        };
        // SAFETY: SP1 by Z1.
        let green = unsafe { start::spawn(&shared, order, f) }?;
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
    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.joiner.thread()
    }

    /// Waits until the thread has ended, and gives its result. A cancellation is raised here.
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    #[track_caller]
    pub fn join(self) -> super::Result<T> {
        self.joiner.join(&Wait::new(Reason::Join))
    }

    /// Whether the thread has ended. Never suspends.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.joiner.is_finished()
    }

    /// Cancels the thread, as [`JoinHandle::cancel`](super::JoinHandle::cancel). Never suspends.
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
