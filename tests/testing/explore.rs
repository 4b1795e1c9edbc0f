//! What runs with many seeds find, and what their reports say.

use std::time::Duration;

use rustlet::channel::{bounded, select, unbounded};
use rustlet::sync::{Arc, Mutex};
use rustlet::testing::{self, Simulation, Strategy};

use super::panic_of;

/// Two locks that are taken in two orders.
fn take_two_locks() {
    let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (c, d) = (a.clone(), b.clone());
    let thread = rustlet::thread::Builder::new()
        .name("backwards".into())
        .spawn(move || {
            let _d = d.lock().unwrap();
            let _c = c.lock().unwrap();
        })
        .unwrap();
    {
        let _a = a.lock().unwrap();
        let _b = b.lock().unwrap();
    }
    thread.join().unwrap();
}

#[test]
fn deadlock_is_found_with_its_cycle() {
    for strategy in [Strategy::RandomWalk, Strategy::Pct { depth: 3 }] {
        let text = panic_of(move || Simulation::new().strategy(strategy).check(take_two_locks));
        println!("{text}");
        assert!(
            text.contains("deadlock: 2 green threads wait for each other"),
            "{text}"
        );
        assert!(text.contains("Threads at that moment"), "{text}");
        assert!(text.contains("\"backwards\""), "{text}");
    }
    let text = panic_of(|| {
        testing::exhaust(take_two_locks);
    });
    assert!(
        text.contains("deadlock: 2 green threads wait for each other"),
        "{text}"
    );
}

/// The others would go on for as long as the test waits.
#[test]
fn deadlock_of_some_threads_is_found_while_others_go_on() {
    let text = panic_of(|| {
        testing::check(|| {
            rustlet::spawn(|| {
                loop {
                    rustlet::sleep(Duration::from_secs(1));
                }
            });
            take_two_locks();
        });
    });
    assert!(
        text.contains("deadlock: 2 green threads wait for each other"),
        "{text}"
    );
}

#[test]
fn wait_that_nothing_ends_is_an_error() {
    let text = panic_of(|| {
        testing::run(|| {
            let (sender, receiver) = unbounded::<()>();
            assert!(receiver.recv().is_ok());
            drop(sender);
        });
    });
    assert!(
        text.contains("deadlock: the only green thread is asleep"),
        "{text}"
    );
    assert!(text.contains("waits in recv"), "{text}");
}

#[test]
fn panic_of_the_first_thread_is_reported_with_its_seed() {
    let text = panic_of(|| Simulation::new().seed(11).run(|| panic!("this one")));
    assert!(text.contains("this one"), "{text}");
    assert!(text.contains("RUSTLET_SEED=11 cargo test"), "{text}");
    assert!(text.contains("explore.rs"), "{text}");
}

#[test]
fn panic_that_nothing_joins_fails_the_run() {
    let text = panic_of(|| {
        testing::run(|| {
            drop(rustlet::spawn(|| panic!("unseen")));
            rustlet::sleep(Duration::from_secs(1));
        });
    });
    assert!(
        text.contains("thread #2 panicked, and nothing has joined it"),
        "{text}"
    );
    assert!(text.contains("unseen"), "{text}");
    // This one is seen.
    testing::run(|| {
        assert!(rustlet::spawn(|| panic!("seen")).join().is_err());
    });
    let text = panic_of(|| {
        testing::run(|| rustlet::scope(|s| drop(s.spawn(|| panic!("in a scope")))));
    });
    assert!(text.contains("scoped"), "{text}");
}

#[test]
fn loop_that_does_not_end_is_an_error() {
    let text = panic_of(|| {
        Simulation::new().max_steps(10_000).run(|| {
            let (sender, receiver) = unbounded::<()>();
            while receiver.try_recv().is_err() {}
            drop(sender);
        });
    });
    assert!(text.contains("livelock"), "{text}");
}

#[test]
fn threads_that_are_left_are_cancelled_or_reported() {
    struct Tells(Arc<Mutex<u32>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let dropped = Arc::new(Mutex::new(0));
    let inner = dropped.clone();
    let leave = move || {
        let tells = Tells(inner.clone());
        rustlet::spawn(move || {
            let _tells = tells;
            rustlet::park();
        });
        rustlet::yield_now();
    };
    Simulation::new().run(leave.clone());
    assert_eq!(*dropped.lock().unwrap(), 1);
    let failing = std::panic::AssertUnwindSafe(leave);
    let text = panic_of(move || {
        let failing = failing;
        Simulation::new().fail_on_threads_left().run(failing.0);
    });
    assert!(text.contains("1 threads are left"), "{text}");
    assert_eq!(*dropped.lock().unwrap(), 2);
}

#[test]
fn each_order_of_two_threads_and_two_arms_is_explored() {
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let inner = seen.clone();
    testing::exhaust(move || {
        let (one, from_one) = bounded(1);
        let (two, from_two) = bounded(1);
        // The other message may find the receiver gone.
        rustlet::spawn(move || one.send(1).is_ok());
        rustlet::spawn(move || two.send(2).is_ok());
        let first = select! {
            recv(from_one) -> message => message.unwrap(),
            recv(from_two) -> message => message.unwrap(),
        };
        inner.lock().unwrap().insert(first);
    });
    assert!(seen.lock().unwrap().iter().eq(&[1, 2]));
}

#[test]
fn lock_that_is_held_is_seen_by_one_that_tries_it() {
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let inner = seen.clone();
    testing::check(move || {
        let mutex = Arc::new(Mutex::new(()));
        let other = mutex.clone();
        let thread = rustlet::spawn(move || drop(other.lock().unwrap()));
        let was_free = mutex.try_lock().is_ok();
        thread.join().unwrap();
        inner.lock().unwrap().insert(was_free);
    });
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn a_thousand_seeds_of_a_small_test() {
    let start = std::time::Instant::now();
    Simulation::new().seeds(1000).check(|| {
        let (sender, receiver) = bounded(1);
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let sender = sender.clone();
                rustlet::spawn(move || {
                    rustlet::sleep(Duration::from_secs(number));
                    sender.send(number).unwrap();
                })
            })
            .collect();
        drop(sender);
        assert_eq!(receiver.iter().sum::<u64>(), 3);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
    println!("a thousand seeds took {:?}", start.elapsed());
}

#[test]
fn run_inside_a_green_thread_is_refused() {
    let text = panic_of(|| rustlet::run(|| testing::run(|| ())));
    assert!(text.contains("called inside a green thread"), "{text}");
    assert!(panic_of(|| assert!(testing::elapsed().is_zero())).contains("in no run"));
    assert!(panic_of(|| testing::advance(Duration::ZERO)).contains("in no run"));
}

/// Between a wait and the next one, a thread of `spawn_local` has the data of its worker to itself,
/// also where it drops a guard.
#[test]
fn threads_that_share_a_cell_are_not_interrupted_by_a_destructor() {
    testing::check(|| {
        let cell = std::rc::Rc::new(std::cell::RefCell::new(0));
        let threads = [(); 3].map(|()| {
            let cell = cell.clone();
            rustlet::spawn_local(move || {
                let (sender, receiver) = unbounded::<()>();
                let mut value = cell.borrow_mut();
                drop((sender, receiver));
                *value += 1;
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*cell.borrow(), 3);
    });
}

#[test]
fn lock_is_seen_held_between_the_last_operation_and_the_unlock() {
    let seen = Arc::new(Mutex::new(false));
    let inner = seen.clone();
    testing::check(move || {
        let mutex = Arc::new(Mutex::new(()));
        let (sender, receiver) = bounded(1);
        let guard = mutex.lock().unwrap();
        let other = mutex.clone();
        let thread = rustlet::spawn(move || {
            receiver.recv().unwrap();
            other.try_lock().is_err()
        });
        sender.send(()).unwrap();
        drop(guard);
        *inner.lock().unwrap() |= thread.join().unwrap();
    });
    assert!(*seen.lock().unwrap());
}

/// The lease of the guide's page on testing.
#[test]
fn no_lease_is_held_twice() {
    #[derive(Default)]
    struct Leases(Mutex<std::collections::HashMap<&'static str, u32>>);

    impl Leases {
        fn acquire(&self, name: &'static str, holder: u32) -> bool {
            let is_free = !self.0.lock().unwrap().contains_key(name);
            if is_free {
                self.0.lock().unwrap().insert(name, holder);
            }
            is_free
        }
    }

    let text = panic_of(|| {
        testing::check(|| {
            let leases = Arc::new(Leases::default());
            let holders = [1, 2].map(|holder| {
                let leases = leases.clone();
                rustlet::spawn(move || leases.acquire("leader", holder))
            });
            let granted = holders.map(|holder| holder.join().unwrap());
            assert!(granted != [true, true], "the lease is held twice");
        });
    });
    println!("{text}");
    assert!(text.contains("the lease is held twice"), "{text}");
}
