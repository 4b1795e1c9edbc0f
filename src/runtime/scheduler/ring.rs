#![allow(
    unsafe_code,
    reason = "a buffer that grows while others may read the old one"
)]
//! A growable FIFO queue of words with one owner: the owner pushes and pops, any thread takes.
//!
//! `head` counts the words that were ever taken, `tail` those that were ever pushed. A push is a
//! store of the word and a store of `tail`; a thread that takes the oldest word reads it, and then
//! claims it by advancing `head` with a compare-and-swap. So a push costs no read-modify-write, and
//! the check for an empty queue costs two loads.
//!
//! - **RI1** Only the owner, one OS thread at a time, calls `push`, `pop` and `trim`; only these
//!   change `tail`, `buffer` and `retired`.
//! - **RI2** The words from `head` up to `tail` are in `buffer`, each at its number modulo the
//!   number of slots; the owner writes to the slot of a word only when it has seen `head` beyond
//!   that word. A thread that reads a slot and then advances `head` has read the right word, even
//!   from a buffer that was replaced meanwhile: the contents of a replaced buffer do not change,
//!   and a later word is announced by `tail` after its buffer.
//! - **RI3** The owner frees a replaced buffer when it sees no visitor after the replacement. A
//!   visitor counts itself and fences before it reads `buffer`; the owner replaces, fences and
//!   reads the count: either the owner sees the visitor, or the visitor sees the new buffer.
//!
//! The models are `loom_each_word_is_taken_once`, `loom_the_last_word_has_one_taker` and
//! `loom_what_a_word_stands_for_is_seen`.

use std::cell::UnsafeCell;
use std::fmt;

use crate::shim::{AtomicPtr, AtomicUsize, Ordering, fence};

/// The smallest number of slots; a power of two, as for every buffer.
const MIN_CAPACITY: usize = if cfg!(loom) { 1 } else { 256 };

struct Buffer {
    slots: Box<[AtomicUsize]>,
    /// Read by every access to a slot, and written when the buffer is freed, so that a model
    /// detects an access after the free (RI3).
    #[cfg(loom)]
    life: loom::cell::UnsafeCell<()>,
}

impl Buffer {
    /// Returns the slot of the word with that number.
    #[inline(always)]
    fn slot(&self, number: usize) -> &AtomicUsize {
        #[cfg(loom)]
        self.life.with(|_| ());
        &self.slots[number & (self.slots.len() - 1)]
    }

    /// Frees a buffer.
    ///
    /// # Safety
    ///
    /// `fresh` made it, and no thread uses it any more.
    unsafe fn free(this: *mut Buffer) {
        // Under loom the memory is kept, so that a buffer freed too early is reported and does not
        // crash.
        #[cfg(loom)]
        // SAFETY: by the contract.
        unsafe { &*this }.life.with_mut(|_| ());
        #[cfg(not(loom))]
        // SAFETY: by the contract.
        drop(unsafe { Box::from_raw(this) });
    }
}

/// The queue; see the module's text.
pub(crate) struct Ring {
    head: AtomicUsize,
    /// On a cache line apart from the fields that other threads write.
    owners: Owners,
    visitors: AtomicUsize,
}

#[cfg_attr(not(loom), repr(align(64)))]
struct Owners {
    tail: AtomicUsize,
    buffer: AtomicPtr<Buffer>,
    retired: UnsafeCell<Vec<*mut Buffer>>,
}

// SAFETY: only the owner uses `retired` (RI1); the rest is atomic.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

fn fresh(slots: usize) -> *mut Buffer {
    Box::into_raw(Box::new(Buffer {
        slots: (0..slots).map(|_| AtomicUsize::new(0)).collect(),
        #[cfg(loom)]
        life: loom::cell::UnsafeCell::new(()),
    }))
}

impl Ring {
    pub(crate) fn new() -> Ring {
        Ring {
            head: AtomicUsize::new(0),
            owners: Owners {
                tail: AtomicUsize::new(0),
                buffer: AtomicPtr::new(fresh(MIN_CAPACITY)),
                retired: UnsafeCell::new(Vec::new()),
            },
            visitors: AtomicUsize::new(0),
        }
    }

    /// Returns how many words there are; exact for the owner while no other thread takes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.owners.tail.load(Ordering::Acquire);
        // `tail` is read after `head`, and is never behind it.
        tail.wrapping_sub(head)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a word at the end.
    ///
    /// # Safety
    ///
    /// RI1: the caller is the owner.
    #[inline]
    pub(crate) unsafe fn push(&self, word: usize) {
        let tail = self.owners.tail.load(Ordering::Relaxed);
        // Acquire: other threads have finished reading the slots before `head` (RI2).
        let head = self.head.load(Ordering::Acquire);
        let mut buffer = self.owners.buffer.load(Ordering::Relaxed);
        // SAFETY: RI3, the owner frees it.
        let slots = unsafe { &*buffer }.slots.len();
        if tail.wrapping_sub(head) >= slots {
            // SAFETY: by the contract.
            buffer = unsafe { self.replace(2 * slots) };
        }
        // SAFETY: RI3.
        let buffer = unsafe { &*buffer };
        buffer.slot(tail).store(word, Ordering::Relaxed);
        // Release: a thread that sees the number sees the word, what the word stands for, and the
        // buffer that holds it.
        self.owners
            .tail
            .store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Takes the oldest word.
    ///
    /// # Safety
    ///
    /// RI1: the caller is the owner.
    #[inline]
    pub(crate) unsafe fn pop(&self) -> Option<usize> {
        loop {
            let head = self.head.load(Ordering::Acquire);
            if head == self.owners.tail.load(Ordering::Relaxed) {
                return None;
            }
            // The owner alone frees buffers, so the current one is valid here.
            if let Some(word) = self.claim(head) {
                return Some(word);
            }
        }
    }

    /// Takes the oldest word; any thread may call this.
    pub(crate) fn take(&self) -> Option<usize> {
        self.visitors.fetch_add(1, Ordering::Relaxed);
        // RI3.
        fence(Ordering::SeqCst);
        let word = loop {
            let head = self.head.load(Ordering::Acquire);
            // Acquire: pairs with the Release of `push`.
            if head == self.owners.tail.load(Ordering::Acquire) {
                break None;
            }
            if let Some(word) = self.claim(head) {
                break Some(word);
            }
        };
        // Release: the buffer was read before.
        self.visitors.fetch_sub(1, Ordering::Release);
        word
    }

    /// Reads word number `head`, which `tail` has announced, and takes it, unless another thread
    /// has taken it.
    #[inline]
    fn claim(&self, head: usize) -> Option<usize> {
        let buffer = self.owners.buffer.load(Ordering::Acquire);
        // SAFETY: RI3: the caller is the owner, or a visitor.
        let buffer = unsafe { &*buffer };
        let word = buffer.slot(head).load(Ordering::Relaxed);
        // Release: the slot was read before (RI2).
        self.head
            .compare_exchange(
                head,
                head.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .ok()
            .map(|_| word)
    }

    /// Gives memory back after the queue has been long.
    ///
    /// # Safety
    ///
    /// RI1: the caller is the owner.
    pub(crate) unsafe fn trim(&self) {
        let buffer = self.owners.buffer.load(Ordering::Relaxed);
        // SAFETY: RI3, the owner frees it.
        let slots = unsafe { &*buffer }.slots.len();
        let wanted = (4 * self.len()).next_power_of_two().max(MIN_CAPACITY);
        if wanted < slots {
            // SAFETY: by the contract.
            unsafe { self.replace(wanted) };
        } else {
            // SAFETY: by the contract.
            unsafe { self.free_retired() };
        }
    }

    /// Replaces the buffer by one with `slots` slots, which must be enough, and returns the new
    /// one.
    ///
    /// # Safety
    ///
    /// RI1: the caller is the owner.
    #[cold]
    unsafe fn replace(&self, slots: usize) -> *mut Buffer {
        let new = fresh(slots);
        let old = self.owners.buffer.load(Ordering::Relaxed);
        // SAFETY: RI3, the owner frees it.
        let from = unsafe { &*old };
        // SAFETY: just allocated, and not shared yet.
        let to = unsafe { &*new };
        let tail = self.owners.tail.load(Ordering::Relaxed);
        let mut number = self.head.load(Ordering::Acquire);
        while number != tail {
            let word = from.slot(number).load(Ordering::Relaxed);
            to.slot(number).store(word, Ordering::Relaxed);
            number = number.wrapping_add(1);
        }
        // Release: a thread that sees the buffer sees its contents.
        self.owners.buffer.store(new, Ordering::Release);
        // SAFETY: RI1.
        unsafe { &mut *self.owners.retired.get() }.push(old);
        // SAFETY: by the contract.
        unsafe { self.free_retired() };
        new
    }

    /// Frees the retired buffers if there are no visitors.
    ///
    /// # Safety
    ///
    /// RI1: the caller is the owner.
    unsafe fn free_retired(&self) {
        // SAFETY: RI1.
        let retired = unsafe { &mut *self.owners.retired.get() };
        if retired.is_empty() {
            return;
        }
        // RI3.
        fence(Ordering::SeqCst);
        if self.visitors.load(Ordering::Acquire) == 0 {
            for old in retired.drain(..) {
                // SAFETY: RI3, and it is in this list once.
                unsafe { Buffer::free(old) };
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let buffer = self.owners.buffer.load(Ordering::Relaxed);
        self.owners.retired.get_mut().push(buffer);
        for old in self.owners.retired.get_mut().drain(..) {
            // SAFETY: no other thread has access any more; each buffer is in this list once.
            unsafe { Buffer::free(old) };
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("len", &self.len()).finish()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Limits involuntary thread switches to three, which finds everything that a higher limit has
    /// found.
    fn model(f: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(f);
    }

    /// The words need two slots, so the buffer is replaced, and shrunk again.
    #[test]
    fn loom_each_word_is_taken_once() {
        model(|| {
            let ring = Arc::new(Ring::new());
            let thief = thread::spawn({
                let ring = Arc::clone(&ring);
                move || [ring.take(), ring.take()]
            });
            // SAFETY: RI1, here and below: this is the owner's thread.
            unsafe { ring.push(1) };
            // SAFETY: as above.
            unsafe { ring.push(2) };
            // SAFETY: as above.
            let popped = unsafe { ring.pop() };
            // SAFETY: as above.
            unsafe { ring.trim() };
            // SAFETY: as above.
            unsafe { ring.push(3) };
            let stolen = thief.join().unwrap();
            let mut all: Vec<usize> = stolen.into_iter().chain([popped]).flatten().collect();
            // SAFETY: as above.
            while let Some(word) = unsafe { ring.pop() } {
                all.push(word);
            }
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
            assert!(stolen[0].is_none() || stolen[1].is_none() || stolen[0] < stolen[1]);
        });
    }

    #[test]
    fn loom_the_last_word_has_one_taker() {
        model(|| {
            let ring = Arc::new(Ring::new());
            // SAFETY: RI1, here and below: this is the owner's thread.
            unsafe { ring.push(1) };
            let thieves = [(); 2].map(|()| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || ring.take())
            });
            // SAFETY: as above.
            let popped = unsafe { ring.pop() };
            let stolen = thieves.map(|thief| thief.join().unwrap());
            let takers = stolen.iter().chain([&popped]).flatten();
            assert_eq!(takers.count(), 1);
            assert!(ring.is_empty());
        });
    }

    #[test]
    fn loom_what_a_word_stands_for_is_seen() {
        model(|| {
            let ring = Arc::new(Ring::new());
            let things = Arc::new([(); 2].map(|()| AtomicUsize::new(0)));
            let thief = thread::spawn({
                let (ring, things) = (Arc::clone(&ring), Arc::clone(&things));
                move || ring.take().map(|word| things[word].load(Ordering::Relaxed))
            });
            for word in 0..2 {
                things[word].store(5, Ordering::Relaxed);
                // SAFETY: RI1: this is the owner's thread.
                unsafe { ring.push(word) };
            }
            assert!(matches!(thief.join().unwrap(), None | Some(5)));
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn first_in_first_out_through_growth_and_shrinking() {
        let ring = Ring::new();
        let mut expected = VecDeque::new();
        let mut next = 0;
        for round in 0..3_000 {
            for _ in 0..(round * 7) % 31 {
                // SAFETY: RI1, this thread is the owner, here and below.
                unsafe { ring.push(next) };
                expected.push_back(next);
                next += 1;
            }
            for count in 0..(round * 5) % 29 {
                let word = if count % 3 == 0 {
                    ring.take()
                } else {
                    // SAFETY: as above.
                    unsafe { ring.pop() }
                };
                assert_eq!(word, expected.pop_front());
            }
            if round % 100 == 99 {
                while expected.len() > 10 {
                    assert_eq!(ring.take(), expected.pop_front());
                }
                // SAFETY: as above.
                unsafe { ring.trim() };
            }
            assert_eq!(ring.len(), expected.len());
        }
    }

    #[test]
    fn thieves_and_the_owner_share_out_every_word() {
        const WORDS: usize = 200_000;
        let ring = Ring::new();
        let done = AtomicBool::new(false);
        let thief = || {
            let mut sum = 0;
            let mut last = 0;
            loop {
                let over = done.load(Ordering::Acquire);
                match ring.take() {
                    Some(word) => {
                        assert!(word > last, "in order");
                        last = word;
                        sum += word;
                    }
                    None if over => return sum,
                    None => std::hint::spin_loop(),
                }
            }
        };
        let sum: usize = std::thread::scope(|scope| {
            let thieves = [scope.spawn(thief), scope.spawn(thief)];
            let mut sum = 0;
            for word in 1..=WORDS {
                // SAFETY: RI1, this thread is the owner, here and below.
                unsafe { ring.push(word) };
                if word % 5 == 0 {
                    // SAFETY: as above.
                    sum += unsafe { ring.pop() }.unwrap_or(0);
                }
                if word % 1_000 == 0 {
                    // SAFETY: as above.
                    unsafe { ring.trim() };
                }
            }
            done.store(true, Ordering::Release);
            sum + thieves
                .into_iter()
                .map(|thief| thief.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(sum, WORDS * (WORDS + 1) / 2);
    }
}
