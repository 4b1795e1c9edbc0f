//! The conditions of the measurements: the machine, the compilers, the crates, the day.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use crate::{golang, machine};

/// The crates whose versions matter to a reader of the table.
const CRATES: [&str; 6] = [
    "rustlet",
    "tokio",
    "smol",
    "may",
    "crossbeam-channel",
    "corosensei",
];

/// Some lines.
pub(crate) fn describe() -> String {
    let compiler = env!("PEERS_RUSTC");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|text| text.parse::<f64>().ok());
    let memory = kibibytes.map_or(String::new(), |kibibytes| {
        format!(", {:.0} GiB", kibibytes / 1024.0 / 1024.0)
    });
    let go = golang::version().unwrap_or("no Go".to_owned());
    let crates: Vec<String> = CRATES.iter().filter_map(|name| version(name)).collect();
    let wrk = if Command::new("wrk").arg("-v").output().is_ok() {
        "wrk"
    } else {
        "no wrk"
    };
    format!(
        "{}{memory}; {}\n{compiler}, {go}, {wrk}\n{}",
        machine::describe(),
        today(),
        crates.join(", ")
    )
}

/// Returns name and version, from the lock file of this build.
fn version(name: &str) -> Option<String> {
    let lock = include_str!("../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    let (version, _) = rest.split_once('"')?;
    Some(format!("{name} {version}"))
}

/// Returns the date in UTC, counted by the calendar since 1970 began.
fn today() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut days = now.map_or(0, |time| time.as_secs() / 86_400);
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let february = 28 + u64::from(leap(year));
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if days < length {
            break;
        }
        days -= length;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}
