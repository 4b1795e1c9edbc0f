//! Go, if there is a toolchain: `go/peers.go` holds the same operations and servers.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::{env, io};

use crate::figures::{Figures, Measured, nothing};
use crate::rows::Row;

const MISSING: &str = "no Go toolchain here";

/// Builds the program; returns false where there is no `go`.
pub(crate) fn build() -> io::Result<bool> {
    let program = program()?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/go/peers.go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    match built {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => Err(io::Error::other(format!("go build: {status}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(program.exists()),
        Err(error) => Err(error),
    }
}

/// Returns the path of the Go program, beside this program.
fn program() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("peers-go"))
}

/// Returns the version of Go that built it; `None` if there is no such program.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(program().ok()?).arg("version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Replaces this process by that program, so that killing this process kills it; returns only on
/// failure.
fn become_it(args: &[&str], workers: usize) -> io::Error {
    match program() {
        Ok(program) => Command::new(program)
            .args(args)
            .env("GOMAXPROCS", workers.to_string())
            .exec(),
        Err(error) => error,
    }
}

pub(crate) fn measure(row: &Row, scale: u64) -> io::Result<Measured> {
    if !program()?.exists() {
        return Ok(nothing(MISSING));
    }
    let threads = match row.operation {
        // This operation passes its duration instead.
        crate::rows::Operation::ForkJoin(each) => each.to_string(),
        operation => operation.threads().to_string(),
    };
    let count = row.operation.count(scale).to_string();
    Err(become_it(
        &[row.operation.name(), &threads, &count],
        row.workers,
    ))
}

pub(crate) fn serve(service: &str, workers: usize) -> io::Error {
    become_it(&["serve", service], workers)
}

pub(crate) fn is_there() -> bool {
    program().is_ok_and(|program| program.exists())
}

/// Parses lines of metric, tab, value; or of an exclamation mark, tab, words.
pub(crate) fn parse(text: &str) -> Measured {
    let mut figures = Figures::new();
    for (metric, value) in text.lines().filter_map(|line| line.split_once('\t')) {
        if metric == "!" {
            return nothing(value);
        }
        if let Ok(value) = value.trim().parse() {
            // Metrics live as long as the program; there are a dozen of them.
            figures.push((String::from(metric).leak(), value));
        }
    }
    Ok(figures)
}
