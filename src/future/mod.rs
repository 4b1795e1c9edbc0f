//! Futures: [`block_on`] polls one on the calling thread, and the other items let `async` code wait
//! for sockets, threads, messages and times of this crate.
//!
//! | to wait for | in `async` code |
//! |---|---|
//! | a socket, a pipe | its `poll_read`, `poll_write`, `poll_accept` and so on |
//! | any descriptor | [`io::Watch::poll_readable`](crate::io::Watch::poll_readable) |
//! | the end of a thread | `handle.await`: a [`JoinHandle`](crate::JoinHandle) is [`IntoFuture`] |
//! | a message | [`recv_async`](crate::channel::Receiver::recv_async), [`send_async`](crate::channel::Sender::send_async), and that of [`oneshot`](crate::sync::oneshot) |
//! | a lock, a permit | [`Mutex::lock_async`](crate::sync::Mutex::lock_async), [`Semaphore::acquire_async`](crate::sync::Semaphore::acquire_async) |
//! | a time | [`sleep`], [`sleep_until`], [`timeout`] |
//!
//! std has no functions for this, so the names and signatures are those of tokio, and for channels
//! those of flume.
//!
//! # Any executor, any thread
//!
//! Everything here may be polled by any executor on any thread: by [`block_on`] on a green thread,
//! by tokio, by `futures::executor`, on an ordinary OS thread. The waker may belong to a thread
//! that has ended. If a task is polled outside of this crate's workers, a worker of the
//! process-wide runtime watches its sockets; that runtime is started if necessary. One OS thread of
//! the process keeps the times; it is started for the first timer. If it cannot be started, tasks
//! that wait for a time poll in a loop until that time.
//!
//! No poll suspends or yields, so its caller may hold a lock of std. On a green thread polls of
//! sockets, pipes, messages and locks are charged to its budget: once that is used up, such a poll
//! wakes its task and returns `Pending`, and [`block_on`] lets other threads run before it polls
//! again.
//!
//! # Dropping a future
//!
//! A future that is dropped before it is ready leaves nothing behind, and has taken nothing: no
//! byte, no connection, no message. The documentation of each future describes further effects of
//! its drop. The `poll_` functions have no future to drop: the waker of the last poll stays with
//! the socket until the next event, which may then wake it needlessly once.
//!
//! # Examples
//!
//! ```
//! use rustlet::future::{block_on, sleep, timeout};
//! use std::time::Duration;
//!
//! rustlet::run(|| {
//!     let answer = block_on(async {
//!         sleep(Duration::from_millis(1)).await;
//!         let thread = rustlet::spawn(|| 6 * 7);
//!         timeout(Duration::from_secs(60), thread).await
//!     });
//!     assert_eq!(answer.unwrap().unwrap(), 42);
//! });
//! ```

mod block_on;
mod join;
mod sleep;

pub use self::block_on::block_on;
pub use self::join::JoinFuture;
pub use self::sleep::{Sleep, sleep, sleep_until, timeout};

#[cfg(feature = "tokio")]
pub(crate) use self::block_on::poll_until_ready;
