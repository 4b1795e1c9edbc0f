//! Many runs of one test: with many seeds, or with all schedules within a bound.

use std::env;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::report::{Found, describe};
use super::run::{Finished, Plan, run_once};
use super::shrink::{next_script, read_script, script_of, shrink};
use super::{Simulation, Strategy};
use crate::simulation::Failure;
use crate::simulation::chooser::{Chooser, Priorities, Random};
use crate::sys::clock;

/// How many seeds are tried if nothing says otherwise.
const SEEDS: u64 = 200;
/// How long that may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How many runs the search for a simpler schedule may take, and how long.
const SHRINK_RUNS: u32 = 500;
const SHRINK_TIME: Duration = Duration::from_secs(5);
/// How many events [`Simulation::check`] keeps.
const EVENTS_KEPT: usize = 256;
/// How many schedules [`Simulation::exhaust`] runs at most.
const MOST_SCHEDULES: u64 = 1_000_000;

/// The depth of the priorities of [`Strategy::Mixed`].
const DEPTH: u32 = 3;

/// Returns the number in an environment variable.
///
/// # Panics
///
/// The variable is set to something else.
#[track_caller]
fn number_in(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    match text.trim().parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text} is no number"),
    }
}

/// Returns the script that the environment asks for.
#[track_caller]
fn script_in_environment() -> Option<Vec<u32>> {
    let text = env::var("RUSTLET_SCHEDULE").ok()?;
    match read_script(&text) {
        Some(script) => Some(script),
        None => panic!("RUSTLET_SCHEDULE={text} is no schedule: copy it from the report"),
    }
}

fn scripted(script: &[u32]) -> Chooser {
    Chooser::Script {
        script: script.to_vec(),
        at: 0,
    }
}

/// A test that is run many times, and where it is.
struct Test<F> {
    f: Rc<F>,
    at: &'static Location<'static>,
}

impl<F: Fn() + 'static> Test<F> {
    #[track_caller]
    fn new(f: F) -> Test<F> {
        Test {
            f: Rc::new(f),
            at: Location::caller(),
        }
    }
}

impl Simulation {
    fn once<F: Fn() + 'static>(&self, test: &Test<F>, chooser: Chooser) -> Finished<()> {
        let f = Rc::clone(&test.f);
        run_once(chooser, self.plan(EVENTS_KEPT), test.at, move || f())
    }

    pub(super) fn plan(&self, events: usize) -> Plan {
        Plan {
            max_steps: self.max_steps,
            events,
            fails_on_threads_left: self.fails_on_threads_left,
        }
    }

    /// Returns the seed that the environment or the program chooses.
    #[track_caller]
    pub(super) fn only_seed(&self) -> Option<u64> {
        number_in("RUSTLET_SEED").or(self.seed)
    }

    pub(super) fn chooser(&self, seed: u64) -> Chooser {
        match self.strategy {
            Strategy::Mixed if seed % 2 == 1 => Chooser::Priorities(Priorities::new(seed, DEPTH)),
            Strategy::Mixed | Strategy::RandomWalk => Chooser::Walk(Random::new(seed)),
            Strategy::Pct { depth } => Chooser::Priorities(Priorities::new(seed, depth)),
        }
    }

    /// Runs `f` once, and panics with the report if it fails.
    #[track_caller]
    pub(super) fn run_and_report<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let (seed, chooser) = match script_in_environment() {
            Some(script) => (None, scripted(&script)),
            None => {
                let seed = self.only_seed().unwrap_or(0);
                (Some(seed), self.chooser(seed))
            }
        };
        let mut finished = run_once(chooser, self.plan(EVENTS_KEPT), Location::caller(), f);
        match finished.value.take() {
            Some(value) => value,
            None => {
                let found = Found {
                    seed,
                    run: 1,
                    deviations: 0,
                    is_shrunk: false,
                };
                panic!("{}", describe(&finished, &found))
            }
        }
    }

    #[track_caller]
    pub(super) fn check_seeds<F: Fn() + 'static>(&self, f: F) {
        let test = Test::new(f);
        if let Some(script) = script_in_environment() {
            let finished = self.once(&test, scripted(&script));
            return report(&finished, None, 1, 0, false);
        }
        let only = self.only_seed();
        let wanted = number_in("RUSTLET_SEEDS");
        let seeds = match only {
            Some(seed) => seed..seed.saturating_add(1),
            None => 0..wanted.or(self.seeds).unwrap_or(SEEDS),
        };
        let limit = match self.time_limit {
            None if wanted.is_some() || self.seeds.is_some() => Duration::MAX,
            limit => limit.unwrap_or(TIME_LIMIT),
        };
        let until = clock::after(limit);
        for (run, seed) in (1..).zip(seeds) {
            let finished = self.once(&test, self.chooser(seed));
            if finished.failure.is_some() {
                return self.shrink_and_report(&test, &finished, Some(seed), run);
            }
            if clock::now() >= until {
                return;
            }
        }
    }

    #[track_caller]
    pub(super) fn exhaust_schedules<F: Fn() + 'static>(&self, f: F) -> u64 {
        let test = Test::new(f);
        if let Some(script) = script_in_environment() {
            report(&self.once(&test, scripted(&script)), None, 1, 0, false);
            return 1;
        }
        let until = clock::after(self.time_limit.unwrap_or(Duration::MAX));
        let mut script = Vec::new();
        for run in 1.. {
            let finished = self.once(&test, scripted(&script));
            if finished.failure.is_some() {
                self.shrink_and_report(&test, &finished, None, run);
            }
            match next_script(&finished.choices, self.most_switches) {
                Some(next) => script = next,
                None => return run,
            }
            assert!(
                run < MOST_SCHEDULES && clock::now() < until,
                "testing::exhaust: the test has more than {run} schedules with at most {} \
                 interruptions; make it smaller, or use testing::check",
                self.most_switches
            );
        }
        unreachable!("the loop above ends")
    }

    /// Searches for a simpler schedule that fails in the same way, and panics with its report.
    #[track_caller]
    fn shrink_and_report<F: Fn() + 'static>(
        &self,
        test: &Test<F>,
        finished: &Finished<()>,
        seed: Option<u64>,
        run: u64,
    ) {
        let found = script_of(&finished.choices);
        let deviations = found.iter().filter(|chosen| **chosen != 0).count();
        let until = clock::after(SHRINK_TIME);
        let mut runs = 0;
        let shrunk = shrink(
            found,
            |script| {
                let again = self.once(test, scripted(script));
                let fails = is_same(again.failure.as_ref(), finished.failure.as_ref());
                fails.then(|| script_of(&again.choices))
            },
            || {
                runs += 1;
                runs <= SHRINK_RUNS && clock::now() < until
            },
        );
        let simplest = self.once(test, scripted(&shrunk));
        let is_shrunk = is_same(simplest.failure.as_ref(), finished.failure.as_ref());
        let shown = if is_shrunk { &simplest } else { finished };
        report(shown, seed, run, deviations, is_shrunk);
    }
}

/// Returns whether both have failed in the same way. The texts may differ in numbers that a
/// schedule decides.
fn is_same(one: Option<&Failure>, other: Option<&Failure>) -> bool {
    let without_numbers = |failure: &Failure| {
        let text: String = (failure.text.chars())
            .filter(|letter| !letter.is_ascii_digit())
            .take(120)
            .collect();
        (failure.kind, text)
    };
    one.map(without_numbers) == other.map(without_numbers)
}

/// Panics with the report of a run that has failed.
#[track_caller]
fn report(
    finished: &Finished<()>,
    seed: Option<u64>,
    run: u64,
    deviations: usize,
    is_shrunk: bool,
) {
    if finished.failure.is_some() {
        let found = Found {
            seed,
            run,
            deviations,
            is_shrunk,
        };
        panic!("{}", describe(finished, &found));
    }
}
