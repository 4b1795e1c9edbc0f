//! Suspend hooks: a state of the OS thread that each green thread has for itself.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::cell::Cell;
use std::sync::OnceLock;
use std::thread::LocalKey;
use std::time::Duration;

use rustlet::channel::{Receiver, Sender, bounded, unbounded};
use rustlet::runtime::{Builder, SuspendHook, ThreadInfo, add_suspend_hook, threads};
use rustlet::{JoinHandle, Worker, scope, shield, spawn, yield_now};

/// A thread-local of the OS thread, 0 while no green thread has set it.
struct State(&'static LocalKey<Cell<u32>>);

impl SuspendHook for State {
    type State = u32;
    fn suspend(&self) -> u32 {
        self.0.replace(0)
    }
    fn resume(&self, state: u32) {
        self.0.set(state);
    }
}

std::thread_local! {
    static PLAIN: Cell<u32> = const { Cell::new(0) };
    static WAITING: Cell<u32> = const { Cell::new(0) };
    static PANICKING: Cell<u32> = const { Cell::new(0) };
}

fn prepare() {
    static ADDED: OnceLock<()> = OnceLock::new();
    ADDED.get_or_init(|| add_suspend_hook(State(&PLAIN)));
}

fn with_workers(workers: usize, f: impl FnOnce() + Send) {
    let runtime = Builder::new().workers(workers).build().unwrap();
    runtime.run(f);
}

/// Lets others run until the thread waits in `park`.
fn until_parked<T>(thread: &JoinHandle<T>) {
    let id = thread.thread().id();
    let is_parked = |info: &ThreadInfo| info.id == id && info.waits_in == "park";
    while !threads().iter().any(is_parked) {
        yield_now();
    }
}

#[test]
fn each_of_many_threads_finds_its_own_state_after_a_wait() {
    prepare();
    for workers in [1, 2] {
        with_workers(workers, || {
            scope(|s| {
                for number in 1..=50 {
                    s.spawn(move || {
                        assert_eq!(PLAIN.get(), 0, "a new thread has none");
                        PLAIN.set(number);
                        for _ in 0..10 {
                            yield_now();
                            assert_eq!(PLAIN.get(), number);
                            rustlet::sleep(Duration::from_micros(1));
                            assert_eq!(PLAIN.get(), number);
                        }
                        // It ends with its state, which is no other's.
                    });
                }
            });
        });
    }
}

#[test]
fn a_cancelled_thread_unwinds_with_its_state() {
    struct Check(Sender<u32>);
    impl Drop for Check {
        fn drop(&mut self) {
            self.0.send(PLAIN.get()).unwrap();
        }
    }
    prepare();
    with_workers(1, || {
        let (sender, states) = unbounded();
        let waiter = spawn(move || {
            PLAIN.set(7);
            let _check = Check(sender);
            rustlet::park();
        });
        until_parked(&waiter);
        PLAIN.set(8);
        waiter.cancel();
        assert_eq!(states.recv(), Ok(7));
        assert_eq!(PLAIN.get(), 8);
        assert!(waiter.join().is_err());
    });
}

#[test]
fn a_state_is_there_for_the_destructors_of_thread_locals() {
    struct Check(Sender<u32>);
    impl Drop for Check {
        fn drop(&mut self) {
            self.0.send(PLAIN.get()).unwrap();
        }
    }
    rustlet::thread_local! {
        static CHECK: Cell<Option<Check>> = const { Cell::new(None) };
    }
    prepare();
    with_workers(1, || {
        let (sender, states) = unbounded();
        let thread = spawn(move || {
            PLAIN.set(3);
            CHECK.set(Some(Check(sender)));
        });
        thread.join().unwrap();
        assert_eq!(states.recv(), Ok(3));
        spawn(|| assert_eq!(PLAIN.get(), 0)).join().unwrap();
    });
}

#[test]
fn a_hook_applies_to_threads_that_are_there_already() {
    std::thread_local! {
        static LATE: Cell<u32> = const { Cell::new(0) };
    }
    with_workers(1, || {
        let (sender, receiver) = bounded::<()>(0);
        let early = spawn(move || {
            receiver.recv().unwrap();
            LATE.set(4);
            yield_now();
            LATE.get()
        });
        yield_now();
        add_suspend_hook(State(&LATE));
        sender.send(()).unwrap();
        let other = spawn(|| {
            LATE.set(5);
            yield_now();
            LATE.get()
        });
        assert_eq!((early.join().unwrap(), other.join().unwrap()), (4, 5));
    });
}

#[test]
fn a_worker_that_is_stepped_leaves_the_state_of_its_user_alone() {
    prepare();
    PLAIN.set(9);
    Worker::scope(|worker| {
        let thread = worker.assign(|| {
            assert_eq!(PLAIN.get(), 0);
            PLAIN.set(1);
            yield_now();
            PLAIN.get()
        });
        while worker.tick() {
            assert_eq!(PLAIN.get(), 9);
        }
        assert_eq!(thread.join().unwrap(), 1);
    });
    assert_eq!(PLAIN.take(), 9);
}

/// Waits in both functions, while the state is set.
struct Waits {
    gate: Receiver<()>,
    reached: Sender<()>,
}

impl SuspendHook for Waits {
    type State = u32;
    fn suspend(&self) -> u32 {
        let state = WAITING.take();
        self.wait(state);
        state
    }
    fn resume(&self, state: u32) {
        self.wait(state);
        WAITING.set(state);
    }
}

impl Waits {
    fn wait(&self, state: u32) {
        if state != 0 {
            self.reached.send(()).unwrap();
            // Disconnected: the test has ended, and failed.
            let _opened = self.gate.recv();
        }
    }
}

#[test]
fn a_wake_up_that_comes_while_a_hook_waits_is_not_lost() {
    let (open, gate) = unbounded();
    let (reached, at_gate) = unbounded();
    add_suspend_hook(Waits { gate, reached });
    with_workers(1, || {
        let (sender, receiver) = bounded(1);
        let waiter = spawn(move || {
            WAITING.set(1);
            let received = receiver.recv();
            (received, WAITING.take())
        });
        // It has found nothing, and waits in the hook.
        at_gate.recv().unwrap();
        sender.send(5).unwrap();
        yield_now();
        yield_now();
        // At its next wait, too, and when it continues.
        for _ in 0..10 {
            open.send(()).unwrap();
        }
        drop(open);
        // A lost wake-up would be waited for without end.
        let joined = waiter.join_timeout(Duration::from_secs(20));
        assert_eq!(joined.unwrap().unwrap(), (Ok(5), 1));
    });
}

#[test]
fn a_cancellation_does_not_end_the_wait_of_a_hook() {
    std::thread_local! {
        static OURS: Cell<bool> = const { Cell::new(false) };
    }
    struct Yields(Sender<&'static str>);
    impl SuspendHook for Yields {
        type State = bool;
        fn suspend(&self) -> bool {
            let is_ours = OURS.take();
            if is_ours {
                yield_now();
                self.0.send("suspended").unwrap();
            }
            is_ours
        }
        fn resume(&self, is_ours: bool) {
            if is_ours {
                yield_now();
                self.0.send("resumed").unwrap();
            }
            OURS.set(is_ours);
        }
    }
    let (sender, events) = unbounded();
    add_suspend_hook(Yields(sender));
    with_workers(1, || {
        let waiter = spawn(|| {
            OURS.set(true);
            shield(rustlet::park);
            OURS.set(false);
        });
        until_parked(&waiter);
        waiter.cancel();
        waiter.thread().unpark();
        assert!(waiter.join().is_ok(), "it was shielded, and waits no more");
        let events: Vec<_> = events.try_iter().collect();
        assert_eq!(events, ["suspended", "resumed"]);
    });
}

#[test]
fn a_panic_of_a_hook_is_not_the_threads() {
    struct Panics;
    impl SuspendHook for Panics {
        type State = ();
        fn suspend(&self) {
            assert_ne!(PANICKING.take(), 1, "on purpose");
        }
        fn resume(&self, (): ()) {}
    }
    add_suspend_hook(Panics);
    with_workers(1, || {
        let thread = spawn(|| {
            PANICKING.set(1);
            yield_now();
            2
        });
        assert_eq!(thread.join().unwrap(), 2);
    });
}

/// It has run nowhere, so the state is that of the thread that spawns it.
#[test]
fn a_thread_that_never_starts_leaves_the_state_of_its_spawner_alone() {
    prepare();
    let runtime = Builder::new().workers(1).build().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    PLAIN.set(7);
    assert!(handle.spawn(|| ()).join().is_err());
    assert_eq!(PLAIN.take(), 7);
}
