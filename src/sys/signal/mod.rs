#![allow(
    unsafe_code,
    reason = "what a signal does is asked for by a raw system call"
)]
//! The dispositions of signals, and handlers of the library's own.
//!
//! | file | owns |
//! |---|---|
//! | `interrupting.rs` | a timer whose signal interrupts a system call that blocks |
//! | `ending.rs` | what is done before a signal ends the process |
//! | `sampling.rs` | the registers and the stack of an OS thread that runs |
//!
//! Any thread may call any of these functions.

#[cfg(target_os = "linux")]
pub(crate) mod ending;
#[cfg(target_os = "linux")]
mod interrupting;
#[cfg(all(feature = "backtrace", target_os = "linux"))]
pub(crate) mod sampling;

#[cfg(target_os = "linux")]
pub(crate) use interrupting::interrupted_soon;
use std::io;
use std::mem::MaybeUninit;

/// Returns whether a signal has its default action: it is neither handled nor ignored. A handler of
/// `ending.rs`, after which the signal has its default effect, is no other.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
pub(crate) fn is_default(number: i32) -> io::Result<bool> {
    let handler = handler(number)?;
    #[cfg(target_os = "linux")]
    if handler == ending::handler() {
        return Ok(true);
    }
    Ok(handler == libc::SIG_DFL)
}

/// Returns the address of the handler of a signal, `SIG_DFL` or `SIG_IGN`.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
fn handler(number: i32) -> io::Result<usize> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and there is room for the result.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, and has written all of it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction)
}

/// As on Linux, but without the interruption: there is no timer that signals one thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn interrupted_soon<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}
