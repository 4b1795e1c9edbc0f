//! The operating system: the only module that uses `libc`.
//!
//! What only Linux has (eventfd, timerfd, pidfd, `RWF_NOWAIT`, `EPOLLRDHUP`, lightweight guards,
//! timer slack) is used there, and a portable substitute elsewhere. With `--cfg rustlet_portable`
//! the substitutes are built on Linux, too, so that the tests cover them. Not covered are those
//! without which Linux would behave differently from what the tests expect: `/proc`, file flags,
//! abstract names of Unix sockets, a signal that interrupts one thread.

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
