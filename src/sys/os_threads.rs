//! How many OS threads the process has, and how many of them are the library's own.
//!
//! Any thread may call.

use std::sync::atomic::{AtomicUsize, Ordering};

static OWN: AtomicUsize = AtomicUsize::new(0);

/// The calling OS thread is one of the library's, as long as this lives.
#[derive(Debug)]
pub(crate) struct OwnThread(());

impl OwnThread {
    pub(crate) fn mark() -> OwnThread {
        OWN.fetch_add(1, Ordering::SeqCst);
        OwnThread(())
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        OWN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many OS threads are not the library's; none if the system does not tell.
pub(crate) fn foreign() -> Option<usize> {
    let all = std::fs::read_dir("/proc/self/task").ok()?.count();
    Some(all.saturating_sub(OWN.load(Ordering::SeqCst)))
}
