//! std's API: the same source against std's threads and rustlet's.

use super::{enter, thread};
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn wait_until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::yield_now();
    }
}

#[test]
fn join_gives_the_value() {
    enter(|| {
        assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
        let text = String::from("text");
        assert_eq!(thread::spawn(move || text + "!").join().unwrap(), "text!");
        thread::spawn(|| ()).join().unwrap();
    });
}

#[test]
fn join_gives_the_payload_of_a_panic() {
    enter(|| {
        let payload = thread::spawn(|| -> u8 { panic!("plain") }).join().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"plain"));
        let payload = thread::spawn(|| -> u8 { panic!("number {}", std::hint::black_box(7)) });
        let payload = payload.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "number 7");
        let payload = thread::spawn(|| -> u8 { panic_any(7_u64) }).join().unwrap_err();
        assert_eq!(payload.downcast_ref::<u64>(), Some(&7));
        let payload = thread::spawn(|| resume_unwind(Box::new('x'))).join().unwrap_err();
        assert_eq!(payload.downcast_ref::<char>(), Some(&'x'));
    });
}

#[test]
fn a_panic_can_be_passed_on() {
    enter(|| {
        let outer = thread::spawn(|| {
            let inner = thread::spawn(|| -> u8 { resume_unwind(Box::new(5_u8)) });
            inner.join().unwrap_or_else(|payload| resume_unwind(payload))
        });
        assert_eq!(outer.join().unwrap_err().downcast_ref::<u8>(), Some(&5));
    });
}

#[test]
fn a_panic_unwinds_its_own_thread_only() {
    enter(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (theirs, other) = (Counted(drops.clone()), thread::spawn(thread::park));
        let panics = thread::spawn(move || {
            let _theirs = theirs;
            resume_unwind(Box::new(()));
        });
        panics.join().unwrap_err();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(!other.is_finished());
        other.thread().unpark();
        other.join().unwrap();
    });
}

#[test]
fn a_caught_panic_is_over() {
    enter(|| {
        let thread = thread::spawn(|| {
            for number in 0..10 {
                let caught = catch_unwind(|| {
                    thread::yield_now();
                    resume_unwind(Box::new(number));
                });
                assert_eq!(caught.unwrap_err().downcast_ref::<i32>(), Some(&number));
                assert!(!thread::panicking());
                thread::yield_now();
            }
        });
        thread.join().unwrap();
    });
}

#[test]
fn panicking_is_true_in_destructors_during_unwinding() {
    struct Look(mpsc::Sender<bool>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.send(thread::panicking()).unwrap();
        }
    }
    enter(|| {
        let (sender, seen) = mpsc::channel();
        assert!(!thread::panicking());
        let calm = Look(sender.clone());
        thread::spawn(move || drop(calm)).join().unwrap();
        let look = Look(sender);
        let panics = thread::spawn(move || {
            let _look = look;
            resume_unwind(Box::new(()));
        });
        panics.join().unwrap_err();
        assert_eq!(seen.iter().collect::<Vec<_>>(), [false, true]);
        assert!(!thread::panicking());
    });
}

#[test]
fn is_finished_tells_the_end() {
    enter(|| {
        let go = Arc::new(AtomicBool::new(false));
        let theirs = go.clone();
        let thread = thread::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                thread::park();
            }
        });
        for _ in 0..100 {
            thread::yield_now();
            assert!(!thread.is_finished());
        }
        go.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        wait_until(|| thread.is_finished());
        thread.join().unwrap();
    });
}

#[test]
fn a_dropped_handle_detaches() {
    enter(|| {
        let (sender, done) = mpsc::channel();
        let go = Arc::new(AtomicBool::new(false));
        let theirs = go.clone();
        drop(thread::spawn(move || {
            wait_until(|| theirs.load(Ordering::Acquire));
            sender.send(5).unwrap();
        }));
        go.store(true, Ordering::Release);
        wait_until(|| match done.try_recv() {
            Ok(number) => number == 5,
            Err(error) => {
                assert_eq!(error, mpsc::TryRecvError::Empty);
                false
            }
        });
    });
}

#[test]
fn results_are_dropped_once_however_the_handle_goes() {
    enter(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let spawn = || {
            let result = Counted(drops.clone());
            thread::spawn(move || result)
        };
        // Joined.
        drop(spawn().join().unwrap());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        // Detached after the end.
        let thread = spawn();
        wait_until(|| thread.is_finished());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        drop(thread);
        wait_until(|| drops.load(Ordering::SeqCst) == 2);
        // Detached before the end.
        drop(spawn());
        wait_until(|| drops.load(Ordering::SeqCst) == 3);
        // As a payload.
        let payload = Counted(drops.clone());
        let thread = thread::spawn(move || resume_unwind(Box::new(AssertUnwindSafe(payload).0)));
        drop(thread.join().unwrap_err());
        assert_eq!(drops.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn captures_are_dropped_in_the_thread_before_it_ends() {
    enter(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let capture = Counted(drops.clone());
        thread::spawn(move || {
            let _used = &capture;
        })
        .join()
        .unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
#[allow(unsafe_code, reason = "the tested function is unsafe")]
fn one_that_borrows_without_a_scope() {
    enter(|| {
        let words = [String::from("one"), String::from("two")];
        let builder = thread::Builder::new().name("borrows".into());
        // SAFETY: it is joined, whatever its result, before the words and the result are dropped.
        let thread = unsafe {
            builder.spawn_unchecked(|| {
                thread::yield_now();
                assert_eq!(thread::current().name(), Some("borrows"));
                words[1].as_str()
            })
        };
        assert_eq!(thread.unwrap().join().unwrap(), "two");
        // SAFETY: as above.
        let thread = unsafe { thread::Builder::new().spawn_unchecked(|| resume_unwind(Box::new(words.len()))) };
        let result: thread::Result<&str> = thread.unwrap().join();
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&2_usize));
    });
}

#[test]
fn names_and_ids() {
    enter(|| {
        let builder = thread::Builder::new().name("amber".into());
        let named = builder.spawn(|| {
            let current = thread::current();
            (current.name().map(String::from), current.id())
        });
        let named = named.unwrap();
        assert_eq!(named.thread().name(), Some("amber"));
        let (handle, id) = (named.thread().clone(), named.thread().id());
        let (name, own_id) = named.join().unwrap();
        assert_eq!(name.as_deref(), Some("amber"));
        assert_eq!(id, own_id);
        // A handle to a thread that has ended still answers.
        assert_eq!((handle.name(), handle.id()), (Some("amber"), id));
        handle.unpark();

        let unnamed = thread::spawn(|| thread::current().name().map(String::from));
        assert_eq!(unnamed.thread().name(), None);
        assert_eq!(unnamed.join().unwrap(), None);
        let empty = thread::Builder::new().name(String::new()).spawn(|| ()).unwrap();
        assert_eq!(empty.thread().name(), Some(""));
        empty.join().unwrap();
    });
}

#[test]
fn ids_are_not_used_twice() {
    enter(|| {
        let mut ids = HashSet::from([thread::current().id()]);
        for _ in 0..20 {
            let threads: Vec<_> = (0..20)
                .map(|_| thread::spawn(|| (thread::current().id(), thread::current().id())))
                .collect();
            for thread in threads {
                let (id, again) = thread.join().unwrap();
                assert_eq!(id, again);
                assert!(ids.insert(id), "{id:?} twice");
            }
        }
    });
}

#[test]
#[should_panic(expected = "thread name may not contain interior null bytes")]
fn a_name_with_a_nul_byte_is_refused() {
    // On this OS thread: the panic must be the test's own.
    let _never = thread::Builder::new().name("a\0b".into()).spawn(|| ());
}

#[test]
fn a_token_waits_for_its_park() {
    enter(|| {
        let this = thread::current();
        this.unpark();
        thread::park();
        this.unpark();
        thread::park_timeout(Duration::MAX);
        let other = this.clone();
        thread::spawn(move || other.unpark()).join().unwrap();
        thread::park();
    });
}

#[test]
fn tokens_do_not_add_up() {
    enter(|| {
        let rounds = Arc::new(AtomicUsize::new(0));
        let theirs = rounds.clone();
        let go = Arc::new(AtomicBool::new(false));
        let going = go.clone();
        let thread = thread::spawn(move || {
            wait_until(|| going.load(Ordering::Acquire));
            thread::park();
            theirs.store(1, Ordering::SeqCst);
            // Three tokens were given before the first park: they count as one, so this waits (std
            // may wake spuriously, so it waits for the flag as well).
            while theirs.load(Ordering::SeqCst) < 2 {
                thread::park();
            }
        });
        for _ in 0..3 {
            thread.thread().unpark();
        }
        go.store(true, Ordering::Release);
        wait_until(|| rounds.load(Ordering::SeqCst) == 1);
        for _ in 0..100 {
            thread::yield_now();
            assert!(!thread.is_finished());
        }
        rounds.store(2, Ordering::SeqCst);
        thread.thread().unpark();
        thread.join().unwrap();
    });
}

#[test]
fn writes_before_unpark_are_visible_after_park() {
    enter(|| {
        for round in 1..=super::super::stress(200) {
            let data = Arc::new(AtomicUsize::new(0));
            let theirs = data.clone();
            let thread = thread::spawn(move || {
                while theirs.load(Ordering::Relaxed) == 0 {
                    thread::park();
                }
                theirs.load(Ordering::Relaxed)
            });
            if round % 3 == 0 {
                thread::yield_now();
            }
            data.store(round, Ordering::Relaxed);
            thread.thread().unpark();
            assert_eq!(thread.join().unwrap(), round);
        }
    });
}

#[test]
fn two_threads_alternate_by_parking() {
    enter(|| {
        const TURNS: usize = 1_000;
        let turn = Arc::new(AtomicUsize::new(0));
        let theirs = turn.clone();
        let first = thread::current();
        let second = thread::spawn(move || {
            while theirs.load(Ordering::Acquire) < 2 * TURNS {
                if theirs.load(Ordering::Acquire) % 2 == 1 {
                    theirs.fetch_add(1, Ordering::AcqRel);
                    first.unpark();
                } else {
                    thread::park();
                }
            }
        });
        for number in 0..TURNS {
            while turn.load(Ordering::Acquire) != 2 * number {
                thread::park();
            }
            turn.store(2 * number + 1, Ordering::Release);
            second.thread().unpark();
        }
        second.join().unwrap();
        assert_eq!(turn.load(Ordering::Acquire), 2 * TURNS);
    });
}

#[test]
fn many_unpark_one() {
    enter(|| {
        const THREADS: usize = 8;
        let each = super::super::stress(200);
        let counter = Arc::new(AtomicUsize::new(0));
        let this = thread::current();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (counter, this) = (counter.clone(), this.clone());
                thread::spawn(move || {
                    for number in 0..each {
                        counter.fetch_add(1, Ordering::Relaxed);
                        this.unpark();
                        if number % 7 == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        while counter.load(Ordering::Relaxed) < THREADS * each {
            thread::park();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn sleep_lasts_at_least_as_long_as_asked() {
    enter(|| {
        for asked in [0, 1, 3].map(Duration::from_millis) {
            let start = Instant::now();
            thread::sleep(asked);
            assert!(start.elapsed() >= asked);
        }
        let start = Instant::now();
        thread::sleep(Duration::from_nanos(1_500));
        assert!(start.elapsed() >= Duration::from_nanos(1_500));
    });
}

#[test]
fn an_unpark_does_not_end_a_sleep() {
    enter(|| {
        let asked = Duration::from_millis(5);
        let start = Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(asked);
            start.elapsed()
        });
        for _ in 0..20 {
            thread.thread().unpark();
            thread::yield_now();
        }
        assert!(thread.join().unwrap() >= asked);
    });
}

#[test]
#[allow(deprecated, reason = "the deprecated names exist in std too")]
fn the_old_names_take_milliseconds() {
    enter(|| {
        let begin = Instant::now();
        thread::sleep_ms(1);
        thread::park_timeout_ms(0);
        assert!(begin.elapsed() >= Duration::from_millis(1));
        thread::current().unpark();
        thread::park_timeout_ms(u32::MAX);
    });
}

#[test]
fn park_timeout_ends_by_itself() {
    enter(|| {
        thread::park_timeout(Duration::ZERO);
        thread::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn threads_sleep_side_by_side() {
    enter(|| {
        let (sender, order) = mpsc::channel();
        let start = Instant::now();
        let threads: Vec<_> = (0..50)
            .map(|number| {
                let sender = sender.clone();
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(number % 5));
                    sender.send(start.elapsed()).unwrap();
                })
            })
            .collect();
        drop(sender);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(order.iter().count(), 50);
    });
}

#[test]
fn a_builder_sets_the_stack_size() {
    fn dig(depth: u32) -> u32 {
        let frame = [depth as u8; 512];
        let frame = std::hint::black_box(&frame);
        if depth == 0 {
            u32::from(frame[0])
        } else {
            dig(depth - 1) + 1
        }
    }
    enter(|| {
        // At least 512 bytes a frame: more than 8 MiB.
        let depth = 20_000;
        let deep = thread::Builder::new().stack_size(32 << 20);
        assert_eq!(deep.spawn(move || dig(depth)).unwrap().join().unwrap(), depth);
        // Several of one size at a time, and again.
        for _ in 0..3 {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let builder = thread::Builder::new().stack_size(1 << 20);
                    builder.spawn(|| dig(500)).unwrap()
                })
                .collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), 500);
            }
        }
        // A size that is too small is rounded up.
        let small = thread::Builder::new().stack_size(1);
        assert_eq!(small.spawn(|| format!("{:?}", 1.5)).unwrap().join().unwrap(), "1.5");
    });
}

#[test]
fn threads_spawn_threads() {
    fn tree(depth: u32) -> u32 {
        if depth == 0 {
            return 1;
        }
        let branches = [(); 2].map(|()| thread::spawn(move || tree(depth - 1)));
        branches.into_iter().map(|branch| branch.join().unwrap()).sum()
    }
    enter(|| {
        assert_eq!(tree(6), 64);
    });
}

#[test]
fn handles_travel() {
    enter(|| {
        let inner = thread::spawn(|| 5);
        let outer = thread::spawn(move || inner.join().unwrap() + 1);
        let (sender, handles) = mpsc::channel();
        sender.send(outer).unwrap();
        assert_eq!(handles.recv().unwrap().join().unwrap(), 6);

        let shared = Arc::new(thread::spawn(thread::park));
        let theirs = shared.clone();
        let waker = thread::spawn(move || {
            theirs.thread().unpark();
            theirs.is_finished()
        });
        let _either = waker.join().unwrap();
        wait_until(|| shared.is_finished());
        Arc::into_inner(shared).unwrap().join().unwrap();
    });
}

#[test]
fn a_thread_joins_one_on_which_another_thread_spun() {
    enter(|| {
        let threads: Vec<_> = (0..super::super::stress(100))
            .map(|number| {
                let inner = thread::spawn(move || number);
                thread::spawn(move || {
                    if number % 2 == 0 {
                        wait_until(|| inner.is_finished());
                    }
                    inner.join().unwrap()
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), number);
        }
    });
}

#[test]
fn closures_and_results_of_any_size() {
    #[repr(align(128))]
    #[derive(Clone, Copy)]
    struct Wide(u8);
    #[derive(Debug, PartialEq)]
    struct Nothing;

    enter(|| {
        // Sizes around the one that fits into a control block, and far beyond it.
        let one = [1_u64; 1];
        let seven = [7_u64; 7];
        let eight = [8_u64; 8];
        let nine = [9_u64; 9];
        let many = [3_u8; 2 << 10];
        assert_eq!(thread::spawn(move || one).join().unwrap(), one);
        assert_eq!(thread::spawn(move || seven).join().unwrap(), seven);
        assert_eq!(thread::spawn(move || eight).join().unwrap(), eight);
        assert_eq!(thread::spawn(move || nine).join().unwrap(), nine);
        assert_eq!(thread::spawn(move || many).join().unwrap(), many);
        assert_eq!(thread::spawn(move || eight[0]).join().unwrap(), 8);
        assert_eq!(thread::spawn(|| Nothing).join().unwrap(), Nothing);

        let wide = Wide(9);
        let back = thread::spawn(move || {
            let address = (&raw const wide).addr();
            (wide, address)
        });
        let (wide, address) = back.join().unwrap();
        assert_eq!((wide.0, (&raw const wide).addr() % 128, address % 128), (9, 0, 0));
        let number = thread::spawn(|| u128::MAX).join().unwrap();
        assert_eq!(number, u128::MAX);
    });
}

#[test]
fn a_zero_sized_value_is_dropped_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    enter(|| {
        let before = DROPS.load(Ordering::SeqCst);
        let result = thread::spawn(|| Nothing).join().unwrap();
        assert_eq!(DROPS.load(Ordering::SeqCst), before);
        drop(result);
        assert_eq!(DROPS.load(Ordering::SeqCst), before + 1);
        let capture = Nothing;
        thread::spawn(move || drop(capture)).join().unwrap();
        assert_eq!(DROPS.load(Ordering::SeqCst), before + 2);
    });
}

#[test]
fn values_that_are_not_send_survive_waits() {
    enter(|| {
        let threads: Vec<_> = (0..20_u32)
            .map(|number| {
                thread::spawn(move || {
                    let cell = std::rc::Rc::new(Cell::new(number));
                    let clone = cell.clone();
                    for _ in 0..10 {
                        thread::yield_now();
                        clone.set(clone.get() + 1);
                    }
                    cell.get()
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), number as u32 + 10);
        }
    });
}

#[test]
fn traits_are_those_of_std() {
    fn is<T: Send + Sync + 'static>() {}
    fn is_debug<T: std::fmt::Debug>() {}
    is::<thread::JoinHandle<()>>();
    // The joining thread may receive a cell.
    is::<thread::JoinHandle<Cell<u8>>>();
    is::<thread::Thread>();
    is::<thread::ThreadId>();
    is::<thread::Builder>();
    is_debug::<thread::JoinHandle<()>>();
    is_debug::<thread::Thread>();
    is_debug::<thread::ThreadId>();
    is_debug::<thread::Builder>();
    fn is_id<T: Copy + Eq + std::hash::Hash>() {}
    is_id::<thread::ThreadId>();
    fn survives_panics<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    survives_panics::<thread::Thread>();
    survives_panics::<thread::Builder>();
}

#[test]
fn a_result_is_stds() {
    fn same(result: thread::Result<u8>) -> Result<u8, Box<dyn std::any::Any + Send>> {
        result
    }
    enter(|| assert_eq!(same(thread::spawn(|| 3).join()).unwrap(), 3));
}

#[test]
fn a_panicking_destructor_of_a_capture_is_the_threads_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("capture"));
        }
    }
    enter(|| {
        let bomb = Bomb;
        let payload = thread::spawn(move || {
            let _bomb = bomb;
        });
        let payload = payload.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"capture"));
    });
}

/// It would wait forever. The system tells std of it; the thread goes on with a panic.
#[test]
fn a_thread_cannot_join_itself() {
    enter(|| {
        let (to_it, handle) = mpsc::channel::<thread::JoinHandle<()>>();
        let is_refused = Arc::new(AtomicBool::new(false));
        let theirs = is_refused.clone();
        let it = thread::spawn(move || {
            let mut own = None;
            wait_until(|| {
                own = handle.try_recv().ok();
                own.is_some()
            });
            let joined = catch_unwind(AssertUnwindSafe(|| own.unwrap().join()));
            theirs.store(joined.is_err(), Ordering::SeqCst);
        });
        to_it.send(it).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        wait_until(|| is_refused.load(Ordering::SeqCst) || Instant::now() > until);
        assert!(is_refused.load(Ordering::SeqCst));
    });
}
