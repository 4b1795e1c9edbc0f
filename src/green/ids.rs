//! Numbers that no two things of the process share: threads, scopes, OS threads.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where ids come from: the first thousand one by one, so that those of a small program are small;
/// then in batches, so that spawning does not share a counter: each home has one, each other OS
/// thread too.
pub(crate) struct Ids {
    /// The last one given out.
    last: Cell<u64>,
    /// The last one of the batch.
    end: Cell<u64>,
}

impl Ids {
    const BATCH: u64 = 1024;

    pub(crate) const fn new() -> Ids {
        Ids {
            last: Cell::new(0),
            end: Cell::new(0),
        }
    }

    /// An id that nobody else has.
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
        static SINGLE: AtomicU64 = AtomicU64::new(0);
        static NEXT: AtomicU64 = AtomicU64::new(Ids::BATCH);
        let is_small = SINGLE.load(Ordering::Relaxed) < Self::BATCH;
        let single = is_small.then(|| SINGLE.fetch_add(1, Ordering::Relaxed));
        let (first, count) = match single.filter(|&single| single < Self::BATCH) {
            Some(single) => (single, 1),
            None => (NEXT.fetch_add(Self::BATCH, Ordering::Relaxed), Self::BATCH),
        };
        self.last.set(first);
        self.end.set(first + count);
    }
}

/// An id for something that is made on no worker, or seldom.
pub(crate) fn next_id() -> NonZeroU64 {
    thread_local! {
        static MINE: Ids = const { Ids::new() };
    }
    MINE.with(Ids::next)
}

/// The number of the calling OS thread. It is never given to another OS thread, also when this one
/// has ended: an address of a thread-local, which a new thread may get again, would be.
pub(crate) fn os_thread() -> NonZeroU64 {
    thread_local! {
        // Without a destructor: it is asked for by destructors of other thread-locals.
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

    /// Also of threads that come one after the other, and so get the same memory for their
    /// thread-locals.
    #[test]
    fn no_two_os_threads_have_one_number() {
        let number = || std::thread::spawn(os_thread).join().unwrap();
        let numbers: BTreeSet<_> = (0..100).map(|_| number()).collect();
        assert_eq!(numbers.len(), 100);
        assert_eq!(os_thread(), os_thread());
    }

    /// It is asked for by destructors of thread-locals, after others have gone.
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
