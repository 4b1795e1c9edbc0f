//! What is initialised once.

pub(super) mod lazy_lock;
pub(super) mod once;
pub(super) mod once_lock;
