//! The completion of a green thread as a channel receiver. Nothing here suspends.

use super::{JoinHandle, ScopedJoinHandle};
use crate::channel::{self, Latch, Receiver};
use crate::green::completion_hooks::OnDone;
use crate::runtime::join::Joiner;

impl<T> JoinHandle<T> {
    /// Returns a receiver that becomes ready when the thread has ended, and stays ready: each
    /// `recv` returns `Ok(())`. The result stays for [`join`](JoinHandle::join), which no longer
    /// waits then. Does not wait.
    ///
    /// There may be any number of such receivers. They do not keep the thread or its result alive,
    /// and they stay valid when the handle is dropped. Cancelled and panicked threads count as
    /// ended too.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| 6 * 7);
    ///     select! {
    ///         recv(thread.done()) -> _ => assert_eq!(thread.join().unwrap(), 42),
    ///         recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    ///     }
    /// });
    /// ```
    #[doc(alias = "Done")]
    #[must_use]
    #[track_caller]
    pub fn done(&self) -> Receiver<()> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        done(&self.0)
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Returns a receiver that becomes ready when the thread has ended, as [`JoinHandle::done`]. It
    /// may outlive the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::select;
    ///
    /// rustlet::run(|| {
    ///     let words = ["one", "three"];
    ///     rustlet::scope(|s| {
    ///         let [one, two] = words.map(|word| s.spawn(move || word.len()));
    ///         select! {
    ///             recv(one.done()) -> _ => assert_eq!(one.join().unwrap(), 3),
    ///             recv(two.done()) -> _ => assert_eq!(two.join().unwrap(), 5),
    ///         }
    ///     });
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn done(&self) -> Receiver<()> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        done(&self.joiner)
    }
}

fn done<T>(joiner: &Joiner<T>) -> Receiver<()> {
    let done = joiner.add_hook_once(|| {
        let (latch, receiver) = channel::latch();
        Done { latch, receiver }
    });
    done.receiver.clone()
}

/// One for each thread, however often it is requested.
struct Done {
    latch: Latch,
    receiver: Receiver<()>,
}

impl OnDone for Done {
    fn on_done(&self) {
        self.latch.set();
    }
}
