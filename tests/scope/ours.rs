//! Scopes with operations of green threads: waits that suspend, cancellation, several runtimes.

use super::stress;
use super::support::{child, succeeded};
use rustlet::channel::{bounded, select};
use rustlet::{Cancelled, park, run, scope, shield, sleep, spawn, spawn_local, thread, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn turns() {
    for _ in 0..10 {
        yield_now();
    }
}

#[test]
fn the_others_of_the_worker_go_on_while_a_scope_waits() {
    super::on_one_worker(|| {
        let gate = AtomicBool::new(false);
        let this = thread::current();
        let gate = Arc::new(gate);
        let theirs = gate.clone();
        let other = spawn(move || {
            turns();
            theirs.store(true, Ordering::SeqCst);
            this.unpark();
        });
        scope(|s| {
            s.spawn(|| {
                while !gate.load(Ordering::SeqCst) {
                    sleep(Duration::from_micros(100));
                }
            });
        });
        assert!(other.is_finished());
        // The scope did not take the token.
        park();
    });
}

#[test]
fn a_cancelled_scope_waits_for_its_threads() {
    run(|| {
        let go = Arc::new(AtomicBool::new(false));
        let log: Arc<Mutex<Vec<&str>>> = Arc::default();
        let (going, theirs) = (go.clone(), log.clone());
        let (ready, begun) = bounded(1);
        let owner = spawn_local(move || {
            let borrowed = String::from("borrowed");
            scope(|s| {
                s.spawn(|| {
                    shield(|| {
                        ready.send(()).unwrap();
                        while !going.load(Ordering::SeqCst) {
                            sleep(Duration::from_micros(100));
                        }
                    });
                    assert_eq!(borrowed, "borrowed");
                    theirs.lock().unwrap().push("child");
                    park();
                    theirs.lock().unwrap().push("never");
                });
            });
            theirs.lock().unwrap().push("never");
        });
        begun.recv().unwrap();
        owner.cancel();
        turns();
        assert!(!owner.is_finished());
        go.store(true, Ordering::SeqCst);
        assert!(owner.join().unwrap_err().is::<Cancelled>());
        assert_eq!(*log.lock().unwrap(), ["child"]);
    });
}

#[test]
fn a_cancelled_closure_waits_for_its_threads_too() {
    run(|| {
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let (ready, begun) = bounded(1);
        let owner = spawn_local(move || {
            let borrowed = String::from("borrowed");
            scope(|s| {
                s.spawn(|| {
                    shield(|| {
                        ready.send(()).unwrap();
                        for _ in 0..50 {
                            yield_now();
                        }
                    });
                    theirs.store(borrowed == "borrowed", Ordering::SeqCst);
                });
                park();
            });
        });
        begun.recv().unwrap();
        owner.cancel();
        assert!(owner.join().unwrap_err().is::<Cancelled>());
        assert!(ended.load(Ordering::SeqCst));
    });
}

#[test]
fn the_end_of_a_run_unwinds_scopes_in_silence() {
    let output = child("ours::the_end_of_a_run_unwinds_scopes_in_silence", || {
        run(|| {
            for _ in 0..3 {
                spawn_local(|| {
                    let borrowed = String::from("borrowed");
                    scope(|s| {
                        s.spawn(|| {
                            park();
                            drop(borrowed);
                        });
                    });
                });
                spawn_local(|| {
                    scope(|s| {
                        s.spawn(|| scope(|t| drop(t.spawn(park))));
                    });
                });
            }
            turns();
        });
    });
    let said = succeeded(&output);
    assert_eq!(said, "", "an end that is not a failure");
}

#[test]
fn a_cancelled_child_that_is_joined_says_so() {
    run(|| {
        scope(|s| {
            let children = [(); 3].map(|()| s.spawn(park));
            for child in &children {
                child.cancel();
            }
            for child in children {
                assert!(child.join().unwrap_err().is::<Cancelled>());
            }
        });
    });
}

#[test]
fn a_scope_of_an_os_thread() {
    let mut numbers = vec![1, 2, 3];
    let sum = scope(|s| {
        // These run on the process-wide runtime.
        let threads = [0, 1, 2].map(|index| {
            let numbers = &numbers;
            s.spawn(move || {
                sleep(Duration::from_micros(100));
                numbers[index]
            })
        });
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    numbers.push(sum);
    assert_eq!(numbers, [1, 2, 3, 6]);
}

#[test]
fn a_scope_whose_threads_live_on_several_runtimes() {
    let count = AtomicUsize::new(0);
    let build = || rustlet::Builder::new().workers(1).build().unwrap();
    let runtimes = [build(), build()];
    scope(|s| {
        s.spawn(|| count.fetch_add(1, Ordering::SeqCst));
        for runtime in &runtimes {
            runtime.run(|| {
                s.spawn(|| {
                    turns();
                    count.fetch_add(1, Ordering::SeqCst);
                });
            });
        }
    });
    assert_eq!(count.into_inner(), 3);
}

#[test]
fn os_threads_spawn_on_a_scope_of_a_green_one() {
    run(|| {
        let count = AtomicUsize::new(0);
        scope(|s| {
            std::thread::scope(|os| {
                // std's scope blocks the worker; the green child that it spawns is on another
                // runtime.
                os.spawn(|| {
                    s.spawn(|| count.fetch_add(1, Ordering::SeqCst))
                        .join()
                        .unwrap()
                });
            });
        });
        assert_eq!(count.into_inner(), 1);
    });
}

#[test]
fn a_refused_spawn_leaves_the_scope_whole() {
    let runtime = rustlet::Builder::new()
        .workers(1)
        .max_threads(1)
        .build()
        .unwrap();
    runtime.run(|| {
        let count = AtomicUsize::new(0);
        scope(|s| {
            for _ in 0..3 {
                let refused =
                    thread::Builder::new().spawn_scoped(s, || count.fetch_add(1, Ordering::SeqCst));
                assert!(refused.unwrap_err().to_string().contains("max_threads"));
            }
        });
        let payload = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| count.fetch_add(1, Ordering::SeqCst));
            });
        }));
        assert!(payload.is_err());
        assert_eq!(count.into_inner(), 0);
    });
}

#[test]
fn a_result_whose_destructor_panics_is_dropped_with_its_thread() {
    struct Bomb<'a>(&'a AtomicUsize);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            resume_unwind(Box::new("bomb"));
        }
    }
    run(|| {
        let drops = AtomicUsize::new(0);
        scope(|s| {
            s.spawn(|| Bomb(&drops));
            s.spawn(|| (1_u8, Some([Bomb(&drops)])));
            // Too large for the control block.
            s.spawn(|| ([0_u64; 64], Bomb(&drops)));
            let late = s.spawn(|| Bomb(&drops));
            while !late.is_finished() {
                yield_now();
            }
            drop(late);
            // Without a destructor, in the control block and too large for it.
            s.spawn(|| 1_u8);
            s.spawn(|| [0_u64; 64]);
        });
        assert_eq!(drops.into_inner(), 4);
    });
}

/// The closure that could not be spawned is dropped, and its destructor panics: the scope must not
/// wait for it.
#[test]
fn a_refused_closure_whose_destructor_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let name = "ours::a_refused_closure_whose_destructor_panics";
    let output = child(name, || {
        let runtime = rustlet::Builder::new()
            .workers(1)
            .max_threads(2)
            .build()
            .unwrap();
        runtime.run(|| {
            let owner = spawn_local(|| {
                scope(|s| {
                    let bomb = Bomb;
                    let _refused = thread::Builder::new().spawn_scoped(s, move || drop(bomb));
                });
            });
            for _ in 0..1_000 {
                yield_now();
            }
            if !owner.is_finished() {
                eprintln!("the scope waits for a thread that was never spawned");
                std::process::exit(1);
            }
            assert_eq!(
                owner.join().unwrap_err().downcast_ref::<&str>(),
                Some(&"bomb")
            );
        });
    });
    succeeded(&output);
}

#[test]
fn a_handle_that_is_forgotten_leaks_and_no_more() {
    run(|| {
        let ended = AtomicUsize::new(0);
        let text = String::from("text");
        scope(|s| {
            for _ in 0..3 {
                let handle = s.spawn(|| {
                    yield_now();
                    ended.fetch_add(1, Ordering::SeqCst);
                    // A result that borrows, and is never dropped.
                    &text
                });
                #[allow(clippy::mem_forget, reason = "the point of the test")]
                std::mem::forget(handle);
            }
        });
        assert_eq!(ended.load(Ordering::SeqCst), 3);
        drop(text);
    });
}

#[test]
fn locals_of_a_child_are_dropped_before_the_scope_ends() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Local;
    impl Drop for Local {
        fn drop(&mut self) {
            yield_now();
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    rustlet::thread_local! {
        static LOCAL: Local = const { Local };
    }
    run(|| {
        scope(|s| {
            for _ in 0..5 {
                s.spawn(|| LOCAL.with(|_| ()));
            }
        });
        assert_eq!(DROPS.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn many_threads_in_a_scope() {
    run(|| {
        for _ in 0..stress(5) {
            let data: Vec<usize> = (0..1_000).collect();
            let total = AtomicUsize::new(0);
            scope(|s| {
                for chunk in data.chunks(7) {
                    let total = &total;
                    s.spawn(move || {
                        match chunk[0] % 3 {
                            0 => yield_now(),
                            1 => sleep(Duration::from_micros(10)),
                            _ => {}
                        }
                        let sum: usize = scope(|t| {
                            let halves = chunk.split_at(chunk.len() / 2);
                            let left = t.spawn(move || halves.0.iter().sum::<usize>());
                            let right: usize = halves.1.iter().sum();
                            left.join().unwrap() + right
                        });
                        total.fetch_add(sum, Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(total.into_inner(), 499_500);
        }
    });
}

/// The first of several that borrow; the completion receiver of a thread outlives its scope.
#[test]
fn the_ends_of_scoped_threads_are_received() {
    let case = || {
        let names = ["slow", "quick"];
        let gate = AtomicBool::new(false);
        let later = scope(|s| {
            let slow = s.spawn(|| {
                while !gate.load(Ordering::SeqCst) {
                    sleep(Duration::from_micros(100));
                }
                names[0]
            });
            let quick = s.spawn(|| names[1]);
            select! {
                recv(slow.done()) -> _ => panic!("it waits for the gate"),
                recv(quick.done()) -> ended => {
                    assert_eq!(ended, Ok(()));
                    assert_eq!(quick.join().unwrap(), "quick");
                }
            }
            let later = slow.done();
            assert!(later.try_recv().is_err());
            gate.store(true, Ordering::SeqCst);
            later.recv().unwrap();
            assert!(slow.is_finished());
            assert_eq!(slow.join().unwrap(), "slow");

            // From a thread that is cancelled, and whose handle is dropped.
            let parked = s.spawn(park);
            parked.cancel();
            let gone = parked.done();
            drop(parked);
            gone.recv().unwrap();
            later
        });
        assert_eq!(later.recv(), Ok(()));
    };
    run(case);
    super::on_one_worker(case);
    case();
}

/// Threads on all workers spawn into the scope while its owner is cancelled: none of the spawned
/// threads is missed.
#[test]
fn threads_spawned_while_a_scope_is_cancelled_are_cancelled_too() {
    for _ in 0..stress(20) {
        let runtime = rustlet::Builder::new().workers(2).build().unwrap();
        runtime.run(|| {
            let spawned = Arc::new(AtomicUsize::new(0));
            let count = spawned.clone();
            let owner = spawn(move || {
                scope(|s| {
                    let count = &count;
                    for _ in 0..4 {
                        s.spawn(move || {
                            loop {
                                s.spawn(park);
                                count.fetch_add(1, Ordering::Relaxed);
                                yield_now();
                            }
                        });
                    }
                    park();
                });
            });
            while spawned.load(Ordering::Relaxed) < 100 {
                yield_now();
            }
            owner.cancel();
            assert!(Cancelled::is(&owner.join().unwrap_err()));
        });
    }
}
