//! One simulated run: a stepped worker, a virtual clock and a chooser.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::Location;
use std::time::Duration;

use crate::green::{Cancelled, WorkerContext};
use crate::runtime::Builder;
use crate::runtime::spawn::SpawnRequest;
use crate::runtime::stepped::simulate::OtherTimers;
use crate::service_threads::timer_thread;
use crate::simulation::chooser::Chooser;
use crate::simulation::events::Events;
use crate::simulation::{self, Choice, Failure, FailureKind, Simulation};
use crate::sys::clock::{self, NEVER};

/// How many switch points the threads may pass while they unwind at the end of a run.
const MAX_STEPS_AT_END: u64 = 100_000;

const FUTURES: OtherTimers = OtherTimers {
    next: timer_thread::simulated::next,
    expire: timer_thread::simulated::expire,
};

/// What a run may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) max_steps: u64,
    /// How many of the last events are kept.
    pub(super) events: usize,
    pub(super) fails_on_threads_left: bool,
}

/// A run that has ended.
pub(super) struct Finished<T> {
    /// The value of the closure; `None` if the run has failed.
    pub(super) value: Option<T>,
    pub(super) failure: Option<Failure>,
    /// The threads that were alive when the run failed, one a line.
    pub(super) threads: String,
    pub(super) choices: Vec<Choice>,
    pub(super) events: Events,
    pub(super) steps: u64,
    pub(super) elapsed: Duration,
    pub(super) is_external: bool,
}

/// Ends the simulation of the calling OS thread, also when it unwinds.
struct Virtual;

impl Drop for Virtual {
    fn drop(&mut self) {
        let _ended = simulation::end();
        clock::set_virtual(NEVER);
        timer_thread::simulated::clear();
    }
}

/// Runs `f` as the first green thread of a simulation.
///
/// # Panics
///
/// The caller is a green thread, or there is no free descriptor.
#[track_caller]
pub(super) fn run_once<F, T>(
    chooser: Chooser,
    plan: Plan,
    at: &'static Location<'static>,
    f: F,
) -> Finished<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    assert!(
        WorkerContext::of_thread().is_none() && !simulation::is_on(),
        "rustlet::testing: called inside a green thread; call it from the OS thread of a test"
    );
    let start = clock::now();
    clock::set_virtual(start);
    let time = Virtual;
    let stepped = match Builder::new().open_simulated() {
        Ok(stepped) => stepped,
        Err(error) => panic!("rustlet::testing: cannot create a worker: {error}"),
    };
    let events = Events::new(start, plan.events);
    simulation::begin(Simulation::new(chooser, events, plan.max_steps));
    let request = SpawnRequest {
        at,
        ..SpawnRequest::new()
    };
    let handle = match stepped.assign(request, f) {
        Ok(handle) => handle,
        Err(error) => panic!("rustlet::testing: cannot spawn the first green thread: {error}"),
    };
    stepped.simulate(&|| handle.0.is_done(), FUTURES);
    let mut value = None;
    let mut payload = None;
    let mut handle = Some(handle);
    if handle.as_ref().is_some_and(|handle| handle.0.is_done())
        && let Some(handle) = handle.take()
    {
        match handle.join() {
            Ok(returned) => value = Some(returned),
            Err(panic) => {
                simulation::fail(FailureKind::Panic, describe_panic(&*panic));
                payload = Some(panic);
            }
        }
    }
    if plan.fails_on_threads_left && stepped.live() > 0 {
        let text = format!(
            "{} threads are left when the first one has ended",
            stepped.live()
        );
        simulation::fail(FailureKind::Leftover, text);
    }
    let mut failure = simulation::failure();
    let mut threads = String::new();
    if let Some(failure) = &mut failure {
        for info in stepped.threads() {
            simulation::with(|run| run.number(info.id.0.get()));
            // Writing to a `String` cannot fail.
            let _written = writeln!(threads, "  {info}");
        }
        simulation::with(|run| {
            threads = run.renumber(&threads);
            failure.text = run.renumber(&failure.text);
        });
    }
    let elapsed = Duration::from_nanos(clock::now().saturating_sub(start));
    let is_external = simulation::is_external();
    let steps = simulation::with(|run| run.steps()).unwrap_or(0);
    simulation::end_choices(MAX_STEPS_AT_END);
    if !stepped.simulate_end(FUTURES) {
        // The end of the worker names the threads that refuse to end, in real time, and aborts.
        clock::set_virtual(NEVER);
    }
    drop(stepped);
    if failure.is_none() {
        failure = failure_of_end();
    }
    let (choices, events) = match simulation::end() {
        Some(simulation) => simulation.into_choices(),
        None => unreachable!("the simulation began above"),
    };
    drop(time);
    // What is not returned is dropped here, because a destructor may sleep: on this OS thread that
    // takes real time.
    let unwanted = value.take_if(|_| failure.is_some());
    drop((unwanted, payload, handle));
    Finished {
        value,
        failure,
        threads,
        choices,
        events,
        steps,
        elapsed,
        is_external,
    }
}

/// Returns the failure that only the end of the run has shown: a thread panicked before it, and its
/// handle was dropped by one that was left.
fn failure_of_end() -> Option<Failure> {
    let mut failure = simulation::failure().filter(|failure| failure.kind == FailureKind::Panic)?;
    simulation::with(|run| failure.text = run.renumber(&failure.text));
    Some(failure)
}

/// Describes the panic of the first thread.
fn describe_panic(payload: &(dyn Any + Send)) -> String {
    if payload.is::<Cancelled>() {
        return "the first thread was cancelled".to_owned();
    }
    let known = simulation::last_panic(1);
    let text = payload
        .downcast_ref::<&str>()
        .map(|&text| text.to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    known
        .or(text)
        .unwrap_or_else(|| "a panic whose payload is no text".to_owned())
}
