//! An ordinary OS thread as a waiter, as long as anybody knows it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub(super) woken: Mutex<bool>,
    pub(super) wakes: Condvar,
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
            id: next_id(),
            name: std::thread::current().name().map(Box::from),
            token: AtomicBool::new(false),
            woken: Mutex::new(false),
            wakes: Condvar::new(),
        })
    }

    pub(crate) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wakes.notify_one();
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
