//! **The std you know, a million threads.**
//!
//! `rustlet` runs your program on *green threads*: threads with stacks of their own that a scheduler in the
//! library switches between. What looks like a blocking call, on a socket, a lock, a timer, suspends only the green
//! thread that makes it. There is no `async`, no `yield`, and no function colours: code written against
//! `std::{thread, net}` becomes green by writing `rustlet::` where it wrote `std::`.
//!
//! ```
//! use rustlet::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! rustlet::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     rustlet::spawn(move || {
//!         for stream in listener.incoming() {
//!             let mut stream = stream.unwrap();
//!             // One green thread a connection.
//!             rustlet::spawn(move || {
//!                 let mut buffer = [0; 1024];
//!                 while let Ok(count @ 1..) = stream.read(&mut buffer) {
//!                     stream.write_all(&buffer[..count]).unwrap();
//!                 }
//!             });
//!         }
//!     });
//!
//!     let mut client = TcpStream::connect(address)?;
//!     client.write_all(b"hello")?;
//!     let mut answer = [0; 5];
//!     client.read_exact(&mut answer)?;
//!     assert_eq!(&answer, b"hello");
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # What to know
//!
//! - A green thread that has started stays on its worker (an OS thread) for life, so what it holds across a wait
//!   need not be [`Send`]. [`spawn`] itself takes `Send` closures, because any worker may start them.
//! - Nothing preempts a green thread. One that computes for long holds up the others of its worker.
//! - Every wait may unwind: that is how a [`timeout`] ends what is in it, [`JoinHandle::cancel`] a thread, and the end of
//!   [`run`] those that are left. Destructors run, nothing is printed, and nothing is lost that a wait had taken.
//! - `std`'s own blocking calls (its sockets, its `Mutex` held across a wait) block the worker, and everything on it.
//! - Stacks are 256 KiB of address space (that of the function given to [`run`]: 2 MiB), guarded, and a page of memory until
//!   more is used. An overflow is reported with the thread's name, and aborts.
//! - With `panic = "abort"` nothing can unwind: a panic ends the process, what is left when [`run`] returns is left behind, and
//!   [`timeout`] and [`JoinHandle::cancel`] panic with a text that says so.

// Rules for the inside of the library, not for programs and tests: see clippy.toml.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unused_imports,
        reason = "under loom only the protocols are built"
    )
)]

#[cfg(not(loom))]
mod attendant;
pub mod channel;
#[cfg(not(loom))]
pub mod coroutine;
#[cfg(not(loom))]
pub mod fs;
#[cfg(not(loom))]
mod future;
mod green;
#[cfg(not(loom))]
pub mod guide;
#[cfg(not(loom))]
pub mod io;
#[cfg(not(loom))]
pub mod mailbox;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod os;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
mod readiness;
#[cfg(not(loom))]
mod retry;
pub mod runtime;
mod shim;
#[cfg(not(loom))]
pub mod signal;
#[cfg(not(loom))]
mod stack;
pub mod sync;
#[cfg(not(loom))]
mod sys;
#[cfg(all(test, not(loom)))]
mod test_child;

#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
pub mod time;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub use crate::{
    coroutine::{Coroutine, Duplex, coroutine},
    future::block_on,
    green::{Cancelled, Elapsed},
    runtime::{Builder, Runtime, dump, run, run_all},
    thread::{
        JoinHandle, current, deadline, is_cancelled, park, park_timeout, repeat, scope, shield,
        sleep, sleep_until, spawn, spawn_local, spawn_on, timeout, unblock, wait_idle, yield_now,
    },
    worker::Worker,
};
