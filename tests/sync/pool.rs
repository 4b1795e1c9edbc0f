//! `pool::Pool`: the limit, the order, what is kept and what is thrown away, cancellation.

use crate::{let_others_block, on_workers};
use rustlet::pool::{GetError, Manager, Pool, Pooled};
use rustlet::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use rustlet::sync::{Arc, Mutex};
use rustlet::{Cancelled, park, sleep, spawn, timeout, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// What a test asks of its manager.
#[derive(Default)]
struct Stage {
    made: AtomicUsize,
    alive: AtomicUsize,
    tested: AtomicUsize,
    refuses: AtomicBool,
    invalid: AtomicBool,
    waits: AtomicBool,
}

#[derive(Clone)]
struct Makes(Arc<Stage>);

/// A value; its number is that of its making.
struct Item {
    number: usize,
    broken: bool,
    stage: Arc<Stage>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.stage.alive.fetch_sub(1, SeqCst);
    }
}

impl Manager for Makes {
    type Item = Item;
    type Error = &'static str;

    fn create(&self) -> Result<Item, &'static str> {
        if self.0.waits.load(SeqCst) {
            park();
        }
        yield_now();
        if self.0.refuses.load(SeqCst) {
            return Err("refused");
        }
        self.0.alive.fetch_add(1, SeqCst);
        Ok(Item {
            number: self.0.made.fetch_add(1, SeqCst),
            broken: false,
            stage: Arc::clone(&self.0),
        })
    }

    fn is_valid(&self, _: &mut Item) -> Result<(), &'static str> {
        self.0.tested.fetch_add(1, SeqCst);
        if self.0.waits.load(SeqCst) {
            park();
        }
        match self.0.invalid.load(SeqCst) {
            true => Err("invalid"),
            false => Ok(()),
        }
    }

    fn has_broken(&self, item: &mut Item) -> bool {
        item.broken
    }
}

fn stage() -> (Arc<Stage>, Makes) {
    let stage = Arc::new(Stage::default());
    (Arc::clone(&stage), Makes(stage))
}

#[test]
fn never_more_than_the_limit() {
    let case = || {
        let (stage, makes) = stage();
        let pool = Pool::new(3, makes);
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let (pool, stage) = (pool.clone(), Arc::clone(&stage));
                let body = move || {
                    for _ in 0..20 {
                        let _lent = pool.get().unwrap();
                        assert!(stage.alive.load(SeqCst) <= 3);
                        yield_now();
                    }
                };
                let os = n % 7 == 0;
                (
                    os.then(|| std::thread::spawn(body.clone())),
                    (!os).then(|| spawn(body)),
                )
            })
            .collect();
        let (os, green): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
        // In this order: the last blocks this worker.
        (green.into_iter().flatten()).for_each(|thread| thread.join().unwrap());
        (os.into_iter().flatten()).for_each(|thread| thread.join().unwrap());
        let state = pool.state();
        assert_eq!(state.in_use, 0);
        assert!(state.idle <= 3 && state.idle == stage.alive.load(SeqCst));
        assert!(stage.made.load(SeqCst) <= 3);
        drop(pool);
        assert_eq!(stage.alive.load(SeqCst), 0);
    };
    on_workers(1, case);
    on_workers(2, case);
    case();
}

#[test]
fn requests_are_served_in_order() {
    on_workers(1, || {
        let pool = Pool::new(1, || Ok::<_, ()>(()));
        let lent = pool.get().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..5)
            .map(|n| {
                let (pool, order) = (pool.clone(), Arc::clone(&order));
                let thread = spawn(move || {
                    let _lent = pool.get().unwrap();
                    order.lock().unwrap().push(n);
                    yield_now();
                });
                let_others_block();
                thread
            })
            .collect();
        // A late one does not overtake those that wait.
        assert_eq!(
            pool.get_timeout(Duration::ZERO).err(),
            Some(GetError::Timeout)
        );
        drop(lent);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn the_last_value_back_is_the_next_out() {
    let (stage, makes) = stage();
    let pool = Pool::new(3, makes);
    let [a, b] = [(); 2].map(|()| pool.get().unwrap());
    assert_eq!((a.number, b.number), (0, 1));
    drop(b);
    drop(a);
    assert_eq!(pool.get().unwrap().number, 0);
    assert_eq!((stage.made.load(SeqCst), pool.state().idle), (2, 2));
}

#[test]
fn broken_and_invalid_values_are_thrown_away() {
    let (stage, makes) = stage();
    let pool = Pool::new(2, makes);
    let mut lent = pool.get().unwrap();
    lent.broken = true;
    drop(lent);
    assert_eq!((stage.alive.load(SeqCst), pool.state().idle), (0, 0));
    Pooled::discard(pool.get().unwrap());
    assert_eq!(stage.alive.load(SeqCst), 0);

    let [a, b] = [(); 2].map(|()| pool.get().unwrap());
    drop((a, b));
    stage.invalid.store(true, SeqCst);
    // Both are tested and thrown away, and a new one is made.
    assert_eq!(pool.get().unwrap().number, 4);
    assert_eq!(stage.tested.load(SeqCst), 2);
    assert_eq!(stage.alive.load(SeqCst), 1);

    let taken = Pooled::take(pool.get().unwrap());
    assert_eq!((pool.state().in_use, pool.state().idle), (0, 0));
    drop(taken);
    stage.refuses.store(true, SeqCst);
    assert_eq!(pool.get().err(), Some(GetError::Manager("refused")));
    // Its place is free again.
    assert_eq!(pool.state().in_use, 0);
}

#[test]
fn old_and_surplus_values_are_thrown_away() {
    let (stage, makes) = stage();
    let pool = Pool::builder(makes.clone()).max_idle(1).build();
    let [a, b] = [(); 2].map(|()| pool.get().unwrap());
    drop((a, b));
    assert_eq!((pool.state().idle, stage.alive.load(SeqCst)), (1, 1));
    drop(pool);

    let pool = Pool::builder(makes.clone())
        .max_lifetime(Duration::ZERO)
        .build();
    drop(pool.get().unwrap());
    assert_eq!((pool.state().idle, stage.alive.load(SeqCst)), (0, 0));

    let pool = Pool::builder(makes.clone())
        .idle_timeout(SHORT)
        .test_on_check_out(false)
        .build();
    let first = pool.get().unwrap().number;
    sleep(2 * SHORT);
    assert_eq!(pool.state().idle, 1);
    pool.sweep();
    assert_eq!((pool.state().idle, stage.alive.load(SeqCst)), (0, 0));
    assert_eq!(pool.get().unwrap().number, first + 1);
    assert_eq!(stage.tested.load(SeqCst), 0);
    let unlimited = Pool::builder(makes)
        .max_lifetime(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .build();
    drop(unlimited.get().unwrap());
    assert_eq!(unlimited.state().idle, 1);
}

#[test]
fn a_closed_pool_gives_nothing() {
    on_workers(1, || {
        let (stage, makes) = stage();
        let pool = Pool::new(1, makes);
        let lent = pool.get().unwrap();
        let other = pool.clone();
        let waits = spawn(move || other.get().err());
        let_others_block();
        pool.close();
        assert_eq!(waits.join().unwrap(), Some(GetError::Closed));
        assert_eq!(pool.get().err(), Some(GetError::Closed));
        assert_eq!(pool.get_timeout(SHORT).err(), Some(GetError::Closed));
        drop(lent);
        assert_eq!(stage.alive.load(SeqCst), 0);
        assert_eq!(GetError::<&str>::Closed.to_string(), "the pool is closed");
        assert!(format!("{pool:?}").contains("max_size: 1"));
    });
}

#[test]
fn a_cancelled_request_takes_nothing() {
    on_workers(1, || {
        let (stage, makes) = stage();
        let pool = Pool::new(1, makes);
        let lent = pool.get().unwrap();
        assert!(timeout(SHORT, || pool.get().is_ok()).is_err());
        let waits = |pool: &Pool<Makes>| {
            let pool = pool.clone();
            spawn(move || pool.get().map(|lent| lent.number).unwrap())
        };
        let (first, second) = (waits(&pool), waits(&pool));
        let_others_block();
        first.cancel();
        // Given back at the same moment: it goes to the second.
        drop(lent);
        let first = first.join();
        assert!(
            first.is_err_and(|payload| payload.is::<Cancelled>()) || stage.made.load(SeqCst) == 1
        );
        assert!(second.join().unwrap() <= 1);
        assert_eq!(pool.state().in_use, 0);

        // While it is made, and while it is tested.
        stage.waits.store(true, SeqCst);
        assert!(timeout(SHORT, || pool.get().is_ok()).is_err());
        assert_eq!((pool.state().in_use, stage.alive.load(SeqCst)), (0, 0));
        assert!(timeout(SHORT, || pool.get().is_ok()).is_err());
        assert_eq!((pool.state().in_use, stage.alive.load(SeqCst)), (0, 0));
        stage.waits.store(false, SeqCst);
        assert!(pool.get().is_ok());
    });
}

/// A value that was used when its user unwound is not used again.
#[test]
fn a_value_of_a_request_that_was_cut_short_is_thrown_away() {
    let case = || {
        let (_, makes) = stage();
        let pool = Pool::new(1, makes);
        // Outside of the limit: the guard does not unwind itself.
        let lent = pool.get().unwrap();
        assert_eq!(lent.number, 0);
        assert!(timeout(SHORT, park).is_err());
        drop(lent);
        assert_eq!(pool.state().idle, 0);
        // Within it.
        let late = timeout(SHORT, || {
            let _lent = pool.get().unwrap();
            park();
        });
        assert!(late.is_err());
        assert_eq!(pool.state().idle, 0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _lent = pool.get().unwrap();
            resume_unwind(Box::new("no"));
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.state().idle, 0);
        // A limit that has elapsed earlier does not matter, nor one that has not.
        let lent = pool.get().unwrap();
        assert!(timeout(Duration::MAX, yield_now).is_ok());
        drop(lent);
        assert_eq!(pool.state().idle, 1);
    };
    on_workers(1, case);
    case();
}

/// As above, with a manager whose values bear it.
#[test]
fn a_manager_may_keep_a_value_that_was_cut_short() {
    struct Robust;
    impl Manager for Robust {
        type Item = u32;
        type Error = ();
        fn create(&self) -> Result<u32, ()> {
            Ok(0)
        }
        fn survives_unwinding(&self, _: &mut u32) -> bool {
            true
        }
    }
    on_workers(1, || {
        let pool = Pool::new(1, Robust);
        let late = timeout(SHORT, || {
            *pool.get().unwrap() += 1;
            let mut lent = pool.get().unwrap();
            *lent += 1;
            park();
        });
        assert!(late.is_err());
        assert_eq!(*pool.get().unwrap(), 2);
    });
}

/// The destructor of a guard contains the manager's panic.
#[test]
fn a_manager_that_panics_costs_one_value() {
    struct Panics;
    impl Manager for Panics {
        type Item = u32;
        type Error = ();
        fn create(&self) -> Result<u32, ()> {
            Ok(0)
        }
        fn has_broken(&self, _: &mut u32) -> bool {
            resume_unwind(Box::new("no"));
        }
    }
    let pool = Pool::new(1, Panics);
    let used = catch_unwind(AssertUnwindSafe(|| {
        let _lent = pool.get().unwrap();
        resume_unwind(Box::new("the user's"));
    }));
    assert_eq!(used.unwrap_err().downcast_ref(), Some(&"the user's"));
    drop(pool.get().unwrap());
    assert_eq!((pool.state().in_use, pool.state().idle), (0, 0));
}

#[test]
#[should_panic = "the size of a pool must be at least 1"]
fn a_size_of_zero_is_refused() {
    drop(Pool::new(0, || Ok::<_, ()>(())));
}
