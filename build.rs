//! Refuses targets that the runtime cannot work on, with a sentence instead of a page of type
//! errors.
//!
//! It probes two things, both told by cargo through the environment and neither by running code:
//! `CARGO_CFG_TARGET_ARCH`, because stacks are switched by assembly that is written and tested for
//! x86_64 and aarch64 only, and `CARGO_CFG_UNIX`, because the reactor and the stacks use Unix
//! calls. What depends on the kernel that runs the program (lightweight guard pages,
//! `epoll_pwait2`) is probed when the program runs: the machine that builds need not be the one
//! that runs.

use std::env;
use std::process::exit;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let unix = env::var_os("CARGO_CFG_UNIX").is_some();
    if !matches!(arch.as_str(), "x86_64" | "aarch64") || !unix {
        let target = env::var("TARGET").unwrap_or_default();
        eprintln!(
            "error: rustlet supports Unix on x86_64 and aarch64; the target `{target}` is neither. \
             Build for another target, or leave rustlet out of it with \
             `[target.'cfg(all(unix, any(target_arch = \"x86_64\", target_arch = \"aarch64\")))'.dependencies]`."
        );
        exit(1);
    }
}
