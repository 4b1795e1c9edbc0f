//! Who is to be told of the ends of green threads, besides those that join them.
//!
//! Kept beside the threads, so that a thread whose end nobody watches pays nothing for it: its completion word says whether there is
//! somebody (`completion.rs`).
//!
//! EN1. A thread is in the table from when its word became `WATCHED`, or a little before, until its end was told; its handle, or the
//!      scheduler, keeps its block so long, so that its address is its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Green;
use crate::shim::lock;

/// To be told, once, from the worker where the thread has ended.
pub(crate) trait Watcher: Any + Send + Sync {
    fn ended(&self);
}

/// By the address of the block.
static WATCHED: Mutex<BTreeMap<usize, Vec<Arc<dyn Watcher>>>> = Mutex::new(BTreeMap::new());

/// Has `watcher` told of the end of a thread, which may have come already. Called by the owner of its handle.
pub(crate) fn watch(green: &Green, watcher: Arc<dyn Watcher>) {
    enter(green, |watchers| watchers.push(watcher));
}

/// As [`watch`], for a kind of which a thread needs one only, made by `make` if it has none yet.
pub(crate) fn watch_as<W: Watcher>(green: &Green, make: impl FnOnce() -> W) -> Arc<W> {
    enter(green, |watchers| {
        let same = |watcher: &Arc<dyn Watcher>| {
            let any: Arc<dyn Any + Send + Sync> = Arc::<dyn Watcher>::clone(watcher);
            any.downcast::<W>().ok()
        };
        watchers.iter().find_map(same).unwrap_or_else(|| {
            let watcher = Arc::new(make());
            watchers.push(Arc::<W>::clone(&watcher));
            watcher
        })
    })
}

fn enter<T>(green: &Green, put: impl FnOnce(&mut Vec<Arc<dyn Watcher>>) -> T) -> T {
    let address = (&raw const *green).addr();
    let mut watched = lock(&WATCHED);
    // Before the word says so: the finisher looks here when it has seen that.
    let put = put(watched.entry(address).or_default());
    if !green.completion().watch() {
        // It had ended, perhaps watched by others, whom the finisher tells if it has not yet.
        let watchers = watched.remove(&address);
        drop(watched);
        notify(watchers);
    }
    put
}

/// Takes a watcher back, if it was not told.
pub(crate) fn forget(green: &Green, watcher: &Arc<dyn Watcher>) {
    let mut watched = lock(&WATCHED);
    let watchers = watched.get_mut(&(&raw const *green).addr());
    let gone = watchers.and_then(|watchers| {
        let place = watchers
            .iter()
            .position(|other| Arc::ptr_eq(other, watcher));
        place.map(|place| watchers.swap_remove(place))
    });
    drop(watched);
    drop(gone);
}

/// The finisher of a watched thread.
#[cold]
pub(super) fn tell(green: &Green) {
    let watchers = lock(&WATCHED).remove(&(&raw const *green).addr());
    notify(watchers);
}

fn notify(watchers: Option<Vec<Arc<dyn Watcher>>>) {
    for watcher in watchers.into_iter().flatten() {
        watcher.ended();
    }
}
