//! A child process that runs one test of this program again, with pipes for its standard streams.

use std::process::{Child, Command, Stdio};

const IN_CHILD: &str = "RUSTLET_TEST_CHILD";
/// Prefix of the child's output, to tell it from that of the test harness.
pub(crate) const MARK: &str = "> ";

/// Returns true in the child.
pub(crate) fn is_child(name: &str) -> bool {
    std::env::var_os(IN_CHILD).is_some_and(|test| test == name)
}

/// Builds the child, without starting it.
pub(crate) fn command(name: &str) -> Command {
    let mut command = crate::support::this_program();
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn start(name: &str) -> Child {
    command(name).spawn().expect("a child process")
}

/// Returns the child's output, line by line, without that of the harness.
pub(crate) fn lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let own = text.lines().filter_map(|line| line.split_once(MARK));
    own.map(|(_, line)| line.to_owned()).collect()
}

/// Waits for the child, which must succeed.
#[track_caller]
pub(crate) fn finish(child: Child) -> Vec<String> {
    let output = child.wait_with_output().expect("a child process");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    lines(&output.stdout)
}
