//! Reading and writing through descriptors with flags that must not change: files, pipes,
//! terminals.

pub(crate) mod bounce;
mod device;
pub(crate) mod kept;
pub(crate) mod traffic;
pub(crate) mod transfer;
