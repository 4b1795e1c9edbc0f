//! What a run of this package found out: which crates work with rustlet. `.ci/run ecosystem`
//! compares it with the table in the guide. And what the tests share.
#![allow(clippy::unwrap_used, reason = "for tests")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

pub mod postgres;
pub mod process;

/// The variable that names the folder for the findings. If it is set, each test needs its peer.
pub const FOLDER: &str = "RUSTLET_WORKS_WITH";

/// Returns the folder for the findings, if they are wanted.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Records that `name`, a crate, has worked: in `program`, a file of this package, with the code of
/// the file `glue` (empty if it needs none). `what` says what was run against which peer.
///
/// # Panics
///
/// Panics if the crate was recorded before, or the folder cannot be written.
pub fn works(name: &str, program: &str, glue: &str, what: &str) {
    let Some(folder) = folder() else { return };
    std::fs::create_dir_all(&folder).expect("a folder for the findings");
    let mut file = File::create_new(folder.join(name)).expect("a finding for each crate");
    writeln!(file, "{program}\t{glue}\t{what}").expect("the finding is written");
}
