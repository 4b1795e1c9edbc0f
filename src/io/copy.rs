//! `copy`: std's signature, with a buffer on the heap that grows with the amount of data.
//!
//! std finds out by specialization, which only std has, that both ends are descriptors, and lets
//! the kernel copy between them. Here a generic reader's type is unknown, so the bytes pass through
//! the program. To make that cheap, large copies get a large buffer: a trip to the disk then
//! carries 256 KiB. `fs::copy` knows both paths and lets the kernel copy.
//!
//! If one end has the bytes, or room for them, in its own memory, std needs no buffer in between:
//! then std copies.

use std::any::type_name;
use std::io::{self, Read, Write};

/// The initial size: that of a socket's or a pipe's buffer.
const MIN_BUFFER_BYTES: usize = 16 << 10;
const MAX_BUFFER_BYTES: usize = 256 << 10;

/// Copies all data from `reader` to `writer` and returns the number of bytes. Suspends when they
/// do. Neither is flushed or closed.
///
/// [`std::io::copy`] has the same signature and works here too, with a buffer of 8 KiB on the
/// stack.
///
/// # Errors
///
/// The first error of either, except [`Interrupted`](io::ErrorKind::Interrupted). The number of
/// bytes copied before is lost.
///
/// # Examples
///
/// ```
/// use rustlet::io;
///
/// let mut reader: &[u8] = b"hello";
/// let mut writer = Vec::new();
/// assert_eq!(io::copy(&mut reader, &mut writer)?, 5);
/// assert_eq!(writer, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    if needs_no_buffer::<R, W>() {
        return io::copy(reader, writer);
    }
    let mut buffer = vec![0; MIN_BUFFER_BYTES];
    let mut copied = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // Neither end has to be one of ours.
        crate::green::budget::poll_budget(std::panic::Location::caller());
        writer.write_all(&buffer[..count])?;
        copied += count as u64;
        if count == buffer.len() && count < MAX_BUFFER_BYTES {
            buffer.resize(count * 2, 0);
        }
    }
}

/// Returns whether std uses the memory of `R` or of `W` as the buffer. By name, because only std
/// can check in another way; a wrong answer costs one copy of the data.
fn needs_no_buffer<R: ?Sized, W: ?Sized>() -> bool {
    let (reader, writer) = (type_name::<R>(), type_name::<W>());
    reader == type_name::<&[u8]>()
        || reader.starts_with("std::io::buffered::bufreader::BufReader<")
        || reader.starts_with("alloc::collections::vec_deque::VecDeque<")
        || writer.starts_with("std::io::buffered::bufwriter::BufWriter<")
        || writer.starts_with("alloc::vec::Vec<")
}
