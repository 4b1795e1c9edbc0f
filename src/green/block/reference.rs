#![allow(unsafe_code, reason = "counted references")]
//! Counted references to green threads. G1 in `green/mod.rs` is what they rest on.

use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use super::Green;
use crate::green::context::mailbox::Mail;
use crate::sys::exit;

/// Far more references than there can be threads that add one at the same moment are left above it.
const MOST_REFS: u32 = u32::MAX / 2;

#[cold]
fn too_many_refs() -> ! {
    exit::abort(format_args!(
        "more than {MOST_REFS} handles to one thread: they are leaked somewhere, with mem::forget for example"
    ))
}

/// A counted reference to a green thread.
pub(crate) struct GreenRef(NonNull<Green>);

// SAFETY: G1, and `Green` is `Sync`.
unsafe impl Send for GreenRef {}
// SAFETY: as above.
unsafe impl Sync for GreenRef {}

impl GreenRef {
    /// A reference that was counted already.
    #[inline]
    pub(in crate::green) fn of(green: NonNull<Green>) -> GreenRef {
        GreenRef(green)
    }

    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Green> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `raw` came from [`GreenRef::into_raw`], and not more often than it went there.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<Green>) -> GreenRef {
        GreenRef(raw)
    }
}

impl Green {
    /// A further reference. The caller has one, or runs on the thread.
    #[inline]
    pub(crate) fn to_ref(&self) -> GreenRef {
        // As in Arc: who forgets them again and again must not get the count around to 0.
        if self.refs.fetch_add(1, Ordering::Relaxed) > MOST_REFS {
            too_many_refs();
        }
        GreenRef::of(NonNull::from(self))
    }

    /// A reference, unless there is none any more: for the registry.
    pub(in crate::green) fn try_ref(&self) -> Option<GreenRef> {
        // Acquire: pairs with the Release of `animate`.
        self.refs
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |refs| {
                (refs > 0).then(|| refs + 1)
            })
            .ok()?;
        Some(GreenRef::of(NonNull::from(self)))
    }

    /// The thread of a message that came out of an inbox, with the reference that came with it.
    pub(in crate::green) fn from_mail(mail: NonNull<Mail>) -> GreenRef {
        // SAFETY: it is that field of a block.
        let green = unsafe { mail.byte_sub(offset_of!(Green, mail)) };
        // SAFETY: M2, `post` put that reference there.
        unsafe { GreenRef::from_raw(green.cast()) }
    }
}

impl std::ops::Deref for GreenRef {
    type Target = Green;
    #[inline(always)]
    fn deref(&self) -> &Green {
        // SAFETY: G1.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for GreenRef {
    #[inline]
    fn clone(&self) -> GreenRef {
        self.to_ref()
    }
}

impl Drop for GreenRef {
    #[inline]
    fn drop(&mut self) {
        if self.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            self.recycle();
        }
    }
}

impl fmt::Debug for GreenRef {
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
    fn references_that_are_forgotten_do_not_come_around() {
        let name =
            "green::block::reference::tests::references_that_are_forgotten_do_not_come_around";
        let Some(output) = test_child::outcome(name, || {
            let block = Green::born(None, Location::caller(), 0).unwrap();
            // SAFETY: just born, and nothing of it borrows.
            let (one, _other) = unsafe { Green::animate(block, || ()) };
            // As when so many clones were forgotten; the count would be 0 after the one more.
            one.refs.store(u32::MAX, Ordering::Relaxed);
            let _forgotten = ManuallyDrop::new(one.clone());
        }) else {
            return;
        };
        assert_eq!(output.status.signal(), Some(6), "{:?}", output.status);
    }
}
