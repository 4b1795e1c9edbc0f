//! `Thread` and `ThreadId`: handles to threads, green or not, and their numbers.

use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;

use super::Unparker;
use super::budget::poll_budget_quietly;

/// A handle to a thread: a green one, or an ordinary OS thread that has called
/// [`current`](crate::thread::current).
///
/// Like [`std::thread::Thread`]. Cloning it is cheap.
///
/// ```
/// rustlet::run(|| {
///     let parked = rustlet::spawn(rustlet::park);
///     parked.thread().unpark();
///     parked.join().unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct Thread {
    inner: Unparker,
}

/// A number that no two threads of a process share, green or not.
///
/// Like [`std::thread::ThreadId`], but independent of it.
///
/// ```
/// rustlet::run(|| {
///     let other = rustlet::spawn(|| rustlet::current().id()).join().unwrap();
///     assert_ne!(other, rustlet::current().id());
/// });
/// ```
#[derive(Clone, Copy, Eq, PartialEq, Hash)]
pub struct ThreadId(pub(crate) NonZeroU64);

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.0)
    }
}

impl Thread {
    pub(crate) fn new(inner: Unparker) -> Thread {
        Thread { inner }
    }

    pub(crate) fn current() -> Thread {
        Thread::new(Unparker::current())
    }

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.inner
    }

    /// Returns the thread's number.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| rustlet::current().id());
    ///     let id = thread.thread().id();
    ///     assert_eq!(thread.join().unwrap(), id);
    ///     assert_ne!(rustlet::current().id(), id);
    /// });
    /// ```
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.inner {
            Unparker::Green(green) => green.id(),
            Unparker::Os(thread) => thread.id,
            Unparker::Task(_) => not_a_thread(),
        })
    }

    /// Returns the thread's name, if it has one. The first green thread of a [`run`](crate::run) is
    /// called `main`.
    ///
    /// ```
    /// rustlet::run(|| assert_eq!(rustlet::current().name(), Some("main")));
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.inner {
            Unparker::Green(green) => green.name(),
            Unparker::Os(thread) => thread.name.as_deref(),
            Unparker::Task(_) => not_a_thread(),
        }
    }

    /// Lets the thread's present [`park`](crate::thread::park) return, or its next one. Does not
    /// wait.
    ///
    /// Writes before the call are visible to the thread after its `park`.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// rustlet::run(|| {
    ///     let ready = Arc::new(AtomicBool::new(false));
    ///     let flag = Arc::clone(&ready);
    ///     let waiter = rustlet::spawn(move || {
    ///         // `park` may return without a call of `unpark`, so it is called in a loop.
    ///         while !flag.load(Ordering::Acquire) {
    ///             rustlet::park();
    ///         }
    ///     });
    ///     ready.store(true, Ordering::Release);
    ///     waiter.thread().unpark();
    ///     waiter.join().unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn unpark(&self) {
        poll_budget_quietly(Location::caller());
        match &self.inner {
            Unparker::Green(green) => green.give_token(),
            Unparker::Os(thread) => thread.give_token(),
            Unparker::Task(_) => not_a_thread(),
        }
    }
}

#[cold]
fn not_a_thread() -> ! {
    unreachable!("the handle of a thread is not made of a task")
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
