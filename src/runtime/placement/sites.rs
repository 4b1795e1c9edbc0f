//! A table of the record of each spawn site, which all workers of a runtime read with one load per
//! spawn.
//!
//! An entry is one word, a tag of 48 bits and a [`Record`] of 16, so that it is read and written as
//! a whole. Everything is a hint: if two workers write one entry at the same time, one of the
//! writes is lost; two sites with the same tag share a record; and a site that finds no free entry
//! takes that of another site. The worst consequence is that a thread is placed badly.

use std::sync::atomic::{AtomicU64, Ordering};

use super::policy::Record;

/// The number of entries; a power of two.
pub(crate) const ENTRY_COUNT: usize = 512;
/// How many entries are in one cache line; a site may use any of the line that its hash selects.
const ENTRIES_PER_LINE: usize = 8;
const RECORD_BITS: u32 = 16;

/// The number of an entry. [`NO_SITE`] stands for threads whose conduct is not recorded.
pub(crate) type Site = u16;

/// The entry that belongs to no site: it says that its threads are short, and never changes.
pub(crate) const NO_SITE: Site = 0;

/// Returns the key of a site: its place in the source and the type of the closure, as one word.
#[inline(always)]
pub(crate) fn key(address: usize, kind: usize) -> u64 {
    (address as u64) ^ (kind as u64).rotate_left(20)
}

/// The records of all spawn sites; see the module's text.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Sites {
    entries: [AtomicU64; ENTRY_COUNT],
}

impl Sites {
    pub(crate) fn new() -> Sites {
        let entries = [const { AtomicU64::new(0) }; ENTRY_COUNT];
        entries[0].store(u64::from(Record::SURELY_SHORT.0), Ordering::Relaxed);
        Sites { entries }
    }

    #[inline(always)]
    fn entry(&self, site: Site) -> &AtomicU64 {
        &self.entries[usize::from(site) % ENTRY_COUNT]
    }

    /// Returns the record of `site`.
    #[inline(always)]
    pub(crate) fn record(&self, site: Site) -> Record {
        Record(self.entry(site).load(Ordering::Relaxed) as u16)
    }

    /// Returns the entry of the site `key` if its threads have been short for a while, and the
    /// entry is the first one of its group.
    #[inline(always)]
    pub(crate) fn find_short(&self, key: u64) -> Option<Site> {
        let (hash, site) = Self::hash(key);
        let entry = self.entry(site).load(Ordering::Relaxed);
        // One comparison for the tag and the record. The tag of `NO_SITE` is 0: hardly any key has
        // that tag, and a match does no harm.
        let short = hash << RECORD_BITS | u64::from(Record::SURELY_SHORT.0);
        (entry == short).then_some(site)
    }

    #[inline(always)]
    fn hash(key: u64) -> (u64, Site) {
        // The factor is odd, so the lower bits of the product take as many different values as
        // those of the key.
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let site = (hash >> (64 - ENTRY_COUNT.trailing_zeros())) as Site;
        (hash, site)
    }

    /// Returns the entry of the site `key`, and its record.
    pub(crate) fn find(&self, key: u64) -> (Site, Record) {
        let (hash, site) = Self::hash(key);
        let entry = self.entry(site).load(Ordering::Relaxed);
        if (entry ^ (hash << RECORD_BITS)) >> RECORD_BITS == 0 && site != NO_SITE {
            return (site, Record(entry as u16));
        }
        self.find_nearby(hash, site)
    }

    /// Searches the other entries of the group, and takes one for the site if it has none.
    #[cold]
    #[inline(never)]
    fn find_nearby(&self, hash: u64, first: Site) -> (Site, Record) {
        let tag = hash << RECORD_BITS;
        let group = (0..ENTRIES_PER_LINE as Site)
            .map(|offset| first ^ offset)
            .filter(|&site| site != NO_SITE);
        let mut free = None;
        for site in group.clone() {
            let entry = self.entry(site).load(Ordering::Relaxed);
            if entry == 0 {
                free = free.or(Some(site));
            } else if (entry ^ tag) >> RECORD_BITS == 0 {
                return (site, Record(entry as u16));
            }
        }
        let site = free.unwrap_or(if first == NO_SITE { 1 } else { first });
        self.entry(site)
            .store(tag | u64::from(Record::NEW.0), Ordering::Relaxed);
        (site, Record::NEW)
    }

    /// Applies `change` to the record of `site`, and writes it if that changes anything.
    pub(crate) fn note(&self, site: Site, change: impl Fn(Record) -> Record) {
        if site == NO_SITE {
            return;
        }
        let entry = self.entry(site).load(Ordering::Relaxed);
        let record = Record(entry as u16);
        let changed = change(record);
        if changed != record {
            let tag = entry >> RECORD_BITS << RECORD_BITS;
            self.entry(site)
                .store(tag | u64::from(changed.0), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::placement::policy::Conduct;

    #[test]
    fn a_site_is_found_again_with_what_was_noted() {
        let sites = Sites::new();
        let key = key(0x5555_0000_1238, 0x5555_0000_4560);
        let (site, record) = sites.find(key);
        assert_eq!(record, Record::NEW);
        sites.note(site, |record| record.observed(Conduct::Waits));
        let (again, record) = sites.find(key);
        assert_eq!((again, record.conduct()), (site, Conduct::Waits));
        assert_eq!(sites.record(site), record);
    }

    #[test]
    fn the_entry_of_no_site_never_changes() {
        let sites = Sites::new();
        sites.note(NO_SITE, |_| Record::NEW);
        assert_eq!(sites.record(NO_SITE), Record::SURELY_SHORT);
        for key in 1..100_000 {
            assert_ne!(sites.find(key).0, NO_SITE);
        }
        assert_eq!(sites.record(NO_SITE), Record::SURELY_SHORT);
    }

    #[test]
    fn some_hundred_sites_keep_their_records() {
        let sites = Sites::new();
        let keys = || (0..200).map(|number| key(0x5555_0000_0000 + number * 24, 0x5555_1000_0000));
        for key in keys() {
            let (site, _) = sites.find(key);
            sites.note(site, |record| record.observed(Conduct::Computes));
        }
        let kept = keys().filter(|&key| sites.find(key).1.conduct() == Conduct::Computes);
        assert!(kept.count() > 190);
    }
}
