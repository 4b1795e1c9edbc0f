//! A call that a thread of the blocking pool makes for a waiting green thread.
//!
//! | stage | means | which thread leaves it |
//! |---|---|---|
//! | `Queued` | in a queue of the pool | a pool thread to `Claimed`, the caller to `Abandoned`: both under the pool's lock |
//! | `Claimed` | a pool thread will make it | that thread to `Running`, the caller to `Abandoned` |
//! | `Running` | it is being made | that thread to `Done`, the caller to `Abandoned` |
//! | `Done` | the outcome is here | the caller to `Abandoned` |
//! | `Abandoned` | the caller has the outcome, or does not want it any more | no thread |
//!
//! Values that are no longer wanted are dropped with their panics contained: the closure of a call
//! that was never made on the caller's thread, the outcome of a finished call on the pool's thread.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::green::{Outcome, Unparker, catch_and_discard};
use crate::shim::lock;
use crate::timeline::{self, Kind};

/// A job as the pool sees it.
pub(super) trait Call: Send + Sync {
    /// Claims the job when it is taken out of its queue, under the pool's lock. Returns false if
    /// its caller has left.
    fn claim(&self) -> bool;
    fn is_abandoned(&self) -> bool;
    /// Makes the call, which was claimed.
    fn run(&self);
}

enum Stage<F, T> {
    Queued(F),
    Claimed(F),
    Running,
    Done(Outcome<T>),
    Abandoned,
}

/// The stage in which a leaving caller found its job.
pub(super) struct Abandoned<F, T>(Stage<F, T>);

impl<F, T> Abandoned<F, T> {
    /// Returns whether its entry is still in a queue.
    pub(super) fn was_queued(&self) -> bool {
        matches!(self.0, Stage::Queued(_))
    }

    /// Drops the contents. Must not be called under a lock, because the destructors are foreign
    /// code.
    pub(super) fn discard(self) {
        catch_and_discard(|| drop(self.0));
    }
}

pub(super) struct Job<F, T> {
    stage: Mutex<Stage<F, T>>,
    caller: Unparker,
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    /// Creates a job that the calling thread will wait for.
    pub(super) fn new(f: F) -> Job<F, T> {
        Job {
            stage: Mutex::new(Stage::Queued(f)),
            caller: Unparker::current(),
        }
    }

    /// Takes the outcome, if the call is done.
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

    /// Takes the call back for the caller, if no pool thread has claimed it. Called under the
    /// pool's lock.
    pub(super) fn withdraw(&self) -> Option<Abandoned<F, T>> {
        let mut stage = lock(&self.stage);
        let is_queued = matches!(*stage, Stage::Queued(_));
        is_queued.then(|| Abandoned(mem::replace(&mut *stage, Stage::Abandoned)))
    }

    /// Marks the job as abandoned by its caller.
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
        let began = timeline::now();
        let outcome = catch_unwind(AssertUnwindSafe(f));
        // Before the caller is woken, so that a trace that it ends then has the call.
        timeline::span(Kind::Call, began, caller(&self.caller));
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

/// Returns the number of the thread that made the call, for traces.
fn caller(unparker: &Unparker) -> u64 {
    match unparker {
        Unparker::Green(green) => green.id().get(),
        Unparker::Os(thread) => thread.id.get(),
        Unparker::Task(_) => 0,
    }
}
