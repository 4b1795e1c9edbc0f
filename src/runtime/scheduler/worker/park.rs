//! A worker that has nothing to run spins, sleeps, and notifies its idle waiters.
//!
//! All functions are called on the worker's OS thread, between two batches, while its context is
//! entered.

use std::sync::atomic::Ordering;

use super::super::adaptive_spin::SPIN_BEFORE_PARK_NS;
use super::super::shared::Phase;
use super::{POLL_EVERY_NS, TRIM_EVERY_NS, WorkerLoop};
use crate::sys::clock::{self, NEVER, Tick};
use crate::timeline::{self, Kind};

impl WorkerLoop {
    /// Watches for messages for a moment, if that is likely to avoid a sleep. Returns true if there
    /// is work.
    fn spin(&self, now: Tick) -> bool {
        if !self.spin.should_spin() || self.timers.borrow().next() <= now + SPIN_BEFORE_PARK_NS {
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
            if clock::now() > now + SPIN_BEFORE_PARK_NS {
                break false;
            }
        };
        self.spin.record_spin(came);
        came
    }

    /// Publishes whether this worker would start a shared thread at once.
    pub(super) fn is_searching(&self, searches: bool) {
        self.worker_shared()
            .is_searching
            .store(searches, Ordering::Relaxed);
    }

    /// Returns whether threads in the queues of other workers wait for an idle one.
    fn others_share(&self) -> bool {
        self.shared.has_shared()
            && !self.out_of_stacks.get()
            && self.shared.waiting_shared() > self.worker_shared().unstarted.shared()
    }

    /// Sleeps until there is something to run. The numbered steps are those of
    /// `green/context/remote_queue.rs`.
    pub(super) fn park_worker(&self, max_sleep: Tick) {
        // Set until this worker is known to have something to run: other workers leave shared
        // threads to it.
        self.is_searching(true);
        let now = self.tick();
        if now.saturating_sub(self.last_poll.get()) >= POLL_EVERY_NS
            && (self.has_work() || self.spin.should_spin())
        {
            // A worker whose timers are always due, or that always finds a message while it spins,
            // would never poll the sockets.
            self.poll(0);
        }
        if self.has_work() || self.take_shared() || self.spin(now) {
            self.is_searching(false);
            return;
        }
        self.worker_shared().load.note_sleep(now);
        self.worker_shared().stats.idle.note_sleep(now);
        self.shared.idle.enter();
        // Step 7, and step 3 of `idle.rs`.
        self.cx.remote.notifier.prepare();
        let nap = if self.out_of_stacks.get() {
            if self.stealer.is_active() {
                self.stealer.wake_successor(&self.shared, 1);
            }
            NEVER
        } else {
            self.stealer.check_queues(&self.shared, now)
        };
        // Step 8.
        let wait = if nap == 0
            || !self.cx.remote.queue.is_empty()
            || self.has_work()
            || self.others_share()
            || self.has_news()
            // Events that have occurred already are work, so poll without sleeping before
            // notifying.
            || self.idle_waiters.has_waiters()
        {
            0
        } else {
            self.shared.notify_quiet();
            if self.is_trimming.get() {
                // A step takes about a millisecond; then the worker checks for work again.
                self.trim_step();
            }
            let retry = match self.next_try() {
                NEVER => NEVER,
                at => at.saturating_sub(now),
            };
            let upkeep = if self.is_trimming.get() {
                now
            } else if self.has_spare.get() {
                self.last_trim.get() + TRIM_EVERY_NS
            } else {
                NEVER
            };
            let deadlock_check = self.until_deadlock_check(now);
            let deadline = self.timers.borrow().next();
            self.worker_shared()
                .stats
                .timers
                .set(self.timers.borrow().len());
            self.wake_timer
                .timeout(deadline, upkeep, now)
                .min(retry)
                .min(nap)
                .min(max_sleep)
                .min(deadlock_check)
                .min(self.deferral_left())
        };
        if wait != 0 {
            self.worker_shared().stats.parks.add(1);
        }
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
        self.last_poll.set(now);
        self.worker_shared().load.note_wake(now);
        self.worker_shared().stats.idle.note_wake(now);
        self.expire(now);
        self.sample(now);
        self.retry_stacks(now);
        let has_news = events || rung || self.cx.ready() > 0;
        self.check_deadlocks_when_idle(now, has_news);
        if self.cx.ready() == 0 {
            // Before the threads in this worker's own queue: another worker leaves its shared
            // thread to this one, but only for a short time.
            self.take_shared();
        }
        self.is_searching(!self.has_work());
        if nap != 0 {
            self.notify_idle();
        }
    }

    /// Polls the reactor for at most `timeout`; returns whether there were events.
    pub(super) fn poll(&self, timeout: Tick) -> bool {
        let began = timeline::now();
        self.worker_shared().stats.polls.add(1);
        let mut reactor = self.reactor.borrow_mut();
        let events = match timeout {
            0 | NEVER => reactor.poll(timeout),
            _ => self.wake_timer.apply(|| reactor.poll(timeout)),
        };
        let events = events.unwrap_or_else(|error| {
            // The descriptor and the buffer are valid and belong to the reactor, so a caller could
            // not fix the error.
            panic!("rustlet: waiting for events failed: {error}")
        });
        reactor.free_retired();
        drop(reactor);
        match timeout {
            0 => timeline::span(Kind::Poll, began.filter(|_| events), 0),
            _ => timeline::span(Kind::Sleep, began, 0),
        }
        self.last_poll.set(self.cx.now.get());
        self.cx.drain_remote();
        events
    }

    /// Notifies an idle waiter if there is nothing to run. Called after the worker has polled.
    pub(crate) fn notify_idle(&self) {
        if self.idle_waiters.has_waiters() && !self.has_work() {
            self.idle_waiters.notify();
        }
    }

    /// Returns whether the runtime's phase has changed and this worker has not acted on it.
    fn has_news(&self) -> bool {
        match self.shared.phase() {
            Phase::Open => false,
            Phase::Closing => !self.cancelled.get(),
            Phase::Ended => !self.cancelled.get() || self.alive() == 0,
            Phase::Abandoned => true,
        }
    }
}
