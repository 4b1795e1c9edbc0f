//! Limits around waits of OS threads that green threads do not have: a whole run, a worker that
//! they step, plain calls.

use super::turns;
use rustlet::thread::scope_cancelling;
use rustlet::{Cancelled, Elapsed, Worker, fs, io, park, run_all, sleep, spawn, timeout};
use std::cell::Cell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

struct Counts<'a>(&'a AtomicUsize);

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_run_of_all_is_ended() {
    // The machine decides how many begin in time, and one that has not begun never runs: so it
    // retries with more time.
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let mut limit = SOON;
    while BEGUN.swap(0, Ordering::SeqCst) < 3 {
        ENDED.store(0, Ordering::SeqCst);
        let result = timeout(limit, || {
            run_all(|| {
                for _ in 0..3 {
                    spawn(|| {
                        BEGUN.fetch_add(1, Ordering::SeqCst);
                        let _counts = Counts(&ENDED);
                        park();
                    });
                }
                turns();
            });
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(ENDED.load(Ordering::SeqCst), BEGUN.load(Ordering::SeqCst));
        limit *= 2;
    }
    assert_eq!(ENDED.load(Ordering::SeqCst), 3);
    // One that ends in time, though a part of it is late.
    let value = timeout(LONG, || {
        run_all(|| {
            spawn(|| sleep(SOON));
            5
        })
    });
    assert_eq!(value, Ok(5));
    // Its panic is more specific, if it gets that far.
    let (mut limit, panics) = (SOON, AtomicUsize::new(0));
    let payload = loop {
        let result = catch_unwind(|| {
            timeout(limit, || {
                run_all(|| {
                    spawn(park);
                    panics.fetch_add(1, Ordering::SeqCst);
                    resume_unwind(Box::new("oh"));
                });
            })
        });
        match result {
            Ok(elapsed) => assert_eq!(elapsed, Err(Elapsed)),
            Err(payload) => break payload,
        }
        assert_eq!(panics.load(Ordering::SeqCst), 0);
        limit *= 2;
    };
    assert!(payload.is::<&str>());
}

#[test]
fn a_run_of_all_is_ended_by_a_scope_that_fails() {
    let result = catch_unwind(|| {
        scope_cancelling(|s| {
            s.spawn(|| {
                sleep(SOON);
                resume_unwind(Box::new("oh"));
            });
            run_all(|| {
                spawn(park);
            });
        });
    });
    assert!(result.unwrap_err().is::<&str>());
}

#[test]
fn stepping_is_ended_and_the_threads_are_not() {
    Worker::scope(|worker| {
        let steps = Rc::new(Cell::new(0));
        let theirs = Rc::clone(&steps);
        let thread = worker.assign(move || {
            park();
            theirs.set(1);
        });
        assert_eq!(timeout(SOON, || worker.work()), Err(Elapsed));
        assert_eq!(timeout(Duration::ZERO, || worker.work()), Err(Elapsed));
        assert_eq!((worker.live(), steps.get()), (1, 0));
        thread.thread().unpark();
        assert_eq!(timeout(LONG, || worker.work()), Ok(()));
        assert_eq!(steps.get(), 1);
        // A thread that never waits does not prolong the run.
        worker.assign(|| {
            loop {
                rustlet::yield_now();
            }
        });
        assert_eq!(timeout(SOON, || worker.work()), Err(Elapsed));
        // A failing scope does not either; it only sets a flag.
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope_cancelling(|s| {
                s.spawn(|| {
                    resume_unwind(Box::new("oh"));
                });
                worker.work();
            });
        }));
        assert!(result.unwrap_err().is::<&str>());
    });
}

#[test]
fn plain_calls_on_pipes_are_ended() {
    let (mut reader, mut writer) = io::pipe().unwrap();
    let result = timeout(SOON, || reader.read(&mut [0]));
    assert!(matches!(result, Err(Elapsed)));
    assert_eq!(timeout(LONG, || reader.read(&mut [])).unwrap().unwrap(), 0);
    // Until the pipe is full; everything that was written can be read.
    let written = Cell::new(0);
    let result = timeout(Duration::from_millis(20), || {
        loop {
            written.set(written.get() + writer.write(&[7; 10_000]).unwrap());
        }
    });
    assert!(matches!(result, Err::<(), _>(Elapsed)));
    assert!(written.get() > 0);
    drop(writer);
    let mut all = Vec::new();
    timeout(LONG, || reader.read_to_end(&mut all))
        .unwrap()
        .unwrap();
    assert_eq!(all, vec![7; written.get()]);
    // At the end of it no thread waits.
    assert_eq!(timeout(LONG, || reader.read(&mut [0])).unwrap().unwrap(), 0);
}

#[test]
fn the_wait_for_a_file_lock_is_ended() {
    let path = std::env::temp_dir().join(format!("rustlet-outside-lock-{}", std::process::id()));
    let one = fs::File::create(&path).unwrap();
    let two = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    one.lock().unwrap();
    assert!(matches!(timeout(SOON, || two.lock()), Err(Elapsed)));
    assert!(matches!(timeout(SOON, || two.lock_shared()), Err(Elapsed)));
    one.unlock().unwrap();
    timeout(LONG, || two.lock()).unwrap().unwrap();
    assert!(matches!(one.try_lock(), Err(fs::TryLockError::WouldBlock)));
}

#[test]
fn a_payload_is_distinguished_from_a_result() {
    // A run within a limit that has not elapsed: the cancellation is its own thread's.
    let thread = std::thread::spawn(|| {
        timeout(LONG, || {
            run_all(|| resume_unwind(spawn_cancelled()));
        })
    });
    assert!(Cancelled::is(&thread.join().unwrap_err()));
}

fn spawn_cancelled() -> Box<dyn std::any::Any + Send> {
    let thread = spawn(park);
    thread.cancel();
    thread.join().unwrap_err()
}
