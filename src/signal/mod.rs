//! Unix signals as messages: no handlers, no async-signal-safety, just something to receive.
//!
//! ```
//! use rustlet::signal::{self, SIGUSR1};
//!
//! rustlet::run(|| {
//!     let signals = signal::notify(&[SIGUSR1])?;
//!     // As `kill -USR1` would.
//!     rustlet::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
//!     assert_eq!(signals.recv(), Ok(SIGUSR1));
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # What is promised
//!
//! - Each subscriber has its own set of signals that have come and that it has not received: none is lost because a subscriber is slow, or because
//!   others are. As in the kernel, such a set knows of each signal only *whether* it has come: several of one kind that come
//!   before the first of them is received are one. This holds for real-time signals too, which the kernel would count.
//! - Different signals that are waiting are received in the order in which they were noticed, which is about that in which they came.
//! - Handlers of other crates, and one that was there before, still run, and before the message is sent.
//! - While there is a subscriber, a signal does not do what it does by default. When the last one is gone (all its clones are dropped), the
//!   signal does again what it did before the first subscription, which for most is to end the process.
//!
//! # What it costs
//!
//! Nothing before the first subscription. From then on an OS thread, which sleeps in `read`, and a pipe, for the rest of the
//! process.

mod dispatch;
mod number;

use std::io;

use crate::channel::{self, Receiver};

pub use number::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL,
    SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ, Signal,
};

/// Subscribes to signals. The receiver gives each that comes from now on; it is never disconnected. Several subscriptions to one signal each get
/// it; clones of one receiver share what comes. Dropping it, and its clones, unsubscribes.
///
/// What is promised is said [above](self). Never suspends.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a signal that cannot be caught (`SIGKILL`, `SIGSTOP`), that does not come from outside (`SIGSEGV`,
/// `SIGILL`, `SIGFPE`), or that the system does not know; that no OS thread or descriptor is left.
///
/// ```
/// use rustlet::channel::{after, select};
/// use rustlet::signal::{self, SIGHUP, SIGTERM};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let signals = signal::notify(&[SIGTERM, SIGHUP])?;
///     select! {
///         recv(signals) -> signal => println!("{} has come", signal.unwrap()),
///         recv(after(Duration::from_millis(1))) -> _ => println!("none has come"),
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
/// It subscribes for the length of the call: a Ctrl-C before or after it ends the process, as usual, if nobody else has subscribed. So a user who is tired
/// of waiting for a graceful end presses it a second time. To have them all, use [`notify`].
///
/// Suspends the calling green thread, or blocks the calling OS thread; a cancellation is raised here.
///
/// # Errors
///
/// As [`notify`].
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
