//! OS threads with std's locks and crossbeam's channels.

use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::{STACK, Threads};

pub(crate) struct OsThreads;

impl Threads for OsThreads {
    const HEAVY: bool = true;
    type Handle<T: Send + 'static> = thread::JoinHandle<T>;
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;
    type Mutex = Mutex<u64>;
    type RwLock = RwLock<u64>;

    fn run<T: Send + 'static>(_workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
        f()
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        let builder = thread::Builder::new().stack_size(STACK);
        builder.spawn(f).expect("an OS thread")
    }
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no panic")
    }
    fn yield_now() {
        thread::yield_now();
    }
    fn park() {
        thread::park();
    }
    fn park_timeout(limit: Duration) {
        thread::park_timeout(limit);
    }
    fn unpark<T: Send + 'static>(handle: &Self::Handle<T>) {
        handle.thread().unpark();
    }
    fn sleep(time: Duration) {
        thread::sleep(time);
    }
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
        capacity.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded)
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
