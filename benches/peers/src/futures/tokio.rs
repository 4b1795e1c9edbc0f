//! tokio, both flavours: one worker is `current_thread`, more are `multi_thread`; `MultiThread` is
//! always the latter.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, RwLock, mpsc};

use super::Tasks;

pub(crate) struct Tokio<const CURRENT_THREAD: bool>;

pub(crate) type CurrentThread = Tokio<true>;
pub(crate) type MultiThread = Tokio<false>;

pub(crate) enum Sender<T> {
    Bounded(mpsc::Sender<T>),
    Unbounded(mpsc::UnboundedSender<T>),
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        match self {
            Sender::Bounded(sender) => Sender::Bounded(sender.clone()),
            Sender::Unbounded(sender) => Sender::Unbounded(sender.clone()),
        }
    }
}

pub(crate) enum Receiver<T> {
    Bounded(mpsc::Receiver<T>),
    Unbounded(mpsc::UnboundedReceiver<T>),
}

pub(crate) fn runtime(current_thread: bool, workers: usize) -> Runtime {
    let mut builder = if current_thread {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers);
        builder
    };
    builder.enable_all().build().expect("a runtime")
}

impl<const CURRENT_THREAD: bool> Tasks for Tokio<CURRENT_THREAD> {
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;
    type Gate = Arc<(Notify, std::sync::atomic::AtomicBool)>;
    type Bell = Notify;
    type Mutex = Mutex<u64>;
    type RwLock = RwLock<u64>;

    fn run<T: Send + 'static>(workers: usize, f: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = runtime(CURRENT_THREAD, workers);
        // As a task, as a program's work would be; the thread that calls `block_on` is no worker.
        runtime.block_on(async { tokio::spawn(f).await.expect("no panic") })
    }
    fn spawn<T: Send + 'static>(
        f: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let handle = tokio::spawn(f);
        async { handle.await.expect("no panic") }
    }
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
        match capacity {
            Some(capacity) => {
                let (sender, receiver) = mpsc::channel(capacity);
                (Sender::Bounded(sender), Receiver::Bounded(receiver))
            }
            None => {
                let (sender, receiver) = mpsc::unbounded_channel();
                (Sender::Unbounded(sender), Receiver::Unbounded(receiver))
            }
        }
    }
    async fn send<T: Send + 'static>(sender: &Sender<T>, value: T) {
        let sent = match sender {
            Sender::Bounded(sender) => sender.send(value).await.is_ok(),
            Sender::Unbounded(sender) => sender.send(value).is_ok(),
        };
        assert!(sent);
    }
    async fn recv<T: Send + 'static>(receiver: &mut Receiver<T>) -> Option<T> {
        match receiver {
            Receiver::Bounded(receiver) => receiver.recv().await,
            Receiver::Unbounded(receiver) => receiver.recv().await,
        }
    }
    fn another<T: Send + 'static>(_: &Receiver<T>) -> Option<Receiver<T>> {
        None
    }
    fn gate() -> Self::Gate {
        Arc::default()
    }
    async fn wait(gate: &Self::Gate) {
        use std::sync::atomic::Ordering::SeqCst;
        let notified = gate.0.notified();
        if !gate.1.load(SeqCst) {
            notified.await;
        }
    }
    fn open(gate: &Self::Gate) {
        gate.1.store(true, std::sync::atomic::Ordering::SeqCst);
        gate.0.notify_waiters();
    }
    fn bell() -> Notify {
        Notify::new()
    }
    fn ring(bell: &Notify) {
        bell.notify_one();
    }
    fn listen(bell: &Notify) -> impl Future<Output = ()> + Send {
        bell.notified()
    }
    async fn listen_timeout(bell: &Notify, limit: Duration) {
        let _ = tokio::time::timeout(limit, bell.notified()).await;
    }
    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }
    async fn add(mutex: &Mutex<u64>) {
        *mutex.lock().await += 1;
    }
    fn rwlock() -> RwLock<u64> {
        RwLock::new(0)
    }
    async fn read(lock: &RwLock<u64>) -> u64 {
        *lock.read().await
    }
    async fn write(lock: &RwLock<u64>) {
        *lock.write().await += 1;
    }
}
