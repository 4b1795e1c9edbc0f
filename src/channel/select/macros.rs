#![allow(unsafe_code, reason = "slots in the frame of the macro's caller")]
//! `select!` and `select_biased!`: each arm becomes a case with a slot in the caller's frame,
//! [`select`] performs one of them, and the arm whose slot was chosen continues.
//!
//! The macro reads one arm at a time (its head with `@arm`, the rest with `@body`) into a list of
//! `{ place handle kind (channel) (message) (pattern) => body }`, and writes the whole at the end
//! (`@write`). The names of the place and the handle come from another expansion for each arm, so
//! they are different variables.
//!
//! Items of the user must not change what the macro means. Local variables of a macro are hygienic,
//! but a constant or a unit struct of the user with the same name turns a binding into a pattern:
//! so the names are unique. All items are reached by paths from `$crate`, also the macros of
//! `core`; and no method is called with a dot, because a trait in scope that takes `self` comes
//! before an inherent method that takes `&self`.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use super::dynamic::{self as select, Case};
use super::select_wait::Arm;
use crate::channel::core::outcome::Op;
use crate::channel::core::slot::{RecvSlot, Reservation, SendHeader, SendSlot, SlotState};
use crate::channel::wait_limit::WaitLimit;
use crate::channel::{Receiver, RecvError, SendError, Sender};
use crate::sync::wait::waiting_thread::WaitingThread;

/// The slot of an arm that receives.
#[doc(hidden)]
pub struct Receiving<T>(RecvSlot<T>);

/// The slot of an arm that sends: its reservation. It is typed, because the reservation is for a
/// receiver's place.
#[doc(hidden)]
pub struct Sending<T>(SendHeader<WaitingThread>, PhantomData<Sender<T>>);

/// An arm with its slot.
#[doc(hidden)]
pub struct SelectCase<'a>(Case<'a>);

/// The reservation to send; released on drop.
#[doc(hidden)]
pub struct Chosen<'a, T> {
    sender: &'a Sender<T>,
    reservation: Reservation<WaitingThread>,
}

/// How long the macro waits.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum SelectTimeout {
    /// Forever.
    Never,
    /// Not at all.
    Immediate,
    /// For this long.
    After(Duration),
}

impl<T> Receiving<T> {
    #[inline]
    pub fn new(_: &Receiver<T>) -> Receiving<T> {
        Receiving(RecvSlot::new())
    }

    #[inline]
    pub fn case<'a>(&'a self, receiver: &'a Receiver<T>) -> SelectCase<'a> {
        SelectCase((receiver.arm(), self.0.slot()))
    }

    #[inline]
    pub fn is_chosen(&self) -> bool {
        self.0.state() != SlotState::Open
    }

    /// # Errors
    ///
    /// Returns an error if the channel is disconnected.
    #[inline]
    pub fn finish(&self) -> Result<T, RecvError> {
        self.0.take().ok_or(RecvError)
    }
}

impl<T> Sending<T> {
    #[inline]
    pub fn new(_: &Sender<T>) -> Sending<T> {
        Sending(SendHeader::deferred(), PhantomData)
    }

    #[inline]
    pub fn case<'a>(&'a self, sender: &'a Sender<T>) -> SelectCase<'a> {
        SelectCase((Arm::channel(Op::Send, sender.chan()), self.0.slot()))
    }

    #[inline]
    pub fn is_chosen(&self) -> bool {
        self.0.is_reserved()
    }

    #[inline]
    pub fn choose<'a>(&self, sender: &'a Sender<T>) -> Chosen<'a, T> {
        Chosen {
            sender,
            reservation: self.0.take_reservation(),
        }
    }
}

impl<T> Chosen<'_, T> {
    /// # Errors
    ///
    /// Returns an error if the channel is disconnected.
    #[inline]
    pub fn send(mut self, message: T) -> Result<(), SendError<T>> {
        let reservation = std::mem::replace(&mut self.reservation, Reservation::None);
        let offer = SendSlot::new(message);
        match self.sender.chan().commit(reservation, &offer) {
            Ok(()) => Ok(()),
            // SAFETY: SN2 in `sender.rs`.
            Err(_) => Err(SendError(unsafe { offer.take() })),
        }
    }
}

impl<T> Drop for Chosen<'_, T> {
    fn drop(&mut self) {
        // The message's expression has unwound, or left the block.
        let reservation = std::mem::replace(&mut self.reservation, Reservation::None);
        self.sender.chan().release(reservation);
    }
}

/// Returns the receiver of an arm, which may be a reference to a type that dereferences to it.
#[doc(hidden)]
#[inline(always)]
pub fn receiver<T>(receiver: &Receiver<T>) -> &Receiver<T> {
    receiver
}

/// Returns the sender of an arm, in the same way.
#[doc(hidden)]
#[inline(always)]
pub fn sender<T>(sender: &Sender<T>) -> &Sender<T> {
    sender
}

/// The value of a select without a limit that has chosen no arm.
#[doc(hidden)]
#[cold]
pub fn no_arm_chosen() -> ! {
    unreachable!("a select without a limit has chosen an arm")
}

/// Performs one of the cases.
#[doc(hidden)]
#[track_caller]
#[inline(always)]
pub fn choose<const N: usize>(cases: [SelectCase<'_>; N], biased: bool, timeout: SelectTimeout) {
    let limit = match timeout {
        SelectTimeout::Never => Some(WaitLimit::Never),
        SelectTimeout::Immediate => None,
        SelectTimeout::After(timeout) => Some(WaitLimit::For(timeout)),
    };
    let cases = cases.map(|case| case.0);
    let _which = select::select(&cases, biased, limit, Location::caller());
}

impl<T> fmt::Debug for Receiving<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiving { .. }")
    }
}

impl<T> fmt::Debug for Sending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sending { .. }")
    }
}

impl fmt::Debug for SelectCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectCase { .. }")
    }
}

impl<T> fmt::Debug for Chosen<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Chosen { .. }")
    }
}

/// Waits for several channel operations at once, and performs one of them.
///
/// Each arm is an operation and the code to run if it was performed:
///
/// - `recv(receiver) -> pattern => body`: the pattern gets a `Result<T, RecvError>`;
/// - `send(sender, message) -> pattern => body`: the pattern gets a `Result<(), SendError<T>>`. The
///   message is evaluated only when the arm has been chosen; keep it short, because a receiver may
///   be waiting;
/// - `default => body`: runs if no other operation is ready now;
/// - `default(timeout) => body`: runs if none becomes ready within that [`Duration`].
///
/// An operation is ready if it need not wait, also if its channel is disconnected. Of several ready
/// operations one is chosen at random. The others have no effect. Everything that can be waited for
/// is a receiver, so `select!` waits for messages, timers, the ends of threads, signals and sockets
/// alike. All bodies have the same type, which is the type of the whole expression.
///
/// # Suspends
///
/// Suspends the calling green thread until an operation is ready; blocks an OS thread.
///
/// # Cancellation
///
/// The caller unwinds; no operation has been performed.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{after, select, unbounded};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let (sender, receiver) = unbounded();
///     rustlet::spawn(move || sender.send("a message").unwrap());
///     let timer = after(Duration::from_secs(60));
///     let what = select! {
///         recv(receiver) -> message => message.unwrap(),
///         recv(timer) -> _ => "nothing for a minute",
///     };
///     assert_eq!(what, "a message");
///
///     let (sender, _receiver) = unbounded();
///     select! {
///         recv(timer) -> _ => unreachable!(),
///         send(sender, 1) -> sent => assert_eq!(sent, Ok(())),
///         default => unreachable!(),
///     }
/// });
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => {
        $crate::__rustlet_select!(@arm false [] [] $($arms)*)
    };
}

/// Waits for several channel operations like [`select!`](crate::select), but prefers the first
/// ready operation in source order.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{select_biased, unbounded};
///
/// let (sender, urgent) = unbounded();
/// let (other, receiver) = unbounded();
/// sender.send(1).unwrap();
/// other.send(2).unwrap();
/// let first = select_biased! {
///     recv(urgent) -> message => message,
///     recv(receiver) -> message => message,
/// };
/// assert_eq!(first, Ok(1));
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => {
        $crate::__rustlet_select!(@arm true [] [] $($arms)*)
    };
}

/// The common expansion of the two macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __rustlet_select {
    // The head of an arm, and then its body.
    (@arm $biased:tt $arms:tt $default:tt recv($receiver:expr $(,)?) -> $pattern:pat => $($rest:tt)+) => {
        $crate::__rustlet_select!(@body $biased $arms $default [Receiving ($receiver) () ($pattern)] $($rest)+)
    };
    (@arm $biased:tt $arms:tt $default:tt send($sender:expr, $message:expr $(,)?) -> $pattern:pat => $($rest:tt)+) => {
        $crate::__rustlet_select!(@body $biased $arms $default [Sending ($sender) ($message) ($pattern)] $($rest)+)
    };
    (@arm $biased:tt $arms:tt [] default $(())? => $($rest:tt)+) => {
        $crate::__rustlet_select!(@body $biased $arms [] [default Immediate] $($rest)+)
    };
    (@arm $biased:tt $arms:tt [] default($timeout:expr $(,)?) => $($rest:tt)+) => {
        $crate::__rustlet_select!(@body $biased $arms [] [default After($timeout)] $($rest)+)
    };
    (@arm $biased:tt $arms:tt [$($default:tt)+] default $($rest:tt)*) => {
        $crate::channel::internal::compile_error!("there can be only one `default` case in a `select!` block")
    };
    (@arm $biased:tt [] [] ) => {
        $crate::channel::internal::compile_error!("empty `select!` block")
    };
    (@arm $biased:tt $arms:tt [] ) => {
        $crate::__rustlet_select!(@write $biased $arms
            [Never => $crate::channel::internal::no_arm_chosen()])
    };
    (@arm $biased:tt $arms:tt $default:tt ) => {
        $crate::__rustlet_select!(@write $biased $arms $default)
    };
    (@arm $biased:tt $arms:tt $default:tt $($rest:tt)+) => {
        $crate::channel::internal::compile_error!($crate::channel::internal::concat!(
            "expected `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body`, \
             `default => body` or `default(timeout) => body`, found: `",
            $crate::channel::internal::stringify!($($rest)+), "`"))
    };

    // A body ends with a comma, unless it is a block or the last.
    (@body $biased:tt $arms:tt [] [default $($limit:tt)+] $body:expr, $($rest:tt)*) => {
        $crate::__rustlet_select!(@arm $biased $arms [$($limit)+ => $body] $($rest)*)
    };
    (@body $biased:tt [$($arms:tt)*] $default:tt [$($head:tt)+] $body:expr, $($rest:tt)*) => {
        $crate::__rustlet_select!(@arm $biased [$($arms)* { __rustlet_place __rustlet_handle $($head)+ => $body }] $default $($rest)*)
    };
    (@body $biased:tt $arms:tt [] [default $($limit:tt)+] $body:block $($rest:tt)*) => {
        $crate::__rustlet_select!(@arm $biased $arms [$($limit)+ => $body] $($rest)*)
    };
    (@body $biased:tt [$($arms:tt)*] $default:tt [$($head:tt)+] $body:block $($rest:tt)*) => {
        $crate::__rustlet_select!(@arm $biased [$($arms)* { __rustlet_place __rustlet_handle $($head)+ => $body }] $default $($rest)*)
    };
    (@body $biased:tt $arms:tt [] [default $($limit:tt)+] $body:expr) => {
        $crate::__rustlet_select!(@arm $biased $arms [$($limit)+ => $body])
    };
    (@body $biased:tt [$($arms:tt)*] $default:tt [$($head:tt)+] $body:expr) => {
        $crate::__rustlet_select!(@arm $biased [$($arms)* { __rustlet_place __rustlet_handle $($head)+ => $body }] $default)
    };

    (@write $biased:tt
        [$({ $place:ident $handle:ident $kind:ident ($channel:expr) ($($message:expr)?) ($pattern:pat) => $body:expr })*]
        [$limit:ident $(($timeout:expr))? => $default:expr]
    ) => {
        // Temporaries in the channels' expressions live until the body has ended.
        match ($(&$channel,)*) {
            ($($handle,)*) => {
                $(
                    let $handle = $crate::__rustlet_select!(@handle $kind $handle);
                    let $place = $crate::channel::internal::$kind::new($handle);
                )*
                $crate::channel::internal::choose(
                    [$($crate::channel::internal::$kind::case(&$place, $handle)),*],
                    $biased,
                    $crate::channel::internal::SelectTimeout::$limit $(($timeout))?,
                );
                $(if $crate::channel::internal::$kind::is_chosen(&$place) {
                    let $pattern =
                        $crate::__rustlet_select!(@finish $kind $place $handle $($message)?);
                    $body
                } else)* {
                    $default
                }
            }
        }
    };

    (@handle Receiving $handle:ident) => {
        $crate::channel::internal::receiver($handle)
    };
    (@handle Sending $handle:ident) => {
        $crate::channel::internal::sender($handle)
    };
    (@finish Receiving $place:ident $handle:ident) => {
        $crate::channel::internal::Receiving::finish(&$place)
    };
    (@finish Sending $place:ident $handle:ident $message:expr) => {
        $crate::channel::internal::Chosen::send(
            $crate::channel::internal::Sending::choose(&$place, $handle), $message)
    };
}
