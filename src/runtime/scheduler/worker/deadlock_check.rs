//! Runs the deadlock detection (`runtime/inspect/deadlock.rs`) of a worker.

use super::super::shared::Phase;
use super::WorkerLoop;
use super::check_schedule::MAX_CHECK_PAUSE_NS;
use crate::runtime::config::OnDeadlock;
use crate::runtime::inspect::deadlock::{self, Found};
use crate::sys::clock::{self, NEVER, Tick};

impl WorkerLoop {
    /// Schedules a check if a thread here has begun to wait for a lock, or for a thread that waits.
    fn note_suspicion(&self, now: Tick) {
        if self.cx.suspicion.replace(false) {
            self.deadlock_checks.is_suspicious.set(true);
            self.deadlock_checks.schedule(now);
        }
    }

    /// Returns how long the worker, which has nothing to run, may sleep before it checks for
    /// deadlocks.
    pub(super) fn until_deadlock_check(&self, now: Tick) -> Tick {
        if !self.detects_deadlocks() {
            return NEVER;
        }
        self.note_suspicion(now);
        self.deadlock_checks.left(now)
    }

    /// Checks for deadlocks, if it is time, after the worker has slept. `has_news`: an event has
    /// occurred.
    pub(super) fn check_deadlocks_when_idle(&self, now: Tick, has_news: bool) {
        let schedule = &self.deadlock_checks;
        if has_news {
            schedule.is_unchanged.set(false);
            if !self.cx.has_lock_waits() && !schedule.is_suspicious.get() {
                schedule.at.set(NEVER);
            }
        }
        if now >= schedule.at.get() {
            self.check_deadlocks(now, !has_news);
        }
    }

    /// Checks for deadlocks, if it is time, when the worker always has something to run.
    pub(super) fn check_deadlocks_when_busy(&self, now: Tick) {
        if self.cx.suspicion.get() && self.detects_deadlocks() {
            self.note_suspicion(now);
        }
        if now >= self.deadlock_checks.at.get() {
            self.check_deadlocks(now, false);
        }
    }

    #[cold]
    fn check_deadlocks(&self, now: Tick, is_idle: bool) {
        let schedule = &self.deadlock_checks;
        if !self.detects_deadlocks() {
            return schedule.at.set(NEVER);
        }
        let may_be_cycle = self.cx.has_lock_waits() || schedule.is_suspicious.get();
        let found = deadlock::check(&self.shared, is_idle, may_be_cycle);
        if found != Found::Doubt {
            schedule.is_suspicious.set(false);
        }
        let after = clock::now();
        schedule.cost.set(after.saturating_sub(now));
        if found == Found::Nothing && !self.cx.has_lock_waits() {
            schedule.is_unchanged.set(is_idle);
            schedule.at.set(NEVER);
        } else {
            let pause = schedule.pause.get();
            schedule
                .pause
                .set(pause.saturating_mul(2).min(MAX_CHECK_PAUSE_NS));
            schedule.at.set(after.saturating_add(pause));
        }
    }

    fn detects_deadlocks(&self) -> bool {
        !self.is_stepped
            && self.shared.config.on_deadlock != OnDeadlock::Ignore
            && self.shared.phase() == Phase::Open
    }
}
