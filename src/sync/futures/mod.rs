//! Locks and permits as futures.

pub(super) mod acquire;
pub(super) mod lock;
