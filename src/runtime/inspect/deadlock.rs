//! Detects and reports deadlocks. `wait_graph.rs` defines what a deadlock is.
//!
//! A worker checks for deadlocks when it has had nothing to run for some 20 ms. If threads wait for
//! locks or have begun a wait that may close a cycle, it also checks while it is busy
//! (`worker/deadlock_check.rs`). The time to the next check doubles each time, up to ten seconds. A
//! worker that has nothing to check does not wake up. A worker that the program steps does not
//! check at all.

use std::fmt::Write as _;
use std::sync::{Mutex, TryLockError};

use super::registry::{self, ThreadInfo};
use super::report::ReportKind;
use super::wait_graph::{self, Holder, Liveness, Reported, Seen, Suspected};
use crate::green::block::slab;
use crate::green::thread::ThreadId;
use crate::runtime::config::OnDeadlock;
use crate::runtime::scheduler::shared::Shared;
use crate::sys::clock;
use crate::sys::exit;

#[derive(Debug)]
struct CheckState {
    suspected: Suspected,
    reported: Reported,
    /// The sleep of all threads that was reported last, as [`Liveness::None`] identifies it.
    asleep: u64,
}

static CHECK_STATE: Mutex<CheckState> = Mutex::new(CheckState {
    suspected: Suspected::new(),
    reported: Reported::new(),
    asleep: 0,
});

/// The result of [`check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no deadlock, and no suspicion.
    Nothing,
    /// There may be a deadlock: check again later.
    Doubt,
    /// There is a deadlock, and it was reported.
    Deadlock,
}

/// Looks for deadlocks of this runtime. `is_idle`: the calling worker has nothing to run.
/// `may_be_cycle`: some of its threads wait for locks, or have begun a wait that may close a cycle.
pub(crate) fn check(shared: &Shared, is_idle: bool, may_be_cycle: bool) -> Found {
    let mut state = match CHECK_STATE.try_lock() {
        Ok(state) => state,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Another worker is checking.
        Err(TryLockError::WouldBlock) => return Found::Doubt,
    };
    if may_be_cycle {
        match report_cycles(shared, &mut state, false) {
            Found::Nothing if is_idle => {}
            found => return found,
        }
    }
    if !is_idle {
        return Found::Nothing;
    }
    // The search ends at the first thread that something may still wake, so it is cheap even with
    // many waiting threads.
    match wait_graph::liveness(shared.group, || shared.has_no_pending_wakeup()) {
        Liveness::Alive => Found::Nothing,
        Liveness::OsThread => Found::Doubt,
        Liveness::None { moments } => {
            // A report of a cycle is more precise than one of sleeping threads.
            let found = report_cycles(shared, &mut state, true);
            if found == Found::Nothing && state.asleep != moments {
                state.asleep = moments;
                act(shared, &describe_sleepers(&registry::alive(shared.group)));
            }
            Found::Deadlock
        }
    }
}

/// Reports the cycles of this runtime. `is_still`: no thread runs, so a cycle need not be seen
/// twice.
fn report_cycles(shared: &Shared, state: &mut CheckState, is_still: bool) -> Found {
    // Without a free descriptor, memory cannot be read now.
    let Ok(cycles) = wait_graph::cycles() else {
        return Found::Doubt;
    };
    let mut found = Found::Nothing;
    // The workers of another runtime report its cycles.
    let is_own = |cycle: &&Vec<Seen>| cycle.iter().any(|seen| seen.green.group() == shared.group);
    for cycle in cycles.iter().filter(is_own) {
        if !is_still && !state.suspected.is_confirmed(cycle[0].wait(), clock::now()) {
            // This takes precedence over a cycle that is reported, so that the worker checks this
            // one again.
            found = Found::Doubt;
            continue;
        }
        if found == Found::Nothing {
            found = Found::Deadlock;
        }
        if state.reported.is_new(cycle) {
            act(shared, &describe_cycle(cycle));
        }
    }
    found
}

fn act(shared: &Shared, text: &str) {
    let config = &shared.config;
    let report = || config.reporter.report(ReportKind::Deadlock, text);
    match config.on_deadlock {
        OnDeadlock::Report | OnDeadlock::Ignore => report(),
        OnDeadlock::Abort => {
            report();
            exit::abort(format_args!("deadlock"))
        }
        OnDeadlock::Panic => {
            // The panic message has the text. Only a hook of the program gets the report too.
            if !config.reporter.is_default() {
                report();
            }
            let _first = shared.deadlock.set(text.into());
            for green in slab::all() {
                if green.group() == shared.group {
                    green.cancel();
                }
            }
        }
    }
}

fn describe_cycle(cycle: &[Seen]) -> String {
    let mut text = match cycle.len() {
        1 => String::from("rustlet: deadlock: a green thread waits for itself:"),
        count => format!("rustlet: deadlock: {count} green threads wait for each other:"),
    };
    for (index, seen) in cycle.iter().enumerate() {
        let next = &cycle[(index + 1) % cycle.len()].green;
        let Some(info) = registry::describe(&seen.green, clock::now()) else {
            continue;
        };
        let relation = match seen.holder {
            Holder::EndOf(_) | Holder::EndOfScope(_) => "for the end of",
            _ => "held by",
        };
        // Writing to a `String` cannot fail.
        let _written = write!(text, "\n  {info},\n    {relation} ");
        let _written = match cycle.len() {
            1 => write!(text, "itself"),
            _ => registry::write_thread(&mut text, ThreadId(next.id()), next.name()),
        };
    }
    text
}

fn describe_sleepers(threads: &[ThreadInfo]) -> String {
    let mut text = match threads.len() {
        1 => String::from(
            "rustlet: deadlock: the only green thread is asleep, and nothing can wake it:",
        ),
        count => format!(
            "rustlet: deadlock: all {count} green threads are asleep, and nothing can wake them:"
        ),
    };
    // Writing to a `String` cannot fail.
    let _written = registry::list_some(&mut text, threads);
    text
}
