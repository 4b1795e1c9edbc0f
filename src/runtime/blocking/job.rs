//! A call that a thread of the blocking pool makes for a green thread that waits.
//!
//! | stage | means | who leaves it |
//! |---|---|---|
//! | `Queued` | in a queue of the pool | a pool thread to `Claimed`, the caller to `Left`: both under the pool's lock |
//! | `Claimed` | a pool thread is about to make it | that thread to `Running`, the caller to `Left` |
//! | `Running` | it is being made | that thread to `Done`, the caller to `Left` |
//! | `Done` | the outcome is here | the caller to `Left` |
//! | `Left` | the caller has the outcome, or does not want it any more | nobody |
//!
//! What is dropped because nobody wants it is dropped with its panics contained: on the caller's
//! thread the closure of a call that was never made, on the pool's the outcome of one that was.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::green::{Outcome, Unparker, catch_and_discard};
use crate::shim::lock;

/// A job as the pool sees it.
pub(super) trait Call: Send + Sync {
    /// Under the pool's lock, when it is taken out of its queue. False: its caller has left.
    fn claim(&self) -> bool;
    fn is_abandoned(&self) -> bool;
    /// Makes a call that was claimed.
    fn run(&self);
}

enum Stage<F, T> {
    Queued(F),
    Claimed(F),
    Running,
    Done(Outcome<T>),
    Abandoned,
}

/// What a caller that leaves finds.
pub(super) struct Abandoned<F, T>(Stage<F, T>);

impl<F, T> Abandoned<F, T> {
    /// Its entry is still in a queue.
    pub(super) fn was_queued(&self) -> bool {
        matches!(self.0, Stage::Queued(_))
    }

    /// Not under a lock: what is dropped may do anything.
    pub(super) fn discard(self) {
        catch_and_discard(|| drop(self.0));
    }
}

pub(super) struct Job<F, T> {
    stage: Mutex<Stage<F, T>>,
    caller: Unparker,
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    /// One that the calling thread will wait for.
    pub(super) fn new(f: F) -> Job<F, T> {
        Job {
            stage: Mutex::new(Stage::Queued(f)),
            caller: Unparker::current(),
        }
    }

    /// The outcome, if it is there.
    pub(super) fn take(&self) -> Option<Outcome<T>> {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Abandoned) {
            Stage::Done(outcome) => Some(outcome),
            other => {
                *stage = other;
                None
            }
        }
    }

    pub(super) fn is_taken(&self) -> bool {
        matches!(*lock(&self.stage), Stage::Abandoned)
    }

    /// The caller takes the call back, if no pool thread has claimed it. Under the pool's lock.
    pub(super) fn withdraw(&self) -> Option<Abandoned<F, T>> {
        let mut stage = lock(&self.stage);
        let is_queued = matches!(*stage, Stage::Queued(_));
        is_queued.then(|| Abandoned(mem::replace(&mut *stage, Stage::Abandoned)))
    }

    /// The caller goes away.
    pub(super) fn abandon(&self) -> Abandoned<F, T> {
        Abandoned(mem::replace(&mut *lock(&self.stage), Stage::Abandoned))
    }
}

impl<F, T> Call for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn claim(&self) -> bool {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Abandoned) {
            Stage::Queued(f) => {
                *stage = Stage::Claimed(f);
                true
            }
            other => {
                *stage = other;
                false
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        matches!(*lock(&self.stage), Stage::Abandoned)
    }

    fn run(&self) {
        let f = {
            let mut stage = lock(&self.stage);
            match mem::replace(&mut *stage, Stage::Running) {
                Stage::Claimed(f) => f,
                other => {
                    *stage = other;
                    return;
                }
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(f));
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Abandoned) {
            drop(stage);
            catch_and_discard(|| drop(outcome));
            return;
        }
        *stage = Stage::Done(outcome);
        drop(stage);
        self.caller.unpark();
    }
}
