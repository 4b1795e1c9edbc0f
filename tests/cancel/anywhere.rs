//! Rules that hold on green threads and on OS threads alike.

use super::enter;
use rustlet::channel::bounded;
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{
    Cancelled, Elapsed, deadline, is_cancelled, park, shield, sleep, spawn, thread, timeout,
    yield_now,
};
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_call_that_ends_in_time_returns_its_value() {
    enter(|| {
        assert_eq!(timeout(LONG, || 5), Ok(5));
        assert_eq!(timeout(Duration::MAX, || 5), Ok(5));
        assert_eq!(deadline(Instant::now() + LONG, || 5), Ok(5));
        assert_eq!(timeout(LONG, || sleep(SOON)), Ok(()));
        assert_eq!(timeout(Duration::MAX, || sleep(SOON)), Ok(()));
        // The closure borrows, and its result may borrow.
        let mut text = String::from("text");
        let part = timeout(LONG, || {
            text.push('!');
            &text[..]
        });
        assert_eq!(part, Ok("text!"));
        assert!(!is_cancelled());
    });
}

#[test]
fn every_wait_is_ended() {
    enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let parked = spawn(park);
        type Case<'a> = (&'a str, Box<dyn Fn() + 'a>);
        let waits: Vec<Case<'_>> = vec![
            ("park", Box::new(park)),
            ("sleep", Box::new(|| sleep(LONG))),
            ("sleep forever", Box::new(|| sleep(Duration::MAX))),
            ("park_timeout", Box::new(|| thread::park_timeout(LONG))),
            ("yield_now", Box::new(|| {
                loop {
                    yield_now();
                }
            })),
            ("short sleeps", Box::new(|| {
                loop {
                    sleep(Duration::from_micros(50));
                }
            })),
            ("join", Box::new(|| {
                drop(spawn(park).join());
            })),
            ("join_timeout", Box::new(|| {
                drop(spawn(park).join_timeout(LONG));
            })),
            ("accept", Box::new(|| drop(listener.accept()))),
            ("read", Box::new(|| drop((&stream).read(&mut [0])))),
            ("write", Box::new(|| loop {
                drop((&peer).write(&[0; 1 << 16]));
            })),
            ("block_on", Box::new(|| {
                rustlet::block_on(std::future::pending())
            })),
        ];
        for (name, wait) in &waits {
            let drops = AtomicUsize::new(0);
            let result = timeout(SOON, || {
                let _guard = crate::OnDrop(|| {
                    drops.fetch_add(1, SeqCst);
                });
                wait();
            });
            assert_eq!(result, Err(Elapsed), "{name}");
            assert_eq!(drops.into_inner(), 1, "{name}");
            assert!(!is_cancelled(), "{name}");
        }
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn zero_and_the_past_end_the_first_wait() {
    enter(|| {
        for _ in 0..100 {
            assert_eq!(timeout(Duration::ZERO, || 5), Ok(5), "it did not wait");
            assert_eq!(timeout(Duration::ZERO, yield_now), Err(Elapsed));
            assert_eq!(timeout(Duration::ZERO, park), Err(Elapsed));
            assert_eq!(timeout(Duration::ZERO, || sleep(Duration::ZERO)), Err(Elapsed));
            assert_eq!(deadline(Instant::now(), yield_now), Err(Elapsed));
            let past = Instant::now().checked_sub(LONG).unwrap_or_else(Instant::now);
            assert_eq!(deadline(past, park), Err(Elapsed));
        }
    });
}

#[test]
fn work_that_ends_late_without_a_wait_is_ok() {
    enter(|| {
        let result = timeout(SOON, || {
            while !is_cancelled() {
                std::hint::spin_loop();
            }
            5
        });
        assert_eq!(result, Ok(5));
        // The value that was already there is taken.
        let thread = spawn(|| 6);
        while !thread.is_finished() {
            yield_now();
        }
        assert_eq!(timeout(Duration::ZERO, || thread.join().unwrap()), Ok(6));
    });
}

#[test]
fn the_outer_one_ends_the_inner() {
    enter(|| {
        let seen = AtomicUsize::new(0);
        let result = timeout(SOON, || {
            let inner = timeout(LONG, || timeout(Duration::MAX, park));
            seen.fetch_add(1, SeqCst);
            inner
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(seen.load(SeqCst), 0, "the inner ones do not see it");
    });
}

#[test]
fn the_inner_one_leaves_the_outer_alone() {
    enter(|| {
        let result = timeout(LONG, || {
            for _ in 0..3 {
                assert_eq!(timeout(SOON, park), Err(Elapsed));
                sleep(SOON);
                yield_now();
            }
            timeout(LONG, || timeout(SOON, park))
        });
        assert_eq!(result, Ok(Ok(Err(Elapsed))));
    });
}

#[test]
fn of_several_that_have_elapsed_the_outermost_counts() {
    enter(|| {
        let result = timeout(Duration::ZERO, || {
            let _never = timeout(Duration::ZERO, || timeout(Duration::ZERO, park));
            unreachable!("the outermost ends it");
        });
        assert_eq!(result, Err::<(), _>(Elapsed));
        // Unless it elapses while the inner one unwinds: then it is raised at the next wait.
        let result = timeout(Duration::from_millis(5), || {
            let inner = timeout(Duration::ZERO, || {
                let _guard = crate::OnDrop(|| {
                    while !is_cancelled_by_clock() {
                        std::hint::spin_loop();
                    }
                });
                park();
            });
            assert_eq!(inner, Err(Elapsed));
            yield_now();
        });
        assert_eq!(result, Err(Elapsed));
    });

    fn is_cancelled_by_clock() -> bool {
        thread_local! {
            static SINCE: Instant = Instant::now();
        }
        SINCE.with(Instant::elapsed) > Duration::from_millis(6)
    }
}

#[test]
fn a_shield_holds_it_off() {
    enter(|| {
        let mut after = false;
        let result = timeout(Duration::ZERO, || {
            shield(|| {
                assert!(!is_cancelled());
                sleep(SOON);
                yield_now();
                assert_eq!(timeout(SOON, park), Err(Elapsed), "one within counts");
                // A shield within that one, and so on.
                let inner = timeout(Duration::ZERO, || {
                    shield(|| sleep(SOON));
                    assert!(is_cancelled());
                });
                assert_eq!(inner, Ok(()));
            });
            after = true;
            assert!(is_cancelled());
            park();
        });
        assert_eq!(result, Err(Elapsed));
        assert!(after);
        assert_eq!(shield(|| 5), 5);
    });
}

#[test]
fn a_panic_passes_through() {
    enter(|| {
        let throw = || -> () { resume_unwind(Box::new("mine")) };
        let nested = || timeout(LONG, || shield(|| deadline(Instant::now() + LONG, throw)));
        let payload = catch_unwind(nested).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
        assert!(!Cancelled::is(&payload));
        // Also if the deadline has passed.
        let late = || timeout(Duration::ZERO, throw);
        let payload = catch_unwind(late).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
        assert!(!is_cancelled());
        yield_now();
    });
}

#[test]
fn a_caught_cancellation_is_raised_again() {
    enter(|| {
        let mut caught = 0;
        let result = timeout(Duration::ZERO, || {
            // Past the number from which on each raise is preceded by a yield.
            for _ in 0..150 {
                let payload = catch_unwind(park).unwrap_err();
                assert!(Cancelled::is(&payload) && Cancelled::is(&*payload));
                caught += 1;
            }
            yield_now();
        });
        assert_eq!((result, caught), (Err(Elapsed), 150));
        // Caught and kept: then the value counts.
        let result = timeout(Duration::ZERO, || {
            drop(catch_unwind(park));
            5
        });
        assert_eq!(result, Ok(5));
        // Resumed, as required.
        let result = timeout(Duration::ZERO, || {
            let payload = catch_unwind(park).unwrap_err();
            resume_unwind(payload)
        });
        assert_eq!(result, Err::<(), _>(Elapsed));
    });
}

/// A payload belongs to one boundary. Elsewhere, and later, no boundary accepts it.
#[test]
fn a_payload_that_was_kept_finds_no_other_boundary() {
    enter(|| {
        let mut kept = None;
        let result = timeout(Duration::ZERO, || {
            kept = catch_unwind(park).err();
        });
        assert_eq!(result, Ok(()));
        let kept = kept.unwrap();
        // The scopes are at the same depth of the stack, or around it, or have been named
        // themselves.
        let mut payload = Some(kept);
        for times in 0..4 {
            let again = AssertUnwindSafe(|| {
                timeout(Duration::ZERO, || {
                    if times % 2 == 0 {
                        drop(catch_unwind(park));
                    }
                    timeout(LONG, || resume_unwind(payload.take().unwrap()))
                })
            });
            let passed: Result<Result<Result<(), _>, _>, _> = catch_unwind(again);
            let passed = passed.unwrap_err();
            assert!(Cancelled::is(&passed), "round {times}");
            payload = Some(passed);
        }
        // From another thread too.
        let payload = payload.unwrap();
        let theirs = spawn(move || {
            let passes = AssertUnwindSafe(|| timeout(Duration::ZERO, || resume_unwind(payload)));
            let passed: Result<Result<(), _>, _> = catch_unwind(passes);
            Cancelled::is(&passed.unwrap_err())
        });
        assert!(theirs.join().unwrap());
    });
}

/// The payload of a joined thread that was cancelled does not concern the joiner's scopes.
#[test]
fn the_cancellation_of_another_thread_passes_through() {
    enter(|| {
        let joined = || {
            timeout(LONG, || {
                let thread = spawn(park);
                thread.cancel();
                thread.join().unwrap_or_else(|payload| resume_unwind(payload));
            })
        };
        assert!(Cancelled::is(&catch_unwind(joined).unwrap_err()));
    });
}

#[test]
fn while_unwinding_it_waits_or_reports() {
    enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let log = std::cell::RefCell::new(Vec::new());
        let result = timeout(SOON, || {
            let _guard = crate::OnDrop(|| {
                sleep(SOON);
                yield_now();
                log.borrow_mut().push("slept");
                assert_eq!(spawn(|| 5).join().unwrap(), 5);
                log.borrow_mut().push("joined");
                // Operations that need not wait succeed; operations that would wait return the
                // reason.
                (&stream).write_all(b"x").unwrap();
                let error = (&stream).read(&mut [0]).unwrap_err();
                assert!(error.get_ref().unwrap().is::<Cancelled>(), "{error}");
                assert_ne!(error.kind(), io::ErrorKind::Interrupted);
                log.borrow_mut().push("reported");
            });
            park();
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(*log.borrow(), ["slept", "joined", "reported"]);
    });
}

/// The limits around a destructor are not raised in it. A limit inside of it is.
#[test]
fn in_a_destructor_that_unwinds_only_its_own_limits_are_raised() {
    enter(|| {
        let mut inner = None;
        let result = timeout(SOON, || {
            let _guard = crate::OnDrop(|| {
                sleep(SOON * 3);
                inner = Some((timeout(SOON, || sleep(LONG)), shield(|| 5)));
            });
            park();
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(inner, Some((Err(Elapsed), 5)));
        // So is one in a destructor that runs in a normal state.
        let result = timeout(LONG, || {
            let guard = crate::OnDrop(|| assert_eq!(timeout(SOON, park), Err(Elapsed)));
            drop(guard);
        });
        assert_eq!(result, Ok(()));
    });
}

#[test]
fn a_timeout_around_a_scope_cancels_its_threads() {
    enter(|| {
        // While the closure waits, and while the scope itself does.
        for closure_waits in [true, false] {
            let unwound = AtomicBool::new(false);
            let (ready, begun) = bounded(1);
            let result = timeout(SOON, || {
                rustlet::scope(|s| {
                    s.spawn(|| {
                        let _guard = crate::OnDrop(|| unwound.store(true, SeqCst));
                        ready.send(()).unwrap();
                        park();
                    });
                    shield(|| begun.recv().unwrap());
                    if closure_waits {
                        park();
                    }
                });
                unreachable!("the scope unwinds");
            });
            assert_eq!(result, Err::<(), _>(Elapsed));
            assert!(unwound.into_inner());
        }
    });
}

#[test]
fn a_cancelled_scope_waits_for_threads_that_take_their_time() {
    enter(|| {
        let mut done = 0;
        let (ready, begun) = bounded(1);
        let result = timeout(SOON, || {
            rustlet::scope(|s| {
                s.spawn(|| {
                    shield(|| {
                        ready.send(()).unwrap();
                        sleep(SOON * 5);
                    });
                    done += 1;
                });
                shield(|| begun.recv().unwrap());
                park();
            });
        });
        assert_eq!((result, done), (Err(Elapsed), 1));
    });
}

#[test]
fn a_scope_in_a_shield_is_left_alone() {
    enter(|| {
        let mut done = false;
        let result = timeout(SOON, || {
            shield(|| {
                rustlet::scope(|s| {
                    s.spawn(|| {
                        sleep(SOON * 5);
                        done = true;
                    });
                });
            });
        });
        assert_eq!((result, done), (Ok(()), true));
    });
}

#[test]
fn a_waits_own_limit_is_its_own_error() {
    enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let result = timeout(LONG, || (&socket).read(&mut [0]).unwrap_err().kind());
        assert_eq!(result, Ok(io::ErrorKind::WouldBlock));
        socket.set_read_timeout(Some(LONG)).unwrap();
        let result = timeout(SOON, || (&socket).read(&mut [0]));
        assert!(result.is_err());
        let result = timeout(LONG, || thread::park_timeout(SOON));
        assert_eq!(result, Ok(()));
    });
}

#[test]
fn one_limit_for_many_steps() {
    enter(|| {
        let end = Instant::now() + Duration::from_millis(10);
        let mut steps = 0;
        while deadline(end, || sleep(SOON)).is_ok() {
            steps += 1;
        }
        assert!(steps <= 10, "{steps}");
        assert!(Instant::now() >= end, "not before its time");
    });
}

#[test]
fn thousands_nested() {
    enter(|| {
        fn nest(depth: usize, limit: Duration) -> Result<usize, Elapsed> {
            if depth == 0 {
                sleep(SOON * 2);
                park();
                return Ok(0);
            }
            timeout(limit, || nest(depth - 1, Duration::MAX))?.map(|below| below + 1)
        }
        let deep = thread::Builder::new().stack_size(32 << 20);
        // The outermost is the one that elapses; then the innermost.
        let thread = deep.spawn(|| {
            assert_eq!(nest(3_000, SOON), Err(Elapsed));
            fn inner(depth: usize) -> Result<(), Elapsed> {
                match depth {
                    0 => timeout(SOON, park),
                    _ => timeout(LONG, || inner(depth - 1)).unwrap(),
                }
            }
            assert_eq!(inner(3_000), Err(Elapsed));
        });
        thread.unwrap().join().unwrap();
    });
}

#[test]
fn limits_that_never_pass_cost_no_memory() {
    enter(|| {
        for _ in 0..crate::stress(10_000) {
            assert_eq!(timeout(LONG, yield_now), Ok(()));
        }
        assert_eq!(timeout(SOON, park), Err(Elapsed));
    });
}

#[test]
fn the_error_is_an_error() {
    let error: Box<dyn std::error::Error + Send + Sync> = Elapsed.into();
    assert_eq!(error.to_string(), "deadline has elapsed");
    assert_eq!(format!("{Elapsed:?}"), "Elapsed");
    let error = io::Error::from(Elapsed);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<Elapsed>());
}

/// The end of a wait poisons no lock that is held across it, and no initialiser.
#[test]
fn nothing_is_poisoned() {
    use rustlet::sync::{Condvar, Mutex, Once, OnceLock, RwLock};
    enter(|| {
        let (mutex, lock, once, cell) = (
            Mutex::new(0),
            RwLock::new(0),
            Once::new(),
            OnceLock::new(),
        );
        for _ in 0..3 {
            let result = timeout(SOON, || {
                let _mutex = mutex.lock().unwrap();
                let _lock = lock.write().unwrap();
                once.call_once(|| {
                    cell.get_or_init(park);
                });
            });
            assert_eq!(result, Err(Elapsed));
        }
        assert!(!mutex.is_poisoned() && !lock.is_poisoned());
        once.call_once(|| ());
        assert_eq!(cell.set(()), Ok(()));

        // A cancelled wait for a lock does not hold it.
        let held = mutex.lock().unwrap();
        assert!(timeout(SOON, || mutex.lock().map(drop)).is_err());
        drop(held);
        drop(mutex.try_lock().unwrap());
        // A cancelled wait for a condition does, while it unwinds.
        let condvar = Condvar::new();
        let result = timeout(SOON, || {
            let guard = mutex.lock().unwrap();
            drop(condvar.wait(guard));
        });
        assert_eq!(result, Err(Elapsed));
        drop(mutex.try_lock().unwrap());

        // A panic still poisons, also after a limit and within one.
        let panics = || {
            timeout(LONG, || {
                let _guard = mutex.lock();
                resume_unwind(Box::new("oh"));
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(mutex.is_poisoned());
    });
}

/// A received item stays received: no item is lost to a limit, none comes twice.
#[test]
fn no_item_is_lost_to_a_limit() {
    use rustlet::channel::{bounded, unbounded};
    enter(|| {
        let (sender, receiver) = bounded(2);
        let (results, collected) = unbounded();
        let count = crate::stress(300);
        let sending = spawn(move || {
            let mut next = 0;
            while next < count {
                // An item that was not sent in time is sent again, because it was not sent.
                match timeout(Duration::from_micros(next as u64 % 30), || sender.send(next)) {
                    Ok(sent) => {
                        sent.unwrap();
                        next += 1;
                    }
                    Err(Elapsed) => sleep(Duration::from_micros(5)),
                }
            }
        });
        let mut limit = 0;
        loop {
            limit = (limit + 7) % 40;
            match timeout(Duration::from_micros(limit), || receiver.recv()) {
                Ok(Ok(item)) => results.send(item).unwrap(),
                Ok(Err(_)) => break,
                Err(Elapsed) => {}
            }
        }
        drop(results);
        sending.join().unwrap();
        assert!(collected.iter().eq(0..count));
    });
}
