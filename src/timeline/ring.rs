#![allow(unsafe_code, reason = "a ring stores source locations as pointers")]
//! A ring buffer of records. One OS thread writes it, and another one may read it at the same time.
//!
//! The writer overwrites the oldest records and never waits. The reader copies the records and then
//! discards those that the writer may have overwritten meanwhile (a sequence lock, with the number
//! of records as the sequence).
//!
//! RI1. One OS thread writes at a time: the one that took the ring from its session and has not
//!      released it (`is_free`).
//! RI2. A slot's words are written after a release fence that follows the store of the `head`
//!      before, and `head` is stored after them. A reader that sees a word of record `n` sees,
//!      after its acquire fence, a `head` of at least `n`.
//! RI3. The open step is cleared before its record is pushed, and the next one is set after a
//!      release fence that follows the push. A reader that finds an open step, and then `head` as
//!      it was when the records were copied, has the words of one step that was open at that time.
//! RI4. A [`Place`] is null or points to a static location. This is also true of the place in a
//!      slot that is half overwritten, because it is one atomic pointer that only `push` stores.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

use super::stamp::{Stamp, StampSource};

/// The kind of event that a record describes. Each kind lists the fields that it uses besides
/// `begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A green thread ran (`thread`, `end`), and then waited (`reason`, `at`, and `other`, the
    /// object of the wait).
    Step,
    /// The green thread `thread`, which waited for `reason` at the object `end`, was made ready by
    /// the green thread `other`, or by other code if `other` is 0.
    Wake,
    /// The green thread `other`, or other code if that is 0, spawned `thread` at `at`.
    Spawn,
    /// The worker waited for events until `end`.
    Sleep,
    /// The worker polled for events and found some; it took until `end`.
    Poll,
    /// The worker gave the memory of unused stacks back; it took until `end`.
    Trim,
    /// A thread of the blocking pool made a call for the green thread `thread`; it took until
    /// `end`.
    Call,
    /// A part of the name of `thread`: 24 bytes in `begin`, `end` and `other`. `flags` has the
    /// number of the part, and `reason` the number of bytes that are used.
    Name,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Step,
        Kind::Wake,
        Kind::Spawn,
        Kind::Sleep,
        Kind::Poll,
        Kind::Trim,
        Kind::Call,
        Kind::Name,
    ];
}

/// Flags of a record.
pub(crate) mod flag {
    /// The first step of the thread.
    pub(crate) const FIRST: u8 = 1;
    /// The last step of the thread.
    pub(crate) const LAST: u8 = 2;
    /// The step has not ended.
    pub(crate) const OPEN: u8 = 4;
    /// A timer made the thread ready.
    pub(crate) const TIMER: u8 = 8;
    /// The wake-up came from an OS thread other than the worker's.
    pub(crate) const REMOTE: u8 = 16;
}

/// A record as the reader gets it. [`Kind`] documents the meaning of the fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) reason: u8,
    pub(crate) flags: u8,
    /// The index of the OS thread in the session's list of tracks.
    pub(crate) track: u32,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) thread: u64,
    pub(crate) other: u64,
    pub(crate) at: LocationPtr,
}

/// An optional place in the source, in the form in which a record stores it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocationPtr(*const Location<'static>);

impl LocationPtr {
    pub(super) fn new(at: Option<&'static Location<'static>>) -> LocationPtr {
        LocationPtr(at.map_or(ptr::null(), ptr::from_ref))
    }

    pub(crate) fn get(self) -> Option<&'static Location<'static>> {
        // SAFETY: RI4.
        unsafe { self.0.as_ref() }
    }
}

impl Record {
    pub(crate) fn new(kind: Kind) -> Record {
        Record {
            kind,
            reason: 0,
            flags: 0,
            track: 0,
            begin: 0,
            end: 0,
            thread: 0,
            other: 0,
            at: LocationPtr::new(None),
        }
    }

    fn head_word(&self) -> u64 {
        u64::from(self.kind as u8)
            | u64::from(self.reason) << 8
            | u64::from(self.flags) << 16
            | u64::from(self.track) << 32
    }
}

/// The memory of one record.
struct Slot {
    /// The head word, `begin`, `end`, `thread`, `other`.
    words: [AtomicU64; 5],
    at: AtomicPtr<Location<'static>>,
}

// The documentation of `rustlet::trace` states this size.
const _: () = assert!(size_of::<Slot>() == 48);

/// A ring buffer of records. See the module documentation.
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    /// The number of records that were ever written.
    head: AtomicU64,
    /// The number of the green thread that runs on the writer, or 0 if none does. The two fields
    /// after it are its track and the time since when it runs.
    open: AtomicU64,
    open_track: AtomicU32,
    open_since: AtomicU64,
    pub(super) source: StampSource,
    /// Whether the ring is for a worker.
    pub(super) is_large: bool,
    pub(super) is_free: AtomicBool,
}

impl Ring {
    /// Creates a ring that belongs to the caller (RI1). `capacity` is a power of two.
    pub(super) fn new(capacity: usize, source: StampSource, is_large: bool) -> Ring {
        assert!(capacity.is_power_of_two());
        let slot = |_| Slot {
            words: [const { AtomicU64::new(0) }; 5],
            at: AtomicPtr::new(ptr::null_mut()),
        };
        Ring {
            slots: (0..capacity).map(slot).collect(),
            head: AtomicU64::new(0),
            open: AtomicU64::new(0),
            open_track: AtomicU32::new(0),
            open_since: AtomicU64::new(0),
            source,
            is_large,
            is_free: AtomicBool::new(false),
        }
    }

    /// Adds a record. If the ring is full, it replaces the oldest one. Only for the owner (RI1).
    #[inline]
    pub(super) fn push(&self, record: &Record) {
        let head = self.head.load(Ordering::Relaxed);
        let slot = &self.slots[head as usize & (self.slots.len() - 1)];
        // RI2.
        fence(Ordering::Release);
        let Record {
            begin,
            end,
            thread,
            other,
            at,
            ..
        } = *record;
        let values = [record.head_word(), begin, end, thread, other];
        for (word, value) in slot.words.iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        slot.at.store(at.0.cast_mut(), Ordering::Relaxed);
        self.head.store(head + 1, Ordering::Release);
    }

    /// Notes that a green thread runs from now on. Only for the owner (RI1).
    #[inline]
    pub(super) fn open(&self, thread: u64, track: u32, since: Stamp) {
        // RI3.
        fence(Ordering::Release);
        self.open_since.store(since, Ordering::Relaxed);
        self.open_track.store(track, Ordering::Relaxed);
        self.open.store(thread, Ordering::Release);
    }

    /// Notes that no green thread runs any more. Only for the owner (RI1).
    #[inline]
    pub(super) fn close(&self) {
        // The other two words stay, because a reader may have read this one just before (RI3).
        self.open.store(0, Ordering::Release);
    }

    /// Appends the records to `records`, oldest first. If a green thread runs, a step that ends at
    /// `now` follows. Returns how many older records were overwritten.
    pub(super) fn read(&self, now: Stamp, records: &mut Vec<Record>) -> u64 {
        let capacity = self.slots.len() as u64;
        let head = self.head.load(Ordering::Acquire);
        let first = head.saturating_sub(capacity);
        let start = records.len();
        records.extend((first..head).map(|number| {
            let slot = &self.slots[number as usize & (self.slots.len() - 1)];
            let [word, begin, end, thread, other] = slot
                .words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            Record {
                kind: Kind::ALL[word as usize & (Kind::ALL.len() - 1)],
                reason: (word >> 8) as u8,
                flags: (word >> 16) as u8,
                track: (word >> 32) as u32,
                begin,
                end,
                thread,
                other,
                at: LocationPtr(slot.at.load(Ordering::Relaxed)),
            }
        }));
        // RI2: a record below `intact` may have been overwritten. The last one to overwrite is the
        // record that may be half written now.
        fence(Ordering::Acquire);
        let intact = (self.head.load(Ordering::Relaxed) + 1).saturating_sub(capacity);
        let lost = intact.clamp(first, head);
        records.drain(start..start + (lost - first) as usize);
        let open = self.open.load(Ordering::Acquire);
        let since = self.open_since.load(Ordering::Relaxed);
        let track = self.open_track.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        // RI3.
        let is_open = open != 0 && self.head.load(Ordering::Relaxed) == head;
        if is_open && since < now {
            records.push(Record {
                flags: flag::OPEN,
                track,
                begin: since,
                end: now,
                thread: open,
                ..Record::new(Kind::Step)
            });
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn step(number: u64) -> Record {
        Record {
            begin: number,
            end: number + 1,
            thread: number,
            other: number,
            ..Record::new(Kind::Step)
        }
    }

    fn ring(capacity: usize) -> Ring {
        Ring::new(capacity, StampSource::new(), false)
    }

    fn numbers(ring: &Ring) -> (Vec<u64>, u64) {
        let mut records = Vec::new();
        let lost = ring.read(u64::MAX, &mut records);
        for record in &records {
            let number = record.thread;
            assert_eq!(
                (record.begin, record.end, record.other),
                (number, number + 1, number),
                "a record of two: {record:?}"
            );
        }
        (records.iter().map(|record| record.thread).collect(), lost)
    }

    #[test]
    fn the_newest_records_stay_and_the_others_are_counted() {
        let ring = ring(8);
        assert_eq!(numbers(&ring), (vec![], 0));
        for number in 0..5 {
            ring.push(&step(number));
        }
        assert_eq!(numbers(&ring), ((0..5).collect(), 0));
        for number in 5..100 {
            ring.push(&step(number));
        }
        // The oldest one is where the next record would go, which may be half written.
        assert_eq!(numbers(&ring), ((93..100).collect(), 93));
    }

    #[test]
    fn a_reader_sees_whole_records_in_order_while_they_are_written() {
        let ring = Arc::new(ring(64));
        let writer = Arc::clone(&ring);
        let count = if cfg!(miri) { 2_000 } else { 300_000 };
        let writing = std::thread::spawn(move || {
            for number in 0..count {
                writer.push(&step(number));
            }
        });
        while !writing.is_finished() {
            let (seen, lost) = numbers(&ring);
            let first = seen.first().copied().unwrap_or(lost);
            assert_eq!(first, lost);
            let expected: Vec<_> = (first..).take(seen.len()).collect();
            assert_eq!(seen, expected);
        }
        writing.join().unwrap();
        assert_eq!(numbers(&ring).1, count - 63);
    }

    #[test]
    fn a_reader_sees_open_steps_whole_while_they_end() {
        let ring = Arc::new(ring(1 << 12));
        let writer = Arc::clone(&ring);
        let count = if cfg!(miri) { 1_000 } else { 300_000 };
        let writing = std::thread::spawn(move || {
            for number in 1..count {
                writer.open(number, number as u32, number);
                writer.close();
                writer.push(&step(number));
            }
        });
        let mut records = Vec::new();
        while !writing.is_finished() {
            records.clear();
            ring.read(u64::MAX, &mut records);
            let open = records.last().filter(|last| last.flags == flag::OPEN);
            if let Some(open) = open {
                let number = open.thread;
                assert_eq!((open.begin, u64::from(open.track)), (number, number));
                let before = &records[..records.len() - 1];
                assert!(
                    before.iter().all(|step| step.thread < number),
                    "twice: {number}"
                );
            }
        }
        writing.join().unwrap();
    }

    #[test]
    fn a_step_that_has_not_ended_ends_with_the_reading() {
        let ring = ring(8);
        ring.push(&step(1));
        ring.open(7, 3, 5);
        let mut records = Vec::new();
        ring.read(9, &mut records);
        let last = records.last().unwrap();
        assert_eq!(
            (last.thread, last.track, last.begin, last.end),
            (7, 3, 5, 9)
        );
        assert_eq!(last.flags, flag::OPEN);
        ring.close();
        records.clear();
        ring.read(9, &mut records);
        assert_eq!(records.len(), 1);
    }
}
