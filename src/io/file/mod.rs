//! Reading and writing through descriptors whose flags are not ours to change: files, pipes, terminals.

pub(crate) mod bounce;
mod device;
pub(crate) mod kept;
pub(crate) mod traffic;
pub(crate) mod transfer;
