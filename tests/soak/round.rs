//! Rounds: their threads, the cancellations, the end, and the state that must remain.

use crate::dice::{Dice, Patience};
use crate::heap;
use crate::ledger::Count;
use crate::links;
use crate::process_state as state;
use crate::steps::{Actor, check_end};
use crate::watch::{self, STEPS, until, wrong};
use crate::world::{Alive, World};
use rustlet::{Builder, JoinHandle, Runtime, sleep, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The threads that would not end are cancelled, and all are joined.
    Joined,
    /// The runtime is shut down while they run.
    ShutDown,
    /// The same, and no thread was cancelled before.
    Dropped,
}

const ENDS: [End; 3] = [End::Joined, End::ShutDown, End::Dropped];

/// Number of workers, and of OS threads beside them that do the same.
const CROWDS: [(usize, usize); 4] = [(1, 0), (2, 0), (2, 2), (1, 1)];

/// Number of rounds until each setting has had each end.
pub(crate) const SETTINGS: usize = ENDS.len() * CROWDS.len();

/// Minimum number of rounds from which a growth of memory can be detected.
const MANY: usize = 100;

const THREADS: u64 = 250;
const STEPS_EACH: u64 = 12;
const ITEMS: usize = 20_000;

/// The resources of the process at the end of a round.
struct Left {
    descriptors: usize,
    os_threads: usize,
    resident: usize,
}

pub(crate) fn soak(seed: u64, rounds: usize) {
    watch::begin(seed);
    let start = Instant::now();
    let mut total = Count::default();
    let (mut first, mut most) = (None, 0);
    let mut early = 0;
    // The minimum of the heap in each quarter: at a moment when no thread holds anything.
    let mut least = [isize::MAX; 4];
    let mut said = Instant::now();
    for number in 0..rounds {
        watch::begin_round(number);
        let count = round(&mut Dice::new(seed.wrapping_add(number as u64)), number);
        total.received += count.received;
        total.back += count.back;
        total.ended += count.ended;
        total.loose += count.loose;
        // Resources that live as long as the process exist by then: the process-wide runtime, the
        // thread that reaps children.
        if number + 1 < CROWDS.len() {
            continue;
        }
        let base: &Left = first.get_or_insert_with(|| Left {
            descriptors: state::descriptors(),
            os_threads: state::os_threads(),
            resident: state::resident(),
        });
        let left = after_round(base);
        most = most.max(left.resident);
        if number < rounds / 4 {
            early = most;
        }
        let quarter = &mut least[number * 4 / rounds];
        *quarter = heap::in_use().min(*quarter);
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            eprintln!(
                "round {number}: {} steps, {} descriptors, {} OS threads, {} KiB, {} bytes of the heap",
                STEPS.load(SeqCst),
                left.descriptors,
                left.os_threads,
                left.resident,
                heap::in_use(),
            );
        }
    }
    let Some(base) = first else { return };
    // The first rounds fill the caches, and grow the heap to the maximum of a round.
    if early > 0 && rounds >= MANY && most > early + early / 4 + 16 * 1024 {
        wrong(&format!(
            "memory grows: {early} KiB at most in the first quarter, then {most}"
        ));
    }
    let grown = least[3] - least[1];
    if rounds >= MANY && grown > 4096 + 8 * rounds as isize {
        wrong(&format!(
            "something leaks: {least:?} bytes of the heap, at least, in the four quarters"
        ));
    }
    println!(
        "{rounds} rounds in {:?}: {} steps; items: {} received, {} given back, {} ended in their send, {} dropped with \
         their channel; {} KiB after the first rounds, {most} at most; {least:?} bytes of the heap at least in each quarter",
        start.elapsed(),
        STEPS.load(SeqCst),
        total.received,
        total.back,
        total.ended,
        total.loose,
        base.resident,
    );
}

/// Checks that everything is released: at once, or as soon as pool threads and reapers have seen
/// that there is nothing to do.
fn after_round(base: &Left) -> Left {
    let deadline = Instant::now() + Duration::from_secs(60);
    while state::descriptors() > base.descriptors {
        if Instant::now() > deadline {
            wrong(&format!(
                "{} descriptors, {} before: {:#?}",
                state::descriptors(),
                base.descriptors,
                state::descriptor_names()
            ));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    until("a child process is left", || state::children() == 0);
    // The pool of the process-wide runtime keeps some threads for a while.
    until("OS threads are left", || {
        state::os_threads() <= base.os_threads + 40
    });
    Left {
        descriptors: state::descriptors(),
        os_threads: state::os_threads(),
        resident: state::resident(),
    }
}

fn round(dice: &mut Dice, number: usize) -> Count {
    let (workers, os_threads) = CROWDS[number % CROWDS.len()];
    let end = ENDS[number / CROWDS.len() % ENDS.len()];
    let world = World::new(dice, ITEMS);
    let runtime = Builder::new().workers(workers).build().expect("a runtime");
    std::thread::scope(|s| {
        for _ in 0..os_threads {
            let actor = Actor::new(&world, dice.split(), Patience::Limited).on_os_thread();
            s.spawn(move || actor.steps(STEPS_EACH * 3));
        }
        crowd(&runtime, &world, dice, end);
        if end == End::Joined {
            until("threads are counted that have ended", || {
                runtime.metrics().live == 0
            });
        }
        match end {
            End::Dropped => drop(runtime),
            End::Joined | End::ShutDown => {
                if let Err(left) = runtime.shutdown(Duration::from_secs(60)) {
                    wrong(&left.to_string());
                }
            }
        }
    });
    until("green threads are left", || {
        rustlet::runtime::threads().is_empty()
    });
    until("a thread still holds the world", || {
        Arc::strong_count(&world) == 1
    });
    World::settle(world)
}

/// Fills the runtime, and cancels at random.
fn crowd(runtime: &Runtime, world: &Arc<World>, dice: &mut Dice, end: End) {
    let reap = AtomicBool::new(true);
    let (reaping, mut knife) = (&reap, dice.split());
    let handles: Vec<JoinHandle<()>> = runtime.run(|| {
        let mut handles = Vec::new();
        for _ in 0..2 {
            let (theirs, alive) = (Arc::clone(world), Alive::new(world));
            handles.push(spawn(move || {
                let _alive = alive;
                links::serve(&theirs);
            }));
        }
        for number in 0..THREADS {
            let endless = number % 3 == 0;
            let patience = match endless {
                true => Patience::Endless,
                false => Patience::Limited,
            };
            let actor = Actor::new(world, dice.split(), patience);
            handles.push(spawn(move || match endless {
                true => actor.steps_for_ever(),
                false => actor.steps(STEPS_EACH),
            }));
            if dice.one_in(4) {
                yield_now();
            }
            // Some when they have hardly begun, some before.
            if dice.one_in(8) {
                dice.pick(&handles).cancel();
            }
        }
        handles
    });
    std::thread::scope(|s| {
        let handles = &handles;
        // From outside, at any moment.
        s.spawn(move || {
            while reaping.load(SeqCst) {
                std::thread::sleep(knife.span());
                knife.pick(handles).cancel();
            }
        });
        runtime.run(|| {
            for _ in 0..20 {
                sleep(dice.span());
                if end != End::Dropped {
                    dice.pick(handles).cancel();
                }
            }
        });
        reap.store(false, SeqCst);
        if end == End::ShutDown {
            handles.iter().step_by(2).for_each(JoinHandle::cancel);
        }
        if end == End::Joined {
            // Some end by themselves, the others have to be cancelled.
            for (index, handle) in handles.iter().enumerate() {
                if index < 2 || (index - 2) % 3 == 0 {
                    handle.cancel();
                }
            }
        }
    });
    if end == End::Joined {
        handles
            .into_iter()
            .for_each(|handle| check_end(handle.join()));
    }
}
