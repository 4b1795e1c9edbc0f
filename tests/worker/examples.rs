//! Runs the examples, which check themselves. `cargo test` builds them beside the tests.

use super::support::{is_emulated, succeeded};
use std::process::Command;

/// Returns the output of the example `name`.
fn said_by(name: &str) -> String {
    // target/debug/deps/worker-0123456789abcdef and target/debug/examples/NAME.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let output = Command::new(&program)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo test` builds it", program.display()));
    succeeded(&output);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_plain_loop() {
    if !is_emulated() {
        let said = said_by("worker_loop");
        assert!(said.ends_with("arrived: tortoise, hare\n"), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_foreign_epoll_loop() {
    if !is_emulated() {
        let said = said_by("worker_epoll");
        assert!(said.starts_with("100 bytes echoed, "), "{said}");
    }
}
