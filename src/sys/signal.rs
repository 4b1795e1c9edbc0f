#![allow(
    unsafe_code,
    reason = "what a signal does is asked for by a raw system call"
)]
//! What signals do.
//!
//! Owns nothing; any thread may call it.

use std::io;
use std::mem::MaybeUninit;

/// Whether a signal does what it does by default: it is neither handled nor ignored.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
pub(crate) fn is_default(number: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and there is room for what is told.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, and written all of it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_DFL)
}
