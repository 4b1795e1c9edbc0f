//! Counts the sleeping workers and marks the stealer, so that other workers notice a spawn although
//! not every spawn wakes one.
//!
//! A spawner:
//!
//! 1. pushes an unstarted thread to its own queue, then issues a full fence;
//! 2. if a worker sleeps and there is no active stealer, wakes one sleeper through its notifier
//!    ([`Idle::should_wake`]).
//!
//! A worker that goes to sleep:
//!
//! 3. counts itself ([`Idle::enter`]) and prepares its notifier (which fences);
//! 4. looks at the queues of the others. If one has a thread, the worker becomes the stealer,
//!    unless there is one already ([`Idle::try_become_stealer`]), and sleeps for a short time only;
//!    otherwise it sleeps until its notifier wakes it, and looks again.
//!
//! A stealer that has seen no unstarted thread for long:
//!
//! 5. clears the stealer mark, fences ([`Idle::stop_stealing`]), and looks once more.
//!
//! Either the spawner sees the sleeper (2 sees 3) or the sleeper sees the queue (4 sees 1); and
//! either the spawner sees that there is no active stealer (2 sees 5) or the stealer sees the queue
//! (5 sees 1). So while there is an unstarted thread in the queue of an awake worker and another
//! worker sleeps, some worker looks at that queue.

use crate::shim::{AtomicBool, AtomicUsize, Ordering, fence};

/// The idle state of one runtime.
#[derive(Debug)]
pub(crate) struct Idle {
    asleep: AtomicUsize,
    stealer: AtomicBool,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle {
            asleep: AtomicUsize::new(0),
            stealer: AtomicBool::new(false),
        }
    }

    /// Returns whether the spawner has to wake a worker: step 2, after the push of step 1.
    #[inline]
    pub(crate) fn should_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) > 0 && !self.stealer.load(Ordering::Relaxed)
    }

    /// Returns whether a worker sleeps. Called after a push to a queue that every worker checks
    /// before it sleeps.
    #[inline]
    pub(crate) fn has_sleepers(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) > 0
    }

    /// Counts the calling worker as asleep: step 3, before the notifier is prepared.
    pub(crate) fn enter(&self) {
        self.asleep.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the calling worker as awake again.
    pub(crate) fn leave(&self) {
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tries to make the calling worker the stealer: step 4. Returns true if it is the stealer now.
    pub(crate) fn try_become_stealer(&self) -> bool {
        !self.stealer.swap(true, Ordering::Relaxed)
    }

    /// Clears the stealer mark: step 5. The caller was the stealer, and must look once more.
    pub(crate) fn stop_stealing(&self) {
        self.stealer.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::green::context::remote_queue::Notifier;
    use crate::green::context::remote_queue::model::Flag;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        idle: Idle,
        notifier: Notifier<Flag>,
        queue: AtomicUsize,
    }

    impl World {
        fn spawn(&self) {
            // The real queue is linearisable. This one orders nothing else, so that the model tests
            // the fences alone.
            self.queue.fetch_add(1, Ordering::Relaxed);
            if self.idle.should_wake() {
                self.notifier.wake();
            }
        }

        fn has_queue(&self) -> bool {
            self.queue.load(Ordering::Relaxed) > 0
        }

        /// Sleeps until it has seen the queue. A spawn that no worker sees is a deadlock, which
        /// loom reports.
        fn sleep_until_seen(&self, wakeup: &Flag) {
            loop {
                self.idle.enter();
                self.notifier.prepare();
                let seen = self.has_queue();
                if !seen {
                    wakeup.wait();
                }
                self.notifier.awake();
                self.idle.leave();
                if seen || self.has_queue() {
                    return;
                }
            }
        }
    }

    fn world() -> (Arc<World>, Flag) {
        let wakeup = Flag::new();
        let world = Arc::new(World {
            idle: Idle::new(),
            notifier: Notifier::new(Some(wakeup.clone())),
            queue: AtomicUsize::new(0),
        });
        (world, wakeup)
    }

    #[test]
    fn loom_an_unstarted_thread_is_seen() {
        loom::model(|| {
            let (world, wakeup) = world();
            let spawner = world.clone();
            let spawner = thread::spawn(move || spawner.spawn());
            world.sleep_until_seen(&wakeup);
            spawner.join().unwrap();
        });
    }

    /// Follows `Shared::push_shared` and `WorkerLoop::take_shared`: `queue` is the count of shared
    /// threads. The spawner leaves its thread to the sleeper; whether there is an active stealer
    /// does not matter.
    #[test]
    fn loom_a_shared_thread_is_taken() {
        loom::model(|| {
            let (world, wakeup) = world();
            // This stealer would not look for the shared thread.
            assert!(world.idle.try_become_stealer());
            let spawner = world.clone();
            let spawner = thread::spawn(move || {
                spawner.queue.fetch_add(1, Ordering::Relaxed);
                if spawner.idle.has_sleepers() {
                    spawner.notifier.wake();
                }
            });
            world.sleep_until_seen(&wakeup);
            spawner.join().unwrap();
        });
    }

    /// Two workers are asleep or about to sleep, and a worker that takes a shared thread wakes the
    /// other worker for the next one.
    #[test]
    fn loom_taker_of_a_shared_thread_wakes_the_next_worker() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let wakeups = [Flag::new(), Flag::new()];
            let idle = Arc::new((
                Idle::new(),
                [
                    Notifier::new(Some(wakeups[0].clone())),
                    Notifier::new(Some(wakeups[1].clone())),
                ],
                AtomicUsize::new(0),
            ));
            let wake_other = |world: &(Idle, [Notifier<Flag>; 2], AtomicUsize), than: usize| {
                if world.0.has_sleepers() {
                    for (index, notifier) in world.1.iter().enumerate() {
                        if index != than && notifier.wake() {
                            return;
                        }
                    }
                }
            };
            let workers = [0, 1].map(|index| {
                let (world, wakeup) = (idle.clone(), wakeups[index].clone());
                thread::spawn(move || {
                    // Each worker takes one thread and then computes forever, so both workers have
                    // to be woken.
                    loop {
                        let take = |n: usize| n.checked_sub(1);
                        if let Ok(before) =
                            world
                                .2
                                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                        {
                            if before > 1 {
                                wake_other(&world, index);
                            }
                            return;
                        }
                        world.0.enter();
                        world.1[index].prepare();
                        if world.2.load(Ordering::Relaxed) == 0 {
                            wakeup.wait();
                        }
                        world.1[index].awake();
                        world.0.leave();
                    }
                })
            });
            for _ in 0..2 {
                idle.2.fetch_add(1, Ordering::Relaxed);
                wake_other(&idle, 2);
            }
            for worker in workers {
                worker.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_stealer_that_stops_leaves_no_thread_behind() {
        loom::model(|| {
            let (world, wakeup) = world();
            assert!(world.idle.try_become_stealer());
            let spawner = world.clone();
            let spawner = thread::spawn(move || spawner.spawn());
            // Follows `WorkerLoop::park_worker` and `check_queues`: the stealer stops stealing when
            // it counts as asleep and its notifier is prepared.
            world.idle.enter();
            world.notifier.prepare();
            world.idle.stop_stealing();
            if !world.has_queue() {
                wakeup.wait();
            }
            world.notifier.awake();
            world.idle.leave();
            assert!(world.has_queue());
            spawner.join().unwrap();
        });
    }
}
