//! The dispositions of signals, and handlers of the library's own.
//!
//! | file | owns |
//! |---|---|
//! | `action.rs` | asking for the handler of a signal |
//! | `interrupting.rs` | a timer whose signal interrupts a system call that blocks |
//! | `ending.rs` | what is done before a signal ends the process |
//! | `sampling.rs` | the registers and the stack of an OS thread that runs |
//!
//! Any thread may call any of these functions.

mod action;
#[cfg(target_os = "linux")]
pub(crate) mod ending;
#[cfg(target_os = "linux")]
mod interrupting;
#[cfg(all(feature = "backtrace", target_os = "linux"))]
pub(crate) mod sampling;

#[cfg(target_os = "linux")]
pub(crate) use interrupting::interrupted_soon;
use std::io;

/// Returns whether a signal has its default action: it is neither handled nor ignored. A handler of
/// `ending.rs`, after which the signal has its default effect, is no other.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
pub(crate) fn is_default(number: i32) -> io::Result<bool> {
    let handler = action::handler(number)?;
    #[cfg(target_os = "linux")]
    if handler == ending::handler() {
        return Ok(true);
    }
    Ok(handler == libc::SIG_DFL)
}

/// Makes the call without the interruption: there is no timer that signals one thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn interrupted_soon<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}
