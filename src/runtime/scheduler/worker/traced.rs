//! The steps of a worker while a trace is recorded (`timeline/mod.rs`): they do what the untraced
//! steps do, and record when each began and how it ended.

use super::super::unstarted_queue::Unstarted;
use super::WorkerLoop;
use crate::green::{State, ThreadInner};
use crate::timeline::{self, Kind, Pause, Stamp};

impl WorkerLoop {
    /// Runs one step of a ready thread like [`WorkerLoop::resume_one`]. The step begins at `began`,
    /// the end of the step before. Returns when it ended; `None` if the thread needs a stack and
    /// there is none.
    #[inline(never)]
    pub(super) fn resume_traced(&self, green: &'static ThreadInner, began: Stamp) -> Option<Stamp> {
        let id = green.id().get();
        let is_first = !green.has_started();
        if is_first && !self.set_up_local(green) {
            return None;
        }
        let named = green.name().is_some().then(|| green.to_ref());
        timeline::begin_step(id, began);
        // The thread is freed when it has ended.
        let has_ended = self.run(green);
        let pause = (!has_ended).then(|| pause(green));
        let ended = timeline::end_step(id, began, is_first, pause);
        if let Some(named) = named.filter(|_| is_first || has_ended) {
            note_name(&named);
        }
        Some(ended)
    }

    /// Starts a thread like [`WorkerLoop::start`]. Returns when its first step ended, or `began` if
    /// it could not be started.
    #[inline(never)]
    pub(super) fn start_traced(&self, new: Unstarted, began: Stamp) -> Stamp {
        let green = new.0.clone();
        let id = green.id().get();
        timeline::begin_step(id, began);
        self.start(new);
        let pause = match green.state() {
            State::New => {
                timeline::cancel_step();
                return began;
            }
            State::Done => None,
            State::Ready | State::Running | State::Parked => Some(pause(&green)),
        };
        let ended = timeline::end_step(id, began, true, pause);
        note_name(&green);
        ended
    }

    /// Runs one step like [`WorkerLoop::resume_one`], for a worker that is stepped by hand.
    pub(super) fn resume_one_traced(&self, green: &'static ThreadInner) -> bool {
        self.resume_traced(green, timeline::begin_batch()).is_some()
    }

    /// Calls `f`, and records how long it took.
    pub(super) fn traced<T>(kind: Kind, f: impl FnOnce() -> T) -> T {
        let began = timeline::now();
        let result = f();
        timeline::span(kind, began, 0);
        result
    }

    /// Continues an unfinished trim of unused stacks.
    pub(super) fn trim_step(&self) {
        let trim = || self.stacks.borrow_mut().trim_step();
        self.is_trimming.set(Self::traced(Kind::Trim, trim));
    }
}

fn pause(green: &ThreadInner) -> Pause {
    Pause {
        reason: green.reason() as u8,
        subject: green.subject(),
        at: green.at(),
    }
}

/// Records the name of a thread: at its first step and at its last, so that it is there as long as
/// any record of the thread is, or the thread lives and can be asked.
fn note_name(green: &ThreadInner) {
    if let Some(name) = green.name() {
        timeline::name(green.id().get(), name);
    }
}
