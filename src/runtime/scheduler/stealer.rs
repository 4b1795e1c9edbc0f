//! The stealer: a sleeping worker that looks up from time to time for threads that wait too long to
//! be started on another worker, so that a spawn need not wake anybody. Who is it, and that
//! somebody is, `idle.rs` says.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use super::shared::{Shared, WorkerShared};
use crate::sys::clock::{NEVER, Tick};

/// How long a thread may wait to be started before another worker takes it: about what waking one
/// costs.
const STEAL_AFTER: Tick = 50_000;
/// The same for one that was placed there: no moving it later, so the count of each worker is worth
/// a delay. Longer than the system keeps a worker from its core for another process, and than a
/// burst of connections takes to accept.
const STEAL_PLACED_AFTER: Tick = 10_000_000;
/// So many unstarted threads are worth a second worker at once.
const STEAL_THRESHOLD: usize = 64;
const MAX_NAP: Tick = 2_000_000;
/// A stealer that has seen nothing for so long lies down.
const MAX_QUIET: Tick = 20_000_000;

/// A worker that always has something to run looks this often for workers that do not get to their
/// threads.
const RESCUE_EVERY: Tick = 5_000_000;

/// What a worker remembers while it is the stealer.
struct Observations {
    /// Per peer with a queue: how many it had started, and when we saw that first.
    seen: Box<[Option<(usize, Tick)>]>,
    looked: Tick,
    nap: Tick,
    quiet: Tick,
    rescued: Tick,
}

/// A worker's part in it.
pub(super) struct Stealer {
    index: usize,
    is_active: Cell<bool>,
    observed: RefCell<Observations>,
}

impl Stealer {
    pub(super) fn new(index: usize, peers: usize) -> Stealer {
        Stealer {
            index,
            is_active: Cell::new(false),
            observed: RefCell::new(Observations {
                seen: vec![None; peers].into_boxed_slice(),
                looked: 0,
                nap: STEAL_AFTER,
                quiet: 0,
                rescued: 0,
            }),
        }
    }

    /// Whether this worker is the stealer.
    pub(super) fn is_active(&self) -> bool {
        self.is_active.get()
    }

    /// Looks whether threads wait too long to be started elsewhere, and takes half of those that
    /// do. Gives how long this worker may sleep: `NEVER` unless it is the stealer, 0 if it took
    /// some.
    ///
    /// While one worker is awake and others sleep, the first to be roused by a spawn becomes the
    /// stealer: it looks up every 50 µs while there are queues, ever more rarely when there are
    /// none, and lies down after 20 ms without any. A queue is old if its worker has started
    /// nothing between two looks. That a queue of threads that were placed there is old takes
    /// longer, and no length of it matters.
    pub(super) fn check_queues(&self, shared: &Shared, now: Tick) -> Tick {
        if shared.peers.len() == 1 {
            return NEVER;
        }
        if !self.is_active.get() {
            if !self.others_have_unstarted(shared) || !shared.idle.try_become_stealer() {
                return NEVER;
            }
            self.is_active.set(true);
            let mut observed = self.observed.borrow_mut();
            observed.seen.fill(None);
            observed.nap = STEAL_AFTER;
            observed.quiet = 0;
            observed.looked = now;
        }
        let mut observed = self.observed.borrow_mut();
        let since = now.saturating_sub(observed.looked);
        let (mut queues, mut placed_unstarted) = (false, false);
        let mut taken = 0;
        for (index, peer) in shared.peers.iter().enumerate() {
            let seen = &mut observed.seen[index];
            let waiting = peer.unstarted.stealable();
            if index == self.index || waiting == 0 {
                *seen = None;
                continue;
            }
            let started = peer.started.load(Ordering::Relaxed);
            let first = match *seen {
                Some((then, first)) if then == started => first,
                _ => now,
            };
            *seen = Some((started, first));
            let age = now.saturating_sub(first);
            let movable = waiting.saturating_sub(peer.placed_unstarted());
            if age >= STEAL_PLACED_AFTER {
                taken += self.steal(shared, peer, waiting.div_ceil(2));
            } else if movable >= STEAL_THRESHOLD || age >= STEAL_AFTER && movable > 0 {
                taken += self.steal(shared, peer, movable.div_ceil(2));
            }
            queues |= movable > 0;
            placed_unstarted |= movable == 0;
        }
        if since >= STEAL_AFTER {
            observed.looked = now;
        }
        if taken > 0 {
            drop(observed);
            self.wake_successor(shared);
            return 0;
        }
        if queues {
            observed.quiet = 0;
            observed.nap = STEAL_AFTER;
        } else {
            observed.quiet = if placed_unstarted {
                0
            } else {
                observed.quiet + since
            };
            observed.nap = (observed.nap * 2).min(MAX_NAP);
            if observed.quiet > MAX_QUIET {
                self.stop_stealing(shared);
                // A spawner that saw the stealer up has not roused anybody: look once more.
                if self.others_have_unstarted(shared) && shared.idle.try_become_stealer() {
                    self.is_active.set(true);
                    observed.quiet = 0;
                    observed.nap = STEAL_AFTER;
                    return STEAL_AFTER;
                }
                return NEVER;
            }
        }
        observed.nap
    }

    /// What a worker does now and then that always has something to run, because perhaps no worker
    /// sleeps: takes some of the threads of a worker that has started nothing for long.
    pub(super) fn rescue(&self, shared: &Shared, now: Tick) {
        let mut observed = self.observed.borrow_mut();
        if now.saturating_sub(observed.rescued) < RESCUE_EVERY || shared.peers.len() == 1 {
            return;
        }
        observed.rescued = now;
        for (index, peer) in shared.peers.iter().enumerate() {
            let seen = &mut observed.seen[index];
            let waiting = peer.unstarted.stealable();
            let started = peer.started.load(Ordering::Relaxed);
            if index == self.index || waiting + peer.unstarted.shared() == 0 {
                *seen = None;
                continue;
            }
            match *seen {
                Some((then, first)) if then == started => {
                    if now.saturating_sub(first) >= STEAL_PLACED_AFTER {
                        self.steal(shared, peer, waiting.div_ceil(2));
                        if let Some(new) = shared.take_shared(index) {
                            shared.peers[self.index].unstarted.push(new);
                        }
                    }
                }
                _ => *seen = Some((started, now)),
            }
        }
    }

    /// The stealer goes to work: if there is more than it took, somebody else has to look.
    pub(super) fn wake_successor(&self, shared: &Shared) {
        self.stop_stealing(shared);
        if self.others_have_unstarted(shared) || shared.peers[self.index].unstarted.stealable() > 1
        {
            shared.wake_worker(self.index);
        }
    }

    pub(super) fn stop_stealing(&self, shared: &Shared) {
        self.is_active.set(false);
        shared.idle.stop_stealing();
    }

    fn others_have_unstarted(&self, shared: &Shared) -> bool {
        let others = shared.peers.iter().enumerate();
        others
            .filter(|&(index, _)| index != self.index)
            .any(|(_, peer)| !peer.unstarted.has_none_to_steal())
    }

    fn steal(&self, shared: &Shared, victim: &WorkerShared, most: usize) -> usize {
        for taken in 0..most {
            match victim.unstarted.take() {
                Some(new) => {
                    let peer = &shared.peers[self.index];
                    if new.0.origin.is_placed() {
                        victim.placed.fetch_sub(1, Ordering::Relaxed);
                        peer.placed.fetch_add(1, Ordering::Relaxed);
                    }
                    // Behind what is pushed here meanwhile, which is nothing: a stealer sleeps.
                    peer.unstarted.push(new);
                }
                None => return taken,
            }
        }
        most
    }
}
