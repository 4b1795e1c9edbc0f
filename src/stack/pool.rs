//! The free stacks and the credits of one worker: the path of every green thread, without atomics.
//!
//! A [`StackPool`] belongs to one worker and is called on its thread only.
//!
//! - **P1** A pool has as many credits as its list may have slots ([`StackPool::room`]), beside
//!   those in `credits`. A slot that waits in a list is therefore never promised to another holder
//!   (S4).
//! - **P2** is in `mark.rs`.
//!
//! Taking is popping, giving is pushing, last in first out, so that a steady stream of short green
//! threads runs on few stacks, which are in the cache. Memory goes back in three ways:
//!
//! 1. [`StackPool::give`] looks at the mark. When the stack was deep, the pages below its highest
//!    are released, but no more than [`MAX_CLEANINGS_PER_TRIM`] times between two trims. While deep
//!    threads are rare, each one's stack is cleaned up; when many are deep, releasing would only
//!    make the next one fault the same pages in again, and the cost stays about a hundredth of the
//!    time.
//! 2. [`StackPool::trim`] passes on the stacks that the list held all the time since the last trim.
//! 3. It then releases blindly below the highest page of the few stacks at the end of the list,
//!    which are the busy ones, in case a frame stepped over a mark.
#![allow(
    unsafe_code,
    reason = "reads and writes the marks of free stacks, releases their pages"
)]

use std::fmt;
use std::io;
use std::sync::Mutex;

use super::class::MAX_OWN_CREDITS;
use super::guard::Guarding;
use super::mark::{self, StackUse, is_marked, release_deep, write_mark};
use super::owned::Stack;
use super::reserve::{self, RESERVE, Reserve};
use super::size::StackSize;
use super::slot::Slot;

/// How many deep stacks are cleaned up between two trims. Each costs some microseconds, most of
/// them in the page faults of the next thread that goes deep on it.
const MAX_CLEANINGS_PER_TRIM: u32 = 256;

/// Stacks at the end of the list that each trim releases below the highest page.
const RELEASES_PER_TRIM: usize = 32;

/// Slots in the list, and slots fetched at once, with lightweight guards.
const POOL_CAPACITY: usize = 128;
const FETCH_BATCH: usize = 64;
/// The same where a slot costs two mappings, of which there are few.
const PROTECTED_POOL_CAPACITY: usize = 64;
const PROTECTED_FETCH_BATCH: usize = 16;

const _: () = assert!(POOL_CAPACITY + 2 * FETCH_BATCH <= MAX_OWN_CREDITS);

/// The free stacks of one worker, all of one size, and its credits.
pub(crate) struct StackPool {
    list: Vec<Slot>,
    size: StackSize,
    /// Maximum length of `list`; 0 until the pool has got the credits for it (P1).
    room: usize,
    /// Whether the reserve counts it among its pools.
    joined: bool,
    credits: usize,
    cleanings_left: u32,
    /// A stack that was deep has been given back without being cleaned up.
    has_skipped: bool,
    /// The shortest length of `list` since the last trim.
    min_len: usize,
    /// The period of the reserve that the last trim saw.
    period: u64,
    batch: usize,
    reserve: &'static Mutex<Reserve>,
}

impl StackPool {
    /// Creates an empty pool for stacks of `size`. Costs nothing until the first green thread.
    pub(crate) fn new(size: StackSize) -> StackPool {
        StackPool::with_reserve(size, &RESERVE)
    }

    fn with_reserve(size: StackSize, reserve: &'static Mutex<Reserve>) -> StackPool {
        StackPool {
            list: Vec::new(),
            size,
            room: 0,
            joined: false,
            credits: 0,
            cleanings_left: MAX_CLEANINGS_PER_TRIM,
            has_skipped: false,
            min_len: 0,
            period: 0,
            batch: FETCH_BATCH,
            reserve,
        }
    }

    /// Takes a stack. The caller has a credit, from [`StackPool::reserve`] of any pool of this size
    /// or from [`super::reserve_shared`].
    ///
    /// # Errors
    ///
    /// With a credit, only when the kernel has no memory for a guard.
    #[inline]
    pub(crate) fn take(&mut self) -> io::Result<Stack> {
        match self.list.pop() {
            Some(slot) => {
                self.min_len = self.min_len.min(self.list.len());
                Ok(Stack { slot })
            }
            None => self.refill(),
        }
    }

    /// Gives a stack back that nothing runs on any more. A stack of another size goes to the
    /// reserve. Returns how much of the stack was used, if it was deep and that was measured.
    #[inline]
    pub(crate) fn give(&mut self, stack: Stack) -> Option<StackUse> {
        if stack.size() != self.size {
            return stack.retire();
        }
        let slot = stack.into_slot();
        let mut used = None;
        if !is_marked(slot) {
            used = self.unmarked(slot);
        }
        self.keep(slot);
        used
    }

    /// Takes a credit: the right to one stack, so that running out shows at spawn.
    ///
    /// # Errors
    ///
    /// When the system gives no more address space or mappings; the text names the limit.
    #[inline]
    pub(crate) fn reserve(&mut self) -> io::Result<()> {
        if self.credits == 0 {
            self.fetch_credits()?;
        }
        self.credits -= 1;
        Ok(())
    }

    /// Gives a credit back at the end of a green thread, after its stack.
    #[inline]
    pub(crate) fn unreserve(&mut self) {
        self.credits += 1;
        if self.credits > 2 * self.batch {
            self.return_credits(self.batch);
        }
    }

    /// Takes back the stack of a green thread that has ended and did not go deep
    /// ([`Stack::was_deep`]), and its credit, if it is of this pool's size. A stack of another size
    /// goes to the reserve; its credit is not the pool's.
    #[inline]
    pub(crate) fn take_back(&mut self, stack: Stack) {
        if stack.size() != self.size {
            return drop(stack);
        }
        self.keep(stack.into_slot());
        self.unreserve();
    }

    /// Does the same for a stack that was deep, and returns how much of it was used, if that was
    /// measured.
    #[cold]
    pub(crate) fn take_back_deep(&mut self, stack: Stack) -> Option<StackUse> {
        if stack.size() != self.size {
            return stack.retire();
        }
        let used = self.give(stack);
        self.unreserve();
        used
    }

    #[inline]
    fn keep(&mut self, slot: Slot) {
        if self.list.len() < self.room {
            self.list.push(slot);
        } else {
            self.spill(slot);
        }
    }

    /// Begins to give back stacks that were not needed in the recent past, and does a first
    /// [`StackPool::trim_step`]. The worker calls it about once a second.
    pub(crate) fn trim(&mut self) -> bool {
        self.period = reserve::lock(self.reserve).begin_period(self.period);
        self.pass_on(self.min_len - self.min_len / 4);
        if self.credits > self.batch {
            self.return_credits(self.credits - self.batch);
        }
        self.min_len = self.list.len();
        self.cleanings_left = MAX_CLEANINGS_PER_TRIM;
        for slot in self.list.iter().rev().take(RELEASES_PER_TRIM) {
            release_deep(*slot);
        }
        self.trim_step()
    }

    /// Gives back a little more, for about a millisecond. Returns true when there may be more to
    /// do: call it again at an idle moment, and between green threads some times a second.
    pub(crate) fn trim_step(&mut self) -> bool {
        reserve::trim_step(self.reserve)
    }

    #[cold]
    fn refill(&mut self) -> io::Result<Stack> {
        self.join();
        let want = self.batch.min(self.room).max(1);
        reserve::take(self.reserve, self.size, want, &mut self.list)?;
        self.min_len = 0;
        match self.list.pop() {
            Some(slot) => Ok(Stack { slot }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Gets the credits for a list (P1). Without them the pool works, but keeps no stacks.
    fn join(&mut self) {
        if self.room > 0 {
            return;
        }
        let mut reserve = reserve::lock(self.reserve);
        let (room, batch) = match reserve.guarding() {
            Guarding::Light => (POOL_CAPACITY, FETCH_BATCH),
            Guarding::Protected => (PROTECTED_POOL_CAPACITY, PROTECTED_FETCH_BATCH),
        };
        self.batch = batch;
        reserve.pools += usize::from(!self.joined);
        self.joined = true;
        self.room = reserve.grant(self.size, room).unwrap_or(0);
        drop(reserve);
        self.list.reserve(self.room);
    }

    #[cold]
    fn fetch_credits(&mut self) -> io::Result<()> {
        self.join();
        self.credits += reserve::lock(self.reserve).grant(self.size, self.batch)?;
        Ok(())
    }

    #[cold]
    fn return_credits(&mut self, count: usize) {
        self.credits -= count;
        reserve::lock(self.reserve).ungrant(self.size, count);
    }

    /// Passes the older half of a full list on to the reserve.
    #[cold]
    fn spill(&mut self, slot: Slot) {
        self.pass_on(self.list.len().div_ceil(2));
        if self.list.len() < self.room {
            self.list.push(slot);
        } else {
            reserve::lock(self.reserve).put(&[slot]);
        }
    }

    /// Passes the oldest `count` slots of the list on to the reserve.
    fn pass_on(&mut self, count: usize) {
        if count > 0 {
            reserve::lock(self.reserve).put(&self.list[..count]);
            self.list.drain(..count);
            self.min_len = self.min_len.min(self.list.len());
        }
    }

    /// Handles a stack whose mark is missing: it was deep.
    #[cold]
    fn unmarked(&mut self, slot: Slot) -> Option<StackUse> {
        if self.cleanings_left == 0 {
            // The mark stays spoilt, so a later call finds this stack again.
            self.has_skipped = true;
            return None;
        }
        self.cleanings_left -= 1;
        let used = mark::measure(slot, self.has_skipped);
        release_deep(slot);
        write_mark(slot);
        used
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        self.pass_on(self.list.len());
        let mut reserve = reserve::lock(self.reserve);
        reserve.ungrant(self.size, self.credits + self.room);
        reserve.pools -= usize::from(self.joined);
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StackPool")
            .field("size", &self.size)
            .field("free", &self.list.len())
            .field("credits", &self.credits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::super::mark::*;
    use super::super::size::GUARD_BYTES;
    use super::*;
    use crate::sys::mem;

    fn own_reserve(guarding: Option<Guarding>) -> &'static Mutex<Reserve> {
        Box::leak(Box::new(Mutex::new(Reserve::new(guarding))))
    }

    fn own_pool() -> StackPool {
        StackPool::with_reserve(StackSize::DEFAULT, own_reserve(None))
    }

    fn touch(stack: &Stack, pages: usize) {
        for page in 0..pages {
            let address = stack.top() - 64 - page * mem::page_size();
            let byte: *mut u8 = ptr::with_exposed_provenance_mut(address);
            // SAFETY: the stack is the test's own, and the address lies in its usable bytes.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// Overwrites the mark, as a frame does that reaches below the highest page.
    fn spoil(stack: &Stack) {
        // SAFETY: the stack is the test's own.
        unsafe { mark_of(stack.slot).write([7; 4]) };
    }

    fn resident(stack: &Stack) -> usize {
        let from = stack.slot.usable_from();
        mem::resident_pages(from, stack.slot.end() - from)
    }

    fn take_many(pool: &mut StackPool, count: usize) -> Vec<Stack> {
        let take = |_| {
            pool.reserve().unwrap();
            pool.take().unwrap()
        };
        (0..count).map(take).collect()
    }

    fn give_all(pool: &mut StackPool, stacks: Vec<Stack>) {
        for stack in stacks {
            pool.give(stack);
            pool.unreserve();
        }
    }

    #[test]
    fn the_last_given_is_the_next_taken() {
        let mut pool = own_pool();
        let stacks = take_many(&mut pool, 3);
        let limits: Vec<usize> = stacks.iter().map(Stack::limit).collect();
        give_all(&mut pool, stacks);
        let again = take_many(&mut pool, 3);
        assert!(again.iter().map(Stack::limit).eq(limits.into_iter().rev()));
        give_all(&mut pool, again);
    }

    #[test]
    fn every_slot_is_guarded_once_and_owned_once() {
        for guarding in [None, Some(Guarding::Protected)] {
            let mut pool = StackPool::with_reserve(StackSize::DEFAULT, own_reserve(guarding));
            let stacks = take_many(&mut pool, 300);
            let mut limits: Vec<usize> = stacks.iter().map(Stack::limit).collect();
            limits.sort_unstable();
            limits.dedup();
            assert_eq!(limits.len(), 300);
            for stack in &stacks {
                assert!(mem::faults(stack.limit()).unwrap(), "{guarding:?}");
                assert!(mem::faults(stack.limit() + GUARD_BYTES - 1).unwrap());
                assert!(!mem::faults(stack.limit() + GUARD_BYTES).unwrap());
            }
            give_all(&mut pool, stacks);
        }
    }

    #[test]
    fn guards_survive_the_release_of_pages() {
        let mut pool = own_pool();
        let stacks = take_many(&mut pool, 200);
        for stack in &stacks {
            touch(stack, 1);
        }
        give_all(&mut pool, stacks);
        for _ in 0..12 {
            while pool.trim() {}
        }
        let again = take_many(&mut pool, 200);
        for stack in &again {
            assert_eq!(resident(stack), 0);
            assert!(mem::faults(stack.limit()).unwrap());
        }
        give_all(&mut pool, again);
    }

    #[test]
    fn a_deep_stack_gives_its_pages_back_and_a_shallow_one_keeps_its_page() {
        let mut pool = own_pool();
        let stack = take_many(&mut pool, 1).remove(0);
        touch(&stack, 1);
        pool.give(stack);
        let stack = pool.take().unwrap();
        assert_eq!(resident(&stack), 1);

        let deep = stack.size().usable() / mem::page_size() + 1;
        touch(&stack, deep);
        spoil(&stack);
        assert_eq!(resident(&stack), deep);
        pool.give(stack);
        let stack = pool.take().unwrap();
        assert_eq!(resident(&stack), 1);
        give_all(&mut pool, vec![stack]);
    }

    #[test]
    fn cleaning_up_is_bounded_between_two_trims() {
        let mut pool = own_pool();
        let mut stack = take_many(&mut pool, 1).remove(0);
        let mut cleaned = 0;
        for _ in 0..2 * MAX_CLEANINGS_PER_TRIM {
            touch(&stack, 3);
            spoil(&stack);
            pool.give(stack);
            stack = pool.take().unwrap();
            cleaned += u32::from(resident(&stack) == 1);
        }
        assert_eq!(cleaned, MAX_CLEANINGS_PER_TRIM);
        pool.give(stack);
        pool.trim();
        stack = pool.take().unwrap();
        assert!(resident(&stack) <= 1);
        give_all(&mut pool, vec![stack]);
    }

    #[test]
    fn memory_follows_demand_down() {
        let mut pool = own_pool();
        let stacks = take_many(&mut pool, 3_000);
        let survivor = stacks.iter().min_by_key(|stack| stack.slot.slab()).unwrap();
        let survivor = survivor.slot;
        for stack in &stacks {
            touch(stack, 1);
        }
        let most = reserve::lock(pool.reserve).counts(pool.size);
        assert!(most.slabs >= 3 && most.slots >= 3_000);
        let (kept, ended): (Vec<_>, Vec<_>) =
            stacks.into_iter().partition(|stack| stack.slot == survivor);
        give_all(&mut pool, ended);

        // The first two only learn that the stacks are not needed.
        for _ in 0..12 {
            pool.trim();
            while pool.trim_step() {}
        }
        let left = reserve::lock(pool.reserve).counts(pool.size);
        assert!(left.slabs < most.slabs, "{left:?} of {most:?}");
        assert_eq!((left.warm, pool.list.len()), (0, 0), "{left:?}");
        give_all(&mut pool, kept);
    }

    #[test]
    fn memory_comes_first_only_to_stacks_that_threads_wait_for() {
        let mut pool = own_pool();
        let stacks = take_many(&mut pool, 300);
        assert!(stacks.iter().all(|stack| resident(stack) == 0));
        (0..600).for_each(|_| pool.reserve().unwrap());
        let waited_for: Vec<_> = (0..600).map(|_| pool.take().unwrap()).collect();
        let pages: usize = waited_for.iter().map(resident).sum();
        let page = mem::page_size();
        let above = stacks[0].slot.end() - page;
        mem::populate(std::iter::once(above), page);
        let can = resident(&stacks[0]) == 1;
        assert!(if can { pages > 200 } else { pages == 0 }, "{pages}");
        assert!(waited_for.iter().all(|stack| resident(stack) <= 1));
        assert_eq!(resident(&waited_for[599]), 0, "no thread waits any more");
        for stack in &waited_for {
            assert!(mem::faults(stack.limit()).unwrap());
            assert_eq!(read_mark(stack.slot), [0; 4]);
        }
        give_all(&mut pool, waited_for);
        give_all(&mut pool, stacks);
    }

    #[test]
    fn stacks_used_in_every_period_are_kept() {
        let mut pool = own_pool();
        for _ in 0..6 {
            let stacks = take_many(&mut pool, 100);
            stacks.iter().for_each(|stack| touch(stack, 1));
            give_all(&mut pool, stacks);
            pool.trim();
            while pool.trim_step() {}
        }
        let stacks = take_many(&mut pool, 100);
        assert!(stacks.iter().all(|stack| resident(stack) == 1));
        give_all(&mut pool, stacks);
    }

    #[test]
    fn credits_are_slots_that_exist_and_all_come_back() {
        let reserve = own_reserve(None);
        let size = StackSize::DEFAULT;
        let mut one = StackPool::with_reserve(size, reserve);
        let mut two = StackPool::with_reserve(size, reserve);
        for _ in 0..5_000 {
            one.reserve().unwrap();
        }
        let counts = reserve::lock(reserve).counts(size);
        assert!(counts.slots >= counts.promised && counts.promised >= 5_000 + one.room);
        // Started and ended on another worker than where they were spawned.
        let stacks: Vec<Stack> = (0..5_000).map(|_| two.take().unwrap()).collect();
        let after = reserve::lock(reserve).counts(size);
        assert!(after.slots >= after.promised);
        give_all(&mut two, stacks);
        assert!(two.credits <= 2 * two.batch);
        drop(two);
        drop(one);
        assert_eq!(reserve::lock(reserve).counts(size).promised, 0);
    }

    #[test]
    fn stacks_and_pools_may_be_sent() {
        fn sendable<T: Send>() {}
        sendable::<Stack>();
        sendable::<StackPool>();
    }

    #[test]
    fn a_stack_of_another_size_does_not_enter_the_list() {
        let mut pool = StackPool::new(StackSize::DEFAULT);
        let other = StackSize::from_usable(1 << 20);
        crate::stack::reserve_shared(other).unwrap();
        pool.give(crate::stack::take_sized(other).unwrap());
        assert!(pool.list.is_empty());
        crate::stack::unreserve_shared(other);
    }
}
