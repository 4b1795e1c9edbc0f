#![allow(unsafe_code, reason = "a signal handler")]
//! Does something before a signal ends the process, on an OS thread of its own.
//!
//! 1. The handler writes the number of the signal into a pipe. If the signal is `SIGABRT`, it waits
//!    for an answer, for [`MAX_ABORT_WAIT_MS`] at most: the process aborts when the handler
//!    returns. An abort does so by itself; for a `SIGABRT` that was sent, the handler raises it
//!    again.
//! 2. The kernel has set the action of the signal back to the default when it called the handler
//!    (`SA_RESETHAND`), so a second signal ends the process at once.
//! 3. The OS thread reads the number. If the action of the signal is still the default, no code of
//!    the program handles it: the OS thread calls the function and then has the default effect. If
//!    another handler was installed over this one, and has called it, the OS thread does nothing.
//!
//! - **E1** The handler calls only what is async-signal-safe: `getpid`, `gettid`, `write`, `poll`,
//!   `read`, `sigaction`, `signal`, `raise`. It neither allocates nor takes a lock, and leaves
//!   `errno` as it was.
//! - **E2** [`ENDING`] is set before a handler is installed, and stays; its descriptors are never
//!   closed.
//! - **E3** A `sigaction` of zeros is valid: no handler, no flags, an empty mask.

use std::ffi::c_int;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::low_level::emulate_default_handler;

use super::action;
use crate::sys::os_threads::OwnThread;

/// How long an abort waits. The aborting thread may hold a lock that the function needs.
const MAX_ABORT_WAIT_MS: c_int = 10_000;

struct Ending {
    process: libc::pid_t,
    /// The kernel's number of the OS thread that acts.
    acting: AtomicI32,
    numbers: PipeWriter,
    answers: PipeReader,
}

static ENDING: OnceLock<Ending> = OnceLock::new();

/// Returns the address of the handler.
pub(super) fn handler() -> usize {
    on_signal as extern "C" fn(c_int) as usize
}

/// Calls `act` on an OS thread of its own before one of the signals ends the process. A signal that
/// is handled or ignored now is left as it is. Acts once per process; later calls change nothing.
///
/// # Errors
///
/// No descriptor or OS thread is available.
pub(crate) fn act_before(signals: &[c_int], act: fn()) -> io::Result<()> {
    let (reader, numbers) = io::pipe()?;
    let (answers, writer) = io::pipe()?;
    // Two OS threads may abort at once, and find one answer.
    rustix::io::ioctl_fionbio(&answers, true)?;
    let ending = Ending {
        // SAFETY: it has no precondition.
        process: unsafe { libc::getpid() },
        acting: AtomicI32::new(0),
        numbers,
        answers,
    };
    if ENDING.set(ending).is_err() {
        return Ok(());
    }
    std::thread::Builder::new()
        .name("rustlet-ending".into())
        .spawn(move || {
            let _own = OwnThread::mark();
            run(reader, writer, act);
        })?;
    for &signal in signals {
        if has_default_effect(signal) {
            install(signal);
        }
    }
    Ok(())
}

/// Returns whether no handler of the program is installed for a signal. The handler of this file
/// may be: functions that restore an action may drop its `SA_RESETHAND`.
fn has_default_effect(signal: c_int) -> bool {
    action::handler(signal)
        .is_ok_and(|installed| installed == libc::SIG_DFL || installed == handler())
}

fn install(signal: c_int) {
    // SAFETY: E3.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_RESETHAND;
    if signal == libc::SIGABRT {
        // Another handler would interrupt the wait for the answer.
        // SAFETY: the set is part of `action`.
        unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    }
    // SAFETY: the handler has the signature for these flags, and keeps to E1. If the kernel refuses
    // it, the signal ends the process as it did.
    let _refused = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

fn run(mut reader: PipeReader, mut writer: PipeWriter, act: fn()) {
    if let Some(ending) = ENDING.get() {
        // SAFETY: it has no precondition.
        let own = unsafe { libc::gettid() };
        ending.acting.store(own, Ordering::Relaxed);
    }
    let mut number = [0];
    // The other end is never closed (E2).
    while reader.read_exact(&mut number).is_ok() {
        let signal = c_int::from(number[0]);
        if signal == libc::SIGABRT {
            act();
            let _ended = writer.write_all(&number);
        } else if has_default_effect(signal) {
            act();
            // An error: the signal ends no process.
            let _unknown = emulate_default_handler(signal);
        }
    }
}

extern "C" fn on_signal(signal: c_int) {
    let Some(ending) = ENDING.get() else {
        return;
    };
    // SAFETY: E1; the address is that of the calling thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    // SAFETY: E1.
    if unsafe { libc::getpid() } != ending.process {
        // A child that has not executed its program yet.
        raise_if_default(signal);
    } else if let Ok(number) = u8::try_from(signal) {
        tell(ending, number);
        // SAFETY: E1.
        let own = unsafe { libc::gettid() };
        if signal == libc::SIGABRT {
            if own != ending.acting.load(Ordering::Relaxed) {
                wait_for_answer(ending);
            }
            // `abort` ends the process when the handler returns; `kill` would not.
            raise_if_default(signal);
        }
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

fn tell(ending: &Ending, number: u8) {
    // SAFETY: E1, E2; the byte is there.
    let _told = unsafe { libc::write(ending.numbers.as_raw_fd(), (&raw const number).cast(), 1) };
}

/// Makes a signal have its default effect when the handler returns, unless another handler has
/// called this one.
fn raise_if_default(signal: c_int) {
    if has_default_effect(signal) {
        // SAFETY: E1.
        let _former = unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: E1.
        let _raised = unsafe { libc::raise(signal) };
    }
}

fn wait_for_answer(ending: &Ending) {
    let mut answers = libc::pollfd {
        fd: ending.answers.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: E1, E2; one pollfd is there.
    let ready = unsafe { libc::poll(&raw mut answers, 1, MAX_ABORT_WAIT_MS) };
    if ready == 1 {
        let mut answer = 0_u8;
        // A later signal must not find this answer.
        // SAFETY: E1, E2; there is room for a byte.
        let _read = unsafe { libc::read(answers.fd, (&raw mut answer).cast(), 1) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Output;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use libc::{SIGABRT, SIGTERM, SIGUSR1};

    use super::*;
    use crate::test_child;

    /// Calls `body` in a child process, which exits with 99 after some time.
    fn child(test: &str, body: impl FnOnce()) -> Option<Output> {
        let test = format!("sys::signal::ending::tests::{test}");
        test_child::outcome(&test, || {
            std::thread::spawn(|| {
                #[allow(clippy::disallowed_methods, reason = "an OS thread of the test's own")]
                std::thread::sleep(Duration::from_secs(20));
                std::process::exit(99);
            });
            body();
        })
    }

    #[track_caller]
    fn assert_killed(output: &Output, signal: c_int) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(signal), "{output:?} {said}");
    }

    #[track_caller]
    fn assert_acted(output: &Output) {
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("acted"), "{told}");
    }

    fn announce() {
        println!("acted");
    }

    fn raise(signal: c_int) {
        // SAFETY: each of these tests has set the action of the signal.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }

    /// Installs a handler without flags.
    fn set_handler(signal: c_int, handler: usize) {
        // SAFETY: the handlers of these tests have the signature, and keep to E1.
        unsafe { libc::signal(signal, handler) };
    }

    /// A handler of the program that calls the former one.
    extern "C" fn call_former(signal: c_int) {
        on_signal(signal);
    }

    extern "C" fn ignore(_: c_int) {}

    /// Calls `f` in a fork of this process, which exits with 7 afterwards; returns how it ended.
    fn fork(f: fn()) -> std::process::ExitStatus {
        // SAFETY: the child calls only functions that are async-signal-safe.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: it has no precondition.
            unsafe { libc::alarm(10) };
            f();
            // SAFETY: it has no precondition.
            unsafe { libc::_exit(7) };
        }
        let mut status = 0;
        // SAFETY: there is room for the status.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        std::process::ExitStatus::from_raw(status)
    }

    #[test]
    fn a_handler_that_was_restored_without_its_flags_acts() {
        let test = "a_handler_that_was_restored_without_its_flags_acts";
        let output = child(test, || {
            act_before(&[SIGTERM], announce).unwrap();
            set_handler(SIGTERM, handler());
            raise(SIGTERM);
            loop {
                std::hint::spin_loop();
            }
        });
        if let Some(output) = output {
            assert_killed(&output, SIGTERM);
            assert_acted(&output);
        }
    }

    #[test]
    fn in_a_fork_a_signal_has_its_effect_and_a_handler_that_calls_this_one_returns() {
        let test = "in_a_fork_a_signal_has_its_effect_and_a_handler_that_calls_this_one_returns";
        let output = child(test, || {
            act_before(&[SIGTERM], announce).unwrap();
            assert_eq!(fork(|| raise(SIGTERM)).signal(), Some(SIGTERM));
            set_handler(SIGTERM, handler());
            assert_eq!(fork(|| raise(SIGTERM)).signal(), Some(SIGTERM));
            set_handler(SIGTERM, call_former as extern "C" fn(c_int) as usize);
            assert_eq!(fork(|| raise(SIGTERM)).code(), Some(7));
        });
        if let Some(output) = output {
            assert!(output.status.success(), "{output:?}");
        }
    }

    #[test]
    fn other_signals_do_not_end_the_wait_of_an_abort() {
        static ABORTING: AtomicI32 = AtomicI32::new(0);
        fn interrupt() {
            let thread = ABORTING.load(Ordering::SeqCst);
            let process = std::process::id();
            for _ in 0..10_000 {
                // SAFETY: the signal has a handler.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGUSR1) };
                std::thread::yield_now();
            }
            announce();
        }
        let output = child("other_signals_do_not_end_the_wait_of_an_abort", || {
            set_handler(SIGUSR1, ignore as extern "C" fn(c_int) as usize);
            ABORTING.store(crate::sys::os_threads::id(), Ordering::SeqCst);
            act_before(&[SIGABRT], interrupt).unwrap();
            std::process::abort();
        });
        if let Some(output) = output {
            assert_killed(&output, SIGABRT);
            assert_acted(&output);
        }
    }

    #[test]
    fn each_abort_waits_for_its_own_answer() {
        static ACTED: AtomicUsize = AtomicUsize::new(0);
        fn act() {
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            ACTED.fetch_add(1, Ordering::SeqCst);
        }
        let output = child("each_abort_waits_for_its_own_answer", || {
            act_before(&[SIGABRT], act).unwrap();
            set_handler(SIGABRT, call_former as extern "C" fn(c_int) as usize);
            for times in 1..=3 {
                raise(SIGABRT);
                assert_eq!(ACTED.load(Ordering::SeqCst), times);
            }
        });
        if let Some(output) = output {
            assert!(output.status.success(), "{output:?}");
        }
    }
}
