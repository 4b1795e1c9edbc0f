//! may: stackful coroutines that move between OS threads. Its channels are all unbounded.

use std::time::Duration;

use may::sync::{Mutex, RwLock, mpmc};

use super::{STACK, Threads};

pub(crate) struct May;

/// may's stack size is in words.
pub(crate) fn configure(workers: usize) {
    may::config()
        .set_workers(workers)
        .set_stack_size(STACK / size_of::<usize>());
}

impl Threads for May {
    type Handle<T: Send + 'static> = may::coroutine::JoinHandle<T>;
    type Sender<T: Send + 'static> = mpmc::Sender<T>;
    type Receiver<T: Send + 'static> = mpmc::Receiver<T>;
    type Mutex = Mutex<u64>;
    type RwLock = RwLock<u64>;

    fn run<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
        configure(workers);
        // Spawned from outside, so that the measured thread is a coroutine as the others are.
        Self::join(Self::spawn(f))
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        // SAFETY: this code touches no thread-local, and stays far from the end of its stack.
        unsafe { may::coroutine::spawn(f) }
    }
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no panic")
    }
    fn yield_now() {
        may::coroutine::yield_now();
    }
    fn park() {
        may::coroutine::park();
    }
    fn park_timeout(limit: Duration) {
        may::coroutine::park_timeout(limit);
    }
    fn unpark<T: Send + 'static>(handle: &Self::Handle<T>) {
        handle.coroutine().unpark();
    }
    fn sleep(time: Duration) {
        may::coroutine::sleep(time);
    }
    fn channel<T: Send + 'static>(_: Option<usize>) -> (mpmc::Sender<T>, mpmc::Receiver<T>) {
        mpmc::channel()
    }
    fn send<T: Send + 'static>(sender: &mpmc::Sender<T>, value: T) {
        assert!(sender.send(value).is_ok());
    }
    fn recv<T: Send + 'static>(receiver: &mpmc::Receiver<T>) -> Option<T> {
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
