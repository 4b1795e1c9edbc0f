//! Channels with many senders and many receivers, and [`select!`], which waits for several
//! operations at once.
//!
//! The API is that of the crate crossbeam-channel. Each message goes to one receiver.
//!
//! A channel is [`bounded`] to a number of messages, [`unbounded`], or has capacity 0 (rendezvous),
//! where each send waits for a receive. Operations that have to wait suspend the calling green
//! thread, or block the calling OS thread; both kinds can use the two ends of one channel. Waiters
//! are served in first-in-first-out order, and a message is passed directly to a waiting receiver.
//!
//! Everything that can be waited for is a receiver, so one `select!` waits for all of it: messages,
//! timers ([`after`], [`at`], [`tick`]), the ends of threads and child processes, signals, and
//! readiness of descriptors.
//!
//! # Suspends
//!
//! `send`, `recv` and `select` suspend while they have to wait. Every operation, even `try_recv`,
//! yields to other green threads after 128 operations without a wait.
//!
//! # Cancellation
//!
//! An operation of a cancelled green thread unwinds while it waits or yields; it has had no effect
//! then.
//!
//! # Examples
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
mod constructors;
#[cfg(not(loom))]
mod counter;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod future;
#[cfg(not(loom))]
mod iter;
#[cfg(not(loom))]
mod receiver;
#[cfg(not(loom))]
mod sender;
#[cfg(not(loom))]
pub(crate) mod wait_limit;

#[cfg(not(loom))]
pub use self::{
    constructors::{after, at, bounded, never, tick, unbounded},
    error::{
        ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
        SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
    },
    future::{RecvFuture, SendFuture},
    iter::{IntoIter, Iter, TryIter},
    receiver::Receiver,
    select::dynamic::{Select, SelectedOperation},
    sender::Sender,
};
/// For crossbeam-channel's macros, and for macros of other crates that name it.
#[cfg(not(loom))]
#[doc(hidden)]
pub use crate::select as crossbeam_channel_internal;
#[cfg(not(loom))]
#[doc(inline)]
pub use crate::{select, select_biased};

#[cfg(not(loom))]
#[allow(unused_imports, reason = "used by modules of higher layers")]
pub(crate) use self::{
    constructors::{latch, source},
    select::observers::{Key, Observers, wake},
    select::poll_source::{Latch, LevelSource},
};

/// The parts of the macros' expansion.
#[cfg(not(loom))]
#[doc(hidden)]
pub mod internal {
    pub use super::select::macros::{
        Chosen, Receiving, SelectCase, SelectTimeout, Sending, choose, no_arm_chosen, receiver,
        sender,
    };
    pub use ::core::{compile_error, concat, stringify};
}
