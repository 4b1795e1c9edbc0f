//! The exact order of the steps.

use super::{Said, tick_all};
use rustlet::{Worker, park, scope, spawn, spawn_local, thread, yield_now};

/// Clockwork's test: two tasks, one between letters and one between numbers, take turns.
#[test]
fn letters_and_numbers_interleave() {
    let tasks = |worker: &Worker, said: &Said| {
        let letters = said.clone();
        worker.assign(move || {
            letters.say("a");
            yield_now();
            letters.say("z");
        });
        let numbers = said.clone();
        worker.assign(move || {
            numbers.say(1);
            yield_now();
            numbers.say(2);
            yield_now();
            numbers.say(3);
            yield_now();
            numbers.say(4);
        });
    };
    let said = Said::default();
    Worker::scope(|worker| {
        tasks(worker, &said);
        for step in ["a", "1", "z", "2", "3", "4"] {
            assert!(worker.tick());
            assert_eq!(said.take(), step);
        }
        assert!(!worker.tick());

        tasks(worker, &said);
        worker.work();
        assert_eq!(said.take(), "a 1 z 2 3 4");
    });
}

#[test]
fn nothing_runs_but_in_a_tick() {
    let said = Said::default();
    Worker::scope(|worker| {
        let theirs = said.clone();
        let handle = worker.assign(move || theirs.say("ran"));
        assert_eq!(said.take(), "");
        assert!(!handle.is_finished());
        assert_eq!(worker.live(), 1);
        assert!(worker.tick());
        assert_eq!(said.take(), "ran");
        assert!(handle.is_finished());
        assert_eq!(worker.live(), 0);
        assert!(!worker.tick());
    });
}

#[test]
fn spawned_threads_go_to_the_end_of_the_run_queue() {
    let said = Said::default();
    Worker::scope(|worker| {
        let ours = said.clone();
        worker.assign(move || {
            ours.say("first");
            // Both kinds alike, and before the spawner itself, which moves to the end by its yield.
            let _first = spawn(|| yield_now());
            let theirs = ours.clone();
            spawn_local(move || theirs.say("local"));
            let named = thread::Builder::new().name("named".into());
            let _named = named.spawn(yield_now).unwrap();
            yield_now();
            ours.say("again");
        });
        let ours = said.clone();
        worker.assign(move || ours.say("second"));
        assert!(worker.tick());
        assert_eq!(said.take(), "first");
        assert!(worker.tick());
        assert_eq!(said.take(), "second");
        assert!(worker.tick()); // the spawned one
        assert_eq!(said.take(), "");
        assert!(worker.tick());
        assert_eq!(said.take(), "local");
        assert!(worker.tick()); // the named one
        assert_eq!(said.take(), "");
        assert!(worker.tick());
        assert_eq!(said.take(), "again");
        assert_eq!(tick_all(worker), 2);
    });
}

#[test]
fn woken_threads_go_to_the_end_of_the_run_queue() {
    let said = Said::default();
    Worker::scope(|worker| {
        let ours = said.clone();
        let sleeper = worker.assign(move || {
            park();
            ours.say("woken");
        });
        assert!(worker.tick());
        assert!(!worker.tick());
        let ours = said.clone();
        worker.assign(move || {
            sleeper.thread().unpark();
            ours.say("waker");
            yield_now();
            ours.say("waker again");
        });
        let ours = said.clone();
        worker.assign(move || ours.say("beside"));
        tick_all(worker);
        assert_eq!(said.take(), "waker beside woken waker again");
    });
}

#[test]
fn a_thousand_threads_alternate() {
    let said = Said::default();
    Worker::scope(|worker| {
        for number in 0..1_000 {
            let said = said.clone();
            worker.assign(move || {
                for _ in 0..3 {
                    said.say(number);
                    yield_now();
                }
            });
        }
        assert_eq!(tick_all(worker), 4_000);
        let numbers: Vec<String> = (0..3_000).map(|n| (n % 1_000).to_string()).collect();
        assert_eq!(said.take(), numbers.join(" "));
    });
}

/// The worker may poll more rarely, but the order of ready threads is the same.
#[test]
fn work_keeps_the_order_of_ticks() {
    let said_by = |go: &dyn Fn(&Worker)| {
        let said = Said::default();
        Worker::scope(|worker| {
            for number in 0..200 {
                let said = said.clone();
                worker.assign(move || {
                    for turn in 0..number % 7 {
                        said.say(number);
                        let child = said.clone();
                        let child = spawn_local(move || {
                            child.say(-number);
                            yield_now();
                            child.say(-number);
                        });
                        if turn % 2 == 0 {
                            yield_now();
                        } else {
                            child.join().unwrap();
                        }
                        scope(|s| {
                            s.spawn(yield_now);
                        });
                    }
                });
            }
            go(worker);
            assert_eq!(worker.live(), 0);
            said.take()
        })
    };
    let ticked = said_by(&|worker| {
        tick_all(worker);
    });
    assert_eq!(said_by(&Worker::work), ticked);
}

#[test]
fn a_thread_that_always_yields_does_not_keep_the_others_out() {
    let said = Said::default();
    Worker::scope(|worker| {
        let endless = worker.assign(|| {
            loop {
                yield_now();
            }
        });
        let ours = said.clone();
        worker.assign(move || {
            for _ in 0..3 {
                ours.say("turn");
                yield_now();
            }
        });
        for _ in 0..6 {
            assert!(worker.tick());
        }
        assert_eq!(said.take(), "turn turn turn");
        endless.cancel();
        worker.work();
    });
}

#[test]
fn workers_of_one_os_thread_do_not_mix() {
    let said = Said::default();
    Worker::scope(|a| Worker::scope(|b| Worker::scope(|c| turns_of_three([a, b, c], &said))));
}

fn turns_of_three(workers: [&Worker; 3], said: &Said) {
    for (number, worker) in workers.iter().enumerate() {
        let said = said.clone();
        worker.assign(move || {
            for step in 0..3 {
                said.say(format!("{number}{step}"));
                let child = said.clone();
                spawn_local(move || child.say(format!("{number}child")));
                yield_now();
            }
        });
    }
    assert!(workers[1].tick());
    assert!(workers[0].tick());
    assert!(workers[1].tick());
    assert_eq!(said.take(), "10 00 1child");
    workers[2].work();
    assert_eq!(said.take(), "20 2child 21 2child 22 2child");
    workers[0].work();
    workers[1].work();
    assert_eq!(
        said.take(),
        "0child 01 0child 02 0child 11 1child 12 1child"
    );
}
