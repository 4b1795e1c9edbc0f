//! Many threads that wait for one common thing and for another of their own: no wake-up is lost,
//! whichever comes.

use std::cell::Cell;
use std::rc::Rc;

use rustlet::channel::{Receiver, select, unbounded};
use rustlet::sync::{Callback, broadcast, oneshot};
use rustlet::{park, spawn, thread};

/// The common thing, and a way to make it ready.
type Source = (Receiver<()>, Box<dyn FnOnce()>);

thread_local! {
    static KEPT: Cell<Option<broadcast::Receiver<()>>> = const { Cell::new(None) };
}

const THREADS: usize = 300;

/// Every third thread leaves by its own channel and comes back; then the common thing becomes ready
/// for all.
fn all_are_told(make: fn() -> Source) {
    crate::on_workers(1, move || {
        let (common, come) = make();
        let told = Rc::new(Cell::new(0));
        let (mut own, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (sender, receiver) = unbounded::<()>();
            own.push(sender);
            let (common, told) = (common.clone(), Rc::clone(&told));
            threads.push(thread::spawn_local(move || {
                loop {
                    select! {
                        recv(common) -> got => {
                            got.unwrap();
                            told.set(told.get() + 1);
                            return;
                        }
                        recv(receiver) -> got => if got.is_err() { return },
                    }
                }
            }));
        }
        thread::yield_now();
        for _ in 0..3 {
            own.iter().step_by(3).for_each(|own| own.send(()).unwrap());
            thread::yield_now();
        }
        // Some do not come back.
        own.drain(..THREADS / 3).for_each(drop);
        thread::yield_now();
        come();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(told.get(), THREADS - THREADS / 3);
    });
}

#[test]
fn the_end_of_a_thread() {
    all_are_told(|| {
        let parked = spawn(park);
        (parked.done(), Box::new(move || parked.thread().unpark()))
    });
}

#[test]
fn a_broadcast() {
    all_are_told(|| {
        let (sender, receiver) = broadcast::channel(1);
        let common = receiver.receiver();
        let come = move || {
            sender.send(()).unwrap();
            // A message is there as long as its receiver is.
            KEPT.with(|kept| kept.set(Some(receiver)));
        };
        (common, Box::new(come))
    });
}

#[test]
fn a_callback() {
    all_are_told(|| {
        let callback = Callback::new();
        (callback.receiver(), Box::new(move || callback.call(())))
    });
}

#[test]
fn a_oneshot() {
    all_are_told(|| {
        let (sender, receiver) = oneshot::channel();
        let common = receiver.receiver();
        let come = move || {
            sender.send(()).unwrap();
            drop(receiver);
        };
        (common, Box::new(come))
    });
}

#[test]
fn a_descriptor() {
    all_are_told(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let watch = rustlet::io::Watch::new(reader).unwrap();
        (
            watch.readable(),
            Box::new(move || drop((writer, Box::leak(Box::new(watch))))),
        )
    });
}

#[test]
fn the_end_of_a_child() {
    all_are_told(|| {
        let mut child = rustlet::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        (child.exited(), Box::new(move || child.kill().unwrap()))
    });
}
