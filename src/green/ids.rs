//! Numbers that are unique in the process: of threads, scopes, OS threads.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of ids. The first thousand are given one by one, so that those of a small program are
/// small; later ones in batches, so that spawning does not share a counter: each worker has its own
/// source, and each other OS thread too.
pub(crate) struct Ids {
    /// The last one given out.
    last: Cell<u64>,
    /// The last one of the batch.
    end: Cell<u64>,
}

impl Ids {
    const IDS_PER_BATCH: u64 = 1024;

    pub(crate) const fn new() -> Ids {
        Ids {
            last: Cell::new(0),
            end: Cell::new(0),
        }
    }

    /// Returns an id that is unique in the process.
    #[inline]
    pub(crate) fn next(&self) -> NonZeroU64 {
        if self.last.get() == self.end.get() {
            self.refill();
        }
        let before = self.last.get();
        self.last.set(before + 1);
        NonZeroU64::MIN.saturating_add(before)
    }

    #[cold]
    fn refill(&self) {
        static NEXT_SINGLE: AtomicU64 = AtomicU64::new(0);
        static NEXT: AtomicU64 = AtomicU64::new(Ids::IDS_PER_BATCH);
        let is_small = NEXT_SINGLE.load(Ordering::Relaxed) < Self::IDS_PER_BATCH;
        let single = is_small.then(|| NEXT_SINGLE.fetch_add(1, Ordering::Relaxed));
        let (first, count) = match single.filter(|&single| single < Self::IDS_PER_BATCH) {
            Some(single) => (single, 1),
            None => (
                NEXT.fetch_add(Self::IDS_PER_BATCH, Ordering::Relaxed),
                Self::IDS_PER_BATCH,
            ),
        };
        self.last.set(first);
        self.end.set(first + count);
    }
}

/// Returns an id for an object that is made outside of a worker, or rarely.
pub(crate) fn next_id() -> NonZeroU64 {
    thread_local! {
        static OS_THREAD_IDS: Ids = const { Ids::new() };
    }
    OS_THREAD_IDS.with(Ids::next)
}

/// Returns the number of the calling OS thread. It is never reused for another OS thread, even
/// after this one has ended; the address of a thread-local would be, because a new thread may get
/// it again.
pub(crate) fn os_thread() -> NonZeroU64 {
    thread_local! {
        // Without a destructor: destructors of other thread-locals ask for it.
        static NUMBER: Cell<Option<NonZeroU64>> = const { Cell::new(None) };
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NUMBER.get().unwrap_or_else(|| {
        let number = NonZeroU64::MIN.saturating_add(NEXT.fetch_add(1, Ordering::Relaxed));
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Also holds for threads that run one after the other, and so get the same memory for their
    /// thread-locals.
    #[test]
    fn no_two_os_threads_have_one_number() {
        let number = || std::thread::spawn(os_thread).join().unwrap();
        let numbers: BTreeSet<_> = (0..100).map(|_| number()).collect();
        assert_eq!(numbers.len(), 100);
        assert_eq!(os_thread(), os_thread());
    }

    /// Destructors of thread-locals ask for it, after others have been destroyed.
    #[test]
    fn the_number_stays_until_the_thread_has_ended() {
        struct Asks(NonZeroU64);
        impl Drop for Asks {
            fn drop(&mut self) {
                if os_thread() != self.0 {
                    std::process::abort();
                }
            }
        }
        thread_local! {
            static FIRST: Cell<Option<Asks>> = const { Cell::new(None) };
            static SECOND: Cell<Option<Asks>> = const { Cell::new(None) };
        }
        let thread = std::thread::spawn(|| {
            FIRST.set(Some(Asks(os_thread())));
            SECOND.set(Some(Asks(os_thread())));
        });
        thread.join().unwrap();
    }
}
