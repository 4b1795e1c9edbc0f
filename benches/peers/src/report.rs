//! The results of all rounds: the TSV, and the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::rows::{Group, PEERS, ROWS, Row, shown};
use crate::table::{Summary, Table, significant};

pub(crate) mod readme;

/// Values by row, metric and peer.
#[derive(Default)]
pub(crate) struct Report {
    values: BTreeMap<(String, String, String), Vec<f64>>,
    /// Row and metric, in the order of their arrival.
    metrics: Vec<(String, String)>,
    /// Row, peer, and the reason why it has no figures.
    notes: Vec<(String, String, String)>,
    /// Some lines.
    pub(crate) machine: String,
}

const HEAD: &str = "row\tmetric\tpeer\tmedian\tlowest\thighest\trounds\tvalues\n";

impl Report {
    pub(crate) fn add(&mut self, row: &str, metric: &str, peer: &str, value: f64) {
        let named = (row.to_owned(), metric.to_owned());
        if !self.metrics.contains(&named) {
            self.metrics.push(named);
        }
        let key = (row.to_owned(), metric.to_owned(), peer.to_owned());
        self.values.entry(key).or_default().push(value);
    }

    pub(crate) fn note(&mut self, row: &str, peer: &str, words: &str) {
        let note = (row.to_owned(), peer.to_owned(), words.to_owned());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn values(&self, row: &str, metric: &str, peer: &str) -> Option<&[f64]> {
        let key = (row.to_owned(), metric.to_owned(), peer.to_owned());
        self.values.get(&key).map(Vec::as_slice)
    }

    pub(crate) fn median(&self, row: &str, metric: &str, peer: &str) -> Option<f64> {
        Some(Summary::of(self.values(row, metric, peer)?)?.median)
    }

    /// Returns the rows that have figures, and their metrics.
    fn lines(&self) -> impl Iterator<Item = (&'static Row, &str)> {
        ROWS.iter().flat_map(|row| {
            let own = self.metrics.iter().filter(|(key, _)| key == row.key);
            own.map(move |(_, metric)| (row, metric.as_str()))
        })
    }

    /// Writes a line for each row, metric and peer.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        for line in self.machine.lines() {
            let _ = writeln!(text, "# {line}");
        }
        text += HEAD;
        for (row, metric) in self.lines() {
            for peer in PEERS {
                let Some(values) = self.values(row.key, metric, peer) else {
                    continue;
                };
                let (low, high) = extremes(values);
                let median = self.median(row.key, metric, peer).unwrap_or_default();
                let rounds = values.len();
                let list: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
                let _ = writeln!(
                    text,
                    "{}\t{metric}\t{peer}\t{median:.4}\t{low:.4}\t{high:.4}\t{rounds}\t{}",
                    row.key,
                    list.join(",")
                );
            }
        }
        for (row, peer, words) in &self.notes {
            let _ = writeln!(text, "{row}\t!\t{peer}\t{words}");
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, text)
    }

    /// Reads the output of [`write`](Report::write), of one run or of several together.
    pub(crate) fn read(paths: &[String]) -> io::Result<Report> {
        let mut report = Report::default();
        for path in paths {
            let mut machine = Vec::new();
            for line in fs::read_to_string(path)?.lines() {
                if let Some(text) = line.strip_prefix("# ") {
                    machine.push(text.to_owned());
                }
                let fields: Vec<&str> = line.split('\t').collect();
                match fields[..] {
                    [row, "!", peer, words] => report.note(row, peer, words),
                    [row, metric, peer, _, _, _, _, values] => {
                        for value in values.split(',').filter_map(|value| value.parse().ok()) {
                            report.add(row, metric, peer, value);
                        }
                    }
                    _ => {}
                }
            }
            report.machine = machine.join("\n");
        }
        Ok(report)
    }

    /// Formats for a terminal: medians with their spread, which is half of the distance between the
    /// lowest and the highest.
    pub(crate) fn print(&self) {
        println!("{}\n", self.machine);
        let mut head = vec!["", "in"];
        head.extend(PEERS.map(shown));
        let mut table = Table::new(&head);
        for (row, metric) in self.lines() {
            let mut cells = vec![row.label(), metric.to_owned()];
            cells.extend(PEERS.map(|peer| {
                let Some(values) = self.values(row.key, metric, peer) else {
                    return self.absent(row, peer).to_owned();
                };
                let median = self.median(row.key, metric, peer).unwrap_or_default();
                if values.len() < 2 || median == 0.0 {
                    return significant(median);
                }
                format!("{} ±{:.0}%", significant(median), spread(values, median))
            }));
            table.row(cells);
        }
        table.print();
        println!();
        self.remarks("");
    }

    /// Formats for a document: a table for each part, the best figures in bold, and how much more
    /// than rustlet the best of the others takes.
    pub(crate) fn print_markdown(&self) {
        for line in self.machine.lines() {
            println!("{line}  ");
        }
        println!("{}\n", self.noise());
        for (group, title) in Group::ALL {
            let lines: Vec<_> = self.lines().filter(|(row, _)| row.group == group).collect();
            if lines.is_empty() {
                continue;
            }
            println!("### {title}\n");
            let mut head = vec!["", "in"];
            head.extend(PEERS.map(shown));
            head.push("next best");
            let mut table = Table::new(&head);
            for (row, metric) in lines {
                let mut cells = vec![row.label(), metric.to_owned()];
                let best = self.best(row.key, metric, 0).map(significant);
                cells.extend(PEERS.map(|peer| {
                    let median = self.median(row.key, metric, peer);
                    let cell = median.map_or(self.absent(row, peer).to_owned(), significant);
                    if best.as_ref() == Some(&cell) && peer != "limit" {
                        format!("**{cell}**")
                    } else {
                        cell
                    }
                }));
                cells.push(self.lead(row.key, metric));
                table.row(cells);
            }
            table.print();
            println!();
        }
        self.remarks("- ");
    }

    /// Returns the best of the others as a multiple of rustlet's, or the inverse where more is
    /// better.
    fn lead(&self, row: &str, metric: &str) -> String {
        let more_is_better = more_is_better(metric);
        match (
            self.median(row, metric, PEERS[0]),
            self.best(row, metric, 1),
        ) {
            (Some(ours), Some(best)) if ours > 0.0 && best > 0.0 => {
                let ratio = if more_is_better {
                    ours / best
                } else {
                    best / ours
                };
                format!("{}×", significant(ratio))
            }
            _ => "–".to_owned(),
        }
    }

    /// Returns the best figure of the runtimes from this one on. A bare loop is no runtime.
    fn best(&self, row: &str, metric: &str, first: usize) -> Option<f64> {
        let peers = PEERS[first..PEERS.len() - 1].iter();
        let figures = peers.filter_map(|peer| self.median(row, metric, peer));
        if more_is_better(metric) {
            figures.max_by(f64::total_cmp)
        } else {
            figures.min_by(f64::total_cmp)
        }
    }

    /// Returns whether a peer has no figure because it could not run the row.
    fn has_failed(&self, row: &str, peer: &str) -> bool {
        let mut notes = self.notes.iter();
        notes.any(|(key, name, words)| {
            let failure = words.starts_with("fails") || words.starts_with("too many");
            key == row && name == peer && failure
        })
    }

    /// Returns the text of a cell without a figure.
    fn absent(&self, row: &Row, peer: &str) -> &'static str {
        if self.has_failed(row.key, peer) {
            "fails"
        } else {
            "–"
        }
    }

    /// Returns how far rounds are apart.
    fn noise(&self) -> String {
        let mut spreads: Vec<f64> = self
            .values
            .values()
            .filter(|values| values.len() > 1)
            .filter_map(|values| Some(spread(values, Summary::of(values)?.median)))
            .collect();
        spreads.sort_by(f64::total_cmp);
        let at = |part: usize| spreads.get(spreads.len() * part / 100);
        match (at(50), at(90)) {
            (Some(half), Some(most)) => format!(
                "Medians; half of the figures spread by no more than ±{half:.0} % between rounds, nine in ten by no more than ±{most:.0} %."
            ),
            _ => "One round.".to_owned(),
        }
    }

    /// Lists why figures are missing.
    fn remarks(&self, bullet: &str) {
        let mut remarks: Vec<(String, Vec<&str>)> = Vec::new();
        for (row, peer, words) in &self.notes {
            let text = format!("{peer}: {words}");
            match remarks.iter_mut().find(|(known, _)| *known == text) {
                Some((_, rows)) => rows.push(row),
                None => remarks.push((text, vec![row])),
            }
        }
        for (text, rows) in remarks {
            println!("{bullet}{text} ({})", rows.join(", "));
        }
    }
}

impl Row {
    pub(crate) fn label(&self) -> String {
        if self.workers == 1 || self.text.contains("two") {
            self.text.to_owned()
        } else {
            format!("{}; {} workers", self.text, self.workers)
        }
    }
}

fn more_is_better(metric: &str) -> bool {
    metric.starts_with("thousand")
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

/// In percent of the median.
fn spread(values: &[f64], median: f64) -> f64 {
    let (low, high) = extremes(values);
    if median == 0.0 {
        0.0
    } else {
        (high - low) / 2.0 / median * 100.0
    }
}
