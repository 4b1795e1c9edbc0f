//! The keys, their values and deadlines.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// The keys. An expired key does not exist, removed or not: each call is given the current time.
#[derive(Default)]
pub(crate) struct Keyspace {
    entries: HashMap<Arc<[u8]>, Entry>,
    /// The keys with a deadline, the earliest first. Always changed together with `entries`.
    deadlines: BTreeSet<(Instant, Arc<[u8]>)>,
}

pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    /// Private, so that changes go through `set` and `expire`.
    deadline: Option<Instant>,
}

impl Entry {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Keyspace {
    pub(crate) fn get(&mut self, key: &[u8], now: Instant) -> Option<&mut Entry> {
        let entry = self.entries.get(key)?;
        if entry.deadline.is_some_and(|deadline| deadline <= now) {
            self.remove(key, now);
            return None;
        }
        self.entries.get_mut(key)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], deadline: Option<Instant>) {
        let key: Arc<[u8]> = key.into();
        let value = value.into();
        let before = self
            .entries
            .insert(Arc::clone(&key), Entry { value, deadline });
        self.move_deadline(key, before.and_then(|entry| entry.deadline), deadline);
    }

    /// Sets or clears the deadline of a key. Returns false if there is no such key.
    pub(crate) fn expire(&mut self, key: &[u8], deadline: Option<Instant>, now: Instant) -> bool {
        let Some(entry) = self.get(key, now) else {
            return false;
        };
        let before = std::mem::replace(&mut entry.deadline, deadline);
        self.move_deadline(key.into(), before, deadline);
        true
    }

    /// Removes a key and returns whether it existed.
    pub(crate) fn remove(&mut self, key: &[u8], now: Instant) -> bool {
        let Some((key, Entry { deadline, .. })) = self.entries.remove_entry(key) else {
            return false;
        };
        self.move_deadline(key, deadline, None);
        deadline.is_none_or(|deadline| deadline > now)
    }

    /// Removes up to `limit` expired keys and returns how many.
    pub(crate) fn sweep(&mut self, now: Instant, limit: usize) -> usize {
        let mut swept = 0;
        while swept < limit
            && let Some((deadline, _)) = self.deadlines.first()
            && *deadline <= now
            && let Some((_, key)) = self.deadlines.pop_first()
        {
            self.entries.remove(&key);
            swept += 1;
        }
        swept
    }

    /// The number of keys, including expired ones that are not removed yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Keyspace::default();
    }

    fn move_deadline(&mut self, key: Arc<[u8]>, from: Option<Instant>, to: Option<Instant>) {
        if let Some(from) = from {
            self.deadlines.remove(&(from, Arc::clone(&key)));
        }
        if let Some(to) = to {
            self.deadlines.insert((to, key));
        }
    }
}
