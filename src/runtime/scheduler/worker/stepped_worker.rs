//! The operations of a worker that its user steps, which replace [`WorkerLoop::work`]. They rely on
//! H1 to H4 in `runtime/stepped.rs`.

use std::ptr;
use std::sync::Arc;

use super::super::shared::Shared;
use super::super::unstarted_queue::Unstarted;
use super::WorkerLoop;
use super::step_recorder::StepRecorder;
use crate::green::WorkerContext;
use crate::runtime::io::reactor::Reactor;
use crate::sys::clock::Tick;
use crate::timeline;

impl WorkerLoop {
    /// Creates a worker that its user steps.
    pub(crate) fn new_stepped(shared: Arc<Shared>, reactor: Reactor) -> WorkerLoop {
        let mut worker = WorkerLoop::new(shared, 0, reactor, None);
        worker.is_stepped = true;
        worker
    }

    /// Returns whether `cx` is this worker's.
    pub(crate) fn owns_context(&self, cx: &WorkerContext) -> bool {
        ptr::eq(cx, &raw const self.cx)
    }

    pub(crate) fn close_reactor(&self) {
        self.reactor.borrow().close();
    }

    /// Makes the calling OS thread this worker's for the length of `f`.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        // W1: the worker cannot move meanwhile, because it is borrowed. See also H2.
        self.publish();
        self.cx.enter(f)
    }

    /// Makes all unstarted threads ready, whether spawned from elsewhere or just now.
    #[cold]
    pub(super) fn drain_remote_spawns(&self) {
        for _ in 0..self.worker_shared().unstarted.len() {
            let Some(Unstarted(green)) = self.pop_unstarted() else {
                return;
            };
            self.enqueue_local(green);
        }
    }

    /// Polls timers, then I/O, then messages, and makes ready all threads whose events have
    /// occurred.
    pub(crate) fn poll_all(&self) {
        self.tick();
        self.poll(0);
        self.drain_remote_spawns();
    }

    /// Runs one step of the thread that has been ready longest. Returns false if no thread is
    /// ready, or if there is no stack for any.
    pub(crate) fn step_one(&self) -> bool {
        for _ in 0..self.cx.ready() {
            let Some(green) = self.cx.pop_ready() else {
                break;
            };
            let resumed = match timeline::is_on() {
                true => self.begin_traced().resume(self, green),
                false => self.resume_one(green),
            };
            if resumed {
                self.publish_counts();
                return true;
            }
        }
        false
    }

    /// Runs a batch of ready threads, then does maintenance, or sleeps for at most `max_sleep`,
    /// unless all threads have ended.
    pub(crate) fn work_on(&self, max_sleep: Tick) {
        self.drain_remote_spawns();
        let budget_exhausted = self.run_batch();
        self.cx.drain_remote();
        self.publish_counts();
        self.drain_remote_spawns();
        if self.alive() > 0 {
            self.maintain_or_park(budget_exhausted, max_sleep);
        }
    }

    /// Returns the latest time at which the worker has to be stepped, unless an event occurs
    /// before; 0 if there is work to do.
    pub(crate) fn due(&self) -> Tick {
        if self.has_work() || !self.cx.remote.queue.is_empty() || self.idle_waiters.has_waiters() {
            return 0;
        }
        let timer = self.timers.borrow_mut().next_deadline();
        timer.min(self.next_try())
    }
}
