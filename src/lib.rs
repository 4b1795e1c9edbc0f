//! **The std you know, a million threads.**
//!
//! rustlet runs blocking code on *green threads*: threads with stacks of their own that the library
//! switches between. A read, a lock, a receive or a sleep looks like a blocking call and suspends
//! only the green thread that makes it. There is no `async` and no function colouring. Code written
//! against `std::{thread, net, sync, process, fs, io, time}` runs on green threads when its `use`
//! lines say `rustlet::` instead of `std::`.
//!
//! ```
//! use rustlet::net::{TcpListener, TcpStream};
//! use std::io::{self, Read, Write};
//!
//! fn main() -> io::Result<()> {
//!     rustlet::run(|| {
//!         let listener = TcpListener::bind("127.0.0.1:0")?;
//!         let address = listener.local_addr()?;
//!         rustlet::spawn(move || {
//!             for stream in listener.incoming().flatten() {
//!                 // A green thread for each connection.
//!                 rustlet::spawn(move || io::copy(&mut &stream, &mut &stream));
//!             }
//!         });
//!
//!         let mut client = TcpStream::connect(address)?;
//!         client.write_all(b"hello")?;
//!         let mut answer = [0; 5];
//!         client.read_exact(&mut answer)?;
//!         assert_eq!(&answer, b"hello");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # What do you want to do?
//!
//! | task | guide | items |
//! |---|---|---|
//! | write a first program | [a first program](guide::first_program) | [`run`], [`spawn`], [`JoinHandle`] |
//! | port a program | from [std](guide::from_std), [tokio](guide::from_tokio), [Go](guide::from_go), [gevent](guide::from_gevent) | [`thread`], [`net`], [`sync`], [`fs`], [`io`], [`process`] |
//! | write a server | [servers](guide::servers), [HTTP and TLS](guide::http_and_tls) | [`net::Server`], [`net::serve`](net::serve()) |
//! | limit how long something takes | [structure and cancellation](guide::structure) | [`timeout`], [`deadline`], [`CancelToken`], [`shield`] |
//! | start threads that borrow, and end together | [structure and cancellation](guide::structure) | [`scope`], [`thread::scope_cancelling`], [`thread::TaskGroup`] |
//! | send messages | [waiting for several things](guide::select) | [`channel`], [`sync::mpsc`], [`mailbox`], [`coroutine`](mod@coroutine) |
//! | wait for a message, a timer, a child, a signal, a socket | [waiting for several things](guide::select) | [`channel::select!`], [`signal`], [`io::Watch`] |
//! | call something that blocks or computes | [blocking work](guide::blocking) | [`unblock`], [`thread::Blocking`], [`sync::Callback`] |
//! | share a few connections | [blocking work](guide::blocking) | [`pool::Pool`] |
//! | test it | [testing](guide::testing) | [`wait_idle`], [`Builder::workers`] |
//! | find out why it hangs | [when something hangs](guide::hangs) | [`dump`], [`Builder::on_deadlock`], [`Builder::watchdog`] |
//! | find out why it was slow | [reading a timeline](guide::timeline) | [`trace::start`](trace::start()) |
//! | run it inside another event loop | [embedding](guide::embedding) | [`Runtime`], [`Worker`] |
//! | wait for futures, or in `async` code for a thread or a socket | [embedding](guide::embedding) | [`block_on`], [`future`] |
//!
//! The [guide] has all pages in order.
//!
//! # What to know
//!
//! - **Threads do not migrate.** A green thread that has started stays on its worker, an OS thread.
//!   So what it holds across a wait need not be [`Send`]. The closure of [`spawn`] must be `Send`,
//!   because any worker may start it.
//! - **Nothing preempts a green thread.** One that computes for long holds up the others of its
//!   worker. So do std's own blocking calls: its sockets, or its `Mutex` held across a wait.
//! - **Cancellation unwinds from a wait.** [`timeout`], [`JoinHandle::cancel`] and the end of
//!   [`run`] all use it. Destructors run, and no message is printed. A receive that was cancelled
//!   has not consumed a message.
//! - **Stacks do not grow.** 192 KiB are usable (960 KiB in debug builds; 2 MiB for the closure of
//!   [`run`]), and a page of memory is used until a thread needs more. A thread that has used more
//!   than four fifths of its stack is reported when it ends. An overflow hits a guard, is reported
//!   with the thread's name, and aborts the process. [`Builder::stack_size`] changes the size.
//! - **With `panic = "abort"` nothing unwinds.** A panic ends the process, threads that are alive
//!   when [`run`] returns are left behind, and [`timeout`] and [`JoinHandle::cancel`] panic with a
//!   message that says so.
//! - **It is tested on Linux** on x86_64 and aarch64. On macOS and FreeBSD it compiles and is
//!   untested. There a dump does not say what OS threads do, only deadlocks that are cycles of
//!   locks and joins are reported, and reads of files always go to the pool.
//!
//! # Environment variables
//!
//! They change a program without a change of its source. A call of the [`Builder`] takes
//! precedence.
//!
//! | variable | example | does what |
//! |---|---|---|
//! | `RUSTLET_WORKERS` | `2` | [`Builder::workers`]: the number of OS threads that run green threads |
//! | `RUSTLET_STACK_SIZE` | `1048576` | [`Builder::stack_size`], in bytes |
//! | `RUSTLET_WATCHDOG` | `100ms`, `2s`, `off` | [`Builder::watchdog`]: reports threads that keep their worker |
//! | `RUSTLET_DUMP` | `SIGQUIT` | [`Builder::dump_on`]: prints every thread when that signal arrives |
//!
//! # Features
//!
//! All are off by default.
//!
//! - `backtrace`: dumps show in which functions green threads wait or run: see
//!   [when something hangs](guide::hangs#in-which-functions-it-waits).
//! - `tokio`: `rustlet::tokio::block_on` runs futures of tokio's crates on green threads.
//! - `futures-io`, `tokio-io`: the `AsyncRead` and `AsyncWrite` of these crates for TCP and Unix
//!   streams, and for pipes.
//! - `hyper`: hyper's `Read` and `Write` for the same streams; `rustlet::hyper` has its `Executor`
//!   and its `Timer`.
//! - `r2d2`: a [pool] of connections that are made by the managers of the crate r2d2.
//! - `sanitizer` is for programs that are built with AddressSanitizer: see [tools](guide::tools).
//! - `testing` adds `rustlet::testing`, for `[dev-dependencies]`: tests on virtual time, and with
//!   schedules that a seed chooses and that can be replayed: see [testing](guide::testing).
//! - `tracing`: a span of the crate tracing belongs to the green thread that has entered it, also
//!   while that thread waits: see `rustlet::tracing`.
//! - `serde` implements `serde::Serialize` for dumps, metrics and reports, so that they can be
//!   written as JSON: see [metrics](guide::metrics).

#![debugger_visualizer(gdb_script_file = "green/block/debugger.py")]
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
mod async_io;
pub mod channel;
#[cfg(not(loom))]
pub mod coroutine;
#[cfg(not(loom))]
pub mod fs;
#[cfg(not(loom))]
pub mod future;
mod green;
#[cfg(not(loom))]
pub mod guide;
#[cfg(all(feature = "hyper", not(loom)))]
pub mod hyper;
#[cfg(not(loom))]
pub mod io;
#[cfg(not(loom))]
pub mod mailbox;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod os;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
mod ready_source;
#[cfg(not(loom))]
mod retry;
pub mod runtime;
#[cfg(not(loom))]
mod service_threads;
mod shim;
#[cfg(not(loom))]
pub mod signal;
#[cfg(feature = "testing")]
mod simulation;
#[cfg(not(loom))]
mod stack;
pub mod sync;
#[cfg(not(loom))]
mod sys;
#[cfg(all(test, not(loom)))]
mod test_child;
#[cfg(all(feature = "testing", not(loom)))]
pub mod testing;
#[cfg(not(loom))]
mod timeline;

#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
pub mod time;
#[cfg(all(feature = "tokio", not(loom)))]
pub mod tokio;
#[cfg(not(loom))]
pub mod trace;
#[cfg(all(feature = "tracing", not(loom)))]
pub mod tracing;
#[cfg(not(loom))]
mod worker;

/// The programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(not(loom))]
#[doc(inline)]
pub use crate::{
    coroutine::{Coroutine, Duplex, coroutine},
    future::block_on,
    green::{Cancelled, Elapsed},
    runtime::{Builder, Runtime, dump, run, run_all},
    thread::{
        CancelToken, JoinHandle, current, deadline, is_cancelled, park, park_timeout, repeat,
        scope, shield, sleep, sleep_until, spawn, spawn_local, spawn_on, timeout, unblock,
        wait_idle, yield_now,
    },
    worker::Worker,
};
