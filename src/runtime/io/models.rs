#![allow(unsafe_code, reason = "packs a waiter into one word")]
//! Models of `readiness.rs`: threads and tasks that wait for a socket.

use std::task::{Wake, Waker};

use super::readiness::{Readiness, Wakeable};
use crate::green::completion::PackedWaiter;
use loom::sync::{Arc, Condvar, Mutex as LoomMutex};
use loom::thread;

#[derive(Clone)]
struct Sleeper(Arc<(LoomMutex<bool>, Condvar)>);

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper(Arc::new((LoomMutex::new(false), Condvar::new())))
    }
    fn park(&self) {
        let mut woken = self.0.0.lock().unwrap();
        while !*woken {
            woken = self.0.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl PackedWaiter for Sleeper {
    fn word(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
    fn into_word(self) -> usize {
        Arc::into_raw(self.0) as usize
    }
    unsafe fn from_word(word: usize) -> Sleeper {
        // SAFETY: passed on to the caller.
        Sleeper(unsafe { Arc::from_raw(word as *const _) })
    }
}

impl Wakeable for Sleeper {
    fn wake(self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
    fn wake_task(waker: Waker) {
        waker.wake();
    }
    fn drop_task(_waker: Waker) {}
    fn count_tasks(_more: bool) {}
}

/// A socket: bytes in the kernel, under its lock, and an edge for each arrival, delivered by
/// the sending thread.
struct World {
    bytes: LoomMutex<usize>,
    read: Readiness<Sleeper>,
}

impl World {
    fn new(ready: bool) -> Arc<World> {
        let world = World {
            bytes: LoomMutex::new(0),
            read: Readiness::new(),
        };
        if !ready {
            world.read.take();
        }
        Arc::new(world)
    }

    fn arrive(&self) {
        *self.bytes.lock().unwrap() += 1;
        self.read.set_ready();
    }

    /// Makes the system call, which takes a byte or would block. Returns whether it took one.
    fn try_read(&self) -> bool {
        self.read.take();
        let mut bytes = self.bytes.lock().unwrap();
        let got = bytes.checked_sub(1);
        *bytes = got.unwrap_or(0);
        drop(bytes);
        if got.is_some() {
            self.read.set_ready();
        }
        got.is_some()
    }

    /// Reads one byte, as `retry::read` does.
    fn read(&self) {
        let me = Sleeper::new();
        let mut waited = false;
        loop {
            if (self.read.is_ready() || waited) && self.try_read() {
                return;
            }
            if self.read.enter(me.clone()) {
                me.park();
                waited = true;
            }
            self.read.leave(me.word());
        }
    }
}

#[test]
fn loom_one_reader() {
    loom::model(|| {
        let world = World::new(true);
        let reader = world.clone();
        let reader = thread::spawn(move || reader.read());
        world.arrive();
        reader.join().unwrap();
    });
}

#[test]
fn loom_two_readers_one_direction() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new(false);
        let readers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.read())
        });
        world.arrive();
        world.arrive();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn loom_cancelled_waiter_wakes_the_next() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new(false);
        let quitter = Sleeper::new();
        assert!(world.read.enter(quitter.clone()));
        let reader = world.clone();
        let reader = thread::spawn(move || reader.read());
        let sender = world.clone();
        let sender = thread::spawn(move || sender.arrive());
        world.read.leave(quitter.word());
        sender.join().unwrap();
        reader.join().unwrap();
    });
}

/// The waiter with the turn and a queued waiter leave, in any order, and another one stays.
#[test]
fn loom_third_waiter_goes_on_after_two_cancelled() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new(false);
        let quitters = [(); 2].map(|()| Sleeper::new());
        for quitter in &quitters {
            assert!(world.read.enter(quitter.clone()));
        }
        let reader = world.clone();
        let reader = thread::spawn(move || reader.read());
        let [first, second] = quitters;
        let other = world.clone();
        let other = thread::spawn(move || other.read.leave(second.word()));
        world.arrive();
        world.read.leave(first.word());
        other.join().unwrap();
        reader.join().unwrap();
    });
}

/// A task that reads one byte, as `retry/task.rs` does; its thread stands for an executor.
fn read_as_task(world: &World, sleeper: &Sleeper, waker: &Waker) {
    while !poll(world, waker) {
        sleeper.park();
    }
}

impl Wake for Sleeper {
    fn wake(self: std::sync::Arc<Sleeper>) {
        Wakeable::wake((*self).clone());
    }
}

fn task() -> (Sleeper, Waker) {
    let sleeper = Sleeper::new();
    let waker = Waker::from(std::sync::Arc::new(sleeper.clone()));
    (sleeper, waker)
}

/// Returns whether a byte was read.
fn poll(world: &World, waker: &Waker) -> bool {
    loop {
        if world.read.is_ready() && world.try_read() {
            return true;
        }
        if world.read.enter_task(waker) {
            return false;
        }
    }
}

#[test]
fn loom_task_reads() {
    loom::model(|| {
        let world = World::new(false);
        let sender = world.clone();
        let sender = thread::spawn(move || sender.arrive());
        let (sleeper, waker) = task();
        read_as_task(&world, &sleeper, &waker);
        sender.join().unwrap();
    });
}

#[test]
fn loom_task_and_thread_read_one_direction() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new(false);
        let reader = world.clone();
        let reader = thread::spawn(move || reader.read());
        let other = world.clone();
        let other = thread::spawn(move || {
            let (sleeper, waker) = task();
            read_as_task(&other, &sleeper, &waker);
        });
        world.arrive();
        world.arrive();
        reader.join().unwrap();
        other.join().unwrap();
    });
}

/// A task that is dropped after its first poll holds up no thread, whatever the order.
#[test]
fn loom_dropped_task_holds_up_no_thread() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new(false);
        let readers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.read())
        });
        world.arrive();
        let (_, waker) = task();
        if poll(&world, &waker) {
            world.arrive();
        }
        world.arrive();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// A task is polled by two wakers in turn, while an event arrives: the second is woken, or has the
/// byte.
#[test]
fn loom_task_is_polled_by_two_wakers() {
    loom::model(|| {
        let world = World::new(false);
        let sender = world.clone();
        let sender = thread::spawn(move || sender.arrive());
        let ((_, first), (sleeper, second)) = (task(), task());
        if !poll(&world, &first) {
            read_as_task(&world, &sleeper, &second);
        }
        sender.join().unwrap();
    });
}

/// A thread that waits with the turn leaves while a task enters and an event arrives.
#[test]
fn loom_thread_leaves_while_a_task_enters() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new(false);
        let quitter = Sleeper::new();
        assert!(world.read.enter(quitter.clone()));
        let reader = world.clone();
        let reader = thread::spawn(move || {
            let (sleeper, waker) = task();
            read_as_task(&reader, &sleeper, &waker);
        });
        let sender = world.clone();
        let sender = thread::spawn(move || sender.arrive());
        world.read.leave(quitter.word());
        sender.join().unwrap();
        reader.join().unwrap();
    });
}
