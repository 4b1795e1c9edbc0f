#![allow(
    unsafe_code,
    reason = "queries the action of a signal by a raw system call"
)]
//! What a signal does at present. Any thread may ask.

use std::io;
use std::mem::MaybeUninit;

/// Returns the address of the handler of a signal, `SIG_DFL` or `SIG_IGN`.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
pub(super) fn handler(number: i32) -> io::Result<usize> {
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
