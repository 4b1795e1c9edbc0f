//! Iterators over the messages of a channel.

use std::fmt;
use std::iter::FusedIterator;

use super::Receiver;

/// Iterator that waits for each message; returned by [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::channel::unbounded();
/// rustlet::run(move || {
///     rustlet::spawn(move || (0..3).for_each(|n| sender.send(n).unwrap()));
///     let mut messages: rustlet::channel::Iter<'_, u32> = receiver.iter();
///     assert_eq!(messages.next(), Some(0));
///     assert!(messages.eq([1, 2]));
/// });
/// ```
pub struct Iter<'a, T> {
    pub(super) receiver: &'a Receiver<T>,
}

/// Iterator over the messages in the channel; returned by [`Receiver::try_iter`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::channel::unbounded();
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// let messages: rustlet::channel::TryIter<'_, u32> = receiver.try_iter();
/// assert!(messages.eq([1, 2]));
/// assert_eq!(receiver.try_iter().next(), None);
/// ```
pub struct TryIter<'a, T> {
    pub(super) receiver: &'a Receiver<T>,
}

/// Owning iterator that waits for each message; returned by `Receiver::into_iter`.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::channel::unbounded();
/// sender.send(1).unwrap();
/// drop(sender);
/// let messages: rustlet::channel::IntoIter<u32> = receiver.into_iter();
/// assert!(messages.eq([1]));
/// ```
pub struct IntoIter<T> {
    pub(super) receiver: Receiver<T>,
}

impl<T> Receiver<T> {
    /// Returns an iterator over messages that waits for each, until the channel is empty and all
    /// senders were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// std::thread::spawn(move || (1..=3).for_each(|n| sender.send(n).unwrap()));
    /// assert_eq!(receiver.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Returns an iterator over the messages that are in the channel; it does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::unbounded;
    ///
    /// let (sender, receiver) = unbounded();
    /// sender.send(1).unwrap();
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
