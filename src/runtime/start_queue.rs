//! The queue of a worker's unstarted threads: pushed mostly by its worker, taken by any.
//!
//! Two queues of crossbeam's in a row: a bounded one, which costs a third, and behind it an unbounded one for
//! when many wait. First in, first out as long as one thread pushes: while something is behind, pushes go there, and
//! what is in front is older.

use crossbeam_queue::{ArrayQueue, SegQueue};

use super::shared::Unstarted;

const FRONT: usize = 256;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct StartQueue {
    front: ArrayQueue<Unstarted>,
    behind: SegQueue<Unstarted>,
}

impl StartQueue {
    pub(crate) fn new() -> StartQueue {
        StartQueue {
            front: ArrayQueue::new(FRONT),
            behind: SegQueue::new(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, new: Unstarted) {
        if self.behind.is_empty() {
            if let Err(new) = self.front.push(new) {
                self.behind.push(new);
            }
        } else {
            self.behind.push(new);
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Unstarted> {
        match self.front.pop() {
            None if !self.behind.is_empty() => self.behind.pop(),
            popped => popped,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.behind.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.behind.len()
    }
}
