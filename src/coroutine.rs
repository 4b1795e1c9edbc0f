//! Coroutines: a green thread, and a channel in each direction between it and whoever has made it.
//!
//! Both ends are values of their own: [`Coroutine`] outside, [`Duplex`] inside. Each may be used by any thread, green or not, and
//! sent to another; that they work on shared references lets several threads use one of them.
//!
//! CO1. `open` is cleared before anything is disconnected, so a `put` of the end that has closed is refused although the
//!      other end can still get what was put before.

use std::fmt;
use std::iter::FusedIterator;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::channel::{Receiver, RecvError, SendError, Sender, bounded};
use crate::green::budget::spend_quietly;
use crate::thread::{self, JoinHandle, Thread};

/// How many items may lie between the two ends, in each direction.
const CAPACITY: usize = 1;

/// What the two ends have in common: one puts `P` and gets `G`, the other the reverse.
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
            spend_quietly(Location::caller());
            Err(SendError(item))
        }
    }

    /// Relaxed: a hint, as what it tells of may happen just after; the channels do the rest.
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
        // Clones of the receiver may be left, and do not keep the other end waiting.
        self.close();
    }
}

/// Spawns a green thread that gets `In`s from its maker and puts `Out`s for it: a generator, a filter, a conversation.
///
/// `f` is given the inner end, a [`Duplex`], and the caller the outer one. It is spawned as by [`spawn`](crate::spawn), and runs by itself, not
/// only while somebody gets: each direction holds one item, so `put` waits when the one before has not been
/// got yet. A `put` on both sides at once is therefore fine.
///
/// When `f` returns, its end is dropped: what it has put can still be got, then [`get`](Coroutine::get) gives an error, and iteration ends. It is
/// the same when `f` panics, with the payload in [`join`](Coroutine::join).
///
/// # Panics
///
/// A limit is reached, as with [`spawn`](crate::spawn).
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
///                 return; // nobody gets any more
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

/// The outer end of a [`coroutine`]: puts what it gets, and gets what it puts.
///
/// Dropping it closes it, and lets the green thread go on without it: its `put` and `get` are errors from then on. To end it wherever it
/// waits, [`cancel`](Coroutine::cancel) it.
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

/// The inner end of a [`coroutine`]: what its function is given. It gets what the outer end puts, and puts what that gets.
///
/// Dropping it closes it, which happens at the latest when the function returns or unwinds. It may be sent elsewhere, too.
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

/// The methods that both ends have.
macro_rules! both_ends {
    ($end:ident: $into:ident, puts $p:ident, gets $g:ident; $other:literal) => {
        impl<In, Out> $end<In, Out> {
            #[doc = concat!("Gives an item to ", $other, "; waits while the one before has not been got.")]
            ///
            /// # Errors
            ///
            /// One of the ends is closed. The item comes back in the error.
            ///
            /// # Cancellation
            ///
            /// The wait may unwind; the item, which nobody has got, is dropped then.
            #[track_caller]
            #[inline(always)]
            pub fn put(&self, item: $p) -> Result<(), SendError<$p>> {
                self.end.put(item)
            }

            #[doc = concat!("Gets the next item of ", $other, ", and waits for it.")]
            ///
            /// # Errors
            ///
            /// There is none, and one of the ends is closed.
            ///
            /// # Cancellation
            ///
            /// The wait may unwind; no item has been taken then.
            #[track_caller]
            #[inline(always)]
            pub fn get(&self) -> Result<$g, RecvError> {
                self.end.gets.recv()
            }

            /// Closes this end: nothing can be put any more from either side, and nothing got here. The other end can still get what
            /// was put for it. Threads that wait in a `put` or `get` on the other side are told.
            #[track_caller]
            pub fn close(&self) {
                spend_quietly(Location::caller());
                self.end.close();
            }

            /// Whether both ends are open: neither was closed or dropped. What was put before may be got afterwards, too.
            #[must_use]
            #[track_caller]
            pub fn is_alive(&self) -> bool {
                spend_quietly(Location::caller());
                self.end.is_alive()
            }

            /// What [`get`](Self::get) gets, as a receiver: for `select!`, for time limits, or to try without waiting.
            ///
            /// It does not keep the end open: with it, the receiver is disconnected.
            #[must_use]
            pub fn receiver(&self) -> Receiver<$g> {
                self.end.gets.clone()
            }

            #[doc = concat!("The items of ", $other, ", until there are none to come.")]
            pub fn iter(&self) -> crate::channel::Iter<'_, $g> {
                self.end.gets.iter()
            }
        }

        #[doc = concat!("The items that a [`", stringify!($end), "`] gets; made by its `into_iter`, and has it.")]
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
both_ends!(Duplex: IntoRequests, puts Out, gets In; "the outer end");

impl<In, Out> Coroutine<In, Out> {
    /// Closes this end and waits until the green thread has ended.
    ///
    /// # Errors
    ///
    /// The payload of its panic, if it panicked; [`Cancelled`](crate::Cancelled), if it was cancelled.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; the green thread goes on then.
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

    /// Cancels the green thread: it unwinds from its present wait or its next, and closes its end. Does not wait.
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

    /// The green thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.thread.thread()
    }
}
