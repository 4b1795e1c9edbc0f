//! The whole run: each row of each peer as a process of its own, one after the other.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use crate::measure::Measured;
use crate::report::Report;
use crate::rows::{self, PEERS, ROWS, Row, When};
use crate::table::significant;
use crate::{Options, golang, head, machine, measure, serving};

/// The argument that makes this program measure one row of one peer.
pub(crate) const ARGUMENT: &str = "--measure";

pub(crate) fn all(options: &Options) -> io::Result<Report> {
    if options.wants_peer("go") && !golang::build()? {
        println!("no Go toolchain here: its column stays empty");
    }
    let mut report = Report::default();
    report.machine = head::describe();
    println!("{}\n", report.machine);
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let mut progress = Progress::new(options, rounds);
    // A peer that could not do it once is not asked again.
    let mut silent = Vec::new();
    for round in 1..=rounds {
        for row in options.rows_of(round) {
            let mut peers: Vec<&str> = PEERS
                .into_iter()
                .filter(|peer| options.wants_peer(peer))
                .collect();
            if round % 2 == 0 {
                peers.reverse();
            }
            for peer in peers {
                let start = progress.begin();
                if silent.contains(&(row.key, peer)) {
                    progress.end((row.key, peer), start);
                    continue;
                }
                let measured = cell(row, peer, options.quick)?;
                let head = progress.end((row.key, peer), start);
                match measured {
                    Ok(figures) => {
                        let texts: Vec<String> = figures
                            .iter()
                            .map(|(metric, value)| format!("{} {metric}", significant(*value)))
                            .collect();
                        println!("{head} {} {peer}: {}", row.key, texts.join(", "));
                        for (metric, value) in figures {
                            report.add(row.key, metric, peer, value);
                        }
                    }
                    Err(words) => {
                        if !words.is_empty() {
                            println!("{head} {} {peer}: {words}", row.key);
                            report.note(row.key, peer, &words);
                        }
                        silent.push((row.key, peer));
                    }
                }
            }
        }
    }
    Ok(report)
}

/// How far it is, and how long it will take: what was measured before takes as long again, and the rest as long as the mean.
struct Progress {
    start: Instant,
    cells: usize,
    done: usize,
    rounds: usize,
    known: HashMap<(&'static str, &'static str), Duration>,
}

impl Progress {
    fn new(options: &Options, rounds: usize) -> Progress {
        let rows: usize = (1..=rounds)
            .map(|round| options.rows_of(round).count())
            .sum();
        let peers = PEERS.iter().filter(|peer| options.wants_peer(peer)).count();
        Progress {
            start: Instant::now(),
            cells: rows * peers,
            done: 0,
            rounds,
            known: HashMap::new(),
        }
    }

    fn begin(&self) -> Instant {
        Instant::now()
    }

    /// What to print before the figures of the cell that took since `start`.
    fn end(&mut self, cell: (&'static str, &str), start: Instant) -> String {
        self.done += 1;
        if let Some(peer) = PEERS.into_iter().find(|peer| *peer == cell.1) {
            self.known.insert((cell.0, peer), start.elapsed());
        }
        let elapsed = self.start.elapsed();
        let round: Duration = self.known.values().sum();
        let each_round = self.cells / self.rounds;
        let left = if self.done < each_round {
            elapsed * (self.cells - self.done) as u32 / self.done as u32
        } else {
            (round * self.rounds as u32).saturating_sub(elapsed)
        };
        let clock = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
        format!(
            "[{}/{}, {}, about {} left]",
            self.done,
            self.cells,
            clock(elapsed),
            clock(left)
        )
    }
}

/// Where a child writes what it complains about.
fn complaints() -> PathBuf {
    env::temp_dir().join(format!("rustlet-peers-{}", process::id()))
}

/// Has a child measure it.
fn cell(row: &Row, peer: &str, quick: bool) -> io::Result<Measured> {
    let patience = Duration::from_secs(if quick { 30 } else { 60 });
    let path = complaints();
    let mut child = Command::new(env::current_exe()?)
        .args([ARGUMENT, row.key, peer])
        .args(quick.then_some("--quick"))
        .stdout(Stdio::piped())
        .stderr(File::create(&path)?)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            fs::remove_file(&path)?;
            return Ok(Err(format!("fails: no end within {patience:?}")));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output)?;
    }
    let complaint = fs::read(&path)?;
    fs::remove_file(&path)?;
    if status.success() {
        return Ok(crate::golang::parse(&output));
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let words = message(&complaint).unwrap_or_default();
    Ok(Err(format!("fails: {status}{words}")))
}

/// What a panic said, or else the last line.
fn message(complaint: &str) -> Option<String> {
    let mut lines = complaint.lines().filter(|line| !line.trim().is_empty());
    let panic = lines
        .clone()
        .skip_while(|line| !line.contains("panicked at"));
    let line = panic.clone().nth(1).or_else(|| lines.next_back())?;
    let short: String = line.trim().chars().take(100).collect();
    Some(format!(", \"{short}\""))
}

/// The child's side: prints the figures.
pub(crate) fn child(args: &[String]) -> io::Result<()> {
    let [key, peer, options @ ..] = args else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let row = ROWS.iter().find(|row| row.key == *key);
    let row = row.ok_or_else(|| io::Error::other(format!("no row {key}")))?;
    let quick = options.iter().any(|option| option == "--quick");
    machine::raise_open_files()?;
    let measured = if row.operation.is_served() {
        serving::measure(row, peer, quick)?
    } else {
        measure::measure(row, peer, if quick { 1 } else { 2 })?
    };
    match measured {
        Ok(figures) => figures
            .iter()
            .for_each(|(metric, value)| println!("{metric}\t{value}")),
        Err(words) => println!("!\t{words}"),
    }
    // Without waiting for what the runtimes have left behind.
    exit(0)
}

impl Options {
    fn rows_of(&self, round: usize) -> impl Iterator<Item = &'static Row> {
        let named: Vec<&str> = self
            .rows
            .iter()
            .flat_map(|name| rows::named(name).map(|row| row.key))
            .collect();
        let quick = self.quick;
        ROWS.iter().filter(move |row| {
            let due = match row.when {
                When::Always => true,
                When::Full => !quick,
                When::Seldom => !quick && round % 2 == 1,
            };
            if named.is_empty() {
                due
            } else {
                named.contains(&row.key)
            }
        })
    }

    pub(crate) fn wants_peer(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == peer)
    }
}
