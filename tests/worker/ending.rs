//! The end of a worker: the remaining threads are unwound, and those that refuse are named.

use super::support::{child, succeeded};
use super::{Said, tick_all};
use rustlet::{Worker, park, sleep, spawn_local, thread, yield_now};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Reports when it is dropped.
struct Dropped(Said, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[test]
fn a_drop_unwinds_who_is_left() {
    let said = Said::default();
    let (parked, never) = Worker::scope(|worker| {
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
        tick_all(worker);
        (parked, worker.assign(move || drop(unstarted)))
    });
    let mut said = said.0.take();
    said.sort_unstable();
    assert_eq!(said, ["asleep", "parked", "unstarted"]);
    assert!(parked.join().unwrap_err().is::<rustlet::Cancelled>());
    assert!(never.join().unwrap_err().is::<rustlet::Cancelled>());
}

#[test]
fn destructors_may_wait_while_their_threads_unwind() {
    struct Waits(Said);
    impl Drop for Waits {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            self.0.say("waited");
        }
    }
    let said = Said::default();
    let ours = said.clone();
    Worker::scope(|worker| {
        worker.assign(move || {
            let _waits = Waits(ours.clone());
            // Caught, and raised again.
            for _ in 0..3 {
                let _cancelled = catch_unwind(AssertUnwindSafe(park));
                ours.say("caught");
            }
            park();
        });
        tick_all(worker);
    });
    assert_eq!(said.take(), "caught caught caught waited");
}

#[test]
fn threads_spawned_while_unwinding_end_too() {
    struct Spawns(Said);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let said = Dropped(self.0.clone(), "never ran");
            spawn_local(move || said.0.say("ran"));
        }
    }
    let said = Said::default();
    let spawns = Spawns(said.clone());
    Worker::scope(|worker| {
        worker.assign(move || {
            let _spawns = spawns;
            park();
        });
        tick_all(worker);
    });
    assert_eq!(said.take(), "never ran");
}

#[test]
fn others_may_come_too_late() {
    let (handle, thread, other) = Worker::scope(|worker| {
        let handle = worker.handle();
        let parked = worker.assign(park);
        let thread = parked.thread().clone();
        tick_all(worker);
        let ending = handle.clone();
        let other = std::thread::spawn(move || {
            (0..2_000)
                .map(|_| ending.spawn(yield_now))
                .collect::<Vec<_>>()
        });
        (handle, thread, other)
    });
    for late in other.join().unwrap() {
        assert!(late.join().unwrap_err().is::<rustlet::Cancelled>());
    }
    thread.unpark();
    let late = handle.spawn(|| ());
    assert!(late.join().unwrap_err().is::<rustlet::Cancelled>());
    assert!(handle.spawn(|| ()).is_finished());
}

/// The descriptors of a worker: pipes are two each.
const DESCRIPTORS: usize = if cfg!(rustlet_portable) { 7 } else { 5 };

#[test]
fn it_gives_back_what_it_took() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let output = child("ending::it_gives_back_what_it_took", || {
        fn nested(depth: usize, innermost: &dyn Fn()) {
            if depth == 0 {
                return innermost();
            }
            Worker::scope(|worker| {
                nested(depth - 1, innermost);
                worker.assign(park);
                worker.tick();
                let _fd = worker.as_fd();
            });
        }
        nested(1, &|| ());
        let before = descriptors();
        nested(10, &|| assert_eq!(descriptors(), before + 10 * DESCRIPTORS));
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
        Worker::scope(|worker| {
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
        });
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
    struct Ticks<'w>(&'w Worker, Said);
    impl Drop for Ticks<'_> {
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
    let _payload = catch_unwind(AssertUnwindSafe(|| {
        Worker::scope(|worker| {
            let _ticks = Ticks(worker, said.clone());
            resume_unwind(Box::new(()));
        });
    }))
    .unwrap_err();
    let mut words: Vec<_> = said.0.take();
    words.sort_unstable();
    assert_eq!(words, ["cancelled", "done"]);
}

/// The loop's own unwinding waits for them; that of the caller, whose destructor opens the scope,
/// cannot.
#[test]
fn whether_they_see_an_unwinding_at_the_end() {
    struct Sees(Said);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.0.say(std::thread::panicking());
        }
    }
    fn one_is_left(said: &Said, then: impl FnOnce()) {
        let captured = Sees(said.clone());
        Worker::scope(|worker| {
            // It never ran, so the unwinding that it sees is not its own.
            worker.assign(move || drop(captured));
            then();
        });
    }
    struct Opens(Said);
    impl Drop for Opens {
        fn drop(&mut self) {
            one_is_left(&self.0, || ());
        }
    }
    let said = Said::default();
    let unwinds = || resume_unwind(Box::new(()));
    let unwound = catch_unwind(AssertUnwindSafe(|| one_is_left(&said, unwinds)));
    assert!(unwound.is_err());
    assert_eq!(said.take(), "false");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _opens = Opens(said.clone());
        unwinds();
    }));
    assert!(unwound.is_err());
    assert_eq!(said.take(), "false");
}

/// A thread of one worker is suspended in the middle of an unwinding: those of another, on the same
/// OS thread, are still cancelled.
#[test]
fn a_suspended_unwinding_of_another_worker() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            park();
        }
    }
    Worker::scope(|one| Worker::scope(|other| unwind_beside(one, other, || Parks)));
}

fn unwind_beside<P: 'static>(one: &Worker, other: &Worker, parks: impl FnOnce() -> P + 'static) {
    let unwinding = one.assign(move || {
        let _parks = parks();
        resume_unwind(Box::new("unwinding"));
    });
    one.tick();
    assert!(!std::thread::panicking());
    let theirs = other.assign(park);
    tick_all(other);
    theirs.cancel();
    tick_all(other);
    assert!(theirs.is_finished() && !unwinding.is_finished());
    unwinding.thread().unpark();
    tick_all(one);
    assert!(!std::thread::panicking());
    assert_eq!(
        unwinding.join().unwrap_err().downcast_ref(),
        Some(&"unwinding")
    );
    other.work();
    assert!(theirs.join().unwrap_err().is::<rustlet::Cancelled>());
}

// --- where the scope is ---

/// The oldest thread-locals are destroyed last, after the library's own data of the OS thread.
#[test]
fn workers_in_the_last_destructors_of_their_os_thread() {
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            Worker::scope(|worker| {
                let written = worker.assign(write);
                worker.work();
                written.join().unwrap();
                worker.assign(|| {
                    let _writes = Writes;
                    park();
                });
                worker.tick();
            });
        }
    }
    thread_local! {
        static LAST: Last = const { Last };
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
                LAST.with(|_| ());
                Worker::scope(|worker| {
                    worker.assign(write);
                    worker.work();
                });
            });
            os_thread.join().unwrap();
        },
    );
    succeeded(&output);
}

#[test]
fn a_worker_that_is_never_ticked_again() {
    Worker::scope(|worker| {
        let parked: Vec<_> = (0..100).map(|_| worker.assign(park)).collect();
        let _fd = worker.as_fd();
        tick_all(worker);
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
    });
}

// --- what kills ---

#[test]
fn one_that_refuses_to_end_is_named() {
    let output = child("ending::one_that_refuses_to_end_is_named", || {
        let impatient = rustlet::Builder::new().shutdown_timeout(Duration::from_millis(20));
        let _never = impatient.worker_scope(|worker| {
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
        });
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
        Worker::scope(|worker| {
            worker.assign(|| overflow(0));
            worker.tick();
        });
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
        for free in 0..DESCRIPTORS {
            let error = rustlet::Builder::new().worker_scope(|_| ()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(24), "{free}: {error}");
            held.pop();
        }
        rustlet::Builder::new().worker_scope(|_| ()).unwrap();
    });
    succeeded(&output);
}
