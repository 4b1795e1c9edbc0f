//! Registrations of the waiters of a polled source: a slab, so that registering and withdrawing
//! take constant time with any number of threads.
//!
//! OB1. A key is valid from `add` until `remove` or `take`, whichever comes first. Its epoch is
//!      that of its `add`; `take`, which empties the slab, begins the next. So a key that `take`
//!      has used up identifies no waiter, although its index is reused.

use crate::green::Unparker;

/// Identifies a registration.
pub(crate) type Key = u64;

/// The waiters. Lives under a lock.
#[derive(Default)]
pub(crate) struct Observers {
    entries: Vec<Entry>,
    /// The first free entry, as an index plus one; 0: none.
    free: u32,
    len: u32,
    epoch: u32,
}

enum Entry {
    Waiter(Unparker),
    /// The next free entry, as above.
    Free(u32),
}

impl Observers {
    /// Number of entries that stay allocated when all are free.
    const MAX_SPARE: usize = 64;

    pub(crate) const fn new() -> Observers {
        Observers {
            entries: Vec::new(),
            free: 0,
            len: 0,
            epoch: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn add(&mut self, waiter: Unparker) -> Key {
        self.len += 1;
        let index = match self.free.checked_sub(1) {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                if let Entry::Free(next) = *entry {
                    self.free = next;
                }
                *entry = Entry::Waiter(waiter);
                index
            }
            None => {
                self.entries.push(Entry::Waiter(waiter));
                // Memory cannot hold that many threads.
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 waiters")
            }
        };
        Key::from(self.epoch) << 32 | Key::from(index)
    }

    /// Withdraws a registration. Returns `None` if it was taken. The result must be dropped outside
    /// of the lock.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Unparker> {
        let (epoch, index) = ((key >> 32) as u32, key as u32);
        if epoch != self.epoch {
            return None;
        }
        let entry = self.entries.get_mut(index as usize)?;
        let Entry::Waiter(_) = entry else {
            debug_assert!(false, "OB1");
            return None;
        };
        let old = std::mem::replace(entry, Entry::Free(self.free));
        self.free = index + 1;
        self.len -= 1;
        if self.len == 0 && self.entries.len() > Observers::MAX_SPARE {
            // Memory for many former observers.
            drop(self.take());
        }
        match old {
            Entry::Waiter(waiter) => Some(waiter),
            Entry::Free(_) => None,
        }
    }

    /// Takes all waiters, to be woken outside of the lock. Each registers again if it keeps
    /// waiting.
    pub(crate) fn take(&mut self) -> Taken {
        let next = Observers {
            epoch: self.epoch.wrapping_add(1),
            ..Observers::new()
        };
        Taken(std::mem::replace(self, next).entries)
    }
}

/// The result of [`Observers::take`].
#[must_use]
pub(crate) struct Taken(Vec<Entry>);

/// Wakes the waiters that were taken out.
pub(crate) fn wake(taken: Taken) {
    for entry in taken.0 {
        if let Entry::Waiter(waiter) = entry {
            waiter.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter() -> Unparker {
        Unparker::current()
    }

    #[test]
    fn a_key_names_one_registration() {
        let mut observers = Observers::new();
        let keys = [(); 4].map(|()| observers.add(waiter()));
        assert!(observers.remove(keys[1]).is_some());
        let again = observers.add(waiter());
        // Its entry is reused, and no waiter has lost its own.
        assert_eq!(again, keys[1]);
        assert!(observers.remove(keys[0]).is_some());
        assert!(observers.remove(keys[3]).is_some());
        assert!(observers.remove(again).is_some());
        assert!(!observers.is_empty());
        assert!(observers.remove(keys[2]).is_some());
        assert!(observers.is_empty());
    }

    #[test]
    fn taken_key_names_no_registration() {
        let mut observers = Observers::new();
        let old = [(); 3].map(|()| observers.add(waiter()));
        assert_eq!(observers.take().0.len(), 3);
        assert!(observers.is_empty());
        let new = [(); 3].map(|()| observers.add(waiter()));
        for key in old {
            assert!(observers.remove(key).is_none());
        }
        for key in new {
            assert!(observers.remove(key).is_some());
        }
        wake(observers.take());
    }

    #[test]
    fn memory_of_many_observers_is_freed() {
        let mut observers = Observers::new();
        let keys: Vec<_> = (0..1_000).map(|_| observers.add(waiter())).collect();
        for &key in &keys {
            assert!(observers.remove(key).is_some());
        }
        assert_eq!(observers.entries.capacity(), 0);
        assert!(!keys.contains(&observers.add(waiter())));
    }
}
