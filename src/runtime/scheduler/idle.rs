//! Who sleeps, and who looks up from time to time: how a spawn is noticed by other workers without waking
//! one each time.
//!
//! A spawner:
//!
//! 1. pushes an unstarted thread to its own queue, then a full fence;
//! 2. if somebody sleeps and no sentinel is up, rings one sleeper's bell ([`Idle::should_rouse`]).
//!
//! A worker that goes to sleep:
//!
//! 3. counts itself ([`Idle::enter`]), prepares its bell (which fences);
//! 4. looks at the others' queues. If there is something, it becomes the sentinel, unless there is one
//!    ([`Idle::stand_up`]), and sleeps for a nap only; else it sleeps until its bell rings, and looks again.
//!
//! A sentinel that has seen nothing for long:
//!
//! 5. takes its mark away, fences ([`Idle::lie_down`]), and looks once more.
//!
//! Either the spawner sees the sleeper (2 sees 3) or the sleeper sees the queue (4 sees 1); and either the
//! spawner sees that no sentinel is up (2 sees 5) or the sentinel sees the queue (5 sees 1). So while there
//! is an unstarted thread in an awake worker's queue and a worker that sleeps, somebody looks.

use crate::shim::{AtomicBool, AtomicUsize, Ordering, fence};

/// One a runtime.
#[derive(Debug)]
pub(crate) struct Idle {
    asleep: AtomicUsize,
    sentinel: AtomicBool,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle {
            asleep: AtomicUsize::new(0),
            sentinel: AtomicBool::new(false),
        }
    }

    /// Step 2, after the push of step 1.
    #[inline]
    pub(crate) fn should_rouse(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) > 0 && !self.sentinel.load(Ordering::Relaxed)
    }

    /// Whether somebody sleeps, after something was pushed that every worker looks at before it sleeps.
    #[inline]
    pub(crate) fn has_sleepers(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) > 0
    }

    /// Step 3, before the bell is prepared.
    pub(crate) fn enter(&self) {
        self.asleep.fetch_add(1, Ordering::Relaxed);
    }

    /// Awake again.
    pub(crate) fn leave(&self) {
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Step 4. True: the caller is the sentinel now.
    pub(crate) fn stand_up(&self) -> bool {
        !self.sentinel.swap(true, Ordering::Relaxed)
    }

    /// Step 5; the caller was the sentinel, and looks once more.
    pub(crate) fn lie_down(&self) {
        self.sentinel.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::green::context::mailbox::Bell;
    use crate::green::context::mailbox::model::Flag;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        idle: Idle,
        bell: Bell<Flag>,
        queue: AtomicUsize,
    }

    impl World {
        fn spawn(&self) {
            // The queue is a linearisable one; that it orders nothing else is the point of the fences.
            self.queue.fetch_add(1, Ordering::Relaxed);
            if self.idle.should_rouse() {
                self.bell.ring();
            }
        }

        fn has_queue(&self) -> bool {
            self.queue.load(Ordering::Relaxed) > 0
        }

        /// Sleeps until it has seen the queue: a spawn that nobody sees is a deadlock, which loom reports.
        fn sleep_until_seen(&self, line: &Flag) {
            loop {
                self.idle.enter();
                self.bell.prepare();
                let seen = self.has_queue();
                if !seen {
                    line.wait();
                }
                self.bell.awake();
                self.idle.leave();
                if seen || self.has_queue() {
                    return;
                }
            }
        }
    }

    fn world() -> (Arc<World>, Flag) {
        let line = Flag::new();
        let world = Arc::new(World {
            idle: Idle::new(),
            bell: Bell::new(Some(line.clone())),
            queue: AtomicUsize::new(0),
        });
        (world, line)
    }

    #[test]
    fn loom_an_unstarted_thread_is_seen() {
        loom::model(|| {
            let (world, line) = world();
            let spawner = world.clone();
            let spawner = thread::spawn(move || spawner.spawn());
            world.sleep_until_seen(&line);
            spawner.join().unwrap();
        });
    }

    /// As `Shared::push_shared` and `Worker::take_shared` do it: `queue` is the count of shared threads. The spawner leaves its
    /// thread to the sleeper; whether a sentinel is up does not matter.
    #[test]
    fn loom_a_shared_thread_is_taken() {
        loom::model(|| {
            let (world, line) = world();
            // A sentinel that would not look for it.
            assert!(world.idle.stand_up());
            let spawner = world.clone();
            let spawner = thread::spawn(move || {
                spawner.queue.fetch_add(1, Ordering::Relaxed);
                if spawner.idle.has_sleepers() {
                    spawner.bell.ring();
                }
            });
            world.sleep_until_seen(&line);
            spawner.join().unwrap();
        });
    }

    /// Two workers are asleep or about to be, and one that takes a shared thread wakes the other for the next one.
    #[test]
    fn loom_who_takes_a_shared_thread_wakes_another_for_the_next() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let lines = [Flag::new(), Flag::new()];
            let idle = Arc::new((
                Idle::new(),
                [
                    Bell::new(Some(lines[0].clone())),
                    Bell::new(Some(lines[1].clone())),
                ],
                AtomicUsize::new(0),
            ));
            let wake_other = |world: &(Idle, [Bell<Flag>; 2], AtomicUsize), than: usize| {
                if world.0.has_sleepers() {
                    for (index, bell) in world.1.iter().enumerate() {
                        if index != than && bell.ring() {
                            return;
                        }
                    }
                }
            };
            let workers = [0, 1].map(|index| {
                let (world, line) = (idle.clone(), lines[index].clone());
                thread::spawn(move || {
                    // Each takes one, and then computes for good: so each has to be reached.
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
                            line.wait();
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
    fn loom_a_sentinel_that_lies_down_leaves_nothing_behind() {
        loom::model(|| {
            let (world, line) = world();
            assert!(world.idle.stand_up());
            let spawner = world.clone();
            let spawner = thread::spawn(move || spawner.spawn());
            // As `Worker::rest` and `keep_watch` do it: asleep, with the bell prepared, when it lies down.
            world.idle.enter();
            world.bell.prepare();
            world.idle.lie_down();
            if !world.has_queue() {
                line.wait();
            }
            world.bell.awake();
            world.idle.leave();
            assert!(world.has_queue());
            spawner.join().unwrap();
        });
    }
}
