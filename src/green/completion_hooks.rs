//! Who is to be told of the ends of green threads, besides those that join them.
//!
//! Kept beside the threads, so that a thread whose end nobody watches pays nothing for it: its
//! completion word says whether there is somebody (`completion.rs`).
//!
//! EN1. A thread is in the table from when its word became `HOOKS`, or a little before, until its
//!      end was told; its handle, or the scheduler, keeps its block so long, so that its address is
//!      its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::ThreadInner;
use crate::shim::lock;

/// To be told, once, from the worker where the thread has ended.
pub(crate) trait OnDone: Any + Send + Sync {
    fn on_done(&self);
}

/// By the address of the block.
static HOOKS: Mutex<BTreeMap<usize, Vec<Arc<dyn OnDone>>>> = Mutex::new(BTreeMap::new());

/// Has `hook` told of the end of a thread, which may have come already. Called by the owner of its
/// handle.
pub(crate) fn add_hook(green: &ThreadInner, hook: Arc<dyn OnDone>) {
    with_hooks(green, |hooks| hooks.push(hook));
}

/// As [`watch`], for a kind of which a thread needs one only, made by `make` if it has none yet.
pub(crate) fn add_hook_once<W: OnDone>(green: &ThreadInner, make: impl FnOnce() -> W) -> Arc<W> {
    with_hooks(green, |hooks| {
        let same = |hook: &Arc<dyn OnDone>| {
            let any: Arc<dyn Any + Send + Sync> = Arc::<dyn OnDone>::clone(hook);
            any.downcast::<W>().ok()
        };
        hooks.iter().find_map(same).unwrap_or_else(|| {
            let hook = Arc::new(make());
            hooks.push(Arc::<W>::clone(&hook));
            hook
        })
    })
}

fn with_hooks<T>(green: &ThreadInner, put: impl FnOnce(&mut Vec<Arc<dyn OnDone>>) -> T) -> T {
    let address = (&raw const *green).addr();
    let mut hooks_by_thread = lock(&HOOKS);
    // Before the word says so: the finisher looks here when it has seen that.
    let put = put(hooks_by_thread.entry(address).or_default());
    if !green.completion().mark_hooked() {
        // It had ended, perhaps watched by others, whom the finisher tells if it has not yet.
        let hooks = hooks_by_thread.remove(&address);
        drop(hooks_by_thread);
        run_all(hooks);
    }
    put
}

/// Takes a watcher back, if it was not told.
pub(crate) fn remove_hook(green: &ThreadInner, hook: &Arc<dyn OnDone>) {
    let mut hooks_by_thread = lock(&HOOKS);
    let hooks = hooks_by_thread.get_mut(&(&raw const *green).addr());
    let gone = hooks.and_then(|hooks| {
        let place = hooks.iter().position(|other| Arc::ptr_eq(other, hook));
        place.map(|place| hooks.swap_remove(place))
    });
    drop(hooks_by_thread);
    drop(gone);
}

/// The finisher of a watched thread.
#[cold]
pub(super) fn run_hooks(green: &ThreadInner) {
    let hooks = lock(&HOOKS).remove(&(&raw const *green).addr());
    run_all(hooks);
}

fn run_all(hooks: Option<Vec<Arc<dyn OnDone>>>) {
    for hook in hooks.into_iter().flatten() {
        hook.on_done();
    }
}
