//! Hands new threads to workers: to the first that is idle, to a certain one, and those that come
//! from outside.
//!
//! A thread for the first idle worker lies in the `shared` part of some worker's queue and is
//! counted in `waiting_shared` before it is pushed. A pusher counts, pushes, fences and then looks
//! for a worker whose notifier says that it sleeps; a worker that goes to sleep prepares its
//! notifier, fences and then looks at the count. So either the pusher rings, or the worker takes it
//! (`loom_a_shared_thread_is_taken` in `idle.rs`).

use std::sync::atomic::Ordering;

use super::super::unstarted_queue::Unstarted;
use super::{Phase, Shared};
use crate::runtime::placement::policy::Conduct;
use crate::sys::clock;

impl Shared {
    /// Queues a thread for the first worker that is idle, in the queue of the worker `index`, and
    /// wakes one that sleeps.
    pub(crate) fn push_shared(&self, index: usize, unstarted: Unstarted) {
        let peer = &self.peers[index];
        if self.phase() == Phase::Abandoned {
            return self.discard(peer, unstarted);
        }
        // Counted first: a worker that sees none has not overlooked one.
        self.waiting_shared.fetch_add(1, Ordering::Relaxed);
        peer.unstarted.push_shared(unstarted);
        self.wake_one(index, index);
        if self.phase() == Phase::Ended {
            self.discard_unstarted(peer);
        }
    }

    /// Whether a thread waits for an idle worker, in some queue.
    #[inline]
    pub(crate) fn has_shared(&self) -> bool {
        self.waiting_shared.load(Ordering::Relaxed) > 0
    }

    /// How many such threads there are.
    pub(crate) fn waiting_shared(&self) -> usize {
        self.waiting_shared.load(Ordering::Relaxed)
    }

    /// Takes a thread that waits for an idle worker out of the queue of the worker `index`.
    pub(crate) fn take_shared(&self, index: usize) -> Option<Unstarted> {
        let taken = self.peers[index].unstarted.take_shared()?;
        self.waiting_shared.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }

    /// Looks once at each thread that waits for an idle worker in the queue of the worker `index`,
    /// which calls: `settle` gives back those that stay. They stay counted meanwhile, so that a
    /// worker which finds none does not sleep.
    pub(crate) fn settle_shared(
        &self,
        index: usize,
        mut settle: impl FnMut(Unstarted) -> Option<Unstarted>,
    ) {
        let peer = &self.peers[index];
        for _ in 0..peer.unstarted.shared() {
            let Some(new) = peer.unstarted.take_shared() else {
                break;
            };
            match settle(new) {
                Some(new) => peer.unstarted.push_shared(new),
                None => {
                    self.waiting_shared.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if self.phase() == Phase::Ended {
            self.discard_unstarted(peer);
        }
    }

    /// The same, from the queue of any worker but `index`, which is the one that asks.
    /// It comes with the number of that worker.
    pub(crate) fn steal_shared(&self, index: usize) -> Option<(usize, Unstarted)> {
        if !self.has_shared() {
            return None;
        }
        let count = self.peers.len();
        let others = (1..count).map(|offset| (index + offset) % count);
        let others = others.filter(|&index| !self.peers[index].holds_shared());
        let mut taken = others.map(|index| (index, self.take_shared(index)));
        taken.find_map(|(index, new)| Some((index, new?)))
    }

    /// Wakes a sleeping worker that is none of these two, if there is one: of some, the one where
    /// fewest live.
    #[cold]
    pub(crate) fn wake_one(&self, except: usize, nor: usize) {
        if !self.idle.has_sleepers() {
            return;
        }
        let count = self.peers.len();
        let others = (1..count).map(|offset| (except + count - offset) % count);
        let others = others
            .filter(|&index| index != nor)
            .map(|index| &self.peers[index]);
        let sleeping = others
            .filter(|peer| peer.remote.notifier.is_asleep())
            .take(8);
        let best = sleeping.min_by_key(|peer| peer.residents());
        // If that one has been woken by somebody else meanwhile, it will look.
        if let Some(peer) = best {
            peer.remote.notifier.wake();
        }
    }

    /// How many workers other than `except` sleep, wake up or look for work; no more than `most`
    /// are counted.
    pub(crate) fn idle_workers(&self, except: usize, most: usize) -> usize {
        let others = self.peers.iter().enumerate();
        let idle = others.filter(|&(index, peer)| index != except && peer.is_idle());
        idle.take(most).count()
    }

    /// A thread from outside, of the site `key`. Where it would be the spawner's worker's it goes
    /// to a sleeping one, if there is one, else where fewer live.
    pub(crate) fn push_external(&self, unstarted: Unstarted, key: u64) {
        self.external.fetch_add(1, Ordering::Release);
        let count = self.peers.len();
        if count == 1 {
            return self.push_to(0, unstarted);
        }
        let (site, record) = self.sites.find(key);
        unstarted.0.origin.set_site(site);
        let is_first = record.is_unseen();
        if is_first {
            self.sites.note(site, |record| record.spawned_by(count));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let some = || (0..count).map(|offset| (turn + offset) % count);
        let asleep = some().find(|&index| self.peers[index].remote.notifier.is_asleep());
        let fewer = || self.emptier_of_two(clock::now(), |peer| (peer.live(), 0));
        match record.conduct() {
            Conduct::Short => self.push_to(asleep.unwrap_or_else(fewer), unstarted),
            conduct if conduct == Conduct::Computes || is_first => {
                // Any queue but that of the worker that is to start it.
                let idle = asleep.or_else(|| some().find(|&index| self.peers[index].is_idle()));
                self.push_shared((idle.unwrap_or(turn) + 1) % count, unstarted);
            }
            _ => {
                let emptiest = some()
                    .take(8)
                    .min_by_key(|&index| self.peers[index].residents());
                self.push_placed(emptiest.unwrap_or(0), unstarted);
            }
        }
    }

    /// Hands a thread that is to stay there to the worker `index`, and wakes it.
    pub(crate) fn push_placed(&self, index: usize, unstarted: Unstarted) {
        unstarted.0.origin.set_placed();
        self.peers[index].placed.fetch_add(1, Ordering::Relaxed);
        self.push_to(index, unstarted);
    }

    /// Hands a thread to the worker `index`, which alone may start it.
    pub(crate) fn push_fixed(&self, index: usize, unstarted: Unstarted) {
        let peer = &self.peers[index];
        if self.phase() == Phase::Abandoned {
            return self.discard(peer, unstarted);
        }
        peer.unstarted.push_fixed(unstarted);
        peer.remote.notifier.wake();
        if self.phase() == Phase::Ended {
            self.discard_unstarted(peer);
        }
    }
}
