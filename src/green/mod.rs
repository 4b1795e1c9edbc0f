#![cfg_attr(
    not(loom),
    allow(unsafe_code, reason = "manages control blocks and references to them")
)]
//! Green threads: the control block, the life cycle, wake-ups.
//!
//! Invariants of the control block:
//!
//! G1. A block that has references is not recycled; its memory is given back only under the global
//!     pool's lock, when no block of its slab has references (`slab.rs`).
//! G2. Fields in `Cell`s belong to one OS thread at a time: the spawner's until the block is
//!     published, then the worker's that starts it. Publication (an unstarted queue) synchronises
//!     the two.
//! G3. Fields that other threads read while the worker writes are atomic and relaxed: `state`,
//!     `reason`, `at`, `since`, `subject`, `deadline`. A dump sees each of them whole, not all of
//!     them from one moment.
//! G4. Name, scope, id and spawn location are written before publication and stay until the last
//!     reference is dropped. The link in the scope's list is changed only by its owner (ML1 in
//!     `member_list.rs`).
//! G5. The fiber exists from the first step until the thread has ended; only its worker touches it.
//!
//! | state | means | run queue | transitions |
//! |---|---|---|---|
//! | `New` | not started, no stack | no (unstarted queue), or yes if local | start → `Running` |
//! | `Ready` | may run | yes | worker → `Running` |
//! | `Running` | runs | no | itself → `Ready` (yield), `Parked`, `Done` |
//! | `Parked` | waits | no | a wake-up, by its worker → `Ready` |
//! | `Done` | has ended | no | – |
//!
//! A wake-up that finds `Ready` or `Running` sets `pending`, which the next park consumes.

pub(crate) mod completion;
pub(crate) mod context;

#[cfg(not(loom))]
pub(crate) mod block;
#[cfg(not(loom))]
pub(crate) mod budget;
#[cfg(not(loom))]
pub(crate) mod cancel;
#[cfg(not(loom))]
pub(crate) mod completion_hooks;
#[cfg(not(loom))]
pub(crate) mod fiber;
#[cfg(not(loom))]
pub(crate) mod ids;
#[cfg(not(loom))]
pub(crate) mod os_thread;
#[cfg(not(loom))]
pub(crate) mod park;
#[cfg(not(loom))]
pub(crate) mod reason;
#[cfg(not(loom))]
pub(crate) mod scope;
#[cfg(not(loom))]
pub(crate) mod task;
#[cfg(not(loom))]
pub(crate) mod thread;
#[cfg(not(loom))]
pub(crate) mod unparker;

#[cfg(not(loom))]
pub use self::cancel::payload::{Cancelled, Elapsed};
#[cfg(not(loom))]
pub(crate) use self::{
    block::body::Outcome,
    block::{
        Locals as LocalStorage, NO_TIMER, OwningScope, SpawnInfo, State, ThreadInner, ThreadRef,
    },
    cancel::catch_and_discard,
    context::worker_context::WorkerContext,
    fiber::own_stack::OwnStack,
    park::{OnCancel, Wait, Wake, park},
    reason::Reason,
    unparker::Unparker,
};
