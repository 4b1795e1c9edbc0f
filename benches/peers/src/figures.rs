//! The result of a measurement: named figures. And how memory and lateness are measured.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Metric and value, in the order of display. The first is the row's own.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// Returns nanoseconds per operation.
pub(crate) fn per(time: Duration, count: u64) -> Figures {
    vec![("ns", time.as_nanos() as f64 / count as f64)]
}

/// Returns the memory of the process.
pub(crate) struct Memory {
    resident: f64,
    page_tables: f64,
}

impl Memory {
    pub(crate) fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kibibytes =
                line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kibibytes.unwrap_or(0.0) * 1024.0
        };
        Memory {
            resident: bytes("VmRSS:"),
            page_tables: bytes("VmPTE:"),
        }
    }

    pub(crate) fn figures(
        &self,
        held: &Memory,
        threads: usize,
        spawned: Duration,
        woken: Duration,
    ) -> Figures {
        let each = |after: f64, before: f64| (after - before) / threads as f64;
        vec![
            ("bytes each", each(held.resident, self.resident)),
            (
                "page-table bytes each",
                each(held.page_tables, self.page_tables),
            ),
            ("spawn ms", spawned.as_secs_f64() * 1e3),
            ("wake and join ms", woken.as_secs_f64() * 1e3),
        ]
    }
}

/// Returns the CPU time of this process.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures how late timers are, and their cost.
pub(crate) struct Lateness {
    cpu: Duration,
}

impl Lateness {
    pub(crate) fn start() -> Lateness {
        Lateness { cpu: cpu() }
    }

    pub(crate) fn figures(&self, mut late: Vec<Duration>) -> Figures {
        late.sort_unstable();
        let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
        vec![
            ("CPU ms", (cpu() - self.cpu).as_secs_f64() * 1e3),
            ("late p50 µs", at(0.5)),
            ("late p99 µs", at(0.99)),
            ("late max µs", at(1.0)),
        ]
    }
}

/// Figures; or the reason why there are none, empty where there is nothing to report.
pub(crate) type Measured = Result<Figures, String>;

pub(crate) fn nothing(words: &str) -> Measured {
    Err(words.to_owned())
}
