//! A worker that has nothing to run: it lingers, sleeps, and sees to what waits for that.
//!
//! Called on its OS thread, between two rounds, inside its home.

use std::sync::atomic::Ordering;

use super::super::linger::LINGER;
use super::super::shared::Phase;
use super::{POLL_EVERY, TRIM_EVERY, Worker};
use crate::sys::clock::{self, NEVER, Tick};

impl Worker {
    /// Looks for messages for a little while, if that is likely to spare a sleep. True: there is something.
    fn linger(&self, now: Tick) -> bool {
        if !self.linger.pays() || self.timers.borrow().next() <= now + LINGER {
            return false;
        }
        let came = loop {
            for _ in 0..32 {
                if !self.home.mailbox.inbox.is_empty() {
                    break;
                }
                std::hint::spin_loop();
            }
            if !self.home.mailbox.inbox.is_empty() || self.has_work() || self.take_shared() {
                break true;
            }
            if clock::now() > now + LINGER {
                break false;
            }
        };
        self.linger.stayed(came);
        came
    }

    /// Tells other workers whether a shared thread would be started here at once.
    pub(super) fn is_searching(&self, searches: bool) {
        self.peer().is_searching.store(searches, Ordering::Relaxed);
    }

    /// Threads in the queues of other workers wait for an idle one.
    fn others_share(&self) -> bool {
        self.shared.has_shared()
            && !self.short_of_stacks.get()
            && self.shared.waiting_shared() > self.peer().unstarted.shared()
    }

    /// There is nothing to run: sleeps until there is. The steps are those of `mailbox.rs`.
    pub(super) fn rest(&self, most: Tick) {
        // Until it is known that there is something to run here: other workers leave shared threads to this one.
        self.is_searching(true);
        let now = self.tick();
        if now.saturating_sub(self.polled.get()) >= POLL_EVERY
            && (self.has_work() || self.linger.pays())
        {
            // Who always has a timer that is due, or finds a message in time, would never look at the sockets.
            self.poll(0);
        }
        if self.has_work() || self.take_shared() || self.linger(now) {
            self.is_searching(false);
            return;
        }
        self.peer().load.falls_asleep(now);
        self.shared.idle.enter();
        // Step 7; step 3 of `idle.rs` too.
        self.home.mailbox.bell.prepare();
        let nap = self.sentinel.keep_watch(&self.shared, now);
        // Step 8.
        let wait = if nap == 0
            || !self.home.mailbox.inbox.is_empty()
            || self.has_work()
            || self.others_share()
            || self.has_news()
            // Events that have come already are work.
            || self.lull.is_awaited()
        {
            0
        } else {
            self.shared.tell_quiet();
            if self.is_trimming.get() {
                // About a millisecond's work, and then another look at the world.
                self.is_trimming.set(self.stacks.borrow_mut().trim_step());
            }
            let due = match self.timers.borrow().next().min(self.next_try()) {
                NEVER => NEVER,
                at => at.saturating_sub(now),
            };
            let spare = if self.is_trimming.get() {
                0
            } else if self.has_spare.get() {
                TRIM_EVERY
            } else {
                NEVER
            };
            due.min(nap).min(spare).min(most).min(self.deferral_left())
        };
        // Step 9.
        let events = self.poll(wait);
        let rung = !self.home.mailbox.bell.is_asleep();
        self.home.mailbox.bell.awake();
        self.shared.idle.leave();
        let slept = now;
        let now = clock::now();
        self.linger
            .slept(now.saturating_sub(slept), rung && !events);
        self.home.now.set(now);
        self.polled.set(now);
        self.peer().load.awakes(now);
        self.expire(now);
        self.look_for_stacks(now);
        if self.home.ready() == 0 {
            // Before what waits in its own queue: somebody else leaves it to this worker, and would not do so for long.
            self.take_shared();
        }
        self.is_searching(!self.has_work());
        if nap != 0 {
            self.tell_idle();
        }
    }

    /// The worker has looked around: if there is nothing to run, it is the turn of those that wait for that.
    pub(crate) fn tell_idle(&self) {
        if self.lull.is_awaited() && !self.has_work() {
            self.lull.tell();
        }
    }

    /// The runtime's phase has changed and this worker has not acted on it.
    fn has_news(&self) -> bool {
        match self.shared.phase() {
            Phase::Open => false,
            Phase::Closing => !self.cancelled.get(),
            Phase::Ended => !self.cancelled.get() || self.lives() == 0,
            Phase::Abandoned => true,
        }
    }
}
