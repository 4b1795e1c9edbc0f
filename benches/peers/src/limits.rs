//! What there is to reach: bare coroutines with a plain queue, no scheduler around them.

use std::collections::VecDeque;
use std::time::Instant;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use crate::figures::{Figures, per};

/// Round robin over so many coroutines. Their stacks come from mmap, one each, so more than some 30,000 are not to be had.
pub(crate) fn yields(threads: usize, total: u64) -> Option<Figures> {
    let each = (total / threads as u64).max(10);
    let mut queue = VecDeque::with_capacity(threads);
    for _ in 0..threads {
        let stack = DefaultStack::new(64 * 1024).ok()?;
        queue.push_back(Coroutine::with_stack(stack, move |yielder, ()| {
            for _ in 0..=each {
                yielder.suspend(());
            }
        }));
    }
    // The first turn touches the stack.
    for coroutine in &mut queue {
        coroutine.resume(());
    }
    let start = Instant::now();
    while let Some(mut coroutine) = queue.pop_front() {
        if let CoroutineResult::Yield(()) = coroutine.resume(()) {
            queue.push_back(coroutine);
        }
    }
    Some(per(start.elapsed(), each * threads as u64))
}

/// Start and end, the stack used again.
pub(crate) fn spawn_one(count: u64) -> Option<Figures> {
    let mut stack = DefaultStack::new(64 * 1024).ok()?;
    let start = Instant::now();
    for _ in 0..count {
        let mut coroutine: Coroutine<(), (), (), _> = Coroutine::with_stack(stack, |_, ()| ());
        coroutine.resume(());
        stack = coroutine.into_stack();
    }
    Some(per(start.elapsed(), count))
}
