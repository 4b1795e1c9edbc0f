//! The whole run: each row of each peer as a process of its own, one after the other.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use crate::figures::Measured;
use crate::report::Report;
use crate::rows::{self, PEERS, ROWS, Row, When};
use crate::serve::{serving, slices};
use crate::table::significant;
use crate::{Options, golang, head, machine, measure};

/// The argument that makes this program measure one row, of one peer or of several in turns.
pub(crate) const ARGUMENT: &str = "--measure";

/// Precedes the figures of a peer that is one of several, with its name.
const NAME: &str = "peer ";

/// Number of threads of a process after which the run pauses: the machine, and the host of a
/// virtual one, are busy with the memory that it has left, and an immediate measurement takes up to
/// three times as long.
const CROWD: usize = 1_000_000;
const REST: Duration = Duration::from_secs(1);

pub(crate) fn all(options: &Options) -> io::Result<Report> {
    if options.wants_peer("go") && !golang::build()? {
        println!("no Go toolchain here: its column stays empty");
    }
    let mut report = Report::default();
    report.machine = head::describe();
    println!("{}\n", report.machine);
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let mut progress = Progress::new(options, rounds);
    // A peer that failed once is not run again.
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
            let (asked, skipped): (Vec<&str>, Vec<&str>) = peers
                .into_iter()
                .partition(|peer| !silent.contains(&(row.key, *peer)));
            for peer in skipped {
                progress.end((row.key, peer), Duration::ZERO);
            }
            let together = if row.operation.is_sliced() {
                asked.len().max(1)
            } else {
                1
            };
            for peers in asked.chunks(together) {
                let start = Instant::now();
                let measured = cells(row, peers, options.quick)?;
                let took = start.elapsed() / peers.len() as u32;
                if row.operation.threads() >= CROWD {
                    thread::sleep(REST);
                }
                for (peer, measured) in measured {
                    let head = progress.end((row.key, peer), took);
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
                // A user who interrupts a long run keeps the results so far.
                report.write(&options.tsv)?;
            }
        }
    }
    Ok(report)
}

/// The progress and the remaining time: estimated in the first round from the mean of the
/// measurements so far, later from the last round.
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

    /// Returns the text to print before the figures of a cell that took this long.
    fn end(&mut self, cell: (&'static str, &str), took: Duration) -> String {
        self.done += 1;
        if let Some(peer) = PEERS.into_iter().find(|peer| *peer == cell.1) {
            self.known.insert((cell.0, peer), took);
        }
        let elapsed = self.start.elapsed();
        let round: Duration = self.known.values().sum();
        let each_round = self.cells / self.rounds;
        let left = if self.done < each_round {
            elapsed * (self.cells - self.done) as u32 / self.done as u32
        } else {
            // Some cells are known to have no figures, so this is less than a round took at first.
            round * (self.cells - self.done) as u32 / each_round as u32
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

/// Returns the path of the file for a child's error messages.
fn complaints() -> PathBuf {
    env::temp_dir().join(format!("rustlet-peers-{}", process::id()))
}

/// Makes a child measure one peer, or several in turns. If that fails as a whole, each peer has a
/// child of its own, to find the one that failed.
fn cells<'a>(row: &Row, peers: &[&'a str], quick: bool) -> io::Result<Vec<(&'a str, Measured)>> {
    let words = match child_measures(row, peers, quick)? {
        Ok(output) => {
            let mut sections = sections(&output);
            // A child that prints no name has only one peer to measure.
            let mut of = |peer: &str| sections.remove(peer).or_else(|| sections.remove(""));
            return Ok(peers
                .iter()
                .map(|peer| (*peer, golang::parse(&of(peer).unwrap_or_default())))
                .collect());
        }
        Err(words) => words,
    };
    if let [peer] = peers {
        return Ok(vec![(*peer, Err(words))]);
    }
    let mut all = Vec::new();
    for peer in peers.chunks(1) {
        all.extend(cells(row, peer, quick)?);
    }
    Ok(all)
}

/// Splits the output into the text after each line that names a peer; the text before the first
/// such line has no name.
fn sections(output: &str) -> HashMap<&str, String> {
    let mut sections: HashMap<&str, String> = HashMap::new();
    let mut peer = "";
    for line in output.lines() {
        match line.strip_prefix(NAME) {
            Some(name) => peer = name,
            None => *sections.entry(peer).or_default() += &format!("{line}\n"),
        }
    }
    sections
}

/// Returns the output of the child, or the reason of its failure.
fn child_measures(row: &Row, peers: &[&str], quick: bool) -> io::Result<Result<String, String>> {
    let timeout = Duration::from_secs(if quick { 30 } else { 60 }) * peers.len() as u32;
    let path = complaints();
    let mut child = Command::new(env::current_exe()?)
        .args([ARGUMENT, row.key, &peers.join(",")])
        .args(quick.then_some("--quick"))
        .stdout(Stdio::piped())
        .stderr(File::create(&path)?)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > timeout {
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
        return Ok(Ok(output));
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let words = message(&complaint).unwrap_or_default();
    Ok(Err(format!("fails: {status}{words}")))
}

/// Returns the message of a panic, or else the last line.
fn message(complaint: &str) -> Option<String> {
    let mut lines = complaint.lines().filter(|line| !line.trim().is_empty());
    let panic = lines
        .clone()
        .skip_while(|line| !line.contains("panicked at"));
    let line = panic.clone().nth(1).or_else(|| lines.next_back())?;
    let short: String = line.trim().chars().take(100).collect();
    Some(format!(", \"{short}\""))
}

/// Runs the child's side: prints the figures.
pub(crate) fn child(args: &[String]) -> io::Result<()> {
    let [key, peers, options @ ..] = args else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let row = ROWS.iter().find(|row| row.key == *key);
    let row = row.ok_or_else(|| io::Error::other(format!("no row {key}")))?;
    let quick = options.iter().any(|option| option == "--quick");
    let files = machine::raise_open_files()?;
    if row.operation.is_sliced() {
        let peers: Vec<&str> = peers.split(',').collect();
        for (peer, measured) in slices::measure(row, &peers, files, quick)? {
            println!("{NAME}{peer}");
            print(measured);
        }
    } else if row.operation.is_served() {
        print(serving::measure(row, peers, quick)?);
    } else {
        print(measure::measure(row, peers, if quick { 1 } else { 2 })?);
    }
    // Exits without waiting for the remains of the runtimes.
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

fn print(measured: Measured) {
    match measured {
        Ok(figures) => figures
            .iter()
            .for_each(|(metric, value)| println!("{metric}\t{value}")),
        Err(words) => println!("!\t{words}"),
    }
}
