#![allow(
    unsafe_code,
    reason = "queries the action of a signal by a raw system call"
)]
//! The dispositions of signals, and a timer whose signal interrupts a system call that blocks.
//!
//! Any thread may call any of these functions. [`interrupted_soon`] owns the action of one signal
//! of the process, which it chooses at its first call among those that have no handler.
//!
//! - **G1** The handler of [`interrupted_soon`] does nothing, so it may run at any point of any
//!   thread. It runs on the alternate stack, if the thread has one (`SA_ONSTACK`): the frame of a
//!   signal may be larger than a green thread's stack has room for.
//! - **G2** A [`Timer`] is made, armed and deleted on one thread, which is the one that it signals;
//!   it is a local variable of a function that neither switches stacks nor returns before.
//! - **G3** A value that the kernel fills is a local variable of the right type, and is read only
//!   after the call has succeeded.
//! - **G4** A `sigaction`, a `sigevent` and a `sigset_t` of zeros are valid: no handler and no
//!   flags, no signal, an empty set.

#[cfg(target_os = "linux")]
pub(crate) use interrupting::interrupted_soon;
use std::io;
use std::mem::MaybeUninit;

/// Returns whether a signal has its default action: it is neither handled nor ignored.
///
/// # Errors
///
/// `EINVAL`: there is no such signal.
pub(crate) fn is_default(number: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and there is room for the result.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, and has written all of it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_DFL)
}

/// As on Linux, but without the interruption: there is no timer that signals one thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn interrupted_soon<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}

#[cfg(target_os = "linux")]
mod interrupting {
    use super::{MaybeUninit, io, is_default};
    use std::mem;
    use std::ptr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI32, Ordering};

    use crate::shim::lock;

    /// The time after which a call is interrupted. The timer repeats, because its first signal may
    /// arrive before the thread has entered the call.
    const PERIOD_NS: libc::c_long = 50_000;

    /// The signal whose action is [`on_signal`]; 0 before the first call. Changed under `CHOOSING`.
    static SIGNAL: AtomicI32 = AtomicI32::new(0);
    static CHOOSING: Mutex<()> = Mutex::new(());

    extern "C" fn on_signal(_: libc::c_int) {}

    /// Makes a system call that may block, and interrupts it with `EINTR` when it does for some 50
    /// µs.
    ///
    /// Only a call that waits is interrupted; a call that can complete at once completes. Where the
    /// process can have no timer (`RLIMIT_SIGPENDING`, a sandbox), the call is not interrupted.
    pub(crate) fn interrupted_soon<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(signal) = signal() else {
            return call();
        };
        let Some(timer) = Timer::new(signal) else {
            return call();
        };
        let unblocked = Unblocked::new(signal);
        timer.arm();
        let result = call();
        // The timer is deleted first: a signal that it has sent is delivered before the signal may
        // be blocked again.
        drop(timer);
        drop(unblocked);
        result
    }

    /// Returns the signal, with its handler in place. The program may have replaced the handler
    /// since the last call.
    fn signal() -> Option<i32> {
        let signal = SIGNAL.load(Ordering::Relaxed);
        if signal != 0 && is_ours(signal) {
            return Some(signal);
        }
        let _choosing = lock(&CHOOSING);
        // SIGURG first, as in Go: ignored by default, and allowed to arrive at any time.
        let candidates =
            std::iter::once(libc::SIGURG).chain((libc::SIGRTMIN()..=libc::SIGRTMAX()).rev());
        let chosen = candidates
            .filter(|&signal| is_ours(signal) || is_default(signal).unwrap_or(false))
            .find(|&signal| handle(signal))?;
        SIGNAL.store(chosen, Ordering::Relaxed);
        Some(chosen)
    }

    fn handler() -> usize {
        on_signal as extern "C" fn(libc::c_int) as usize
    }

    /// Installs the handler. Returns true if it is in place.
    fn handle(signal: i32) -> bool {
        // SAFETY: G4.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = handler();
        // Without SA_RESTART: the call must end.
        action.sa_flags = libc::SA_ONSTACK;
        // SAFETY: G1: the handler has the signature for these flags, and does nothing.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 }
    }

    fn is_ours(signal: i32) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: G3, and nothing is set.
        if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
            return false;
        }
        // SAFETY: G3.
        let action = unsafe { action.assume_init() };
        action.sa_sigaction == handler()
    }

    /// A timer that signals the thread that made it, again and again, until it is dropped.
    struct Timer(libc::timer_t);

    impl Timer {
        fn new(signal: i32) -> Option<Timer> {
            // SAFETY: G4.
            let mut event: libc::sigevent = unsafe { mem::zeroed() };
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            // SAFETY: it only returns the number of the calling thread (G2).
            event.sigev_notify_thread_id = unsafe { libc::gettid() };
            let mut timer = MaybeUninit::<libc::timer_t>::uninit();
            let (clock, to) = (libc::CLOCK_MONOTONIC, timer.as_mut_ptr());
            // SAFETY: G3; the event names this thread (G2) and a signal with a handler (G1).
            if unsafe { libc::timer_create(clock, &raw mut event, to) } != 0 {
                return None;
            }
            // SAFETY: G3.
            Some(Timer(unsafe { timer.assume_init() }))
        }

        fn arm(&self) {
            let period = libc::timespec {
                tv_sec: 0,
                tv_nsec: PERIOD_NS,
            };
            let setting = libc::itimerspec {
                it_interval: period,
                it_value: period,
            };
            // SAFETY: G2: the timer is there. It does not fail for a good timer and time.
            let _done =
                unsafe { libc::timer_settime(self.0, 0, &raw const setting, ptr::null_mut()) };
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            // SAFETY: G2: made by `new`, and deleted once.
            let _done = unsafe { libc::timer_delete(self.0) };
        }
    }

    /// Keeps the signal unblocked in this thread, as long as this value lives.
    struct Unblocked {
        before: Option<libc::sigset_t>,
    }

    impl Unblocked {
        fn new(signal: i32) -> Unblocked {
            let mut set = empty_set();
            // SAFETY: G4: the set is valid.
            unsafe { libc::sigaddset(&raw mut set, signal) };
            let before = change_mask(libc::SIG_UNBLOCK, &set);
            Unblocked {
                before: before.filter(|before| contains(before, signal)),
            }
        }
    }

    impl Drop for Unblocked {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                let _former = change_mask(libc::SIG_SETMASK, before);
            }
        }
    }

    fn empty_set() -> libc::sigset_t {
        // SAFETY: G4.
        unsafe { mem::zeroed() }
    }

    fn contains(set: &libc::sigset_t, signal: i32) -> bool {
        // SAFETY: G4: the set is valid, and is only read.
        unsafe { libc::sigismember(set, signal) == 1 }
    }

    /// Changes which signals the calling thread blocks. Returns the former mask.
    fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> Option<libc::sigset_t> {
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: G3; the set is valid (G4), and is only read.
        if unsafe { libc::pthread_sigmask(how, set, before.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: G3.
        Some(unsafe { before.assume_init() })
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use rustix::net::{RecvFlags, recv};
        use std::os::unix::net::UnixStream;

        /// A read that would block forever: it has no time limit of its own.
        fn read_nothing() -> io::ErrorKind {
            let (one, _other) = UnixStream::pair().unwrap();
            let read = || Ok(recv(&one, &mut [0], RecvFlags::empty())?);
            interrupted_soon(read).unwrap_err().kind()
        }

        #[test]
        fn a_call_that_blocks_is_interrupted() {
            for _ in 0..100 {
                assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
            }
        }

        #[test]
        fn a_call_that_does_not_block_is_made_as_ever() {
            assert_eq!(interrupted_soon(|| Ok(5)).unwrap(), 5);
            let error = interrupted_soon(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        }

        #[test]
        fn where_all_signals_are_blocked_too() {
            let blocked = || {
                let mut all = empty_set();
                // SAFETY: G4.
                unsafe { libc::sigfillset(&raw mut all) };
                change_mask(libc::SIG_SETMASK, &all).unwrap();
                assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
                let after = change_mask(libc::SIG_BLOCK, &empty_set()).unwrap();
                assert!(contains(&after, libc::SIGURG));
            };
            std::thread::spawn(blocked).join().unwrap();
        }
    }
}
