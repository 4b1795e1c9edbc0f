#![allow(unsafe_code, reason = "two kinds of waiter in one word")]
//! Who waits: a green thread or an ordinary OS thread, behind one handle of one word.
//!
//! U1. A word with bit 0 clear is a [`GreenRef`], with bit 0 set an `Arc<OsThread>`; each carries one
//!     reference. Blocks are aligned to 64 and the `Arc`'s content to 8, so bit 0 is free.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use super::completion::Waiter;
use super::home::os_thread;
use super::park::{Wait, Wake, attend_os};
use super::{Green, GreenRef, Home};
use crate::shim::lock;
use crate::sys::clock;

/// Wakes one waiter.
#[derive(Clone, Debug)]
pub(crate) enum Unparker {
    Green(GreenRef),
    Os(Arc<OsThread>),
}

impl Unparker {
    /// That of the calling thread, green or not.
    #[inline]
    pub(crate) fn current() -> Unparker {
        match Home::get() {
            Some(home) => Unparker::Green(home.current().to_ref()),
            None => Unparker::Os(OsThread::current()),
        }
    }

    /// Ends the present wait of the thread, or its next one. Waits check what they wait for, in a loop.
    #[inline]
    pub(crate) fn unpark(&self) {
        match self {
            Unparker::Green(green) => green.wake(),
            Unparker::Os(thread) => thread.wake(),
        }
    }
}

impl Waiter for Unparker {
    #[inline]
    fn word(&self) -> usize {
        match self {
            Unparker::Green(green) => (&raw const **green).addr(),
            Unparker::Os(thread) => Arc::as_ptr(thread).addr() | 1,
        }
    }

    #[inline]
    fn into_word(self) -> usize {
        match self {
            Unparker::Green(green) => green.into_raw().as_ptr() as usize,
            Unparker::Os(thread) => Arc::into_raw(thread) as usize | 1,
        }
    }

    #[inline]
    unsafe fn from_word(word: usize) -> Unparker {
        if word & 1 == 0 {
            let green = NonNull::new(word as *mut Green).expect("a waiter's word is never zero");
            // SAFETY: U1.
            Unparker::Green(unsafe { GreenRef::from_raw(green) })
        } else {
            // SAFETY: U1.
            Unparker::Os(unsafe { Arc::from_raw((word & !1) as *const OsThread) })
        }
    }
}

/// An ordinary OS thread as a waiter.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct OsThread {
    pub(crate) id: NonZeroU64,
    pub(crate) name: Option<Box<str>>,
    /// `Thread::unpark` was called and `park` has not seen it.
    token: AtomicBool,
    parking: Mutex<Parking>,
    wakes: Condvar,
}

/// Whether an OS thread was woken, and whether it waits without a limit.
#[derive(Debug, Default)]
struct Parking {
    woken: bool,
    counted: bool,
}

/// How many OS threads wait for a wake-up without a limit, and have not been woken.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// How many OS threads wait here without a limit, and have not been woken: only other threads can let them go on.
pub(crate) fn parked_os_threads() -> usize {
    PARKED.load(Ordering::SeqCst)
}

/// The calling OS thread waits without a limit, in some other way, for something that green threads do.
#[derive(Debug)]
pub(crate) struct CountAsParked(());

impl CountAsParked {
    pub(crate) fn new() -> CountAsParked {
        PARKED.fetch_add(1, Ordering::SeqCst);
        CountAsParked(())
    }
}

impl Drop for CountAsParked {
    fn drop(&mut self) {
        PARKED.fetch_sub(1, Ordering::SeqCst);
    }
}

thread_local! {
    static CURRENT: Cell<Option<ManuallyDrop<Arc<OsThread>>>> = const { Cell::new(None) };
    static KEEPER: Keeper = const { Keeper };
}

/// Drops what `CURRENT` holds when the OS thread ends. Thread-locals that are older than it go later, and their destructors may wait, too.
struct Keeper;

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(thread) = CURRENT.take().map(ManuallyDrop::into_inner) else {
            return;
        };
        // Somebody may unpark it yet.
        if Arc::strong_count(&thread) > 1 {
            lock(&LATE).insert(&thread);
        }
    }
}

/// OS threads whose keeper has gone, by number: they stay who they are as long as anybody knows them, so that who is to be woken is who waits.
static LATE: Mutex<Late> = Mutex::new(Late {
    threads: BTreeMap::new(),
    sweep_at: Late::MIN_SWEEP,
});

struct Late {
    threads: BTreeMap<NonZeroU64, Weak<OsThread>>,
    /// With this many entries, those of threads that nobody knows any more are removed.
    sweep_at: usize,
}

impl Late {
    const MIN_SWEEP: usize = 64;

    /// The calling OS thread is `thread`, as long as anybody knows it.
    fn insert(&mut self, thread: &Arc<OsThread>) {
        if self.threads.len() >= self.sweep_at {
            // Half of the entries are new since the last sweep, so that each pays for two looks.
            self.threads.retain(|_, thread| thread.strong_count() > 0);
            self.sweep_at = Late::MIN_SWEEP.max(self.threads.len() * 2);
        }
        self.threads.insert(os_thread(), Arc::downgrade(thread));
    }
}

impl OsThread {
    pub(crate) fn current() -> Arc<OsThread> {
        if let Some(held) = CURRENT.take() {
            let thread = Arc::clone(&held);
            CURRENT.set(Some(held));
            return thread;
        }
        if KEEPER.try_with(|_| ()).is_err() {
            return OsThread::late();
        }
        let thread = OsThread::new();
        CURRENT.set(Some(ManuallyDrop::new(Arc::clone(&thread))));
        thread
    }

    /// As `current`, when the keeper has gone.
    #[cold]
    fn late() -> Arc<OsThread> {
        let mut late = lock(&LATE);
        let known = late.threads.get(&os_thread());
        if let Some(thread) = known.and_then(Weak::upgrade) {
            return thread;
        }
        let thread = OsThread::new();
        late.insert(&thread);
        thread
    }

    fn new() -> Arc<OsThread> {
        Arc::new(OsThread {
            id: super::next_id(),
            name: std::thread::current().name().map(Box::from),
            token: AtomicBool::new(false),
            parking: Mutex::default(),
            wakes: Condvar::new(),
        })
    }

    pub(crate) fn wake(&self) {
        let mut parking = self.parking.lock().unwrap_or_else(PoisonError::into_inner);
        parking.woken = true;
        if std::mem::take(&mut parking.counted) {
            PARKED.fetch_sub(1, Ordering::SeqCst);
        }
        drop(parking);
        self.wakes.notify_one();
    }

    /// Blocks the calling OS thread, which is this one.
    pub(crate) fn park(&self, wait: &Wait) -> Wake {
        let until = match attend_os(wait) {
            Ok(limit) => limit.until,
            Err(wake) => return wake,
        };
        let mut parking = self.parking.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if std::mem::take(&mut parking.woken) {
                return Wake::Event;
            }
            if until == clock::NEVER {
                if !std::mem::replace(&mut parking.counted, true) {
                    PARKED.fetch_add(1, Ordering::SeqCst);
                }
                parking = self
                    .wakes
                    .wait(parking)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                // If it is not its own deadline, the caller looks at its condition, and is told at its next wait.
                return match until == wait.deadline {
                    true => Wake::Elapsed,
                    false => Wake::Event,
                };
            }
            let left = std::time::Duration::from_nanos(left);
            let waited = self.wakes.wait_timeout(parking, left);
            parking = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// For `park`.
    pub(crate) fn take_token(&self) -> bool {
        self.token.swap(false, Ordering::Acquire)
    }

    /// For `Thread::unpark`.
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        self.wake();
    }
}
