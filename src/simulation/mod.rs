//! The choices of a simulated run, in one place: which ready thread runs next, whether the running
//! thread is interrupted at a switch point, which arm of a select is tried first. Also the events
//! of the run, and its failure. Which waiter of a queue is woken is no choice: it is the one that
//! has waited longest, as documented. Timers that are due together make their threads ready
//! together, so their order is that of the threads.
//!
//! A simulation belongs to the OS thread that runs it. It is asked through thread-locals, because
//! the code that asks is deep below the one that steps the worker. Where no simulation runs, each
//! question is one load and one branch; without the feature `testing` there is no question.
//!
//! Everything that a run decides follows from its [`Chooser`], so the same chooser on the same
//! program gives the same run. Each decision between several possibilities is recorded as the
//! number of the one that was chosen; 0 stands for what an undisturbed worker does: the running
//! thread goes on, or the one that has been ready longest runs. So a record with more zeros is a
//! schedule with fewer surprises, and a record can be replayed, or changed a little, as a script.

pub(crate) mod chooser;
pub(crate) mod events;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::panic::Location;

use self::chooser::{Chooser, Possibilities};
use self::events::{Event, Events};

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Option<Box<Simulation>>> = const { RefCell::new(None) };
}

/// After this many switch points in a row at which the running thread went on although another one
/// was ready, it is interrupted: it may wait in a loop for something that the other has to do.
const MAX_POINTS_IN_A_ROW: u32 = 1_000;

/// Of the operations that a simulation counts, one in this many yields like one of an ordinary run
/// whose budget is used up.
const OPERATIONS_PER_YIELD: u32 = 128;

/// What a choice is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The threads that are ready when the last one has ended its step.
    Next,
    /// The running thread, which could go on, and the others that are ready.
    Switch,
    /// The arms of a select.
    Arm,
}

/// A choice that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) kind: Kind,
    /// How many possibilities there were, at least two.
    pub(crate) count: u32,
    pub(crate) chosen: u32,
    /// The number of the thread that made it or, for [`Kind::Next`], was chosen.
    pub(crate) thread: u32,
    /// The number of the thread that runs next, for a choice of threads.
    pub(crate) next: u32,
    pub(crate) at: Option<&'static Location<'static>>,
}

/// A panic or another failure of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) text: String,
}

/// The kind of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Panic,
    Deadlock,
    Livelock,
    Leftover,
}

/// The state of a simulated run.
pub(crate) struct Simulation {
    chooser: Chooser,
    choices: Vec<Choice>,
    pub(crate) events: Events,
    /// The numbers of threads within this run, by id. A run must not depend on ids, which are
    /// unique in the process.
    numbers: HashMap<u64, u32>,
    running: u32,
    /// The place in the run queue of the thread that a switch point has chosen.
    next: Option<usize>,
    charges: u32,
    at_once: u32,
    steps: u64,
    max_steps: u64,
    is_external: bool,
    has_local_threads: bool,
    is_ending: bool,
    failure: Option<Failure>,
    /// The last panic of each thread, by number.
    panics: HashMap<u32, String>,
}

impl Simulation {
    pub(crate) fn new(chooser: Chooser, events: Events, max_steps: u64) -> Simulation {
        Simulation {
            chooser,
            choices: Vec::new(),
            events,
            numbers: HashMap::new(),
            running: 0,
            next: None,
            charges: 0,
            at_once: 0,
            steps: 0,
            max_steps,
            is_external: false,
            has_local_threads: false,
            is_ending: false,
            failure: None,
            panics: HashMap::new(),
        }
    }

    /// Returns the number of the thread with this id, counted from 1 in the order in which threads
    /// became ready.
    pub(crate) fn number(&mut self, id: u64) -> u32 {
        let next = self.numbers.len() as u32 + 1;
        *self.numbers.entry(id).or_insert(next)
    }

    /// Returns the text with the numbers of this run in place of the ids of its threads.
    pub(crate) fn renumber(&self, text: &str) -> String {
        const BEFORE: &str = "ThreadId(";
        let mut pieces = text.split(BEFORE);
        let mut renumbered = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let number = piece.split_once(')').and_then(|(id, rest)| {
                let number = self.numbers.get(&id.parse().ok()?)?;
                Some((number, rest))
            });
            // Writing to a `String` cannot fail.
            let _written = match number {
                Some((number, rest)) => write!(renumbered, "#{number}{rest}"),
                None => write!(renumbered, "{BEFORE}{piece}"),
            };
        }
        renumbered
    }

    pub(crate) fn into_choices(self) -> (Vec<Choice>, Events) {
        (self.choices, self.events)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    fn record(
        &mut self,
        kind: Kind,
        count: usize,
        chosen: usize,
        next: u32,
        at: Option<&'static Location<'static>>,
    ) {
        self.choices.push(Choice {
            kind,
            count: count as u32,
            chosen: chosen as u32,
            thread: self.running,
            next,
            at,
        });
    }

    /// Chooses one of several threads; `at` is the switch point, where the first thread is the
    /// running one and may go on.
    fn choose_thread(&mut self, threads: &[u64], at: Option<&'static Location<'static>>) -> usize {
        let numbers: Vec<u32> = threads.iter().map(|&id| self.number(id)).collect();
        if numbers.len() < 2 || self.is_ending {
            return 0;
        }
        let mut chosen = self.chooser.choose(Possibilities::Threads {
            numbers: &numbers,
            may_go_on: at.is_some(),
        });
        let kind = match at {
            Some(_) => Kind::Switch,
            None => Kind::Next,
        };
        if kind == Kind::Switch && chosen == 0 {
            self.at_once += 1;
            if self.at_once > MAX_POINTS_IN_A_ROW {
                self.chooser.demote(numbers[0]);
                chosen = 1;
            }
        }
        if chosen != 0 {
            self.at_once = 0;
        }
        self.record(kind, numbers.len(), chosen, numbers[chosen], at);
        chosen
    }

    /// Counts one step. Returns false if there have been too many, and notes that as a failure. The
    /// next step is one too many again: the caller may be unable to end the thread.
    fn count_step(&mut self) -> bool {
        if self.steps < self.max_steps {
            self.steps += 1;
            return true;
        }
        let text = format!(
            "livelock: the threads have passed {} switch points and the run has not ended",
            self.max_steps
        );
        self.failure.get_or_insert(Failure {
            kind: FailureKind::Livelock,
            text,
        });
        false
    }
}

/// Returns whether a simulation runs on the calling OS thread.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    IS_ON.get()
}

/// Calls `f` with the simulation of the calling OS thread, if one runs. `f` calls nothing that
/// could ask for it again.
pub(crate) fn with<R>(f: impl FnOnce(&mut Simulation) -> R) -> Option<R> {
    if !is_on() {
        return None;
    }
    CURRENT.with_borrow_mut(|current| current.as_deref_mut().map(f))
}

/// Makes `simulation` that of the calling OS thread.
pub(crate) fn begin(simulation: Simulation) {
    CURRENT.set(Some(Box::new(simulation)));
    IS_ON.set(true);
}

/// Ends the simulation of the calling OS thread.
pub(crate) fn end() -> Option<Simulation> {
    IS_ON.set(false);
    CURRENT.take().map(|simulation| *simulation)
}

/// Chooses which of the threads with these ids, which are ready, runs next.
pub(crate) fn choose_next(ready: &[u64]) -> usize {
    with(|simulation| simulation.choose_thread(ready, None)).unwrap_or(0)
}

/// Chooses at a switch point whether the first thread, which runs, goes on, or one of the others
/// runs.
pub(crate) fn choose_at(threads: &[u64], at: &'static Location<'static>) -> usize {
    with(|simulation| {
        let chosen = simulation.choose_thread(threads, Some(at));
        if let Some(place) = chosen.checked_sub(1) {
            simulation.next = Some(place);
            let thread = simulation.number(threads[0]);
            simulation.events.push(thread, Event::Interrupted { at });
        }
        chosen
    })
    .unwrap_or(0)
}

/// Takes the place in the run queue that a switch point has chosen.
pub(crate) fn take_next() -> Option<usize> {
    with(|simulation| simulation.next.take()).flatten()
}

/// Returns whether a switch point has ended the last step.
pub(crate) fn was_interrupted() -> bool {
    with(|simulation| simulation.next.is_some()).unwrap_or(false)
}

fn choose(kind: Kind, count: usize) -> usize {
    with(|simulation| {
        if count < 2 || simulation.is_ending {
            return 0;
        }
        let chosen = simulation.chooser.choose(Possibilities::Any(count));
        simulation.record(kind, count, chosen, 0, None);
        chosen
    })
    .unwrap_or(0)
}

/// Returns a random number that decides the order of the `count` arms of a select.
pub(crate) fn choose_order(count: usize) -> u64 {
    // A number in the middle of the range that stands for this choice: the upper bits of a random
    // number are what the first draw looks at.
    let share = u64::MAX / count.max(1) as u64;
    let first = choose(Kind::Arm, count) as u64;
    first * share + share / 2
}

/// Counts an operation whose budget is used up. Returns true if it is to yield.
pub(crate) fn count_charge() -> bool {
    with(|simulation| {
        simulation.charges += 1;
        simulation.charges.is_multiple_of(OPERATIONS_PER_YIELD)
    })
    .unwrap_or(true)
}

/// Counts a step of the run. Returns false if there have been too many: the run has failed.
pub(crate) fn count_step() -> bool {
    with(Simulation::count_step).unwrap_or(true)
}

/// Notes that a step of the thread with this id begins.
pub(crate) fn step_begins(id: u64) {
    with(|simulation| {
        simulation.running = simulation.number(id);
        simulation.at_once = 0;
    });
}

/// Notes an event of the running thread.
pub(crate) fn note(event: Event) {
    with(|simulation| {
        let running = simulation.running;
        simulation.events.push(running, event);
    });
}

/// Notes that the running thread has yielded: other threads are preferred now.
pub(crate) fn note_yield(at: Option<&'static Location<'static>>) {
    with(|simulation| {
        let running = simulation.running;
        simulation.chooser.demote(running);
        simulation.events.push(running, Event::Yields { at });
    });
}

/// Notes that the run depends on something outside of it: a socket, a file, an OS thread.
pub(crate) fn note_external() {
    with(|simulation| simulation.is_external = true);
}

/// Returns whether the run depends on something outside of it.
pub(crate) fn is_external() -> bool {
    with(|simulation| simulation.is_external).unwrap_or(false)
}

/// Notes that a thread shares data with others of its worker that may be no [`Sync`].
pub(crate) fn note_local_thread() {
    with(|simulation| simulation.has_local_threads = true);
}

/// Returns whether threads share data that may be no [`Sync`].
pub(crate) fn has_local_threads() -> bool {
    with(|simulation| simulation.has_local_threads).unwrap_or(false)
}

/// Notes that the run has failed, unless it has failed before.
pub(crate) fn fail(kind: FailureKind, text: String) {
    with(|simulation| {
        if !simulation.is_ending {
            simulation.failure.get_or_insert(Failure { kind, text });
        }
    });
}

/// Notes a panic of the running thread, for the case that nothing catches it. One at the end of a
/// run is that of a destructor, and no part of what is tested.
pub(crate) fn note_panic(text: String) {
    with(|simulation| {
        if simulation.is_ending {
            return;
        }
        let running = simulation.running;
        simulation.panics.insert(running, text.clone());
        simulation.events.push(running, Event::Panics { text });
    });
}

/// Returns the last panic of the thread with this number.
pub(crate) fn last_panic(number: u32) -> Option<String> {
    with(|simulation| simulation.panics.get(&number).cloned()).flatten()
}

/// Fails the run: the thread with this id has panicked, and its result was dropped, so that no code
/// of the program has seen the panic. That may be found at the end of the run, which drops the last
/// handle of a thread that has panicked before.
pub(crate) fn fail_unseen(id: u64) {
    with(|simulation| {
        let number = simulation.number(id);
        let known = simulation.panics.get(&number).cloned();
        if !simulation.is_ending || known.is_some() {
            let text = known.unwrap_or_else(|| "resume_unwind was called".to_owned());
            let text = format!("thread #{number} panicked, and nothing has joined it: {text}");
            simulation.failure.get_or_insert(Failure {
                kind: FailureKind::Panic,
                text,
            });
        }
    });
}

/// Returns the failure of the run.
pub(crate) fn failure() -> Option<Failure> {
    with(|simulation| simulation.failure.clone()).flatten()
}

/// Returns whether the run has failed.
pub(crate) fn has_failed() -> bool {
    with(|simulation| simulation.failure.is_some()).unwrap_or(false)
}

/// Ends the choices: from now on the threads run in the order in which they become ready, and
/// nothing is recorded. For the end of a run, which unwinds the threads that are left. The caller
/// has taken the failure of the run, which would end this one at once.
pub(crate) fn end_choices(max_steps: u64) {
    with(|simulation| {
        simulation.is_ending = true;
        simulation.next = None;
        simulation.steps = 0;
        simulation.max_steps = max_steps;
        simulation.failure = None;
        simulation.events.close();
    });
}
