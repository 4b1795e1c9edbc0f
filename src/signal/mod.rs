//! Unix signals as channel messages: no handlers, no async-signal-safety.
//!
//! # Examples
//!
//! ```
//! use rustlet::signal::{self, SIGUSR1};
//!
//! rustlet::run(|| {
//!     let signals = signal::notify(&[SIGUSR1])?;
//!     // As `kill -USR1` would.
//!     let id = std::process::id().to_string();
//!     rustlet::process::Command::new("kill").args(["-USR1", &id]).status()?;
//!     assert_eq!(signals.recv(), Ok(SIGUSR1));
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Guarantees
//!
//! - Each subscriber has its own set of pending signals: none is lost because a subscriber is slow,
//!   or because others are. As in the kernel, such a set records for each signal only *whether* it
//!   has arrived: several of one kind that arrive before the first of them is received are merged.
//!   This also holds for real-time signals, which the kernel would count.
//! - Different pending signals are received in the order in which they were noticed, which is
//!   roughly the order of arrival.
//! - Handlers of other crates, and one that was there before, still run, before the message is
//!   sent.
//! - While there is a subscriber, a signal does not have its default effect. When the last one is
//!   gone (all its clones are dropped), the signal has again the effect from before the first
//!   subscription, which for most is to end the process.
//!
//! # Costs
//!
//! Nothing before the first subscription. From then on an OS thread, which sleeps in `read`, and a
//! pipe, for the rest of the process.

mod dispatch;
mod number;

use std::io;

use crate::channel::{self, Receiver};

pub use number::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL,
    SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ, Signal,
};

/// Subscribes to signals and returns a receiver of those that arrive from now on. Never suspends.
///
/// The receiver is never disconnected. Several subscriptions to one signal each get it; clones of
/// one receiver share the messages. Dropping the receiver and its clones unsubscribes. See the
/// [module documentation](self) for guarantees.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a signal that cannot be caught (`SIGKILL`,
/// `SIGSTOP`), that is caused by the program itself (`SIGSEGV`, `SIGILL`, `SIGFPE`), or that the
/// system does not know; other kinds if no OS thread or descriptor is available.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{after, select};
/// use rustlet::signal::{self, SIGHUP, SIGTERM};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let signals = signal::notify(&[SIGTERM, SIGHUP])?;
///     select! {
///         recv(signals) -> signal => println!("received {}", signal.unwrap()),
///         recv(after(Duration::from_millis(1))) -> _ => println!("no signal"),
///     }
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub fn notify(signals: &[Signal]) -> io::Result<Receiver<Signal>> {
    let mut wanted = signals.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(channel::never());
    }
    dispatch::subscribe(wanted)
}

/// Waits until the user presses Ctrl-C (`SIGINT`).
///
/// It subscribes only during the call: a Ctrl-C before or after it ends the process, as usual,
/// unless there is another subscriber. So a user who does not want to wait for a graceful shutdown
/// presses it twice. To receive every Ctrl-C, or to wait for one in
/// [`select!`](crate::channel::select), use [`notify`]`(&[`[`SIGINT`]`])`.
///
/// # Errors
///
/// The same as for [`notify`].
///
/// # Suspends
///
/// Suspends the calling green thread until then; blocks an OS thread.
///
/// # Cancellation
///
/// The caller unwinds and unsubscribes.
///
/// # Examples
///
/// ```no_run
/// rustlet::run(|| {
///     rustlet::spawn(|| { /* serve */ });
///     rustlet::signal::ctrl_c()?;
///     println!("that is it, then");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn ctrl_c() -> io::Result<()> {
    let signals = notify(&[SIGINT])?;
    // Never disconnected.
    signals.recv().map(drop).map_err(io::Error::other)
}
