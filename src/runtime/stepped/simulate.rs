//! A stepped worker that a simulation steps: see `runtime/scheduler/worker/simulated.rs`.

use super::Stepped;
use crate::runtime::inspect::registry::{self, ThreadInfo};
use crate::runtime::scheduler::shared::Phase;
pub(crate) use crate::runtime::scheduler::worker::OtherTimers;

impl Stepped {
    /// Runs threads as the simulation of the calling OS thread chooses, until `is_done` or the
    /// simulation has failed.
    pub(crate) fn simulate(&self, is_done: &dyn Fn() -> bool, timers: OtherTimers) {
        self.worker.enter(|| self.worker.simulate(is_done, timers));
    }

    /// Cancels the threads that are left, and runs them to their ends. Returns false if that does
    /// not end.
    pub(crate) fn simulate_end(&self, timers: OtherTimers) -> bool {
        self.worker.shared.advance(Phase::Closing);
        self.worker.enter(|| {
            self.worker.close();
            self.worker.simulate(&|| self.live() == 0, timers);
        });
        self.live() == 0
    }

    /// Describes the threads that have not ended.
    pub(crate) fn threads(&self) -> Vec<ThreadInfo> {
        registry::alive(self.worker.shared.group)
    }
}
