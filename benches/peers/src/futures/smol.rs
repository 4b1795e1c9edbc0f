//! smol: its global executor, with as many OS threads as workers.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use smol::channel::{Receiver, Sender};
use smol::lock::{Mutex, RwLock};
use smol::{Executor, Timer};

use super::Tasks;

pub(crate) struct Smol;

fn executor() -> &'static Executor<'static> {
    static EXECUTOR: OnceLock<Executor<'static>> = OnceLock::new();
    EXECUTOR.get_or_init(Executor::new)
}

impl Tasks for Smol {
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;
    type Gate = (Sender<()>, Receiver<()>);
    /// A permit, present or absent.
    type Bell = (Sender<()>, Receiver<()>);
    type Mutex = Mutex<u64>;
    type RwLock = RwLock<u64>;

    fn run<T: Send + 'static>(workers: usize, f: impl Future<Output = T> + Send + 'static) -> T {
        // The OS threads stay for the rest of the process, which measures one thing.
        for _ in 1..workers {
            std::thread::spawn(|| smol::block_on(executor().run(std::future::pending::<()>())));
        }
        smol::block_on(executor().run(executor().spawn(f)))
    }
    fn spawn<T: Send + 'static>(
        f: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        executor().spawn(f)
    }
    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }
    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
        capacity.map_or_else(smol::channel::unbounded, smol::channel::bounded)
    }
    async fn send<T: Send + 'static>(sender: &Sender<T>, value: T) {
        assert!(sender.send(value).await.is_ok());
    }
    async fn recv<T: Send + 'static>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
    fn another<T: Send + 'static>(receiver: &Receiver<T>) -> Option<Receiver<T>> {
        Some(receiver.clone())
    }
    fn gate() -> Self::Gate {
        smol::channel::unbounded()
    }
    async fn wait(gate: &Self::Gate) {
        assert!(gate.1.recv().await.is_err());
    }
    fn open(gate: &Self::Gate) {
        gate.0.close();
    }
    fn bell() -> Self::Bell {
        smol::channel::bounded(1)
    }
    fn ring(bell: &Self::Bell) {
        let _ = bell.0.try_send(());
    }
    async fn listen(bell: &Self::Bell) {
        let _ = bell.1.recv().await;
    }
    async fn listen_timeout(bell: &Self::Bell, limit: Duration) {
        let late = async {
            Timer::after(limit).await;
        };
        smol::future::or(Self::listen(bell), late).await;
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
