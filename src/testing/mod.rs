//! Tests that replay: virtual time, and schedules that are chosen by a seed.
//!
//! It needs the feature `testing`, which belongs into `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! rustlet = { version = "0.1", features = ["testing"] }
//! ```
//!
//! [`run`] runs a closure as the first green thread of a simulated runtime, on the calling OS
//! thread. [`check`] does that with many seeds, and shrinks the schedule of the first failure.
//! [`exhaust`] runs a small test with every schedule. The [guide](crate::guide::testing) shows how
//! they are used.
//!
//! ```
//! use rustlet::sync::{Arc, Mutex};
//! use rustlet::testing;
//!
//! // 1,000 schedules of two threads, and an hour of time in each.
//! testing::Simulation::new().seeds(1000).check(|| {
//!     let total = Arc::new(Mutex::new(0));
//!     let other = total.clone();
//!     let thread = rustlet::spawn(move || {
//!         rustlet::sleep(std::time::Duration::from_secs(3600));
//!         *other.lock().unwrap() += 1;
//!     });
//!     *total.lock().unwrap() += 1;
//!     thread.join().unwrap();
//!     assert_eq!(*total.lock().unwrap(), 2);
//! });
//! ```
//!
//! # What a run is
//!
//! - **One worker.** Threads run one at a time, on the calling OS thread. Which one runs next is a
//!   choice at each *switch point*: each operation of this crate on something that threads share
//!   (a lock, a channel, a spawn, an atomic of [`sync::atomic`](crate::sync::atomic)). So a race
//!   between two workers is found on one. Between two switch points nothing is interrupted.
//! - **Virtual time.** All limits and timers of this crate use a clock that stands still while a
//!   thread is ready. When all threads wait, it moves to the next deadline at once. Code under test
//!   reads it with [`time::now`](crate::time::now()). [`Instant::now`](std::time::Instant::now) of
//!   std is the real clock, which the run hardly moves.
//! - **The same run again.** The seed decides each choice: the thread that runs next, the arm of a
//!   select, and with them the order of timers that are due together. The same seed of the same
//!   program gives the same events, in debug and release builds and in each process. What the
//!   program gets elsewhere is not covered: the order of a `HashMap`, std's clock, random numbers,
//!   addresses.
//! - **A deadlock is an error at once**, with its cycle, when all threads wait without a limit, or
//!   when some wait for each other and no other thread is ready. So is a panic of a thread whose
//!   result nothing takes, and a run that does not end ([`Simulation::max_steps`]).
//!
//! # What is not simulated
//!
//! Sockets, files, child processes and [`unblock`](crate::unblock) are real in a run. While a
//! thread waits for one of them, time does not move, and the run waits for it. Such a run cannot be
//! replayed exactly, and its report says so. Other OS threads are no part of a run: one that is to
//! wake a thread of the run may be too late.

mod explore;
mod report;
mod run;
mod shrink;

use std::panic::Location;
use std::time::Duration;

use self::run::run_once;
use crate::simulation;
use crate::simulation::events::Event;
use crate::sys::clock;

/// How a simulation chooses which thread runs.
///
/// # Examples
///
/// ```
/// use rustlet::testing::{Simulation, Strategy};
///
/// Simulation::new()
///     .strategy(Strategy::Pct { depth: 3 })
///     .check(|| drop(rustlet::spawn(|| ()).join()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// A random walk for even seeds, priorities of depth 3 for odd ones. The default.
    #[default]
    Mixed,
    /// Each ready thread is as likely as any other, at each switch point.
    RandomWalk,
    /// Threads have random priorities, and the one with the highest runs; at `depth - 1` random
    /// moments the running thread gets the lowest. Finds bugs that need few ordered events more
    /// reliably than a random walk. (Burckhardt and others, "A randomized scheduler with
    /// probabilistic guarantees of finding bugs", 2010.)
    Pct {
        /// How many ordered events a bug may need.
        depth: u32,
    },
}

/// Settings of simulated runs.
///
/// # Examples
///
/// ```
/// use rustlet::testing::Simulation;
///
/// let answer = Simulation::new().seed(7).run(|| 6 * 7);
/// assert_eq!(answer, 42);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Simulation {
    seed: Option<u64>,
    seeds: Option<u64>,
    strategy: Strategy,
    max_steps: u64,
    most_switches: u32,
    time_limit: Option<Duration>,
    fails_on_threads_left: bool,
}

impl Default for Simulation {
    fn default() -> Simulation {
        Simulation::new()
    }
}

impl Simulation {
    /// Creates the default settings.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::testing::Simulation::new().run(|| ());
    /// ```
    pub fn new() -> Simulation {
        Simulation {
            seed: None,
            seeds: None,
            strategy: Strategy::Mixed,
            max_steps: 1_000_000,
            most_switches: 2,
            time_limit: None,
            fails_on_threads_left: false,
        }
    }

    /// Sets the only seed. The environment variable `RUSTLET_SEED` takes precedence.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::testing::Simulation::new().seed(17).check(|| ());
    /// ```
    pub fn seed(mut self, seed: u64) -> Simulation {
        self.seed = Some(seed);
        self
    }

    /// Sets how many seeds [`check`](Simulation::check) tries, from 0. The default is 200, or fewer
    /// if they take ten seconds. The environment variable `RUSTLET_SEEDS` takes precedence.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::testing::Simulation::new().seeds(10).check(|| ());
    /// ```
    pub fn seeds(mut self, seeds: u64) -> Simulation {
        self.seeds = Some(seeds);
        self
    }

    /// Sets how the threads that run are chosen.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::testing::{Simulation, Strategy};
    ///
    /// Simulation::new().strategy(Strategy::RandomWalk).check(|| ());
    /// ```
    pub fn strategy(mut self, strategy: Strategy) -> Simulation {
        self.strategy = strategy;
        self
    }

    /// Sets how many switch points the threads of a run may pass, a million by default. A run that
    /// has passed more fails: it would not end.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::atomic::{AtomicBool, Ordering};
    ///
    /// let failed = std::panic::catch_unwind(|| {
    ///     rustlet::testing::Simulation::new().max_steps(1000).run(|| {
    ///         let flag = AtomicBool::new(false);
    ///         while !flag.load(Ordering::Relaxed) {}
    ///     });
    /// });
    /// let text = failed.unwrap_err();
    /// assert!(text.downcast_ref::<String>().unwrap().contains("livelock"));
    /// ```
    pub fn max_steps(mut self, steps: u64) -> Simulation {
        self.max_steps = steps;
        self
    }

    /// Sets how often a schedule of [`exhaust`](Simulation::exhaust) interrupts a thread that could
    /// go on, twice by default. Most bugs need one or two interruptions.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::testing::Simulation;
    ///
    /// let test = || drop(rustlet::spawn(rustlet::yield_now).join());
    /// let few = Simulation::new().max_interruptions(0).exhaust(test);
    /// let more = Simulation::new().max_interruptions(1).exhaust(test);
    /// assert!(few <= more);
    /// ```
    pub fn max_interruptions(mut self, interruptions: u32) -> Simulation {
        self.most_switches = interruptions;
        self
    }

    /// Sets how long the runs of [`check`](Simulation::check) or [`exhaust`](Simulation::exhaust)
    /// may take together, in real time. A check ends then; an exhaustive search fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// rustlet::testing::Simulation::new().time_limit(Duration::from_millis(5)).check(|| ());
    /// ```
    pub fn time_limit(mut self, limit: Duration) -> Simulation {
        self.time_limit = Some(limit);
        self
    }

    /// Makes a run fail if threads are alive when its first thread has returned. By default they
    /// are cancelled, as at the end of [`rustlet::run`](crate::run).
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// rustlet::testing::Simulation::new().fail_on_threads_left().run(|| {
    ///     rustlet::spawn(rustlet::park);
    /// });
    /// ```
    pub fn fail_on_threads_left(mut self) -> Simulation {
        self.fails_on_threads_left = true;
        self
    }

    /// Runs `f` once, with these settings: see [`run`].
    ///
    /// # Panics
    ///
    /// As [`run`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::testing::Simulation::new().run(|| 6 * 7), 42);
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.run_and_report(f)
    }

    /// Runs `f` with many seeds, with these settings: see [`check`].
    ///
    /// # Panics
    ///
    /// As [`check`].
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::testing::Simulation::new().seeds(20).check(|| ());
    /// ```
    #[track_caller]
    pub fn check<F: Fn() + 'static>(&self, f: F) {
        self.check_seeds(f);
    }

    /// Runs `f` with every schedule, with these settings: see [`exhaust`].
    ///
    /// # Panics
    ///
    /// As [`exhaust`].
    ///
    /// # Examples
    ///
    /// ```
    /// let schedules = rustlet::testing::Simulation::new().max_interruptions(1).exhaust(|| ());
    /// assert_eq!(schedules, 1);
    /// ```
    #[track_caller]
    pub fn exhaust<F: Fn() + 'static>(&self, f: F) -> u64 {
        self.exhaust_schedules(f)
    }

    /// Runs `f` once and returns what happened, whether it fails or not.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::testing::Simulation;
    ///
    /// let test = || rustlet::spawn(|| rustlet::yield_now()).join().unwrap();
    /// let simulation = Simulation::new().seed(3);
    /// let recordings = [(); 2].map(|()| simulation.record(test));
    /// assert_eq!(recordings[0].failure, None);
    /// assert_eq!(recordings[0].events, recordings[1].events);
    /// ```
    #[track_caller]
    pub fn record<F: FnOnce() + 'static>(&self, f: F) -> Recording {
        let seed = self.only_seed().unwrap_or(0);
        let finished = run_once(
            self.chooser(seed),
            self.plan(usize::MAX),
            Location::caller(),
            f,
        );
        Recording {
            seed,
            failure: finished.failure.map(|failure| failure.text),
            events: finished.events.last(usize::MAX),
            steps: finished.steps,
            elapsed: finished.elapsed,
            is_exact: !finished.is_external,
        }
    }
}

/// What happened in a run; returned by [`Simulation::record`].
///
/// # Examples
///
/// ```
/// use rustlet::testing::Simulation;
///
/// let recording = Simulation::new().record(|| rustlet::sleep(std::time::Duration::from_secs(5)));
/// assert_eq!(recording.elapsed.as_secs(), 5);
/// assert!(recording.events.contains("waits in sleep"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// The seed of the run.
    pub seed: u64,
    /// What has failed, if anything has.
    pub failure: Option<String>,
    /// The events of the run, one a line. They are the same for the same seed, in each process.
    pub events: String,
    /// How many switch points the threads have passed.
    pub steps: u64,
    /// How much virtual time has passed.
    pub elapsed: Duration,
    /// False if the run waited for something real (a socket, a file), so that it may go differently
    /// the next time.
    pub is_exact: bool,
}

/// Runs `f` as the first green thread of a simulated runtime, and returns its value.
///
/// Everything happens on the calling OS thread. When `f` has returned, threads that are left are
/// cancelled and unwind, as at the end of [`rustlet::run`](crate::run).
///
/// The seed is 0, or that of the environment variable `RUSTLET_SEED`.
///
/// # Panics
///
/// Panics with a report if `f` or a thread whose result nothing takes panics, if there is a
/// deadlock, or if the run does not end. Also panics if the caller is a green thread, or if no
/// descriptor is available.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// // A day passes at once.
/// let passed = rustlet::testing::run(|| {
///     let start = rustlet::time::now();
///     rustlet::sleep(Duration::from_secs(24 * 3600));
///     rustlet::time::now() - start
/// });
/// assert_eq!(passed, Duration::from_secs(24 * 3600));
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Simulation::new().run(f)
}

/// Runs `f` as [`run`] does, with many seeds: each decides differently which thread runs when.
///
/// It tries 200 seeds from 0, or fewer if that takes ten seconds. `RUSTLET_SEEDS=1000` sets the
/// number. At the first failure it searches for a simpler schedule that fails in the same way.
///
/// # Panics
///
/// Panics with a report if a run fails. The report has the seed, the failure, the threads, the last
/// events and the schedule, as a list of the few choices that matter.
/// `RUSTLET_SEED=17 cargo test name` replays the run with that seed.
///
/// # Examples
///
/// ```
/// use rustlet::sync::Arc;
/// use rustlet::sync::atomic::{AtomicU32, Ordering};
///
/// let failed = std::panic::catch_unwind(|| {
///     rustlet::testing::check(|| {
///         let count = Arc::new(AtomicU32::new(0));
///         let other = count.clone();
///         let thread = rustlet::spawn(move || {
///             let seen = other.load(Ordering::SeqCst);
///             other.store(seen + 1, Ordering::SeqCst);
///         });
///         let seen = count.load(Ordering::SeqCst);
///         count.store(seen + 1, Ordering::SeqCst);
///         thread.join().unwrap();
///         assert_eq!(count.load(Ordering::SeqCst), 2, "an update is lost");
///     });
/// });
/// let report = failed.unwrap_err();
/// let report = report.downcast_ref::<String>().unwrap();
/// assert!(report.contains("an update is lost"));
/// assert!(report.contains("RUSTLET_SEED="));
/// ```
#[track_caller]
pub fn check<F: Fn() + 'static>(f: F) {
    Simulation::new().check(f);
}

/// Runs `f` as [`run`] does, with every schedule that interrupts at most two threads that could go
/// on. Returns how many there were. For small tests: the number grows fast.
///
/// # Panics
///
/// Panics with a report if a run fails, and if there are more than a million schedules.
///
/// # Examples
///
/// ```
/// use rustlet::channel::unbounded;
///
/// let schedules = rustlet::testing::exhaust(|| {
///     let (sender, receiver) = unbounded();
///     let other = sender.clone();
///     rustlet::spawn(move || other.send(1).unwrap());
///     sender.send(2).unwrap();
///     drop(sender);
///     assert_eq!(receiver.iter().sum::<i32>(), 3);
/// });
/// assert!(schedules > 1);
/// ```
#[track_caller]
pub fn exhaust<F: Fn() + 'static>(f: F) -> u64 {
    Simulation::new().exhaust(f)
}

/// Returns how much virtual time has passed since the run began.
///
/// # Panics
///
/// Panics if the caller is in no simulated run.
///
/// # Examples
///
/// ```
/// use rustlet::testing;
/// use std::time::Duration;
///
/// testing::run(|| {
///     rustlet::sleep(Duration::from_secs(60));
///     assert_eq!(testing::elapsed(), Duration::from_secs(60));
/// });
/// ```
#[must_use]
#[track_caller]
pub fn elapsed() -> Duration {
    let start = simulation::with(|run| run.events.start());
    match start {
        Some(start) => Duration::from_nanos(clock::now().saturating_sub(start)),
        None => not_in_a_run("elapsed"),
    }
}

/// Moves the virtual time forward, as if the calling thread had computed for that long.
///
/// Deadlines that have passed then are due together. The time moves although other threads may be
/// ready; to let them run first, use [`sleep`](crate::sleep).
///
/// # Panics
///
/// Panics if the caller is in no simulated run.
///
/// # Suspends
///
/// Yields to the other threads.
///
/// # Examples
///
/// ```
/// use rustlet::testing;
/// use std::time::Duration;
///
/// testing::run(|| {
///     let slow = rustlet::timeout(Duration::from_secs(1), || {
///         testing::advance(Duration::from_secs(2));
///         rustlet::yield_now();
///     });
///     assert!(slow.is_err());
///     assert_eq!(testing::elapsed(), Duration::from_secs(2));
/// });
/// ```
#[track_caller]
pub fn advance(duration: Duration) {
    if !simulation::is_on() {
        not_in_a_run("advance");
    }
    clock::set_virtual(clock::after(duration).min(clock::NEVER - 1));
    crate::thread::yield_now();
}

/// Adds a line to the events of the run; does nothing outside of a run.
///
/// # Examples
///
/// ```
/// use rustlet::testing::{self, Simulation};
///
/// let recording = Simulation::new().record(|| testing::note("half way"));
/// assert!(recording.events.contains("#1 says: half way"));
/// ```
pub fn note(text: impl Into<String>) {
    if simulation::is_on() {
        simulation::note(Event::Says { text: text.into() });
    }
}

#[cold]
#[track_caller]
fn not_in_a_run(what: &str) -> ! {
    panic!("testing::{what}: the caller is in no run of rustlet::testing")
}
