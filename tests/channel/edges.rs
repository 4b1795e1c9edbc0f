//! Interactions of reservations, destructors, and threads that are not stepped.

use crate::on_workers;
use rustlet::channel::{RecvTimeoutError, Select, TryRecvError, bounded, select, unbounded};
use rustlet::{Worker, spawn, yield_now};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{ThreadId, current};
use std::time::Duration;

/// A slot was reserved, and the message bypassed it to a waiting receiver: there is room again, and
/// a sender that asks finds it.
#[test]
fn room_left_by_a_reservation_is_notified() {
    on_workers(1, || {
        let (sender, receiver) = bounded(1);
        let watched = sender.clone();
        let others;
        select! {
            send(sender, {
                // While the only slot is reserved:
                let watcher = spawn(move || {
                    let mut list = Select::new();
                    list.send(&watched);
                    list.ready()
                });
                let receiver = spawn(move || {
                    receiver.recv().unwrap();
                    receiver
                });
                for _ in 0..10 {
                    yield_now();
                }
                assert!(!watcher.is_finished() && !receiver.is_finished());
                others = (watcher, receiver);
            }) -> sent => sent.unwrap(),
        }
        let (watcher, receiver) = others;
        let _receiver = receiver.join().unwrap();
        for _ in 0..10 {
            yield_now();
        }
        assert!(watcher.is_finished());
        assert_eq!(watcher.join().unwrap(), 0);
    });
}

/// The thread that made it drops it, or no thread does.
struct Local(ThreadId, PhantomData<*const ()>);

impl Drop for Local {
    fn drop(&mut self) {
        if self.0 != current().id() {
            eprintln!("dropped by another thread");
            std::process::abort();
        }
    }
}

/// A list of operations may move to another thread, even if its messages may not.
#[test]
fn a_message_that_may_not_leave_its_thread_is_not_dropped_elsewhere() {
    let (sender, receiver) = unbounded();
    for _ in 0..3 {
        sender.send(Local(current().id(), PhantomData)).unwrap();
    }
    let mut list = Select::new();
    list.recv(&receiver);
    let mut other = list.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            assert!(catch_unwind(AssertUnwindSafe(|| drop(other.select()))).is_err());
        });
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(list.select()))).is_err());
    assert_eq!(receiver.try_iter().count(), 1);
}

/// A chosen select computes its message after it was chosen; if the thread that asks is also the
/// one that would step it, the message never comes.
#[test]
fn the_thread_that_steps_a_worker_may_receive_from_its_select() {
    Worker::scope(|worker| {
        let (sender, receiver) = bounded(0);
        let select = worker.assign(move || {
            select! { send(sender, 5) -> sent => sent }
        });
        while worker.tick() {}
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let short = Duration::from_millis(1);
        assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert_eq!(
            select! { recv(receiver) -> got => Some(got), default => None },
            None
        );
        let received = worker.assign(move || receiver.recv());
        worker.work();
        assert_eq!(received.join().unwrap(), Ok(5));
        assert_eq!(select.join().unwrap(), Ok(()));
    });
}
