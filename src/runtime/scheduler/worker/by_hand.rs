//! What a worker that is stepped by its user does instead of [`WorkerLoop::work`]. H1 to H4 in
//! `runtime/stepped.rs` are what it rests on.

use std::ptr;
use std::sync::Arc;

use super::super::shared::Shared;
use super::super::unstarted_queue::Unstarted;
use super::WorkerLoop;
use crate::green::WorkerContext;
use crate::runtime::io::reactor::Reactor;
use crate::sys::clock::Tick;

impl WorkerLoop {
    /// A worker that its user steps.
    pub(crate) fn by_hand(shared: Arc<Shared>, reactor: Reactor) -> WorkerLoop {
        let mut worker = WorkerLoop::new(shared, 0, reactor, None);
        worker.by_hand = true;
        worker
    }

    /// Whether `cx` is this worker's.
    pub(crate) fn has_home(&self, cx: &WorkerContext) -> bool {
        ptr::eq(cx, &raw const self.cx)
    }

    pub(crate) fn close_reactor(&self) {
        self.reactor.borrow().close();
    }

    /// Makes the calling OS thread this worker's for the length of `f`.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        // W1: it stays where it is meanwhile, being borrowed; H2 says more.
        self.publish();
        self.cx.enter(f)
    }

    /// Takes in what was spawned: from elsewhere, or just now.
    #[cold]
    pub(super) fn drain_remote_spawns(&self) {
        for _ in 0..self.peer().unstarted.len() {
            let Some(Unstarted(green)) = self.pop_unstarted() else {
                return;
            };
            self.enqueue_local(green);
        }
    }

    /// Whatever has happened so far becomes ready: timers, then I/O, then messages.
    pub(crate) fn look(&self) {
        self.tick();
        self.poll(0);
        self.drain_remote_spawns();
    }

    /// One step of the thread that has been ready longest. False: there is none, or no stack for
    /// any.
    pub(crate) fn step_one(&self) -> bool {
        for _ in 0..self.cx.ready() {
            let Some(green) = self.cx.pop_ready() else {
                break;
            };
            if self.resume_one(green) {
                return true;
            }
        }
        false
    }

    /// Runs what is ready for a while, then looks around, or rests for at most `most`, unless all
    /// have ended.
    pub(crate) fn work_on(&self, most: Tick) {
        self.drain_remote_spawns();
        let budget_exhausted = self.run_batch();
        self.cx.drain_remote();
        self.drain_remote_spawns();
        if self.alive() > 0 {
            self.maintain_or_park(budget_exhausted, most);
        }
    }

    /// When it has to be stepped, unless something happens before; 0 if there is something to do.
    pub(crate) fn due(&self) -> Tick {
        if self.has_work() || !self.cx.remote.queue.is_empty() || self.idle_waiters.has_waiters() {
            return 0;
        }
        let timer = self.timers.borrow_mut().next_deadline();
        timer.min(self.next_try())
    }
}
