//! The scheduler: where threads run, that none starves, timers, limits, and the list of threads.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the OS threads below, and read the time to compare"
)]

use rustlet::runtime::{Builder, Runtime, ThreadState, threads};
use rustlet::{JoinHandle, current, park, run, sleep, spawn, spawn_local, thread, yield_now};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{child, child_with, stress, succeeded};

mod support;

fn workers(count: usize) -> Runtime {
    Builder::new().workers(count).build().unwrap()
}

fn os_thread() -> std::thread::ThreadId {
    std::thread::current().id()
}

fn turns() {
    for _ in 0..10 {
        yield_now();
    }
}

/// A small generator of pseudo-random numbers (splitmix64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

// --- where threads run ---

#[test]
fn a_started_thread_never_changes_its_os_thread() {
    let count = stress(10_000);
    let used: Mutex<HashSet<_>> = Mutex::default();
    workers(4).run(|| {
        let waker: JoinHandle<()> = spawn(park);
        rustlet::scope(|s| {
            for number in 0..count {
                let used = &used;
                s.spawn(move || {
                    let home = os_thread();
                    let local = Rc::new(RefCell::new(number));
                    let mut random = Random(number as u64);
                    for _ in 0..5 {
                        match random.below(6) {
                            0 => yield_now(),
                            1 => sleep(Duration::from_micros(random.below(300))),
                            2 => thread::park_timeout(Duration::from_micros(random.below(300))),
                            3 => {
                                // Woken by a thread that may run on any worker.
                                let this = current();
                                drop(spawn(move || this.unpark()));
                                park();
                            }
                            4 => drop(spawn(move || number).join().unwrap()),
                            _ => {
                                let this = current();
                                this.unpark();
                                park();
                            }
                        }
                        assert_eq!(os_thread(), home);
                    }
                    assert_eq!(*local.borrow(), number);
                    used.lock().unwrap().insert(home);
                });
                if number % 64 == 0 {
                    yield_now();
                }
            }
        });
        waker.thread().unpark();
        waker.join().unwrap();
    });
    let used = used.into_inner().unwrap().len();
    assert!((2..=4).contains(&used), "{used} workers took part");
}

/// The spawner computes and never yields: the idle workers have to take its threads.
#[test]
fn a_computing_spawner_has_its_threads_started_by_others() {
    for count in [2, 3, 4] {
        workers(count).run(move || {
            for _ in 0..stress(5) {
                // Each of them computes until all of them run, so each needs a worker of its own.
                let running = Arc::new(AtomicUsize::new(1));
                let deadline = Instant::now() + Duration::from_secs(20);
                let meet = move |running: &AtomicUsize| {
                    while running.load(Ordering::SeqCst) < count {
                        if Instant::now() > deadline {
                            return false;
                        }
                        std::hint::spin_loop();
                    }
                    true
                };
                let threads: Vec<_> = (1..count)
                    .map(|_| {
                        let running = running.clone();
                        spawn(move || {
                            running.fetch_add(1, Ordering::SeqCst);
                            meet(&running)
                        })
                    })
                    .collect();
                assert!(
                    meet(&running),
                    "{} of {count} run",
                    running.load(Ordering::SeqCst)
                );
                for thread in threads {
                    assert!(thread.join().unwrap());
                }
            }
        });
    }
}

/// As before, but another thread started the spawner, and each starts the next.
#[test]
fn a_chain_of_computing_spawners_spreads() {
    fn link(left: usize, running: &Arc<AtomicUsize>, all: usize, deadline: Instant) -> bool {
        running.fetch_add(1, Ordering::SeqCst);
        let next = (left > 1).then(|| {
            let running = running.clone();
            spawn(move || link(left - 1, &running, all, deadline))
        });
        while running.load(Ordering::SeqCst) < all {
            if Instant::now() > deadline {
                return false;
            }
            std::hint::spin_loop();
        }
        next.is_none_or(|next| next.join().unwrap())
    }
    for count in [2, 3, 4] {
        for _ in 0..stress(5) {
            let running = Arc::new(AtomicUsize::new(0));
            let deadline = Instant::now() + Duration::from_secs(20);
            let met = workers(count).run(|| link(count, &running, count, deadline));
            assert!(met, "{} of {count} run", running.load(Ordering::SeqCst));
        }
    }
}

/// A searching worker that has watched the queues of others gets work of its own: another worker
/// has to search then.
#[test]
fn a_stealer_that_gets_work_is_replaced() {
    let runtime = workers(3);
    let missed = AtomicUsize::new(0);
    for _ in 0..stress(30) {
        let missed = &missed;
        runtime.run(|| {
            let release = Arc::new(AtomicBool::new(false));
            let deadline = patience();
            // One parked thread on each worker.
            let here = Arc::new(Mutex::new(HashMap::new()));
            let settlers: Vec<_> = (0..3)
                .map(|number| {
                    let (here, release) = (here.clone(), release.clone());
                    spawn(move || {
                        here.lock().unwrap().insert(number, os_thread());
                        // Until another one runs too, which needs a worker of its own.
                        while here.lock().unwrap().len() < 2 && Instant::now() < deadline {
                            std::hint::spin_loop();
                        }
                        park();
                        while !release.load(Ordering::SeqCst) && Instant::now() < deadline {
                            std::hint::spin_loop();
                        }
                    })
                })
                .collect();
            turns();
            // A worker is woken by this, finds that the thread was started already, and searches
            // for a while.
            for _ in 0..3 {
                drop(spawn(|| ()));
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(40) {
                    std::hint::spin_loop();
                }
                turns();
            }
            // Another worker computes. A settler of this worker would keep the caller from going
            // on.
            let mine = os_thread();
            let elsewhere = |number: &usize| here.lock().unwrap().get(number) != Some(&mine);
            if let Some(number) = (0..3).find(elsewhere) {
                settlers[number].thread().unpark();
            }
            let last = {
                let release = release.clone();
                spawn(move || {
                    release.store(true, Ordering::SeqCst);
                    os_thread()
                })
            };
            while !release.load(Ordering::SeqCst) && Instant::now() < deadline {
                std::hint::spin_loop();
            }
            missed.fetch_add(
                usize::from(!release.swap(true, Ordering::SeqCst)),
                Ordering::SeqCst,
            );
            let _elsewhere = last.join().unwrap() != mine;
            for settler in settlers {
                settler.thread().unpark();
                settler.join().unwrap();
            }
        });
        assert_eq!(missed.load(Ordering::SeqCst), 0, "no worker looked");
    }
}

#[test]
fn a_great_many_are_spread() {
    let used: Mutex<HashSet<_>> = Mutex::default();
    workers(2).run(|| {
        let spawner = os_thread();
        let met = AtomicUsize::new(0);
        rustlet::scope(|s| {
            for _ in 0..stress(2_000) {
                s.spawn(|| {
                    met.fetch_add(1, Ordering::Relaxed);
                    used.lock().unwrap().insert(os_thread());
                });
            }
            used.lock().unwrap().remove(&spawner);
            // The spawner computes until the others have taken all of its threads.
            while met.load(Ordering::Relaxed) < stress(2_000) {
                std::hint::spin_loop();
            }
        });
    });
    assert_eq!(
        used.into_inner().unwrap().len(),
        1,
        "all by the other worker"
    );
}

#[test]
fn spawns_from_outside_wake_a_sleeping_worker() {
    let runtime = workers(2);
    for number in 0..stress(500) {
        assert_eq!(runtime.spawn(move || number).join().unwrap(), number);
    }
}

#[test]
fn spawns_from_outside_reach_the_worker_that_is_free() {
    let runtime = workers(2);
    let busy = Arc::new(AtomicBool::new(false));
    let release = Arc::new(AtomicBool::new(false));
    let (theirs, released) = (busy.clone(), release.clone());
    let computes = runtime.spawn(move || {
        theirs.store(true, Ordering::SeqCst);
        while !released.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    });
    while !busy.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    for number in 0..stress(200) {
        assert_eq!(runtime.spawn(move || number).join().unwrap(), number);
    }
    release.store(true, Ordering::SeqCst);
    computes.join().unwrap();
}

#[test]
fn local_threads_run_in_order() {
    workers(2).run(|| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let threads: Vec<_> = (0..100)
            .map(|number| {
                let order = order.clone();
                spawn_local(move || {
                    order.borrow_mut().push(number);
                    yield_now();
                    order.borrow_mut().push(100 + number);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(order.borrow().iter().copied().eq(0..200));
    });
}

#[test]
fn threads_of_one_worker_start_in_order() {
    workers(1).run(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..100)
            .map(|number| {
                let order = order.clone();
                spawn(move || order.lock().unwrap().push(number))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(order.lock().unwrap().iter().copied().eq(0..100));
    });
}

#[test]
fn yielding_threads_alternate() {
    workers(1).run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                spawn_local(move || {
                    for _ in 0..10 {
                        log.borrow_mut().push(number);
                        yield_now();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(log.borrow().chunks(3).all(|turn| turn == [0, 1, 2]));
    });
}

// --- no thread starves ---

/// Checks the activities that must continue on the worker of the caller, whatever else runs there:
/// new threads, timers, wake-ups from other threads, and sockets. Returns true when all of them
/// have happened.
fn watch() -> impl Fn() -> bool {
    let started = spawn(|| ());
    let local = spawn_local(|| ());
    let slept = spawn_local(|| sleep(Duration::from_millis(2)));
    let woken = spawn_local(park);
    let waker = woken.thread().clone();
    let os = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(100));
        waker.unpark();
    });
    let connected = spawn_local(|| {
        use std::io::Write;
        let listener = rustlet::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(b"x").unwrap();
        });
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut [0]).unwrap();
        drop(client);
    });
    move || {
        started.is_finished()
            && local.is_finished()
            && slept.is_finished()
            && woken.is_finished()
            && os.is_finished()
            && connected.is_finished()
    }
}

/// Time limit of a busy loop: a test that starves has failed, and must end.
fn patience() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn beside_a_thread_that_yields_all_the_time() {
    workers(1).run(|| {
        let done = watch();
        let patience = patience();
        while !done() && Instant::now() < patience {
            yield_now();
        }
        assert!(done());
    });
}

/// Whenever the worker has nothing to run, a timer is due: it never sleeps.
#[test]
fn beside_a_timer_that_is_always_due() {
    workers(1).run(|| {
        let done = watch();
        let patience = patience();
        while !done() && Instant::now() < patience {
            thread::park_timeout(Duration::from_nanos(1));
        }
        assert!(done());
    });
}

#[test]
fn beside_a_pair_that_wakes_each_other() {
    workers(1).run(|| {
        let done = Rc::new(watch());
        let patience = patience();
        let turn = Rc::new(RefCell::new(0));
        let pair: Vec<JoinHandle<()>> = (0..2)
            .map(|number| {
                let (done, turn) = (done.clone(), turn.clone());
                spawn_local(move || {
                    let other = loop {
                        // The other one's handle, once it is there.
                        let found = PAIR.with_borrow(|pair| pair.get(1 - number).cloned());
                        match found {
                            Some(other) => break other,
                            None => yield_now(),
                        }
                    };
                    while !done() && Instant::now() < patience {
                        *turn.borrow_mut() += 1;
                        other.unpark();
                        park();
                    }
                    other.unpark();
                })
            })
            .collect();
        PAIR.with_borrow_mut(|list| list.extend(pair.iter().map(|t| t.thread().clone())));
        for thread in pair {
            thread.join().unwrap();
        }
        PAIR.take();
        assert!(done(), "{} turns", turn.borrow());
    });
}

thread_local! {
    /// The threads of a pair, on their worker.
    static PAIR: RefCell<Vec<thread::Thread>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn beside_a_crowd_that_spawns_and_ends() {
    workers(1).run(|| {
        let done = watch();
        let patience = patience();
        while !done() && Instant::now() < patience {
            // Each is started, ends, and wakes this one.
            spawn(|| drop(spawn(|| ()))).join().unwrap();
        }
        assert!(done());
    });
}

/// Wake-ups from an OS thread that arrive faster than the worker can look elsewhere: each time it
/// has nothing to run, one has arrived. (Two threads take turns; each, while it runs, waits until
/// the message to the other is posted.)
#[test]
fn beside_a_stream_of_wake_ups_from_elsewhere() {
    let runtime = workers(1);
    runtime.run(|| {
        let done = Rc::new(watch());
        let patience = patience();
        // The thread whose turn it is to be woken: 2 * n + number.
        let posted = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let pair: Vec<JoinHandle<()>> = (0..2)
            .map(|_| {
                let (done, posted, asked, stop) =
                    (done.clone(), posted.clone(), asked.clone(), stop.clone());
                spawn_local(move || {
                    park();
                    while !stop.load(Ordering::SeqCst) {
                        if done() || Instant::now() > patience {
                            stop.store(true, Ordering::SeqCst);
                        }
                        // Requests the wake-up of the other, and continues only when it was sent.
                        let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                        while posted.load(Ordering::SeqCst) < number {
                            std::hint::spin_loop();
                        }
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        park();
                    }
                })
            })
            .collect();
        let handles: Vec<_> = pair.iter().map(|t| t.thread().clone()).collect();
        // Both are parked before the first is woken.
        turns();
        let (wake, asking, stopped) = (posted.clone(), asked.clone(), stop.clone());
        let os = std::thread::spawn(move || {
            handles[0].unpark();
            let mut next = 1;
            loop {
                while asking.load(Ordering::SeqCst) < next {
                    std::hint::spin_loop();
                }
                handles[next % 2].unpark();
                wake.store(next, Ordering::SeqCst);
                if stopped.load(Ordering::SeqCst) {
                    handles.iter().for_each(thread::Thread::unpark);
                    return;
                }
                next += 1;
            }
        });
        let mut pair = pair.into_iter();
        let first = pair.next().unwrap();
        let second = pair.next().unwrap();
        // The one that stops has requested a wake-up once more, and the other one may wait for its
        // own.
        while !first.is_finished() || !second.is_finished() {
            sleep(Duration::from_millis(1));
            if stop.load(Ordering::SeqCst) {
                first.thread().unpark();
                second.thread().unpark();
            }
        }
        let rounds = posted.load(Ordering::SeqCst);
        assert!(done(), "{rounds} wake-ups, and nothing else has moved");
        while !os.is_finished() {
            sleep(Duration::from_millis(1));
        }
    });
}

/// A call that returns without having waited still yields from time to time.
#[test]
fn beside_waits_that_never_have_to_wait() {
    let waits: [(&str, fn()); 6] = [
        ("sleep for no time", || sleep(Duration::ZERO)),
        ("sleep for a nanosecond", || sleep(Duration::from_nanos(1))),
        ("park with a token", || {
            current().unpark();
            park();
        }),
        ("park for no time", || thread::park_timeout(Duration::ZERO)),
        ("an empty scope", || rustlet::scope(|_| ())),
        ("sleep until now", || rustlet::sleep_until(Instant::now())),
    ];
    let mut starved = Vec::new();
    for (name, wait) in waits {
        let moved = workers(1).run(|| {
            let other = spawn_local(|| ());
            // This often, and for this long: a stop of the whole machine does not suffice.
            let patience = Instant::now() + Duration::from_secs(1);
            let mut waits = 0;
            while !other.is_finished() && (waits < 100_000 || Instant::now() < patience) {
                wait();
                waits += 1;
            }
            other.is_finished()
        });
        if !moved {
            starved.push(name);
        }
    }
    assert!(starved.is_empty(), "{starved:?}");
}

// --- timers ---

#[test]
fn timers_fire_in_order() {
    let mut random = Random(1);
    let mut delays: Vec<u64> = (0..200).collect();
    for index in (1..delays.len()).rev() {
        delays.swap(index, random.below(index as u64 + 1) as usize);
    }
    // All of them have to be asleep before the first is due; a machine that is busy may need longer
    // for that.
    for lead in [2, 20, 200, 2_000].map(Duration::from_millis) {
        let delays = delays.clone();
        let order = workers(1).run(move || {
            let order = Rc::new(RefCell::new(Vec::new()));
            let in_time = Rc::new(RefCell::new(true));
            let first = Instant::now() + lead;
            let threads: Vec<_> = delays
                .into_iter()
                .map(|delay| {
                    let (order, in_time) = (order.clone(), in_time.clone());
                    spawn_local(move || {
                        *in_time.borrow_mut() &= Instant::now() < first;
                        rustlet::sleep_until(first + Duration::from_micros(50 * delay));
                        order.borrow_mut().push(delay);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            in_time.take().then(|| order.take())
        });
        if let Some(order) = order {
            assert!(order.iter().copied().eq(0..200), "{order:?}");
            return;
        }
    }
    panic!("200 threads cannot be started in two seconds");
}

#[test]
fn ten_thousand_timers() {
    let woken = AtomicUsize::new(0);
    workers(2).run(|| {
        rustlet::scope(|s| {
            for number in 0..stress(10_000) as u64 {
                let woken = &woken;
                s.spawn(move || {
                    let mut random = Random(number);
                    for _ in 0..3 {
                        let asked = Duration::from_micros(random.below(5_000));
                        let start = Instant::now();
                        sleep(asked);
                        assert!(start.elapsed() >= asked);
                    }
                    woken.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    });
    assert_eq!(woken.into_inner(), stress(10_000));
}

#[test]
fn a_timeout_that_is_set_and_not_needed() {
    workers(1).run(|| {
        let start = Instant::now();
        let asked = Duration::from_millis(5);
        let timed = spawn_local(move || {
            // Each leaves an early entry behind; only the last one counts.
            for _ in 0..1_000 {
                current().unpark();
                thread::park_timeout(Duration::from_micros(500));
            }
            for _ in 0..50 {
                let this = current();
                let _waker = spawn_local(move || this.unpark());
                thread::park_timeout(Duration::from_millis(1));
            }
            let begun = Instant::now();
            thread::park_timeout(asked);
            assert!(begun.elapsed() >= asked);
            // A shorter one after a longer one, and one that never expires.
            let this = current();
            let _waker = spawn_local(move || {
                sleep(Duration::from_millis(1));
                this.unpark();
            });
            thread::park_timeout(Duration::MAX);
            let begun = Instant::now();
            sleep(Duration::from_micros(100));
            assert!(begun.elapsed() >= Duration::from_micros(100));
        });
        timed.join().unwrap();
        assert!(start.elapsed() >= asked);
    });
}

// --- limits ---

#[test]
fn a_limit_refuses_and_recovers() {
    let runtime = Builder::new().workers(2).max_threads(10).build().unwrap();
    runtime.run(|| {
        for _ in 0..stress(20) {
            let mut parked: Vec<_> = (0..9)
                .map(|_| thread::Builder::new().spawn(park).unwrap())
                .collect();
            for _ in 0..3 {
                let error = thread::Builder::new().spawn(park).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                let text = error.to_string();
                assert!(
                    text.contains("10 green threads") && text.contains("max_threads"),
                    "{text}"
                );
                let error = thread::Builder::new().spawn_local(|| ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
            // One ends: there is room for one.
            let one = parked.pop().unwrap();
            one.thread().unpark();
            one.join().unwrap();
            let next = loop {
                // A joiner is woken a moment before the thread is counted as ended.
                match thread::Builder::new().stack_size(1 << 20).spawn(park) {
                    Ok(next) => break next,
                    Err(_) => yield_now(),
                }
            };
            thread::Builder::new().spawn(|| ()).unwrap_err();
            parked.push(next);
            for thread in &parked {
                thread.cancel();
            }
            for thread in parked {
                thread.join().unwrap_err();
            }
            while runtime.metrics().live > 1 {
                yield_now();
            }
        }
    });
}

#[test]
fn spawn_past_the_limit_panics() {
    let runtime = Builder::new().workers(1).max_threads(1).build().unwrap();
    let text = runtime.run(|| {
        let payload = std::panic::catch_unwind(|| spawn(|| ())).unwrap_err();
        *payload.downcast::<String>().unwrap()
    });
    assert!(
        text.starts_with("failed to spawn green thread: the limit of 1"),
        "{text}"
    );
}

// --- the list ---

#[test]
fn the_list_says_who_is_alive_where_and_why() {
    let output = child("the_list_says_who_is_alive_where_and_why", || {
        assert!(threads().is_empty());
        workers(1).run(|| {
            let builder = thread::Builder::new().name("sleeper".into());
            let line = line!() + 1;
            let sleeper = builder.spawn(|| sleep(Duration::MAX)).unwrap();
            let parked = spawn_local(park);
            let waiter = parked.thread().clone();
            let joiner = spawn_local(move || parked.join().unwrap());
            let scoper = spawn_local(|| rustlet::scope(|s| drop(s.spawn(park))));
            turns();
            let unstarted = spawn(|| ());
            let list = threads();
            let find = |id| list.iter().find(|info| info.id == id).unwrap();

            let main = find(current().id());
            assert_eq!(
                (main.name.as_deref(), main.state),
                (Some("main"), ThreadState::Running)
            );
            let info = find(sleeper.thread().id());
            assert_eq!(
                (info.name.as_deref(), info.state),
                (Some("sleeper"), ThreadState::Waiting)
            );
            assert_eq!(info.waits_in, "sleep");
            let at = info.spawned_at.unwrap();
            assert!(
                at.file().ends_with("scheduler.rs") && at.line() == line,
                "{at}"
            );
            assert_eq!(info.waits_at.unwrap().line(), line);
            assert_eq!(find(waiter.id()).waits_in, "park");
            assert_eq!(find(joiner.thread().id()).waits_in, "join");
            assert_eq!(find(scoper.thread().id()).waits_in, "the end of a scope");
            let info = find(unstarted.thread().id());
            assert_eq!(
                (info.state, info.name.as_deref()),
                (ThreadState::Unstarted, None)
            );
            assert!(list.is_sorted_by_key(|info| format!("{:>20}", format!("{:?}", info.id))));
            // main, sleeper, parked, joiner, scoper, its child, unstarted.
            assert_eq!(list.len(), 7, "{list:#?}");
            let text = find(sleeper.thread().id()).to_string();
            assert!(
                text.starts_with("green thread 'sleeper' ThreadId("),
                "{text}"
            );
            assert!(
                text.contains(", waits in sleep at ") && text.contains(", spawned at "),
                "{text}"
            );
            assert!(
                find(unstarted.thread().id())
                    .to_string()
                    .ends_with(", has not started")
            );

            // An ended thread is not listed, though its handle is there.
            unstarted.join().unwrap();
            let ended = spawn(|| ());
            while !ended.is_finished() {
                yield_now();
            }
            yield_now();
            assert!(threads().iter().all(|info| info.id != ended.thread().id()));
        });
        assert!(threads().is_empty(), "{:?}", threads());
    });
    succeeded(&output);
}

#[test]
fn the_list_can_be_asked_for_while_all_move() {
    workers(2).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let lister = std::thread::spawn(move || {
            let mut most = 0;
            // At least once, while the thread that waits for this exists.
            loop {
                let last = stopped.load(Ordering::SeqCst);
                let list = threads();
                most = most.max(list.len());
                let text: String = list.iter().map(ToString::to_string).collect();
                assert!(list.is_empty() || text.contains("green thread"));
                if last {
                    return most;
                }
            }
        });
        for round in 0..stress(20) {
            let threads: Vec<_> = (0..100)
                .map(|number| {
                    let builder = thread::Builder::new().name(format!("{round}-{number}"));
                    let thread = builder.spawn(move || match number % 3 {
                        0 => yield_now(),
                        1 => sleep(Duration::from_micros(20)),
                        _ => {}
                    });
                    thread.unwrap()
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
        stop.store(true, Ordering::SeqCst);
        while !lister.is_finished() {
            yield_now();
        }
        assert!(lister.join().unwrap() > 0);
    });
}

// --- the watchdog ---

fn compute(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

/// The child reads its own reports, so that the thread that never waits continues until it has been
/// named.
#[test]
fn the_watchdog_names_one_that_never_waits() {
    let output = child("the_watchdog_names_one_that_never_waits", || {
        let (reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let stderr = rustix::io::dup(std::io::stderr()).unwrap();
        rustix::stdio::dup2_stderr(&writer).unwrap();
        let period = Duration::from_millis(50);
        let runtime = Builder::new().workers(1).watchdog(period).build().unwrap();
        let said = runtime.run(move || {
            let hog = thread::Builder::new().name("hog".into());
            let hog = hog.spawn_local(move || {
                yield_now();
                let patience = patience();
                let (mut said, mut part) = (Vec::new(), [0; 1000]);
                while !said.ends_with(b"\n") && Instant::now() < patience {
                    let count = (&reader).read(&mut part).unwrap_or(0);
                    said.extend_from_slice(&part[..count]);
                }
                // Whether it is named again.
                compute(6 * period);
                let count = (&reader).read(&mut part).unwrap_or(0);
                said.extend_from_slice(&part[..count]);
                said
            });
            hog.unwrap().join().unwrap()
        });
        rustix::stdio::dup2_stderr(stderr).unwrap();
        eprint!("{}", String::from_utf8_lossy(&said));
    });
    let said = succeeded(&output);
    assert!(
        said.contains("green thread 'hog'") && said.contains("has kept its worker"),
        "{said}"
    );
    assert_eq!(said.matches("'hog'").count(), 1, "once is enough: {said}");
}

/// It computes all the time, but yields often enough.
#[test]
fn the_watchdog_does_not_name_one_that_yields() {
    const PERIOD: &str = "RUSTLET_TEST_PERIOD";
    let name = "the_watchdog_does_not_name_one_that_yields";
    let named = |millis: u64| {
        let output = child_with(name, &[(PERIOD, &millis.to_string())], || {
            let millis = std::env::var(PERIOD).unwrap().parse().unwrap();
            let period = Duration::from_millis(millis);
            let runtime = Builder::new().workers(1).watchdog(period).build().unwrap();
            runtime.run(|| {
                for _ in 0..150 {
                    compute(period / 50);
                    yield_now();
                }
            });
        });
        succeeded(&output)
    };
    // A thread whose processor is taken away for a whole period is named, correctly: so retry with
    // a longer period.
    if !named(250).is_empty() {
        assert_eq!(named(4_000), "");
    }
}

// --- everything at once ---

#[test]
fn many_threads_do_everything() {
    run(|| {
        let total = AtomicUsize::new(0);
        rustlet::scope(|s| {
            for seed in 0..stress(300) as u64 {
                let total = &total;
                s.spawn(move || {
                    let mut random = Random(seed);
                    let mut sum = 0;
                    for _ in 0..20 {
                        match random.below(8) {
                            0 => yield_now(),
                            1 => sleep(Duration::from_micros(random.below(200))),
                            2 => sum += spawn(|| 1).join().unwrap(),
                            3 => drop(spawn(|| yield_now())),
                            4 => {
                                let child = spawn(park);
                                child.thread().unpark();
                                child.join().unwrap();
                            }
                            5 => {
                                let child = spawn(park);
                                child.cancel();
                                assert!(child.join().is_err());
                            }
                            6 => rustlet::scope(|t| {
                                let child = t.spawn(|| sum + 1);
                                let more = child.join().unwrap();
                                assert!(more > 0);
                            }),
                            _ => sum += spawn_local(|| 1).join().unwrap(),
                        }
                    }
                    total.fetch_add(sum, Ordering::Relaxed);
                });
            }
        });
        assert!(total.into_inner() > 0);
    });
}

/// A stack's initialised frame is reused by the next thread there, however the former one ended.
#[test]
fn ends_of_every_kind_leave_a_stack_that_serves() {
    for round in 0..3 {
        // Each has more threads at once than a worker keeps stacks, so that some stacks move
        // between workers.
        workers(1 + round % 2).run(|| {
            for number in 0..20_u64 {
                let threads: Vec<_> = (0..200_u64)
                    .map(|thread| {
                        spawn(move || {
                            match (number + thread) % 4 {
                                0 => {}
                                1 => park(),
                                2 => std::panic::resume_unwind(Box::new(thread)),
                                _ => yield_now(),
                            }
                            number + thread
                        })
                    })
                    .collect();
                yield_now();
                for (thread, handle) in (0..200_u64).zip(threads) {
                    match (number + thread) % 4 {
                        1 => {
                            handle.cancel();
                            let cancelled = handle.join().unwrap_err();
                            assert!(cancelled.is::<rustlet::Cancelled>());
                        }
                        2 => {
                            let payload = handle.join().unwrap_err();
                            assert_eq!(payload.downcast_ref::<u64>(), Some(&thread));
                        }
                        _ => assert_eq!(handle.join().unwrap(), number + thread),
                    }
                }
            }
        });
    }
}
