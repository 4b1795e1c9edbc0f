//! The operating system: the only module that uses `libc`.

pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod exit;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod mem;
pub(crate) mod os_threads;
pub(crate) mod poll;
pub(crate) mod segv;
pub(crate) mod signal;
pub(crate) mod sock;
pub(crate) mod unix_sock;
