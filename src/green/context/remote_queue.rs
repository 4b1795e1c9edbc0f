#![allow(unsafe_code, reason = "an intrusive list")]
//! How other OS threads reach a worker: a queue of woken green threads, and a notifier.
//!
//! The state of a green thread belongs to its worker, which changes it without atomics. A wake-up
//! from another OS thread is therefore a message: the wake node of the green thread, linked into
//! its worker's remote queue.
//!
//! Posting a wake-up, from any thread that holds a reference to the green thread:
//!
//! 1. The poster has made the waiter's condition true.
//! 2. [`WakeNode::claim`]: `posted` goes from false to true. The poster that changed it continues;
//!    if it was true already, a message is on its way, and step 6 of that one comes after step 1 of
//!    this one.
//! 3. The poster takes a reference for the message and [`RemoteQueue::push`]es it.
//! 4. [`Notifier::wake`]: a full fence, then the notifier's state is read, and a sleeping worker is
//!    signalled.
//!
//! Collecting, the owner only:
//!
//! 5. [`RemoteQueue::take`] takes the whole list at once.
//! 6. For each message, oldest first: `posted` goes from true to false, *then* the wake-up is
//!    delivered. A condition made true before a claim that failed is seen by the waiter, because
//!    both touch `posted` by read-modify-write, and the owner's comes later.
//!
//! Falling asleep, the owner only:
//!
//! 7. [`Notifier::prepare`]: the state becomes `ASLEEP`, then a full fence.
//! 8. Check the queue (and every other source of work) once more. If there is work:
//!    [`Notifier::awake`].
//! 9. Sleep until the notifier's wakeup is signalled or another event occurs; then
//!    [`Notifier::awake`].
//!
//! No wake-up is lost: steps 3 and 4, and 7 and 8, are a store, a fence and a load each, crosswise.
//! At least one of the two loads sees the other's store: the owner finds the message, or the poster
//! finds `ASLEEP` and signals. The wakeup remembers a signal that comes before the sleep.
//!
//! M1. A message is linked into at most one queue, once: only the winner of `claim` pushes it, and
//!     `posted` goes back to false only after it was unlinked.
//! M2. The poster's reference keeps the message alive until the owner has delivered it.

use std::ptr::{self, NonNull};

use crate::shim::{AtomicBool, AtomicPtr, AtomicU8, Mutex, Ordering, fence, lock};

/// The part of a green thread that a remote queue links.
#[derive(Debug)]
pub(crate) struct WakeNode {
    posted: AtomicBool,
    next: AtomicPtr<WakeNode>,
}

impl WakeNode {
    pub(crate) fn new() -> WakeNode {
        WakeNode {
            posted: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Claims the right to post (step 2). Returns true if the caller must push.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        !self.posted.swap(true, Ordering::AcqRel)
    }
}

/// A list of messages, pushed by any thread, taken by the owner (a Treiber stack, emptied whole).
#[derive(Debug)]
pub(crate) struct RemoteQueue {
    head: AtomicPtr<WakeNode>,
}

impl RemoteQueue {
    pub(crate) fn new() -> RemoteQueue {
        RemoteQueue {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Pushes a message (step 3).
    ///
    /// # Safety
    ///
    /// The caller has won [`WakeNode::claim`] on `wake_node` and not pushed it yet (M1), and keeps
    /// it alive until it comes out of a [`Batch`] (M2).
    pub(crate) unsafe fn push(&self, wake_node: NonNull<WakeNode>) {
        // SAFETY: M2.
        let link = unsafe { &wake_node.as_ref().next };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire of `take`, which then reads the link.
            match self.head.compare_exchange_weak(
                head,
                wake_node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Returns whether the queue is empty. Step 8 calls it, after the fence of step 7.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes all messages, oldest first (step 5). Called by the owner only.
    pub(crate) fn take(&self) -> Batch {
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while let Some(wake_node) = NonNull::new(newest) {
            // SAFETY: M2, and M1: a node linked here is linked nowhere else, so the link is the
            // owner's.
            let link = unsafe { &wake_node.as_ref().next };
            newest = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = wake_node.as_ptr();
        }
        Batch { next: oldest }
    }
}

/// Messages taken from a remote queue, oldest first. Yielding a message unlinks it and clears its
/// claim.
#[derive(Debug)]
pub(crate) struct Batch {
    next: *mut WakeNode,
}

impl Iterator for Batch {
    type Item = NonNull<WakeNode>;

    fn next(&mut self) -> Option<NonNull<WakeNode>> {
        let wake_node = NonNull::new(self.next)?;
        // SAFETY: M2, the reference that came with the message is still there.
        let message = unsafe { wake_node.as_ref() };
        self.next = message.next.load(Ordering::Relaxed);
        // Step 6. From here on another poster may link it again.
        message.posted.swap(false, Ordering::AcqRel);
        Some(wake_node)
    }
}

/// The mechanism with which a notifier wakes its sleeping worker.
pub(crate) trait Wakeup {
    /// Ends the worker's present sleep, or its next one.
    fn signal(&self);
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;

/// Wakes a sleeping worker.
#[derive(Debug)]
pub(crate) struct Notifier<L> {
    state: AtomicU8,
    // Taken away when the worker ends, so that a late wake-up cannot reach a descriptor that
    // belongs to other code.
    wakeup: Mutex<Option<L>>,
}

impl<L: Wakeup> Notifier<L> {
    pub(crate) fn new(wakeup: Option<L>) -> Notifier<L> {
        Notifier {
            state: AtomicU8::new(AWAKE),
            wakeup: Mutex::new(wakeup),
        }
    }

    /// Sets or removes the wakeup, and returns the previous one.
    pub(crate) fn set_wakeup(&self, wakeup: Option<L>) -> Option<L> {
        std::mem::replace(&mut *lock(&self.wakeup), wakeup)
    }

    /// Calls `f` with the wakeup.
    pub(crate) fn with_wakeup<R>(&self, f: impl FnOnce(Option<&L>) -> R) -> R {
        f(lock(&self.wakeup).as_ref())
    }

    /// Wakes the owner if it sleeps (step 4). Returns true if this call has ended a sleep.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.state.load(Ordering::Relaxed) == ASLEEP && self.wake_slow()
    }

    #[cold]
    fn wake_slow(&self) -> bool {
        // Of several concurrent callers one signals. Relaxed: the message itself travels through
        // the queue.
        if self
            .state
            .compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        if let Some(wakeup) = &*lock(&self.wakeup) {
            wakeup.signal();
        }
        true
    }

    /// Announces a sleep (step 7). The owner only; it must check for work once more, and call
    /// [`Notifier::awake`] after the sleep.
    pub(crate) fn prepare(&self) {
        self.state.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Ends the announced sleep (steps 8 and 9). Called by the owner only.
    pub(crate) fn awake(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Returns whether the owner sleeps or is about to: a hint.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }
}

/// The wakeup for the models of this protocol and of `runtime/scheduler/idle.rs`.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use loom::sync::{Arc, Condvar, Mutex};

    /// A wakeup that behaves like an eventfd registered edge-triggered: it remembers one signal.
    #[derive(Clone)]
    pub(crate) struct Flag(Arc<(Mutex<bool>, Condvar)>);

    impl Flag {
        pub(crate) fn new() -> Flag {
            Flag(Arc::new((Mutex::new(false), Condvar::new())))
        }

        pub(crate) fn wait(&self) {
            let mut set = self.0.0.lock().unwrap();
            while !*set {
                set = self.0.1.wait(set).unwrap();
            }
            *set = false;
        }
    }

    impl super::Wakeup for Flag {
        fn signal(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_one();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::model::Flag;
    use super::*;
    use crate::shim::AtomicUsize;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        queue: RemoteQueue,
        notifier: Notifier<Flag>,
        wake_node: [WakeNode; 2],
        ready: [AtomicUsize; 2],
    }

    impl World {
        fn wake(&self, which: usize) {
            self.ready[which].fetch_add(1, Ordering::Relaxed);
            if self.wake_node[which].claim() {
                // SAFETY: claimed just now; `World` lives in an Arc until all threads have ended.
                unsafe { self.queue.push(NonNull::from(&self.wake_node[which])) };
                self.notifier.wake();
            }
        }
    }

    fn world(wakeup: Flag) -> Arc<World> {
        Arc::new(World {
            queue: RemoteQueue::new(),
            notifier: Notifier::new(Some(wakeup)),
            wake_node: [WakeNode::new(), WakeNode::new()],
            ready: [AtomicUsize::new(0), AtomicUsize::new(0)],
        })
    }

    /// Runs the owner of two waiters until `ready` reaches `goal`: it reads a waiter's condition
    /// only when a message arrives. A lost wake-up is a deadlock, which loom reports.
    fn own(world: &World, wakeup: &Flag, goal: [usize; 2]) {
        let mut seen = [0, 0];
        while seen != goal {
            if world.queue.is_empty() {
                world.notifier.prepare();
                if world.queue.is_empty() {
                    wakeup.wait();
                }
                world.notifier.awake();
            }
            for wake_node in world.queue.take() {
                let which = usize::from(wake_node == NonNull::from(&world.wake_node[1]));
                seen[which] = world.ready[which].load(Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let wakeup = Flag::new();
            let world = world(wakeup.clone());
            let other = world.clone();
            let poster = thread::spawn(move || other.wake(0));
            own(&world, &wakeup, [1, 0]);
            poster.join().unwrap();
        });
    }

    #[test]
    fn loom_two_wakers_of_one_sleeper() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let wakeup = Flag::new();
            let world = world(wakeup.clone());
            let posters = [0, 0].map(|which| {
                let world = world.clone();
                thread::spawn(move || world.wake(which))
            });
            own(&world, &wakeup, [2, 0]);
            for poster in posters {
                poster.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_two_sleepers() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let wakeup = Flag::new();
            let world = world(wakeup.clone());
            let posters = [0, 1].map(|which| {
                let world = world.clone();
                thread::spawn(move || world.wake(which))
            });
            own(&world, &wakeup, [1, 1]);
            for poster in posters {
                poster.join().unwrap();
            }
        });
    }
}
