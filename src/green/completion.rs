#![allow(unsafe_code, reason = "packs a waiter into one word")]
//! The state of a green thread's end, shared by its handle and its worker in one word.
//!
//! | word | means | who changes it |
//! |---|---|---|
//! | `OPEN` | runs, no waiter | finisher to `DONE`, joiner to a pointer, handle to `DETACHED` |
//! | a waiter | runs, its joiner is parked | finisher to `DONE`, joiner back to `OPEN` |
//! | `DETACHED` | runs, its handle is gone | finisher to `DONE` |
//! | `HOOKED` | runs, has completion hooks | finisher to `DONE`, handle to `HOOKED_DETACHED` |
//! | `HOOKED_DETACHED` | as `HOOKED`, its handle is gone | finisher to `DONE` |
//! | `DONE` | has ended, the result is written | final |
//!
//! The completion hooks are in `completion_hooks.rs`.
//!
//! C1. The finisher writes the result before it sets `DONE` (Release); a thread that reads `DONE`
//!     (Acquire) may take it.
//! C2. The result has one owner: the handle if it saw `DONE` or the finisher did not see
//!     `DETACHED`; the finisher if it saw `DETACHED`; `HOOKED` and `HOOKED_DETACHED` are as `OPEN`
//!     and `DETACHED` here.
//! C3. A waiter in the word carries a reference; the thread that takes it out of the word owns that
//!     reference.
//! C4. Only the handle's owner puts a waiter in or makes the word `HOOKED`, and never both: a
//!     joiner of a hooked thread registers one more hook instead.
//! C5. A thread that begins to join another enters that word before it looks at its own, both
//!     `SeqCst`. So of threads that join each other in a ring, at the same time, at least one sees
//!     that it is awaited itself, and the ring is looked for (`runtime/inspect/deadlock.rs`).

use crate::shim::{AtomicUsize, Ordering};

const OPEN: usize = 0;
const DETACHED: usize = 2;
const DONE: usize = 4;
const HOOKED: usize = 6;
const HOOKED_DETACHED: usize = 10;

/// A waiter that can be packed into one word and unpacked again; its word is aligned to 8, or that
/// plus 1 or 2.
pub(crate) trait PackedWaiter: Sized {
    /// Returns the word: aligned as above, never 0, and distinct for each thread.
    fn word(&self) -> usize;
    /// Converts the waiter into the word, which carries its reference.
    fn into_word(self) -> usize;
    /// Converts the word back into the waiter.
    ///
    /// # Safety
    ///
    /// `word` came from [`PackedWaiter::into_word`] and has not been converted back before.
    unsafe fn from_word(word: usize) -> Self;
}

/// The completion word.
#[derive(Debug)]
pub(crate) struct Completion {
    word: AtomicUsize,
}

/// The owner of the result now that the thread has ended (C2), and the waiter to wake.
#[derive(Debug)]
pub(crate) enum Finished<W> {
    /// The handle still exists and owns the result.
    Unjoined,
    /// The handle's owner is parked: wake it.
    Joined(W),
    /// The handle is gone: the finisher drops the result.
    Detached,
    /// There are completion hooks to run. The handle owns the result.
    Hooked,
    /// There are completion hooks to run, and the finisher drops the result.
    HookedDetached,
}

impl Completion {
    pub(crate) fn new() -> Completion {
        Completion {
            word: AtomicUsize::new(OPEN),
        }
    }

    /// Resets the word of a recycled block, before it is published.
    #[inline]
    pub(crate) fn reset(&self) {
        self.word.store(OPEN, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Ordering::Acquire) == DONE
    }

    /// Returns whether a joiner is parked; a hint.
    pub(crate) fn is_awaited(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        !matches!(word, OPEN | DETACHED | HOOKED | HOOKED_DETACHED | DONE)
    }

    /// Returns whether a joiner is parked, or hooks may belong to one: the owner of this word,
    /// which has just entered another, may have closed a ring (C5).
    #[inline]
    pub(crate) fn may_be_awaited(&self) -> bool {
        // To loom a `SeqCst` access is `AcqRel`.
        #[cfg(loom)]
        loom::sync::atomic::fence(Ordering::SeqCst);
        // The words above `DONE` are those of hooks and of waiters.
        self.word.load(Ordering::SeqCst) > DONE
    }

    /// Marks the thread as ended. Called by the finisher, once, when the result is written (C1).
    #[inline]
    pub(crate) fn finish<W: PackedWaiter>(&self) -> Finished<W> {
        match self.word.swap(DONE, Ordering::AcqRel) {
            OPEN => Finished::Unjoined,
            DETACHED => Finished::Detached,
            HOOKED => Finished::Hooked,
            HOOKED_DETACHED => Finished::HookedDetached,
            // SAFETY: C3, the swap took it out.
            word => Finished::Joined(unsafe { W::from_word(word) }),
        }
    }

    /// Marks the handle as dropped. Returns true if the thread had ended, and the handle must drop
    /// the result (C2).
    pub(crate) fn detach(&self) -> bool {
        self.is_done()
            || match self
                .word
                .compare_exchange(OPEN, DETACHED, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => false,
                Err(HOOKED) => self.detach_hooked(),
                Err(_) => true,
            }
    }

    #[cold]
    fn detach_hooked(&self) -> bool {
        self.word
            .compare_exchange(HOOKED, HOOKED_DETACHED, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
    }

    /// Marks the thread as having completion hooks (C4). Returns false if it has ended already.
    pub(crate) fn mark_hooked(&self) -> bool {
        match self
            .word
            .compare_exchange(OPEN, HOOKED, Ordering::SeqCst, Ordering::SeqCst)
        {
            Ok(_) => true,
            Err(word) => word == HOOKED,
        }
    }

    /// Registers the handle's owner to be woken at the end. Returns false if the thread has ended
    /// already or is hooked (C4).
    #[inline]
    pub(crate) fn register<W: PackedWaiter>(&self, waiter: W) -> bool {
        let word = waiter.into_word();
        let registered = self
            .word
            .compare_exchange(OPEN, word, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if !registered {
            // SAFETY: C3, it never got in.
            drop(unsafe { W::from_word(word) });
        }
        registered
    }

    /// Withdraws the waiter that `register` registered, if the thread has not ended yet.
    pub(crate) fn unregister<W: PackedWaiter>(&self) {
        let word = self.word.load(Ordering::Acquire);
        if !matches!(word, OPEN | DETACHED | HOOKED | HOOKED_DETACHED | DONE)
            && self
                .word
                .compare_exchange(word, OPEN, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            // SAFETY: C3, the exchange took it out; only the handle's owner puts waiters in.
            drop(unsafe { W::from_word(word) });
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct Parked(Arc<(loom::sync::Mutex<bool>, loom::sync::Condvar)>);

    impl PackedWaiter for Parked {
        fn word(&self) -> usize {
            Arc::as_ptr(&self.0) as usize
        }
        fn into_word(self) -> usize {
            Arc::into_raw(self.0) as usize
        }
        unsafe fn from_word(word: usize) -> Parked {
            // SAFETY: passed on to the caller.
            Parked(unsafe { Arc::from_raw(word as *const _) })
        }
    }

    struct Shared {
        completion: Completion,
        result: loom::cell::UnsafeCell<Option<u32>>,
        hook_ran: loom::sync::atomic::AtomicBool,
    }

    // SAFETY: the result is handed over by the completion word; that is what the model checks.
    unsafe impl Send for Shared {}
    // SAFETY: as above.
    unsafe impl Sync for Shared {}

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            completion: Completion::new(),
            result: loom::cell::UnsafeCell::new(None),
            hook_ran: loom::sync::atomic::AtomicBool::new(false),
        })
    }

    fn finish(shared: &Shared) {
        // SAFETY: C1.
        shared
            .result
            .with_mut(|result| unsafe { *result = Some(7) });
        match shared.completion.finish::<Parked>() {
            Finished::Unjoined => {}
            Finished::Joined(parked) => {
                *parked.0.0.lock().unwrap() = true;
                parked.0.1.notify_one();
            }
            // SAFETY: C2.
            Finished::Detached => {
                drop(shared.result.with_mut(|result| unsafe { (*result).take() }))
            }
            Finished::Hooked => shared.hook_ran.store(true, Ordering::Release),
            Finished::HookedDetached => {
                // SAFETY: C2.
                drop(shared.result.with_mut(|result| unsafe { (*result).take() }));
                shared.hook_ran.store(true, Ordering::Release);
            }
        }
    }

    #[test]
    fn loom_join_gets_the_result() {
        loom::model(|| {
            let shared = shared();
            let other = shared.clone();
            let finisher = thread::spawn(move || finish(&other));
            let parked = Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()));
            if shared.completion.register(Parked(parked.clone())) {
                let mut woken = parked.0.lock().unwrap();
                while !*woken {
                    woken = parked.1.wait(woken).unwrap();
                }
            }
            assert!(shared.completion.is_done());
            // SAFETY: C1.
            assert_eq!(
                shared.result.with_mut(|result| unsafe { (*result).take() }),
                Some(7)
            );
            finisher.join().unwrap();
        });
    }

    #[test]
    fn loom_one_of_two_that_join_each_other_sees_it() {
        loom::model(|| {
            let (here, there) = (shared(), shared());
            let (its, others) = (there.clone(), here.clone());
            let joins = |other: &Shared, own: &Shared| {
                let parked = Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()));
                assert!(other.completion.register(Parked(parked)));
                own.completion.may_be_awaited()
            };
            let other = thread::spawn(move || joins(&others, &its));
            let sees = joins(&there, &here);
            assert!(other.join().unwrap() || sees);
            for joined in [here, there] {
                joined.completion.unregister::<Parked>();
            }
        });
    }

    #[test]
    fn loom_join_times_out() {
        loom::model(|| {
            let shared = shared();
            let other = shared.clone();
            let finisher = thread::spawn(move || finish(&other));
            let parked = Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()));
            if shared.completion.register(Parked(parked.clone())) {
                shared.completion.unregister::<Parked>();
            }
            if shared.completion.detach() {
                // SAFETY: C2.
                assert_eq!(
                    shared.result.with_mut(|result| unsafe { (*result).take() }),
                    Some(7)
                );
            }
            finisher.join().unwrap();
            // SAFETY: both threads have ended.
            assert_eq!(
                shared.result.with_mut(|result| unsafe { (*result).take() }),
                None
            );
        });
    }

    #[test]
    fn loom_hooks_run_and_the_result_has_one_owner() {
        for detaches in [false, true] {
            loom::model(move || {
                let shared = shared();
                let other = shared.clone();
                let finisher = thread::spawn(move || finish(&other));
                let watched = shared.completion.mark_hooked();
                // Hooked or done: a joiner can no longer wait in the word.
                let parked = Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()));
                assert!(!shared.completion.register(Parked(parked)));
                shared.completion.unregister::<Parked>();
                let take = || shared.result.with_mut(|result| unsafe { (*result).take() });
                if detaches {
                    if shared.completion.detach() {
                        // SAFETY: C2.
                        assert_eq!(take(), Some(7));
                    }
                } else if shared.completion.is_done() {
                    // SAFETY: C1.
                    assert_eq!(take(), Some(7));
                }
                finisher.join().unwrap();
                assert!(shared.completion.is_done());
                assert_eq!(shared.hook_ran.load(Ordering::Acquire), watched);
                // SAFETY: both threads have ended.
                let left = take();
                assert!(left.is_none() || !detaches);
            });
        }
    }
}
