//! Cancellation: a wait that unwinds has had no effect.

use crate::on_workers;
use rustlet::channel::{Receiver, Select, after, bounded, never, select, unbounded};
use rustlet::{Cancelled, JoinHandle, spawn, yield_now};
use std::sync::Arc;

fn everywhere(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

/// Cancels a thread that waits, or is about to.
fn cancelled<T: std::fmt::Debug>(thread: JoinHandle<T>) {
    for _ in 0..3 {
        yield_now();
    }
    thread.cancel();
    let payload = thread.join().expect_err("it was cancelled");
    assert!(payload.is::<Cancelled>());
}

#[test]
fn a_receiver_has_not_taken_anything() {
    everywhere(|| {
        for capacity in [0, 1, 5] {
            let (sender, receiver) = bounded(capacity);
            let other = receiver.clone();
            cancelled(spawn(move || other.recv()));
            let other = receiver.clone();
            cancelled(spawn(move || select! { recv(other) -> message => message }));
            let thread = spawn(move || sender.send("kept"));
            assert_eq!(receiver.recv(), Ok("kept"));
            thread.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_message_that_was_not_sent_is_dropped() {
    everywhere(|| {
        let message = Arc::new(());
        let (sender, receiver) = bounded(0);
        let (other, copy) = (sender.clone(), Arc::clone(&message));
        cancelled(spawn(move || other.send(copy).is_ok()));
        let (other, copy) = (sender.clone(), Arc::clone(&message));
        cancelled(spawn(
            move || select! { send(other, copy) -> sent => sent.is_ok() },
        ));
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(receiver.try_recv().is_err());
        let (sender, receiver) = bounded(1);
        sender.send(Arc::clone(&message)).unwrap();
        let (other, copy) = (sender.clone(), Arc::clone(&message));
        cancelled(spawn(move || other.send(copy).is_ok()));
        assert_eq!(receiver.len(), 1);
        assert_eq!(Arc::strong_count(&message), 2);
    });
}

#[test]
fn all_that_can_be_waited_for() {
    everywhere(|| {
        let quiet: Receiver<()> = never();
        cancelled(spawn(move || quiet.recv()));
        cancelled(spawn(|| after(std::time::Duration::from_secs(3600)).recv()));
        let (sender, receiver) = unbounded::<()>();
        cancelled(spawn(move || {
            let mut list = Select::new();
            list.recv(&receiver);
            list.ready()
        }));
        drop(sender);
    });
}

#[test]
fn a_cancelled_thread_receives_a_message_that_is_there() {
    on_workers(1, || {
        let (sender, receiver) = bounded(0);
        let (tell, told) = unbounded();
        let thread = spawn(move || {
            let first = receiver.recv();
            tell.send(first).unwrap();
        });
        while sender.try_send(1).is_err() {
            yield_now();
        }
        // It has not run since, and learns of both at once.
        thread.cancel();
        assert_eq!(told.recv(), Ok(Ok(1)));
        drop(thread.join());
    });
}

#[test]
fn destructors_wait_on() {
    struct Farewell(rustlet::channel::Sender<i32>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            self.0.send(7).unwrap();
        }
    }
    everywhere(|| {
        let (sender, receiver) = bounded(0);
        let (tell, told) = unbounded();
        let thread = spawn(move || {
            let _farewell = Farewell(sender);
            tell.send(()).unwrap();
            never::<()>().recv()
        });
        told.recv().unwrap();
        thread.cancel();
        assert_eq!(receiver.recv(), Ok(7));
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_loop_without_waits_is_cancelled_too() {
    on_workers(1, || {
        let (sender, receiver) = unbounded();
        let thread = spawn(move || {
            loop {
                sender.send(1).unwrap();
                receiver.recv().unwrap();
            }
        });
        cancelled(thread);
    });
}
