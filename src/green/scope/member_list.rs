#![allow(
    unsafe_code,
    reason = "a list through the control blocks of its threads"
)]
//! The threads of a scope that cancels them. Any thread may add to this list, sweep it, or cancel
//! its threads.
//!
//! ML1. A reference that was pushed on the [`RefStack`] belongs to the stack, and so does the link
//!      of its thread, until the one `take` that gets it; then both belong to the [`RefChain`]. A
//!      thread is on one stack at most, once.
//! ML2. A list is cancelled once: `cancelled` is set, *then* the listed threads are taken and
//!      cancelled. A thread is pushed before it can run, and *then* its spawner reads `cancelled`,
//!      and takes and cancels the listed threads if it is set. Push and take are both
//!      read-modify-writes of one word: either the take comes later, and gets the thread; or the
//!      push comes later, and then its thread sees `cancelled`. A sweep takes and pushes what it
//!      keeps, so the thread that sweeps reads `cancelled` afterwards, too.
//!
//! The models are `loom_each_listed_thread_is_cancelled_once` and
//! `loom_a_sweep_hides_no_thread_from_the_cancellation`.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use crate::shim::{AtomicBool, AtomicPtr, AtomicUsize, Cell, Ordering};

/// The number of listed threads before the first sweep for those that have ended.
const MIN_FULL: usize = if cfg!(loom) { 1 } else { 16 };

/// The link of a thread in the list of its scope.
pub(crate) type Link<T> = Cell<*mut T>;

/// A counted reference to a thread that can be listed.
pub(crate) trait Member: Sized {
    /// The object that the reference refers to.
    type Thread;

    /// Returns the address of the thread's control block. It represents the reference while that is
    /// not dropped.
    fn as_ptr(&self) -> *mut Self::Thread;

    /// Converts an address back into the reference.
    ///
    /// # Safety
    ///
    /// `address` came from [`Member::as_ptr`] of a reference that was not dropped, and is converted
    /// back once.
    unsafe fn from_ptr(address: NonNull<Self::Thread>) -> Self;

    /// Returns the thread's link (ML1).
    fn link(&self) -> &Link<Self::Thread>;

    fn has_ended(&self) -> bool;

    fn cancel(&self);
}

/// References to threads, linked through their control blocks, so that the stack needs no memory of
/// its own. Any thread may push one, or take all of them (a Treiber stack without a single-element
/// pop, so no thread reads a link that it does not own).
struct RefStack<M: Member>(AtomicPtr<M::Thread>);

impl<M: Member> fmt::Debug for RefStack<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The references may belong to another thread, so they are not read.
        f.debug_tuple("RefStack").finish_non_exhaustive()
    }
}

impl<M: Member> RefStack<M> {
    fn new() -> RefStack<M> {
        RefStack(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, member: M) {
        // It is not dropped here, because it belongs to the stack on success, and the loop ends
        // only then.
        let member = ManuallyDrop::new(member);
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            member.link().set(first);
            // Release: the thread that takes the reference sees the link. Acquire: ML2.
            match self.0.compare_exchange_weak(
                first,
                member.as_ptr(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => first = other,
            }
        }
    }

    /// Takes all references, the last one that was pushed first.
    fn take(&self) -> RefChain<M> {
        // Acquire: for the links and the data that they lead to. Release: ML2.
        RefChain(self.0.swap(ptr::null_mut(), Ordering::AcqRel), PhantomData)
    }
}

/// The references taken from a [`RefStack`]. They are dropped one after the other: a recursive drop
/// would need a stack as deep as the chain is long.
struct RefChain<M: Member>(*mut M::Thread, PhantomData<M>);

impl<M: Member> RefChain<M> {
    /// Reverses the chain.
    fn reversed(mut self) -> RefChain<M> {
        let mut reversed = RefChain(ptr::null_mut(), PhantomData);
        for member in &mut self {
            let member = ManuallyDrop::new(member);
            member.link().set(reversed.0);
            reversed.0 = member.as_ptr();
        }
        reversed
    }
}

impl<M: Member> Iterator for RefChain<M> {
    type Item = M;
    fn next(&mut self) -> Option<M> {
        let first = NonNull::new(self.0)?;
        // SAFETY: ML1: the reference belongs to the chain, which begins with the next one from here
        // on.
        let first = unsafe { M::from_ptr(first) };
        self.0 = first.link().replace(ptr::null_mut());
        Some(first)
    }
}

impl<M: Member> Drop for RefChain<M> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// The threads of a scope that may still run, and whether they are cancelled.
#[derive(Debug)]
pub(crate) struct MemberList<M: Member> {
    threads: RefStack<M>,
    cancelled: AtomicBool,
    /// The approximate number of threads listed since the last sweep: two spawners at once may
    /// count as one.
    listed: AtomicUsize,
    /// When `listed` exceeds this, threads that have ended are removed.
    full: AtomicUsize,
}

impl<M: Member> MemberList<M> {
    pub(crate) fn new() -> MemberList<M> {
        MemberList {
            threads: RefStack::new(),
            cancelled: AtomicBool::new(false),
            listed: AtomicUsize::new(0),
            full: AtomicUsize::new(MIN_FULL),
        }
    }

    /// Lists a thread that cannot run yet. Cancels the listed threads if the list is cancelled.
    pub(crate) fn list(&self, member: M) {
        self.threads.push(member);
        let listed = self.listed.load(Ordering::Relaxed) + 1;
        self.listed.store(listed, Ordering::Relaxed);
        if listed > self.full.load(Ordering::Relaxed) {
            self.sweep();
        }
        // ML2.
        if self.cancelled.load(Ordering::SeqCst) {
            self.cancel_listed();
        }
    }

    /// Removes threads that have ended. The caller reads `cancelled` afterwards (ML2).
    #[cold]
    fn sweep(&self) {
        self.listed.store(0, Ordering::Relaxed);
        let mut left = 0;
        for member in self.threads.take().reversed() {
            if !member.has_ended() {
                self.threads.push(member);
                left += 1;
            }
        }
        self.full.store(MIN_FULL.max(left), Ordering::Relaxed);
    }

    /// Marks the list as cancelled. Returns true on the first call; the caller then calls
    /// [`MemberList::cancel_listed`].
    pub(crate) fn mark_cancelled(&self) -> bool {
        !self.cancelled.swap(true, Ordering::SeqCst)
    }

    /// Cancels the listed threads, in the order in which they were listed.
    #[cold]
    pub(crate) fn cancel_listed(&self) {
        for member in self.threads.take().reversed() {
            member.cancel();
        }
    }

    /// Returns the flag that says whether the list is cancelled.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// Removes all threads.
    pub(crate) fn clear(&self) {
        drop(self.threads.take());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[derive(Debug)]
    struct Thread {
        link: Link<Thread>,
        ended: AtomicBool,
        cancels: AtomicUsize,
    }

    // SAFETY: the link has one owner (ML1); that is what the models check.
    unsafe impl Send for Thread {}
    // SAFETY: as above.
    unsafe impl Sync for Thread {}

    impl Member for Arc<Thread> {
        type Thread = Thread;
        fn as_ptr(&self) -> *mut Thread {
            Arc::as_ptr(self).cast_mut()
        }
        unsafe fn from_ptr(address: NonNull<Thread>) -> Arc<Thread> {
            // SAFETY: passed on to the caller.
            unsafe { Arc::from_raw(address.as_ptr()) }
        }
        fn link(&self) -> &Link<Thread> {
            &self.link
        }
        fn has_ended(&self) -> bool {
            self.ended.load(Ordering::Acquire)
        }
        fn cancel(&self) {
            self.cancels.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct World {
        list: MemberList<Arc<Thread>>,
        threads: Vec<Arc<Thread>>,
    }

    impl World {
        fn new(threads: usize) -> Arc<World> {
            let new = || Thread {
                link: Cell::new(ptr::null_mut()),
                ended: AtomicBool::new(false),
                cancels: AtomicUsize::new(0),
            };
            Arc::new(World {
                list: MemberList::new(),
                threads: (0..threads).map(|_| Arc::new(new())).collect(),
            })
        }

        fn list(&self, which: usize) {
            self.list.list(Arc::clone(&self.threads[which]));
        }

        fn cancel(&self) {
            if self.list.mark_cancelled() {
                self.list.cancel_listed();
            }
        }

        fn cancels(&self, which: usize) -> usize {
            self.threads[which].cancels.load(Ordering::Relaxed)
        }

        /// Checks that the list is empty and has dropped each of its references once.
        fn assert_released(&self) {
            assert!(self.list.threads.take().next().is_none());
            for thread in &self.threads {
                assert_eq!(Arc::strong_count(thread), 1);
            }
        }
    }

    fn check(f: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(f);
    }

    #[test]
    fn loom_each_listed_thread_is_cancelled_once() {
        check(|| {
            let world = World::new(2);
            let (one, other) = (world.clone(), world.clone());
            let spawner = thread::spawn(move || one.list(0));
            let canceller = thread::spawn(move || other.cancel());
            world.list(1);
            spawner.join().unwrap();
            canceller.join().unwrap();
            for which in 0..2 {
                assert_eq!(world.cancels(which), 1);
            }
            world.assert_released();
        });
    }

    #[test]
    fn loom_a_sweep_hides_no_thread_from_the_cancellation() {
        check(|| {
            let world = World::new(3);
            let (one, other) = (world.clone(), world.clone());
            world.list(0);
            world.threads[0].ended.store(true, Ordering::Release);
            let canceller = thread::spawn(move || one.cancel());
            let spawner = thread::spawn(move || other.list(1));
            // One or both of the two spawners that list at the same time sweep.
            world.list(2);
            spawner.join().unwrap();
            canceller.join().unwrap();
            for which in 1..3 {
                assert_eq!(world.cancels(which), 1);
            }
            assert!(world.cancels(0) <= 1);
            world.assert_released();
        });
    }

    #[test]
    fn loom_two_sweeps_keep_what_runs() {
        check(|| {
            let world = World::new(3);
            let other = world.clone();
            world.list(0);
            let spawner = thread::spawn(move || {
                other.threads[0].ended.store(true, Ordering::Release);
                other.list(1);
            });
            world.list(2);
            spawner.join().unwrap();
            let mut left: Vec<_> = world
                .list
                .threads
                .take()
                .map(|left| left.as_ptr())
                .collect();
            left.retain(|&left| left != world.threads[0].as_ptr());
            left.sort_unstable();
            let mut running = vec![world.threads[1].as_ptr(), world.threads[2].as_ptr()];
            running.sort_unstable();
            assert_eq!(left, running);
            world.assert_released();
        });
    }
}
