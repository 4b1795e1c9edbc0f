//! The operations, for runtimes whose waits look like blocking calls: rustlet, may, and OS threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::figures::{Figures, Lateness, Memory, per};

pub(crate) mod may;
pub(crate) mod rustlet;
pub(crate) mod threads;

/// A runtime.
pub(crate) trait Threads: 'static {
    /// Threads of the system: a hundred times more expensive.
    const HEAVY: bool = false;
    type Handle<T: Send + 'static>: Send;
    type Sender<T: Send + 'static>: Clone + Send + 'static;
    type Receiver<T: Send + 'static>: Clone + Send + 'static;
    type Mutex: Send + Sync + 'static;
    type RwLock: Send + Sync + 'static;

    fn run<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T;
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T;
    fn yield_now();
    fn park();
    fn park_timeout(limit: Duration);
    fn unpark<T: Send + 'static>(handle: &Self::Handle<T>);
    fn sleep(time: Duration);
    /// Creates a channel of this capacity, unbounded if `None`.
    fn channel<T: Send + 'static>(capacity: Option<usize>) -> (Self::Sender<T>, Self::Receiver<T>);
    fn send<T: Send + 'static>(sender: &Self::Sender<T>, value: T);
    fn recv<T: Send + 'static>(receiver: &Self::Receiver<T>) -> Option<T>;
    fn mutex() -> Self::Mutex;
    fn add(mutex: &Self::Mutex);
    fn rwlock() -> Self::RwLock;
    fn read(lock: &Self::RwLock) -> u64;
    fn write(lock: &Self::RwLock);
}

/// Starts its clock when all threads have begun, and stops it when the last has finished.
pub(crate) struct Race {
    threads: usize,
    began: AtomicUsize,
    finished: AtomicUsize,
    start: OnceLock<Instant>,
    end: OnceLock<Instant>,
}

impl Race {
    pub(crate) fn new(threads: usize) -> Arc<Race> {
        Arc::new(Race {
            threads,
            began: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            start: OnceLock::new(),
            end: OnceLock::new(),
        })
    }

    /// Returns true when all threads have arrived.
    pub(crate) fn begin(&self) -> bool {
        let last = self.began.fetch_add(1, Ordering::Relaxed) + 1 == self.threads;
        if last {
            self.start.get_or_init(Instant::now);
        }
        last
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.start.get().is_some()
    }

    pub(crate) fn finish(&self) {
        if self.finished.fetch_add(1, Ordering::Relaxed) + 1 == self.threads {
            self.end.get_or_init(Instant::now);
        }
    }

    pub(crate) fn time(&self) -> Duration {
        match (self.start.get(), self.end.get()) {
            (Some(start), Some(end)) => *end - *start,
            _ => Duration::ZERO,
        }
    }
}

/// Stack size of may and of OS threads: as large as that of rustlet.
pub(crate) const STACK: usize = 256 * 1024;
/// A limit that no wait here reaches.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// Time limit of a loop, which is then cut short: some peers are a hundred times slower than
/// others.
pub(crate) const ENOUGH: Duration = Duration::from_secs(2);

/// Yields below this many frames, and returns through all of them.
#[inline(never)]
fn yield_deep<R: Threads>(frames: u32) {
    if frames == 0 {
        R::yield_now();
    } else {
        yield_deep::<R>(frames - 1);
    }
    // Not a tail call, not a loop.
    std::hint::black_box(frames);
}

pub(crate) fn yields<R: Threads>(
    workers: usize,
    threads: usize,
    total: u64,
    deep: bool,
) -> Figures {
    let each = (total / threads as u64).max(10);
    R::run(workers, move || {
        let race = Race::new(threads);
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let race = Arc::clone(&race);
                R::spawn(move || {
                    race.begin();
                    while !race.has_begun() {
                        R::yield_now();
                    }
                    if deep {
                        (0..each).for_each(|_| yield_deep::<R>(3));
                    } else {
                        (0..each).for_each(|_| R::yield_now());
                    }
                    race.finish();
                })
            })
            .collect();
        handles.into_iter().for_each(R::join);
        per(race.time(), each * threads as u64)
    })
}

pub(crate) fn spawn_one<R: Threads>(workers: usize, count: u64) -> Figures {
    R::run(workers, move || {
        let start = Instant::now();
        let mut done = 0;
        while done < count && start.elapsed() < ENOUGH {
            for _ in 0..100 {
                R::join(R::spawn(|| ()));
            }
            done += 100;
        }
        per(start.elapsed(), done)
    })
}

pub(crate) fn spawn_all<R: Threads>(workers: usize, threads: usize, rounds: u64) -> Figures {
    R::run(workers, move || {
        let start = Instant::now();
        let mut done = 0;
        while done < rounds && start.elapsed() < ENOUGH {
            let handles: Vec<_> = (0..threads).map(|_| R::spawn(|| ())).collect();
            handles.into_iter().for_each(R::join);
            done += 1;
        }
        per(start.elapsed(), done * threads as u64)
    })
}

/// Measures this many waiting threads; one thread wakes them in turn and waits until all have been
/// awake, again and again. With `limited`, each wait has a time limit, which is set and cancelled
/// each time.
pub(crate) fn wake<R: Threads>(
    workers: usize,
    threads: usize,
    rounds: u64,
    limited: bool,
) -> Figures {
    R::run(workers, move || {
        let (round, awake) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (last, all) = R::channel(None);
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (round, awake, last) = (Arc::clone(&round), Arc::clone(&awake), last.clone());
                R::spawn(move || {
                    for n in 1..=rounds + 1 {
                        while round.load(Ordering::Acquire) < n {
                            if limited {
                                R::park_timeout(MINUTE);
                            } else {
                                R::park();
                            }
                        }
                        // Polling with `yield_now` would starve new coroutines of may.
                        if awake.fetch_add(1, Ordering::AcqRel) + 1 == n * threads as u64 {
                            R::send(&last, ());
                        }
                    }
                })
            })
            .collect();
        // The first round waits until all have started.
        let mut start = Instant::now();
        for n in 1..=rounds + 1 {
            round.store(n, Ordering::Release);
            handles.iter().for_each(R::unpark);
            assert_eq!(R::recv(&all), Some(()));
            if n == 1 {
                start = Instant::now();
            }
        }
        let time = start.elapsed();
        handles.into_iter().for_each(R::join);
        per(time, rounds * threads as u64)
    })
}

pub(crate) fn ping_pong<R: Threads>(workers: usize, count: u64) -> Figures {
    R::run(workers, move || {
        let (to, there) = R::channel::<u64>(Some(1));
        let (back, here) = R::channel::<u64>(Some(1));
        let other = R::spawn(move || {
            while let Some(value) = R::recv(&there) {
                R::send(&back, value);
            }
        });
        let round = |count: u64| {
            for n in 0..count {
                R::send(&to, n);
                assert_eq!(R::recv(&here), Some(n));
            }
        };
        round(count / 10);
        let start = Instant::now();
        round(count);
        let time = start.elapsed();
        drop(to);
        R::join(other);
        per(time, count)
    })
}

/// Measures with the two ends on two cores: a runtime of one worker each.
pub(crate) fn ping_pong_across<R: Threads>(cores: &[usize], count: u64) -> Figures {
    let (to, there) = R::channel::<u64>(Some(1));
    let (back, here) = R::channel::<u64>(Some(1));
    let (first, second) = (cores[0], cores[1]);
    let other = std::thread::spawn(move || {
        let _ = crate::machine::pin(&[second]);
        R::run(1, move || {
            while let Some(value) = R::recv(&there) {
                R::send(&back, value);
            }
        });
    });
    let _ = crate::machine::pin(&[first]);
    let time = R::run(1, move || {
        let start = Instant::now();
        for n in 0..count {
            R::send(&to, n);
            assert_eq!(R::recv(&here), Some(n));
        }
        start.elapsed()
    });
    other.join().expect("the other end");
    per(time, count)
}

pub(crate) fn many_to_many<R: Threads>(
    workers: usize,
    producers: u64,
    consumers: u64,
    capacity: Option<usize>,
    each: u64,
) -> Figures {
    R::run(workers, move || {
        let (sender, receiver) = R::channel::<u64>(capacity);
        let start = Instant::now();
        let senders: Vec<_> = (0..producers)
            .map(|_| {
                let sender = sender.clone();
                R::spawn(move || (0..each).for_each(|n| R::send(&sender, n)))
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = (0..consumers)
            .map(|_| {
                let receiver = receiver.clone();
                R::spawn(move || {
                    let mut count = 0;
                    while R::recv(&receiver).is_some() {
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        senders.into_iter().for_each(R::join);
        let got: u64 = receivers.into_iter().map(R::join).sum();
        let time = start.elapsed();
        assert_eq!(got, producers * each);
        per(time, got)
    })
}

pub(crate) fn mutex<R: Threads>(workers: usize, threads: u64, each: u64) -> Figures {
    R::run(workers, move || {
        let mutex = Arc::new(R::mutex());
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                R::spawn(move || (0..each).for_each(|_| R::add(&mutex)))
            })
            .collect();
        handles.into_iter().for_each(R::join);
        per(start.elapsed(), threads * each)
    })
}

pub(crate) fn rwlock<R: Threads>(workers: usize, threads: u64, each: u64) -> Figures {
    R::run(workers, move || {
        let lock = Arc::new(R::rwlock());
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let lock = Arc::clone(&lock);
                R::spawn(move || {
                    for n in 0..each {
                        if n % 10 == 0 {
                            R::write(&lock);
                        } else {
                            std::hint::black_box(R::read(&lock));
                        }
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(R::join);
        per(start.elapsed(), threads * each)
    })
}

pub(crate) fn parked<R: Threads>(workers: usize, threads: usize) -> Figures {
    R::run(workers, move || {
        let memory = Memory::now();
        let (sender, receiver) = R::channel::<()>(None);
        let waiting = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (receiver, waiting) = (receiver.clone(), Arc::clone(&waiting));
                R::spawn(move || {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    R::recv(&receiver);
                })
            })
            .collect();
        while waiting.load(Ordering::Relaxed) < threads {
            R::sleep(Duration::from_millis(1));
        }
        let spawned = start.elapsed();
        let held = Memory::now();
        let start = Instant::now();
        drop(sender);
        handles.into_iter().for_each(R::join);
        memory.figures(&held, threads, spawned, start.elapsed())
    })
}

pub(crate) fn timers<R: Threads>(workers: usize, threads: u64) -> Figures {
    R::run(workers, move || timers_here::<R>(threads))
}

fn timers_here<R: Threads>(threads: u64) -> Figures {
    let lateness = Lateness::start();
    let handles: Vec<_> = (0..threads)
        .map(|n| {
            // Spread over a second, unordered.
            let time = Duration::from_micros(200_000 + n.wrapping_mul(7_919_773) % 1_000_000);
            R::spawn(move || {
                let due = Instant::now() + time;
                R::sleep(time);
                due.elapsed()
            })
        })
        .collect();
    lateness.figures(handles.into_iter().map(R::join).collect())
}

pub(crate) fn skynet<R: Threads>(workers: usize, leaves: u64) -> Figures {
    fn node<R: Threads>(first: u64, leaves: u64) -> u64 {
        if leaves == 1 {
            return first;
        }
        let each = leaves / 10;
        let children: Vec<_> = (0..10)
            .map(|n| R::spawn(move || node::<R>(first + n * each, each)))
            .collect();
        children.into_iter().map(R::join).sum()
    }
    R::run(workers, move || {
        let start = Instant::now();
        let sum = node::<R>(0, leaves);
        assert_eq!(sum, leaves * (leaves - 1) / 2);
        // All nodes of the tree, without the root.
        per(start.elapsed(), leaves * 10 / 9)
    })
}

pub(crate) fn chain<R: Threads>(workers: usize, links: u64, rounds: u64) -> Figures {
    R::run(workers, move || {
        let (first, mut last) = R::channel::<u64>(Some(1));
        let handles: Vec<_> = (0..links)
            .map(|_| {
                let (sender, receiver) = R::channel::<u64>(Some(1));
                let before = std::mem::replace(&mut last, receiver);
                R::spawn(move || {
                    while let Some(value) = R::recv(&before) {
                        R::send(&sender, value + 1);
                    }
                })
            })
            .collect();
        let pass = || {
            R::send(&first, 0);
            assert_eq!(R::recv(&last), Some(links));
        };
        pass();
        let start = Instant::now();
        (0..rounds).for_each(|_| pass());
        let time = start.elapsed();
        drop(first);
        handles.into_iter().for_each(R::join);
        per(time, links * rounds)
    })
}

/// Computes for this time on a quiet machine: by a count of iterations, because a clock would also
/// count the time that others compute meanwhile.
pub(crate) fn compute(time: Duration) {
    static TURNS_PER_MS: OnceLock<u64> = OnceLock::new();
    fn turns(count: u64) {
        for turn in 0..count {
            std::hint::black_box(turn);
        }
    }
    let per_ms = *TURNS_PER_MS.get_or_init(|| {
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                turns(1_000_000);
                start.elapsed()
            })
            .min();
        let best = best.unwrap_or_default().as_nanos().max(1);
        (1_000_000_000_000 / best) as u64
    });
    turns(per_ms * time.as_nanos() as u64 / 1_000_000);
}

/// Duration of the jobs of a pool, and of those behind a barrier.
pub(crate) const JOB: Duration = Duration::from_millis(5);
pub(crate) const JOBS: u64 = 80;
pub(crate) const MEETING: usize = 10;
pub(crate) const MEETING_JOB: Duration = Duration::from_millis(20);
pub(crate) const NAP: Duration = Duration::from_millis(10);

pub(crate) fn millis(time: Duration) -> Figures {
    vec![("ms", time.as_secs_f64() * 1e3)]
}

/// Measures 8 threads that receive jobs from one channel.
pub(crate) fn pool<R: Threads>(workers: usize) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, move || {
        let (sender, jobs) = R::channel::<u64>(None);
        let (done, results) = R::channel::<()>(None);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (jobs, done) = (jobs.clone(), done.clone());
                R::spawn(move || {
                    while R::recv(&jobs).is_some() {
                        compute(JOB);
                        R::send(&done, ());
                    }
                })
            })
            .collect();
        R::sleep(NAP);
        let start = Instant::now();
        (0..JOBS).for_each(|job| R::send(&sender, job));
        (0..JOBS).for_each(|_| assert!(R::recv(&results).is_some()));
        let time = start.elapsed();
        drop(sender);
        threads.into_iter().for_each(R::join);
        millis(time)
    })
}

/// Measures ten threads that wait until all have arrived, and then compute.
pub(crate) fn meeting<R: Threads>(workers: usize) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, move || {
        let gates: Vec<_> = (0..MEETING).map(|_| R::channel::<()>(Some(1))).collect();
        let threads: Vec<_> = gates
            .iter()
            .map(|(_, gate)| {
                let gate = gate.clone();
                R::spawn(move || {
                    assert!(R::recv(&gate).is_some());
                    compute(MEETING_JOB);
                })
            })
            .collect();
        R::sleep(NAP);
        let start = Instant::now();
        gates.iter().for_each(|(gate, _)| R::send(gate, ()));
        threads.into_iter().for_each(R::join);
        millis(start.elapsed())
    })
}

/// Spawns 8 threads that compute for this many nanoseconds, and joins them.
pub(crate) fn fork_join<R: Threads>(workers: usize, each: u64, count: u64) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, move || {
        let start = Instant::now();
        let mut done = 0;
        while done < count && start.elapsed() < ENOUGH {
            let threads: Vec<_> = (0..8)
                .map(|_| R::spawn(move || compute(Duration::from_nanos(each))))
                .collect();
            threads.into_iter().for_each(R::join);
            done += 1;
        }
        per(start.elapsed(), done)
    })
}

/// Measures a thread that spawns one that computes for 200 ms, and sleeps for 10: how late it
/// wakes.
pub(crate) fn beside_hog<R: Threads>(workers: usize) -> Figures {
    compute(Duration::ZERO);
    R::run(workers, move || {
        let hog = R::spawn(|| compute(Duration::from_millis(200)));
        let start = Instant::now();
        R::sleep(NAP);
        let late = start.elapsed().saturating_sub(NAP);
        R::join(hog);
        millis(late)
    })
}
