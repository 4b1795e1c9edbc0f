//! The worker on which new threads start. The tests count where threads run, not how long they
//! take; on a busy machine a worker may be kept from its core for long, so some repetitions may
//! differ.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the OS threads below, and read the time to give up"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustlet::runtime::{Builder, Runtime};
use rustlet::sync::Barrier;
use rustlet::{park, run, sleep, spawn, spawn_on, thread};
use support::{child, is_emulated, stress};

mod support;

const WORKERS: usize = 2;
const POOL: usize = 8;

fn runtime() -> Runtime {
    Builder::new().workers(WORKERS).name("w").build().unwrap()
}

/// Returns the number of the worker that the caller is on.
fn here() -> usize {
    let name = std::thread::current().name().map(String::from).unwrap();
    name.strip_prefix("w-").unwrap().parse().unwrap()
}

/// Threads that wait, but end at once, do not justify another worker: those of a pool live longer.
fn live() {
    sleep(Duration::from_micros(200));
}

/// One test at a time: each needs both workers to get a core.
fn alone() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    struct Turn(#[allow(dead_code, reason = "held until the drop")] MutexGuard<'static, ()>);
    impl Drop for Turn {
        fn drop(&mut self) {}
    }
    Turn(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Counts how many of these are on each worker.
fn spread(workers: impl IntoIterator<Item = usize>) -> [usize; WORKERS] {
    let mut counts = [0; WORKERS];
    for worker in workers {
        counts[worker] += 1;
    }
    counts
}

/// Asserts that nearly all repetitions have found threads on both workers, and most of them about
/// equally many on each.
fn assert_spread(found: &[[usize; WORKERS]]) {
    let on_one = found.iter().filter(|counts| counts.contains(&0));
    assert!(on_one.count() <= exceptions(found.len()), "{found:?}");
    let uneven = (found.iter()).filter(|counts| counts[0].abs_diff(counts[1]) > 2);
    assert!(uneven.count() <= 2 * exceptions(found.len()), "{found:?}");
}

/// Returns how many of `count` repetitions may differ. An emulator takes milliseconds where a
/// processor takes microseconds, and placement goes by the length of steps; there one repetition in
/// which it works is enough.
fn exceptions(count: usize) -> usize {
    if is_emulated() { count - 1 } else { count / 4 }
}

#[test]
fn a_pool_that_waits_at_a_barrier_is_spread_in_new_runtimes() {
    let _alone = alone();
    let found: Vec<_> = (0..stress(30))
        .map(|_| {
            runtime().run(|| {
                let barrier = Arc::new(Barrier::new(POOL + 1));
                let pool: Vec<_> = (0..POOL)
                    .map(|_| {
                        let barrier = barrier.clone();
                        spawn(move || {
                            barrier.wait();
                            live();
                            here()
                        })
                    })
                    .collect();
                barrier.wait();
                spread(pool.into_iter().map(|thread| thread.join().unwrap()))
            })
        })
        .collect();
    assert_spread(&found);
}

#[test]
fn a_pool_that_receives_is_spread_whatever_its_spawner_does_first() {
    let _alone = alone();
    let runtime = runtime();
    let found: Vec<_> = (0..stress(60))
        .map(|number| {
            runtime.run(move || {
                let (sender, receiver) = rustlet::channel::unbounded::<()>();
                let pool: Vec<_> = (0..POOL)
                    .map(|_| {
                        let receiver = receiver.clone();
                        let thread = spawn(move || {
                            assert!(receiver.recv().is_err());
                            here()
                        });
                        if number % 3 == 1 {
                            sleep(Duration::from_micros(100));
                        }
                        thread
                    })
                    .collect();
                if number % 3 == 2 {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(1) {
                        std::hint::spin_loop();
                    }
                }
                sleep(Duration::from_micros(100));
                drop(sender);
                spread(pool.into_iter().map(|thread| thread.join().unwrap()))
            })
        })
        .collect();
    assert_spread(&found);
}

#[test]
fn a_scope_and_a_builder_and_a_spawn_from_outside_spread_their_threads() {
    let _alone = alone();
    let runtime = runtime();
    let mut found = Vec::new();
    for _ in 0..stress(20) {
        found.push(runtime.run(|| {
            let barrier = Barrier::new(POOL);
            rustlet::scope(|s| {
                let pool: Vec<_> = (0..POOL)
                    .map(|_| {
                        s.spawn(|| {
                            barrier.wait();
                            live();
                            here()
                        })
                    })
                    .collect();
                spread(pool.into_iter().map(|thread| thread.join().unwrap()))
            })
        }));
        found.push(runtime.run(|| {
            let pool: Vec<_> = (0..POOL)
                .map(|_| {
                    let builder = thread::Builder::new().name("one of a pool".into());
                    let body = || {
                        park();
                        live();
                        here()
                    };
                    builder.spawn(body).unwrap()
                })
                .collect();
            pool.iter().for_each(|thread| thread.thread().unpark());
            spread(pool.into_iter().map(|thread| thread.join().unwrap()))
        }));
        let barrier = Arc::new(Barrier::new(POOL));
        let pool: Vec<_> = (0..POOL)
            .map(|_| {
                let barrier = barrier.clone();
                runtime.spawn(move || {
                    barrier.wait();
                    live();
                    here()
                })
            })
            .collect();
        found.push(spread(
            pool.into_iter().map(|thread| thread.join().unwrap()),
        ));
    }
    assert_spread(&found);
}

/// Each of them computes until its spawner, which sleeps, has continued; so it must not be on the
/// spawner's worker.
#[test]
fn a_spawner_that_sleeps_is_not_held_up_by_a_computation() {
    let _alone = alone();
    let runtime = runtime();
    let count = stress(60);
    let held_up = runtime.run(move || {
        let mut held_up = 0;
        for number in 0..count {
            if number % 2 == 1 {
                // Short, and from another site: it does not take the other worker's place.
                drop(spawn(|| ()));
            }
            let goes_on = Arc::new(AtomicBool::new(false));
            let theirs = goes_on.clone();
            let computes = spawn(move || {
                let start = Instant::now();
                while !theirs.load(Ordering::SeqCst) {
                    if start.elapsed() > Duration::from_millis(500) {
                        return false;
                    }
                    std::hint::spin_loop();
                }
                true
            });
            sleep(Duration::from_micros(500));
            goes_on.store(true, Ordering::SeqCst);
            held_up += usize::from(!computes.join().unwrap());
        }
        held_up
    });
    assert!(held_up <= exceptions(count), "{held_up} of {count}");
}

/// Their spawner waits for all of them, and other threads of it sleep: the worker first leaves them
/// to the other one, and then starts some of them itself.
#[test]
fn computations_are_on_both_workers_whatever_their_spawner_waits_for() {
    let _alone = alone();
    let computes = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
        here()
    };
    let on_both = |number: u64| {
        runtime().run(move || {
            let sleeper = spawn(move || sleep(Duration::from_millis(number % 3)));
            let barrier = Barrier::new(2);
            let found = rustlet::scope(|s| {
                let all: Vec<_> = (0..POOL).map(|_| s.spawn(computes)).collect();
                s.spawn(|| barrier.wait());
                barrier.wait();
                all.into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect::<Vec<_>>()
            });
            sleeper.join().unwrap();
            spread(found).iter().all(|&count| count > 0)
        })
    };
    let count = stress(30);
    let not_found = (0..count as u64).filter(|&number| !on_both(number)).count();
    assert!(not_found <= exceptions(count), "{not_found} of {count}");
}

/// A thread of an unknown site never waits; sleeping threads are not started on its worker.
#[test]
fn threads_that_sleep_wake_beside_one_that_never_waits() {
    if is_emulated() {
        println!("emulated steps take so long that placement takes them for computations");
        return;
    }
    let _alone = alone();
    let count = stress(30);
    let held_up = (0..count).filter(|number| {
        let is_first = number % 2 == 0;
        runtime().run(move || {
            let over = Arc::new(AtomicBool::new(false));
            let theirs = over.clone();
            let hog = move || {
                let start = Instant::now();
                while !theirs.load(Ordering::SeqCst) {
                    if start.elapsed() > Duration::from_secs(1) {
                        return true;
                    }
                }
                false
            };
            let sleeps = || {
                let sleep = || sleep(Duration::from_millis(1));
                (0..4).map(|_| spawn(sleep)).collect::<Vec<_>>()
            };
            let (hog, sleepers) = if is_first {
                let hog = spawn(hog);
                (hog, sleeps())
            } else {
                let sleepers = sleeps();
                (spawn(hog), sleepers)
            };
            sleepers
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            over.store(true, Ordering::SeqCst);
            hog.join().unwrap()
        })
    });
    let held_up = held_up.count();
    assert!(held_up <= exceptions(count), "{held_up} of {count}");
}

/// In a new runtime, so that the site is unknown.
#[test]
fn a_thread_that_answers_its_spawner_is_on_its_worker() {
    let _alone = alone();
    let count = stress(30);
    let together = (0..count).filter(|_| {
        runtime().run(|| {
            let (ask, asked) = rustlet::channel::bounded::<()>(1);
            let (answer, answered) = rustlet::channel::bounded(1);
            let other = spawn(move || {
                for () in asked {
                    answer.send(here()).unwrap();
                }
            });
            ask.send(()).unwrap();
            let there = answered.recv().unwrap();
            drop(ask);
            other.join().unwrap();
            there == here()
        })
    });
    let together = together.count();
    // A debug build on a busy machine may not get there before the other worker takes the thread.
    assert!(together * 4 >= count, "{together} of {count}");
}

/// No thread sleeps: one worker stays in one step, the other one always has something to run.
#[test]
fn threads_behind_a_hog_are_started_by_a_worker_that_is_never_idle() {
    let _alone = alone();
    let runtime = runtime();
    let ended = runtime.run(|| {
        let release = Arc::new(AtomicBool::new(false));
        let theirs = release.clone();
        let hog = spawn(move || {
            let start = Instant::now();
            while !theirs.load(Ordering::SeqCst) && start.elapsed() < Duration::from_secs(20) {
                std::hint::spin_loop();
            }
            here()
        });
        sleep(Duration::from_millis(1));
        let pool: Vec<_> = (0..POOL).map(|_| spawn(rustlet::yield_now)).collect();
        let start = Instant::now();
        while !pool.iter().all(|thread| thread.is_finished()) {
            if start.elapsed() > Duration::from_secs(15) {
                break;
            }
            rustlet::yield_now();
        }
        let ended = pool.iter().all(|thread| thread.is_finished());
        release.store(true, Ordering::SeqCst);
        hog.join().unwrap();
        ended
    });
    assert!(ended);
}

#[test]
fn a_main_that_sleeps_goes_on_beside_a_thread_that_never_waits_which_the_end_names() {
    let _alone = alone();
    let output = child(
        "a_main_that_sleeps_goes_on_beside_a_thread_that_never_waits_which_the_end_names",
        || {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(30));
                eprintln!("main was held up");
                std::process::abort();
            });
            let builder = Builder::new().workers(WORKERS);
            let runtime = builder.shutdown_timeout(Duration::from_millis(100));
            runtime.build().unwrap().run(|| {
                let name = thread::Builder::new().name("hog".into());
                let _hog = name.spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
                sleep(Duration::from_millis(10));
                println!("main goes on");
            });
            println!("run has ended");
        },
    );
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        out.contains("main goes on") && out.contains("run has ended"),
        "{out}{err}"
    );
    assert!(err.contains("hog"), "{err}");
}

// --- a chosen worker ---

#[test]
fn a_thread_is_where_it_was_asked_for_from_wherever_it_is_spawned() {
    let _alone = alone();
    let runtime = runtime();
    for _ in 0..stress(100) {
        runtime.run(|| {
            let threads: Vec<_> = (0..20)
                .map(|number| (number % WORKERS, spawn_on(number % WORKERS, here)))
                .collect();
            for (index, thread) in threads {
                assert_eq!(thread.join().unwrap(), index);
            }
            rustlet::scope(|s| {
                for index in 0..WORKERS {
                    let builder = thread::Builder::new().worker(index);
                    let thread = builder.spawn_scoped(s, here).unwrap();
                    assert_eq!(thread.join().unwrap(), index);
                }
            });
        });
    }
}

/// Its worker computes, and another one is idle and would take threads that wait for long; but not
/// this one.
#[test]
fn a_thread_waits_for_the_worker_that_it_was_asked_for() {
    let _alone = alone();
    let runtime = runtime();
    runtime.run(|| {
        let me = here();
        // A flag of std's: a query of the handle would let the thread run.
        static RAN: AtomicBool = AtomicBool::new(false);
        let fixed = spawn_on(me, || {
            RAN.store(true, Ordering::SeqCst);
            here()
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            assert!(!RAN.load(Ordering::SeqCst));
            std::hint::spin_loop();
        }
        assert_eq!(fixed.join().unwrap(), me);
    });
}

#[test]
fn a_worker_that_does_not_exist_is_an_error_and_for_spawn_on_a_panic() {
    let _alone = alone();
    runtime().run(|| {
        let error = thread::Builder::new()
            .worker(WORKERS)
            .spawn(|| ())
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no worker 2"), "{error}");
        let other = WORKERS - 1 - here();
        let local = thread::Builder::new().worker(other).spawn_local(|| ());
        assert_eq!(local.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        let local = thread::Builder::new().worker(here()).spawn_local(here);
        assert_eq!(local.unwrap().join().unwrap(), here());
        let refused = spawn(|| spawn_on(WORKERS, || ())).join();
        assert!(refused.is_err());
    });
}

#[test]
fn a_thread_queued_for_a_worker_when_its_runtime_ends_is_cancelled() {
    let _alone = alone();
    let runtime = runtime();
    let threads: Vec<_> = runtime.run(|| {
        let me = here();
        (0..10).map(|_| spawn_on(me, park)).collect()
    });
    drop(runtime);
    for thread in threads {
        assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
    }
    run(|| spawn_on(0, || ()).join().unwrap());
}

/// The worker's own queue is never empty: threads from elsewhere have their turn all the same.
#[test]
fn a_thread_from_outside_starts_beside_threads_that_always_spawn() {
    fn spawns(stop: Arc<AtomicBool>) {
        if !stop.load(Ordering::SeqCst) {
            spawn(move || spawns(stop));
        }
    }
    let runtime = Builder::new().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let stop = stop.clone();
        runtime.spawn(move || spawns(stop));
    }
    for number in 0..100 {
        assert_eq!(runtime.spawn(move || number).join().unwrap(), number);
    }
    stop.store(true, Ordering::SeqCst);
}
