//! A worker that has nothing to run: it lingers, sleeps, and sees to what waits for that.
//!
//! Called on its OS thread, between two rounds, inside its home.

use std::sync::atomic::Ordering;

use super::super::adaptive_spin::SPIN_BEFORE_PARK;
use super::super::shared::Phase;
use super::{POLL_EVERY, TRIM_EVERY, WorkerLoop};
use crate::sys::clock::{self, NEVER, Tick};

impl WorkerLoop {
    /// Looks for messages for a little while, if that is likely to spare a sleep. True: there is
    /// something.
    fn spin(&self, now: Tick) -> bool {
        if !self.spin.should_spin() || self.timers.borrow().next() <= now + SPIN_BEFORE_PARK {
            return false;
        }
        let came = loop {
            for _ in 0..32 {
                if !self.cx.remote.queue.is_empty() {
                    break;
                }
                std::hint::spin_loop();
            }
            if !self.cx.remote.queue.is_empty() || self.has_work() || self.take_shared() {
                break true;
            }
            if clock::now() > now + SPIN_BEFORE_PARK {
                break false;
            }
        };
        self.spin.record_spin(came);
        came
    }

    /// Tells other workers whether a shared thread would be started here at once.
    pub(super) fn is_searching(&self, searches: bool) {
        self.peer().is_searching.store(searches, Ordering::Relaxed);
    }

    /// Threads in the queues of other workers wait for an idle one.
    fn others_share(&self) -> bool {
        self.shared.has_shared()
            && !self.out_of_stacks.get()
            && self.shared.waiting_shared() > self.peer().unstarted.shared()
    }

    /// There is nothing to run: sleeps until there is. The steps are those of `remote.rs`.
    pub(super) fn park_worker(&self, most: Tick) {
        // Until it is known that there is something to run here: other workers leave shared threads
        // to this one.
        self.is_searching(true);
        let now = self.tick();
        if now.saturating_sub(self.polled.get()) >= POLL_EVERY
            && (self.has_work() || self.spin.should_spin())
        {
            // Who always has a timer that is due, or finds a message in time, would never look at
            // the sockets.
            self.poll(0);
        }
        if self.has_work() || self.take_shared() || self.spin(now) {
            self.is_searching(false);
            return;
        }
        self.peer().load.falls_asleep(now);
        self.shared.idle.enter();
        // Step 7; step 3 of `idle.rs` too.
        self.cx.remote.notifier.prepare();
        let nap = self.stealer.check_queues(&self.shared, now);
        // Step 8.
        let wait = if nap == 0
            || !self.cx.remote.queue.is_empty()
            || self.has_work()
            || self.others_share()
            || self.has_news()
            // Events that have come already are work.
            || self.idle_waiters.has_waiters()
        {
            0
        } else {
            self.shared.notify_quiet();
            if self.is_trimming.get() {
                // About a millisecond's work, and then another look at the world.
                self.is_trimming.set(self.stacks.borrow_mut().trim_step());
            }
            let retry = match self.next_try() {
                NEVER => NEVER,
                at => at.saturating_sub(now),
            };
            let upkeep = if self.is_trimming.get() {
                now
            } else if self.has_spare.get() {
                self.trimmed.get() + TRIM_EVERY
            } else {
                NEVER
            };
            let look = self.until_look(now);
            let deadline = self.timers.borrow().next();
            self.wake_timer
                .timeout(deadline, upkeep, now)
                .min(retry)
                .min(nap)
                .min(most)
                .min(look)
                .min(self.deferral_left())
        };
        // Step 9.
        let events = self.poll(wait);
        let rung = !self.cx.remote.notifier.is_asleep();
        self.cx.remote.notifier.awake();
        self.shared.idle.leave();
        let slept_from = now;
        let now = clock::now();
        self.spin
            .record_sleep(now.saturating_sub(slept_from), rung && !events);
        self.cx.now.set(now);
        self.polled.set(now);
        self.peer().load.awakes(now);
        self.expire(now);
        self.look_for_stacks(now);
        let has_news = events || rung || self.cx.ready() > 0;
        self.look_when_idle(now, has_news);
        if self.cx.ready() == 0 {
            // Before what waits in its own queue: somebody else leaves it to this worker, and would
            // not do so for long.
            self.take_shared();
        }
        self.is_searching(!self.has_work());
        if nap != 0 {
            self.notify_idle();
        }
    }

    /// Asks the reactor, for at most `timeout`.
    pub(super) fn poll(&self, timeout: Tick) -> bool {
        let mut reactor = self.reactor.borrow_mut();
        let events = match timeout {
            0 | NEVER => reactor.poll(timeout),
            _ => self.wake_timer.apply(|| reactor.poll(timeout)),
        };
        let events = events.unwrap_or_else(|error| {
            // The descriptor and the buffer are ours and valid: there is nothing that a caller
            // could mend.
            panic!("rustlet: waiting for events failed: {error}")
        });
        reactor.free_retired();
        drop(reactor);
        self.polled.set(self.cx.now.get());
        self.cx.drain_remote();
        events
    }

    /// The worker has looked around: if there is nothing to run, it is the turn of those that wait
    /// for that.
    pub(crate) fn notify_idle(&self) {
        if self.idle_waiters.has_waiters() && !self.has_work() {
            self.idle_waiters.notify();
        }
    }

    /// The runtime's phase has changed and this worker has not acted on it.
    fn has_news(&self) -> bool {
        match self.shared.phase() {
            Phase::Open => false,
            Phase::Closing => !self.cancelled.get(),
            Phase::Ended => !self.cancelled.get() || self.alive() == 0,
            Phase::Abandoned => true,
        }
    }
}
