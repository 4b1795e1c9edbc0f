#![allow(unsafe_code, reason = "a signal handler")]
//! Does something before a signal ends the process, on an OS thread of its own.
//!
//! 1. The handler writes the number of the signal into a pipe. If the signal is `SIGABRT`, it waits
//!    for an answer, for [`MAX_ABORT_WAIT_MS`] at most: the process aborts when the handler
//!    returns.
//! 2. The kernel has set the action of the signal back to the default when it called the handler
//!    (`SA_RESETHAND`), so a second signal ends the process at once.
//! 3. The OS thread reads the number. If the action of the signal is still the default, no code of
//!    the program handles it: the OS thread calls the function and then has the default effect. If
//!    another handler was installed over this one, and has called it, the OS thread does nothing.
//!
//! - **E1** The handler calls only what is async-signal-safe: `getpid`, `gettid`, `write`, `poll`,
//!   `read`, `raise`. It neither allocates nor takes a lock, and leaves `errno` as it was.
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
        if is_default(signal) {
            install(signal);
        }
    }
    Ok(())
}

fn is_default(signal: c_int) -> bool {
    action::handler(signal).is_ok_and(|handler| handler == libc::SIG_DFL)
}

fn install(signal: c_int) {
    // SAFETY: E3.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_RESETHAND;
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
        } else if is_default(signal) {
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
        // A child that has not executed its program yet. The signal has its default effect when the
        // handler returns.
        // SAFETY: E1.
        let _raised = unsafe { libc::raise(signal) };
    } else if let Ok(number) = u8::try_from(signal) {
        tell(ending, number);
        // SAFETY: E1.
        let own = unsafe { libc::gettid() };
        if signal == libc::SIGABRT && own != ending.acting.load(Ordering::Relaxed) {
            wait_for_answer(ending);
        }
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

fn tell(ending: &Ending, number: u8) {
    // SAFETY: E1, E2; the byte is there.
    let _told = unsafe { libc::write(ending.numbers.as_raw_fd(), (&raw const number).cast(), 1) };
}

fn wait_for_answer(ending: &Ending) {
    let mut answers = libc::pollfd {
        fd: ending.answers.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // Interrupted by another signal: the abort goes on.
    // SAFETY: E1, E2; one pollfd is there.
    let _ready = unsafe { libc::poll(&raw mut answers, 1, MAX_ABORT_WAIT_MS) };
}
