//! The operations, for runtimes of futures: tokio and smol. Mirrors `blocking.rs` line by line.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::blocking::{JOB, JOBS, MEETING, MEETING_JOB, MINUTE, NAP, Race, compute, millis};
use crate::figures::{Figures, Lateness, Memory, per};

pub(crate) mod smol;
pub(crate) mod tokio;

/// A runtime.
pub(crate) trait Tasks: 'static {
    type Sender<T: Send + 'static>: Clone + Send + Sync + 'static;
    type Receiver<T: Send + 'static>: Send + Sync + 'static;
    type Gate: Clone + Send + Sync + 'static;
    /// A notification: one task waits for it and another sends it.
    type Bell: Send + Sync + 'static;
    type Mutex: Send + Sync + 'static;
    type RwLock: Send + Sync + 'static;

    fn run<T: Send + 'static>(workers: usize, f: impl Future<Output = T> + Send + 'static) -> T;
    fn spawn<T: Send + 'static>(
        f: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Self::Sender<T>, Self::Receiver<T>);
    fn send<T: Send + 'static>(
        sender: &Self::Sender<T>,
        value: T,
    ) -> impl Future<Output = ()> + Send;
    fn recv<T: Send + 'static>(
        receiver: &mut Self::Receiver<T>,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Returns `None` if a channel can have only one receiver.
    fn another<T: Send + 'static>(receiver: &Self::Receiver<T>) -> Option<Self::Receiver<T>>;
    fn gate() -> Self::Gate;
    fn wait(gate: &Self::Gate) -> impl Future<Output = ()> + Send;
    fn open(gate: &Self::Gate);
    fn bell() -> Self::Bell;
    fn ring(bell: &Self::Bell);
    fn listen(bell: &Self::Bell) -> impl Future<Output = ()> + Send;
    /// Waits no longer than this limit.
    fn listen_timeout(bell: &Self::Bell, limit: Duration) -> impl Future<Output = ()> + Send;
    fn mutex() -> Self::Mutex;
    fn add(mutex: &Self::Mutex) -> impl Future<Output = ()> + Send;
    fn rwlock() -> Self::RwLock;
    fn read(lock: &Self::RwLock) -> impl Future<Output = u64> + Send;
    fn write(lock: &Self::RwLock) -> impl Future<Output = ()> + Send;
}

/// Yields below four frames.
async fn yield_deep<R: Tasks>() {
    async fn third<R: Tasks>() {
        R::yield_now().await;
        std::hint::black_box(3);
    }
    async fn second<R: Tasks>() {
        third::<R>().await;
        std::hint::black_box(2);
    }
    async fn first<R: Tasks>() {
        second::<R>().await;
        std::hint::black_box(1);
    }
    first::<R>().await;
    std::hint::black_box(0);
}

pub(crate) fn yields<R: Tasks>(workers: usize, threads: usize, total: u64, deep: bool) -> Figures {
    let each = (total / threads as u64).max(10);
    R::run(workers, async move {
        let race = Race::new(threads);
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let race = Arc::clone(&race);
                R::spawn(async move {
                    race.begin();
                    while !race.has_begun() {
                        R::yield_now().await;
                    }
                    for _ in 0..each {
                        if deep {
                            yield_deep::<R>().await;
                        } else {
                            R::yield_now().await;
                        }
                    }
                    race.finish();
                })
            })
            .collect();
        for handle in handles {
            handle.await;
        }
        per(race.time(), each * threads as u64)
    })
}

pub(crate) fn spawn_one<R: Tasks>(workers: usize, count: u64) -> Figures {
    R::run(workers, async move {
        let start = Instant::now();
        for _ in 0..count {
            R::spawn(async {}).await;
        }
        per(start.elapsed(), count)
    })
}

pub(crate) fn spawn_all<R: Tasks>(workers: usize, threads: usize, rounds: u64) -> Figures {
    R::run(workers, async move {
        let start = Instant::now();
        for _ in 0..rounds {
            let handles: Vec<_> = (0..threads).map(|_| R::spawn(async {})).collect();
            for handle in handles {
                handle.await;
            }
        }
        per(start.elapsed(), rounds * threads as u64)
    })
}

/// See the function of that name in `blocking.rs`.
pub(crate) fn wake<R: Tasks>(
    workers: usize,
    threads: usize,
    rounds: u64,
    limited: bool,
) -> Figures {
    R::run(workers, async move {
        let (round, awake) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (last, mut all) = R::channel(None);
        let (bells, handles): (Vec<_>, Vec<_>) = (0..threads)
            .map(|_| {
                let (round, awake, last) = (Arc::clone(&round), Arc::clone(&awake), last.clone());
                let bell = Arc::new(R::bell());
                let own = Arc::clone(&bell);
                let task = R::spawn(async move {
                    for n in 1..=rounds + 1 {
                        while round.load(Ordering::Acquire) < n {
                            if limited {
                                R::listen_timeout(&own, MINUTE).await;
                            } else {
                                R::listen(&own).await;
                            }
                        }
                        if awake.fetch_add(1, Ordering::AcqRel) + 1 == n * threads as u64 {
                            R::send(&last, ()).await;
                        }
                    }
                });
                (bell, task)
            })
            .unzip();
        let mut start = Instant::now();
        for n in 1..=rounds + 1 {
            round.store(n, Ordering::Release);
            bells.iter().for_each(|bell| R::ring(bell));
            assert_eq!(R::recv(&mut all).await, Some(()));
            if n == 1 {
                start = Instant::now();
            }
        }
        let time = start.elapsed();
        for handle in handles {
            handle.await;
        }
        per(time, rounds * threads as u64)
    })
}

pub(crate) fn ping_pong<R: Tasks>(workers: usize, count: u64) -> Figures {
    R::run(workers, async move {
        // A separate task: in some runtimes the future passed to `block_on` is slower.
        R::spawn(async move {
            let (to, mut there) = R::channel::<u64>(Some(1));
            let (back, mut here) = R::channel::<u64>(Some(1));
            let other = R::spawn(async move {
                while let Some(value) = R::recv(&mut there).await {
                    R::send(&back, value).await;
                }
            });
            let mut start = Instant::now();
            for n in 0..count / 10 + count {
                if n == count / 10 {
                    start = Instant::now();
                }
                R::send(&to, n).await;
                assert_eq!(R::recv(&mut here).await, Some(n));
            }
            let time = start.elapsed();
            drop(to);
            other.await;
            per(time, count)
        })
        .await
    })
}

pub(crate) fn ping_pong_across<R: Tasks>(cores: &[usize], count: u64) -> Figures {
    let (to, mut there) = R::channel::<u64>(Some(1));
    let (back, mut here) = R::channel::<u64>(Some(1));
    let (first, second) = (cores[0], cores[1]);
    let other = std::thread::spawn(move || {
        let _ = crate::machine::pin(&[second]);
        R::run(1, async move {
            while let Some(value) = R::recv(&mut there).await {
                R::send(&back, value).await;
            }
        });
    });
    let _ = crate::machine::pin(&[first]);
    let time = R::run(1, async move {
        let start = Instant::now();
        for n in 0..count {
            R::send(&to, n).await;
            assert_eq!(R::recv(&mut here).await, Some(n));
        }
        start.elapsed()
    });
    other.join().expect("the other end");
    per(time, count)
}

pub(crate) fn many_to_many<R: Tasks>(
    workers: usize,
    producers: u64,
    consumers: u64,
    capacity: Option<usize>,
    each: u64,
) -> Option<Figures> {
    R::run(workers, async move {
        let (sender, receiver) = R::channel::<u64>(capacity);
        let mut receivers = Vec::new();
        for _ in 1..consumers {
            receivers.push(R::another(&receiver)?);
        }
        receivers.push(receiver);
        let start = Instant::now();
        let senders: Vec<_> = (0..producers)
            .map(|_| {
                let sender = sender.clone();
                R::spawn(async move {
                    for n in 0..each {
                        R::send(&sender, n).await;
                    }
                })
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = receivers
            .into_iter()
            .map(|mut receiver| {
                R::spawn(async move {
                    let mut count = 0;
                    while R::recv(&mut receiver).await.is_some() {
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for sender in senders {
            sender.await;
        }
        let mut got: u64 = 0;
        for receiver in receivers {
            got += receiver.await;
        }
        let time = start.elapsed();
        assert_eq!(got, producers * each);
        Some(per(time, got))
    })
}

pub(crate) fn mutex<R: Tasks>(workers: usize, threads: u64, each: u64) -> Figures {
    R::run(workers, async move {
        let mutex = Arc::new(R::mutex());
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                R::spawn(async move {
                    for _ in 0..each {
                        R::add(&mutex).await;
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.await;
        }
        per(start.elapsed(), threads * each)
    })
}

pub(crate) fn rwlock<R: Tasks>(workers: usize, threads: u64, each: u64) -> Figures {
    R::run(workers, async move {
        let lock = Arc::new(R::rwlock());
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let lock = Arc::clone(&lock);
                R::spawn(async move {
                    for n in 0..each {
                        if n % 10 == 0 {
                            R::write(&lock).await;
                        } else {
                            std::hint::black_box(R::read(&lock).await);
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.await;
        }
        per(start.elapsed(), threads * each)
    })
}

pub(crate) fn parked<R: Tasks>(workers: usize, threads: usize) -> Figures {
    R::run(workers, async move {
        let memory = Memory::now();
        let gate = R::gate();
        let waiting = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (gate, waiting) = (gate.clone(), Arc::clone(&waiting));
                R::spawn(async move {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    R::wait(&gate).await;
                })
            })
            .collect();
        while waiting.load(Ordering::Relaxed) < threads {
            R::sleep(Duration::from_millis(1)).await;
        }
        let spawned = start.elapsed();
        let held = Memory::now();
        let start = Instant::now();
        R::open(&gate);
        for handle in handles {
            handle.await;
        }
        memory.figures(&held, threads, spawned, start.elapsed())
    })
}

pub(crate) fn timers<R: Tasks>(workers: usize, threads: u64) -> Figures {
    R::run(workers, async move {
        let lateness = Lateness::start();
        let handles: Vec<_> = (0..threads)
            .map(|n| {
                let time = Duration::from_micros(200_000 + n.wrapping_mul(7_919_773) % 1_000_000);
                R::spawn(async move {
                    let due = Instant::now() + time;
                    R::sleep(time).await;
                    due.elapsed()
                })
            })
            .collect();
        let mut late = Vec::new();
        for handle in handles {
            late.push(handle.await);
        }
        lateness.figures(late)
    })
}

pub(crate) fn skynet<R: Tasks>(workers: usize, leaves: u64) -> Figures {
    fn node<R: Tasks>(
        first: u64,
        leaves: u64,
    ) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            if leaves == 1 {
                return first;
            }
            let each = leaves / 10;
            let children: Vec<_> = (0..10)
                .map(|n| R::spawn(node::<R>(first + n * each, each)))
                .collect();
            let mut sum = 0;
            for child in children {
                sum += child.await;
            }
            sum
        })
    }
    R::run(workers, async move {
        let start = Instant::now();
        let sum = R::spawn(node::<R>(0, leaves)).await;
        assert_eq!(sum, leaves * (leaves - 1) / 2);
        per(start.elapsed(), leaves * 10 / 9)
    })
}

pub(crate) fn chain<R: Tasks>(workers: usize, links: u64, rounds: u64) -> Figures {
    R::run(workers, async move {
        let (first, mut last) = R::channel::<u64>(Some(1));
        let handles: Vec<_> = (0..links)
            .map(|_| {
                let (sender, receiver) = R::channel::<u64>(Some(1));
                let mut before = std::mem::replace(&mut last, receiver);
                R::spawn(async move {
                    while let Some(value) = R::recv(&mut before).await {
                        R::send(&sender, value + 1).await;
                    }
                })
            })
            .collect();
        let mut start = Instant::now();
        for round in 0..=rounds {
            if round == 1 {
                start = Instant::now();
            }
            R::send(&first, 0).await;
            assert_eq!(R::recv(&mut last).await, Some(links));
        }
        let time = start.elapsed();
        drop(first);
        for handle in handles {
            handle.await;
        }
        per(time, links * rounds)
    })
}

pub(crate) fn pool<R: Tasks>(workers: usize) -> Option<Figures> {
    compute(Duration::ZERO);
    R::run(workers, async move {
        let (sender, jobs) = R::channel::<u64>(None);
        let (done, mut results) = R::channel::<()>(None);
        let mut receivers = vec![jobs];
        while receivers.len() < 8 {
            receivers.push(R::another(&receivers[0])?);
        }
        let tasks: Vec<_> = receivers
            .into_iter()
            .map(|mut jobs| {
                let done = done.clone();
                R::spawn(async move {
                    while R::recv(&mut jobs).await.is_some() {
                        compute(JOB);
                        R::send(&done, ()).await;
                    }
                })
            })
            .collect();
        R::sleep(NAP).await;
        let start = Instant::now();
        for job in 0..JOBS {
            R::send(&sender, job).await;
        }
        for _ in 0..JOBS {
            assert!(R::recv(&mut results).await.is_some());
        }
        let time = start.elapsed();
        drop(sender);
        for task in tasks {
            task.await;
        }
        Some(millis(time))
    })
}

pub(crate) fn meeting<R: Tasks>(workers: usize) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, async move {
        let (gates, waits): (Vec<_>, Vec<_>) =
            (0..MEETING).map(|_| R::channel::<()>(Some(1))).unzip();
        let tasks: Vec<_> = waits
            .into_iter()
            .map(|mut gate| {
                R::spawn(async move {
                    assert!(R::recv(&mut gate).await.is_some());
                    compute(MEETING_JOB);
                })
            })
            .collect();
        R::sleep(NAP).await;
        let start = Instant::now();
        for gate in &gates {
            R::send(gate, ()).await;
        }
        for task in tasks {
            task.await;
        }
        millis(start.elapsed())
    })
}

pub(crate) fn fork_join<R: Tasks>(workers: usize, each: u64, count: u64) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, async move {
        let start = Instant::now();
        for _ in 0..count {
            let tasks: Vec<_> = (0..8)
                .map(|_| R::spawn(async move { compute(Duration::from_nanos(each)) }))
                .collect();
            for task in tasks {
                task.await;
            }
        }
        per(start.elapsed(), count)
    })
}

pub(crate) fn beside_hog<R: Tasks>(workers: usize) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, async move {
        let hog = R::spawn(async { compute(Duration::from_millis(200)) });
        let start = Instant::now();
        R::sleep(NAP).await;
        let late = start.elapsed().saturating_sub(NAP);
        hog.await;
        millis(late)
    })
}
