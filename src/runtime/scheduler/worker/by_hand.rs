//! What a worker that is stepped by its user does instead of [`Worker::work`]. H1 to H4 in `runtime/stepped.rs` are what it
//! rests on.

use std::ptr;
use std::sync::Arc;

use super::super::shared::Shared;
use super::super::start_queue::Unstarted;
use super::Worker;
use crate::green::Home;
use crate::runtime::io::reactor::Reactor;
use crate::sys::clock::Tick;

impl Worker {
    /// A worker that its user steps.
    pub(crate) fn by_hand(shared: Arc<Shared>, reactor: Reactor) -> Worker {
        let mut worker = Worker::new(shared, 0, reactor);
        worker.by_hand = true;
        worker
    }

    /// Whether `home` is this worker's.
    pub(crate) fn has_home(&self, home: &Home) -> bool {
        ptr::eq(home, &raw const self.home)
    }

    pub(crate) fn close_reactor(&self) {
        self.reactor.borrow().close();
    }

    /// Makes the calling OS thread this worker's for the length of `f`.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        // W1: it stays where it is meanwhile, being borrowed; H2 says more.
        self.publish();
        self.home.enter(f)
    }

    /// Takes in what was spawned: from elsewhere, or just now.
    #[cold]
    pub(super) fn take_in(&self) {
        for _ in 0..self.peer().unstarted.len() {
            let Some(Unstarted(green)) = self.pop_unstarted() else {
                return;
            };
            self.admit(green);
        }
    }

    /// Whatever has happened so far becomes ready: timers, then I/O, then messages.
    pub(crate) fn look(&self) {
        self.tick();
        self.poll(0);
        self.take_in();
    }

    /// One step of the thread that has been ready longest. False: there is none, or no stack for any.
    pub(crate) fn step_one(&self) -> bool {
        for _ in 0..self.home.ready() {
            let Some(green) = self.home.pop_ready() else {
                break;
            };
            if self.step(green) {
                return true;
            }
        }
        false
    }

    /// Runs what is ready for a while, then looks around, or rests for at most `most`, unless all have ended.
    pub(crate) fn work_on(&self, most: Tick) {
        self.take_in();
        let tired = self.round();
        self.home.collect();
        self.take_in();
        if self.lives() > 0 {
            self.look_or_rest(tired, most);
        }
    }

    /// When it has to be stepped, unless something happens before; 0 if there is something to do.
    pub(crate) fn due(&self) -> Tick {
        if self.has_work() || !self.home.mailbox.inbox.is_empty() || self.lull.is_awaited() {
            return 0;
        }
        let timer = self.timers.borrow_mut().next_deadline();
        timer.min(self.next_try())
    }
}
