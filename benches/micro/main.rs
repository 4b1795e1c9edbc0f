//! The cost of a yield, a spawn, a wake-up, a timer and a lock: green threads against std's.
//!
//! Criterion takes the samples. The contenders of a row follow each other, and everything is
//! repeated several times, so that a change of the machine's speed affects all of them; each round
//! is compared with the same round of the last run. The run ends with one table, with ratios.
//!
//! `cargo bench --manifest-path benches/Cargo.toml --bench micro`, or with `-- --quick`, or with a
//! part of a row's name; all of Criterion's options work.

mod green;
mod os;
#[path = "../support/mod.rs"]
mod support;

use criterion::{BenchmarkId, Criterion};
use support::machine;
use support::table::{Summary, Table, ratio, with_spread};

use std::path::PathBuf;
use std::time::Duration;
use std::{env, io};

/// Does an operation a number of times and returns how long that took.
type Operation = fn(u64) -> Duration;

/// A row of the table.
struct Row {
    name: &'static str,
    green: Operation,
    /// `None` where the system does not provide as many threads.
    os: Option<Operation>,
}

const ROWS: [Row; 13] = [
    Row {
        name: "yield, 2 threads",
        green: |count| green::yield_now(2, count),
        os: Some(|count| os::yield_now(2, count)),
    },
    Row {
        name: "yield, 1,000 threads",
        green: |count| green::yield_now(1_000, count),
        os: Some(|count| os::yield_now(1_000, count)),
    },
    Row {
        name: "yield, 100,000 threads",
        green: |count| green::yield_now(100_000, count),
        os: None,
    },
    Row {
        name: "spawn and join one",
        green: green::spawn_and_join,
        os: Some(os::spawn_and_join),
    },
    Row {
        name: "spawn 100,000 then join all (std: 1,000)",
        green: |count| green::spawn_all_then_join(100_000, count),
        os: Some(|count| os::spawn_all_then_join(1_000, count)),
    },
    Row {
        name: "park and unpark, round trip",
        green: green::ping_pong,
        os: Some(os::ping_pong),
    },
    Row {
        name: "the same, each park with a timeout",
        green: green::ping_pong_with_timeout,
        os: Some(os::ping_pong_with_timeout),
    },
    Row {
        name: "mutex, 8 threads",
        green: |count| green::mutex(8, count),
        os: Some(|count| os::mutex(8, count)),
    },
    Row {
        name: "rwlock, 8 threads that read",
        green: |count| green::rwlock(8, u64::MAX, count),
        os: Some(|count| os::rwlock(8, u64::MAX, count)),
    },
    Row {
        name: "rwlock, 8 threads, a write in 10",
        green: |count| green::rwlock(8, 10, count),
        os: Some(|count| os::rwlock(8, 10, count)),
    },
    Row {
        name: "channel of capacity 1, round trip (std: crossbeam)",
        green: green::channel_ping_pong,
        os: Some(os::channel_ping_pong),
    },
    Row {
        name: "channel without limit, 4 to 1 (std: crossbeam)",
        green: |count| green::channel_crowd(4, 1, None, count),
        os: Some(|count| os::channel_crowd(4, 1, None, count)),
    },
    Row {
        name: "channel of capacity 128, 4 to 4 (std: crossbeam)",
        green: |count| green::channel_crowd(4, 4, Some(128), count),
        os: Some(|count| os::channel_crowd(4, 4, Some(128), count)),
    },
];

/// A column of the table.
struct Contender {
    name: &'static str,
    /// Number of the machine's cores that it may use.
    cores: usize,
    green: bool,
}

const CONTENDERS: [Contender; 4] = [
    Contender {
        name: "rustlet, 1 worker",
        cores: 1,
        green: true,
    },
    Contender {
        name: "std, 1 core",
        cores: 1,
        green: false,
    },
    Contender {
        name: "rustlet, 2 workers",
        cores: 2,
        green: true,
    },
    Contender {
        name: "std, 2 cores",
        cores: 2,
        green: false,
    },
];

/// Nanoseconds for each operation, by row and contender.
type Samples = Vec<[Vec<f64>; CONTENDERS.len()]>;

fn main() -> io::Result<()> {
    let quick = env::args().any(|arg| arg == "--quick");
    // With these options, Criterion measures nothing.
    let measures = !env::args().any(|arg| arg == "--test" || arg == "--list");
    let rounds = if quick || !measures { 1 } else { 3 };
    println!("machine: {}", machine::describe());
    let cores = machine::cores()?;
    let mut samples: Samples = ROWS.iter().map(|_| Default::default()).collect();
    for round in 1..=rounds {
        let mut criterion = criterion(round, quick);
        for (row, samples) in ROWS.iter().zip(&mut samples) {
            let mut group = criterion.benchmark_group(row.name);
            for (contender, samples) in CONTENDERS.iter().zip(samples) {
                if contender.cores > cores.len() {
                    continue;
                }
                machine::pin(&cores[..contender.cores])?;
                let id = BenchmarkId::from_parameter(contender.name);
                // The runtime's OS threads inherit the cores of the thread that starts them.
                if contender.green {
                    let runtime = rustlet::Builder::new().workers(contender.cores).build()?;
                    let mut measured = Measured::new(quick, samples);
                    group.bench_function(id, |bencher| {
                        bencher.iter_custom(|count| {
                            measured.keep(count, runtime.run(|| (row.green)(count)))
                        });
                    });
                } else if let Some(operation) = row.os {
                    let mut measured = Measured::new(quick, samples);
                    group.bench_function(id, |bencher| {
                        bencher.iter_custom(|count| measured.keep(count, operation(count)));
                    });
                }
            }
            group.finish();
        }
        criterion.final_summary();
    }
    if measures {
        print(&samples, rounds);
    }
    Ok(())
}

/// The smallest sample that Criterion takes; there are several rounds of it.
const SAMPLES: usize = 10;

fn criterion(round: usize, quick: bool) -> Criterion {
    let directory = env::var_os("CARGO_TARGET_DIR").map_or(PathBuf::from("target"), PathBuf::from);
    let time = Duration::from_millis(if quick { 400 } else { 1_000 });
    Criterion::default()
        .sample_size(SAMPLES)
        .nresamples(1_000)
        .warm_up_time(time / 4)
        .measurement_time(time)
        .without_plots()
        .configure_from_args()
        .output_directory(&directory.join("criterion").join(format!("round-{round}")))
}

/// Records Criterion's measurements, because Criterion keeps its rounds apart.
struct Measured<'a> {
    figures: &'a mut Vec<f64>,
    /// Number of the last calls that are the sample; the ones before them are warming up.
    sample: usize,
    before: usize,
}

impl Measured<'_> {
    fn new(quick: bool, figures: &mut Vec<f64>) -> Measured<'_> {
        // With `--quick`, Criterion doubles the count until two measurements agree.
        let sample = if quick { 2 } else { SAMPLES };
        let before = figures.len();
        Measured {
            figures,
            sample,
            before,
        }
    }

    fn keep(&mut self, count: u64, elapsed: Duration) -> Duration {
        self.figures.push(elapsed.as_nanos() as f64 / count as f64);
        elapsed
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let end = self.figures.len();
        let warm_up = end.saturating_sub(self.sample).max(self.before);
        self.figures.drain(self.before..warm_up);
    }
}

fn print(samples: &Samples, rounds: usize) {
    let mut head = vec!["ns each"];
    for pair in CONTENDERS.chunks(2) {
        head.extend(pair.iter().map(|contender| contender.name));
        head.push("std / rustlet");
    }
    let mut table = Table::new(&head);
    for (row, samples) in ROWS.iter().zip(samples) {
        let figures: Vec<_> = samples.iter().map(|figures| Summary::of(figures)).collect();
        if figures.iter().all(Option::is_none) {
            continue;
        }
        let mut cells = vec![row.name.to_owned()];
        for pair in figures.chunks(2) {
            cells.extend(pair.iter().map(|&figure| with_spread(figure)));
            let medians = |place: usize| pair[place].map(|figure| figure.median);
            cells.push(ratio(medians(1), medians(0)));
        }
        table.row(cells);
    }
    println!();
    table.print();
    println!("medians of {rounds} rounds; ± is half the distance between the quartiles");
}
