//! Implements `Read` and `Write` of hyper 1.
//!
//! hyper provides uninitialised memory, which only unsafe code can read into. So the bytes are read
//! into a buffer of the OS thread and copied. The copy costs a small part of the system call.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::rt::{Read, ReadBufCursor, Write};

use super::{ended, for_all};

/// The size of the buffer in bytes, and so the largest number of bytes that one read returns.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    /// The buffer of the OS thread. It is empty while a read uses it, because the reading green
    /// thread may yield.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads with `read` into `cursor`.
fn poll_onto(
    mut cursor: ReadBufCursor<'_>,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    // The thread-local is missing only in destructors of other thread-locals of the OS thread.
    let mut scratch = SPARE.try_with(Cell::take).unwrap_or_default();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_BYTES];
    }
    let size = cursor.remaining().min(SCRATCH_BYTES);
    let polled = read(&mut scratch[..size]);
    let polled = polled.map_ok(|count| cursor.put_slice(&scratch[..count]));
    let _kept = SPARE.try_with(|spare| spare.set(scratch));
    polled
}

macro_rules! stream {
    ($name:ty, $inner:ty) => {
        impl Read for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                poll_onto(buf, |bytes| <$inner>::poll_read(&self, context, bytes))
            }
        }

        /// `poll_shutdown` shuts the writing direction down.
        impl Write for $name {
            write_methods!($inner, vectored);

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(ended(self.shutdown(Shutdown::Write)))
            }
        }
    };
}

/// Pipes do not implement the traits, because an HTTP connection needs both directions.
macro_rules! nothing {
    ($name:ty) => {};
}

for_all!(stream, nothing, nothing);
