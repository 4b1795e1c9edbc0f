#![allow(
    unsafe_code,
    reason = "what a signal does is asked for by a raw system call"
)]
//! What signals do, and a timer whose signal interrupts a system call that blocks.
//!
//! Any thread may call any of these. [`interrupted_soon`] owns the action of one signal of the process, which it
//! chooses among those that nothing handles, when it is first called.
//!
//! - **G1** The handler of [`interrupted_soon`] does nothing, so it may run at any point of any thread. It runs on the
//!   alternate stack, if the thread has one (`SA_ONSTACK`): the frame of a signal may be larger than a green
//!   thread's stack has room for.
//! - **G2** A [`Timer`] is made, armed and deleted on one thread, which is the one that it signals; it is a local variable
//!   of a function that neither switches stacks nor returns before.
//! - **G3** What the kernel is to fill is a local variable of the right type, and is read only after the call has succeeded.

#[cfg(target_os = "linux")]
pub(crate) use interrupting::interrupted_soon;
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

/// As on Linux, but for the interruption: there is no timer that signals one thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn interrupted_soon<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}

#[cfg(target_os = "linux")]
mod interrupting {
    use super::{io, is_default};
    use std::mem::{self, MaybeUninit};
    use std::ptr;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::{Mutex, PoisonError};

    /// The time after which a call is interrupted. The timer repeats, because its signal may come before
    /// the thread has entered the call.
    const PERIOD_NS: libc::c_long = 50_000;

    /// The signal whose action is [`on_signal`]; 0 before the first call. Changed under `CHOOSING`.
    static SIGNAL: AtomicI32 = AtomicI32::new(0);
    static CHOOSING: Mutex<()> = Mutex::new(());

    extern "C" fn on_signal(_: libc::c_int) {}

    /// Makes a system call that may block, and interrupts it with `EINTR` when it does for some 50 µs.
    ///
    /// Only a call that waits is interrupted: one that finds what it waits for completes. Where the
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
        // The timer goes first: what it has sent is delivered before the signal may be blocked again.
        drop(timer);
        drop(unblocked);
        result
    }

    /// The signal, with its handler in place. The program may have replaced the handler since the last call.
    fn signal() -> Option<i32> {
        let signal = SIGNAL.load(Ordering::Relaxed);
        if signal != 0 && is_ours(signal) {
            return Some(signal);
        }
        let _choosing = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
        // SIGURG first, as Go does it: ignored by default, and allowed to come at any time.
        let candidates =
            std::iter::once(libc::SIGURG).chain((libc::SIGRTMIN()..=libc::SIGRTMAX()).rev());
        let chosen = candidates
            .filter(|&signal| is_ours(signal) || is_default(signal).unwrap_or(false))
            .find(|&signal| {
                // SAFETY: G1, and a sigaction of zeros has no flags and an empty mask.
                unsafe {
                    let mut action: libc::sigaction = mem::zeroed();
                    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
                    // Not SA_RESTART: the call is to end.
                    action.sa_flags = libc::SA_ONSTACK;
                    libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0
                }
            })?;
        SIGNAL.store(chosen, Ordering::Relaxed);
        Some(chosen)
    }

    fn is_ours(signal: i32) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: G3.
        unsafe {
            libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0 && {
                let action = action.assume_init();
                action.sa_sigaction == on_signal as extern "C" fn(libc::c_int) as usize
            }
        }
    }

    /// A timer that signals the thread that made it, again and again, until it is dropped.
    struct Timer(libc::timer_t);

    impl Timer {
        fn new(signal: i32) -> Option<Timer> {
            let mut timer = MaybeUninit::<libc::timer_t>::uninit();
            // SAFETY: a sigevent of zeros is valid, and the kernel reads the fields that are set here; G2, G3.
            unsafe {
                let mut event: libc::sigevent = mem::zeroed();
                event.sigev_notify = libc::SIGEV_THREAD_ID;
                event.sigev_signo = signal;
                event.sigev_notify_thread_id = libc::gettid();
                let result =
                    libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr());
                (result == 0).then(|| Timer(timer.assume_init()))
            }
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

    /// The signal is not blocked in this thread, as long as this lives.
    struct Unblocked {
        before: Option<libc::sigset_t>,
    }

    impl Unblocked {
        fn new(signal: i32) -> Unblocked {
            let mut before = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: a set of zeros is an empty one, and valid for `sigaddset`; G3.
            unsafe {
                let mut set: libc::sigset_t = mem::zeroed();
                libc::sigaddset(&raw mut set, signal);
                let result =
                    libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, before.as_mut_ptr());
                let before = (result == 0).then(|| before.assume_init());
                Unblocked {
                    before: before.filter(|before| libc::sigismember(before, signal) == 1),
                }
            }
        }
    }

    impl Drop for Unblocked {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                // SAFETY: the kernel only reads the set.
                let _done =
                    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::unix::net::UnixStream;
        use std::time::Duration;

        /// A read that would block for ever: it has no time limit of its own.
        fn read_nothing() -> io::ErrorKind {
            let (one, _other) = UnixStream::pair().unwrap();
            let read = || {
                Ok(rustix::net::recv(
                    &one,
                    &mut [0],
                    rustix::net::RecvFlags::empty(),
                )?)
            };
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
            // And nothing comes afterwards.
            std::thread::sleep(Duration::from_millis(1));
            let error = interrupted_soon(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        }

        #[test]
        fn where_all_signals_are_blocked_too() {
            std::thread::spawn(|| {
                // SAFETY: the sets are valid; other threads keep their masks.
                let mask = |how, set: &libc::sigset_t| unsafe {
                    let mut before: libc::sigset_t = mem::zeroed();
                    libc::pthread_sigmask(how, set, &raw mut before);
                    before
                };
                // SAFETY: as above.
                let (all, none) = unsafe {
                    let mut all: libc::sigset_t = mem::zeroed();
                    libc::sigfillset(&raw mut all);
                    (all, mem::zeroed())
                };
                mask(libc::SIG_SETMASK, &all);
                assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
                let after = mask(libc::SIG_BLOCK, &none);
                // SAFETY: as above.
                assert_eq!(
                    unsafe { libc::sigismember(&raw const after, libc::SIGURG) },
                    1
                );
            })
            .join()
            .unwrap();
        }
    }
}
