//! The guide: how to write programs with rustlet. Each page stands by itself; its programs are compiled, and most of them run, as
//! tests of the crate.
//!
//! 1. [From std to rustlet](from_std): what to change in a program, and what changes in its behaviour.
//! 2. [Servers](servers): one thread a connection; limits, timeouts, graceful ends.
//! 3. [Structure and cancellation](structure): scopes, deadlines, how threads are ended.
//! 4. [Waiting for several things](select): channels, timers, children, signals and sockets in one `select!`.
//! 5. [Blocking work](blocking): files, heavy computation, foreign libraries.
//! 6. [Embedding](embedding): runtimes beside other programs' loops, hand-stepped workers, futures.
//! 7. [What to avoid](pitfalls): what green threads cannot hide.
//! 8. [Tools](tools): AddressSanitizer, valgrind, gdb and perf.

#[doc = include_str!("from_std.md")]
pub mod from_std {}
#[doc = include_str!("servers.md")]
pub mod servers {}
#[doc = include_str!("structure.md")]
pub mod structure {}
#[doc = include_str!("select.md")]
pub mod select {}
#[doc = include_str!("blocking.md")]
pub mod blocking {}
#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[doc = include_str!("pitfalls.md")]
pub mod pitfalls {}
#[doc = include_str!("tools.md")]
pub mod tools {}
