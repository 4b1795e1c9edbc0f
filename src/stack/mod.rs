//! Stacks for green threads: guarded, lazily committed, thousands to a mapping.
//!
//! | file | owns |
//! |---|---|
//! | `size.rs`, `slot.rs` | [`StackSize`]; where a slot is |
//! | `owned.rs` | [`Stack`]: one slot and the right to use it |
//! | `pool.rs` | [`StackPool`]: the free stacks and the credits of one worker |
//! | `mark.rs` | how a free stack shows that it was deep, and how deep |
//! | `reserve.rs` | the process-wide reserve: slabs, free slots, credits, behind one mutex |
//! | `reserve/survey.rs` | how much memory the stacks of the process take |
//! | `class.rs` | the account of one size of stack |
//! | `slab.rs` | one slab: its mapping, its free slots, its place in the table that the signal handler reads |
//! | `guard.rs` | how slots are guarded on this kernel |
//! | `shortage.rs` | the text of the error when address space or mappings have run out |
//! | `overflow.rs` | what happens when a stack overflows |
//!
//! A **slab** is one mapping cut into equal **slots**. A slot, from its lowest address: 64 KiB that
//! fault (the guard), then the usable bytes, then one page more, so that slots do not follow each
//! other at a power of two, which the caches and the TLB punish. The stack's **top** lies some
//! cache lines below the slot's end.
//!
//! The invariants of this module:
//!
//! - **S1** A slot has exactly one owner at a time: a free list of its slab, the list of a pool, or
//!   a [`Stack`]. Only the owner touches its memory.
//! - **S2** Once a slot has been in a [`Stack`] or a pool, the lowest `GUARD_BYTES` bytes of it
//!   fault on every access until its slab is unmapped. Releasing pages does not lift a guard.
//! - **S3** A slab is unmapped only when all its slots are in its own free lists, and it has left
//!   the reserve and the table before.
//! - **S4** For each size, the slots of all slabs are at least as many as were promised: credits
//!   held by green threads and pools, and room in the lists of pools. The holder of a credit
//!   therefore finds a slot without a new mapping.
//! - **S5** The usable bytes of a slot are private, readable and writable. Their content is
//!   unspecified.
//! - **S6** A top is aligned to 16 bytes, lies in the slot's highest page, and leaves at least a
//!   page less `MAX_STAGGER_BYTES` bytes of that page below it.
//! - **S7** While a slot in a list or a [`Stack`] is marked as inhabited, no other code changes the
//!   bytes between the mark of the pool (P2) and the top. A slot that comes out of the reserve is
//!   not inhabited.
//!
//! Everything may be called from any thread, but a [`StackPool`] belongs to one worker. Only
//! [`overflow`] is called from a signal handler. Reasons and measurements: `arch-notes/stacks.md`.

mod class;
mod guard;
mod mark;
pub(crate) mod overflow;
mod owned;
mod pool;
mod reserve;
mod shortage;
mod size;
mod slab;
mod slot;

#[cfg(all(feature = "backtrace", target_os = "linux"))]
pub(crate) use self::reserve::survey::has_address;
pub(crate) use self::{
    mark::StackUse,
    owned::{Stack, reserve_shared, take_sized, unreserve_shared},
    pool::StackPool,
    reserve::survey::{survey, used_at},
    size::StackSize,
};
