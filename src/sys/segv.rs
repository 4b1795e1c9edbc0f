//! SIGSEGV and SIGBUS: one handler for the process, and alternate signal stacks for threads.
//!
//! Owns the handler and what was installed before it. [`install`] may be called from any thread;
//! [`prepare_thread`] acts on the calling one; [`write_stderr`] and [`abort`] may be called from a
//! handler.
//!
//! - **V1** The previous action of each signal is recorded before this module's is installed, so
//!   the handler always finds it. This module changes neither again except to restore the default.
//! - **V2** The handler calls only what is async-signal-safe: loads of initialised `OnceLock`s,
//!   `sigaction`, `raise`, `write`, `abort`, the hook (which promises the same) and the previous
//!   handler.
//! - **V3** An alternate stack stays mapped until its thread has stopped using it.
#![allow(unsafe_code, reason = "wraps sigaction and sigaltstack")]

use std::cell::OnceCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;

use super::mem as memory;

/// Receives the address that an access faulted at; returns if it does not recognise the address.
pub(crate) type Hook = fn(address: usize);

static HOOK: OnceLock<Hook> = OnceLock::new();
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [OnceLock::new(), OnceLock::new()];
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Room on the alternate stack beside what the kernel itself pushes there (up to 11 KiB on x86_64).
const ALTERNATE_STACK_BYTES: usize = 64 << 10;

/// Installs a handler that calls `hook` on each fault before the previous handler (usually std's
/// own) sees it.
///
/// Acts once per process: later calls change nothing.
pub(crate) fn install(hook: Hook) -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = INSTALLED.get_or_init(|| {
        let _first = HOOK.set(hook);
        install_handlers().map_err(|error| error.raw_os_error().unwrap_or(0))
    });
    done.map_err(io::Error::from_raw_os_error)
}

fn install_handlers() -> io::Result<()> {
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        let mut old = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: only reads the present action, into a struct of the right type.
        check(unsafe { libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) })?;
        // SAFETY: sigaction returned 0, so it has filled the struct.
        let _first = previous.set(unsafe { old.assume_init() });

        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_fault;
        let mut ours = default_action();
        ours.sa_sigaction = handler as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for and keeps to V2.
        check(unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) })?;
    }
    Ok(())
}

fn default_action() -> libc::sigaction {
    // SAFETY: a sigaction of zeros is valid: SIG_DFL, no flags, and an empty mask.
    unsafe { mem::zeroed() }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a filled siginfo_t to an SA_SIGINFO handler.
    let details = unsafe { &*info };
    // Positive codes come from the kernel. In a signal sent by kill(2) the same bytes are a sender,
    // not an address.
    let sent_by_kernel = details.si_code > 0;
    if sent_by_kernel && let Some(hook) = HOOK.get() {
        // SAFETY: SIGSEGV and SIGBUS from the kernel carry an address.
        hook(unsafe { details.si_addr() }.addr());
    }
    let index = usize::from(signal == libc::SIGBUS);
    let Some(previous) = PREVIOUS[index].get() else {
        return restore_default(signal, sent_by_kernel);
    };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => restore_default(signal, sent_by_kernel),
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the installer of this handler promised this signature by SA_SIGINFO (V1).
            let handler = unsafe {
                mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                    handler,
                )
            };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO a handler takes the signal's number only (V1).
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

/// Restores the default action. A faulting access faults again when the handler returns, and then
/// ends the process as it would without this handler; a signal sent by a process has to be sent
/// once more.
fn restore_default(signal: c_int, sent_by_kernel: bool) {
    let action = default_action();
    // SAFETY: restores the default action, which is always allowed for these signals.
    let _answer = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    if !sent_by_kernel {
        // SAFETY: raise has no precondition; the signal is blocked until the handler returns.
        let _answer = unsafe { libc::raise(signal) };
    }
}

/// Writes to standard error. Async-signal-safe; errors are dropped, because nothing could report
/// them.
pub(crate) fn write_stderr(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of a live slice.
        let written =
            unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(count) if count > 0 => bytes = bytes.get(count..).unwrap_or_default(),
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Ends the process with SIGABRT. Async-signal-safe.
pub(crate) fn abort() -> ! {
    // SAFETY: abort has no precondition.
    unsafe { libc::abort() }
}

/// Makes sure that this thread has an alternate signal stack with room for a report.
///
/// std usually gives its threads one of 8 KiB, of which the kernel's own frame takes a large part.
/// A larger one that is already there is kept.
pub(crate) fn prepare_thread() -> io::Result<()> {
    thread_local! {
        static ALTERNATE: OnceCell<Alternate> = const { OnceCell::new() };
    }
    let prepared = ALTERNATE.try_with(|cell| {
        if cell.get().is_none()
            && let Some(alternate) = Alternate::install()?
        {
            let _first = cell.set(alternate);
        }
        Ok(())
    });
    // The thread runs its last destructors, and nothing would free another stack: the thread gets
    // none, and an overflow of it is not reported.
    prepared.unwrap_or(Ok(()))
}

struct Alternate {
    start: usize,
    bytes: usize,
}

impl Alternate {
    fn install() -> io::Result<Option<Alternate>> {
        let page = memory::page_size();
        let room = (ALTERNATE_STACK_BYTES + kernel_frame()).next_multiple_of(page);

        let mut present = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: only reads the present setting, into a struct of the right type.
        check(unsafe { libc::sigaltstack(ptr::null(), present.as_mut_ptr()) })?;
        // SAFETY: sigaltstack returned 0, so it has filled the struct.
        let present = unsafe { present.assume_init() };
        if present.ss_flags & libc::SS_DISABLE == 0 && present.ss_size >= room {
            return Ok(None);
        }

        let bytes = room + page;
        let alternate = Alternate {
            start: memory::reserve(bytes)?,
            bytes,
        };
        // SAFETY: the mapping is ours and is not in use yet.
        unsafe { memory::deny(alternate.start, page) }?;
        let setting = libc::stack_t {
            ss_sp: ptr::with_exposed_provenance_mut(alternate.start + page),
            ss_flags: 0,
            ss_size: room,
        };
        // SAFETY: the range is mapped, writable, and stays so until the thread gives it up (V3).
        check(unsafe { libc::sigaltstack(&raw const setting, ptr::null_mut()) })?;
        Ok(Some(alternate))
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        let disable = libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: ALTERNATE_STACK_BYTES,
        };
        let mut present = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: only reads the present setting.
        let answer = unsafe { libc::sigaltstack(ptr::null(), present.as_mut_ptr()) };
        if answer != 0 {
            return;
        }
        // SAFETY: sigaltstack returned 0, so it has filled the struct.
        let present = unsafe { present.assume_init() };
        let ours = self.start..self.start + self.bytes;
        if present.ss_flags & libc::SS_DISABLE == 0 && ours.contains(&present.ss_sp.addr()) {
            // SAFETY: switches this thread's alternate stack off.
            let answer = unsafe { libc::sigaltstack(&raw const disable, ptr::null_mut()) };
            if answer != 0 {
                return;
            }
        }
        // SAFETY: the thread does not use the mapping any more (V3), and no other thread ever did.
        let _answer = unsafe { memory::unmap(self.start, self.bytes) };
    }
}

/// Returns the bytes that the kernel pushes when it delivers a signal; the vector registers make it
/// large.
fn kernel_frame() -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        const AT_MINSIGSTKSZ: libc::c_ulong = 51;
        // SAFETY: getauxval has no precondition; 0 means that the kernel does not report the value.
        let said = unsafe { libc::getauxval(AT_MINSIGSTKSZ) };
        usize::try_from(said).unwrap_or(0)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        libc::SIGSTKSZ
    }
}

fn check(answer: c_int) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
