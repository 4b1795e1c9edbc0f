//! [`TaskGroup`]: a set of threads like tokio's `JoinSet`, with a limit like Go's
//! `errgroup.SetLimit`.
//!
//! Only the owner of the group waits. Its threads may end on any worker.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;

use super::{JoinHandle, spawn_failed};
use crate::channel::wait_limit::yield_point;
use crate::channel::{self, Key, LevelSource, Observers, Receiver};
use crate::green::budget::poll_budget_quietly;
use crate::green::completion_hooks::OnDone;
use crate::green::{Cancelled, OnCancel, Reason, Unparker, Wait};
use crate::runtime::current;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_in_queue::{wait_until, wake_some};
use crate::sync::wait::wait_queue::WaitQueue;
use crate::sync::wait::waiting_thread::WaitingThread;

/// Group of green threads whose results are received as the threads end, with a limit on how many
/// run at a time. It is like tokio's `JoinSet` and Go's `errgroup.Group` with `SetLimit`.
///
/// Dropping the group cancels its threads without waiting for them, as in tokio. In a program that
/// is built with `panic = "abort"` nothing can be cancelled: there, dropping the group detaches its
/// threads, and after an error the group waits for the other threads instead of cancelling them.
/// The threads of a group cannot borrow. Use a [`scope`](crate::scope) for threads that borrow, and
/// a [`Semaphore`](crate::sync::Semaphore) to limit how many of them run.
///
/// # Examples
///
/// ```
/// use rustlet::thread::TaskGroup;
///
/// rustlet::run(|| {
///     let mut group = TaskGroup::with_limit(8);
///     for n in 1..=100_u32 {
///         // Waits while eight threads run.
///         group.spawn(move || n * n);
///     }
///     let mut sum = 0;
///     while let Some(square) = group.join_next() {
///         sum += square.unwrap();
///     }
///     assert_eq!(sum, 338_350);
/// });
/// ```
///
/// The first error cancels the other threads:
///
/// ```
/// use rustlet::thread::TaskGroup;
///
/// fn lengths(words: &[&'static str]) -> Result<Vec<usize>, String> {
///     let mut group = TaskGroup::with_limit(2);
///     for &word in words {
///         group.try_spawn(move || match word.len() {
///             0 => Err(String::from("an empty word")),
///             length => Ok(length),
///         })?;
///     }
///     group.try_join_all()
/// }
///
/// rustlet::run(|| {
///     assert_eq!(lengths(&["one", "three"]), Ok(vec![3, 5]));
///     assert_eq!(lengths(&["one", "", "three"]), Err(String::from("an empty word")));
/// });
/// ```
#[doc(alias = "JoinSet")]
#[doc(alias = "errgroup")]
#[doc(alias = "nursery")]
#[doc(alias = "FuturesUnordered")]
pub struct TaskGroup<T> {
    /// The threads whose results were not taken, by their spawn numbers.
    threads: HashMap<u64, JoinHandle<T>>,
    /// How many threads were spawned, which is the number of the next one.
    spawned: u64,
    limit: usize,
    /// Results that `look_for_error` has taken from their threads, in the order in which these
    /// ended.
    buffered: VecDeque<(u64, super::Result<T>)>,
    ends: Arc<Ends>,
}

/// The threads of a group that have ended.
struct Ends(Spin<State>);

struct State {
    /// The numbers of the ended threads whose results were not taken.
    ended: VecDeque<u64>,
    /// How many threads have ended in all.
    count: u64,
    /// How many results are in `TaskGroup::kept`.
    buffered_count: usize,
    waiters: WaitQueue<WaitingThread>,
    /// Waiters of a select.
    observers: Observers,
}

/// Hook that reports the end of one thread to its group.
struct Member {
    number: u64,
    ends: Arc<Ends>,
}

impl OnDone for Member {
    fn on_done(&self) {
        let mut state = self.ends.0.lock();
        state.ended.push_back(self.number);
        state.count += 1;
        let observers = state.observers.take();
        wake_some(&self.ends.0, state, |state| &mut state.waiters, 1);
        channel::wake(observers);
    }
}

impl LevelSource for Ends {
    fn is_ready(&self) -> bool {
        let state = self.0.lock();
        !state.ended.is_empty() || state.buffered_count > 0
    }

    fn arm(&self, waiter: Unparker) -> Key {
        self.0.lock().observers.add(waiter)
    }

    fn disarm(&self, key: Key) {
        let gone = self.0.lock().observers.remove(key);
        drop(gone);
    }
}

impl Ends {
    /// Waits until `is_met` holds.
    fn wait(
        &self,
        on_cancel: OnCancel,
        at: &'static Location<'static>,
        is_met: impl Fn(&State) -> bool,
    ) {
        let wait = Wait::at(Reason::TaskGroup, at).on_cancel(on_cancel);
        wait_until(&self.0, |state| &mut state.waiters, &wait, is_met);
    }
}

impl<T: Send + 'static> TaskGroup<T> {
    /// Creates an empty group without a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(|| 1);
    ///     group.spawn(|| 2);
    ///     assert_eq!(group.join_all(), [1, 2]);
    /// });
    /// ```
    #[must_use]
    pub fn new() -> TaskGroup<T> {
        TaskGroup::with_limit(usize::MAX)
    }

    /// Creates an empty group that runs at most `limit` threads at a time.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::with_limit(1);
    ///     group.spawn(|| 1);
    ///     // Waits for the end of the first.
    ///     group.spawn(|| 2);
    ///     assert_eq!(group.join_all(), [1, 2]);
    /// });
    /// ```
    #[doc(alias = "SetLimit")]
    #[must_use]
    #[track_caller]
    pub fn with_limit(limit: usize) -> TaskGroup<T> {
        assert!(limit > 0, "the limit of a TaskGroup must be at least 1");
        TaskGroup {
            threads: HashMap::new(),
            spawned: 0,
            limit,
            buffered: VecDeque::new(),
            ends: Arc::new(Ends(Spin::new(State {
                ended: VecDeque::new(),
                count: 0,
                buffered_count: 0,
                waiters: WaitQueue::new(),
                observers: Observers::new(),
            }))),
        }
    }

    /// Spawns a green thread into the group, like [`spawn`](crate::spawn). Waits while `limit`
    /// threads of the group have not ended. Ended threads do not count, even if their results were
    /// not received.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until fewer threads than the limit run. On an OS thread it
    /// blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds, and `f` is dropped without having run.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::with_limit(2);
    ///     for n in 0..5 {
    ///         group.spawn(move || n);
    ///     }
    ///     assert_eq!(group.join_all(), [0, 1, 2, 3, 4]);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&mut self, f: F)
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let at = Location::caller();
        poll_budget_quietly(at);
        let (spawned, limit) = (self.spawned, self.limit as u64);
        if spawned >= limit {
            self.ends
                .wait(OnCancel::Defer, at, |state| spawned - state.count < limit);
        }
        match current::spawn_plain(at, f) {
            Ok(thread) => {
                let member = || Member {
                    number: spawned,
                    ends: Arc::clone(&self.ends),
                };
                // The returned handle is not kept, because the hook stays with the thread.
                let _hook = thread.0.add_hook_once(member);
                self.threads.insert(spawned, thread);
                self.spawned += 1;
            }
            Err(error) => spawn_failed(&error),
        }
    }

    /// Waits for the next thread to end and returns its result. Returns `None` if the group is
    /// empty.
    ///
    /// # Errors
    ///
    /// The result is an error if the thread panicked or was cancelled, as with
    /// [`join`](JoinHandle::join).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds. No result has been taken, so the next call returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     assert!(group.join_next().is_none());
    ///     group.spawn(|| 1);
    ///     assert_eq!(group.join_next().unwrap().unwrap(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn join_next(&mut self) -> Option<super::Result<T>> {
        let at = Location::caller();
        yield_point(at);
        self.take_next(OnCancel::Defer, at)
            .map(|(_, result)| result)
    }

    /// Returns the result of a thread that has ended. Returns `None` if there is no such thread.
    /// Does not wait.
    ///
    /// # Errors
    ///
    /// As [`join_next`](TaskGroup::join_next).
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(rustlet::park);
    ///     assert!(group.try_join_next().is_none());
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn try_join_next(&mut self) -> Option<super::Result<T>> {
        poll_budget_quietly(Location::caller());
        self.take_ended().map(|(_, result)| result)
    }

    /// Waits for all threads and returns their results, in the order in which they were spawned.
    ///
    /// # Panics
    ///
    /// If a thread panicked, the call cancels the other threads, waits until they have ended, and
    /// resumes that panic. If a thread was cancelled, it does the same and panics with a message.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until all threads have ended. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds, and the threads are cancelled without waiting for them.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     for n in 0..3 {
    ///         group.spawn(move || n);
    ///     }
    ///     assert_eq!(group.join_all(), [0, 1, 2]);
    /// });
    /// ```
    #[track_caller]
    pub fn join_all(mut self) -> Vec<T> {
        let at = Location::caller();
        yield_point(at);
        let mut values = Vec::with_capacity(self.len());
        while let Some((number, result)) = self.take_next(OnCancel::Defer, at) {
            match result {
                Ok(value) => values.push((number, value)),
                Err(payload) => self.fail(payload, at),
            }
        }
        in_order(values)
    }

    /// Cancels all threads of the group. Their results can still be received. Does not wait.
    ///
    /// # Panics
    ///
    /// Always panics in a program that is built with `panic = "abort"`, because nothing can unwind
    /// there.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::Cancelled;
    ///
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(rustlet::park);
    ///     group.cancel_all();
    ///     assert!(group.join_next().unwrap().unwrap_err().is::<Cancelled>());
    /// });
    /// ```
    #[doc(alias = "abort_all")]
    #[track_caller]
    pub fn cancel_all(&self) {
        for thread in self.threads.values() {
            thread.cancel();
        }
    }

    /// Cancels all threads of the group, waits until they have ended, and drops their results.
    ///
    /// # Panics
    ///
    /// As [`cancel_all`](TaskGroup::cancel_all).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; threads that have not ended are still in the group.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(rustlet::park);
    ///     group.shutdown();
    ///     assert!(group.is_empty());
    /// });
    /// ```
    #[track_caller]
    pub fn shutdown(&mut self) {
        self.cancel_all();
        let at = Location::caller();
        while let Some(result) = self.take_next(OnCancel::Defer, at) {
            drop(result);
        }
    }

    /// Removes all threads from the group without cancelling them. Their results are lost, and they
    /// do not count for the limit any more. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let (sender, receiver) = rustlet::channel::bounded(1);
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(move || sender.send(1).unwrap());
    ///     group.detach_all();
    ///     assert!(group.is_empty());
    ///     assert_eq!(receiver.recv(), Ok(1));
    /// });
    /// ```
    pub fn detach_all(&mut self) {
        // The threads report their ends to the old `Ends`, which no group reads any more.
        let fresh = TaskGroup::with_limit(self.limit);
        let mut old = std::mem::replace(self, fresh);
        old.threads.clear();
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that is ready while there is a
    /// result for [`try_join_next`](TaskGroup::try_join_next). It is not ready while the group is
    /// empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(|| 1);
    ///     select! {
    ///         recv(group.receiver()) -> _ => {
    ///             assert_eq!(group.try_join_next().unwrap().unwrap(), 1);
    ///         }
    ///         recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    ///     }
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver(&self) -> Receiver<()> {
        poll_budget_quietly(Location::caller());
        channel::source(Arc::clone(&self.ends) as Arc<dyn LevelSource>)
    }

    fn take_ended(&mut self) -> Option<(u64, super::Result<T>)> {
        if let Some(buffered) = self.buffered.pop_front() {
            self.ends.0.lock().buffered_count = self.buffered.len();
            return Some(buffered);
        }
        let number = self.ends.0.lock().ended.pop_front()?;
        let thread = self.threads.remove(&number)?;
        // It has ended.
        Some((number, thread.join()))
    }

    fn take_next(
        &mut self,
        on_cancel: OnCancel,
        at: &'static Location<'static>,
    ) -> Option<(u64, super::Result<T>)> {
        if self.is_empty() {
            return None;
        }
        if self.buffered.is_empty() {
            self.ends
                .wait(on_cancel, at, |state| !state.ended.is_empty());
        }
        self.take_ended()
    }

    /// Cancels the threads and waits until they have ended, even if the calling thread is
    /// cancelled.
    fn end(&mut self, at: &'static Location<'static>) {
        self.cancel_in_drop();
        while self.take_next(OnCancel::Shield, at).is_some() {}
    }

    fn fail(
        &mut self,
        payload: Box<dyn std::any::Any + Send>,
        at: &'static Location<'static>,
    ) -> ! {
        self.end(at);
        if payload.is::<Cancelled>() {
            panic!("a thread of the group was cancelled");
        }
        resume_unwind(payload)
    }
}

impl<T, E> TaskGroup<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    /// Spawns a green thread like [`spawn`](TaskGroup::spawn), unless a thread of the group has
    /// returned an error.
    ///
    /// # Errors
    ///
    /// Returns the first error that a thread of the group has returned. Before that, the call
    /// cancels the other threads and waits until they have ended. `f` is dropped without having
    /// run.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn). Also resumes the panic of a thread of the group, and panics if a
    /// thread of the group was cancelled; the other threads are cancelled and have ended by then.
    ///
    /// # Suspends
    ///
    /// As [`spawn`](TaskGroup::spawn).
    ///
    /// # Cancellation
    ///
    /// As [`spawn`](TaskGroup::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::with_limit(1);
    ///     group.try_spawn(|| Err::<u32, _>("no"))?;
    ///     assert_eq!(group.try_spawn(|| Ok(1)), Err("no"));
    ///     Ok::<(), &str>(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn try_spawn<F>(&mut self, f: F) -> Result<(), E>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let at = Location::caller();
        let (spawned, limit) = (self.spawned, self.limit as u64);
        if spawned >= limit {
            self.ends
                .wait(OnCancel::Defer, at, |state| spawned - state.count < limit);
        }
        self.look_for_error(at)?;
        self.spawn(f);
        Ok(())
    }

    /// Waits for all threads and returns their values, in the order in which they were spawned, or
    /// the first error.
    ///
    /// # Errors
    ///
    /// Returns the first error that a thread has returned. Before that, the call cancels the other
    /// threads and waits until they have ended.
    ///
    /// # Panics
    ///
    /// As [`join_all`](TaskGroup::join_all).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until all threads have ended. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds, and the threads are cancelled without waiting for them.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(|| {
    ///         rustlet::park();
    ///         Ok(1)
    ///     });
    ///     group.spawn(|| Err("no"));
    ///     assert_eq!(group.try_join_all(), Err("no"));
    /// });
    /// ```
    #[track_caller]
    pub fn try_join_all(mut self) -> Result<Vec<T>, E> {
        let at = Location::caller();
        yield_point(at);
        let mut values = Vec::with_capacity(self.len());
        while let Some((number, result)) = self.take_next(OnCancel::Defer, at) {
            match result {
                Ok(Ok(value)) => values.push((number, value)),
                Ok(Err(error)) => {
                    self.end(at);
                    return Err(error);
                }
                Err(payload) => self.fail(payload, at),
            }
        }
        Ok(in_order(values))
    }

    /// Takes the results of the threads that have ended. Returns the first error; keeps the values.
    fn look_for_error(&mut self, at: &'static Location<'static>) -> Result<(), E> {
        let mut buffered = std::mem::take(&mut self.buffered);
        self.ends.0.lock().buffered_count = 0;
        while let Some((number, result)) = self.take_ended() {
            match result {
                Ok(Err(error)) => {
                    drop(buffered);
                    self.end(at);
                    return Err(error);
                }
                Err(payload) => {
                    drop(buffered);
                    self.fail(payload, at);
                }
                Ok(value) => buffered.push_back((number, Ok(value))),
            }
        }
        self.ends.0.lock().buffered_count = buffered.len();
        self.buffered = buffered;
        Ok(())
    }
}

impl<T> TaskGroup<T> {
    /// Returns the number of threads whose results were not received, ended or not.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let mut group = rustlet::thread::TaskGroup::new();
    ///     group.spawn(|| 1);
    ///     assert_eq!(group.len(), 1);
    ///     group.join_next();
    ///     assert_eq!(group.len(), 0);
    /// });
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.threads.len() + self.buffered.len()
    }

    /// Returns `true` if all results were received.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::thread::TaskGroup::<()>::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cancel_in_drop(&self) {
        for thread in self.threads.values() {
            thread.0.cancel_uncharged();
        }
    }
}

/// Returns the values in the order in which their threads were spawned.
fn in_order<T>(mut values: Vec<(u64, T)>) -> Vec<T> {
    values.sort_unstable_by_key(|&(number, _)| number);
    values.into_iter().map(|(_, value)| value).collect()
}

/// Cancels the threads and does not wait for them.
impl<T> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        self.cancel_in_drop();
    }
}

impl<T: Send + 'static> Default for TaskGroup<T> {
    fn default() -> TaskGroup<T> {
        TaskGroup::new()
    }
}

impl<T> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
