//! Futures that wait for things of this crate: sockets, pipes, ends of threads, times.
//!
//! Each is polled on green threads, on OS threads and by an executor that is not ours, dropped half
//! way, polled by two wakers in turn, woken after its thread has ended, and polled from two OS
//! threads.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

#[path = "futures/budget.rs"]
mod budget;
#[path = "futures/channels.rs"]
mod channels;
#[path = "futures/ends.rs"]
mod ends;
#[path = "futures/locks.rs"]
mod locks;
#[path = "futures/pipes.rs"]
mod pipes;
#[path = "futures/sockets.rs"]
mod sockets;
#[path = "futures/wakers.rs"]
mod wakers;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustlet::channel::{Receiver, Sender, unbounded};

/// Longer than any wait of a test that passes.
const LONG: Duration = Duration::from_secs(60);

/// Waits for a future on an OS thread, without this crate.
fn block_on_os_thread<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(LONG),
        }
    }
}

/// Calls `case` on a green thread of a runtime of one worker, and of two, and on OS threads with
/// `block_on`; and lets another executor wait for the future.
fn everywhere<F: Future<Output = ()>>(case: impl Fn() -> F + Sync) {
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(|| rustlet::block_on(case()));
    }
    rustlet::block_on(case());
    block_on_os_thread(case());
}

/// A waker that sends a message for each wake-up.
struct Tell(Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Tell>) {
        // The test may be over.
        self.0.send(()).ok();
    }
}

fn tell() -> (Waker, Receiver<()>) {
    let (sender, receiver) = unbounded();
    (Waker::from(Arc::new(Tell(sender))), receiver)
}

/// Polls once, and expects that the future is not ready.
#[track_caller]
fn assert_pending<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>, waker: &Waker) {
    assert!(poll(&mut Context::from_waker(waker)).is_pending());
}

/// Waits for a wake-up.
#[track_caller]
fn woken(told: &Receiver<()>) {
    told.recv_timeout(LONG).unwrap();
}

/// Returns the waker of a green thread that has ended, in `block_on`.
fn waker_of_an_ended_thread() -> Waker {
    let waker = || {
        rustlet::block_on(std::future::poll_fn(|context| {
            Poll::Ready(context.waker().clone())
        }))
    };
    rustlet::spawn(waker).join().unwrap()
}
