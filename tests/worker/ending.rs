//! The end of a worker: whoever is left is unwound, whoever refuses is named.

use super::support::{child, succeeded};
use super::{Said, tick_all};
use rustlet::{Worker, park, sleep, spawn_local, thread, yield_now};
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Says so when it is dropped.
struct Dropped(Said, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[test]
fn a_drop_unwinds_who_is_left() {
    let (worker, said) = (Worker::new(), Said::default());
    let unstarted = Dropped(said.clone(), "unstarted");
    let first = Dropped(said.clone(), "parked");
    let parked = worker.assign(move || {
        let _first = first;
        park();
    });
    let second = Dropped(said.clone(), "asleep");
    worker.assign(move || {
        let child = spawn_local(move || {
            let _second = second;
            sleep(Duration::MAX);
        });
        let _joined = child.join();
    });
    tick_all(&worker);
    let never = worker.assign(move || drop(unstarted));
    drop(worker);
    let mut said = said.0.take();
    said.sort_unstable();
    assert_eq!(said, ["asleep", "parked", "unstarted"]);
    assert!(parked.join().unwrap_err().is::<rustlet::Cancelled>());
    assert!(never.join().unwrap_err().is::<rustlet::Cancelled>());
}

#[test]
fn what_they_do_while_they_unwind() {
    struct Waits(Said);
    impl Drop for Waits {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            self.0.say("waited");
        }
    }
    let (worker, said) = (Worker::new(), Said::default());
    let ours = said.clone();
    worker.assign(move || {
        let _waits = Waits(ours.clone());
        // Swallowed, and told again.
        for _ in 0..3 {
            let _cancelled = catch_unwind(AssertUnwindSafe(park));
            ours.say("caught");
        }
        park();
    });
    tick_all(&worker);
    drop(worker);
    assert_eq!(said.take(), "caught caught caught waited");
}

#[test]
fn what_they_spawn_while_they_unwind() {
    struct Spawns(Said);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let said = Dropped(self.0.clone(), "never ran");
            spawn_local(move || said.0.say("ran"));
        }
    }
    let (worker, said) = (Worker::new(), Said::default());
    let spawns = Spawns(said.clone());
    worker.assign(move || {
        let _spawns = spawns;
        park();
    });
    tick_all(&worker);
    drop(worker);
    assert_eq!(said.take(), "never ran");
}

#[test]
fn others_may_come_too_late() {
    let worker = Worker::new();
    let handle = worker.handle();
    let parked = worker.assign(park);
    let thread = parked.thread().clone();
    tick_all(&worker);
    let dropping = handle.clone();
    let other = std::thread::spawn(move || {
        (0..2_000)
            .map(|_| dropping.spawn(yield_now))
            .collect::<Vec<_>>()
    });
    drop(worker);
    for late in other.join().unwrap() {
        assert!(late.join().unwrap_err().is::<rustlet::Cancelled>());
    }
    thread.unpark();
    let late = handle.spawn(|| ());
    assert!(late.join().unwrap_err().is::<rustlet::Cancelled>());
    assert!(handle.spawn(|| ()).is_finished());
}

#[test]
fn it_gives_back_what_it_took() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let output = child("ending::it_gives_back_what_it_took", || {
        drop(Worker::new());
        let before = descriptors();
        let workers: Vec<_> = (0..10).map(|_| Worker::new()).collect();
        assert_eq!(descriptors(), before + 50);
        for worker in &workers {
            worker.assign(park);
            worker.tick();
            let _fd = worker.as_fd();
        }
        drop(workers);
        assert_eq!(descriptors(), before);
        let live = rustlet::runtime::threads();
        assert!(live.is_empty(), "{live:?}");
    });
    succeeded(&output);
}

// --- a drop that is part of an unwinding ---

#[test]
fn a_panic_of_the_loop_unwinds_them() {
    struct Waits(Said);
    impl Drop for Waits {
        fn drop(&mut self) {
            yield_now();
            sleep(Duration::from_micros(1));
            self.0.say("waited");
        }
    }
    let said = Said::default();
    let ours = said.clone();
    let payload = catch_unwind(AssertUnwindSafe(move || {
        let worker = Worker::new();
        let (parked, yielding, unstarted) = (ours.clone(), ours.clone(), ours.clone());
        worker.assign(move || {
            let _waits = Waits(parked.clone());
            let _dropped = Dropped(parked, "parked");
            park();
        });
        worker.assign(move || {
            let _dropped = Dropped(yielding, "yielding");
            loop {
                yield_now();
            }
        });
        for _ in 0..5 {
            worker.tick();
        }
        let dropped = Dropped(unstarted, "unstarted");
        worker.assign(move || drop(dropped));
        resume_unwind(Box::new("the loop's"));
    }))
    .unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the loop's"));
    let said = said.take();
    let mut words: Vec<_> = said.split(' ').collect();
    words.sort_unstable();
    assert_eq!(words, ["parked", "unstarted", "waited", "yielding"]);
    assert!(!std::thread::panicking());
}

#[test]
fn a_destructor_of_the_loop_may_tick() {
    struct Ticks(Worker, Said);
    impl Drop for Ticks {
        fn drop(&mut self) {
            let said = self.1.clone();
            self.0.assign(move || {
                yield_now();
                sleep(Duration::from_micros(1));
                said.say("done");
            });
            let ticked = self.1.clone();
            let cancelled = self.0.assign(move || {
                let _dropped = Dropped(ticked, "cancelled");
                park();
            });
            self.0.tick();
            self.0.tick();
            cancelled.cancel();
            self.0.work();
        }
    }
    let said = Said::default();
    let ticks = Ticks(Worker::new(), said.clone());
    let _payload = catch_unwind(AssertUnwindSafe(move || {
        let _ticks = ticks;
        resume_unwind(Box::new(()));
    }))
    .unwrap_err();
    let mut words: Vec<_> = said.0.take();
    words.sort_unstable();
    assert_eq!(words, ["cancelled", "done"]);
}

/// While a thread of one worker is suspended in the middle of an unwinding, those of another cannot tell whether they
/// unwind, and are told of their cancellation when it can be told.
#[test]
fn a_suspended_unwinding_of_another_worker() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            park();
        }
    }
    let (one, other) = (Worker::new(), Worker::new());
    let unwinding = one.assign(|| {
        let _parks = Parks;
        resume_unwind(Box::new("unwinding"));
    });
    one.tick();
    assert!(std::thread::panicking());
    let theirs = other.assign(park);
    tick_all(&other);
    theirs.cancel();
    tick_all(&other);
    assert!(!theirs.is_finished(), "it cannot be told yet");
    unwinding.thread().unpark();
    tick_all(&one);
    assert!(!std::thread::panicking());
    assert_eq!(
        unwinding.join().unwrap_err().downcast_ref(),
        Some(&"unwinding")
    );
    other.work();
    assert!(theirs.join().unwrap_err().is::<rustlet::Cancelled>());
}

// --- where it is dropped ---

thread_local! {
    static KEPT: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

#[test]
fn a_worker_in_a_thread_local() {
    let (to, from) = std::sync::mpsc::channel();
    struct Tells(std::sync::mpsc::Sender<bool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(std::thread::panicking()).unwrap();
        }
    }
    std::thread::spawn(move || {
        let worker = Worker::new();
        let tells = Tells(to.clone());
        worker.assign(move || {
            let _tells = tells;
            park();
        });
        let tells = Tells(to);
        worker.assign(move || drop(tells));
        worker.tick();
        KEPT.set(Some(worker));
    })
    .join()
    .unwrap();
    // One unwinds, one never runs.
    let mut told: Vec<bool> = from.iter().collect();
    told.sort_unstable();
    assert_eq!(told, [false, true]);
}

/// Those thread-locals go last that are oldest: when what the library keeps for the OS thread has gone.
#[test]
fn workers_in_the_last_destructors_of_their_os_thread() {
    struct Last(Option<Worker>);
    impl Drop for Last {
        fn drop(&mut self) {
            drop(self.0.take());
            let other = Worker::new();
            let written = other.assign(write);
            other.work();
            written.join().unwrap();
        }
    }
    thread_local! {
        static LAST: RefCell<Last> = const { RefCell::new(Last(None)) };
    }
    struct Writes;
    impl Drop for Writes {
        fn drop(&mut self) {
            write();
        }
    }
    fn write() {
        let path = std::env::temp_dir().join(format!("rustlet-last-{}", std::process::id()));
        let mut file = rustlet::fs::File::create(&path).unwrap();
        file.write_all(b"last words").unwrap();
        rustlet::fs::remove_file(path).unwrap();
    }
    let output = child(
        "ending::workers_in_the_last_destructors_of_their_os_thread",
        || {
            let os_thread = std::thread::spawn(|| {
                LAST.with_borrow(|_| ());
                let worker = Worker::new();
                worker.assign(write);
                worker.work();
                worker.assign(|| {
                    let _writes = Writes;
                    park();
                });
                worker.tick();
                LAST.with_borrow_mut(|last| last.0 = Some(worker));
            });
            os_thread.join().unwrap();
        },
    );
    succeeded(&output);
}

#[test]
fn a_worker_that_is_dropped_in_a_green_thread() {
    let (outer, said) = (Worker::new(), Said::default());
    let inner = Worker::new();
    let dropped = Dropped(said.clone(), "inner");
    inner.assign(move || {
        let _dropped = dropped;
        park();
    });
    inner.tick();
    let ours = said.clone();
    outer.assign(move || {
        drop(inner);
        yield_now();
        ours.say("outer");
    });
    outer.work();
    assert_eq!(said.take(), "inner outer");
    rustlet::run(|| {
        let inside = Worker::new();
        drop(inside.assign(park));
    });
}

#[test]
fn a_worker_that_its_own_thread_holds_is_leaked() {
    let worker = Rc::new(Worker::new());
    let own = Rc::clone(&worker);
    let handle = worker.assign(move || {
        let _own = own;
        park();
    });
    tick_all(&worker);
    drop(worker);
    handle.thread().unpark();
    assert!(!handle.is_finished());
}

#[test]
fn a_worker_that_is_never_ticked_again() {
    let worker = Worker::new();
    let parked: Vec<_> = (0..100).map(|_| worker.assign(park)).collect();
    let _fd = worker.as_fd();
    tick_all(&worker);
    let threads: Vec<_> = parked.iter().map(|p| p.thread().clone()).collect();
    let handle = worker.handle();
    std::thread::spawn(move || {
        for _ in 0..100 {
            threads.iter().for_each(thread::Thread::unpark);
            drop(handle.spawn(|| ()));
        }
    })
    .join()
    .unwrap();
    assert!(parked.iter().all(|p| !p.is_finished()));
    assert_eq!(worker.live(), 200);
}

// --- what kills ---

#[test]
fn one_that_refuses_to_end_is_named() {
    let output = child("ending::one_that_refuses_to_end_is_named", || {
        let worker = rustlet::Builder::new()
            .shutdown_timeout(Duration::from_millis(20))
            .build_worker()
            .unwrap();
        worker.assign(|| {
            let stubborn = thread::Builder::new().name("stubborn".into());
            let _stubborn = stubborn.spawn(|| {
                loop {
                    let _caught = catch_unwind(AssertUnwindSafe(yield_now));
                }
            });
        });
        worker.tick();
        worker.tick();
        drop(worker);
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{said}");
    assert!(said.contains("1 green threads of a Worker"), "{said}");
    assert!(said.contains("green thread 'stubborn'"), "{said}");
    assert!(said.contains(file!()), "{said}");
}

#[test]
fn an_overflow_in_a_tick_is_reported() {
    #[allow(unconditional_recursion, reason = "the point of it")]
    fn overflow(depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 64]);
        overflow(depth + 1) + frame[depth as usize % 64]
    }
    let output = child("ending::an_overflow_in_a_tick_is_reported", || {
        let worker = Worker::new();
        worker.assign(|| overflow(0));
        worker.tick();
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{said}");
    assert!(said.contains("has overflowed its stack"), "{said}");
    assert!(said.contains(&format!("spawned at {}", file!())), "{said}");
}

#[test]
fn no_descriptors_are_an_error() {
    let output = child("ending::no_descriptors_are_an_error", || {
        let mut held = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            held.push(file);
        }
        for free in 0..5 {
            let error = rustlet::Builder::new().build_worker().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(24), "{free}: {error}");
            held.pop();
        }
        rustlet::Builder::new().build_worker().unwrap();
    });
    succeeded(&output);
}
