#![allow(unsafe_code, reason = "blocks of slots that are filled or not")]
//! The FIFO of a channel's items: a linked list of blocks of slots.
//!
//! A ring that doubles would move a burst of items while the channel is locked, and keep its
//! memory. Here each item is written once and read once, a block is allocated on demand and freed
//! after it has been read, and one spare block is kept. Nothing is allocated before the first item.
//! An empty queue restarts its block, so a channel that holds one item at a time uses one slot.
//!
//! QU1. The slots from (`head`, `read`) to (`tail`, `written`) along the links are filled, `len`
//!      of them; no others are. `head` is null only if `tail` is, and then `len` is 0.
//! QU2. Blocks come from `Queue::block` with the layout of this queue, and belong to it alone.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::{MaybeUninit, offset_of};
use std::ptr;

/// Maximum size of a block in bytes, if its items are not larger.
const BLOCK_BYTES: usize = 1024;
const MAX_SLOTS: usize = 64;

/// The head of a block; its slots follow.
struct Block {
    next: *mut Block,
}

/// See the module documentation.
// A dump reads the first word (`runtime/inspect/channel_words.rs`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Queue<T> {
    len: usize,
    tail: *mut Block,
    written: usize,
    head: *mut Block,
    read: usize,
    /// An empty block, or null.
    spare: *mut Block,
    /// The number of slots in a block.
    slots: usize,
    items: std::marker::PhantomData<T>,
}

// SAFETY: QU2; it owns its items.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    /// Where the number of items is, in bytes from the start.
    pub(crate) const LEN: usize = offset_of!(Queue<T>, len);

    /// Creates a queue for at most `capacity` items (a hint for the size of blocks).
    pub(crate) const fn new(capacity: usize) -> Queue<T> {
        let size = size_of::<T>();
        let fit = match BLOCK_BYTES.checked_div(size) {
            Some(fit) => fit,
            None => MAX_SLOTS,
        };
        let mut slots = if fit > MAX_SLOTS { MAX_SLOTS } else { fit };
        if slots > capacity {
            slots = capacity;
        }
        if slots < 2 {
            // One, if it is to hold one; of larger items two, so that half of the block changes are
            // saved.
            slots = if capacity < 2 { 1 } else { 2 };
        }
        Queue {
            len: 0,
            tail: ptr::null_mut(),
            written: 0,
            head: ptr::null_mut(),
            read: 0,
            spare: ptr::null_mut(),
            slots,
            items: std::marker::PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the layout of a block, and where its slots begin.
    const fn layout(slots: usize) -> (Layout, usize) {
        let Ok(items) = Layout::array::<T>(slots) else {
            panic!("a block of items is larger than memory")
        };
        let Ok((layout, offset)) = Layout::new::<Block>().extend(items) else {
            panic!("a block of items is larger than memory")
        };
        (layout.pad_to_align(), offset)
    }

    /// Returns the address of item `at` of `block`.
    #[inline(always)]
    fn slot(block: *mut Block, at: usize) -> *mut T {
        let offset = size_of::<Block>().next_multiple_of(align_of::<T>());
        // In bounds: QU2, `at` is less than `slots`.
        block
            .cast::<u8>()
            .wrapping_add(offset)
            .cast::<T>()
            .wrapping_add(at)
    }

    /// Moves an item into the queue.
    ///
    /// # Safety
    ///
    /// `item` points to an item, which belongs to the queue from now on.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, item: *const T) {
        if self.written == self.slots || self.tail.is_null() {
            self.extend();
        }
        let slot = Self::slot(self.tail, self.written);
        // SAFETY: QU1, the slot is not filled, and in bounds; the item by the contract.
        unsafe { item.copy_to_nonoverlapping(slot, 1) };
        self.written += 1;
        self.len += 1;
    }

    /// Moves the first item to `to`. Returns `false` if there is none.
    ///
    /// # Safety
    ///
    /// `to` is writable. If `true` is returned, it has an item.
    #[inline(always)]
    pub(crate) unsafe fn pop(&mut self, to: *mut T) -> bool {
        if self.len == 0 {
            return false;
        }
        if self.read == self.slots {
            self.advance();
        }
        let slot = Self::slot(self.head, self.read);
        // SAFETY: QU1, and by the contract.
        unsafe { slot.copy_to_nonoverlapping(to, 1) };
        self.len -= 1;
        if self.len == 0 {
            // Then `head` is `tail`: QU1, and `extend` is followed by a write.
            self.read = 0;
            self.written = 0;
        } else {
            self.read += 1;
        }
        true
    }

    /// Takes the first item.
    fn take(&mut self) -> Option<T> {
        let mut item = MaybeUninit::uninit();
        // SAFETY: it is writable.
        if !unsafe { self.pop(item.as_mut_ptr()) } {
            return None;
        }
        // SAFETY: it was written.
        Some(unsafe { item.assume_init() })
    }

    /// Links another block: the last one is full.
    #[cold]
    #[inline(never)]
    fn extend(&mut self) {
        let fresh = if self.spare.is_null() {
            self.block()
        } else {
            std::mem::replace(&mut self.spare, ptr::null_mut())
        };
        // SAFETY: QU2.
        unsafe { (*fresh).next = ptr::null_mut() };
        // SAFETY: QU2.
        match unsafe { self.tail.as_mut() } {
            Some(tail) => tail.next = fresh,
            None => {
                self.head = fresh;
                self.read = 0;
            }
        }
        self.tail = fresh;
        self.written = 0;
    }

    fn block(&self) -> *mut Block {
        let (layout, offset) = Self::layout(self.slots);
        debug_assert_eq!(offset, size_of::<Block>().next_multiple_of(align_of::<T>()));
        // SAFETY: its size is not 0: there is a head.
        let block = unsafe { alloc(layout) }.cast::<Block>();
        if block.is_null() {
            handle_alloc_error(layout);
        }
        block
    }

    /// Continues with the next block: the first one has been read.
    #[cold]
    #[inline(never)]
    fn advance(&mut self) {
        let read = self.head;
        // SAFETY: QU1, it is not the last, because there are items.
        self.head = unsafe { (*read).next };
        self.read = 0;
        if self.spare.is_null() {
            self.spare = read;
        } else {
            self.free(read);
        }
    }

    fn free(&self, block: *mut Block) {
        if block.is_null() {
            return;
        }
        let (layout, _) = Self::layout(self.slots);
        // SAFETY: QU2.
        unsafe { dealloc(block.cast(), layout) };
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        while let Some(item) = self.take() {
            // If this panics, the rest is leaked: another panic would abort the process.
            drop(item);
        }
        // The last block: it is empty, and has no successor.
        self.free(self.head);
        self.free(self.spare);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::mem::ManuallyDrop;
    use std::rc::Rc;

    fn put<T>(queue: &mut Queue<T>, item: T) {
        let item = ManuallyDrop::new(item);
        // SAFETY: it is forgotten here.
        unsafe { queue.push(&raw const *item) };
    }

    fn agrees<T: Clone + PartialEq + std::fmt::Debug>(capacity: usize, make: impl Fn(usize) -> T) {
        let mut queue = Queue::new(capacity);
        let mut expected = VecDeque::new();
        let mut next = 0;
        for round in 0..500 {
            for _ in 0..(round * 7) % 131 {
                if expected.len() == capacity {
                    break;
                }
                put(&mut queue, make(next));
                expected.push_back(make(next));
                next += 1;
            }
            for _ in 0..(round * 5) % 127 {
                assert_eq!(queue.take(), expected.pop_front());
            }
            assert_eq!(queue.len(), expected.len());
        }
    }

    #[test]
    fn first_in_first_out() {
        for capacity in [1, 2, 3, 63, 64, 65, usize::MAX] {
            agrees(capacity, |n| n);
            agrees(capacity, |n| n as u8);
            agrees(capacity, |_| ());
            agrees(capacity, |n| [n; 300]);
            agrees(capacity, |n| n.to_string());
        }
    }

    #[test]
    fn alignment_of_messages_is_kept() {
        #[derive(Clone, Copy, PartialEq, Debug)]
        #[repr(align(128))]
        struct Wide(usize);
        agrees(usize::MAX, Wide);
        let mut queue = Queue::new(8);
        put(&mut queue, Wide(1));
        assert!(Queue::<Wide>::slot(queue.head, 0).is_aligned());
    }

    #[test]
    fn items_left_are_dropped_once() {
        let item = Rc::new(());
        for left in [0, 1, 64, 65, 200] {
            let mut queue = Queue::new(usize::MAX);
            for _ in 0..left + 100 {
                put(&mut queue, Rc::clone(&item));
            }
            for _ in 0..100 {
                drop(queue.take());
            }
            assert_eq!(Rc::strong_count(&item), left + 1);
            drop(queue);
            assert_eq!(Rc::strong_count(&item), 1);
        }
    }

    #[test]
    fn a_destructor_that_panics_ends_it() {
        struct Bomb(#[allow(dead_code, reason = "only counted")] Rc<()>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("as meant");
            }
        }
        let item = Rc::new(());
        let mut queue = Queue::new(usize::MAX);
        for _ in 0..100 {
            put(&mut queue, Bomb(Rc::clone(&item)));
        }
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(queue)));
        assert!(dropped.is_err());
        assert_eq!(Rc::strong_count(&item), 100);
    }
}
