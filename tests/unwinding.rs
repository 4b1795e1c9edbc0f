//! Threads that wait while they unwind: the state that they and the others of their worker see, and
//! that every destructor ends.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use rustlet::channel::{bounded, unbounded};
use rustlet::runtime::Builder;
use rustlet::sync::{Event, Mutex, RwLock};
use rustlet::{
    Cancelled, Elapsed, JoinHandle, park, run, shield, sleep, spawn, spawn_local, thread, timeout,
    yield_now,
};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::panicking;
use std::time::Duration;
use support::{child, child_with, stress, succeeded};

mod support;

const LONG: Duration = Duration::from_secs(3600);

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn quiet_panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

fn on_workers<T: Send>(workers: usize, f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(workers).build().unwrap().run(f)
}

// --- whether a thread panics ---

#[test]
fn panicking_is_exact_when_many_wait_while_they_unwind() {
    let threads = stress(300);
    for workers in [1, 2] {
        on_workers(workers, || {
            let threads: Vec<_> = (0..threads)
                .map(|number| {
                    spawn(move || {
                        for round in 0..3 {
                            assert!(!panicking());
                            let caught = catch_unwind(|| {
                                let _waits = OnDrop(|| {
                                    for _ in 0..(number + round) % 5 {
                                        assert!(panicking());
                                        yield_now();
                                        sleep(Duration::from_micros(10));
                                    }
                                    assert!(panicking());
                                });
                                quiet_panic();
                            });
                            assert!(caught.is_err() && !panicking());
                            yield_now();
                        }
                    })
                })
                .collect();
            for thread in threads {
                assert!(!panicking());
                thread.join().unwrap();
            }
            assert!(!panicking());
        });
    }
    assert!(!panicking());
}

#[test]
fn panics_in_panics_are_counted_too() {
    on_workers(1, || {
        let nested = spawn_local(|| {
            let outer = catch_unwind(|| {
                let _outer = OnDrop(|| {
                    yield_now();
                    let inner = catch_unwind(|| {
                        let _inner = OnDrop(|| {
                            assert!(panicking());
                            yield_now();
                            assert!(panicking());
                        });
                        quiet_panic();
                    });
                    assert!(inner.is_err() && panicking());
                    yield_now();
                    assert!(panicking());
                });
                quiet_panic();
            });
            assert!(outer.is_err() && !panicking());
        });
        while !nested.is_finished() {
            assert!(!panicking());
            yield_now();
        }
        nested.join().unwrap();
    });
}

#[test]
fn a_scope_in_a_destructor_that_unwinds() {
    on_workers(1, || {
        let thread = spawn_local(|| {
            let _waits = OnDrop(|| {
                rustlet::scope(|s| {
                    let seen = s.spawn(|| {
                        yield_now();
                        panicking()
                    });
                    assert!(!seen.join().unwrap());
                });
                assert!(panicking());
            });
            quiet_panic();
        });
        assert!(!Cancelled::is(&thread.join().unwrap_err()));
    });
}

// --- cancellation arrives ---

/// Cancels and joins a child.
struct Guard(Option<JoinHandle<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let child = self.0.take().unwrap();
        child.cancel();
        assert!(Cancelled::is(&child.join().unwrap_err()));
    }
}

#[test]
fn a_guard_that_cancels_and_joins_ends_however_its_owner_unwinds() {
    for workers in [1, 2] {
        for how in ["panic", "cancel", "timeout", "elapsed and unwrapped"] {
            on_workers(workers, move || {
                let (ready, begun) = bounded(0);
                let owner = spawn(move || {
                    let (sender, receiver) = unbounded();
                    let guard = Guard(Some(spawn(move || while let Ok(()) = receiver.recv() {})));
                    let work = || {
                        let _guard = guard;
                        yield_now();
                        // The child starts a wait after the owner has begun to wait for it.
                        sender.send(()).unwrap();
                        ready.send(()).unwrap();
                        match how {
                            "panic" => quiet_panic(),
                            "elapsed and unwrapped" => {
                                timeout(Duration::ZERO, yield_now)
                                    .map_err(|Elapsed| quiet_panic())
                                    .unwrap_or(());
                            }
                            _ => park(),
                        }
                    };
                    if how == "timeout" {
                        assert_eq!(timeout(Duration::from_millis(1), work), Err(Elapsed));
                        quiet_panic();
                    }
                    work();
                });
                // The limit may pass before the owner has come so far.
                assert!(begun.recv().is_ok() || how == "timeout");
                if how == "cancel" {
                    owner.cancel();
                }
                owner.join().unwrap_err();
            });
        }
    }
}

#[test]
fn a_slow_destructor_does_not_delay_the_limits_of_others() {
    on_workers(1, || {
        let go_on = Arc::new(Event::new());
        let theirs = Arc::clone(&go_on);
        let broken = spawn_local(move || {
            let _farewell = OnDrop(|| theirs.wait());
            quiet_panic();
        });
        yield_now();
        assert_eq!(timeout(Duration::from_millis(1), park), Err(Elapsed));
        let (_sender, receiver) = unbounded::<()>();
        assert_eq!(
            timeout(Duration::from_millis(1), || receiver.recv()),
            Err(Elapsed)
        );
        let cancelled = spawn_local(park);
        yield_now();
        cancelled.cancel();
        assert!(Cancelled::is(&cancelled.join().unwrap_err()));
        assert!(!broken.is_finished());
        go_on.set();
        broken.join().unwrap_err();
    });
}

// --- destructors complete ---

#[test]
fn every_destructor_of_a_cancelled_thread_ends() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            yield_now();
            sleep(Duration::from_micros(50));
            ENDED.fetch_add(1, SeqCst);
        }
    }
    rustlet::thread_local! {
        static LOCAL: RefCell<Option<Slow>> = const { RefCell::new(None) };
        static OTHER: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }
    let use_locals = || {
        LOCAL.set(Some(Slow));
        OTHER.set(Some(Slow));
    };
    on_workers(1, || {
        // Thread-locals, and values on the stack.
        let (ready, begun) = bounded(0);
        let parked = spawn(move || {
            use_locals();
            let _slow = Slow;
            ready.send(()).unwrap();
            park();
        });
        begun.recv().unwrap();
        parked.cancel();
        parked.join().unwrap_err();
        while ENDED.load(SeqCst) < 3 {
            yield_now();
        }
        // The captures of a thread that never ran.
        let slow = Slow;
        let unstarted = spawn_local(move || drop(slow));
        unstarted.cancel();
        unstarted.join().unwrap_err();
        assert_eq!(ENDED.load(SeqCst), 4);
        // A result that is never taken, of a thread that was cancelled too late.
        let (sender, receiver) = bounded::<JoinHandle<Slow>>(1);
        sender
            .send(spawn_local(move || {
                let own = receiver.recv().unwrap();
                own.cancel();
                drop(own);
                Slow
            }))
            .unwrap();
        while ENDED.load(SeqCst) < 5 {
            yield_now();
        }
        // The payload of a panic that is never taken.
        drop(spawn_local(|| -> () {
            resume_unwind(Box::new(Slow));
        }));
        // A result that is dropped by the owner of the handle, which is cancelled.
        let owner = spawn_local(|| {
            let thread = spawn_local(|| Slow);
            shield(|| {
                while !thread.is_finished() {
                    yield_now();
                }
            });
            drop(thread);
        });
        yield_now();
        owner.cancel();
        owner.join().unwrap();
        while ENDED.load(SeqCst) < 7 {
            yield_now();
        }
    });
}

#[test]
fn destructors_of_locals_end_when_the_run_does() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            ENDED.store(true, SeqCst);
        }
    }
    rustlet::thread_local! {
        static SESSION: Slow = const { Slow };
    }
    run(|| {
        let (ready, begun) = bounded(0);
        spawn(move || {
            SESSION.with(|_| ());
            ready.send(()).unwrap();
            park();
        });
        begun.recv().unwrap();
    });
    assert!(ENDED.load(SeqCst));
}

// --- poisoning ---

/// A cancellation that was caught, and whose payload is kept or forgotten, hides no panic.
#[test]
fn a_panic_poisons_whatever_became_of_a_caught_cancellation() {
    #[derive(Clone, Copy)]
    enum Fate {
        Kept,
        Forgotten,
        SentAway,
    }
    for fate in [Fate::Kept, Fate::Forgotten, Fate::SentAway] {
        for is_green in [true, false] {
            let case = move || {
                let (mutex, rwlock) = (Mutex::new(0), RwLock::new(0));
                let (sender, _receiver) = unbounded();
                let mut kept = Vec::new();
                let elapsed = timeout(Duration::from_millis(1), || {
                    let payload = catch_unwind(park).unwrap_err();
                    match fate {
                        Fate::Kept => kept.push(payload),
                        Fate::Forgotten => {
                            let _leaked: &mut _ = Box::leak(payload);
                        }
                        Fate::SentAway => sender.send(payload).unwrap(),
                    }
                });
                assert_eq!(elapsed, Ok(()));
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    let _one = mutex.lock().unwrap();
                    let _two = rwlock.write().unwrap();
                    quiet_panic();
                }));
                assert!(panicked.is_err());
                assert!(mutex.is_poisoned() && rwlock.is_poisoned());
            };
            if is_green {
                on_workers(1, case);
            } else {
                case();
            }
        }
    }
}

/// A cancellation that is caught, logged and rethrown is still one, even if the log has a lock.
#[test]
fn a_cancellation_that_is_logged_and_thrown_on_poisons_nothing() {
    for is_green in [true, false] {
        let case = || {
            let (mutex, log) = (Mutex::new(0), Mutex::new(0));
            let elapsed = timeout(Duration::from_millis(1), || {
                let _held = mutex.lock().unwrap();
                if let Err(payload) = catch_unwind(park) {
                    *log.lock().unwrap() += 1;
                    resume_unwind(payload);
                }
            });
            assert_eq!(elapsed, Err(Elapsed));
            assert!(!mutex.is_poisoned() && !log.is_poisoned());
            // A cancellation that comes after a kept one hides no panic either.
            let mut kept = Vec::new();
            let elapsed = timeout(Duration::from_millis(1), || {
                kept.push(catch_unwind(park).unwrap_err());
                let _held = mutex.lock().unwrap();
                park();
            });
            assert_eq!(elapsed, Err(Elapsed));
            assert!(!mutex.is_poisoned());
        };
        if is_green {
            on_workers(1, case);
        } else {
            case();
        }
    }
}

/// A panic after the `timeout` of a caught cancellation: it is recognised without a hook.
#[test]
fn a_panic_after_the_timeout_poisons_a_lock_that_was_held_all_the_time() {
    on_workers(1, || {
        let mutex = Mutex::new(0);
        let mut kept = Vec::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _held = mutex.lock().unwrap();
            let _elapsed = timeout(Duration::from_millis(1), || {
                kept.push(catch_unwind(park).unwrap_err());
            });
            quiet_panic();
        }));
        assert!(panicked.is_err() && mutex.is_poisoned());
    });
}

/// The same for a lock that is held all the time: the panic hook tells the two unwindings apart.
#[test]
fn a_panic_poisons_a_lock_that_was_held_when_a_cancellation_was_caught() {
    let name = "a_panic_poisons_a_lock_that_was_held_when_a_cancellation_was_caught";
    let output = child(name, || {
        for is_green in [true, false] {
            let case = || {
                let mutex = Mutex::new(0);
                let mut kept = Vec::new();
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    let _held = mutex.lock().unwrap();
                    let _elapsed = timeout(Duration::from_millis(1), || {
                        kept.push(catch_unwind(park).unwrap_err());
                    });
                    panic!("with the lock held");
                }));
                assert!(panicked.is_err() && mutex.is_poisoned());
                // A panic during a cancellation does not become one.
                let other = Mutex::new(0);
                let elapsed = timeout(Duration::from_millis(1), || {
                    let _held = other.lock().unwrap();
                    let _nested = OnDrop(|| {
                        catch_unwind(|| panic!("nested")).unwrap_err();
                    });
                    park();
                });
                assert!(elapsed.is_err() && !other.is_poisoned());
            };
            if is_green {
                on_workers(1, case);
            } else {
                case();
            }
        }
    });
    succeeded(&output);
}

// --- panics name their thread ---

#[test]
fn a_panic_names_the_green_thread_and_shows_its_frames_only() {
    #[inline(never)]
    fn innermost() {
        panic!("on purpose");
    }
    let name = "a_panic_names_the_green_thread_and_shows_its_frames_only";
    let output = child_with(name, &[("RUST_BACKTRACE", "1")], || {
        run(|| {
            let named = thread::Builder::new().name("worker-7".into());
            named.spawn(innermost).unwrap().join().unwrap_err();
            spawn(innermost).join().unwrap_err();
        });
    });
    let said = succeeded(&output);
    let place = format!("spawned at {}:", file!());
    assert!(
        said.contains(&format!("thread 'worker-7' (green, {place}")),
        "{said}"
    );
    assert!(said.contains("thread <unnamed> (green, id "), "{said}");
    assert!(said.contains("innermost"), "{said}");
    assert!(
        !said.contains("rustlet::green") && !said.contains("corosensei"),
        "{said}"
    );
}

#[test]
fn a_panic_hook_of_the_program_is_left_alone() {
    let name = "a_panic_hook_of_the_program_is_left_alone";
    let output = child(name, || {
        std::panic::set_hook(Box::new(|_| ()));
        run(|| spawn(|| panic!("on purpose")).join().unwrap_err());
    });
    assert_eq!(succeeded(&output), "");
}

// --- coroutines of other crates ---

#[test]
fn a_timeout_that_outlives_an_outer_one_in_a_coroutine_aborts() {
    use corosensei::{Coroutine, CoroutineResult};
    type Co = Coroutine<(), (), ()>;
    type Case = (&'static str, fn(fn() -> Co));
    let stays_inside = || {
        Co::new(|yielder, ()| {
            let _ = timeout(LONG, || yielder.suspend(()));
        })
    };
    let cases: [Case; 3] = [
        ("an outer timeout ends", |new| {
            let mut co = new();
            let _ = timeout(LONG, || {
                assert!(matches!(co.resume(()), CoroutineResult::Yield(())))
            });
            assert!(matches!(co.resume(()), CoroutineResult::Return(())));
        }),
        ("an outer shield ends", |new| {
            let mut co = new();
            shield(|| assert!(matches!(co.resume(()), CoroutineResult::Yield(()))));
            assert!(matches!(co.resume(()), CoroutineResult::Return(())));
        }),
        ("the thread ends", |new| {
            std::thread_local! {
                static STASH: RefCell<Vec<Co>> = const { RefCell::new(Vec::new()) };
            }
            let thread = spawn_local(move || {
                let mut co = new();
                assert!(matches!(co.resume(()), CoroutineResult::Yield(())));
                STASH.with_borrow_mut(|stash| stash.push(co));
            });
            thread.join().unwrap();
        }),
    ];
    let name = "a_timeout_that_outlives_an_outer_one_in_a_coroutine_aborts";
    for (what, case) in cases {
        let output = child_with(name, &[("CASE", what)], || {
            let what = std::env::var("CASE").unwrap();
            let (_, case) = cases.iter().find(|(name, _)| *name == what).unwrap();
            on_workers(1, || case(stays_inside));
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{what}");
        assert!(
            said.contains("a coroutine of another crate was suspended inside such a call"),
            "{what}: {said}"
        );
        let _ = case;
    }
}
