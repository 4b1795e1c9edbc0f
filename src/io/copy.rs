//! `copy`: std's signature, through a buffer on the heap that grows with the flow.
//!
//! std tells by specialization, which only std has, when both ends are descriptors, and lets the kernel copy between them. Here nothing
//! tells a generic reader's type, so bytes pass through the program. What that costs is made small by a buffer that large flows make
//! large: a trip to the disk then carries a quarter of a mebibyte. `fs::copy` has both paths and leaves the copying to the kernel.
//!
//! Where one end has the bytes, or room for them, in memory of its own, std needs no buffer in between: it is left to std then.

use std::any::type_name;
use std::io::{self, Read, Write};

/// As large as a socket's or a pipe's buffer is, at first.
const SMALL: usize = 16 << 10;
const LARGE: usize = 256 << 10;

/// Copies all that `reader` gives to `writer`, and tells how many bytes that were. Suspends where they do. Neither is flushed or closed at the end.
///
/// The signature is [`std::io::copy`]'s, which works here too: its buffer is 8 KiB on the stack, and it knows none of the types of this crate.
///
/// # Errors
///
/// The first error of either, except [`Interrupted`](io::ErrorKind::Interrupted). How much was copied before is not told.
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
    let mut buffer = vec![0; SMALL];
    let mut copied = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // Neither end has to be one of ours.
        crate::green::budget::spend(std::panic::Location::caller());
        writer.write_all(&buffer[..count])?;
        copied += count as u64;
        if count == buffer.len() && count < LARGE {
            buffer.resize(count * 2, 0);
        }
    }
}

/// Whether std takes the memory of `R` or of `W` for the buffer. By name, because none but std can ask in another way; a wrong guess costs a copy,
/// nothing else.
fn needs_no_buffer<R: ?Sized, W: ?Sized>() -> bool {
    let (reader, writer) = (type_name::<R>(), type_name::<W>());
    reader == type_name::<&[u8]>()
        || reader.starts_with("std::io::buffered::bufreader::BufReader<")
        || reader.starts_with("alloc::collections::vec_deque::VecDeque<")
        || writer.starts_with("std::io::buffered::bufwriter::BufWriter<")
        || writer.starts_with("alloc::vec::Vec<")
}
