#![allow(unsafe_code, reason = "counted references")]
//! Counted references to green threads. G1 in `green/mod.rs` is what they rest on.
//!
//! RF1. A reference that was pushed on a [`RefStack`] is the stack's, and the link of its thread
//!      too, until the one `take` that gets it; then both are those of the [`RefChain`]. A thread
//!      is on one stack at most.

use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering, fence};

use super::ThreadInner;
use crate::green::context::remote_queue::WakeNode;
use crate::sys::exit;

/// Far more references than there can be threads that add one at the same moment are left above it.
const MAX_REFS: u32 = u32::MAX / 2;

#[cold]
fn too_many_refs() -> ! {
    exit::abort(format_args!(
        "more than {MAX_REFS} handles to one thread: they are leaked somewhere, with mem::forget for example"
    ))
}

/// A counted reference to a green thread.
pub(crate) struct ThreadRef(NonNull<ThreadInner>);

// SAFETY: G1, and `ThreadInner` is `Sync`.
unsafe impl Send for ThreadRef {}
// SAFETY: as above.
unsafe impl Sync for ThreadRef {}

impl ThreadRef {
    /// A reference that was counted already.
    #[inline]
    pub(in crate::green) fn of(green: NonNull<ThreadInner>) -> ThreadRef {
        ThreadRef(green)
    }

    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<ThreadInner> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `raw` came from [`ThreadRef::into_raw`], and not more often than it went there.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<ThreadInner>) -> ThreadRef {
        ThreadRef(raw)
    }
}

impl ThreadInner {
    /// A further reference. The caller has one, or runs on the thread.
    #[inline]
    pub(crate) fn to_ref(&self) -> ThreadRef {
        // As in Arc: who forgets them again and again must not get the count around to 0.
        if self.refs.fetch_add(1, Ordering::Relaxed) > MAX_REFS {
            too_many_refs();
        }
        ThreadRef::of(NonNull::from(self))
    }

    /// A reference, unless there is none any more: for the registry.
    pub(in crate::green) fn try_ref(&self) -> Option<ThreadRef> {
        // Acquire: pairs with the Release of `init_body`.
        self.refs
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |refs| {
                (refs > 0).then(|| refs + 1)
            })
            .ok()?;
        Some(ThreadRef::of(NonNull::from(self)))
    }

    /// The thread of a message that came out of an inbox, with the reference that came with it.
    pub(in crate::green) fn from_wake_node(wake_node: NonNull<WakeNode>) -> ThreadRef {
        // SAFETY: it is that field of a block.
        let green = unsafe { wake_node.byte_sub(offset_of!(ThreadInner, wake_node)) };
        // SAFETY: M2, `post` put that reference there.
        unsafe { ThreadRef::from_raw(green.cast()) }
    }
}

impl std::ops::Deref for ThreadRef {
    type Target = ThreadInner;
    #[inline(always)]
    fn deref(&self) -> &ThreadInner {
        // SAFETY: G1.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for ThreadRef {
    #[inline]
    fn clone(&self) -> ThreadRef {
        self.to_ref()
    }
}

impl Drop for ThreadRef {
    #[inline]
    fn drop(&mut self) {
        if self.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            self.recycle();
        }
    }
}

/// References to threads of one scope, linked through their control blocks, so that it costs no
/// memory of its own. Anybody may push one, or take all of them (Treiber's stack without a pop of
/// its own: so nobody reads a link that is not theirs).
#[derive(Debug)]
pub(crate) struct RefStack(AtomicPtr<ThreadInner>);

impl RefStack {
    pub(crate) fn new() -> RefStack {
        RefStack(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn push(&self, green: ThreadRef) {
        let green = ManuallyDrop::new(green);
        let link = green.scope_link();
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            link.set(first);
            // Release: who takes it sees the link.
            match self.0.compare_exchange_weak(
                first,
                green.0.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => first = other,
            }
        }
    }

    /// All of them, the last one that was pushed first.
    pub(crate) fn take(&self) -> RefChain {
        // Acquire: the links, and what they lead to.
        RefChain(self.0.swap(ptr::null_mut(), Ordering::SeqCst))
    }
}

/// What a [`RefStack`] had. Dropped one after the other: a thread that took the next one with it
/// would need a stack as deep as the chain is long.
pub(crate) struct RefChain(*mut ThreadInner);

impl RefChain {
    /// The same the other way around.
    pub(crate) fn reversed(mut self) -> RefChain {
        let mut reversed = RefChain(ptr::null_mut());
        for green in &mut self {
            green.scope_link().set(reversed.0);
            reversed.0 = green.into_raw().as_ptr();
        }
        reversed
    }
}

impl Iterator for RefChain {
    type Item = ThreadRef;
    fn next(&mut self) -> Option<ThreadRef> {
        let first = ThreadRef(NonNull::new(self.0)?);
        self.0 = first.scope_link().replace(ptr::null_mut());
        Some(first)
    }
}

impl Drop for RefChain {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for ThreadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Green")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::panic::Location;

    use super::*;
    use crate::test_child;

    #[test]
    fn forgotten_references_do_not_overflow_the_count() {
        let name = "green::block::reference::tests::forgotten_references_do_not_overflow_the_count";
        let Some(output) = test_child::outcome(name, || {
            let block = ThreadInner::allocate(None, Location::caller(), 0).unwrap();
            // SAFETY: just born, and nothing of it borrows.
            let (one, _other) = unsafe { ThreadInner::init_body(block, || ()) };
            // As when so many clones were forgotten; the count would be 0 after the one more.
            one.refs.store(u32::MAX, Ordering::Relaxed);
            let _forgotten = ManuallyDrop::new(one.clone());
        }) else {
            return;
        };
        assert_eq!(output.status.signal(), Some(6), "{:?}", output.status);
    }
}
