//! Channels between threads, green or not, with the names of the crate crossbeam-channel: several senders, several
//! receivers, each message to one of them; and [`select!`], which waits for several at once.
//!
//! A channel has a capacity: [`bounded`] to some messages, [`unbounded`], or 0, where a message goes from hand to hand. What
//! would block suspends the calling green thread, or blocks the calling OS thread; the two kinds can be at the two ends
//! of a channel. Those who wait are served in the order in which they came, and a message goes straight to
//! the one who waits for it.
//!
//! Timers are receivers: [`after`], [`at`], [`tick`]. So is whatever else can be waited for, so that
//! one `select!` waits for all of it.
//!
//! An operation that need not wait gives the others of its worker a turn now and then. So each of them may suspend,
//! and, in a cancelled thread, unwind, even `try_recv`; it has not had any effect then.
//!
//! ```
//! use rustlet::channel::{bounded, select, tick};
//! use std::time::Duration;
//!
//! rustlet::run(|| {
//!     let (sender, receiver) = bounded(16);
//!     let worker = rustlet::spawn(move || {
//!         let ticks = tick(Duration::from_millis(1));
//!         let mut sum = 0;
//!         loop {
//!             select! {
//!                 recv(receiver) -> message => match message {
//!                     Ok(number) => sum += number,
//!                     Err(_) => return sum,
//!                 },
//!                 recv(ticks) -> _ => {} // From time to time, something else.
//!             }
//!         }
//!     });
//!     for number in 1..=100 {
//!         sender.send(number).unwrap();
//!     }
//!     drop(sender);
//!     assert_eq!(worker.join().unwrap(), 5050);
//! });
//! ```

pub(crate) mod core;
pub(crate) mod select;

#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod hub;
#[cfg(not(loom))]
mod iter;
#[cfg(not(loom))]
pub(crate) mod limit;
#[cfg(not(loom))]
mod make;
#[cfg(not(loom))]
mod receiver;
#[cfg(not(loom))]
mod sender;

#[cfg(not(loom))]
pub use self::{
    error::{
        ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
        SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
    },
    iter::{IntoIter, Iter, TryIter},
    make::{after, at, bounded, never, tick, unbounded},
    receiver::Receiver,
    select::dynamic::{Select, SelectedOperation},
    sender::Sender,
};
/// What crossbeam-channel's macros expand to, and what some name who write such macros of their own.
#[cfg(not(loom))]
#[doc(hidden)]
pub use crate::select as crossbeam_channel_internal;
#[cfg(not(loom))]
pub use crate::{select, select_biased};

#[cfg(not(loom))]
#[allow(unused_imports, reason = "for what can be waited for, in other rooms")]
pub(crate) use self::{
    make::{latch, source},
    select::polled::{Ask, Latch},
    select::waiters::{Key, Waiters, wake},
};

/// What the macros are made of.
#[cfg(not(loom))]
#[doc(hidden)]
pub mod internal {
    pub use super::select::macros::{
        Chosen, Patience, Receiving, SelectCase, Sending, choose, no_arm_chosen, receiver, sender,
    };
    pub use ::core::{compile_error, concat, stringify};
}
