//! [`Pooled`]: a value that is lent out.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::manager::Manager;
use super::shared::{Lent, Shared};
use crate::green::cancel::RaiseMark;

/// Value of a [`Pool`](super::Pool), which goes back when the guard is dropped.
///
/// It is thrown away instead of going back if the thread that drops it panics or is cancelled, or
/// if a cancellation has unwound that thread since it took the value: an elapsed
/// [`timeout`](crate::timeout) around a request, for example, even if the guard is outside of it. A
/// connection on which a request was cut short would give the answer to the next one. A manager
/// whose values bear that says so with [`survives_unwinding`](Manager::survives_unwinding).
///
/// The guard may be sent to another thread. Then only that thread's panic or cancellation while it
/// drops the guard is noticed.
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
    /// None: it was taken out.
    lent: Option<Lent<M::Item>>,
    taken: RaiseMark,
}

impl<M: Manager> Pooled<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, lent: Lent<M::Item>) -> Pooled<M> {
        Pooled {
            shared,
            lent: Some(lent),
            taken: RaiseMark::now(),
        }
    }

    /// Takes the value out of the pool for good; the pool may make another one in its place.
    ///
    /// It is a function, not a method, so that it hides no method of the value.
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

    /// Drops the value instead of giving it back: for a value that has turned out to be unusable.
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
            // In this order: the pool has no room for another one before.
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
