//! The text of a failing run.

use std::fmt::Write as _;

use super::run::Finished;
use super::shrink::{script_of, write_script};
use crate::simulation::{Choice, Kind};

/// How many of the last events a report shows.
pub(super) const EVENTS_SHOWN: usize = 40;

/// What the report says about how the failing run was found.
pub(super) struct Found {
    pub(super) seed: Option<u64>,
    pub(super) run: u64,
    /// How many choices the schedule had that deviate from an undisturbed run, before it was
    /// shrunk.
    pub(super) deviations: usize,
    pub(super) is_shrunk: bool,
}

/// Describes a failing run: the failure, the threads, the last events, the schedule, and how to
/// replay it.
pub(super) fn describe<T>(finished: &Finished<T>, found: &Found) -> String {
    let mut text = String::from("rustlet::testing: ");
    // Writing to a `String` cannot fail.
    let _written = match (found.seed, found.run) {
        (Some(seed), 1) => write!(text, "the run with seed {seed} failed"),
        (Some(seed), run) => write!(text, "run {run}, with seed {seed}, failed"),
        (None, run) => write!(text, "schedule {run} failed"),
    };
    if let Some(failure) = &finished.failure {
        let _written = write!(text, ":\n\n{}\n", failure.text);
    }
    if finished.threads.is_empty() {
        text.push_str("\nNo thread was alive.\n");
    } else {
        let _written = write!(text, "\nThreads at that moment:\n{}", finished.threads);
    }
    let events = finished.events.last(EVENTS_SHOWN);
    let _written = write!(text, "\nThe last events, in virtual time:\n{events}");
    write_schedule(&mut text, finished, found);
    if finished.is_external {
        text.push_str(
            "\nThe run waited for a descriptor, a file or the blocking pool, which are outside of \
             the simulation: it may go differently when it is repeated.\n",
        );
    }
    write_replay(&mut text, finished, found);
    text
}

fn write_schedule<T>(text: &mut String, finished: &Finished<T>, found: &Found) {
    let deviations: Vec<(usize, &Choice)> = (finished.choices.iter().enumerate())
        .filter(|(_, choice)| choice.chosen != 0)
        .collect();
    let _written = match found.is_shrunk {
        true => write!(
            text,
            "\nThe schedule, shrunk from {} choices that deviate from an undisturbed run to {}",
            found.deviations,
            deviations.len()
        ),
        false => write!(
            text,
            "\nThe schedule, with {} choices that deviate from an undisturbed run",
            deviations.len()
        ),
    };
    text.push_str(if deviations.is_empty() { ".\n" } else { ":\n" });
    const SHOWN: usize = 30;
    for (index, choice) in deviations.iter().take(SHOWN) {
        let Choice { thread, next, .. } = choice;
        let _written = write!(text, "  {index}: ");
        let _written = match (choice.kind, choice.at) {
            (Kind::Switch, Some(at)) => {
                write!(text, "#{thread} is interrupted at {at}, and #{next} runs")
            }
            (Kind::Switch | Kind::Next, _) => {
                write!(text, "#{next} runs, although others have been ready longer")
            }
            (Kind::Arm, _) => write!(
                text,
                "the select of #{thread} tries arm {} of {} first",
                choice.chosen + 1,
                choice.count
            ),
        };
        text.push('\n');
    }
    if deviations.len() > SHOWN {
        let _written = writeln!(text, "  … and {} more", deviations.len() - SHOWN);
    }
}

fn write_replay<T>(text: &mut String, finished: &Finished<T>, found: &Found) {
    let current = std::thread::current();
    let name = current.name().filter(|name| *name != "main").unwrap_or("");
    let space = if name.is_empty() { "" } else { " " };
    text.push_str("\nTo replay it:\n");
    if let Some(seed) = found.seed {
        let _written = writeln!(text, "  RUSTLET_SEED={seed} cargo test{space}{name}");
    }
    let script = write_script(&script_of(&finished.choices));
    if script.len() < 2000 {
        let _written = writeln!(text, "  RUSTLET_SCHEDULE={script} cargo test{space}{name}");
    }
}
