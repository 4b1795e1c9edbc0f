//! An ordinary OS thread as a waiter. Its record lives as long as references to it exist.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use super::ids::{next_id, os_thread};
use crate::shim::lock;

/// An ordinary OS thread as a waiter.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct OsThread {
    pub(crate) id: NonZeroU64,
    pub(crate) name: Option<Box<str>>,
    /// `Thread::unpark` was called and `park` has not seen it.
    token: AtomicBool,
    pub(super) parking: Mutex<Parking>,
    pub(super) wakes: Condvar,
}

/// Whether an OS thread was woken, and whether it waits without a deadline.
#[derive(Debug, Default)]
pub(super) struct Parking {
    pub(super) woken: bool,
    counted: bool,
}

/// The number of OS threads that wait for a wake-up without a deadline, and have not been woken.
static PARKED: AtomicUsize = AtomicUsize::new(0);

impl Parking {
    /// Counts the OS thread as waiting without a deadline.
    pub(super) fn count(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            PARKED.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Returns how many OS threads wait without a deadline and have not been woken: only other threads
/// can let them continue.
pub(crate) fn parked_os_threads() -> usize {
    PARKED.load(Ordering::SeqCst)
}

/// Counts the calling OS thread as waiting without a deadline while it waits in some other way for
/// an action of green threads.
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
    static EXIT_HOOK: ExitHook = const { ExitHook };
}

/// Drops the content of `CURRENT` when the OS thread ends. Thread-locals that are older than it are
/// destroyed later, and their destructors may wait, too.
struct ExitHook;

impl Drop for ExitHook {
    fn drop(&mut self) {
        let Some(thread) = CURRENT.take().map(ManuallyDrop::into_inner) else {
            return;
        };
        // Other threads may unpark it yet.
        if Arc::strong_count(&thread) > 1 {
            lock(&EXITING).insert(&thread);
        }
    }
}

/// OS threads whose exit hook has run, by number. They keep their identity as long as references
/// to them exist, so that an unpark reaches the thread that waits.
static EXITING: Mutex<ExitingThreads> = Mutex::new(ExitingThreads {
    threads: BTreeMap::new(),
    sweep_at: ExitingThreads::MIN_SWEEP,
});

struct ExitingThreads {
    threads: BTreeMap<NonZeroU64, Weak<OsThread>>,
    /// At this number of entries, those of threads without references are removed.
    sweep_at: usize,
}

impl ExitingThreads {
    const MIN_SWEEP: usize = 64;

    /// Registers `thread` as the calling OS thread, as long as references to it exist.
    fn insert(&mut self, thread: &Arc<OsThread>) {
        if self.threads.len() >= self.sweep_at {
            // Half of the entries are new since the last sweep, so that each pays for two checks.
            self.threads.retain(|_, thread| thread.strong_count() > 0);
            self.sweep_at = ExitingThreads::MIN_SWEEP.max(self.threads.len() * 2);
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
        if EXIT_HOOK.try_with(|_| ()).is_err() {
            return OsThread::current_exiting();
        }
        let thread = OsThread::new();
        CURRENT.set(Some(ManuallyDrop::new(Arc::clone(&thread))));
        thread
    }

    /// Like `current`, when the exit hook has run.
    #[cold]
    fn current_exiting() -> Arc<OsThread> {
        let mut exiting = lock(&EXITING);
        let known = exiting.threads.get(&os_thread());
        if let Some(thread) = known.and_then(Weak::upgrade) {
            return thread;
        }
        let thread = OsThread::new();
        exiting.insert(&thread);
        thread
    }

    fn new() -> Arc<OsThread> {
        Arc::new(OsThread {
            id: next_id(),
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

    /// Takes the token, for `park`.
    pub(crate) fn take_token(&self) -> bool {
        self.token.swap(false, Ordering::Acquire)
    }

    /// Gives the token, for `Thread::unpark`.
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        self.wake();
    }
}
