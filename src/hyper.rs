//! hyper 1 on green threads, with the feature `hyper`.
//!
//! [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::os::unix::net::UnixStream)
//! implement hyper's `Read` and `Write`, so they can be passed to hyper's connections directly. A
//! connection is a future, which [`block_on`](crate::block_on()) runs on the calling green thread.
//! The guide's page on [HTTP and TLS](crate::guide::http_and_tls) has a server and a client.

use std::panic::Location;
use std::pin::Pin;
use std::time::{Duration, Instant};

use ::hyper::rt;

use crate::future::{self, block_on};
use crate::runtime::current::spawn_plain;

/// Runs each future on its own green thread: an implementation of hyper's `Executor`, which HTTP/2
/// needs. The threads are detached: nothing waits for them.
///
/// # Panics
///
/// `execute` panics if no green thread can be spawned, as [`spawn`](crate::spawn()) does.
///
/// # Examples
///
/// ```
/// use hyper::rt::Executor;
///
/// let (sender, receiver) = rustlet::channel::bounded(1);
/// rustlet::hyper::Executor.execute(async move { sender.send_async(5).await.unwrap() });
/// assert_eq!(receiver.recv(), Ok(5));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        match spawn_plain(Location::caller(), move || block_on(future)) {
            Ok(detached) => drop(detached),
            Err(error) => panic!("rustlet: hyper's future cannot be spawned: {error}"),
        }
    }
}

/// Provides timers for hyper: an implementation of hyper's `Timer`, which its timeouts and
/// keep-alives need.
///
/// # Examples
///
/// ```
/// use hyper::rt::Timer;
/// use std::time::Duration;
///
/// rustlet::block_on(rustlet::hyper::Timer.sleep(Duration::from_millis(1)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Sleep for future::Sleep {}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(future::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(future::sleep_until(deadline))
    }
}
