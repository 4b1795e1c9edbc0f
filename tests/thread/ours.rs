//! Features that std's threads do not have, or that std's documentation leaves open.

use super::stress;
use rustlet::channel::{Receiver, bounded};
use rustlet::thread::{self, Builder};
use rustlet::{JoinHandle, park, run, spawn, spawn_local, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

#[test]
fn spawn_local_takes_what_is_not_send() {
    run(|| {
        let text = Rc::new(RefCell::new(String::new()));
        let threads: Vec<_> = ["a", "b", "c"]
            .map(|letter| {
                let text = text.clone();
                spawn_local(move || {
                    yield_now();
                    text.borrow_mut().push_str(letter);
                    // The result need not be Send either.
                    text
                })
            })
            .into_iter()
            .collect();
        for thread in threads {
            assert!(Rc::ptr_eq(&thread.join().unwrap(), &text));
        }
        assert_eq!(*text.borrow(), "abc");
        assert_eq!(Rc::strong_count(&text), 1);
    });
}

#[test]
fn spawn_local_stays_on_the_os_thread() {
    run(|| {
        let here = std::thread::current().id();
        let threads: Vec<_> = (0..100)
            .map(|_| {
                spawn_local(move || {
                    assert_eq!(std::thread::current().id(), here);
                    yield_now();
                    assert_eq!(std::thread::current().id(), here);
                    spawn_local(move || assert_eq!(std::thread::current().id(), here))
                        .join()
                        .unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
#[should_panic(expected = "spawn_local: the caller is not a green thread")]
fn spawn_local_on_an_os_thread_is_refused() {
    let _never = spawn_local(|| ());
}

#[test]
fn a_builder_spawns_locally() {
    run(|| {
        let cell = Rc::new(Cell::new(1));
        let theirs = cell.clone();
        let builder = Builder::new().name("local".into()).stack_size(1 << 20);
        let thread = builder.spawn_local(move || {
            theirs.set(2);
            thread::current().name().map(String::from)
        });
        assert_eq!(thread.unwrap().join().unwrap().as_deref(), Some("local"));
        assert_eq!(cell.get(), 2);
    });
}

#[test]
fn os_threads_join_green_ones() {
    run(|| {
        let threads: Vec<_> = (0..20)
            .map(|number| {
                let green = spawn(move || {
                    thread::sleep(Duration::from_millis(number % 3));
                    number
                });
                std::thread::spawn(move || green.join().unwrap())
            })
            .collect();
        // Their results come through a channel: std's join would block the worker.
        let (sender, joined) = mpsc::channel();
        let collector = std::thread::spawn(move || {
            for thread in threads {
                sender.send(thread.join().unwrap()).unwrap();
            }
        });
        while !collector.is_finished() {
            yield_now();
        }
        assert!(joined.iter().eq(0..20));
    });
}

#[test]
fn green_threads_of_two_runtimes_join_each_other() {
    let build = || rustlet::Builder::new().workers(1).build().unwrap();
    let (one, two) = (build(), build());
    let handle = two.handle();
    one.run(move || {
        let there = handle.spawn(|| {
            yield_now();
            thread::current()
        });
        assert_eq!(there.thread().id(), there.join().unwrap().id());
        let (sender, answer) = mpsc::channel();
        let here = thread::current();
        let parked = handle.spawn(move || {
            park();
            sender.send(7).unwrap();
            here.unpark();
        });
        parked.thread().unpark();
        park();
        assert_eq!(answer.try_recv().unwrap(), 7);
        parked.join().unwrap();
    });
}

#[test]
fn an_os_thread_and_a_green_thread_alternate_by_parking() {
    let turns = stress(2_000);
    run(|| {
        let turn = Arc::new(AtomicUsize::new(0));
        let theirs = turn.clone();
        let green = thread::current();
        let os = std::thread::spawn(move || {
            green.unpark();
            while theirs.load(Ordering::Acquire) < 2 * turns {
                if theirs.load(Ordering::Acquire) % 2 == 1 {
                    theirs.fetch_add(1, Ordering::AcqRel);
                    green.unpark();
                } else {
                    std::thread::park();
                }
            }
        });
        for number in 0..turns {
            while turn.load(Ordering::Acquire) != 2 * number {
                park();
            }
            turn.store(2 * number + 1, Ordering::Release);
            os.thread().unpark();
        }
        while turn.load(Ordering::Acquire) != 2 * turns {
            park();
        }
        assert!(!os.is_finished() || os.join().is_ok());
    });
}

#[test]
fn current_works_on_os_threads() {
    let named = std::thread::Builder::new().name("amber".into()).spawn(|| {
        let current = thread::current();
        assert_eq!(current.name(), Some("amber"));
        assert_eq!(current.id(), thread::current().id());
        current.id()
    });
    let mut ids = HashSet::from([thread::current().id(), named.unwrap().join().unwrap()]);
    run(|| assert!(ids.insert(thread::current().id())));
    let os = thread::current();
    run(move || os.unpark());
    park();
}

#[test]
fn park_never_returns_without_a_token() {
    run(|| {
        let parks = Arc::new(AtomicUsize::new(0));
        let theirs = parks.clone();
        let parked = spawn(move || {
            for _ in 0..100 {
                // Operations that leave stale wake-ups behind: a join, a sleep, a timeout that ends
                // with an unpark.
                spawn(|| ()).join().unwrap();
                thread::sleep(Duration::from_nanos(1));
                park();
                theirs.fetch_add(1, Ordering::SeqCst);
            }
        });
        for tokens in 0..100 {
            for _ in 0..20 {
                assert_eq!(parks.load(Ordering::SeqCst), tokens);
                yield_now();
            }
            parked.thread().unpark();
            while parks.load(Ordering::SeqCst) == tokens {
                yield_now();
            }
        }
        parked.join().unwrap();
    });
}

#[test]
fn an_endless_wait_is_accepted_everywhere() {
    run(|| {
        let sleeper = spawn(|| thread::sleep(Duration::MAX));
        let parked = spawn(|| thread::park_timeout(Duration::MAX));
        let almost = spawn(|| thread::sleep(Duration::from_nanos(u64::MAX - 1)));
        for _ in 0..10 {
            yield_now();
        }
        assert!(!sleeper.is_finished() && !parked.is_finished() && !almost.is_finished());
        parked.thread().unpark();
        parked.join().unwrap();
        sleeper.cancel();
        almost.cancel();
        assert!(sleeper.join().unwrap_err().is::<rustlet::Cancelled>());
        assert!(almost.join().unwrap_err().is::<rustlet::Cancelled>());
    });
}

#[test]
fn sleep_until_a_moment_that_has_passed_returns() {
    fn both() {
        let now = Instant::now();
        rustlet::sleep_until(now);
        if let Some(before) = now.checked_sub(Duration::from_secs(1)) {
            rustlet::sleep_until(before);
        }
        let later = now + Duration::from_millis(1);
        rustlet::sleep_until(later);
        assert!(Instant::now() >= later);
    }
    both();
    run(both);
}

#[test]
fn sizes_that_no_machine_has_are_an_error() {
    for bytes in [usize::MAX, 1 << 50] {
        let refuse = || Builder::new().stack_size(bytes).spawn(|| ()).unwrap_err();
        for error in [run(refuse), refuse()] {
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("stack_size"), "{error}");
        }
    }
    // Nothing is left behind.
    run(|| assert_eq!(spawn(|| 1).join().unwrap(), 1));
}

#[test]
fn the_usual_stack_holds_what_it_promises() {
    /// Touches every page on the way down.
    fn dig(pages: u32) -> u32 {
        let frame = [pages as u8; 3 << 10];
        let frame = std::hint::black_box(&frame);
        if pages == 0 {
            u32::from(frame[0])
        } else {
            dig(pages - 1) + 1
        }
    }
    run(|| {
        // 150 of 192 KiB in arrays alone; in a debug build, whose frames are larger, of 960 KiB.
        let depth = 48;
        let threads: Vec<_> = (0..50).map(|_| spawn(move || dig(depth))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), depth);
        }
        assert!(format!("{:?}", std::backtrace::Backtrace::force_capture()).len() > 10);
    });
}

#[test]
fn a_runtime_sets_the_usual_stack_size() {
    fn dig(depth: u32) -> u32 {
        let frame = std::hint::black_box([depth as u8; 1 << 10]);
        if depth == 0 {
            u32::from(frame[0])
        } else {
            dig(depth - 1) + 1
        }
    }
    let runtime = rustlet::Builder::new()
        .workers(2)
        .stack_size(8 << 20)
        .build()
        .unwrap();
    let depth = runtime.run(|| {
        let thread = spawn(|| dig(2_000));
        // The same size asked for by name, and another one.
        let same = Builder::new()
            .stack_size(8 << 20)
            .spawn(|| dig(2_000))
            .unwrap();
        let small = Builder::new()
            .stack_size(192 << 10)
            .spawn(|| 2_000)
            .unwrap();
        assert_eq!(same.join().unwrap(), small.join().unwrap());
        thread.join().unwrap()
    });
    assert_eq!(depth, 2_000);
}

/// Code ported to `run` unchanged was written for a stack of the size that std gives a thread.
#[test]
fn the_first_thread_has_the_stack_that_std_would_give_it() {
    fn large() -> u8 {
        let frame = [1; 3 << 19];
        std::hint::black_box(&frame)[1 << 19]
    }
    assert_eq!(run(large), 1);
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    assert_eq!(runtime.run(large) + runtime.run(large), 2);
}

#[test]
fn a_result_may_be_a_handle() {
    run(|| {
        fn chain(links: u32) -> Box<dyn FnOnce() -> u32 + Send> {
            if links == 0 {
                return Box::new(|| 0);
            }
            Box::new(move || spawn(chain(links - 1)).join().unwrap() + 1)
        }
        assert_eq!(chain(50)(), 50);
        let handle: JoinHandle<JoinHandle<u8>> = spawn(|| spawn(|| 3));
        assert_eq!(handle.join().unwrap().join().unwrap(), 3);
    });
}

#[test]
fn a_destructor_of_a_result_may_wait() {
    struct Slow(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("begins");
            thread::sleep(Duration::from_millis(1));
            spawn(|| ()).join().unwrap();
            self.0.lock().unwrap().push("ends");
        }
    }
    let log: Arc<Mutex<Vec<_>>> = Arc::default();
    rustlet::run_all(|| {
        let result = Slow(log.clone());
        drop(spawn(move || result));
    });
    assert_eq!(*log.lock().unwrap(), ["begins", "ends"]);
}

#[test]
fn blocks_are_used_again_without_mixing_threads_up() {
    run(|| {
        for round in 0..stress(20) {
            let threads: Vec<_> = (0..100_usize)
                .map(|number| {
                    let name = format!("{round}-{number}");
                    let builder = if number % 3 == 0 {
                        Builder::new().name(name.clone())
                    } else {
                        Builder::new()
                    };
                    let thread = builder.spawn(move || {
                        if number % 2 == 0 {
                            yield_now();
                        }
                        thread::current().name().map(String::from)
                    });
                    (number, name, thread.unwrap())
                })
                .collect();
            for (number, name, thread) in threads {
                if number % 5 == 0 {
                    // A handle that outlives its thread keeps the block.
                    let kept = thread.thread().clone();
                    drop(thread);
                    assert_eq!(kept.name(), (number % 3 == 0).then_some(&*name));
                } else {
                    let found = thread.join().unwrap();
                    assert_eq!(found.as_deref(), (number % 3 == 0).then_some(&*name));
                }
            }
        }
    });
}

#[test]
fn unparks_after_the_end_do_not_reach_the_next_user() {
    run(|| {
        let ended: Vec<_> = (0..100)
            .map(|_| {
                let thread = spawn(|| ());
                let handle = thread.thread().clone();
                thread.join().unwrap();
                handle
            })
            .collect();
        let woken = Arc::new(AtomicUsize::new(0));
        let parked: Vec<_> = (0..100)
            .map(|_| {
                let woken = woken.clone();
                spawn(move || {
                    park();
                    woken.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        for _ in 0..10 {
            yield_now();
            ended.iter().for_each(thread::Thread::unpark);
        }
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        for thread in &parked {
            thread.thread().unpark();
        }
        for thread in parked {
            thread.join().unwrap();
        }
    });
}

#[test]
fn os_threads_unpark_many_threads() {
    run(|| {
        const CROWD: usize = 500;
        let woken = Arc::new(AtomicUsize::new(0));
        for _ in 0..stress(3) {
            woken.store(0, Ordering::SeqCst);
            let crowd: Vec<_> = (0..CROWD)
                .map(|_| {
                    let woken = woken.clone();
                    spawn(move || {
                        park();
                        woken.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect();
            let handles: Arc<Vec<_>> = Arc::new(crowd.iter().map(|t| t.thread().clone()).collect());
            let wakers = [0, 1, 2].map(|offset| {
                let handles = handles.clone();
                std::thread::spawn(move || {
                    for index in 0..CROWD {
                        handles[(index * 7 + offset) % CROWD].unpark();
                    }
                })
            });
            for thread in crowd {
                thread.join().unwrap();
            }
            assert_eq!(woken.load(Ordering::SeqCst), CROWD);
            for waker in wakers {
                while !waker.is_finished() {
                    yield_now();
                }
            }
        }
    });
}

#[test]
fn the_process_wide_runtime_serves_os_threads() {
    let threads: Vec<_> = (0..4)
        .map(|number| {
            std::thread::spawn(move || {
                let green: Vec<_> = (0..25).map(|n| spawn(move || n * number)).collect();
                green.into_iter().map(|t| t.join().unwrap()).sum::<i32>()
            })
        })
        .collect();
    let sums: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(sums, [0, 300, 600, 900]);
}

#[test]
fn on_an_os_thread_waits_block() {
    let this = thread::current();
    let asked = Duration::from_millis(2);
    let start = Instant::now();
    thread::sleep(asked);
    assert!(start.elapsed() >= asked);
    let start = Instant::now();
    thread::park_timeout(asked);
    assert!(start.elapsed() >= asked, "ours never returns early");
    spawn(move || {
        thread::sleep(Duration::from_millis(1));
        this.unpark();
    });
    park();
    yield_now();
    assert!(!thread::panicking());
    assert_eq!(
        thread::available_parallelism().unwrap(),
        std::thread::available_parallelism().unwrap()
    );
}

/// A handle of `spawn_local` may be sent only if the result may: `join` gives the result to the
/// thread that has the handle.
#[test]
fn a_handle_is_send_if_its_result_is() {
    struct Probe<T>(std::marker::PhantomData<T>);
    trait Otherwise {
        const IS_SEND: bool = false;
    }
    impl<T> Otherwise for Probe<T> {}
    impl<T: Send> Probe<T> {
        const IS_SEND: bool = true;
    }
    const {
        assert!(Probe::<JoinHandle<String>>::IS_SEND);
        assert!(Probe::<JoinHandle<Cell<u8>>>::IS_SEND);
        assert!(Probe::<thread::ScopedJoinHandle<'static, &str>>::IS_SEND);
        assert!(
            !Probe::<JoinHandle<Rc<u8>>>::IS_SEND,
            "an Rc would change its OS thread"
        );
    }
}

/// The thread-locals of an OS thread are destroyed in the reverse order of their creation: the
/// first ones after the library's own data of the thread. Their destructors may still wait.
#[test]
fn the_last_destructors_of_an_os_thread_wait() {
    struct Last(Receiver<()>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.recv().unwrap();
            assert_eq!(run(|| spawn(|| 1).join().unwrap()), 1);
            rustlet::scope(|s| {
                s.spawn(yield_now);
            });
        }
    }
    std::thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = bounded(0);
    let thread = std::thread::spawn(move || {
        LAST.set(Some(Last(receiver)));
        assert!(!thread::current().name().is_some_and(str::is_empty));
    });
    // Taken by a thread that waits for it, and by no other.
    while sender.try_send(()).is_err() {
        std::thread::yield_now();
    }
    thread.join().unwrap();
}

/// A handle of an OS thread can unpark it for as long as it waits.
#[test]
fn an_os_thread_is_unparked_in_its_last_destructors() {
    struct Last(mpsc::Sender<thread::ThreadId>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
            park();
        }
    }
    std::thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let (tell, told) = mpsc::channel();
    let (give, given) = mpsc::channel();
    let os_thread = std::thread::spawn(move || {
        LAST.set(Some(Last(tell)));
        give.send(thread::current()).unwrap();
    });
    let handle = given.recv().unwrap();
    assert_eq!(told.recv(), Ok(handle.id()));
    handle.unpark();
    os_thread.join().unwrap();
}
