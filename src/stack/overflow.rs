//! What happens when a green thread overflows its stack: a report that names it, then an abort.
//!
//! Owns the hook that describes the running thread. [`install`] and [`prepare_thread`] may be
//! called from any thread; the rest runs in a signal handler on the alternate stack of the faulting
//! thread.
//!
//! - **O1** Code that runs in the handler takes no lock and allocates nothing: it uses the table of
//!   slabs, a buffer on the alternate stack, `write` to standard error, and `abort`. The hook that
//!   describes promises the same.
//! - **O2** The address decides, not the signal's code: lightweight guards report `SEGV_MAPERR`,
//!   protected ones `SEGV_ACCERR`. A fault outside the library's guards goes to the handler that
//!   was installed before, so that a null dereference ends as in any Rust program.

use std::fmt;
use std::io;
use std::sync::OnceLock;

use super::size::GUARD_BYTES;
use super::slab;
use crate::sys::{mem, segv};

/// The stack whose guard was accessed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overflowed {
    /// [`super::Stack::limit`] of that stack. If it is not the running green thread's stack, then
    /// that thread has not overflowed, but followed a wild pointer into the guard of another.
    pub(crate) limit: usize,
    /// Usable bytes of that stack.
    pub(crate) usable: usize,
}

/// Writes the name of the green thread that runs on the stack, such as
/// `green thread 'worker' (id 7, spawned at src/main.rs:3:5)`.
///
/// Called in a signal handler: it takes no lock, allocates nothing and does not panic.
pub(crate) type Describe = fn(&mut SignalWriter, Overflowed);

static DESCRIBE: OnceLock<Describe> = OnceLock::new();

/// Installs the handler that reports overflows of green stacks. Acts once per process; later calls
/// change nothing.
///
/// # Errors
///
/// When the system refuses the handler.
pub(crate) fn install(describe: Describe) -> io::Result<()> {
    let _first = DESCRIBE.set(describe);
    segv::install(on_fault)
}

/// Makes sure that this OS thread has an alternate signal stack with room for a report.
///
/// # Errors
///
/// When there is no memory for one.
pub(crate) fn prepare_thread() -> io::Result<()> {
    segv::prepare_thread()
}

fn on_fault(address: usize) {
    let Some(found) = slab::find(address).filter(|found| found.in_guard) else {
        return;
    };
    let overflowed = Overflowed {
        limit: found.limit,
        usable: found.bytes - GUARD_BYTES - mem::page_size(),
    };
    let mut writer = SignalWriter::new();
    writer.text("\nrustlet: ");
    match DESCRIBE.get() {
        Some(describe) => describe(&mut writer, overflowed),
        None => writer.text("a green thread"),
    }
    writer.text(" has overflowed its stack\n  its stack is ");
    writer.number(overflowed.usable as u64 >> 10);
    writer.text(
        " KiB; raise it with thread::Builder::stack_size, runtime::Builder::stack_size \
         or RUSTLET_STACK_SIZE (bytes)\n",
    );
    if cfg!(debug_assertions) {
        writer.text(
            "  this is a debug build, whose frames are several times as large as those of a release build\n",
        );
    }
    writer.flush();
    segv::abort()
}

/// Writes to standard error from a signal handler: a fixed buffer, no allocation, no formatting.
pub(crate) struct SignalWriter {
    buffer: [u8; SignalWriter::CAPACITY],
    used: usize,
}

impl SignalWriter {
    const CAPACITY: usize = 512;

    fn new() -> SignalWriter {
        SignalWriter {
            buffer: [0; Self::CAPACITY],
            used: 0,
        }
    }

    /// Writes a piece of text.
    pub(crate) fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte);
        }
    }

    /// Writes a number in decimal.
    pub(crate) fn number(&mut self, number: u64) {
        let mut divisor = 10_u64.pow(number.checked_ilog10().unwrap_or(0));
        while divisor > 0 {
            self.byte(b'0' + (number / divisor % 10) as u8);
            divisor /= 10;
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.used == Self::CAPACITY {
            self.flush();
        }
        if let Some(place) = self.buffer.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
    }

    fn flush(&mut self) {
        segv::write_stderr(self.buffer.get(..self.used).unwrap_or_default());
        self.used = 0;
    }
}

impl fmt::Debug for SignalWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SignalWriter")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "makes child processes fault")]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::ptr;

    use super::*;
    use crate::stack::{StackSize, reserve_shared, take_sized};
    use crate::test_child;

    fn prepare() {
        install(|writer, overflowed| {
            writer.text("green thread 'deep' (id ");
            writer.number(u64::MAX);
            writer.text(", room ");
            writer.number(overflowed.usable as u64);
            writer.text(")");
        })
        .unwrap();
        prepare_thread().unwrap();
        prepare_thread().unwrap();
    }

    fn write_to(address: usize) {
        let byte: *mut u8 = ptr::with_exposed_provenance_mut(address);
        // SAFETY: none: the child is meant to die of it.
        unsafe { byte.write_volatile(1) };
    }

    #[test]
    fn an_access_to_a_guard_is_reported_and_aborts() {
        let name = "stack::overflow::tests::an_access_to_a_guard_is_reported_and_aborts";
        let Some(output) = test_child::outcome(name, || {
            prepare();
            let size = StackSize::from_usable(128 << 10);
            reserve_shared(size).unwrap();
            write_to(take_sized(size).unwrap().limit() + GUARD_BYTES - 1);
        }) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let report = "rustlet: green thread 'deep' (id 18446744073709551615, room 131072) has overflowed its stack\n  \
                      its stack is 128 KiB; raise it with thread::Builder::stack_size";
        assert!(said.contains(report), "{said}");
        assert_eq!(output.status.signal(), Some(6), "{said}");
    }

    #[test]
    fn another_fault_ends_as_it_does_without_us() {
        let name = "stack::overflow::tests::another_fault_ends_as_it_does_without_us";
        let Some(output) = test_child::outcome(name, || {
            prepare();
            write_to(ptr::without_provenance::<u8>(8).addr());
        }) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("rustlet:"), "{said}");
        assert_eq!(output.status.signal(), Some(11), "{said}");
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut writer = SignalWriter::new();
        for number in [0, 7, 10, 1_234_567, u64::MAX] {
            writer.number(number);
            writer.text(" ");
        }
        let written = writer.buffer[..writer.used].to_vec();
        assert_eq!(written, b"0 7 10 1234567 18446744073709551615 ");
    }
}
