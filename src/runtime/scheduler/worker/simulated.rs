//! A worker in a simulation: it steps the thread that the simulation chooses, and its time is
//! virtual. It replaces [`WorkerLoop::work`] as `stepped_worker.rs` does, and relies on the same.
//!
//! Time stands still while a thread is ready. If all threads wait, it moves to the next deadline at
//! once. If one of them waits for something outside of the simulation (a socket, a file), time does
//! not move, and the worker waits for that; except that another thread may pause before it tries
//! again what the first one waits for. Then time moves to the next deadline after each such wait.

use super::WorkerLoop;
use crate::green::block::slab;
use crate::green::context::coop;
use crate::green::reason::Reason;
use crate::green::{State, ThreadInner};
use crate::runtime::inspect::deadlock;
use crate::simulation::events::Event;
use crate::simulation::{self, FailureKind};
use crate::sys::clock::{self, NEVER, Tick};

/// Timers that are not those of green threads: of futures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherTimers {
    /// Returns the time of the first; [`NEVER`] if there is none.
    pub(crate) next: fn() -> Tick,
    /// Calls those that are due.
    pub(crate) expire: fn(Tick),
}

/// How long the worker waits at once for something outside of the simulation.
const EXTERNAL_WAIT_NS: Tick = 10_000_000;
/// How often it waits for that, at most, if no thread seems to wait for it, before it reports a
/// deadlock.
const MAX_EXTERNAL_WAITS: u32 = 20;

impl WorkerLoop {
    /// Runs threads until `is_done`, or the simulation has failed. The caller has entered the
    /// worker.
    pub(crate) fn simulate(&self, is_done: &dyn Fn() -> bool, timers: OtherTimers) {
        let mut quiet = 0;
        loop {
            self.sync_clock();
            self.expire_simulated(timers);
            self.drain_remote_spawns();
            self.cx.drain_remote();
            if is_done() || simulation::has_failed() {
                return;
            }
            if self.step_chosen() {
                self.publish_counts();
                quiet = 0;
                continue;
            }
            if !simulation::count_step() {
                return;
            }
            if self.idle_waiters.has_waiters() {
                self.idle_waiters.notify();
                continue;
            }
            if simulation::is_external() {
                let before = self.cx.ready();
                let waits = self.has_waits(Reason::is_external);
                self.wait_external(if waits { EXTERNAL_WAIT_NS } else { 0 });
                let may_move = !waits || self.has_waits(|reason| reason == Reason::Retry);
                if !may_move || self.cx.ready() > before {
                    continue;
                }
            }
            if let Some(cycles) = self.deadlocked_cycles() {
                return simulation::fail(FailureKind::Deadlock, cycles);
            }
            let next = self.timers.borrow_mut().next_deadline();
            let next = next.min((timers.next)()).min(self.next_try());
            if next != NEVER {
                clock::set_virtual(next.max(clock::now()));
                self.retry_stacks(clock::now());
                continue;
            }
            if simulation::is_external() && quiet < MAX_EXTERNAL_WAITS {
                quiet += 1;
                self.wait_external(EXTERNAL_WAIT_NS);
                continue;
            }
            let text = deadlock::describe_all_asleep(&self.shared);
            return simulation::fail(FailureKind::Deadlock, text);
        }
    }

    /// Lets the context's time follow the virtual clock, never backwards (WG1 in
    /// `runtime/inspect/wait_graph.rs`).
    fn sync_clock(&self) {
        self.cx.now.set(self.cx.now.get().max(clock::now()));
    }

    /// Wakes the threads whose deadlines have come.
    fn expire_simulated(&self, timers: OtherTimers) {
        let now = clock::now();
        if self.timers.borrow().next() <= now {
            self.expire(now);
        }
        if (timers.next)() <= now {
            (timers.expire)(now);
        }
    }

    /// Runs one step of the thread that the simulation chooses. Returns false if none is ready.
    fn step_chosen(&self) -> bool {
        let ready = self.cx.ready();
        if ready == 0 {
            return false;
        }
        let index = simulation::take_next().unwrap_or_else(|| {
            let ids = |index| self.cx.ready_at(index).map_or(0, |green| green.id().get());
            simulation::choose_next(&(0..ready).map(ids).collect::<Vec<_>>())
        });
        let Some(green) = self.cx.take_ready(index) else {
            return false;
        };
        let is_new = !green.has_started();
        if is_new && !self.set_up_local(green) {
            return true;
        }
        simulation::step_begins(green.id().get());
        if is_new {
            simulation::note(Event::Starts {
                name: green.name().map(Box::from),
                at: green.spawned_at(),
            });
        } else if green.elapsed.get() {
            simulation::note(Event::TimesOut);
        }
        simulation::count_step();
        coop::use_up();
        if self.run_plain(green) {
            simulation::note(Event::Ends);
        } else {
            note_end_of_step(green);
        }
        true
    }

    /// Returns whether a thread waits for a reason of this kind.
    fn has_waits(&self, is_kind: impl Fn(Reason) -> bool) -> bool {
        let waits = |green: &ThreadInner| {
            green.group() == self.shared.group
                && green.state() == State::Parked
                && is_kind(green.reason())
        };
        !slab::all_that(waits).is_empty()
    }

    /// Waits for something outside of the simulation, for at most `most` of real time.
    fn wait_external(&self, most: Tick) {
        self.cx.remote.notifier.prepare();
        let is_quiet = self.cx.remote.queue.is_empty() && self.worker_shared().unstarted.is_empty();
        self.poll(if is_quiet { most } else { 0 });
        self.cx.remote.notifier.awake();
    }

    /// Describes the cycles of threads that wait for each other.
    fn deadlocked_cycles(&self) -> Option<String> {
        if !self.cx.has_lock_waits() && !self.cx.suspicion.get() {
            return None;
        }
        let cycles = deadlock::describe_cycles(&self.shared);
        // Without a thread that waits for a lock, only a new wait can close a cycle.
        self.cx.suspicion.set(false);
        cycles
    }
}

/// Notes how a step of a thread that has not ended was ended.
fn note_end_of_step(green: &ThreadInner) {
    let at = green.at();
    match green.state() {
        State::Parked => simulation::note(Event::Waits {
            reason: green.reason().text(),
            at,
            until: green.deadline(),
        }),
        // One that was interrupted has a note of that.
        State::Ready if !simulation::was_interrupted() => simulation::note_yield(at),
        _ => {}
    }
}
