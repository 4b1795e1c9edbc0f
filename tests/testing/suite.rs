//! The library under many schedules: what its locks, channels and waits promise.
//!
//! `RUSTLET_SEEDS` sets how many; `RUSTLET_TEST_STRATEGY` is `walk` or `pct`, or not set for both.

use std::time::Duration;

use rustlet::channel::{bounded, select, unbounded};
use rustlet::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use rustlet::sync::{
    Arc, Barrier, Condvar, Event, Mutex, Notify, OnceLock, RwLock, Semaphore, WaitGroup, broadcast,
    oneshot, watch,
};
use rustlet::testing::{Simulation, Strategy, elapsed};
use rustlet::{scope, sleep, spawn, timeout};

const MS: Duration = Duration::from_millis(1);

fn explore(test: impl Fn() + 'static) {
    let strategy = match std::env::var("RUSTLET_TEST_STRATEGY").as_deref() {
        Ok("walk") => Strategy::RandomWalk,
        Ok("pct") => Strategy::Pct { depth: 3 },
        _ => Strategy::Mixed,
    };
    Simulation::new().seeds(200).strategy(strategy).check(test);
}

#[test]
fn mutex_excludes() {
    explore(|| {
        let (count, inside) = (Mutex::new(0), AtomicBool::new(false));
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..3 {
                        let mut count = count.lock().unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst));
                        *count += 1;
                        assert!(inside.swap(false, Ordering::SeqCst));
                    }
                });
            }
        });
        assert_eq!(count.into_inner().unwrap(), 9);
    });
}

#[test]
fn cancelled_receive_has_taken_nothing() {
    for capacity in [0, 1, 2] {
        explore(move || {
            let (sender, receiver) = bounded(capacity);
            let (got, taken) = (Arc::new(AtomicUsize::new(0)), receiver.clone());
            let counter = got.clone();
            let victim = spawn(move || {
                while taken.recv().is_ok() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
            let producer = spawn(move || (0..4).for_each(|number| sender.send(number).unwrap()));
            rustlet::yield_now();
            victim.cancel();
            let rest = receiver.iter().count();
            let _cancelled = victim.join();
            producer.join().unwrap();
            assert_eq!(got.load(Ordering::SeqCst) + rest, 4, "a message is lost");
        });
    }
}

#[test]
fn send_that_times_out_has_sent_nothing() {
    explore(|| {
        let (sender, receiver) = bounded(0);
        let other = spawn(move || {
            let mut sent = 0;
            for number in 0..3 {
                sent += usize::from(sender.send_timeout(number, MS).is_ok());
            }
            sent
        });
        sleep(MS);
        let received = receiver.iter().count();
        assert_eq!(other.join().unwrap(), received);
    });
}

#[test]
fn receivers_hear_of_the_last_sender() {
    explore(|| {
        let (sender, receiver) = unbounded::<u32>();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.iter().count())
            })
            .collect();
        let other = sender.clone();
        spawn(move || other.send(1).is_ok());
        sender.send(2).unwrap();
        drop(sender);
        let received: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(received, 2);
    });
}

#[test]
fn select_is_fair_and_takes_one() {
    explore(|| {
        let (a, from_a) = unbounded();
        let (b, from_b) = unbounded();
        for number in 0..40 {
            a.send(number).unwrap();
            b.send(number).unwrap();
        }
        let mut taken = [0, 0];
        for _ in 0..40 {
            select! {
                recv(from_a) -> message => taken[0] += usize::from(message.is_ok()),
                recv(from_b) -> message => taken[1] += usize::from(message.is_ok()),
            }
        }
        assert_eq!(80 - from_a.len() - from_b.len(), 40);
        assert!(taken[0] > 0 && taken[1] > 0, "one arm starves: {taken:?}");
    });
}

#[test]
fn select_that_loses_an_arm_keeps_its_message() {
    explore(|| {
        let (a, from_a) = bounded::<u32>(0);
        let (b, from_b) = bounded::<u32>(0);
        let senders = [
            spawn(move || a.send(1).is_ok()),
            spawn(move || b.send(2).is_ok()),
        ];
        let mut sum = 0;
        for _ in 0..2 {
            select! {
                recv(from_a) -> message => sum += message.unwrap_or(0),
                recv(from_b) -> message => sum += message.unwrap_or(0),
                default(MS) => {}
            }
        }
        drop((from_a, from_b));
        let sent = senders.map(|sender| sender.join().unwrap());
        let expected = u32::from(sent[0]) + 2 * u32::from(sent[1]);
        assert_eq!(sum, expected);
    });
}

#[test]
fn permits_come_back() {
    explore(|| {
        let permits = Arc::new(Semaphore::new(3));
        let threads: Vec<_> = (0..4_u32)
            .map(|number| {
                let permits = permits.clone();
                spawn(move || match number % 2 {
                    0 => drop(permits.acquire_many_timeout(3, MS)),
                    _ => {
                        let _permit = permits.acquire().unwrap();
                        sleep(2 * MS);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(permits.available_permits(), 3);
    });
}

/// The waiter behind one that gives up wants less, and there is enough for it.
#[test]
fn waiter_that_gives_up_lets_the_next_one_in() {
    explore(|| {
        let permits = Arc::new(Semaphore::new(1));
        let (large, small) = (permits.clone(), permits.clone());
        let large = spawn(move || large.acquire_many_timeout(2, MS).is_ok());
        let small = spawn(move || small.acquire().map(|permit| permit.forget()).is_ok());
        assert!(!large.join().unwrap());
        // Nothing adds a permit.
        assert!(small.join().unwrap());
        let lock = Arc::new(RwLock::new(()));
        let first = lock.read().unwrap();
        let (writer, reader) = (lock.clone(), lock.clone());
        let writer = spawn(move || writer.try_write_for(MS).is_ok());
        let reader = spawn(move || drop(reader.read().unwrap()));
        assert!(!writer.join().unwrap());
        reader.join().unwrap();
        drop(first);
    });
}

#[test]
fn permits_for_several_waiters_wake_them_all() {
    explore(|| {
        let permits = Arc::new(Semaphore::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let permits = permits.clone();
                spawn(move || permits.acquire().unwrap().forget())
            })
            .collect();
        permits.add_permits(2);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn readers_go_in_together_after_a_writer() {
    explore(|| {
        let (lock, barrier) = (Arc::new(RwLock::new(0)), Arc::new(Barrier::new(2)));
        let mut guard = lock.write().unwrap();
        let readers = [(); 2].map(|()| {
            let (lock, barrier) = (lock.clone(), barrier.clone());
            spawn(move || {
                let value = lock.read().unwrap();
                // Both hold the lock.
                barrier.wait();
                *value
            })
        });
        *guard = 1;
        drop(guard);
        assert_eq!(readers.map(|reader| reader.join().unwrap()), [1, 1]);
    });
}

#[test]
fn condvar_wakes_as_many_as_it_says() {
    explore(|| {
        let queue = Arc::new((Mutex::new((0, false)), Condvar::new()));
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                spawn(move || {
                    let mut taken = 0;
                    let mut state = queue.0.lock().unwrap();
                    loop {
                        match *state {
                            (0, true) => return taken,
                            (0, false) => state = queue.1.wait(state).unwrap(),
                            _ => {
                                state.0 -= 1;
                                taken += 1;
                            }
                        }
                    }
                })
            })
            .collect();
        for _ in 0..4 {
            queue.0.lock().unwrap().0 += 1;
            queue.1.notify_one();
        }
        queue.0.lock().unwrap().1 = true;
        queue.1.notify_all();
        let taken: u32 = consumers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(taken, 4);
    });
}

#[test]
fn notification_is_kept_for_the_next_wait() {
    explore(|| {
        let (notify, count) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (notified, counted) = (notify.clone(), count.clone());
        let worker = spawn(move || {
            while counted.load(Ordering::SeqCst) < 3 {
                notified.notified();
            }
        });
        for _ in 0..3 {
            count.fetch_add(1, Ordering::SeqCst);
            notify.notify_one();
        }
        worker.join().unwrap();
    });
}

#[test]
fn unpark_before_park_is_kept() {
    explore(|| {
        let thread = spawn(rustlet::park);
        thread.thread().unpark();
        thread.join().unwrap();
    });
}

#[test]
fn each_deadline_is_exact() {
    explore(|| {
        let (sender, receiver) = unbounded::<()>();
        let waiter = spawn(move || {
            // A wait that ends early leaves its later deadline behind.
            receiver.recv_timeout(10 * MS).unwrap();
            let start = elapsed();
            sleep(2 * MS);
            assert_eq!(elapsed() - start, 2 * MS);
            assert!(receiver.recv_timeout(MS).is_err());
            assert_eq!(elapsed() - start, 3 * MS);
        });
        sleep(MS);
        sender.send(()).unwrap();
        waiter.join().unwrap();
        drop(sender);
    });
}

#[test]
fn limit_ends_a_wait_and_nothing_else() {
    explore(|| {
        let lock = Arc::new(Mutex::new(0));
        let guard = lock.lock().unwrap();
        let other = lock.clone();
        let thread = spawn(move || timeout(MS, || *other.lock().unwrap() += 1).is_err());
        sleep(MS);
        drop(guard);
        let was_late = thread.join().unwrap();
        assert_eq!(*lock.lock().unwrap(), i32::from(!was_late));
    });
}

#[test]
fn once_runs_once_even_if_it_is_cancelled() {
    explore(|| {
        let (cell, runs) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
        let threads = [(); 3].map(|()| {
            let (cell, runs) = (cell.clone(), runs.clone());
            spawn(move || {
                *cell.get_or_init(|| {
                    sleep(MS);
                    runs.fetch_add(1, Ordering::SeqCst)
                })
            })
        });
        threads[0].cancel();
        let values = threads.map(|thread| thread.join().ok());
        assert!(
            values.iter().flatten().all(|value| *value == 0),
            "{values:?}"
        );
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn scope_that_fails_ends_its_threads() {
    explore(|| {
        let alive = AtomicUsize::new(0);
        struct Leaves<'a>(&'a AtomicUsize);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let late = timeout(MS, || {
            scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        alive.fetch_add(1, Ordering::SeqCst);
                        let _leaves = Leaves(&alive);
                        rustlet::park();
                    });
                }
            });
        });
        assert!(late.is_err());
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn state_reaches_each_that_watches() {
    explore(|| {
        let (sender, mut receiver) = watch::channel(0);
        let (more, mut each) = broadcast::channel(8);
        let (once, answer) = oneshot::channel();
        let (event, group) = (Arc::new(Event::new()), WaitGroup::new());
        let (set, part) = (event.clone(), group.clone());
        let watcher = spawn(move || {
            while *receiver.borrow_and_update() < 2 {
                receiver.changed().unwrap();
            }
            set.wait();
            drop(part);
            once.send(each.recv().unwrap() + each.recv().unwrap())
                .unwrap();
        });
        sender.send(1).unwrap();
        more.send(3).unwrap();
        sender.send(2).unwrap();
        more.send(4).unwrap();
        event.set();
        group.wait();
        assert_eq!(answer.recv().unwrap(), 7);
        watcher.join().unwrap();
    });
}

#[test]
fn mailbox_and_pool_hand_on() {
    explore(|| {
        let mailbox = rustlet::mailbox::Mailbox::new();
        let address = mailbox.address();
        let count = Arc::new(AtomicUsize::new(0));
        let made = count.clone();
        let pool = rustlet::pool::Pool::new(1, move || {
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(0)
        });
        for _ in 0..3 {
            let (pool, address) = (pool.clone(), address.clone());
            spawn(move || {
                let mut item = pool.get().unwrap();
                *item += 1;
                address.send(*item).unwrap();
            });
        }
        let mut seen: Vec<u32> = (0..3).map(|_| mailbox.receive().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn each_state_is_seen_once() {
    explore(|| {
        let (sender, mut receiver) = watch::channel(0);
        let writer = spawn(move || {
            for value in 1..=3 {
                sender.send(value).unwrap();
            }
        });
        let mut seen = 0;
        while receiver.changed().is_ok() {
            let value = *receiver.borrow();
            assert!(value >= seen, "{value} after {seen}");
            seen = value;
        }
        writer.join().unwrap();
        assert_eq!(seen, 3);
    });
}
