//! [`Pooled`]: the guard of a value that a pool has lent out.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::manager::Manager;
use super::shared::{Lent, Shared};
use crate::green::cancel::UnwindMark;

/// Guard of a value of a [`Pool`](super::Pool), which returns the value when it is dropped.
///
/// The guard drops the value instead if the thread that drops the guard is unwinding, or if a
/// cancellation has unwound that thread since it took the value. An elapsed
/// [`timeout`](crate::timeout) around a request is an example, even if the guard is outside of it.
/// On a connection whose request was interrupted, the next request would receive the answer to that
/// one. If values can be used again all the same, the manager returns `true` from
/// [`survives_unwinding`](Manager::survives_unwinding).
///
/// The guard may be sent to another thread. Then only a panic or a cancellation that unwinds that
/// thread while it drops the guard is noticed.
///
/// # Examples
///
/// ```
/// use rustlet::pool::Pool;
/// use rustlet::time::{Duration, timeout};
///
/// rustlet::run(|| {
///     let pool = Pool::new(1, || Ok::<_, ()>(Vec::new()));
///     let mut value = pool.get().unwrap();
///     let late = timeout(Duration::from_millis(1), || {
///         value.push("half of a request");
///         rustlet::park();
///     });
///     assert!(late.is_err());
///     drop(value);
///     assert!(pool.get().unwrap().is_empty());
/// });
/// ```
pub struct Pooled<M: Manager> {
    shared: Arc<Shared<M>>,
    /// `None` once the value was taken out.
    lent: Option<Lent<M::Item>>,
    taken: UnwindMark,
}

impl<M: Manager> Pooled<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, lent: Lent<M::Item>) -> Pooled<M> {
        Pooled {
            shared,
            lent: Some(lent),
            taken: UnwindMark::now(),
        }
    }

    /// Takes the value out of the pool permanently. The pool may create another one in its place.
    ///
    /// It is an associated function, so that it hides no method of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::{Pool, Pooled};
    ///
    /// let pool = Pool::new(1, || Ok::<_, ()>(String::from("new")));
    /// let mut value: String = Pooled::take(pool.get().unwrap());
    /// value.push_str(" and mine");
    /// assert_eq!(*pool.get().unwrap(), "new");
    /// ```
    #[must_use]
    pub fn take(mut this: Pooled<M>) -> M::Item {
        match this.lent.take() {
            Some(lent) => lent.item,
            None => unreachable!("it is there until the guard ends"),
        }
    }

    /// Drops the value instead of returning it to the pool. Use it for a value that is found to be
    /// unusable. Like [`take`](Pooled::take), it is an associated function.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::{Pool, Pooled};
    ///
    /// let pool = Pool::new(1, || Ok::<_, ()>(0));
    /// Pooled::discard(pool.get().unwrap());
    /// assert_eq!(pool.state().idle, 0);
    /// ```
    pub fn discard(mut this: Pooled<M>) {
        if let Some(Lent { item, permit, .. }) = this.lent.take() {
            // The permit is released last, so that there are never more values than permits.
            drop(item);
            drop(permit);
        }
    }
}

impl<M: Manager> Deref for Pooled<M> {
    type Target = M::Item;

    fn deref(&self) -> &M::Item {
        match &self.lent {
            Some(lent) => &lent.item,
            None => unreachable!("it is there until the guard ends"),
        }
    }
}

impl<M: Manager> DerefMut for Pooled<M> {
    fn deref_mut(&mut self) -> &mut M::Item {
        match &mut self.lent {
            Some(lent) => &mut lent.item,
            None => unreachable!("it is there until the guard ends"),
        }
    }
}

impl<M: Manager> Drop for Pooled<M> {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            let has_unwound = std::thread::panicking() || self.taken.has_unwound_since();
            self.shared.give_back(lent, has_unwound);
        }
    }
}

impl<M: Manager> fmt::Debug for Pooled<M>
where
    M::Item: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
