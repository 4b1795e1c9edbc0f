//! All waits work on a worker, and with threads elsewhere.

use super::{Said, tick_all};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Worker, current, park, scope, sleep, spawn, spawn_local, unblock, yield_now};
use std::cell::Cell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn closures_of_a_worker_need_not_be_send() {
    Worker::scope(|worker| {
        let shared = Rc::new(Cell::new(1));
        let theirs = Rc::clone(&shared);
        let result = worker.assign(move || {
            theirs.set(theirs.get() + 1);
            yield_now();
            theirs
        });
        worker.work();
        let back = result.join().unwrap();
        assert!(Rc::ptr_eq(&back, &shared));
        assert_eq!(shared.get(), 2);
    });
}

#[test]
fn all_of_it_is_on_this_os_thread() {
    Worker::scope(|worker| {
        let here = std::thread::current().id();
        let check = move || assert_eq!(std::thread::current().id(), here);
        let outer = worker.assign(move || {
            check();
            sleep(Duration::from_micros(10));
            check();
            let children: Vec<_> = (0..50).map(|_| spawn(check)).collect();
            children.into_iter().for_each(|child| child.join().unwrap());
            scope(|s| {
                s.spawn(check);
            });
            spawn_local(check).join().unwrap();
            check();
        });
        worker.work();
        outer.join().unwrap();
    });
}

#[test]
fn sleepers_wake_in_order() {
    let said = Said::default();
    Worker::scope(|worker| {
        // All of them have to be asleep before the first is due; a machine that is busy may need
        // longer for that.
        for unit in [1, 100, 1_000].map(Duration::from_millis) {
            let first = Instant::now() + unit;
            let in_time = Rc::new(Cell::new(true));
            for number in [3, 1, 2, 0] {
                let (said, in_time) = (said.clone(), Rc::clone(&in_time));
                worker.assign(move || {
                    in_time.set(in_time.get() && Instant::now() < first);
                    rustlet::sleep_until(first + unit * number);
                    said.say(number);
                });
            }
            worker.work();
            assert!(Instant::now() >= first + unit * 3);
            let said = said.take();
            if in_time.get() {
                assert_eq!(said, "0 1 2 3");
                return;
            }
        }
        panic!("four threads cannot be started in a second");
    });
}

#[test]
fn ticks_see_timers() {
    Worker::scope(|worker| {
        let sleeper = worker.assign(|| sleep(Duration::from_millis(2)));
        let start = Instant::now();
        while !sleeper.is_finished() {
            worker.tick();
        }
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}

#[test]
fn sockets() {
    Worker::scope(|worker| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        worker.assign(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let echo = spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            assert_eq!(echo.join().unwrap().unwrap(), 5);
        });
        let client = worker.assign(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        worker.work();
        assert_eq!(client.join().unwrap(), "hello");
    });
}

#[test]
fn a_socket_moves_between_a_worker_and_a_runtime() {
    Worker::scope(|worker| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let stream = TcpStream::from(stream);
        // Each waits before the byte comes, so each registers it.
        let read_one = |on: &mut dyn FnMut(Box<dyn FnOnce() -> u8 + Send>) -> u8, byte: u8| {
            let mut stream = stream.try_clone().unwrap();
            let mut peer = peer.try_clone().unwrap();
            let (ready, go) = mpsc::channel();
            let writer = std::thread::spawn(move || {
                go.recv().unwrap();
                peer.write_all(&[byte]).unwrap();
            });
            let read = on(Box::new(move || {
                spawn(move || ready.send(()).unwrap());
                let mut buffer = [0];
                stream.read_exact(&mut buffer).unwrap();
                buffer[0]
            }));
            writer.join().unwrap();
            assert_eq!(read, byte);
        };
        for byte in 0..20 {
            if byte % 2 == 0 {
                read_one(
                    &mut |f| {
                        let handle = worker.assign(f);
                        worker.work();
                        handle.join().unwrap()
                    },
                    byte,
                );
            } else {
                read_one(&mut |f| rustlet::run(f), byte);
            }
        }
        peer.write_all(b"end").unwrap();
    });
}

#[test]
fn calls_on_the_blocking_pool() {
    Worker::scope(|worker| {
        let here = std::thread::current().id();
        let call = worker.assign(move || unblock(move || std::thread::current().id() != here));
        let steps = Rc::new(Cell::new(0));
        let counted = Rc::clone(&steps);
        worker.assign(move || {
            for _ in 0..10 {
                yield_now();
                counted.set(counted.get() + 1);
            }
        });
        worker.work();
        assert!(call.join().unwrap());
        assert_eq!(steps.get(), 10);
    });
}

rustlet::thread_local! {
    static MINE: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn locals_are_each_threads_own() {
    Worker::scope(|worker| {
        MINE.set(100);
        for number in 1..10 {
            worker.assign(move || {
                MINE.set(number);
                yield_now();
                assert_eq!(MINE.get(), number);
            });
        }
        worker.work();
        assert_eq!(MINE.get(), 100);
    });
}

#[test]
fn a_panic_stays_in_its_handle() {
    let said = Said::default();
    Worker::scope(|worker| {
        let failing = worker.assign(|| -> u8 { resume_unwind(Box::new("no")) });
        let ours = said.clone();
        worker.assign(move || ours.say("goes on"));
        assert_eq!(tick_all(worker), 2);
        assert_eq!(said.take(), "goes on");
        let payload = failing.join().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"no"));
        assert!(!std::thread::panicking());
    });
}

#[test]
fn cancelling() {
    let said = Said::default();
    Worker::scope(|worker| {
        let ours = said.clone();
        let unstarted = worker.assign(move || ours.say("never"));
        unstarted.cancel();
        let waiting = worker.assign(park);
        assert_eq!(tick_all(worker), 2);
        waiting.cancel();
        worker.work();
        assert!(unstarted.join().unwrap_err().is::<rustlet::Cancelled>());
        assert!(waiting.join().unwrap_err().is::<rustlet::Cancelled>());
        assert_eq!(said.take(), "");
    });
}

// --- with others ---

#[test]
fn others_join_wake_and_cancel() {
    Worker::scope(|worker| {
        let stopped = worker.assign(|| sleep(LONG));
        let woken = worker.assign(|| {
            park();
            7
        });
        tick_all(worker);
        let other = std::thread::spawn(move || {
            stopped.cancel();
            assert!(stopped.join().unwrap_err().is::<rustlet::Cancelled>());
            woken.thread().unpark();
            woken.join().unwrap()
        });
        worker.work();
        assert_eq!(other.join().unwrap(), 7);
    });
}

#[test]
fn green_threads_of_a_runtime_join_those_of_a_worker() {
    Worker::scope(|worker| {
        let answer = worker.assign(|| {
            sleep(Duration::from_millis(1));
            5
        });
        let runtime = rustlet::Builder::new().workers(1).build().unwrap();
        let joiner = runtime.spawn(move || answer.join().unwrap());
        worker.work();
        assert_eq!(joiner.join().unwrap(), 5);
        // And the other way around.
        let far = runtime.spawn(|| {
            sleep(Duration::from_millis(1));
            6
        });
        let near = worker.assign(move || far.join().unwrap());
        worker.work();
        assert_eq!(near.join().unwrap(), 6);
    });
}

/// Wake-ups from many sides, none of them lost.
#[test]
fn many_others_wake_at_once() {
    Worker::scope(|worker| {
        let rounds = super::support::stress(200);
        let count = Arc::new(AtomicUsize::new(0));
        let mut others = Vec::new();
        for _ in 0..3 {
            let (to, from) = mpsc::channel();
            let counted = Arc::clone(&count);
            let near = worker.assign(move || {
                let me = current();
                for _ in 0..rounds {
                    to.send(me.clone()).unwrap();
                    park();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            others.push(std::thread::spawn(move || {
                from.iter().for_each(|thread| thread.unpark());
            }));
            drop(near);
        }
        worker.work();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(count.load(Ordering::Relaxed), 3 * rounds);
    });
}

#[test]
fn others_spawn_on_it() {
    Worker::scope(|worker| {
        let here = std::thread::current().id();
        let handle = worker.handle();
        let other = std::thread::spawn(move || {
            let threads: Vec<_> = (0..100)
                .map(|number| {
                    handle.spawn(move || {
                        assert_eq!(std::thread::current().id(), here);
                        yield_now();
                        number
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum::<i32>()
        });
        while !other.is_finished() {
            worker.tick();
        }
        assert_eq!(other.join().unwrap(), 4950);
    });
}

#[test]
fn each_os_thread_may_have_one() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                Worker::scope(|worker| {
                    let sum = Rc::new(Cell::new(0));
                    for number in 0..100 {
                        let sum = Rc::clone(&sum);
                        worker.assign(move || {
                            sleep(Duration::from_micros(number));
                            sum.set(sum.get() + number);
                        });
                    }
                    worker.work();
                    sum.get()
                })
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 4950);
    }
}

// --- what is refused ---

#[track_caller]
fn refused<R>(f: impl FnOnce() -> R) -> String {
    let refused = catch_unwind(AssertUnwindSafe(f)).map(drop);
    let payload = refused.unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast_ref::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn a_green_thread_steps_no_worker() {
    let opens = || {
        let by_builder = || rustlet::Builder::new().worker_scope(|_| ());
        for text in [refused(|| Worker::scope(|_| ())), refused(by_builder)] {
            assert!(text.starts_with("Worker::scope: called inside a"), "{text}");
        }
    };
    Worker::scope(|worker| {
        let inside = worker.assign(opens);
        worker.work();
        inside.join().unwrap();
    });
    rustlet::run(opens);
    // A closure that a green thread passes to an OS thread runs outside of the worker.
    rustlet::run(|| unblock(|| Worker::scope(Worker::work)));
}

#[test]
fn the_stepper_does_not_wait_for_its_own() {
    Worker::scope(|worker| {
        let parked = worker.assign(park);
        let text = refused(|| parked.join());
        assert!(text.contains("would wait for itself"), "{text}");
        // The handle of another worker on the same OS thread is refused as well.
        Worker::scope(|other| {
            let theirs = other.assign(park);
            assert!(other.tick());
            refused(|| theirs.join());
        });
        // So is the handle of a thread that was spawned from outside, and that the worker has not
        // taken over.
        let outside = worker.handle().spawn(park);
        refused(|| outside.join());
        // One that has ended can be joined.
        let done = worker.assign(|| 3);
        tick_all(worker);
        assert_eq!(done.join().unwrap(), 3);
    });
}

#[test]
fn runs_are_refused_inside_and_fine_outside() {
    Worker::scope(|worker| {
        let inside = worker.assign(|| refused(|| rustlet::run(|| ())));
        tick_all(worker);
        assert!(inside.join().unwrap().contains("run: called inside"));
        assert_eq!(rustlet::run(|| 4), 4);
        assert_eq!(spawn(|| 5).join().unwrap(), 5);
    });
}

#[test]
fn limits() {
    let limited = rustlet::Builder::new().max_threads(2);
    let result = limited.worker_scope(|worker| {
        worker.assign(park);
        let second = worker.assign(|| ());
        assert!(refused(|| worker.assign(|| ())).contains("max_threads"));
        tick_all(worker);
        second.join().unwrap();
        worker.assign(|| {
            let builder = rustlet::thread::Builder::new();
            assert!(builder.spawn(|| ()).is_err());
        });
        tick_all(worker);
        worker.live()
    });
    assert_eq!(result.unwrap(), 1);
}
