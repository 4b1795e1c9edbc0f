//! The sentinel: a sleeping worker that looks up from time to time for threads that wait too long to be started
//! on another worker, so that a spawn need not wake anybody. Who is it, and that somebody is, `idle.rs` says.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use super::shared::{Peer, Shared};
use crate::sys::clock::{NEVER, Tick};

/// How long a thread may wait to be started before another worker takes it: about what waking one costs.
const AGED: Tick = 50_000;
/// The same for one that was placed there: no moving it later, so the count of each worker is worth a delay. Longer
/// than the system keeps a worker from its core for another process, and than a burst of connections takes to accept.
const PLACED_AGED: Tick = 10_000_000;
/// So many unstarted threads are worth a second worker at once.
const MANY: usize = 64;
const NAP_MAX: Tick = 2_000_000;
/// A sentinel that has seen nothing for so long lies down.
const QUIET_MAX: Tick = 20_000_000;

/// A worker that always has something to run looks this often for workers that do not get to their threads.
const RESCUE_EVERY: Tick = 5_000_000;

/// What a worker remembers while it is the sentinel.
struct Watch {
    /// Per peer with a queue: how many it had started, and when we saw that first.
    seen: Box<[Option<(usize, Tick)>]>,
    looked: Tick,
    nap: Tick,
    quiet: Tick,
    rescued: Tick,
}

/// A worker's part in it.
pub(super) struct Sentinel {
    index: usize,
    is_up: Cell<bool>,
    watch: RefCell<Watch>,
}

impl Sentinel {
    pub(super) fn new(index: usize, peers: usize) -> Sentinel {
        Sentinel {
            index,
            is_up: Cell::new(false),
            watch: RefCell::new(Watch {
                seen: vec![None; peers].into_boxed_slice(),
                looked: 0,
                nap: AGED,
                quiet: 0,
                rescued: 0,
            }),
        }
    }

    /// Whether this worker is the sentinel.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// Looks whether threads wait too long to be started elsewhere, and takes half of those that do. Gives
    /// how long this worker may sleep: `NEVER` unless it is the sentinel, 0 if it took some.
    ///
    /// While one worker is awake and others sleep, the first to be roused by a spawn becomes the sentinel: it
    /// looks up every 50 µs while there are queues, ever more rarely when there are none, and lies down after
    /// 20 ms without any. A queue is old if its worker has started nothing between two looks. That a queue of
    /// threads that were placed there is old takes longer, and no length of it matters.
    pub(super) fn keep_watch(&self, shared: &Shared, now: Tick) -> Tick {
        if shared.peers.len() == 1 {
            return NEVER;
        }
        if !self.is_up.get() {
            if !self.others_have_unstarted(shared) || !shared.idle.stand_up() {
                return NEVER;
            }
            self.is_up.set(true);
            let mut watch = self.watch.borrow_mut();
            watch.seen.fill(None);
            watch.nap = AGED;
            watch.quiet = 0;
            watch.looked = now;
        }
        let mut watch = self.watch.borrow_mut();
        let since = now.saturating_sub(watch.looked);
        let (mut queues, mut newcomers) = (false, false);
        let mut taken = 0;
        for (index, peer) in shared.peers.iter().enumerate() {
            let seen = &mut watch.seen[index];
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
            let movable = waiting.saturating_sub(peer.newcomers());
            if age >= PLACED_AGED {
                taken += self.steal(shared, peer, waiting.div_ceil(2));
            } else if movable >= MANY || age >= AGED && movable > 0 {
                taken += self.steal(shared, peer, movable.div_ceil(2));
            }
            queues |= movable > 0;
            newcomers |= movable == 0;
        }
        if since >= AGED {
            watch.looked = now;
        }
        if taken > 0 {
            drop(watch);
            self.hand_over(shared);
            return 0;
        }
        if queues {
            watch.quiet = 0;
            watch.nap = AGED;
        } else {
            watch.quiet = if newcomers { 0 } else { watch.quiet + since };
            watch.nap = (watch.nap * 2).min(NAP_MAX);
            if watch.quiet > QUIET_MAX {
                self.stand_down(shared);
                // A spawner that saw the sentinel up has not roused anybody: look once more.
                if self.others_have_unstarted(shared) && shared.idle.stand_up() {
                    self.is_up.set(true);
                    watch.quiet = 0;
                    watch.nap = AGED;
                    return AGED;
                }
                return NEVER;
            }
        }
        watch.nap
    }

    /// What a worker does now and then that always has something to run, because perhaps no worker sleeps: takes some of the
    /// threads of a worker that has started nothing for long.
    pub(super) fn rescue(&self, shared: &Shared, now: Tick) {
        let mut watch = self.watch.borrow_mut();
        if now.saturating_sub(watch.rescued) < RESCUE_EVERY || shared.peers.len() == 1 {
            return;
        }
        watch.rescued = now;
        for (index, peer) in shared.peers.iter().enumerate() {
            let seen = &mut watch.seen[index];
            let waiting = peer.unstarted.stealable();
            let started = peer.started.load(Ordering::Relaxed);
            if index == self.index || waiting + peer.unstarted.shared() == 0 {
                *seen = None;
                continue;
            }
            match *seen {
                Some((then, first)) if then == started => {
                    if now.saturating_sub(first) >= PLACED_AGED {
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

    /// The sentinel goes to work: if there is more than it took, somebody else has to look.
    pub(super) fn hand_over(&self, shared: &Shared) {
        self.stand_down(shared);
        if self.others_have_unstarted(shared) || shared.peers[self.index].unstarted.stealable() > 1
        {
            shared.rouse(self.index);
        }
    }

    pub(super) fn stand_down(&self, shared: &Shared) {
        self.is_up.set(false);
        shared.idle.lie_down();
    }

    fn others_have_unstarted(&self, shared: &Shared) -> bool {
        let others = shared.peers.iter().enumerate();
        others
            .filter(|&(index, _)| index != self.index)
            .any(|(_, peer)| !peer.unstarted.has_none_to_steal())
    }

    fn steal(&self, shared: &Shared, victim: &Peer, most: usize) -> usize {
        for taken in 0..most {
            match victim.unstarted.take() {
                Some(new) => {
                    let peer = &shared.peers[self.index];
                    if new.0.origin.is_placed() {
                        victim.placed.fetch_sub(1, Ordering::Relaxed);
                        peer.placed.fetch_add(1, Ordering::Relaxed);
                    }
                    // Behind what is pushed here meanwhile, which is nothing: a sentinel sleeps.
                    peer.unstarted.push(new);
                }
                None => return taken,
            }
        }
        most
    }
}
