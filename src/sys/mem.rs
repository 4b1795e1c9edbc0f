//! Address space and pages: the calls that reserve, guard, release and unmap the memory of stacks.
//!
//! Owns no state but the page size. Everything here may be called from any thread.
//!
//! - **M1** An address that [`reserve`] returned is the start of a private, zeroed, readable and
//!   writable mapping of the requested length, which no other code in the process uses, until
//!   [`unmap`].
//! - **M2** The kernel checks addresses itself: a call on a range that is not mapped gives an error
//!   and changes nothing. The danger of these calls is to take away memory that is still in use,
//!   and the caller rules that out.
#![allow(unsafe_code, reason = "wraps mmap, madvise, mprotect and munmap")]

use std::ffi::c_void;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `MADV_GUARD_INSTALL` of Linux 6.13; the libc crate does not name it on every target.
#[cfg(target_os = "linux")]
const MADV_GUARD_INSTALL: libc::c_int = 102;

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
const MAP_FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
#[cfg(target_os = "openbsd")]
const MAP_FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_STACK;
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "openbsd"
)))]
const MAP_FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON;

/// Returns the bytes of a page of memory: 4 KiB on x86_64; 4, 16 or 64 KiB on aarch64.
pub(crate) fn page_size() -> usize {
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: every thread computes the same value, and nothing else is published with it.
    let known = PAGE_SIZE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: sysconf has no precondition.
    let asked = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(asked)
        .ok()
        .filter(|bytes| bytes.is_power_of_two())
        .unwrap_or(4096);
    PAGE_SIZE.store(page, Ordering::Relaxed);
    page
}

/// Reserves `bytes` of address space, readable and writable, without memory behind it (M1).
///
/// Huge pages are kept off: with them the first byte of a stack would make 2 MiB resident.
pub(crate) fn reserve(bytes: usize) -> io::Result<usize> {
    // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            MAP_FLAGS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    {
        // A kernel built without huge pages answers EINVAL, which is what is wanted anyway.
        // SAFETY: the range is the mapping made above (M1); the advice changes no content.
        let _advice = unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    }
    Ok(start.expose_provenance())
}

/// Gives `[address, address + bytes)` back to the kernel, pages, guards and page tables.
///
/// # Safety
///
/// The range lies within one mapping made by [`reserve`], and nothing refers to it any more.
pub(crate) unsafe fn unmap(address: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::munmap(at(address), bytes) })
}

/// Releases the pages of `[address, address + bytes)`. The range stays mapped, and lightweight
/// guards in it stay too. Reads return unspecified values afterwards (zeros on Linux).
///
/// # Safety
///
/// The range lies within one mapping made by [`reserve`], and its content is no longer needed.
pub(crate) unsafe fn release(address: usize, bytes: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    const ADVICE: libc::c_int = libc::MADV_DONTNEED;
    #[cfg(not(target_os = "linux"))]
    const ADVICE: libc::c_int = libc::MADV_FREE;
    // SAFETY: the caller's promise.
    check(unsafe { libc::madvise(at(address), bytes, ADVICE) })
}

/// Leaves `[address, address + bytes)` out of core files, or takes it into them again. Splits the
/// mapping where that changes. It is only an attempt: where the kernel refuses, core files stay as
/// they are.
pub(crate) fn dump_in_cores(address: usize, bytes: usize, is_dumped: bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let advice = match is_dumped {
            true => libc::MADV_DODUMP,
            false => libc::MADV_DONTDUMP,
        };
        // SAFETY: M2; the advice changes neither content nor access.
        check(unsafe { libc::madvise(at(address), bytes, advice) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (_, _, _) = (address, bytes, is_dumped);
        Ok(())
    }
}

/// Makes `[address, address + bytes)` fault on every access, without splitting the mapping.
///
/// Success proves nothing: user-mode emulators return 0 for advice that they do not know.
/// [`faults`] checks whether the guard works. On systems without lightweight guards the error is
/// `EINVAL`, as from an old Linux.
///
/// # Safety
///
/// As for [`release`].
pub(crate) unsafe fn install_guard(address: usize, bytes: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the caller's promise.
        check(unsafe { libc::madvise(at(address), bytes, MADV_GUARD_INSTALL) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (_, _) = (address, bytes);
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// Does [`install_guard`] for `bytes` at each of the addresses, in few calls. Returns for how many,
/// from the first on, it succeeded: for none where the kernel (before Linux 6.14) or a filter of
/// system calls refuses. As there, success proves nothing.
///
/// # Safety
///
/// As for [`release`], for each of the ranges.
pub(crate) unsafe fn install_guards(addresses: impl Iterator<Item = usize>, bytes: usize) -> usize {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the caller's promise.
        let call = |ranges: &[libc::iovec]| unsafe { advise(ranges, MADV_GUARD_INSTALL) };
        vectored(addresses, bytes, call)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (_, _) = (addresses, bytes);
        0
    }
}

/// Populates `bytes` at each of the addresses with memory, as writing there one after the other
/// would, but in few calls. The readable content does not change. It is only an attempt: where the
/// kernel refuses, the memory is allocated when it is written to.
pub(crate) fn populate(addresses: impl Iterator<Item = usize>, bytes: usize) -> usize {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: M2; this takes no memory away.
        let call = |ranges: &[libc::iovec]| unsafe { advise(ranges, libc::MADV_POPULATE_WRITE) };
        vectored(addresses, bytes, call)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (_, _) = (addresses, bytes);
        0
    }
}

/// Calls `madvise` for many ranges of this process. Returns the number of bytes, or -1.
///
/// # Safety
///
/// That of the advice, for each of the ranges.
#[cfg(target_os = "linux")]
unsafe fn advise(ranges: &[libc::iovec], advice: libc::c_int) -> libc::c_long {
    /// The process of the calling thread.
    const PIDFD_SELF_THREAD: libc::c_int = -10_000;
    // SAFETY: the caller's promise; the length of the vector is passed correctly.
    unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD,
            ranges.as_ptr(),
            ranges.len(),
            advice,
            0_u32,
        )
    }
}

/// Makes each call with as many ranges as it can take without delaying other threads that map
/// memory. A call returns the number of bytes that it advised. Returns how many ranges were done
/// before one failed.
#[cfg(target_os = "linux")]
fn vectored(
    mut addresses: impl Iterator<Item = usize>,
    bytes: usize,
    call: impl Fn(&[libc::iovec]) -> libc::c_long,
) -> usize {
    const MAX_PER_CALL: usize = 16;
    let mut done = 0;
    loop {
        let mut ranges = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: bytes,
        }; MAX_PER_CALL];
        let mut count = 0;
        for (range, address) in ranges.iter_mut().zip(addresses.by_ref()) {
            range.iov_base = at(address);
            count += 1;
        }
        if count == 0 {
            return done;
        }
        let whole = usize::try_from(call(&ranges[..count])).map_or(0, |answer| answer / bytes);
        done += whole;
        if whole < count {
            return done;
        }
    }
}

/// Makes `[address, address + bytes)` fault on every access by taking its protection bits away,
/// which costs two mappings of the process's `vm.max_map_count`.
///
/// # Safety
///
/// As for [`release`].
pub(crate) unsafe fn deny(address: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::mprotect(at(address), bytes, libc::PROT_NONE) })
}

/// Returns whether the byte at `address` faults when the kernel reads it.
///
/// The byte is written into a pipe, which must copy it; `/dev/null` would accept it unread.
pub(crate) fn faults(address: usize) -> io::Result<bool> {
    let (_reader, writer) = io::pipe()?;
    // SAFETY: the kernel copies one byte, or returns EFAULT if the address cannot be read (M2).
    let written = unsafe { libc::write(writer.as_raw_fd(), at(address), 1) };
    if written == 1 {
        return Ok(false);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EFAULT) {
        Ok(true)
    } else {
        Err(error)
    }
}

/// Reads words of this process that may be unmapped at any moment: the kernel copies them, and
/// returns `EFAULT` if it cannot.
#[derive(Debug)]
pub(crate) struct Peek {
    reader: io::PipeReader,
    writer: io::PipeWriter,
}

impl Peek {
    /// # Errors
    ///
    /// There is no free descriptor.
    pub(crate) fn new() -> io::Result<Peek> {
        let (reader, writer) = io::pipe()?;
        Ok(Peek { reader, writer })
    }

    /// Returns the words from `address` on; `None` if they cannot be read. Their meaning is up to
    /// the caller.
    pub(crate) fn words<const N: usize>(&mut self, address: usize) -> Option<[usize; N]> {
        let mut bytes = [[0; size_of::<usize>()]; N];
        let is_whole = self.bytes(address, bytes.as_flattened_mut());
        is_whole.then(|| bytes.map(usize::from_ne_bytes))
    }

    /// Copies the bytes from `address` on; returns false if they cannot be read. Their meaning is
    /// up to the caller.
    pub(crate) fn bytes(&mut self, address: usize, out: &mut [u8]) -> bool {
        // A pipe has room for a page at least.
        const MAX_PER_CALL: usize = 4096;
        for (index, chunk) in out.chunks_mut(MAX_PER_CALL).enumerate() {
            let from = address.wrapping_add(index * MAX_PER_CALL);
            let fd = self.writer.as_raw_fd();
            // Not `write`: AddressSanitizer looks into its buffer, and may find a frame there that
            // has ended.
            // SAFETY: the kernel copies from the address, or returns EFAULT (M2). The pipe is
            // empty, so the call does not block.
            let written = unsafe { libc::syscall(libc::SYS_write, fd, from, chunk.len()) };
            let Ok(count) = usize::try_from(written) else {
                return false;
            };
            let is_read = self.reader.read_exact(&mut chunk[..count]).is_ok();
            if !is_read || count < chunk.len() {
                return false;
            }
        }
        true
    }
}

/// Returns, for each page of `[address, address + bytes)`, whether it is in memory. `address` is
/// the start of a page.
///
/// # Errors
///
/// Part of the range is not mapped, or the kernel has no memory for the answer.
pub(crate) fn residency(address: usize, bytes: usize) -> io::Result<impl Iterator<Item = bool>> {
    let mut pages = vec![0_u8; bytes.div_ceil(page_size())];
    // SAFETY: the vector has one byte for each page of the range; the range itself is only
    // examined.
    check(unsafe { libc::mincore(at(address), bytes, pages.as_mut_ptr().cast()) })?;
    Ok(pages.into_iter().map(|page| page & 1 == 1))
}

/// Returns how many pages of `[address, address + bytes)` are in memory.
#[cfg(test)]
pub(crate) fn resident_pages(address: usize, bytes: usize) -> usize {
    let pages = residency(address, bytes).expect("mincore of a mapped range");
    pages.filter(|is_resident| *is_resident).count()
}

fn at(address: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address)
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_page_is_readable_and_a_denied_one_faults() {
        let page = page_size();
        let start = reserve(2 * page).unwrap();
        assert!(!faults(start).unwrap());
        // SAFETY: only this test uses the mapping.
        unsafe { deny(start, page) }.unwrap();
        assert!(faults(start).unwrap());
        assert!(!faults(start + page).unwrap());
        // SAFETY: as above, and nothing refers to it.
        unsafe { unmap(start, 2 * page) }.unwrap();
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        assert!(reserve(usize::MAX & !(page_size() - 1)).is_err());
    }
}
