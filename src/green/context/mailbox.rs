#![allow(unsafe_code, reason = "an intrusive list")]
//! How the rest of the world reaches a worker: an inbox of woken green threads, and a bell.
//!
//! The state of a green thread belongs to its worker, which changes it without atomics. A wake-up from
//! another OS thread is therefore a message: the green thread itself, linked into its worker's inbox.
//!
//! Posting a wake-up, from any thread that holds a reference to the green thread:
//!
//! 1. The poster has made true what the sleeper waits for.
//! 2. [`Mail::claim`]: `posted` goes from false to true. Whoever did that goes on; if it was true
//!    already a message is on its way, and step 6 of that one comes after step 1 of ours.
//! 3. The poster takes a reference for the message and [`Inbox::push`]es it.
//! 4. [`Bell::ring`]: a full fence, then the bell's state is read, and a sleeping worker is signalled.
//!
//! Collecting, the owner only:
//!
//! 5. [`Inbox::take`] takes the whole list at once.
//! 6. For each message, oldest first: `posted` goes from true to false, *then* the wake-up is
//!    delivered. A condition made true before a claim that failed is seen by the sleeper, because both
//!    touch `posted` by read-modify-write, and ours comes later.
//!
//! Falling asleep, the owner only:
//!
//! 7. [`Bell::prepare`]: the state becomes `ASLEEP`, then a full fence.
//! 8. Look at the inbox (and all else that could be work) once more. If there is something: [`Bell::awake`].
//! 9. Sleep until the bell's line is signalled or something else happens; then [`Bell::awake`].
//!
//! No wake-up is lost: steps 3 and 4, and 7 and 8, are a store, a fence and a load each, crosswise. At
//! least one of the two loads sees the other's store: the owner finds the message, or the poster finds
//! `ASLEEP` and signals. The line remembers a signal that comes before the sleep.
//!
//! M1. A message is linked into at most one inbox, once: only the winner of `claim` pushes it, and
//!     `posted` goes back to false only after it was unlinked.
//! M2. The poster's reference keeps the message alive until the owner has delivered it.

use std::ptr::{self, NonNull};

use crate::shim::{AtomicBool, AtomicPtr, AtomicU8, Mutex, Ordering, fence, lock};

/// The part of a green thread that an inbox links.
#[derive(Debug)]
pub(crate) struct Mail {
    posted: AtomicBool,
    next: AtomicPtr<Mail>,
}

impl Mail {
    pub(crate) fn new() -> Mail {
        Mail {
            posted: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Step 2. True: the caller must push.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        !self.posted.swap(true, Ordering::AcqRel)
    }
}

/// A list of messages, pushed by anyone, taken by the owner (a Treiber stack, emptied whole).
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<Mail>,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Step 3.
    ///
    /// # Safety
    ///
    /// The caller has won [`Mail::claim`] on `mail` and not pushed it yet (M1), and keeps it alive until
    /// it comes out of a [`Batch`] (M2).
    pub(crate) unsafe fn push(&self, mail: NonNull<Mail>) {
        // SAFETY: M2.
        let link = unsafe { &mail.as_ref().next };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire of `take`, which goes on to read the link.
            match self.head.compare_exchange_weak(
                head,
                mail.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether nothing is there. Step 8 calls it, after the fence of step 7.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Step 5: everything that is there, oldest first. The owner only.
    pub(crate) fn take(&self) -> Batch {
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while let Some(mail) = NonNull::new(newest) {
            // SAFETY: M2, and M1: what is linked here is linked nowhere else, so the link is ours.
            let link = unsafe { &mail.as_ref().next };
            newest = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = mail.as_ptr();
        }
        Batch { next: oldest }
    }
}

/// Messages taken from an inbox, oldest first. It unlinks and unclaims each as it gives it out.
#[derive(Debug)]
pub(crate) struct Batch {
    next: *mut Mail,
}

impl Iterator for Batch {
    type Item = NonNull<Mail>;

    fn next(&mut self) -> Option<NonNull<Mail>> {
        let mail = NonNull::new(self.next)?;
        // SAFETY: M2, the reference that came with the message is still there.
        let message = unsafe { mail.as_ref() };
        self.next = message.next.load(Ordering::Relaxed);
        // Step 6. From here on another poster may link it anew.
        message.posted.swap(false, Ordering::AcqRel);
        Some(mail)
    }
}

/// What a bell rings when its worker sleeps.
pub(crate) trait Line {
    /// Ends the worker's present sleep, or its next one.
    fn signal(&self);
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;

/// Tells a sleeping worker that there is something to do.
#[derive(Debug)]
pub(crate) struct Bell<L> {
    state: AtomicU8,
    // Taken away when the worker ends, so that a late ring cannot reach a descriptor that is not ours.
    line: Mutex<Option<L>>,
}

impl<L: Line> Bell<L> {
    pub(crate) fn new(line: Option<L>) -> Bell<L> {
        Bell {
            state: AtomicU8::new(AWAKE),
            line: Mutex::new(line),
        }
    }

    /// Puts a line in, or takes it away.
    pub(crate) fn set_line(&self, line: Option<L>) -> Option<L> {
        std::mem::replace(&mut *lock(&self.line), line)
    }

    /// Lets `f` see the line.
    pub(crate) fn with_line<R>(&self, f: impl FnOnce(Option<&L>) -> R) -> R {
        f(lock(&self.line).as_ref())
    }

    /// Step 4. True if this call has ended a sleep.
    #[inline]
    pub(crate) fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.state.load(Ordering::Relaxed) == ASLEEP && self.ring_slow()
    }

    #[cold]
    fn ring_slow(&self) -> bool {
        // Of several ringers one signals. Relaxed: the message itself travels through the inbox.
        if self
            .state
            .compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        if let Some(line) = &*lock(&self.line) {
            line.signal();
        }
        true
    }

    /// Step 7. The owner only; it must look once more, and call [`Bell::awake`] after the sleep.
    pub(crate) fn prepare(&self) {
        self.state.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Steps 8 and 9. The owner only.
    pub(crate) fn awake(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether the owner sleeps or is about to: a hint.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }
}

/// What the models of this protocol and of `runtime/idle.rs` ring.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use loom::sync::{Arc, Condvar, Mutex};

    /// A line as an eventfd registered edge-triggered is: it remembers one signal.
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

    impl super::Line for Flag {
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
        inbox: Inbox,
        bell: Bell<Flag>,
        mail: [Mail; 2],
        ready: [AtomicUsize; 2],
    }

    impl World {
        fn wake(&self, which: usize) {
            self.ready[which].fetch_add(1, Ordering::Relaxed);
            if self.mail[which].claim() {
                // SAFETY: claimed just now; `World` lives in an Arc until all threads have ended.
                unsafe { self.inbox.push(NonNull::from(&self.mail[which])) };
                self.bell.ring();
            }
        }
    }

    fn world(line: Flag) -> Arc<World> {
        Arc::new(World {
            inbox: Inbox::new(),
            bell: Bell::new(Some(line)),
            mail: [Mail::new(), Mail::new()],
            ready: [AtomicUsize::new(0), AtomicUsize::new(0)],
        })
    }

    /// The owner of a sleeper that waits until `ready[which]` reaches `goal[which]`: it looks at the
    /// condition only when a message says so. A lost wake-up is a deadlock, which loom reports.
    fn own(world: &World, line: &Flag, goal: [usize; 2]) {
        let mut seen = [0, 0];
        while seen != goal {
            if world.inbox.is_empty() {
                world.bell.prepare();
                if world.inbox.is_empty() {
                    line.wait();
                }
                world.bell.awake();
            }
            for mail in world.inbox.take() {
                let which = usize::from(mail == NonNull::from(&world.mail[1]));
                seen[which] = world.ready[which].load(Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let line = Flag::new();
            let world = world(line.clone());
            let other = world.clone();
            let poster = thread::spawn(move || other.wake(0));
            own(&world, &line, [1, 0]);
            poster.join().unwrap();
        });
    }

    #[test]
    fn loom_two_posters_of_one_sleeper() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let line = Flag::new();
            let world = world(line.clone());
            let posters = [0, 0].map(|which| {
                let world = world.clone();
                thread::spawn(move || world.wake(which))
            });
            own(&world, &line, [2, 0]);
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
            let line = Flag::new();
            let world = world(line.clone());
            let posters = [0, 1].map(|which| {
                let world = world.clone();
                thread::spawn(move || world.wake(which))
            });
            own(&world, &line, [1, 1]);
            for poster in posters {
                poster.join().unwrap();
            }
        });
    }
}
