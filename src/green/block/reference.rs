#![allow(unsafe_code, reason = "counted references")]
//! Counted references to green threads. They rest on G1 in `green/mod.rs`.

use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use super::ThreadInner;
use crate::green::context::remote_queue::WakeNode;
use crate::green::scope::member_list::{Link, Member};
use crate::sys::exit;

/// The largest reference count. Above it remains far more room than there can be threads that add a
/// reference at the same moment.
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
    /// Wraps a reference that was counted already.
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
    /// `raw` came from [`ThreadRef::into_raw`], and is converted back only once for each call of
    /// it.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<ThreadInner>) -> ThreadRef {
        ThreadRef(raw)
    }
}

impl ThreadInner {
    /// Returns a further reference. The caller has one, or runs on the thread.
    #[inline]
    pub(crate) fn to_ref(&self) -> ThreadRef {
        // As in `Arc`: references that are forgotten again and again must not wrap the count to 0.
        if self.refs.fetch_add(1, Ordering::Relaxed) > MAX_REFS {
            too_many_refs();
        }
        ThreadRef::of(NonNull::from(self))
    }

    /// Returns a reference, unless none is left: for the registry.
    pub(in crate::green) fn try_ref(&self) -> Option<ThreadRef> {
        // Acquire: pairs with the Release of `init_body`.
        self.refs
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |refs| {
                (refs > 0).then(|| refs + 1)
            })
            .ok()?;
        Some(ThreadRef::of(NonNull::from(self)))
    }

    /// Returns the thread of a wake node from a remote queue, with the reference that the node
    /// carried.
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

impl Member for ThreadRef {
    type Thread = ThreadInner;

    fn as_ptr(&self) -> *mut ThreadInner {
        self.0.as_ptr()
    }

    unsafe fn from_ptr(address: NonNull<ThreadInner>) -> ThreadRef {
        // SAFETY: passed on to the caller.
        unsafe { ThreadRef::from_raw(address) }
    }

    fn link(&self) -> &Link<ThreadInner> {
        self.scope_link()
    }

    fn has_ended(&self) -> bool {
        self.completion().is_done()
    }

    fn cancel(&self) {
        ThreadInner::cancel(self);
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
            // SAFETY: just allocated, and nothing in it borrows.
            let (one, _other) = unsafe { ThreadInner::init_body(block, || ()) };
            // As if this many clones were forgotten; the next clone would make the count 0.
            one.refs.store(u32::MAX, Ordering::Relaxed);
            let _forgotten = ManuallyDrop::new(one.clone());
        }) else {
            return;
        };
        assert_eq!(output.status.signal(), Some(6), "{:?}", output.status);
    }
}
