//! rustlet, as one of the peers.

use std::time::Duration;

use rustlet::channel::{self, Receiver, Sender};
use rustlet::sync::{Mutex, RwLock};

use super::Threads;
use crate::figures::Figures;

pub(crate) struct Rustlet;

/// The timers of [`super::timers`], with a timer slack.
pub(crate) fn timers(workers: usize, threads: u64, slack: Duration) -> Figures {
    let builder = rustlet::Builder::new().workers(workers).timer_slack(slack);
    let runtime = builder.build().expect("a runtime");
    runtime.run(move || super::timers_here::<Rustlet>(threads))
}

impl Threads for Rustlet {
    type Handle<T: Send + 'static> = rustlet::JoinHandle<T>;
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;
    type Mutex = Mutex<u64>;
    type RwLock = RwLock<u64>;

    fn run<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
        let runtime = rustlet::Builder::new().workers(workers).build();
        runtime.expect("a runtime").run(f)
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        rustlet::spawn(f)
    }
    // A function that is inlined into the caller there, where it is called by its own name, is
    // inlined here too.
    #[inline(always)]
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no panic")
    }
    #[inline(always)]
    fn yield_now() {
        rustlet::yield_now();
    }
    #[inline(always)]
    fn park() {
        rustlet::park();
    }
    #[inline(always)]
    fn park_timeout(limit: Duration) {
        rustlet::park_timeout(limit);
    }
    fn unpark<T: Send + 'static>(handle: &Self::Handle<T>) {
        handle.thread().unpark();
    }
    fn sleep(time: Duration) {
        rustlet::sleep(time);
    }
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
        capacity.map_or_else(channel::unbounded, channel::bounded)
    }
    fn send<T: Send + 'static>(sender: &Sender<T>, value: T) {
        assert!(sender.send(value).is_ok());
    }
    fn recv<T: Send + 'static>(receiver: &Receiver<T>) -> Option<T> {
        receiver.recv().ok()
    }
    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }
    fn add(mutex: &Mutex<u64>) {
        *mutex.lock().expect("not poisoned") += 1;
    }
    fn rwlock() -> RwLock<u64> {
        RwLock::new(0)
    }
    fn read(lock: &RwLock<u64>) -> u64 {
        *lock.read().expect("not poisoned")
    }
    fn write(lock: &RwLock<u64>) {
        *lock.write().expect("not poisoned") += 1;
    }
}
