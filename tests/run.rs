//! The life of a runtime: `run`, `run_all`, `Runtime`, `Handle`, the process-wide one, and how each
//! of them ends.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

use rustlet::runtime::{Builder, threads};
use rustlet::{Cancelled, park, run, run_all, scope, sleep, spawn, spawn_local, thread, yield_now};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{child, child_with, stress, succeeded};

mod support;

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn turns() {
    for _ in 0..10 {
        yield_now();
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn os_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Returns how many OS threads are listed once there are no more than before (or the time limit
/// elapses): a joined thread may stay listed for a moment, and may have been listed when those
/// before were counted.
fn os_threads_left(before: usize) -> usize {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while os_threads() > before && std::time::Instant::now() < patience {
        std::thread::yield_now();
    }
    os_threads()
}

// --- the results ---

#[test]
fn it_borrows_and_returns() {
    let mut numbers = vec![1, 2, 3];
    let text = String::from("text");
    let part: &str = run(|| {
        numbers.push(4);
        &text[..2]
    });
    assert_eq!((numbers.as_slice(), part), (&[1, 2, 3, 4][..], "te"));
    run_all(|| numbers.clear());
    assert!(numbers.is_empty());
    let moved = run(move || numbers);
    assert!(moved.is_empty());
    assert_eq!(run(|| [7_u64; 100]), [7; 100]);
}

#[test]
fn its_panic_comes_out() {
    for run in [
        || run(|| resume_unwind(Box::new(5_u8))),
        || run_all(|| resume_unwind(Box::new(5_u8))),
    ] as [fn(); 2]
    {
        let payload = catch_unwind(run).unwrap_err();
        assert_eq!(payload.downcast_ref::<u8>(), Some(&5));
    }
    // The runtime is gone all the same, and the next one starts.
    assert_eq!(run(|| 1), 1);
}

#[test]
fn the_first_thread_is_called_main() {
    run(|| assert_eq!(rustlet::current().name(), Some("main")));
}

#[test]
fn inside_a_green_thread_it_is_refused() {
    let refused = |call: fn()| {
        let payload = run(move || catch_unwind(call)).unwrap_err();
        let text = payload.downcast_ref::<&str>().copied().map(String::from);
        let text = text
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap();
        assert!(text.contains("inside a green thread"), "{text}");
    };
    refused(|| run(|| ()));
    refused(|| run_all(|| ()));
    refused(|| Builder::new().workers(1).build().unwrap().run(|| ()));
    refused(|| {
        let runtime = Builder::new().workers(1).build().unwrap();
        let _ended = runtime.shutdown(Duration::ZERO);
    });
}

#[test]
fn several_os_threads_run_at_once() {
    let total = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for number in 0..4 {
            let total = &total;
            s.spawn(move || {
                for _ in 0..stress(5) {
                    let sum: usize = run(|| {
                        let threads: Vec<_> = (0..10).map(|n| spawn(move || n * number)).collect();
                        threads.into_iter().map(|t| t.join().unwrap()).sum()
                    });
                    total.fetch_add(sum, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 45 * 6 * stress(5));
}

#[test]
fn an_os_thread_of_a_green_one_may_run() {
    let inner = run(|| {
        let os = std::thread::spawn(|| run(|| spawn(|| 5).join().unwrap()));
        while !os.is_finished() {
            yield_now();
        }
        os.join().unwrap()
    });
    assert_eq!(inner, 5);
}

// --- repeated runs ---

#[test]
fn nothing_is_left_behind_by_many_runs() {
    let output = child("nothing_is_left_behind_by_many_runs", || {
        let cycle = || {
            let runtime = Builder::new().workers(2).build().unwrap();
            runtime.run(|| {
                for number in 0..20 {
                    drop(spawn(move || match number % 4 {
                        0 => park(),
                        1 => sleep(Duration::MAX),
                        2 => loop {
                            yield_now();
                        },
                        _ => {}
                    }));
                }
                // A socket that is registered with a reactor, and is still being waited for.
                let listener = rustlet::net::TcpListener::bind("127.0.0.1:0").unwrap();
                spawn(move || drop(listener.accept()));
                turns();
            });
        };
        for _ in 0..3 {
            cycle();
        }
        let before = (open_descriptors(), os_threads());
        for _ in 0..stress(200) {
            cycle();
        }
        let threads_left = os_threads_left(before.1);
        assert!(threads_left <= before.1, "{threads_left} of {before:?}");
        // Fewer, if an OS thread of the first runs had not closed its own yet.
        let open = open_descriptors();
        assert!(open <= before.0, "{open} of {before:?}");
        assert!(threads().is_empty(), "{:?}", threads());
    });
    succeeded(&output);
}

#[test]
fn a_runtime_that_cannot_start_leaves_nothing_behind() {
    if support::is_emulated() {
        // The emulator needs descriptors of its own under the limit that this sets.
        return;
    }
    let output = child("a_runtime_that_cannot_start_leaves_nothing_behind", || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        drop(Builder::new().workers(1).build().unwrap());
        let hard = getrlimit(Resource::Nofile).maximum;
        let limit = |current| {
            let limit = Rlimit {
                current: Some(current),
                maximum: hard,
            };
            setrlimit(Resource::Nofile, limit).unwrap();
        };
        let before = (open_descriptors(), os_threads());
        for workers in [40, 70, 200, usize::MAX] {
            limit(64);
            let error = Builder::new().workers(workers).build().unwrap_err();
            limit(1024);
            assert_eq!(error.raw_os_error().or(Some(24)), Some(24), "{error}");
            let threads_left = os_threads_left(before.1);
            assert!(threads_left <= before.1, "{threads_left} of {before:?}");
            let open = open_descriptors();
            assert!(open <= before.0, "{workers} workers: {open} of {before:?}");
        }
        assert_eq!(Builder::new().workers(2).build().unwrap().run(|| 5), 5);
    });
    succeeded(&output);
}

#[test]
fn a_name_that_no_os_thread_can_have_is_an_error() {
    let error = Builder::new().workers(1).name("a\0b").build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("NUL"), "{error}");
}

// --- the end ---

#[test]
fn threads_left_at_the_end_are_unwound() {
    let drops = Arc::new(AtomicUsize::new(0));
    let spawned = Arc::new(AtomicUsize::new(0));
    run(|| {
        let leave = |body: fn()| {
            let capture = Counted(drops.clone());
            spawned.fetch_add(1, Ordering::SeqCst);
            drop(spawn(move || {
                let _capture = capture;
                let _local = Rc::new(Cell::new(0));
                body();
                unreachable!("it never continues");
            }));
        };
        for _ in 0..20 {
            leave(park);
            leave(|| sleep(Duration::MAX));
            leave(|| thread::park_timeout(Duration::from_secs(1 << 32)));
            leave(|| {
                loop {
                    yield_now();
                }
            });
            leave(|| {
                loop {
                    sleep(Duration::from_millis(1));
                }
            });
            leave(|| {
                spawn(park)
                    .join()
                    .unwrap_or_else(|payload| resume_unwind(payload))
            });
            leave(|| {
                scope(|s| {
                    drop(s.spawn(park).join());
                });
                park();
            });
            leave(|| {
                drop(catch_unwind(park));
                park();
            });
            leave(|| {
                loop {
                    drop(spawn(yield_now));
                    yield_now();
                }
            });
        }
        turns();
        // These have had no time to start.
        for _ in 0..20 {
            leave(park);
        }
    });
    assert_eq!(drops.load(Ordering::SeqCst), spawned.load(Ordering::SeqCst));
}

#[test]
fn a_thread_that_has_not_started_never_runs() {
    let drops = Arc::new(AtomicUsize::new(0));
    let ran = Arc::new(AtomicUsize::new(0));
    let runtime = Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        for number in 0..100 {
            let (capture, ran) = (Counted(drops.clone()), ran.clone());
            let body = move || {
                let _capture = &capture;
                ran.fetch_add(1, Ordering::SeqCst);
            };
            drop(if number % 2 == 0 {
                spawn(body)
            } else {
                spawn_local(body)
            });
        }
        // One worker, and it is busy with this thread: none of them has started.
    });
    // The runtime stays alive, so they do run: this is no end.
    runtime.run(turns);
    assert_eq!(
        (drops.load(Ordering::SeqCst), ran.load(Ordering::SeqCst)),
        (100, 100)
    );

    let handle = Mutex::new(None);
    runtime.run(|| {
        let capture = Counted(drops.clone());
        let blocker = spawn_local(|| ());
        *handle.lock().unwrap() = Some(spawn(move || {
            let _capture = &capture;
            park();
        }));
        drop(blocker);
    });
    drop(runtime);
    assert_eq!(drops.load(Ordering::SeqCst), 101);
    let handle = handle.into_inner().unwrap().unwrap();
    assert!(handle.is_finished());
    assert!(handle.join().unwrap_err().is::<Cancelled>());
}

#[test]
fn handles_outlive_the_run() {
    let (early, late) = run(|| {
        let early = spawn(|| 5);
        while !early.is_finished() {
            yield_now();
        }
        (early, spawn(park))
    });
    assert!(late.is_finished());
    late.thread().unpark();
    late.cancel();
    assert_eq!(early.join().unwrap(), 5);
    assert!(late.join().unwrap_err().is::<Cancelled>());
}

#[test]
fn the_end_is_silent() {
    let output = child("the_end_is_silent", || {
        run(|| {
            for _ in 0..10 {
                drop(spawn(park));
                drop(spawn(|| sleep(Duration::MAX)));
            }
            turns();
        });
    });
    assert_eq!(succeeded(&output), "");
}

/// The most common way to join, and the most common way to leave threads: no message may result.
#[test]
fn a_thread_that_unwraps_a_join_ends_in_silence() {
    let output = child("a_thread_that_unwraps_a_join_ends_in_silence", || {
        run(|| {
            for _ in 0..10 {
                // The joined thread is older than its joiner in some cases, and younger in others.
                let child = spawn_local(park);
                drop(spawn_local(move || child.join().unwrap()));
                drop(spawn_local(|| spawn_local(park).join().unwrap()));
            }
            turns();
        });
    });
    assert_eq!(succeeded(&output), "");
}

#[test]
fn a_destructor_may_wait_while_its_thread_is_unwound() {
    let log: Arc<Mutex<Vec<&str>>> = Arc::default();
    run(|| {
        for _ in 0..3 {
            let log = log.clone();
            spawn_local(move || {
                let _guard = OnDrop(|| {
                    log.lock().unwrap().push("begins");
                    sleep(Duration::from_millis(2));
                    // A thread that is spawned now is cancelled as it starts, and joined all the
                    // same.
                    assert!(spawn(|| 5).join().unwrap_err().is::<Cancelled>());
                    yield_now();
                    log.lock().unwrap().push("ends");
                });
                park();
            });
        }
        turns();
    });
    let mut log = Arc::into_inner(log).unwrap().into_inner().unwrap();
    log.sort_unstable();
    assert_eq!(log, ["begins", "begins", "begins", "ends", "ends", "ends"]);
}

/// Threads of one worker that are unwound, some of them for long: the others get their turn all the
/// same.
#[test]
fn a_long_destructor_does_not_hold_up_the_others() {
    let name = "a_long_destructor_does_not_hold_up_the_others";
    let output = child(name, || {
        let ended = Arc::new(AtomicUsize::new(0));
        Builder::new().workers(1).build().unwrap().run(|| {
            for number in 0..9 {
                let ended = ended.clone();
                drop(spawn_local(move || {
                    let _guard = OnDrop(|| {
                        if number % 4 == 0 {
                            sleep(Duration::from_millis(10));
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                    park();
                }));
            }
            turns();
        });
        assert_eq!(ended.load(Ordering::SeqCst), 9);
    });
    assert_eq!(succeeded(&output), "", "no thread is left behind");
}

#[test]
fn a_thread_that_catches_its_cancellation_is_cancelled_again() {
    let caught = Arc::new(AtomicUsize::new(0));
    run(|| {
        let caught = caught.clone();
        spawn_local(move || {
            while caught.load(Ordering::SeqCst) < 200 {
                if catch_unwind(park).is_err() {
                    caught.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        turns();
    });
    assert_eq!(caught.load(Ordering::SeqCst), 200);
}

#[test]
fn destructors_that_spawn_come_to_an_end() {
    struct Chain(u32, Arc<AtomicUsize>);
    impl Drop for Chain {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            if self.0 > 0 {
                let next = Chain(self.0 - 1, self.1.clone());
                drop(spawn(move || drop(next)));
            }
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    run(|| {
        let chain = Chain(50, drops.clone());
        drop(spawn(move || {
            let _chain = chain;
            park();
        }));
        turns();
    });
    assert_eq!(drops.load(Ordering::SeqCst), 51);
}

#[test]
fn a_thread_that_never_ends_is_named_and_left() {
    let output = child("a_thread_that_never_ends_is_named_and_left", || {
        let runtime = Builder::new()
            .workers(2)
            // Not the subject of this test: it would report the thread.
            .watchdog(Duration::from_secs(3600))
            .shutdown_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        let started = Arc::new(AtomicBool::new(false));
        let drops = Arc::new(AtomicUsize::new(0));
        runtime.run(|| {
            let theirs = started.clone();
            let busy = thread::Builder::new().name("busy".into()).spawn(move || {
                theirs.store(true, Ordering::SeqCst);
                loop {
                    std::hint::spin_loop();
                }
            });
            drop(busy.unwrap());
            // Not `yield_now`: the other worker has to start it.
            while !started.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            let capture = Counted(drops.clone());
            drop(spawn_local(move || {
                let _capture = capture;
                park();
            }));
            yield_now();
        });
        drop(runtime);
        // Those of the other worker were unwound: there was time for that.
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        eprintln!("the end");
    });
    let said = succeeded(&output);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].contains("1 green threads were cancelled and have not ended within 3s"),
        "{said}"
    );
    assert!(
        lines[1].contains("green thread 'busy'") && lines[1].contains("spawned at tests/run.rs"),
        "{said}"
    );
    assert_eq!(lines[2], "the end");
}

/// A thread that never started, behind a thread that never ends, is ended all the same: its joiner
/// would wait forever.
#[test]
fn an_unstarted_thread_behind_a_busy_one_is_ended() {
    let name = "an_unstarted_thread_behind_a_busy_one_is_ended";
    let output = child(name, || {
        let runtime = Builder::new().workers(1).build().unwrap();
        let started = Arc::new(AtomicBool::new(false));
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = started.clone();
        drop(runtime.spawn(move || {
            theirs.store(true, Ordering::SeqCst);
            loop {
                std::hint::spin_loop();
            }
        }));
        while !started.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let capture = Counted(drops.clone());
        let behind = runtime.spawn(move || drop(capture));
        let error = runtime.shutdown(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.threads().len(), 2, "{error}");
        assert!(behind.is_finished(), "a join would never end");
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(behind.join().unwrap_err().is::<Cancelled>());
    });
    succeeded(&output);
}

#[test]
fn a_thread_that_refuses_to_end_is_named_and_left() {
    let output = child("a_thread_that_refuses_to_end_is_named_and_left", || {
        let runtime = Builder::new().workers(1).build().unwrap();
        runtime.run(|| {
            let stubborn = thread::Builder::new().name("stubborn".into());
            let stubborn = stubborn.spawn_local(|| {
                let _guard = OnDrop(park);
                park();
            });
            drop(stubborn.unwrap());
            turns();
        });
        let error = runtime.shutdown(Duration::from_millis(50)).unwrap_err();
        eprintln!("{error}");
        eprintln!("the end");
    });
    let said = succeeded(&output);
    assert!(
        said.contains("'stubborn'") && said.contains("waits in park"),
        "{said}"
    );
    assert!(said.ends_with("the end\n"), "{said}");
}

#[test]
fn run_all_waits_for_all_threads() {
    let ended = AtomicUsize::new(0);
    let count = Arc::new(AtomicUsize::new(0));
    run_all(|| {
        for number in 0..50_u64 {
            let count = count.clone();
            drop(spawn(move || {
                sleep(Duration::from_micros(number * 50));
                let inner = count.clone();
                drop(spawn(move || {
                    yield_now();
                    inner.fetch_add(1, Ordering::SeqCst);
                }));
                count.fetch_add(1, Ordering::SeqCst);
            }));
        }
        ended.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!((ended.into_inner(), count.load(Ordering::SeqCst)), (1, 100));
}

#[test]
fn run_all_waits_after_a_panic_too() {
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = ended.clone();
    let run = AssertUnwindSafe(|| {
        run_all(move || {
            drop(spawn(move || {
                sleep(Duration::from_millis(2));
                theirs.store(true, Ordering::SeqCst);
            }));
            resume_unwind(Box::new("first"));
        });
    });
    let payload = catch_unwind(run).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"first"));
    assert!(ended.load(Ordering::SeqCst));
}

#[test]
fn run_all_returns_each_time() {
    for _ in 0..stress(200) {
        let count = Arc::new(AtomicUsize::new(0));
        let theirs = count.clone();
        run_all(move || {
            for _ in 0..4 {
                let count = theirs.clone();
                drop(spawn(move || {
                    yield_now();
                    count.fetch_add(1, Ordering::SeqCst);
                }));
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 4);
    }
}

// --- Runtime and Handle ---

#[test]
fn a_runtime_is_used_from_many_sides() {
    fn is<T: Send + Sync>(_: &T) {}
    let runtime = Builder::new().workers(2).name("amber").build().unwrap();
    is(&runtime);
    is(&runtime.handle());
    let names: Vec<_> = std::thread::scope(|s| {
        let threads = [(); 4]
            .map(|()| s.spawn(|| runtime.run(|| std::thread::current().name().map(String::from))));
        threads
            .into_iter()
            .map(|t| t.join().unwrap().unwrap())
            .collect()
    });
    assert!(
        names
            .iter()
            .all(|name| name == "amber-0" || name == "amber-1"),
        "{names:?}"
    );
    assert_eq!(runtime.spawn(|| 5).join().unwrap(), 5);
    let handle = runtime.handle();
    let thread = std::thread::spawn(move || handle.clone().spawn(|| 6).join().unwrap());
    assert_eq!(thread.join().unwrap(), 6);
    // Several runs after one another, in one of which a thread is left to the next.
    let left = runtime.run(|| spawn(park));
    assert!(!left.is_finished());
    runtime.run(|| {
        left.thread().unpark();
        left.join().unwrap();
    });
    runtime.shutdown(Duration::from_secs(60)).unwrap();
}

#[test]
fn metrics_count() {
    let runtime = Builder::new().workers(3).build().unwrap();
    let metrics = runtime.metrics();
    assert_eq!((metrics.workers, metrics.live, metrics.ended), (3, 0, 0));
    assert_eq!(metrics.live_per_worker, [0, 0, 0]);
    let parked: Vec<_> = (0..10).map(|_| runtime.spawn(park)).collect();
    let metrics = runtime.metrics();
    assert_eq!((metrics.live, metrics.ended), (10, 0));
    for thread in &parked {
        thread.thread().unpark();
    }
    for thread in parked {
        thread.join().unwrap();
    }
    // A joiner is woken a moment before the thread is reaped.
    while runtime.metrics().live > 0 {
        std::thread::yield_now();
    }
    assert_eq!(runtime.metrics().ended, 10);
    assert!(format!("{runtime:?}").contains("workers: 3"), "{runtime:?}");
    assert!(format!("{:?}", runtime.handle()).contains("ended: 10"));
}

#[test]
fn dropping_a_runtime_ends_its_threads() {
    let drops = Arc::new(AtomicUsize::new(0));
    let runtime = Builder::new().workers(2).build().unwrap();
    let threads: Vec<_> = (0..50)
        .map(|_| {
            let capture = Counted(drops.clone());
            runtime.spawn(move || {
                let _capture = capture;
                park();
            })
        })
        .collect();
    drop(runtime);
    assert_eq!(drops.load(Ordering::SeqCst), 50);
    for thread in threads {
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    }
}

#[test]
fn a_runtime_dropped_in_a_green_thread_ends_in_the_background() {
    let name = "a_runtime_dropped_in_a_green_thread_ends_in_the_background";
    let output = child(name, || {
        run(|| {
            let runtime = Builder::new().workers(1).build().unwrap();
            let parked = runtime.spawn(park);
            drop(runtime);
            assert!(parked.join().unwrap_err().is::<Cancelled>());
        });
        // Its own thread drops it.
        let runtime = Arc::new(Builder::new().workers(1).build().unwrap());
        let handle = runtime.handle();
        let theirs = runtime.clone();
        let thread = handle.spawn(move || {
            while Arc::strong_count(&theirs) > 1 {
                yield_now();
            }
            drop(theirs);
        });
        drop(runtime);
        let payload = thread.join().unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(
            text.contains("inside one of its own green threads"),
            "{text}"
        );

        // Its own thread drops it while it is unwound: a second panic would abort.
        let runtime = Builder::new().workers(1).build().unwrap();
        let slot = Arc::new(Mutex::new(None));
        let begun = Arc::new(AtomicBool::new(false));
        let (theirs, beginning) = (slot.clone(), begun.clone());
        let thread = runtime.spawn(move || {
            let _guard = OnDrop(|| drop(theirs.lock().unwrap().take()));
            beginning.store(true, Ordering::SeqCst);
            park();
        });
        *slot.lock().unwrap() = Some(runtime);
        while !begun.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    });
    let said = succeeded(&output);
    let count = |text| said.matches(text).count();
    assert_eq!(count("dropped inside a green thread"), 1, "{said}");
    assert_eq!(
        count("rustlet: a Runtime was dropped inside one of its own"),
        2,
        "{said}"
    );
}

/// As the documentation of `Handle::spawn` states: the `join` of a thread that is spawned too late
/// returns `Cancelled`.
#[test]
fn spawning_on_an_ended_runtime_gives_cancelled() {
    for by_drop in [false, true] {
        let runtime = Builder::new().workers(2).build().unwrap();
        let handle = runtime.handle();
        if by_drop {
            drop(runtime);
        } else {
            runtime.shutdown(Duration::from_secs(60)).unwrap();
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let spawn = |handle: &rustlet::runtime::Handle| {
            let capture = Counted(drops.clone());
            handle.spawn(move || drop(capture))
        };
        // No thread runs any more that could end them later.
        let late = spawn(&handle);
        assert!(late.is_finished(), "a join would never end");
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(late.join().unwrap_err().is::<Cancelled>());
        drop(spawn(&handle));
        assert_eq!(drops.load(Ordering::SeqCst), 2);
        let late = run(|| spawn(&handle).join());
        assert!(late.unwrap_err().is::<Cancelled>());
    }
}

#[test]
fn spawning_while_a_runtime_ends_always_comes_to_an_end() {
    for _ in 0..stress(20) {
        let runtime = Builder::new().workers(2).build().unwrap();
        let handle = runtime.handle();
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = stop.clone();
        let drops = Arc::new(AtomicUsize::new(0));
        let dropped = drops.clone();
        let spawner = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while !theirs.load(Ordering::SeqCst) && threads.len() < 10_000 {
                let capture = Counted(dropped.clone());
                threads.push(handle.spawn(move || {
                    let _capture = capture;
                    yield_now();
                }));
            }
            threads
        });
        runtime.run(turns);
        runtime.shutdown(Duration::from_secs(60)).unwrap();
        stop.store(true, Ordering::SeqCst);
        let threads = spawner.join().unwrap();
        let count = threads.len();
        // All of them have ended by now, or never will.
        let left = threads
            .iter()
            .filter(|thread| !thread.is_finished())
            .count();
        assert_eq!(left, 0, "of {count}");
        drop(threads);
        assert_eq!(drops.load(Ordering::SeqCst), count);
    }
}

/// A stream that two runtimes use at once is registered with one of them. When that one ends, the
/// waits of the other continue.
#[test]
fn a_stream_outlives_one_of_its_runtimes() {
    use rustlet::runtime::ThreadState;
    use std::io::{Read, Write};

    const BYTES: usize = 32 << 20;
    let output = child("a_stream_outlives_one_of_its_runtimes", || {
        let await_wait = |reason| {
            let waits = || {
                let list = threads();
                list.iter()
                    .any(|t| t.waits_in == reason && t.state == ThreadState::Waiting)
            };
            while !waits() {
                std::thread::yield_now();
            }
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Arc::new(rustlet::net::TcpStream::connect(address).unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let build = || Builder::new().workers(1).build().unwrap();
        let (one, other) = (build(), build());

        let theirs = stream.clone();
        let reader = one.spawn(move || (&*theirs).read(&mut [0]).map(drop));
        await_wait("read");
        let writer = other.spawn(move || (&*stream).write_all(&vec![1; BYTES]).unwrap());
        await_wait("write");
        one.shutdown(Duration::from_secs(60)).unwrap();
        assert!(reader.is_finished());

        let mut received = 0;
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut buffer = vec![0; 1 << 16];
        while received < BYTES {
            match peer.read(&mut buffer) {
                Ok(count @ 1..) => received += count,
                end => panic!("{end:?} after {received} bytes: the writer waits forever"),
            }
        }
        writer.join().unwrap();
    });
    succeeded(&output);
}

// --- the builder ---

#[test]
fn a_builder_checks_the_environment() {
    for (name, value) in [
        ("RUSTLET_WORKERS", "many"),
        ("RUSTLET_WORKERS", "0"),
        ("RUSTLET_STACK_SIZE", "-1"),
        ("RUSTLET_STACK_SIZE", ""),
    ] {
        let output = child_with("a_builder_checks_the_environment", &[(name, value)], || {
            let error = Builder::new().build().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let name = ["RUSTLET_WORKERS", "RUSTLET_STACK_SIZE"]
                .into_iter()
                .find(|name| {
                    std::env::var_os(name).is_some_and(|value| value != "3" && value != "400000")
                });
            assert!(error.to_string().contains(name.unwrap()), "{error}");
        });
        succeeded(&output);
    }
}

#[test]
fn the_environment_sets_the_defaults() {
    let variables = [("RUSTLET_WORKERS", "3"), ("RUSTLET_STACK_SIZE", "4000000")];
    let output = child_with("the_environment_sets_the_defaults", &variables, || {
        fn dig(depth: u32) -> u32 {
            let frame = std::hint::black_box([depth as u8; 1 << 10]);
            if depth == 0 {
                u32::from(frame[0])
            } else {
                dig(depth - 1) + 1
            }
        }
        let runtime = Builder::new().build().unwrap();
        assert_eq!(runtime.metrics().workers, 3);
        // More than 1 MiB.
        assert_eq!(runtime.run(|| dig(1_000)), 1_000);
        assert_eq!(
            Builder::new().workers(1).build().unwrap().metrics().workers,
            1
        );
        assert_eq!(
            Builder::new().workers(0).build().unwrap().metrics().workers,
            1
        );
        assert_eq!(spawn(|| dig(1_000)).join().unwrap(), 1_000);
    });
    succeeded(&output);
}

#[test]
fn a_limit_of_none_refuses_even_the_first() {
    let runtime = Builder::new().workers(1).max_threads(0).build().unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| runtime.run(|| ()))).unwrap_err();
    assert!(
        payload
            .downcast_ref::<String>()
            .unwrap()
            .contains("max_threads")
    );
}

// --- panics that a runtime must survive ---

/// std aborts when the payload of an ignored panic panics as it is dropped. Here a worker must not
/// die of it, nor may it come out where the handle is dropped, which may be in a destructor.
#[test]
fn a_payload_that_panics_when_dropped() {
    struct Bomb(u32);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                resume_unwind(Box::new(Bomb(self.0 - 1)));
            }
        }
    }
    let runtime = Builder::new().workers(1).build().unwrap();
    for levels in 0..4 {
        runtime.run(|| {
            // Dropped before the thread has started: its payload is dropped at its end, by its
            // worker.
            drop(spawn(move || resume_unwind(Box::new(Bomb(levels)))));
            assert_eq!(spawn(|| 5).join().unwrap(), 5);
            // Dropped when it has ended: its payload is dropped with the handle.
            let ended = spawn(move || resume_unwind(Box::new(Bomb(levels))));
            while !ended.is_finished() {
                yield_now();
            }
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(ended)));
            if let Err(payload) = dropped {
                let _leaked = std::mem::ManuallyDrop::new(payload);
                panic!("it came out of the drop of a handle");
            }
        });
    }
}
