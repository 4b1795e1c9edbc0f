//! The process-wide reserve: all slabs, their free slots, and the credits that promise slots.
//!
//! Owns every slot that is not in a pool or in use. Guards are installed and slabs unmapped without
//! the lock. A slab is mapped under it, so that two threads do not map one each, and the pages of a
//! few slots at a time are released under it, so that no promised slot is out of reach meanwhile.
//!
//! A credit is a promise of one slot. Each green thread holds one; a pool holds some for future
//! spawns and one for each slot that its list has room for, because a slot that waits there is out
//! of reach of other pools. S4 is the sum.
//!
//! **Low-water marks** decide how much goes back to the system: the fewest warm free slots, and the
//! fewest unpromised slots, since the last period. That many were not needed by any thread. Of the
//! warm ones, three quarters are released in the period that follows, so that a burst that repeats
//! finds some; of the slots, all whose slab is wholly free and not warmer than that are unmapped.
//! Slots come from the oldest slab that has any, and slabs are given back youngest first.
#![allow(unsafe_code, reason = "guards, releases and unmaps slots")]

pub(crate) mod survey;

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::class::Class;
use super::guard::{self, Guarding};
use super::shortage;
use super::size::StackSize;
use super::slab::{Slab, Taken};
use super::slot::Slot;
use crate::sys::mem;

/// The reserve of the process.
pub(super) static RESERVE: Mutex<Reserve> = Mutex::new(Reserve::new(None));

/// Locks a reserve. Nothing under the lock panics half way, so a poisoned one is as good as any.
pub(super) fn lock(reserve: &Mutex<Reserve>) -> MutexGuard<'_, Reserve> {
    reserve.lock().unwrap_or_else(PoisonError::into_inner)
}

const MIB: usize = 1 << 20;

/// The first slab of a size, in bytes; each further one is as large as all before together …
const FIRST_SLAB_BYTES: usize = 64 * MIB;
/// … up to this.
const MAX_SLAB_BYTES: usize = 512 * MIB;
/// The same where each slot costs two mappings and two microseconds at once.
const FIRST_PROTECTED_SLAB_BYTES: usize = 16 * MIB;
const MAX_PROTECTED_SLAB_BYTES: usize = 64 * MIB;

/// When a large slab is refused, smaller ones are tried, down to this many slots.
const MIN_SLOTS: u32 = 8;

/// Mappings that protected slabs leave to the rest of the process, so that many green threads do
/// not make an allocation elsewhere fail and end the process.
const MIN_SPARE_MAPPINGS: u64 = 1_000;

/// How many slots a trim releases while it has the lock: some 20 µs.
const MAX_RELEASES_PER_LOCK: usize = 64;
/// How many times one step of a trim does that.
const LOCKS_PER_STEP: usize = 8;
/// Bytes that one step of a trim unmaps: about as many slots of the usual size.
const UNMAP_BYTES_PER_STEP: usize = 128 * MIB;

pub(super) struct Reserve {
    slabs: Vec<Option<Slab>>,
    classes: Vec<Class>,
    /// Counts the periods; see [`Reserve::begin_period`].
    period: u64,
    protected_slots: u64,
    /// The rest of a retired slab that is still to be unmapped: start and bytes.
    retired: Option<(usize, usize)>,
    /// Number of pools that have been used. A single pool installs its guards many at a time:
    /// several would wait for each other, on the kernel's lock of the process's mappings, longer
    /// than that saves.
    pub(super) pools: usize,
    /// For tests: guards in this way, whatever the kernel supports.
    guarding: Option<Guarding>,
}

/// The result of [`Reserve::work`].
enum Work {
    Nothing,
    Released,
    /// A piece of a slab that has left the reserve, to be unmapped without the lock.
    Unmap {
        start: usize,
        bytes: usize,
    },
}

impl Reserve {
    pub(super) const fn new(guarding: Option<Guarding>) -> Reserve {
        Reserve {
            slabs: Vec::new(),
            classes: Vec::new(),
            period: 0,
            protected_slots: 0,
            retired: None,
            pools: 0,
            guarding,
        }
    }

    pub(super) fn guarding(&self) -> Guarding {
        self.guarding.unwrap_or_else(guard::choice)
    }

    fn class(&mut self, size: StackSize) -> &mut Class {
        let at = match self.classes.iter().position(|class| class.size == size) {
            Some(at) => at,
            None => {
                self.classes.push(Class::new(size));
                self.classes.len() - 1
            }
        };
        &mut self.classes[at]
    }

    /// Grants between 1 and `want` credits; maps a slab if none is left.
    pub(super) fn grant(&mut self, size: StackSize, want: usize) -> io::Result<usize> {
        if self.class(size).unpromised() == 0 {
            self.map_slab(size)?;
        }
        let class = self.class(size);
        let granted = want.min(class.unpromised());
        class.promised += granted;
        class.note();
        Ok(granted)
    }

    pub(super) fn ungrant(&mut self, size: StackSize, count: usize) {
        let class = self.class(size);
        debug_assert!(class.promised >= count, "more credits back than were given");
        class.promised -= count;
    }

    fn map_slab(&mut self, size: StackSize) -> io::Result<()> {
        let guarding = self.guarding();
        let (first, largest) = match guarding {
            Guarding::Light => (FIRST_SLAB_BYTES, MAX_SLAB_BYTES),
            Guarding::Protected => (FIRST_PROTECTED_SLAB_BYTES, MAX_PROTECTED_SLAB_BYTES),
        };
        let so_far = self.class(size).slots.saturating_mul(size.stride());
        let mut slots = (so_far.clamp(first, largest) / size.stride()).max(1) as u32;
        let min_slots = MIN_SLOTS.min(slots);
        let slab = loop {
            let result = self
                .leave_mappings(guarding, slots)
                .and_then(|()| Slab::map(size, slots, guarding));
            match result {
                Ok(slab) => break slab,
                Err(_) if slots > min_slots => slots = (slots / 2).max(min_slots),
                Err(error) => return Err(shortage::explain(&error, size, slots, guarding)),
            }
        };
        if guarding == Guarding::Protected {
            self.protected_slots += u64::from(slots);
        }
        let number = match self.slabs.iter().position(Option::is_none) {
            Some(hole) => {
                self.slabs[hole] = Some(slab);
                hole
            }
            None => {
                self.slabs.push(Some(slab));
                self.slabs.len() - 1
            }
        };
        let class = self.class(size);
        class.slabs.push(number as u32);
        class.slots += slots as usize;
        let position = class.slabs.len() - 1;
        if let Some(slab) = &mut self.slabs[number] {
            slab.position = position;
        }
        Ok(())
    }

    fn leave_mappings(&self, guarding: Guarding, slots: u32) -> io::Result<()> {
        if guarding == Guarding::Light {
            return Ok(());
        }
        let needed = 2 * (self.protected_slots + u64::from(slots)) + MIN_SPARE_MAPPINGS;
        match crate::sys::limits::max_map_count() {
            Some(most) if needed > most => Err(io::ErrorKind::OutOfMemory.into()),
            _ => Ok(()),
        }
    }

    /// Takes between 1 and `want` slots of one kind, or none when there are none.
    fn take(&mut self, size: StackSize, want: usize, out: &mut Vec<Slot>) -> (u32, Taken) {
        let at = self.classes.iter().position(|class| class.size == size);
        let Some(class) = at.map(|at| &mut self.classes[at]) else {
            return (0, Taken::Nothing);
        };
        let position = if class.warm > 0 {
            &mut class.first_warm
        } else {
            &mut class.first_free
        };
        while let Some(&number) = class.slabs.get(*position) {
            if let Some(slab) = &mut self.slabs[number as usize] {
                let suits = match class.warm {
                    0 => slab.free() > 0,
                    _ => !slab.warm.is_empty(),
                };
                if suits {
                    let before = out.len();
                    let taken = slab.take(number, want, out);
                    class.out += match &taken {
                        Taken::Bare { slots, .. } => slots.len(),
                        _ => out.len() - before,
                    };
                    if let Taken::Ready { warm } = taken {
                        class.warm -= warm;
                        class.note();
                    }
                    return (number, taken);
                }
            }
            *position += 1;
        }
        (0, Taken::Nothing)
    }

    /// Takes back slots that were in use; they count as warm.
    pub(super) fn put(&mut self, slots: &[Slot]) {
        for slot in slots {
            let Some(slab) = self.slab(slot.slab()) else {
                debug_assert!(false, "a slot outlived its slab");
                continue;
            };
            let position = slab.position;
            slab.warm.push(slab.index(*slot));
            let class = self.class(slot.size());
            class.out -= 1;
            class.warm += 1;
            class.first_warm = class.first_warm.min(position);
            class.first_free = class.first_free.min(position);
        }
    }

    fn slab(&mut self, number: u32) -> Option<&mut Slab> {
        self.slabs.get_mut(number as usize)?.as_mut()
    }

    /// Starts a period if `seen` is the present one, because then its pool has called a second time
    /// in it.
    ///
    /// Every pool calls about once a second; the quickest of them sets the pace, however many there
    /// are. Returns the present period.
    pub(super) fn begin_period(&mut self, seen: u64) -> u64 {
        if seen == self.period {
            self.period += 1;
            for class in &mut self.classes {
                class.release = most_of(class.min_warm);
                class.unmap = class.min_unpromised;
                class.min_warm = class.warm;
                class.min_unpromised = class.unpromised();
            }
        }
        self.period
    }

    /// Does a little of this period's work, but leaves the unmapping to the caller.
    fn work(&mut self) -> Work {
        for at in 0..self.classes.len() {
            if self.retired.is_none() {
                self.retire_slab(at);
            }
            if let Some(unmap) = self.next_unmap() {
                return unmap;
            }
            if self.release(at) {
                return Work::Released;
            }
        }
        Work::Nothing
    }

    /// Returns the next piece to unmap, from the end of the slab: the mapping only shrinks, where a
    /// hole in it would split it in two.
    fn next_unmap(&mut self) -> Option<Work> {
        let (start, bytes) = self.retired.take()?;
        let step = bytes.min(UNMAP_BYTES_PER_STEP);
        let rest = bytes - step;
        if rest > 0 {
            self.retired = Some((start, rest));
        }
        Some(Work::Unmap {
            start: start + rest,
            bytes: step,
        })
    }

    /// Takes a wholly free slab out of the reserve, if one was not needed, youngest first.
    fn retire_slab(&mut self, at: usize) {
        let class = &mut self.classes[at];
        let most = class.unmap.min(class.unpromised());
        if most == 0 {
            return;
        }
        let most_warm = class.release;
        let slabs = &mut self.slabs;
        let idle = |number: &u32| {
            let slab = slabs.get(*number as usize).and_then(Option::as_ref);
            slab.is_some_and(|slab| {
                let free = slab.free() == slab.slots();
                free && slab.slots() <= most && slab.warm.len() <= most_warm
            })
        };
        let Some(position) = class.slabs.iter().rposition(idle) else {
            return;
        };
        let number = class.slabs.remove(position);
        let Some(slab) = slabs[number as usize].take() else {
            return;
        };
        for later in &class.slabs[position..] {
            if let Some(slab) = &mut slabs[*later as usize] {
                slab.position -= 1;
            }
        }
        // The position where a search starts may have moved by one.
        class.first_warm = class.first_warm.saturating_sub(1);
        class.first_free = class.first_free.saturating_sub(1);
        class.slots -= slab.slots();
        class.unmap -= slab.slots();
        class.warm -= slab.warm.len();
        class.release = class.release.saturating_sub(slab.warm.len());
        class.note();
        if slab.guarding() == Guarding::Protected {
            self.protected_slots -= slab.slots() as u64;
        }
        self.retired = Some(slab.retire());
    }

    /// Releases the pages of some warm slots of the youngest slab that has any.
    fn release(&mut self, at: usize) -> bool {
        let class = &mut self.classes[at];
        let most = class.release.min(class.warm).min(MAX_RELEASES_PER_LOCK);
        for number in class.slabs.iter().rev() {
            let Some(slab) = &mut self.slabs[*number as usize] else {
                continue;
            };
            let released = slab.release(most);
            if released > 0 {
                class.first_free = class.first_free.min(slab.position);
                class.release -= released;
                class.warm -= released;
                class.note();
                return true;
            }
        }
        false
    }

    /// Takes back slots whose guards could not be installed.
    fn unguarded(&mut self, number: u32, slots: Range<u32>) {
        let count = slots.len();
        if let Some((size, position)) = self.slab(number).map(|slab| {
            slab.unguarded.extend(slots);
            (slab.size(), slab.position)
        }) {
            let class = self.class(size);
            class.out -= count;
            class.first_free = class.first_free.min(position);
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&mut self, size: StackSize) -> Counts {
        let class = self.class(size);
        Counts {
            slots: class.slots,
            promised: class.promised,
            warm: class.warm,
            slabs: class.slabs.len(),
        }
    }
}

#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) slots: usize,
    pub(super) promised: usize,
    pub(super) warm: usize,
    pub(super) slabs: usize,
}

/// Returns how many of `unneeded` slots are given back in one period.
fn most_of(unneeded: usize) -> usize {
    unneeded - unneeded / 4
}

/// Takes between 1 and `want` slots that are guarded (S2) and appends them to `out`.
///
/// The caller holds as many credits, so a slot is there (S4); without a credit, a slab may be
/// mapped.
pub(super) fn take(
    reserve: &Mutex<Reserve>,
    size: StackSize,
    want: usize,
    out: &mut Vec<Slot>,
) -> io::Result<()> {
    let before = out.len();
    let (number, taken, alone, waited_for) = {
        let mut reserve = lock(reserve);
        let (number, taken) = match reserve.take(size, want, out) {
            (_, Taken::Nothing) => {
                reserve.map_slab(size)?;
                reserve.take(size, want, out)
            }
            found => found,
        };
        let alone = reserve.pools == 1;
        let waited_for = alone && reserve.class(size).is_waited_for();
        (number, taken, alone, waited_for)
    };
    let installed = match taken {
        Taken::Bare { limit, slots } => install(reserve, size, number, limit, slots, alone, out),
        Taken::Ready { warm: 1.. } => return Ok(()),
        _ => Ok(()),
    };
    if waited_for {
        let page = mem::page_size();
        let highest = out[before..].iter().rev().map(|slot| slot.end() - page);
        let _populated = mem::populate(highest, page);
    }
    installed
}

/// Guards slots that were never used and appends them to `out`. Fails only if not even one could be
/// guarded.
fn install(
    reserve: &Mutex<Reserve>,
    size: StackSize,
    number: u32,
    limit: usize,
    slots: Range<u32>,
    at_once: bool,
    out: &mut Vec<Slot>,
) -> io::Result<()> {
    let stride = size.stride();
    // SAFETY: the slots were never used, and this caller owns them (S1).
    let (guarded, result) = unsafe { guard::install_all(limit, stride, slots.len(), at_once) };
    let all = slots.start..slots.start + guarded as u32;
    // Backwards, because a pool takes from the end of its list: neighbours are used in order.
    out.extend(all.clone().rev().map(|index| {
        let limit = limit + (index - slots.start) as usize * stride;
        Slot::new(limit, index, number, size)
    }));
    if let Err(error) = result {
        lock(reserve).unguarded(number, all.end..slots.end);
        if guarded == 0 {
            return Err(shortage::explain_guard(&error));
        }
    }
    Ok(())
}

/// Does one step of this period's work, a millisecond at most. Returns false when there is none.
pub(super) fn trim_step(reserve: &Mutex<Reserve>) -> bool {
    for _ in 0..LOCKS_PER_STEP {
        // The lock is released after each piece, so that no thread waits for a stack for long.
        let work = lock(reserve).work();
        match work {
            Work::Nothing => return false,
            Work::Released => {}
            Work::Unmap { start, bytes } => {
                // SAFETY: a piece of a slab that has left the reserve and the table, all slots free
                // (S3).
                let _unmapped = unsafe { mem::unmap(start, bytes) };
                return true;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::limits;
    use crate::test_child;

    #[test]
    fn a_refused_reservation_names_the_limit() {
        test_child::run(
            "stack::reserve::tests::a_refused_reservation_names_the_limit",
            || {
                let (used, _) = limits::address_space_in_use().unwrap();
                let limit = used + (300 << 20);
                limits::set_address_space(limit);
                if limits::address_space() != Some(limit) {
                    // User-mode emulators ignore the limit.
                    return;
                }
                let mut reserve = Reserve::new(None);
                let size = StackSize::DEFAULT;
                let mut granted = 0;
                let error = loop {
                    match reserve.grant(size, 64) {
                        Ok(count) => granted += count,
                        Err(error) => break error,
                    }
                };
                // Smaller slabs are tried when a large one is refused: most of the 300 MiB was
                // used.
                assert!(granted * size.stride() > 200 << 20, "{granted}");
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                let text = error.to_string();
                let named = format!("RLIMIT_AS, {} MiB", limit >> 20);
                assert!(
                    text.contains(&named) && text.contains("ulimit -v"),
                    "{text}"
                );
                // The granted slots can still be taken.
                let reserve = Mutex::new(reserve);
                let mut slots = Vec::new();
                while slots.len() < granted {
                    take(&reserve, size, granted - slots.len(), &mut slots).unwrap();
                }
            },
        );
    }

    #[test]
    fn protected_stacks_end_before_the_mappings_do() {
        test_child::run(
            "stack::reserve::tests::protected_stacks_end_before_the_mappings_do",
            || {
                let most = limits::max_map_count().unwrap_or(u64::MAX);
                if most > 300_000 {
                    return;
                }
                let mut reserve = Reserve::new(Some(Guarding::Protected));
                let mut granted = 0;
                let error = loop {
                    match reserve.grant(StackSize::DEFAULT, 64) {
                        Ok(count) => granted += count as u64,
                        Err(error) => break error,
                    }
                };
                assert!(2 * granted < most && 2 * granted + 2 * MIN_SPARE_MAPPINGS > most);
                let text = error.to_string();
                assert!(
                    text.contains(&format!("vm.max_map_count = {most}")),
                    "{text}"
                );
                for _ in 0..100 {
                    mem::reserve(mem::page_size()).unwrap();
                }
            },
        );
    }

    #[test]
    fn big_stacks_come_in_small_slabs() {
        let mut reserve = Reserve::new(None);
        let size = StackSize::from_usable(1 << 30);
        reserve.grant(size, 1).unwrap();
        assert_eq!(reserve.counts(size).slots, 1);
        reserve.grant(size, 1).unwrap();
        assert_eq!(reserve.counts(size).slots, 2);
    }

    #[test]
    fn periods_follow_the_quickest_pool() {
        let mut reserve = Reserve::new(None);
        let quick = reserve.begin_period(0);
        let slow = reserve.begin_period(0);
        assert_eq!((quick, slow), (1, 1));
        assert_eq!(reserve.begin_period(quick), 2);
        assert_eq!(reserve.begin_period(slow), 2);
    }
}
