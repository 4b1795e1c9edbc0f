//! Threads that are abandoned at the end of their runtime: they never run again, and no other
//! thread waits for them forever.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use rustlet::channel::unbounded;
use rustlet::runtime::{AtEnd, Builder};
use rustlet::{Cancelled, park, run, spawn, yield_now};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use support::{child, succeeded};

mod support;

const LONG: Duration = Duration::from_secs(3600);

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn abandoned_threads_never_run_again() {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    for workers in [1, 2] {
        let runtime = Builder::new().workers(workers).at_end(AtEnd::Abandon);
        runtime.build().unwrap().run(|| {
            let (ready, begun) = unbounded();
            for _ in 0..20 {
                let ready = ready.clone();
                spawn(move || {
                    let _dropped = OnDrop(|| {
                        DROPPED.fetch_add(1, SeqCst);
                    });
                    ready.send(()).unwrap();
                    loop {
                        STEPS.fetch_add(1, SeqCst);
                        yield_now();
                    }
                });
            }
            for _ in 0..20 {
                begun.recv().unwrap();
            }
            // One that does not start unless the worker gets to it.
            spawn(|| DROPPED.fetch_add(0, SeqCst));
        });
        // Each worker may have been in the middle of a step.
        let steps = STEPS.load(SeqCst);
        std::thread::yield_now();
        run(|| (0..100).for_each(|_| yield_now()));
        assert!(STEPS.load(SeqCst) <= steps + workers);
        assert_eq!(DROPPED.load(SeqCst), 0);
    }
}

#[test]
fn a_run_that_abandons_ends_at_once_beside_one_that_computes() {
    let name = "a_run_that_abandons_ends_at_once_beside_one_that_computes";
    let output = child(name, || {
        static COMPUTES: AtomicBool = AtomicBool::new(false);
        static MAY: AtomicBool = AtomicBool::new(false);
        let runtime = Builder::new().workers(1).at_end(AtEnd::Abandon);
        let runtime = runtime.shutdown_timeout(LONG).build().unwrap();
        runtime.spawn(|| {
            while !MAY.load(SeqCst) {
                yield_now();
            }
            COMPUTES.store(true, SeqCst);
            loop {
                std::hint::spin_loop();
            }
        });
        runtime.run(yield_now);
        MAY.store(true, SeqCst);
        while !COMPUTES.load(SeqCst) {
            std::thread::yield_now();
        }
        drop(runtime);
    });
    assert_eq!(succeeded(&output), "");
}

#[test]
fn spawning_on_an_abandoned_runtime_gives_a_cancelled_thread() {
    let runtime = Builder::new().workers(1).at_end(AtEnd::Abandon);
    let runtime = runtime.build().unwrap();
    let handle = runtime.handle();
    runtime.run(|| {
        spawn(park);
        yield_now();
    });
    runtime.spawn(park);
    runtime.shutdown(LONG).unwrap();
    assert!(Cancelled::is(&handle.spawn(|| ()).join().unwrap_err()));
}

/// No abandoned thread keeps the workers busy, so they end as with the default.
#[test]
fn a_runtime_with_nothing_to_abandon_ends_as_usual() {
    let runtime = Builder::new().workers(2).at_end(AtEnd::Abandon);
    assert_eq!(
        runtime.build().unwrap().run(|| spawn(|| 5).join().unwrap()),
        5
    );
}
