#![allow(unsafe_code, reason = "a signal handler that reads registers")]
//! The registers and the stack of an OS thread that runs, copied by a signal handler on that
//! thread.
//!
//! [`sample`] may be called from any thread. It sends a signal to the OS thread and waits for the
//! copy, for [`MAX_WAIT_NS`] at most.
//!
//! - **SA1** [`STATE`] says who uses [`COPY`]. `IDLE` and `DONE`: the sampler that holds the lock.
//!   `WRITING`: the handler that has changed `REQUESTED` to it. In `REQUESTED` nobody does. Each
//!   change releases, and is acquired by the next user.
//! - **SA2** [`COPY`] is set before the first request and stays for the rest of the process. So a
//!   handler that runs late finds it, and writes only if it has changed the state to `WRITING`; a
//!   sampler that gives up while the state is `WRITING` leaves it so, and the next one waits until
//!   the handler has finished.
//! - **SA3** The handler calls only what is async-signal-safe: `gettid`, `read` and `write` on a
//!   pipe of its own, and the hook, which only loads. It neither allocates nor takes a lock, and
//!   leaves `errno` as it was. The kernel copies the stack, so an address that is not mapped is an
//!   error and no fault.
//! - **SA4** A `sigaction` of zeros is valid. The kernel passes a `ucontext_t` to a handler with
//!   `SA_SIGINFO`.
//!
//! The signal is a real-time signal that has no handler, the one with the highest number, chosen at
//! the first sample. If the program installs a handler for it later, another one is chosen. System
//! calls that the kernel can restart are restarted (`SA_RESTART`). A thread that blocks the signal
//! gets none.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::action;
use crate::shim::lock;
use crate::sys::clock::{self, Tick};
use crate::sys::mem::Peek;

/// The largest number of bytes of a stack that are copied, from the stack pointer on.
const MAX_COPIED_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 4096;
/// How long a sampler waits for the handler.
const MAX_WAIT_NS: Tick = 100_000_000;

/// The registers and the stack of an OS thread at one moment.
pub(crate) struct Sample {
    /// What the hook has returned: the number of the green thread that runs, 0 if none does.
    pub(crate) green: u64,
    /// The address above the stack of that thread.
    pub(crate) top: usize,
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    /// The link register; 0 where there is none.
    pub(crate) lr: usize,
    /// The bytes from `sp` on.
    pub(crate) stack: Vec<u8>,
}

/// Returns the number of the green thread that runs on the calling OS thread, and the address above
/// its stack; 0 if none runs. Called in a signal handler.
pub(crate) type Running = fn() -> (u64, usize);

const IDLE: u32 = 0;
const REQUESTED: u32 = 1;
const WRITING: u32 = 2;
const DONE: u32 = 3;
static STATE: AtomicU32 = AtomicU32::new(IDLE);

/// The kernel's number of the OS thread that is asked.
static TARGET: AtomicI32 = AtomicI32::new(0);
/// The signal; 0 before the first sample.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

struct Copied {
    os_thread: i32,
    green: u64,
    top: usize,
    /// pc, sp, fp, lr.
    registers: [usize; 4],
    peek: Peek,
    stack: Box<[u8]>,
    length: usize,
}

struct Shared {
    copied: UnsafeCell<Copied>,
    running: Running,
}

// SAFETY: SA1.
unsafe impl Sync for Shared {}

static COPY: OnceLock<Shared> = OnceLock::new();

/// Copies the registers and the stack of the OS thread `os_thread` of this process. Returns `None`
/// if it does not answer: it has ended, blocks the signal, or waits in a way that no signal
/// interrupts.
pub(crate) fn sample(os_thread: i32, running: Running) -> Option<Sample> {
    static SAMPLING: Mutex<()> = Mutex::new(());
    let _sampling = lock(&SAMPLING);
    let shared = shared(running)?;
    let until = clock::real_now().saturating_add(MAX_WAIT_NS);
    // SA2: of a sampler that gave up.
    wait_while(WRITING, until);
    if STATE.load(Ordering::Acquire) == WRITING {
        return None;
    }
    let signal = signal()?;
    if is_blocked(os_thread, signal) {
        return None;
    }
    TARGET.store(os_thread, Ordering::Relaxed);
    STATE.store(REQUESTED, Ordering::Release);
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: the signal has the handler below, which may run at any point of any thread (SA3).
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, os_thread, signal) };
    if sent == 0 {
        wait_while(REQUESTED, until);
    }
    let taken_back = STATE.compare_exchange(REQUESTED, IDLE, Ordering::Acquire, Ordering::Acquire);
    if taken_back.is_ok() {
        return None;
    }
    wait_while(WRITING, clock::real_now().saturating_add(MAX_WAIT_NS));
    if STATE.load(Ordering::Acquire) != DONE {
        return None;
    }
    // SAFETY: SA1: `DONE`, and the caller holds the lock.
    let copied = unsafe { &*shared.copied.get() };
    let [pc, sp, fp, lr] = copied.registers;
    let sample = Sample {
        green: copied.green,
        top: copied.top,
        pc,
        sp,
        fp,
        lr,
        stack: copied.stack[..copied.length].to_vec(),
    };
    // A late handler of an earlier request may have answered.
    let is_of_target = copied.os_thread == os_thread;
    STATE.store(IDLE, Ordering::Release);
    is_of_target.then_some(sample)
}

fn shared(running: Running) -> Option<&'static Shared> {
    if COPY.get().is_none() {
        let copied = Copied {
            os_thread: 0,
            green: 0,
            top: 0,
            registers: [0; 4],
            peek: Peek::new().ok()?,
            stack: vec![0; MAX_COPIED_BYTES].into_boxed_slice(),
            length: 0,
        };
        let _lost = COPY.set(Shared {
            copied: UnsafeCell::new(copied),
            running,
        });
    }
    COPY.get()
}

/// Waits while the state is `state`, until `until` at the latest.
fn wait_while(state: u32, until: Tick) {
    let mut turns = 0;
    while STATE.load(Ordering::Acquire) == state && clock::real_now() < until {
        turns += 1;
        if turns < 100 {
            std::thread::yield_now();
        } else {
            #[allow(
                clippy::disallowed_methods,
                reason = "the OS thread that is asked may be that of another worker"
            )]
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }
}

/// Returns whether an OS thread blocks a signal, so that each would stay pending.
fn is_blocked(os_thread: i32, signal: c_int) -> bool {
    let path = format!("/proc/self/task/{os_thread}/status");
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Returns the signal, with its handler in place.
fn signal() -> Option<c_int> {
    let chosen = SIGNAL.load(Ordering::Relaxed);
    if chosen != 0 && is_ours(chosen) {
        return Some(chosen);
    }
    let found = (libc::SIGRTMIN()..=libc::SIGRTMAX())
        .rev()
        .filter(|&signal| super::is_default(signal).unwrap_or(false))
        .find(|&signal| install(signal))?;
    SIGNAL.store(found, Ordering::Relaxed);
    Some(found)
}

fn handler() -> usize {
    on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize
}

fn is_ours(signal: c_int) -> bool {
    action::handler(signal).is_ok_and(|installed| installed == handler())
}

fn install(signal: c_int) -> bool {
    // SAFETY: SA4.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler();
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // No other handler needs room on the alternate stack meanwhile.
    // SAFETY: the set is part of `action`.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: the handler has the signature for these flags, and keeps to SA3.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(shared) = COPY.get() else {
        return;
    };
    // SAFETY: the address is that of the calling thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    // SAFETY: SA3.
    let own = unsafe { libc::gettid() };
    let is_asked = TARGET.load(Ordering::Relaxed) == own
        && STATE
            .compare_exchange(REQUESTED, WRITING, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
    if is_asked {
        // SAFETY: SA1: this handler has changed the state to `WRITING`.
        let copied = unsafe { &mut *shared.copied.get() };
        // SAFETY: SA4.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        copied.os_thread = own;
        copied.registers = registers(context);
        let (green, top) = (shared.running)();
        copied.green = green;
        copied.top = top;
        copied.copy_stack(top);
        STATE.store(DONE, Ordering::Release);
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

impl Copied {
    /// Copies the stack from the stack pointer up to `top`, if that is its end; otherwise as far as
    /// there is memory.
    fn copy_stack(&mut self, top: usize) {
        let [_, sp, ..] = self.registers;
        let bytes = match top.checked_sub(sp) {
            Some(bytes) if bytes < MAX_COPIED_BYTES => bytes,
            _ => MAX_COPIED_BYTES,
        };
        self.length = 0;
        for chunk in self.stack[..bytes].chunks_mut(PAGE_BYTES) {
            if !self.peek.bytes(sp + self.length, chunk) {
                return;
            }
            self.length += chunk.len();
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> [usize; 4] {
    let registers = &context.uc_mcontext.gregs;
    let [pc, sp, fp] = [libc::REG_RIP, libc::REG_RSP, libc::REG_RBP]
        .map(|register| registers[register as usize] as usize);
    [pc, sp, fp, 0]
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> [usize; 4] {
    let registers = &context.uc_mcontext;
    let general = |register: usize| registers.regs[register] as usize;
    [
        registers.pc as usize,
        registers.sp as usize,
        general(29),
        general(30),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;

    fn own_number() -> i32 {
        // SAFETY: it has no precondition.
        unsafe { libc::gettid() }
    }

    fn nothing() -> (u64, usize) {
        (0, 0)
    }

    /// Runs `f` on an OS thread whose number it returns.
    fn start(f: impl FnOnce() + Send + 'static) -> (i32, std::thread::JoinHandle<()>) {
        let (sender, numbers) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            sender.send(own_number()).unwrap();
            f();
        });
        (numbers.recv().unwrap(), thread)
    }

    #[test]
    fn a_thread_that_computes_is_sampled() {
        static ENDED: AtomicBool = AtomicBool::new(false);
        let (number, thread) = start(|| {
            while !ENDED.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        // It may be stopped for longer than a sampler waits.
        let sample = loop {
            if let Some(sample) = sample(number, nothing) {
                break sample;
            }
        };
        assert!(sample.pc != 0 && sample.sp != 0 && !sample.stack.is_empty());
        ENDED.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }

    #[test]
    fn the_calling_thread_is_sampled_at_once() {
        let local = 0x5A3C_u64;
        let here = std::hint::black_box(&local);
        let sample = sample(own_number(), nothing).unwrap();
        // What it copied is its stack.
        let at = ptr::from_ref(here).addr() - sample.sp;
        assert_eq!(sample.stack[at..at + 8], local.to_ne_bytes());
    }

    #[test]
    fn a_thread_that_blocks_all_signals_does_not_answer() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (sender, blocked) = mpsc::channel();
        let (number, thread) = start(move || {
            // SAFETY: SA4: a set of zeros is valid.
            let mut all: libc::sigset_t = unsafe { mem::zeroed() };
            // SAFETY: the set is valid.
            unsafe { libc::sigfillset(&raw mut all) };
            // SAFETY: as above, and it is only read.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) };
            sender.send(()).unwrap();
            let mut reader = reader;
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        });
        blocked.recv().unwrap();
        assert!(sample(number, nothing).is_none());
        drop(writer);
        thread.join().unwrap();
        // Neither does one that has ended.
        assert!(sample(number, nothing).is_none());
        assert!(sample(own_number(), nothing).is_some());
    }

    /// As if the signal had come when the sampler had given up.
    #[test]
    fn a_late_signal_changes_nothing() {
        assert!(sample(own_number(), nothing).is_some());
        let signal = SIGNAL.load(Ordering::Relaxed);
        // SAFETY: the signal has a handler.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
        assert!(sample(own_number(), nothing).is_some());
    }

    #[test]
    fn a_system_call_that_waits_is_restarted() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (number, thread) = start(move || {
            let mut reader = reader;
            // Not `read_exact`, which tries again itself.
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        });
        for _ in 0..20 {
            while sample(number, nothing).is_none() {}
        }
        drop(writer);
        thread.join().unwrap();
    }
}
