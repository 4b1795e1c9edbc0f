//! Hands new threads to workers: to the first idle one, to a given one, and threads that are
//! spawned from outside the runtime.
//!
//! A thread for the first idle worker is in the `shared` part of the queue of some worker, and is
//! counted in `waiting_shared` before it is pushed. A pusher counts, pushes, fences and then looks
//! for a worker whose notifier says that it sleeps; a worker that goes to sleep prepares its
//! notifier, fences and then reads the count. So either the pusher wakes the worker, or the worker
//! takes the thread (`loom_a_shared_thread_is_taken` in `idle.rs`).

use std::sync::atomic::Ordering;

use super::super::unstarted_queue::Unstarted;
use super::{Phase, Shared};
use crate::runtime::placement::policy::Conduct;
use crate::sys::clock;

impl Shared {
    /// Queues a thread for the first idle worker, in the queue of the worker `index`, and wakes a
    /// sleeping worker.
    pub(crate) fn push_shared(&self, index: usize, unstarted: Unstarted) {
        let worker = &self.workers[index];
        if self.phase() == Phase::Abandoned {
            return self.discard(worker, unstarted);
        }
        // Counted before the push, so that a worker that reads 0 has not missed a thread.
        self.waiting_shared.fetch_add(1, Ordering::Relaxed);
        worker.unstarted.push_shared(unstarted);
        self.wake_one(index, index);
        if self.phase() == Phase::Ended {
            self.discard_unstarted(worker);
        }
    }

    /// Returns whether a thread waits for an idle worker, in any queue.
    #[inline]
    pub(crate) fn has_shared(&self) -> bool {
        self.waiting_shared.load(Ordering::Relaxed) > 0
    }

    /// Returns how many threads wait for an idle worker.
    pub(crate) fn waiting_shared(&self) -> usize {
        self.waiting_shared.load(Ordering::Relaxed)
    }

    /// Takes a thread that waits for an idle worker out of the queue of the worker `index`.
    pub(crate) fn take_shared(&self, index: usize) -> Option<Unstarted> {
        let taken = self.workers[index].unstarted.take_shared()?;
        self.waiting_shared.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }

    /// Passes each thread that waits for an idle worker in the queue of the worker `index`, the
    /// caller's, to `reconsider` once; threads that `reconsider` returns stay in the queue. All
    /// stay counted meanwhile, so that a worker that finds none in the queue does not sleep.
    pub(crate) fn reconsider_shared(
        &self,
        index: usize,
        mut reconsider: impl FnMut(Unstarted) -> Option<Unstarted>,
    ) {
        let worker = &self.workers[index];
        for _ in 0..worker.unstarted.shared() {
            let Some(new) = worker.unstarted.take_shared() else {
                break;
            };
            match reconsider(new) {
                Some(new) => worker.unstarted.push_shared(new),
                None => {
                    self.waiting_shared.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if self.phase() == Phase::Ended {
            self.discard_unstarted(worker);
        }
    }

    /// Takes a thread that waits for an idle worker from the queue of another worker than `index`,
    /// the caller's. Returns it with the number of the other worker.
    pub(crate) fn steal_shared(&self, index: usize) -> Option<(usize, Unstarted)> {
        if !self.has_shared() {
            return None;
        }
        let count = self.workers.len();
        let others = (1..count).map(|offset| (index + offset) % count);
        let others = others.filter(|&index| !self.workers[index].holds_shared());
        let mut taken = others.map(|index| (index, self.take_shared(index)));
        taken.find_map(|(index, new)| Some((index, new?)))
    }

    /// Wakes a sleeping worker other than these two, if there is one. Of several it wakes the one
    /// with the fewest residents.
    #[cold]
    pub(crate) fn wake_one(&self, except: usize, nor: usize) {
        if !self.idle.has_sleepers() {
            return;
        }
        let count = self.workers.len();
        let others = (1..count).map(|offset| (except + count - offset) % count);
        let others = others
            .filter(|&index| index != nor)
            .map(|index| &self.workers[index]);
        let sleeping = others
            .filter(|worker| worker.remote.notifier.is_asleep())
            .take(8);
        let best = sleeping.min_by_key(|worker| worker.residents());
        // If another thread has woken that worker meanwhile, the worker will look anyway.
        if let Some(worker) = best {
            worker.remote.notifier.wake();
        }
    }

    /// Returns how many workers other than `except` sleep, wake up or look for work, counting up to
    /// `max_count`.
    pub(crate) fn idle_workers(&self, except: usize, max_count: usize) -> usize {
        let others = self.workers.iter().enumerate();
        let idle = others.filter(|&(index, worker)| index != except && worker.is_idle());
        idle.take(max_count).count()
    }

    /// Queues a thread of the site `key` that is spawned from outside the runtime. If its site's
    /// threads start on the spawner's worker, it goes to a sleeping worker, or else to one with
    /// fewer live threads.
    pub(crate) fn push_external(&self, unstarted: Unstarted, key: u64) {
        self.spawned_outside.fetch_add(1, Ordering::Release);
        let count = self.workers.len();
        if count == 1 {
            return self.push_to(0, unstarted);
        }
        let (site, record) = self.sites.find(key);
        unstarted.0.origin.set_site(site);
        let is_first = record.is_unseen();
        if is_first {
            self.sites.note(site, |record| record.spawned_by(count));
        }
        let next = self.next_worker.fetch_add(1, Ordering::Relaxed);
        let some = || (0..count).map(|offset| (next + offset) % count);
        let asleep = some().find(|&index| self.workers[index].remote.notifier.is_asleep());
        let fewer = || self.emptier_of_two(clock::now(), |worker| (worker.live(), 0));
        match record.conduct() {
            Conduct::Short => self.push_to(asleep.unwrap_or_else(fewer), unstarted),
            conduct if conduct == Conduct::Computes || is_first => {
                // Any queue but that of the worker that is expected to start it.
                let idle = asleep.or_else(|| some().find(|&index| self.workers[index].is_idle()));
                self.push_shared((idle.unwrap_or(next) + 1) % count, unstarted);
            }
            _ => {
                let emptiest = some()
                    .take(8)
                    .min_by_key(|&index| self.workers[index].residents());
                self.push_placed(emptiest.unwrap_or(0), unstarted);
            }
        }
    }

    /// Hands a thread to the worker `index`, where it is to stay, and wakes that worker.
    pub(crate) fn push_placed(&self, index: usize, unstarted: Unstarted) {
        unstarted.0.origin.set_placed();
        self.workers[index].placed.fetch_add(1, Ordering::Relaxed);
        self.push_to(index, unstarted);
    }

    /// Hands a thread to the worker `index`, the only one that may start it.
    pub(crate) fn push_fixed(&self, index: usize, unstarted: Unstarted) {
        let worker = &self.workers[index];
        if self.phase() == Phase::Abandoned {
            return self.discard(worker, unstarted);
        }
        worker.unstarted.push_fixed(unstarted);
        worker.remote.notifier.wake();
        if self.phase() == Phase::Ended {
            self.discard_unstarted(worker);
        }
    }
}
