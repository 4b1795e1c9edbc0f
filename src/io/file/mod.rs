//! Reading and writing through descriptors with flags that must not change: files, pipes,
//! terminals.

pub(crate) mod bounce_buffer;
mod device;
pub(crate) mod file_state;
pub(crate) mod poll;
pub(crate) mod transfer;
pub(crate) mod unclaimed;
