//! The operating system: all that is named `libc` is below here.

pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod exit;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod mem;
pub(crate) mod poll;
pub(crate) mod segv;
pub(crate) mod signal;
pub(crate) mod sock;
pub(crate) mod unix_sock;
