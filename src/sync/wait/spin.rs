#![allow(unsafe_code, reason = "a lock around an `UnsafeCell`")]
//! The spin lock that guards short critical sections: a queue, a buffer, a few words. Any thread
//! may take it.
//!
//! It is held for some tens of instructions, never across a wait, a call of user code or the drop
//! of a user's value; that is what makes spinning right. If the system has preempted the holder,
//! the spinning thread yields its core after some spins and then sleeps, so that even a holder of
//! lower priority can run.
//!
//! It is one byte, and lock and unlock together need one read-modify-write, where an OS lock needs
//! two: the unlock is a plain store, because no thread sleeps on the lock.
//!
//! SP1. The value is touched between a successful `lock` (Acquire) and the end of the guard
//!      (Release) only.

#[cfg(not(loom))]
mod real {
    use std::cell::UnsafeCell;
    use std::fmt;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A value behind a spin lock.
    // The value comes first: a dump reads that of a channel.
    #[repr(C)]
    pub(crate) struct Spin<T> {
        value: UnsafeCell<T>,
        locked: AtomicBool,
    }

    // SAFETY: SP1; the value moves from thread to thread.
    unsafe impl<T: Send> Sync for Spin<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Send for Spin<T> {}

    impl<T> Spin<T> {
        /// Where the value is, in bytes from the start.
        pub(crate) const VALUE: usize = std::mem::offset_of!(Spin<T>, value);

        pub(crate) const fn new(value: T) -> Spin<T> {
            Spin {
                value: UnsafeCell::new(value),
                locked: AtomicBool::new(false),
            }
        }

        #[inline(always)]
        pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
            if self.locked.swap(true, Ordering::Acquire) {
                self.lock_slowly();
            }
            SpinGuard { spin: self }
        }

        #[cold]
        fn lock_slowly(&self) {
            const SPINS: u32 = 64;
            const YIELDS: u32 = 64;
            let mut tries = 0_u32;
            loop {
                while self.locked.load(Ordering::Relaxed) {
                    tries = tries.saturating_add(1);
                    if tries < SPINS {
                        std::hint::spin_loop();
                    } else if tries < SPINS + YIELDS {
                        std::thread::yield_now();
                    } else {
                        crate::sys::clock::pause();
                    }
                }
                if !self.locked.swap(true, Ordering::Acquire) {
                    return;
                }
            }
        }
    }

    impl<T> fmt::Debug for Spin<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Spin").finish_non_exhaustive()
        }
    }

    /// The guard.
    pub(crate) struct SpinGuard<'a, T> {
        spin: &'a Spin<T>,
    }

    impl<T> Deref for SpinGuard<'_, T> {
        type Target = T;
        #[inline(always)]
        fn deref(&self) -> &T {
            // SAFETY: SP1.
            unsafe { &*self.spin.value.get() }
        }
    }

    impl<T> DerefMut for SpinGuard<'_, T> {
        #[inline(always)]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: SP1.
            unsafe { &mut *self.spin.value.get() }
        }
    }

    impl<T> Drop for SpinGuard<'_, T> {
        #[inline(always)]
        fn drop(&mut self) {
            self.spin.locked.store(false, Ordering::Release);
        }
    }
}

/// Under loom the lock is loom's own: what it guards is the protocol to be checked.
#[cfg(loom)]
mod real {
    use crate::shim::Mutex;
    use std::fmt;

    pub(crate) struct Spin<T>(Mutex<T>);

    impl<T> fmt::Debug for Spin<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Spin").finish_non_exhaustive()
        }
    }

    pub(crate) type SpinGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Spin<T> {
        pub(crate) fn new(value: T) -> Spin<T> {
            Spin(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
            self.0.lock().expect("no holder panics")
        }
    }
}

pub(crate) use self::real::{Spin, SpinGuard};
