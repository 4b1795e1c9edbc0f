//! Sends and receives as futures.
//!
//! Any executor may poll them, on any thread. `core/task.rs` has the waiters that they put into the
//! channel.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::core::task::{ReadyWait, SendStart, SendWait};
use super::receiver::Origin;
use super::select::observers::Key;
use super::select::poll_source::ReadyCheck;
use super::{Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError};
use crate::green::Unparker;
use crate::green::budget::poll_or_wake;
use crate::green::task::Task;
use crate::service_threads::timer_thread::{self, TimerId};
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::clock::NEVER;

impl<T> Receiver<T> {
    /// Returns a future that receives a message, for `async` code. Otherwise like
    /// [`recv`](Receiver::recv). It works for all receivers, including those of timers and
    /// completions.
    ///
    /// A message goes to one receiver, a thread or a task. If several tasks wait, a message wakes
    /// all of them, in no particular order, and one gets it. At capacity 0, `try_send` fails while
    /// only tasks wait; `send` and `send_async` reach them.
    ///
    /// # Errors
    ///
    /// The same as for [`recv`](Receiver::recv).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it is ready has taken no message, even if it was woken.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::block_on;
    /// use rustlet::channel::{after, bounded};
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = bounded(4);
    ///     rustlet::spawn(move || sender.send("hello").unwrap());
    ///     block_on(async {
    ///         assert_eq!(receiver.recv_async().await, Ok("hello"));
    ///         assert!(receiver.recv_async().await.is_err());
    ///         after(Duration::from_millis(1)).recv_async().await.unwrap();
    ///     });
    /// });
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture {
            receiver: self,
            waiting: None,
        }
    }
}

/// Future that receives a message; returned by [`Receiver::recv_async`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::channel::unbounded();
/// sender.send(1).unwrap();
/// let message: rustlet::channel::RecvFuture<'_, u8> = receiver.recv_async();
/// assert_eq!(rustlet::block_on(message), Ok(1));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct RecvFuture<'a, T> {
    receiver: &'a Receiver<T>,
    waiting: Option<(Arc<Task>, Registration<'a, T>)>,
}

/// The registration of a task that waits to receive.
enum Registration<'a, T> {
    Ready(ReadyWait<'a, T, WaitingThread>),
    Armed(#[allow(dead_code, reason = "its destructor withdraws the registration")] Armed<'a>),
}

/// A registration with a receiver that has no channel, such as that of a timer.
struct Armed<'a> {
    source: &'a dyn ReadyCheck,
    key: Option<Key>,
    timer: Option<TimerId>,
}

impl<'a> Armed<'a> {
    fn new(source: &'a dyn ReadyCheck, task: &Arc<Task>, context: &Context<'_>) -> Armed<'a> {
        let key = source.arm(&Unparker::Task(Arc::clone(task)));
        let timer = match source.due() {
            NEVER => None,
            at => timer_thread::set(at, context.waker().clone()),
        };
        Armed { source, key, timer }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.source.disarm(key);
        }
        if let Some(timer) = self.timer.take() {
            timer_thread::cancel(timer);
        }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        ready!(poll_or_wake(context));
        let this = &mut *self;
        if this.waiting.is_none()
            && let Poll::Ready(result) = this.try_recv()
        {
            return Poll::Ready(result);
        }
        let (task, old) = match this.waiting.take() {
            Some((task, registration)) => (task, Some(registration)),
            None => (Task::new(), None),
        };
        // TA2 in `green/task.rs`: the waker is set before the task is registered, and the task is
        // registered before the check for a message.
        task.register(context.waker());
        let registration = match old {
            Some(Registration::Ready(ready_wait)) if !ready_wait.is_done() => {
                Registration::Ready(ready_wait)
            }
            old => {
                drop(old);
                match this.receiver.origin() {
                    Origin::Channel(chan) => {
                        let waiter = WaitingThread::Task(Arc::clone(&task));
                        Registration::Ready(ReadyWait::start(chan, waiter))
                    }
                    Origin::PollSource(source) => {
                        Registration::Armed(Armed::new(source, &task, context))
                    }
                }
            }
        };
        this.waiting = Some((task, registration));
        let polled = this.try_recv();
        if polled.is_ready() {
            this.waiting = None;
        }
        polled
    }
}

impl<T> RecvFuture<'_, T> {
    fn try_recv(&self) -> Poll<Result<T, RecvError>> {
        match self.receiver.try_recv_quietly() {
            Ok(message) => Poll::Ready(Ok(message)),
            Err(TryRecvError::Disconnected) => Poll::Ready(Err(RecvError)),
            Err(TryRecvError::Empty) => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvFuture { .. }")
    }
}

impl<T> Sender<T> {
    /// Returns a future that sends `message`, for `async` code. Otherwise like
    /// [`send`](Sender::send). Tasks and threads that wait for room are served in
    /// first-in-first-out order.
    ///
    /// # Errors
    ///
    /// The same as for [`send`](Sender::send).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it is ready drops its message, unless a receiver has taken
    /// it already.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::block_on;
    /// use rustlet::channel::bounded;
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = bounded(0);
    ///     let thread = rustlet::spawn(move || receiver.recv());
    ///     block_on(sender.send_async("hello")).unwrap();
    ///     assert_eq!(thread.join().unwrap(), Ok("hello"));
    ///     assert!(block_on(sender.send_async("there?")).is_err());
    /// });
    /// ```
    pub fn send_async(&self, message: T) -> SendFuture<'_, T> {
        SendFuture {
            sender: self,
            state: State::Unsent(message),
        }
    }
}

/// Future that sends a message; returned by [`Sender::send_async`].
///
/// # Panics
///
/// Polling it again after it was ready panics.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::channel::unbounded();
/// let send: rustlet::channel::SendFuture<'_, u8> = sender.send_async(1);
/// rustlet::block_on(send).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct SendFuture<'a, T> {
    sender: &'a Sender<T>,
    state: State<'a, T>,
}

enum State<'a, T> {
    Unsent(T),
    Waiting(Arc<Task>, SendWait<'a, T, WaitingThread>),
    Done,
}

// Nothing in it is pinned.
impl<T> Unpin for SendFuture<'_, T> {}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(poll_or_wake(context));
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Done) {
            State::Unsent(message) => this.begin(message, context),
            State::Waiting(task, mut wait) => {
                // TA2 in `green/task.rs`.
                task.register(context.waker());
                if !wait.is_done() {
                    this.state = State::Waiting(task, wait);
                    return Poll::Pending;
                }
                Poll::Ready(match wait.withdraw() {
                    None => Ok(()),
                    Some(message) => Err(SendError(message)),
                })
            }
            State::Done => panic!("a SendFuture was polled after it had been ready"),
        }
    }
}

impl<T> SendFuture<'_, T> {
    fn begin(&mut self, message: T, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        // First without the allocation of a wait, which most sends do not need.
        let message = match self.sender.try_send_quietly(message) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(TrySendError::Disconnected(message)) => {
                return Poll::Ready(Err(SendError(message)));
            }
            Err(TrySendError::Full(message)) => message,
        };
        let task = Task::new();
        task.register(context.waker());
        let waiter = WaitingThread::Task(Arc::clone(&task));
        match SendWait::start(self.sender.chan(), message, waiter) {
            SendStart::Sent => Poll::Ready(Ok(())),
            SendStart::Disconnected(message) => Poll::Ready(Err(SendError(message))),
            SendStart::Waiting(wait) => {
                self.state = State::Waiting(task, wait);
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendFuture { .. }")
    }
}
