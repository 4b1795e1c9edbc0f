//! Runs a unit test's body in a child process, for tests that kill a process or exhaust it. Only
//! tests use it.

use std::env;
use std::process::{Command, Output};

const IN_CHILD: &str = "RUSTLET_TEST_CHILD";

/// Returns the program that runs this one, under emulation: it cannot be started directly, but with
/// cargo's runner.
fn runner() -> Option<String> {
    env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER")
        .ok()
        .filter(|_| cfg!(target_arch = "aarch64"))
}

/// Returns whether an emulator runs this program.
pub(crate) fn is_emulated() -> bool {
    runner().is_some()
}

/// In the parent, runs the unit test `name` alone in a child process and returns how it ended; in
/// that child, runs `body` and returns nothing.
pub(crate) fn outcome(name: &str, body: impl FnOnce()) -> Option<Output> {
    if env::var_os(IN_CHILD).is_some_and(|value| value == name) {
        body();
        return None;
    }
    let program = env::current_exe().expect("a test knows its program");
    let runner = runner();
    let mut words = runner.iter().flat_map(|runner| runner.split_whitespace());
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    let output = command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, name)
        .output()
        .expect("the child starts");
    Some(output)
}

/// Runs `body` like [`outcome`], and asserts that it succeeds.
pub(crate) fn run(name: &str, body: impl FnOnce()) {
    if let Some(output) = outcome(name, body) {
        let said = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}{said}"
        );
    }
}
