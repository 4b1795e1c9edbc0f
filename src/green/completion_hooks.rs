//! Completion hooks: callbacks for the ends of green threads, besides the threads that join them.
//!
//! They are stored outside of the threads, so that a thread without hooks pays nothing for them:
//! its completion word says whether there are any (`completion.rs`).
//!
//! EN1. A thread is in the table from when its word became `HOOKED`, or a little before, until its
//!      hooks have run; its handle, or the scheduler, keeps its block until then, so the block's
//!      address is unique.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::ThreadInner;
use crate::shim::lock;

/// A callback, run once, on the worker where the thread has ended.
pub(crate) trait OnDone: Any + Send + Sync {
    fn on_done(&self);
}

/// The hooks of each thread, by the address of its block.
static HOOKS: Mutex<BTreeMap<usize, Vec<Arc<dyn OnDone>>>> = Mutex::new(BTreeMap::new());

/// Adds a hook for the end of a thread, which may have ended already. Called by the owner of the
/// handle.
pub(crate) fn add_hook(green: &ThreadInner, hook: Arc<dyn OnDone>) {
    with_hooks(green, |hooks| hooks.push(hook));
}

/// Like [`add_hook`], for a kind of hook that a thread needs only once: `make` makes it if the
/// thread has none of that kind.
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
    // Before the word is marked: the finisher reads the table once it has seen the mark.
    let put = put(hooks_by_thread.entry(address).or_default());
    if !green.completion().mark_hooked() {
        // The thread had ended already, perhaps with hooks of others, which the finisher runs if it
        // has not done so yet.
        let hooks = hooks_by_thread.remove(&address);
        drop(hooks_by_thread);
        run_all(hooks);
    }
    put
}

/// Removes a hook that has not run.
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

/// Runs the hooks of a thread that has ended. Called by the finisher.
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
