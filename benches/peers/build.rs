//! Passes the version of the compiler to the program.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let version = output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    // "rustc 1.2.3 (hash date)": the number is enough.
    let version = version.split(" (").next().unwrap_or_default();
    println!("cargo::rustc-env=PEERS_RUSTC={version}");
    println!("cargo::rerun-if-changed=build.rs");
}
