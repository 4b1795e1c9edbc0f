//! The steps of a worker while a trace is recorded (`timeline/mod.rs`): they do what the untraced
//! steps do, and record when each began and how it ended.

use super::super::unstarted_queue::Unstarted;
use super::WorkerLoop;
use super::step_recorder::{StepRecorder, Untraced};
use crate::green::{State, ThreadInner};
use crate::timeline::{self, Kind, Pause, Steps};

impl StepRecorder<WorkerLoop> for Untraced {
    #[inline(always)]
    fn resume(&mut self, worker: &WorkerLoop, green: &'static ThreadInner) -> bool {
        worker.resume_one(green)
    }

    #[inline(always)]
    fn start(&mut self, worker: &WorkerLoop, new: Unstarted) {
        worker.start(new);
    }

    #[inline(always)]
    fn start_slowly(&mut self, worker: &WorkerLoop, new: Unstarted) {
        worker.start_slowly(new);
    }
}

impl StepRecorder<WorkerLoop> for Steps {
    fn resume(&mut self, worker: &WorkerLoop, green: &'static ThreadInner) -> bool {
        worker.resume_traced(green, self)
    }

    fn start(&mut self, worker: &WorkerLoop, new: Unstarted) {
        worker.start_traced(new, self);
    }

    fn start_slowly(&mut self, worker: &WorkerLoop, new: Unstarted) {
        worker.start_traced(new, self);
    }
}

impl WorkerLoop {
    /// Prepares the worker for a batch of traced steps.
    #[cold]
    pub(super) fn begin_traced(&self) -> Steps {
        self.cx.trace();
        Steps::begin()
    }

    /// Runs one step of a ready thread like [`WorkerLoop::resume_one`].
    #[inline(never)]
    fn resume_traced(&self, green: &'static ThreadInner, steps: &mut Steps) -> bool {
        let id = green.id().get();
        let is_first = !green.has_started();
        if is_first && !self.set_up_local(green) {
            return false;
        }
        let named = green.name().is_some().then(|| green.to_ref());
        steps.begin_step(id);
        // The thread is freed when it has ended.
        let has_ended = self.run(green);
        let pause = (!has_ended).then(|| pause(green));
        steps.end_step(id, is_first, pause);
        if let Some(named) = named.filter(|_| is_first || has_ended) {
            record_name(&named);
        }
        true
    }

    /// Starts a thread like [`WorkerLoop::start`].
    #[inline(never)]
    fn start_traced(&self, new: Unstarted, steps: &mut Steps) {
        let green = new.0.clone();
        let id = green.id().get();
        steps.refresh();
        steps.begin_step(id);
        self.start(new);
        let pause = match green.state() {
            // There was no stack.
            State::New => return steps.cancel_step(),
            State::Done => None,
            State::Ready | State::Running | State::Parked => Some(pause(&green)),
        };
        steps.end_step(id, true, pause);
        record_name(&green);
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

/// Records the name of a thread. Called at its first step and at its last, so that the name is
/// there as long as any record of the thread is, unless the thread is alive and can be queried.
fn record_name(green: &ThreadInner) {
    if let Some(name) = green.name() {
        timeline::name(green.id().get(), name);
    }
}
