//! One lock between green threads of several workers, of several runtimes, and OS threads: no
//! waiter is left behind.

use crate::support::stress;
use crate::{let_others_block, on_workers};
use rustlet::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use rustlet::sync::{
    Arc, Callback, Condvar, Event, Mutex, Once, OnceLock, RwLock, RwLockWriteGuard, Semaphore,
    oneshot,
};
use rustlet::{spawn, yield_now};

/// Runs `body` on two runtimes of one and two workers, several green threads each, and on OS
/// threads, all at once.
fn everywhere(body: impl Fn(usize) + Send + Sync) {
    std::thread::scope(|s| {
        for (place, workers) in [1, 2].into_iter().enumerate() {
            let body = &body;
            s.spawn(move || {
                on_workers(workers, || {
                    rustlet::scope(|s| {
                        for n in 0..4 {
                            s.spawn(move || body(10 * place + n));
                        }
                    });
                });
            });
        }
        for n in 0..2 {
            let body = &body;
            s.spawn(move || body(20 + n));
        }
    });
}

const BODIES: usize = 10;

#[test]
fn a_mutex_counts() {
    let count = Mutex::new(0);
    let each = stress(500);
    everywhere(|n| {
        for turn in 0..each {
            let mut guard = count.lock().unwrap();
            let before = *guard;
            if (turn + n) % 32 == 0 {
                yield_now();
            }
            *guard = before + 1;
        }
    });
    assert_eq!(count.into_inner().unwrap(), BODIES * each);
}

#[test]
fn a_rwlock_counts() {
    let pair = RwLock::new((0, 0));
    let each = stress(300);
    everywhere(|n| {
        for turn in 0..each {
            if (turn + n) % 4 == 0 {
                let mut pair = pair.write().unwrap();
                pair.0 += 1;
                yield_now();
                pair.1 += 1;
            } else {
                let pair = pair.read().unwrap();
                assert_eq!(pair.0, pair.1);
            }
        }
    });
    assert_eq!(pair.into_inner().unwrap().0, BODIES * each / 4);
}

#[test]
fn a_condvar_passes_a_token_round() {
    let shared = (Mutex::new(0_usize), Condvar::new());
    let turns = stress(30) * BODIES;
    let came = AtomicUsize::new(0);
    everywhere(|_| {
        let mine = came.fetch_add(1, SeqCst);
        let mut turn = shared.0.lock().unwrap();
        while *turn < turns {
            if *turn % BODIES == mine {
                *turn += 1;
                shared.1.notify_all();
            } else {
                turn = shared.1.wait(turn).unwrap();
            }
        }
    });
    assert_eq!(shared.0.into_inner().unwrap(), turns);
}

#[test]
fn a_semaphore_is_kept() {
    let places = Semaphore::new(3);
    let inside = AtomicUsize::new(0);
    everywhere(|n| {
        for turn in 0..stress(200) {
            let wanted = 1 + ((n + turn) % 3) as u32;
            let permit = places.acquire_many(wanted).unwrap();
            let now = inside.fetch_add(wanted as usize, SeqCst) + wanted as usize;
            assert!(now <= 3);
            if turn % 16 == 0 {
                yield_now();
            }
            inside.fetch_sub(wanted as usize, SeqCst);
            drop(permit);
        }
    });
    assert_eq!(places.available_permits(), 3);
}

/// One thread takes the mutex again as soon as it has released it; another still gets its turn.
#[test]
fn no_waiter_is_overtaken_forever() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let mutex = Arc::new(Mutex::new(()));
            let done = Arc::new(AtomicBool::new(false));
            let greedy: Vec<_> = (0..3)
                .map(|_| {
                    let (mutex, done) = (Arc::clone(&mutex), Arc::clone(&done));
                    spawn(move || {
                        while !done.load(SeqCst) {
                            let _guard = mutex.lock().unwrap();
                            yield_now();
                        }
                    })
                })
                .collect();
            for _ in 0..stress(50) {
                drop(mutex.lock().unwrap());
                yield_now();
            }
            done.store(true, SeqCst);
            for thread in greedy {
                thread.join().unwrap();
            }
        });
    }
}

/// Read guards overlap all the time; the writer gets its turn. And the other way round.
#[test]
fn neither_readers_nor_writers_starve() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let lock = Arc::new(RwLock::new(0));
            for greedy_reads in [true, false] {
                let done = Arc::new(AtomicBool::new(false));
                let greedy: Vec<_> = (0..3)
                    .map(|_| {
                        let (lock, done) = (Arc::clone(&lock), Arc::clone(&done));
                        spawn(move || {
                            while !done.load(SeqCst) {
                                if greedy_reads {
                                    let _guard = lock.read().unwrap();
                                    yield_now();
                                } else {
                                    let _guard = lock.write().unwrap();
                                    yield_now();
                                }
                            }
                        })
                    })
                    .collect();
                yield_now();
                for _ in 0..stress(20) {
                    if greedy_reads {
                        *lock.write().unwrap() += 1;
                    } else {
                        assert!(*lock.read().unwrap() > 0);
                    }
                    yield_now();
                }
                done.store(true, SeqCst);
                for thread in greedy {
                    thread.join().unwrap();
                }
            }
        });
    }
}

/// While one thread waits for a lock, another thread of the worker runs.
#[test]
fn waiting_blocks_no_worker() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let other = Arc::clone(&mutex);
        let waits = spawn(move || drop(other.lock().unwrap()));
        let counts = spawn(|| {
            for _ in 0..100 {
                yield_now();
            }
        });
        counts.join().unwrap();
        assert!(!waits.is_finished());
        drop(guard);
        waits.join().unwrap();
    });
}

#[test]
fn many_wait_at_once() {
    on_workers(2, || {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let threads: Vec<_> = (0..stress(10_000))
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                spawn(move || *mutex.lock().unwrap() += 1)
            })
            .collect();
        let_others_block();
        drop(guard);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*mutex.lock().unwrap(), stress(10_000));
    });
}

#[test]
fn a_dump_says_who_waits() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let other = Arc::clone(&mutex);
        let waits = rustlet::thread::Builder::new()
            .name("waits for a lock".into())
            .spawn(move || drop(other.lock().unwrap()))
            .unwrap();
        let_others_block();
        let threads = rustlet::runtime::threads();
        let shown = threads
            .iter()
            .map(|thread| format!("{thread:?}"))
            .find(|shown| shown.contains("waits for a lock"))
            .unwrap();
        assert!(
            shown.contains("Mutex::lock") && shown.contains("sharing.rs"),
            "{shown}"
        );
        drop(guard);
        waits.join().unwrap();
    });
}

/// A thread that polls for an item that is not there yet does not keep its worker from the thread
/// that provides the item.
#[test]
fn unsuccessful_tries_in_a_loop_block_no_worker() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let lock = Arc::new(RwLock::new(()));
        let places = Arc::new(Semaphore::new(0));
        let (once, place) = (Arc::new(Once::new()), Arc::new(OnceLock::new()));
        let event = Arc::new(Event::new());
        let callback = Callback::new();
        let (sender, receiver) = oneshot::channel();
        let held = Arc::new(AtomicBool::new(false));
        let thread = spawn({
            let (mutex, lock, places) = (mutex.clone(), lock.clone(), places.clone());
            let (once, place, event) = (once.clone(), place.clone(), event.clone());
            let (callback, held) = (callback.clone(), held.clone());
            move || {
                let (one, two) = (mutex.lock().unwrap(), lock.write().unwrap());
                held.store(true, SeqCst);
                yield_now();
                drop(one);
                yield_now();
                let two = RwLockWriteGuard::downgrade(two);
                yield_now();
                drop(two);
                yield_now();
                places.add_permits(1);
                yield_now();
                once.call_once(yield_now);
                yield_now();
                place.set(()).unwrap();
                yield_now();
                event.set();
                yield_now();
                callback.call(());
                yield_now();
                sender.send(()).unwrap();
            }
        });
        while !held.load(SeqCst) {
            yield_now();
        }
        while mutex.try_lock().is_err() {}
        while lock.try_read().is_err() {}
        while lock.try_write().is_err() {}
        while places.try_acquire().is_err() {}
        while !once.is_completed() {}
        while place.get().is_none() {}
        while !event.is_set() {}
        while callback.try_wait().is_none() {}
        while receiver.try_recv().is_err() {}
        thread.join().unwrap();
    });
}
