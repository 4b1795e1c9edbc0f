//! Code that several test files share: a child process that runs one test of the same binary, and
//! the length of stress tests.
//!
//! No test may fail because the machine is slow, or stops it anywhere for half a second: it waits
//! for a message of the thread that must have acted, never for a time. Where only the time can show
//! the result, it checks whether it was itself in time, and retries with more. Data over a network,
//! even the loopback, and values that another OS thread drops or closes may arrive a moment later.

#![allow(dead_code, reason = "not every test file needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

pub(crate) mod competing;

use std::path::Path;
use std::process::{Command, Output, Stdio};

const IN_CHILD: &str = "RUSTLET_TEST_CHILD";

/// Runs `body` in a child process, alone in it, and returns the child's output and its exit status.
/// The child is this test binary, with the one test `name` (its path in the crate) as its argument,
/// which calls this function again: there, `body` runs, and the process ends.
pub(crate) fn child(name: &str, body: impl FnOnce()) -> Output {
    child_with(name, &[], body)
}

/// Does the same as [`child`], with environment variables.
pub(crate) fn child_with(name: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Output {
    if std::env::var_os(IN_CHILD).is_some_and(|test| test == name) {
        body();
        std::process::exit(0);
    }
    this_program()
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("a child process")
}

fn runner() -> Option<String> {
    let runner = std::env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER").ok();
    runner.filter(|_| cfg!(target_arch = "aarch64"))
}

/// Returns whether an emulator runs this program. Tests that cannot hold there print the reason,
/// and return.
pub(crate) fn is_emulated() -> bool {
    runner().is_some()
}

/// Builds a command for this test's program; under emulation, with the runner that cargo was given.
pub(crate) fn this_program() -> Command {
    runner_of(&std::env::current_exe().expect("this binary"))
}

/// Builds a command for a program of the same processor as this one; under emulation, with the
/// runner that cargo was given.
pub(crate) fn runner_of(program: &Path) -> Command {
    let Some(runner) = runner() else {
        return Command::new(program);
    };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().expect("a runner is a program"));
    command.args(words).arg(program);
    command
}

/// Asserts that a child of [`child`] succeeded; returns its output on stderr.
#[track_caller]
pub(crate) fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{said}", output.status);
    said
}

/// Returns the number of repetitions of the tests that only repeat: `RUSTLET_STRESS` times `times`.
pub(crate) fn stress(times: usize) -> usize {
    let factor = std::env::var("RUSTLET_STRESS")
        .map_or(1, |text| text.parse().expect("RUSTLET_STRESS is a number"));
    times * factor
}

/// Runs `case` on a single worker: if a call blocks it, no other green thread continues, and the
/// test hangs.
pub(crate) fn on_one_worker<T: Send>(case: impl FnOnce() -> T + Send) -> T {
    let runtime = rustlet::Builder::new().workers(1).build();
    runtime.expect("a runtime").run(case)
}

/// Lets the others run until some green thread waits in `what`.
pub(crate) fn until_one_waits_in(what: &str) {
    while rustlet::runtime::threads()
        .iter()
        .all(|info| info.waits_in != what)
    {
        rustlet::yield_now();
    }
}
