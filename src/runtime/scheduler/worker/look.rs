//! Runs the deadlock detection (`runtime/inspect/deadlock.rs`) of a worker.

use super::super::shared::Phase;
use super::WorkerLoop;
use super::looks::RARELY;
use crate::runtime::config::OnDeadlock;
use crate::runtime::inspect::deadlock::{self, Found};
use crate::sys::clock::{self, NEVER, Tick};

impl WorkerLoop {
    /// Schedules a look if a thread here has begun to wait for a lock, or for a thread that waits.
    fn note_suspicion(&self, now: Tick) {
        if self.cx.suspicion.replace(false) {
            self.looks.is_suspicious.set(true);
            self.looks.schedule(now);
        }
    }

    /// Returns how long the worker, which has nothing to run, may sleep before it looks for
    /// deadlocks.
    pub(super) fn until_look(&self, now: Tick) -> Tick {
        if !self.looks_for_deadlocks() {
            return NEVER;
        }
        self.note_suspicion(now);
        self.looks.left(now)
    }

    /// Looks for deadlocks, if it is time, after the worker has slept. `has_news`: an event has
    /// occurred.
    pub(super) fn look_when_idle(&self, now: Tick, has_news: bool) {
        let looks = &self.looks;
        if has_news {
            looks.is_settled.set(false);
            if !self.cx.has_lock_waits() && !looks.is_suspicious.get() {
                looks.at.set(NEVER);
            }
        }
        if now >= looks.at.get() {
            self.seek_deadlock(now, !has_news);
        }
    }

    /// Looks for deadlocks, if it is time, when the worker always has something to run.
    pub(super) fn look_when_busy(&self, now: Tick) {
        if self.cx.suspicion.get() && self.looks_for_deadlocks() {
            self.note_suspicion(now);
        }
        if now >= self.looks.at.get() {
            self.seek_deadlock(now, false);
        }
    }

    #[cold]
    fn seek_deadlock(&self, now: Tick, is_idle: bool) {
        let looks = &self.looks;
        if !self.looks_for_deadlocks() {
            return looks.at.set(NEVER);
        }
        let may_be_cycle = self.cx.has_lock_waits() || looks.is_suspicious.get();
        let found = deadlock::look(&self.shared, is_idle, may_be_cycle);
        if found != Found::Doubt {
            looks.is_suspicious.set(false);
        }
        let after = clock::now();
        looks.cost.set(after.saturating_sub(now));
        if found == Found::Nothing && !self.cx.has_lock_waits() {
            looks.is_settled.set(is_idle);
            looks.at.set(NEVER);
        } else {
            let pause = looks.pause.get();
            looks.pause.set(pause.saturating_mul(2).min(RARELY));
            looks.at.set(after.saturating_add(pause));
        }
    }

    fn looks_for_deadlocks(&self) -> bool {
        !self.by_hand
            && self.shared.config.on_deadlock != OnDeadlock::Ignore
            && self.shared.phase() == Phase::Open
    }
}
