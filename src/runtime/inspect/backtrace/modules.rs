//! The loaded files of the process and their unwind tables, read from memory.
//!
//! The tables are read through the kernel from the memory where they are mapped, because the files
//! may have been replaced since, and a library may be unloaded at any moment.

use std::fs;
use std::ops::Range;

use framehop::{ExplicitModuleSectionInfo, Module};

use crate::sys::mem::Peek;

/// A module in the form that framehop takes.
pub(super) type Loaded = Module<Vec<u8>>;

/// Returns the modules of all files whose beginning is mapped.
pub(super) fn loaded(peek: &mut Peek) -> Vec<Loaded> {
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps);
    let first = maps.lines().filter_map(start_of_file);
    first.filter_map(|base| module(peek, base)).collect()
}

/// Returns the address at which a line of `/proc/self/maps` maps the beginning of a file; `None` if
/// it maps something else.
fn start_of_file(line: &str) -> Option<usize> {
    // For example `7f01a000-7f02b000 r--p 00000000 08:01 1234 /usr/lib/libc.so.6`.
    let mut words = line.split_ascii_whitespace();
    let (start, _) = words.next()?.split_once('-')?;
    let (mode, offset, inode) = (words.next()?, words.next()?, words.nth(1)?);
    // The kernel's own code in the process, which reads the clock, has tables too.
    let is_known = inode != "0" || words.next() == Some("[vdso]");
    let is_start = mode.starts_with('r') && is_known && offset.bytes().all(|digit| digit == b'0');
    is_start.then(|| usize::from_str_radix(start, 16).ok())?
}

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_E550;
/// The largest number of segment headers that are read.
const MAX_SEGMENTS: u16 = 64;
/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`, which every linker writes.
const RELATIVE: u8 = 0x1B;

struct Segment {
    kind: u32,
    /// The addresses that the file states, before relocation.
    addresses: Range<usize>,
}

fn module(peek: &mut Peek, base: usize) -> Option<Loaded> {
    let segments = segments(peek, base)?;
    let loads = || segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let first = loads().map(|segment| segment.addresses.start).min()?;
    let last = loads().map(|segment| segment.addresses.end).max()?;
    let table = segments
        .iter()
        .find(|segment| segment.kind == PT_GNU_EH_FRAME)?;
    let in_memory = |stated: usize| stated.checked_sub(first)?.checked_add(base);

    let mut header = zeroed(table.addresses.len())?;
    if !peek.bytes(in_memory(table.addresses.start)?, &mut header)
        || header.get(1) != Some(&RELATIVE)
    {
        return None;
    }
    let distance = i32::from_ne_bytes(header.get(4..8)?.try_into().ok()?);
    let start = (table.addresses.start + 4).checked_add_signed(distance as isize)?;
    // The end of the segment is late enough: the table has its own end mark before it.
    let until = loads()
        .find(|segment| segment.addresses.contains(&start))?
        .addresses
        .end;
    let mut frames = zeroed(until - start)?;
    if !peek.bytes(in_memory(start)?, &mut frames) {
        return None;
    }
    let info = ExplicitModuleSectionInfo {
        base_svma: first as u64,
        eh_frame_svma: Some(start as u64..until as u64),
        eh_frame: Some(frames),
        eh_frame_hdr_svma: Some(table.addresses.start as u64..table.addresses.end as u64),
        eh_frame_hdr: Some(header),
        ..ExplicitModuleSectionInfo::default()
    };
    let range = base as u64..in_memory(last)? as u64;
    Some(Module::new(String::new(), range, base as u64, info))
}

/// The largest table that is read. A file that is only mapped may state any size.
const MAX_TABLE: usize = 256 << 20;

fn zeroed(bytes: usize) -> Option<Vec<u8>> {
    let mut vec = Vec::new();
    (bytes <= MAX_TABLE && vec.try_reserve_exact(bytes).is_ok()).then(|| {
        vec.resize(bytes, 0);
        vec
    })
}

/// Reads the segment headers of a 64-bit ELF file that is mapped at `base`.
fn segments(peek: &mut Peek, base: usize) -> Option<Vec<Segment>> {
    let mut file = [0; 64];
    if !peek.bytes(base, &mut file) || !file.starts_with(b"\x7FELF\x02") {
        return None;
    }
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..at + 8)?.try_into().ok();
        word.map(usize::from_ne_bytes)
    };
    let half = |at: usize| u16::from_ne_bytes([file[at], file[at + 1]]);
    let (table, entry, count) = (word(&file, 32)?, half(54), half(56).min(MAX_SEGMENTS));
    let mut found = Vec::new();
    for index in 0..count {
        let mut header = [0; 56];
        let at = base
            .checked_add(table)?
            .checked_add(usize::from(entry) * usize::from(index))?;
        if !peek.bytes(at, &mut header) {
            return None;
        }
        let (start, bytes) = (word(&header, 16)?, word(&header, 40)?);
        found.push(Segment {
            kind: u32::from_ne_bytes([header[0], header[1], header[2], header[3]]),
            addresses: start..start.checked_add(bytes)?,
        });
    }
    Some(found)
}
