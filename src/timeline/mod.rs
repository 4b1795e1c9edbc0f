//! Records the actions of workers and green threads, for `rustlet::trace`.
//!
//! While no trace is recorded, each of these functions costs the caller one load of a static and
//! one branch ([`is_on`]), and a worker checks it only once per batch. While a trace is recorded, a
//! record is a few stores to a ring of the calling OS thread: no lock, no allocation, no system
//! call. Only the first record of an OS thread takes a ring from the session (`session.rs`).

mod ring;
mod session;
mod stamp;

use std::panic::Location;
use std::sync::Arc;

pub(crate) use self::ring::{Kind, Record, flag};
pub(crate) use self::session::{Session, TraceData, is_on};

use self::ring::{LocationPtr, Ring};
use self::session::{with_ring, worker_ring};
use self::stamp::Stamp;

/// Returns the time if a trace is recorded, otherwise `None`.
#[inline]
pub(crate) fn now() -> Option<Stamp> {
    with_ring(|ring, _| ring.source.now())
}

/// The wait that ended a step: its reason, its place in the source, and the object that it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) reason: u8,
    pub(crate) subject: usize,
    pub(crate) at: Option<&'static Location<'static>>,
}

/// Records the steps of one batch of the calling worker. A step begins when the step before it has
/// ended, so that one reading of the clock is enough for both.
pub(crate) struct Steps {
    /// The worker's ring and track; `None` if the recording has just ended.
    ring: Option<(Arc<Ring>, u32)>,
    /// When the last step ended, or the batch began.
    now: Stamp,
}

impl Steps {
    /// Begins a batch on the calling worker.
    #[cold]
    pub(crate) fn begin() -> Steps {
        let ring = worker_ring();
        Steps {
            now: ring.as_ref().map_or(0, |(ring, _)| ring.source.now()),
            ring,
        }
    }

    /// Reads the clock before the first step of a thread. Another worker may have spawned the
    /// thread since the last step ended, and a step must not begin before its spawn.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        if let Some((ring, _)) = &self.ring {
            self.now = ring.source.now();
        }
    }

    /// Notes that the green thread `thread` runs from now on.
    #[inline]
    pub(crate) fn begin_step(&self, thread: u64) {
        if let Some((ring, track)) = &self.ring {
            ring.open(thread, *track, self.now);
        }
    }

    /// Notes that the thread passed to `begin_step` does not run after all.
    #[cold]
    pub(crate) fn cancel_step(&self) {
        if let Some((ring, _)) = &self.ring {
            ring.close();
        }
    }

    /// Records the step of `thread`, which has just ended. `pause` is `None` if the thread has
    /// ended too.
    #[inline]
    pub(crate) fn end_step(&mut self, thread: u64, is_first: bool, pause: Option<Pause>) {
        let Some((ring, track)) = &self.ring else {
            return;
        };
        let end = ring.source.now();
        let first = if is_first { flag::FIRST } else { 0 };
        let last = if pause.is_none() { flag::LAST } else { 0 };
        ring.close();
        ring.push(&Record {
            track: *track,
            thread,
            begin: self.now,
            end,
            flags: first | last,
            reason: pause.map_or(0, |pause| pause.reason),
            other: pause.map_or(0, |pause| pause.subject as u64),
            at: LocationPtr::new(pause.and_then(|pause| pause.at)),
            ..Record::new(Kind::Step)
        });
        self.now = end;
    }
}

/// Records a wake-up of `thread`, which waits for `reason` at the object `subject`. `waker` is the
/// number of the green thread that made the wake-up, or 0 for other code. `flags` may have `TIMER`
/// and `REMOTE`.
#[inline]
pub(crate) fn wake(thread: u64, (reason, subject): (u8, usize), waker: u64, flags: u8) {
    with_ring(|ring, track| {
        ring.push(&Record {
            track,
            thread,
            reason,
            flags,
            begin: ring.source.now(),
            end: subject as u64,
            other: waker,
            ..Record::new(Kind::Wake)
        });
    });
}

/// Records that the green thread `spawner` has spawned `thread` at `at`. A `spawner` of 0 stands
/// for other code.
#[inline]
pub(crate) fn spawn(thread: u64, spawner: u64, at: &'static Location<'static>) {
    with_ring(|ring, track| {
        ring.push(&Record {
            track,
            thread,
            begin: ring.source.now(),
            other: spawner,
            at: LocationPtr::new(Some(at)),
            ..Record::new(Kind::Spawn)
        });
    });
}

/// Records that the calling OS thread was busy with `kind` from `began` until now, for the green
/// thread `thread` if that is not 0. Does nothing if `began`, the earlier result of [`now`], is
/// `None`.
#[inline]
pub(crate) fn span(kind: Kind, began: Option<Stamp>, thread: u64) {
    let Some(began) = began else { return };
    with_ring(|ring, track| {
        ring.push(&Record {
            track,
            thread,
            begin: began,
            end: ring.source.now(),
            ..Record::new(kind)
        });
    });
}

/// The number of bytes of a name that one record holds. The constant after it is the largest number
/// of records for a name.
const NAME_PART_BYTES: usize = 24;
const MAX_NAME_PARTS: usize = 4;

/// Records the name of a thread. A name that is too long is truncated.
#[cold]
pub(crate) fn name(thread: u64, name: &str) {
    let parts = name.as_bytes().chunks(NAME_PART_BYTES).take(MAX_NAME_PARTS);
    for (number, part) in parts.enumerate() {
        let mut bytes = [0; NAME_PART_BYTES];
        bytes[..part.len()].copy_from_slice(part);
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * index..8 * (index + 1)]);
            u64::from_le_bytes(word)
        };
        with_ring(|ring, track| {
            ring.push(&Record {
                track,
                thread,
                flags: number as u8,
                reason: part.len() as u8,
                begin: word(0),
                end: word(1),
                other: word(2),
                ..Record::new(Kind::Name)
            });
        });
    }
}

/// Returns the bytes of a part of a name, and how many of them are used.
pub(crate) fn name_part(record: &Record) -> ([u8; NAME_PART_BYTES], usize) {
    let mut bytes = [0; NAME_PART_BYTES];
    let words = [record.begin, record.end, record.other];
    for (place, word) in bytes.chunks_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    (bytes, usize::from(record.reason).min(NAME_PART_BYTES))
}
