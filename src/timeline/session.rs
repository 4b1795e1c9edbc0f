//! A recording: its rings, the OS threads that write to them, and how an OS thread finds its ring.
//!
//! A session has one large ring for each OS thread of a worker, and at most [`MAX_SMALL_RINGS`]
//! small ones for other OS threads. When an OS thread ends, the next one of its kind takes over its
//! ring and the records in it. So the memory is bounded, even if many OS threads start and end.
//! Records of an OS thread without a ring are not written, only counted.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::ring::{Record, Ring};
use super::stamp::{Pair, Scale, StampSource};
use crate::shim::lock;

/// The largest number of small rings.
const MAX_SMALL_RINGS: usize = 64;
/// The number of records of a large ring divided by that of a small one.
const SMALL_RING_DIVISOR: usize = 64;
/// The largest number of OS threads whose names are kept.
const MAX_TRACKS: usize = 4096;

/// The number of the session that is recording, or 0 if none is.
static RECORDING: AtomicU32 = AtomicU32::new(0);
/// The session that is recording.
static CURRENT: Mutex<Option<Arc<Session>>> = Mutex::new(None);

/// Returns whether a session is recording.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    RECORDING.load(Ordering::Relaxed) != 0
}

/// Returns the session that is recording.
fn current() -> Option<Arc<Session>> {
    lock(&CURRENT).clone()
}

/// An OS thread that has written records.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// The kernel's thread id.
    pub(crate) os_thread: i32,
    pub(crate) name: String,
    pub(crate) is_worker: bool,
}

/// The records of a session.
pub(crate) struct TraceData {
    /// In no particular order; the records of one track are in the order of their ends.
    pub(crate) records: Vec<Record>,
    pub(crate) tracks: Vec<Track>,
    pub(crate) scale: Scale,
    /// The number of records that were overwritten, or not written for want of a ring.
    pub(crate) lost: u64,
}

struct Rings {
    rings: Vec<Arc<Ring>>,
    tracks: Vec<Track>,
}

/// A recording. See the module documentation.
pub(crate) struct Session {
    number: u32,
    capacity: usize,
    source: StampSource,
    first: Pair,
    rings: Mutex<Rings>,
    /// The number of records that were not written because their OS thread had no ring.
    unwritten: AtomicU64,
}

impl Session {
    /// Starts to record. Each worker gets a ring for `capacity` records, rounded up to a power of
    /// two and to at least 1,024; the rings of `workers` workers are allocated in advance. Returns
    /// `None` if another session is recording.
    pub(crate) fn start(capacity: usize, workers: usize) -> Option<Arc<Session>> {
        static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
        let mut current = lock(&CURRENT);
        if current.is_some() {
            return None;
        }
        let source = StampSource::new();
        let capacity = capacity
            .clamp(SMALL_RING_DIVISOR * 16, 1 << 32)
            .next_power_of_two();
        let prepare = |_| {
            let ring = Ring::new(capacity, source, true);
            ring.is_free.store(true, Ordering::Relaxed);
            Arc::new(ring)
        };
        let session = Arc::new(Session {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            capacity,
            source,
            rings: Mutex::new(Rings {
                rings: (0..workers).map(prepare).collect(),
                tracks: Vec::new(),
            }),
            first: source.pair(),
            unwritten: AtomicU64::new(0),
        });
        *current = Some(Arc::clone(&session));
        RECORDING.store(session.number, Ordering::Relaxed);
        Some(session)
    }

    /// Stops recording. Records that other OS threads are about to write may still be added.
    pub(crate) fn stop(&self) {
        let mut current = lock(&CURRENT);
        if current
            .as_ref()
            .is_some_and(|current| current.number == self.number)
        {
            RECORDING.store(0, Ordering::Relaxed);
            *current = None;
        }
    }

    /// Returns the records so far.
    pub(crate) fn read(&self) -> TraceData {
        let rings = lock(&self.rings);
        let now = self.source.now();
        let mut records = Vec::new();
        let mut lost = self.unwritten.load(Ordering::Relaxed);
        for ring in &rings.rings {
            lost += ring.read(now, &mut records);
        }
        TraceData {
            records,
            tracks: rings.tracks.clone(),
            scale: Scale {
                first: self.first,
                last: self.source.pair(),
            },
            lost,
        }
    }

    /// Finds or creates a ring for the calling OS thread, and registers its track. The ring is
    /// `None` if there are [`MAX_SMALL_RINGS`] small rings and all are in use.
    fn ring(&self, is_worker: bool) -> (Option<Arc<Ring>>, u32) {
        let mut rings = lock(&self.rings);
        let track = rings.track(is_worker);
        // Acquire: pairs with the Release of the recorder that was dropped (RI1).
        let is_left = |ring: &&Arc<Ring>| {
            ring.is_large == is_worker && ring.is_free.swap(false, Ordering::Acquire)
        };
        if let Some(left) = rings.rings.iter().find(is_left) {
            return (Some(Arc::clone(left)), track);
        }
        let small = || rings.rings.iter().filter(|ring| !ring.is_large).count();
        if !is_worker && small() >= MAX_SMALL_RINGS {
            return (None, track);
        }
        let capacity = match is_worker {
            true => self.capacity,
            false => self.capacity / SMALL_RING_DIVISOR,
        };
        let ring = Arc::new(Ring::new(capacity, self.source, is_worker));
        rings.rings.push(Arc::clone(&ring));
        (Some(ring), track)
    }
}

impl Rings {
    /// Returns the number of the calling OS thread's track.
    fn track(&mut self, is_worker: bool) -> u32 {
        let os_thread = rustix::thread::gettid().as_raw_nonzero().get();
        let known = self
            .tracks
            .iter()
            .rposition(|track| track.os_thread == os_thread && track.is_worker == is_worker);
        let number = known.unwrap_or_else(|| {
            if self.tracks.len() < MAX_TRACKS {
                let name = std::thread::current().name().map(str::to_owned);
                self.tracks.push(Track {
                    os_thread,
                    name: name.unwrap_or_else(|| format!("OS thread {os_thread}")),
                    is_worker,
                });
            }
            self.tracks.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// The ring and the track of an OS thread in the session that it records for.
struct Recorder {
    session: Arc<Session>,
    /// `None` if the session had no ring left.
    ring: Option<Arc<Ring>>,
    track: u32,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(ring) = &self.ring {
            ring.close();
            // Release: RI1.
            ring.is_free.store(true, Ordering::Release);
        }
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Returns the large ring and the track of the calling OS thread, which runs a worker, if a session
/// is recording.
#[cold]
pub(super) fn worker_ring() -> Option<(Arc<Ring>, u32)> {
    let find = |recorder: &RefCell<Option<Recorder>>| {
        let mut recorder = recorder.try_borrow_mut().ok()?;
        let number = RECORDING.load(Ordering::Relaxed);
        let is_attached = recorder.as_ref().is_some_and(|recorder| {
            recorder.session.number == number
                && recorder.ring.as_ref().is_some_and(|ring| ring.is_large)
        });
        if !is_attached {
            *recorder = None;
            *recorder = attach(true);
        }
        let recorder = recorder.as_ref()?;
        Some((Arc::clone(recorder.ring.as_ref()?), recorder.track))
    };
    RECORDER.try_with(find).ok().flatten()
}

#[cold]
fn attach(is_worker: bool) -> Option<Recorder> {
    let session = current()?;
    let (ring, track) = session.ring(is_worker);
    Some(Recorder {
        session,
        ring,
        track,
    })
}

/// Calls `f` with the ring and the track of the calling OS thread, if a session is recording and
/// has a ring for it.
#[inline]
pub(super) fn with_ring<T>(f: impl FnOnce(&Ring, u32) -> T) -> Option<T> {
    let number = RECORDING.load(Ordering::Relaxed);
    if number == 0 {
        return None;
    }
    // An OS thread whose thread-locals are being destroyed records nothing more.
    RECORDER
        .try_with(|recorder| {
            // It is borrowed only here and in `worker_ring`, and `f` calls neither.
            let mut recorder = recorder.try_borrow_mut().ok()?;
            if recorder
                .as_ref()
                .is_none_or(|recorder| recorder.session.number != number)
            {
                *recorder = None;
                *recorder = attach(false);
            }
            let recorder = recorder.as_ref()?;
            let Some(ring) = &recorder.ring else {
                recorder.session.unwritten.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            Some(f(ring, recorder.track))
        })
        .ok()
        .flatten()
}
