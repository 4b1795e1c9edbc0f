//! The stealer: a sleeping worker that wakes now and then to take threads that wait too long to be
//! started on another worker, so that a spawn need not wake a worker each time. See `idle.rs` for
//! how the stealer is chosen and why one exists whenever it is needed.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use super::shared::{Shared, WorkerShared};
use crate::sys::clock::{NEVER, Tick};

/// How long a thread may wait to be started before another worker takes it: about what waking a
/// worker costs.
const STEAL_AFTER_NS: Tick = 50_000;
/// How long a thread that was placed on a worker may wait before another worker takes it. A started
/// thread cannot move later, so keeping the intended count of each worker is worth a delay. The
/// limit is longer than the system keeps a worker from its core for another process, and longer
/// than accepting a burst of connections takes.
const STEAL_PLACED_AFTER_NS: Tick = 10_000_000;
/// How many unstarted threads are worth a second worker at once.
const STEAL_THRESHOLD: usize = 64;
/// How many threads a stealer takes at once from a worker that still starts threads, at most. It
/// takes the oldest, and in a tree of spawners these have the most work below them: half of a long
/// queue would be far more than half of the work, and the two workers would take it from each other
/// alternately.
const MAX_STOLEN: usize = 256;
const MAX_NAP_NS: Tick = 2_000_000;
/// A stealer that has seen no queue for this long stops stealing.
const MAX_QUIET_NS: Tick = 20_000_000;

/// How often a worker that always has something to run looks for workers that do not get to start
/// their threads.
const RESCUE_EVERY_NS: Tick = 5_000_000;

/// State that a worker keeps while it is the stealer.
struct Observations {
    /// Per worker with a queue: how many threads it had started, and when this worker first saw
    /// that count.
    seen: Box<[Option<(usize, Tick)>]>,
    looked: Tick,
    nap: Tick,
    quiet: Tick,
    rescued: Tick,
}

/// The stealer state of one worker.
pub(super) struct Stealer {
    index: usize,
    is_active: Cell<bool>,
    observed: RefCell<Observations>,
}

impl Stealer {
    pub(super) fn new(index: usize, workers: usize) -> Stealer {
        Stealer {
            index,
            is_active: Cell::new(false),
            observed: RefCell::new(Observations {
                seen: vec![None; workers].into_boxed_slice(),
                looked: 0,
                nap: STEAL_AFTER_NS,
                quiet: 0,
                rescued: 0,
            }),
        }
    }

    /// Returns whether this worker is the stealer.
    pub(super) fn is_active(&self) -> bool {
        self.is_active.get()
    }

    /// Takes half of the threads that wait too long to be started on other workers. Returns how
    /// long this worker may sleep: `NEVER` unless it is the stealer, 0 if it took some.
    ///
    /// While one worker is awake and others sleep, the first worker that a spawn wakes becomes the
    /// stealer: it looks every 50 µs while there are queues, ever more rarely when there are none,
    /// and stops after 20 ms without any. A queue is old if its worker has started no thread
    /// between two looks. For a queue of placed threads that takes longer, and its length does not
    /// matter.
    pub(super) fn check_queues(&self, shared: &Shared, now: Tick) -> Tick {
        if shared.workers.len() == 1 {
            return NEVER;
        }
        if !self.is_active.get() {
            if !self.others_have_unstarted(shared) || !shared.idle.try_become_stealer() {
                return NEVER;
            }
            self.is_active.set(true);
            let mut observed = self.observed.borrow_mut();
            observed.seen.fill(None);
            observed.nap = STEAL_AFTER_NS;
            observed.quiet = 0;
            observed.looked = now;
        }
        let mut observed = self.observed.borrow_mut();
        let since = now.saturating_sub(observed.looked);
        let (mut queues, mut placed_unstarted) = (false, false);
        let mut taken = 0;
        for (index, worker) in shared.workers.iter().enumerate() {
            let seen = &mut observed.seen[index];
            let waiting = worker.unstarted.stealable();
            if index == self.index || waiting == 0 {
                *seen = None;
                continue;
            }
            let started = worker.started.load(Ordering::Relaxed);
            let first = match *seen {
                Some((then, first)) if then == started => first,
                _ => now,
            };
            *seen = Some((started, first));
            let age = now.saturating_sub(first);
            let movable = waiting.saturating_sub(worker.placed_unstarted());
            taken += self.steal(shared, worker, count_to_steal(waiting, movable, age));
            queues |= movable > 0;
            placed_unstarted |= movable == 0;
        }
        if since >= STEAL_AFTER_NS {
            observed.looked = now;
        }
        if taken > 0 {
            // It remains the stealer until it knows what it runs next: events may come first.
            return 0;
        }
        if queues {
            observed.quiet = 0;
            observed.nap = STEAL_AFTER_NS;
        } else {
            observed.quiet = if placed_unstarted {
                0
            } else {
                observed.quiet + since
            };
            observed.nap = (observed.nap * 2).min(MAX_NAP_NS);
            if observed.quiet > MAX_QUIET_NS {
                self.stop_stealing(shared);
                // A spawner that saw the active stealer has not woken any worker: look once more.
                if self.others_have_unstarted(shared) && shared.idle.try_become_stealer() {
                    self.is_active.set(true);
                    observed.quiet = 0;
                    observed.nap = STEAL_AFTER_NS;
                    return STEAL_AFTER_NS;
                }
                return NEVER;
            }
        }
        observed.nap
    }

    /// Takes some of the threads of a worker that has started none for long. Called now and then by
    /// a worker that always has something to run, because perhaps no worker sleeps and could be the
    /// stealer.
    pub(super) fn rescue(&self, shared: &Shared, now: Tick) {
        let mut observed = self.observed.borrow_mut();
        if now.saturating_sub(observed.rescued) < RESCUE_EVERY_NS || shared.workers.len() == 1 {
            return;
        }
        observed.rescued = now;
        for (index, worker) in shared.workers.iter().enumerate() {
            let seen = &mut observed.seen[index];
            let waiting = worker.unstarted.stealable();
            let started = worker.started.load(Ordering::Relaxed);
            if index == self.index || waiting + worker.unstarted.shared() == 0 {
                *seen = None;
                continue;
            }
            match *seen {
                Some((then, first)) if then == started => {
                    if now.saturating_sub(first) >= STEAL_PLACED_AFTER_NS {
                        self.steal(shared, worker, waiting.div_ceil(2));
                        if let Some(new) = shared.take_shared(index) {
                            shared.workers[self.index].stats.steals.add(1);
                            shared.workers[self.index].unstarted.push(new);
                        }
                    }
                }
                _ => *seen = Some((started, now)),
            }
        }
    }

    /// Stops stealing because this worker now has work, and wakes another worker if there is more
    /// than it runs next: one of its `ready` threads, or else the first of its own queue. Its step
    /// may be long.
    pub(super) fn wake_successor(&self, shared: &Shared, ready: usize) {
        self.stop_stealing(shared);
        let runs_next = usize::from(ready == 0);
        if self.others_have_unstarted(shared)
            || shared.workers[self.index].unstarted.stealable() > runs_next
        {
            shared.wake_worker(self.index);
        }
    }

    pub(super) fn stop_stealing(&self, shared: &Shared) {
        self.is_active.set(false);
        shared.idle.stop_stealing();
    }

    fn others_have_unstarted(&self, shared: &Shared) -> bool {
        let others = shared.workers.iter().enumerate();
        others
            .filter(|&(index, _)| index != self.index)
            .any(|(_, worker)| !worker.unstarted.has_none_to_steal())
    }

    fn steal(&self, shared: &Shared, victim: &WorkerShared, max_count: usize) -> usize {
        let stats = &shared.workers[self.index].stats;
        for taken in 0..max_count {
            match victim.unstarted.take() {
                Some(new) => {
                    stats.steals.add(1);
                    let worker = &shared.workers[self.index];
                    if new.0.origin.is_placed() {
                        victim.placed.fetch_sub(1, Ordering::Relaxed);
                        worker.placed.fetch_add(1, Ordering::Relaxed);
                    }
                    // The order does not matter: a stealer sleeps, so nothing else is pushed here
                    // meanwhile.
                    worker.unstarted.push(new);
                }
                None => return taken,
            }
        }
        max_count
    }
}

/// Returns how many threads to take from a worker where `waiting` have not been started, of which
/// `movable` were not placed there, and which has started none for `age`.
fn count_to_steal(waiting: usize, movable: usize, age: Tick) -> usize {
    if age >= STEAL_PLACED_AFTER_NS {
        // The worker is stuck, so none of them would start there.
        waiting.div_ceil(2)
    } else if movable >= STEAL_THRESHOLD || age >= STEAL_AFTER_NS {
        movable.div_ceil(2).min(MAX_STOLEN)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_a_stuck_worker_is_halved() {
        let count = 10 * MAX_STOLEN;
        for movable in [0, count] {
            let taken = count_to_steal(count, movable, STEAL_PLACED_AFTER_NS);
            assert_eq!(taken, count / 2);
        }
        assert_eq!(count_to_steal(count, count, STEAL_AFTER_NS), MAX_STOLEN);
        assert_eq!(count_to_steal(count, count, 0), MAX_STOLEN);
        assert_eq!(count_to_steal(count, 0, STEAL_AFTER_NS), 0);
        assert_eq!(count_to_steal(count, 3, STEAL_AFTER_NS), 2);
        assert_eq!(count_to_steal(count, 3, 0), 0);
    }
}
