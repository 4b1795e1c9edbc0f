//! Coroutines: a green thread connected with its creator by a channel in each direction.
//!
//! Both ends are values: [`Coroutine`] outside, [`Duplex`] inside. Each may be used by any thread,
//! green or not, and sent to another; because their methods take shared references, several threads
//! can use one end.
//!
//! # Examples
//!
//! ```
//! use rustlet::{Duplex, coroutine};
//!
//! rustlet::run(|| {
//!     let doubler = coroutine(|caller: Duplex<u32, u32>| {
//!         for n in &caller {
//!             caller.put(2 * n).unwrap();
//!         }
//!     });
//!     doubler.put(21).unwrap();
//!     assert_eq!(doubler.get(), Ok(42));
//! });
//! ```

// CO1. `open` is cleared before anything is disconnected, so a `put` of the end that has closed
//      fails although the other end can still get earlier items.

use std::fmt;
use std::iter::FusedIterator;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::channel::{Receiver, RecvError, SendError, Sender, bounded};
use crate::green::budget::poll_budget_quietly;
use crate::thread::{self, JoinHandle, Thread};

/// The capacity of each direction.
const CAPACITY: usize = 1;

/// State of one end, which puts `P` and gets `G`; the other does the reverse.
struct End<P, G> {
    puts: Sender<P>,
    gets: Receiver<G>,
    open: Arc<AtomicBool>,
}

fn ends<In, Out>() -> (End<In, Out>, End<Out, In>) {
    let (puts_in, gets_in) = bounded(CAPACITY);
    let (puts_out, gets_out) = bounded(CAPACITY);
    let open = Arc::new(AtomicBool::new(true));
    let outside = End {
        puts: puts_in,
        gets: gets_out,
        open: Arc::clone(&open),
    };
    let inside = End {
        puts: puts_out,
        gets: gets_in,
        open,
    };
    (outside, inside)
}

impl<P, G> End<P, G> {
    #[track_caller]
    #[inline(always)]
    fn put(&self, item: P) -> Result<(), SendError<P>> {
        if self.is_alive() {
            self.puts.send(item)
        } else {
            poll_budget_quietly(Location::caller());
            Err(SendError(item))
        }
    }

    /// Relaxed: a hint, as the other end may close right after; the channels do the rest.
    #[inline(always)]
    fn is_alive(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    fn close(&self) {
        // CO1.
        self.open.store(false, Ordering::Relaxed);
        self.puts.close();
        self.gets.close();
    }
}

impl<P, G> Drop for End<P, G> {
    fn drop(&mut self) {
        // Clones of the receiver may exist; they do not keep the other end waiting.
        self.close();
    }
}

/// Spawns a green thread that exchanges items with the caller: a generator, a filter, a
/// conversation.
///
/// `f` gets the inner end, a [`Duplex`], and the caller the outer one, a [`Coroutine`]. The thread
/// is spawned as by [`spawn`](crate::spawn) and runs by itself, not only while the caller waits in
/// `get`. Each direction holds one item: `put` waits until the item before has been received. So
/// both sides may `put` at the same time.
///
/// When `f` returns, its end is dropped: the items that it has put can still be received, then
/// [`get`](Coroutine::get) returns an error and iteration ends. The same holds when `f` panics;
/// [`join`](Coroutine::join) returns the payload.
///
/// # Panics
///
/// Panics if a limit is reached, as [`spawn`](crate::spawn).
///
/// # Examples
///
/// A generator:
///
/// ```
/// use rustlet::{Duplex, coroutine};
///
/// rustlet::run(|| {
///     let squares = coroutine(|caller: Duplex<(), u32>| {
///         for n in 1.. {
///             if caller.put(n * n).is_err() {
///                 return; // the caller has closed its end
///             }
///         }
///     });
///     assert_eq!(squares.into_iter().take(4).collect::<Vec<_>>(), [1, 4, 9, 16]);
/// });
/// ```
///
/// A conversation:
///
/// ```
/// use rustlet::{Duplex, coroutine};
///
/// rustlet::run(|| {
///     let sums = coroutine(|caller: Duplex<i64, i64>| {
///         let mut sum = 0;
///         for number in &caller {
///             sum += number;
///             caller.put(sum).unwrap();
///         }
///     });
///     for (number, sum) in [(1, 1), (2, 3), (3, 6)] {
///         sums.put(number).unwrap();
///         assert_eq!(sums.get(), Ok(sum));
///     }
///     sums.join().unwrap(); // closes, and so ends the loop inside
/// });
/// ```
#[doc(alias = "generator")]
#[doc(alias = "yield")]
#[track_caller]
pub fn coroutine<In, Out, F>(f: F) -> Coroutine<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
    F: FnOnce(Duplex<In, Out>) + Send + 'static,
{
    let (outside, inside) = ends();
    let thread = thread::spawn(move || f(Duplex { end: inside }));
    Coroutine {
        end: outside,
        thread,
    }
}

/// Caller's end of a [`coroutine`]: `put` sends a value to the coroutine, `get` receives one from
/// it.
///
/// Dropping it closes it; the green thread goes on, and its `put` and `get` return errors from then
/// on. To end the thread wherever it waits, [`cancel`](Coroutine::cancel) it.
///
/// # Examples
///
/// ```
/// use rustlet::{Duplex, coroutine};
///
/// // From an OS thread.
/// let shout = coroutine(|caller: Duplex<&str, String>| {
///     for word in &caller {
///         caller.put(word.to_uppercase()).unwrap();
///     }
/// });
/// shout.put("hello").unwrap();
/// assert_eq!(shout.get().unwrap(), "HELLO");
/// ```
pub struct Coroutine<In, Out> {
    end: End<In, Out>,
    thread: JoinHandle<()>,
}

/// Inner end of a [`coroutine`]: `put` sends a value to the caller, `get` receives one from it.
///
/// Dropping it closes it, at the latest when the function returns or unwinds. It may be sent to
/// another thread.
///
/// # Examples
///
/// ```
/// use rustlet::{Duplex, coroutine};
///
/// fn countdown(caller: Duplex<(), u32>) {
///     for n in (0..3).rev() {
///         caller.put(n).unwrap();
///     }
/// }
/// rustlet::run(|| assert!(coroutine(countdown).into_iter().eq([2, 1, 0])));
/// ```
pub struct Duplex<In, Out> {
    end: End<Out, In>,
}

/// The methods of both ends.
macro_rules! both_ends {
    ($end:ident: $into:ident, puts $p:ident, gets $g:ident; $other:literal) => {
        impl<In, Out> $end<In, Out> {
            #[doc = concat!("Sends an item to ", $other, ", waiting while there is no room.")]
            ///
            /// # Errors
            ///
            /// Returns the item in the error if one of the ends is closed.
            ///
            /// # Suspends
            ///
            /// Suspends the calling green thread while the item before has not been received;
            /// blocks an OS thread.
            ///
            /// # Cancellation
            ///
            /// The caller unwinds and the item, which was not received, is dropped.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            ///
            /// rustlet::run(|| {
            ///     let echo = coroutine(|caller: Duplex<u8, u8>| {
            ///         while let Ok(item) = caller.get() {
            ///             caller.put(item).unwrap();
            ///         }
            ///     });
            ///     echo.put(1).unwrap();
            ///     assert_eq!(echo.get(), Ok(1));
            /// });
            /// ```
            #[track_caller]
            #[inline(always)]
            pub fn put(&self, item: $p) -> Result<(), SendError<$p>> {
                self.end.put(item)
            }

            #[doc = concat!("Receives the next item of ", $other, ", waiting for it.")]
            ///
            /// # Errors
            ///
            /// Returns an error if there is no item and one of the ends is closed.
            ///
            /// # Suspends
            ///
            /// Suspends the calling green thread while there is no item; blocks an OS thread.
            ///
            /// # Cancellation
            ///
            /// The caller unwinds; no item has been taken.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            ///
            /// rustlet::run(|| {
            ///     let once = coroutine(|caller: Duplex<(), u8>| caller.put(1).unwrap());
            ///     assert_eq!(once.get(), Ok(1));
            ///     assert!(once.get().is_err()); // The coroutine has returned.
            /// });
            /// ```
            #[track_caller]
            #[inline(always)]
            pub fn get(&self) -> Result<$g, RecvError> {
                self.end.gets.recv()
            }

            /// Closes this end: no item can be put from either side, and none received here. The
            /// other end can still receive earlier items. Threads that wait in `put` or `get` on
            /// the other side are woken.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            ///
            /// rustlet::run(|| {
            ///     let echo = coroutine(|caller: Duplex<u8, u8>| drop(caller.get()));
            ///     echo.close();
            ///     assert!(echo.put(1).is_err());
            /// });
            /// ```
            #[track_caller]
            pub fn close(&self) {
                poll_budget_quietly(Location::caller());
                self.end.close();
            }

            /// Returns `true` if neither end was closed or dropped. Earlier items may still be
            /// received afterwards.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            ///
            /// rustlet::run(|| {
            ///     let idle = coroutine(|caller: Duplex<(), ()>| drop(caller.get()));
            ///     assert!(idle.is_alive());
            ///     idle.close();
            ///     assert!(!idle.is_alive());
            /// });
            /// ```
            #[must_use]
            #[track_caller]
            pub fn is_alive(&self) -> bool {
                poll_budget_quietly(Location::caller());
                self.end.is_alive()
            }

            /// Returns a receiver of the items that [`get`](Self::get) returns: for `select!`, time
            /// limits, or `try_recv`.
            ///
            /// It does not keep the end open: when the end closes, the receiver is disconnected.
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            /// use std::time::Duration;
            ///
            /// rustlet::run(|| {
            ///     let silent = coroutine(|caller: Duplex<(), ()>| drop(caller.get()));
            ///     assert!(silent.receiver().recv_timeout(Duration::from_millis(1)).is_err());
            /// });
            /// ```
            #[must_use]
            pub fn receiver(&self) -> Receiver<$g> {
                self.end.gets.clone()
            }

            #[doc = concat!("Returns an iterator that waits for each item of ", $other, ".")]
            ///
            /// # Examples
            ///
            /// ```
            /// use rustlet::{Duplex, coroutine};
            ///
            /// rustlet::run(|| {
            ///     let count = coroutine(|caller: Duplex<(), u8>| {
            ///         (0..3).for_each(|n| caller.put(n).unwrap());
            ///     });
            ///     assert!(count.iter().eq([0, 1, 2]));
            /// });
            /// ```
            pub fn iter(&self) -> crate::channel::Iter<'_, $g> {
                self.end.gets.iter()
            }
        }

        #[doc = concat!("Owning iterator over the items that [`", stringify!($end), "`] receives.")]
        ///
        /// It waits for each item, and ends when one of the ends is closed.
        ///
        /// # Examples
        ///
        /// ```
        /// use rustlet::{Duplex, coroutine};
        ///
        /// rustlet::run(|| {
        ///     let sum = coroutine(|caller: Duplex<u32, ()>| {
        ///         assert_eq!(caller.into_iter().sum::<u32>(), 6);
        ///     });
        ///     (1..=3).for_each(|n| sum.put(n).unwrap());
        ///     sum.join().unwrap();
        ///
        ///     let count = coroutine(|caller: Duplex<(), u32>| {
        ///         (1..=3).for_each(|n| caller.put(n).unwrap());
        ///     });
        ///     assert!(count.into_iter().eq([1, 2, 3]));
        /// });
        /// ```
        pub struct $into<In, Out> {
            end: $end<In, Out>,
        }

        impl<In, Out> Iterator for $into<In, Out> {
            type Item = $g;

            #[track_caller]
            fn next(&mut self) -> Option<$g> {
                self.end.get().ok()
            }
        }

        impl<In, Out> FusedIterator for $into<In, Out> {}

        impl<In, Out> fmt::Debug for $into<In, Out> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($into), " { .. }"))
            }
        }

        impl<In, Out> IntoIterator for $end<In, Out> {
            type Item = $g;
            type IntoIter = $into<In, Out>;

            fn into_iter(self) -> $into<In, Out> {
                $into { end: self }
            }
        }

        impl<'a, In, Out> IntoIterator for &'a $end<In, Out> {
            type Item = $g;
            type IntoIter = crate::channel::Iter<'a, $g>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl<In, Out> fmt::Debug for $end<In, Out> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end))
                    .field("is_alive", &self.end.is_alive())
                    .finish_non_exhaustive()
            }
        }
    };
}

both_ends!(Coroutine: IntoItems, puts In, gets Out; "the coroutine");
both_ends!(Duplex: IntoRequests, puts Out, gets In; "the caller's end");

impl<In, Out> Coroutine<In, Out> {
    /// Closes this end and waits until the green thread has ended.
    ///
    /// # Errors
    ///
    /// Returns the payload of its panic, if it panicked, and [`Cancelled`](crate::Cancelled), if it
    /// was cancelled.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the green thread goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::{Duplex, coroutine};
    ///
    /// rustlet::run(|| {
    ///     let failing = coroutine(|_: Duplex<(), ()>| std::panic::resume_unwind(Box::new("no")));
    ///     assert!(failing.get().is_err());
    ///     assert!(failing.join().unwrap_err().is::<&str>());
    /// });
    /// ```
    #[track_caller]
    pub fn join(self) -> thread::Result<()> {
        let Coroutine { end, thread } = self;
        drop(end);
        thread.join()
    }

    /// Cancels the green thread: it unwinds from its current or next wait and closes its end. Does
    /// not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::{Duplex, coroutine};
    ///
    /// rustlet::run(|| {
    ///     let stuck = coroutine(|_: Duplex<(), ()>| rustlet::park());
    ///     stuck.cancel();
    ///     assert!(stuck.get().is_err());
    ///     assert!(stuck.join().unwrap_err().is::<rustlet::Cancelled>());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        self.thread.cancel();
    }

    /// Returns the green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::{Duplex, coroutine};
    ///
    /// rustlet::run(|| {
    ///     let idle = coroutine(|caller: Duplex<(), ()>| drop(caller.get()));
    ///     assert_ne!(idle.thread().id(), rustlet::current().id());
    /// });
    /// ```
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.thread.thread()
    }
}
