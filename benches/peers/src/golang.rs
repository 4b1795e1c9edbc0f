//! Go, where there is a toolchain: `go/peers.go` holds the same operations.

use std::path::PathBuf;
use std::process::Command;
use std::{env, io};

use crate::figures::Figures;
use crate::machine;
use crate::rows::Row;

/// The built program; None where there is no `go`.
pub(crate) fn build() -> io::Result<Option<PathBuf>> {
    let program = program()?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/go/peers.go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    match built {
        Ok(status) if status.success() => Ok(Some(program)),
        Ok(status) => Err(io::Error::other(format!("go build: {status}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Beside this program.
pub(crate) fn program() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("peers-go"))
}

pub(crate) fn measure(row: &Row, quick: bool) -> io::Result<Option<Figures>> {
    let program = program()?;
    if !program.exists() {
        return Ok(None);
    }
    let cores = machine::cores()?;
    machine::pin(&cores[..row.workers.min(cores.len())])?;
    let output = Command::new(program)
        .args([row.key, if quick { "1" } else { "4" }])
        .env("GOMAXPROCS", row.workers.to_string())
        .output()?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(parse(&String::from_utf8_lossy(&output.stdout))))
}

/// Lines of metric, tab, value.
pub(crate) fn parse(text: &str) -> Figures {
    // Metrics live as long as the program; there are a dozen of them.
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(metric, value)| {
            let metric: &'static str = String::from(metric).leak();
            Some((metric, value.trim().parse().ok()?))
        })
        .collect()
}
