//! What all rounds gave: the TSV, the table, and the charts drawn from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::rows::{PEERS, ROWS};
use crate::table::{Summary, Table, significant};

/// Values by row, metric and peer.
#[derive(Default)]
pub(crate) struct Report {
    values: BTreeMap<(String, String, String), Vec<f64>>,
    /// In the order in which they came.
    metrics: Vec<(String, String)>,
    pub(crate) machine: String,
}

impl Report {
    pub(crate) fn add(&mut self, row: &str, metric: &str, peer: &str, value: f64) {
        let named = (row.to_owned(), metric.to_owned());
        if !self.metrics.contains(&named) {
            self.metrics.push(named);
        }
        let key = (row.to_owned(), metric.to_owned(), peer.to_owned());
        self.values.entry(key).or_default().push(value);
    }

    pub(crate) fn median(&self, row: &str, metric: &str, peer: &str) -> Option<f64> {
        let key = (row.to_owned(), metric.to_owned(), peer.to_owned());
        Some(Summary::of(self.values.get(&key)?)?.median)
    }

    /// One line for each row, metric and peer: the median, the spread, and the number of rounds.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = format!(
            "# {}\nrow\tmetric\tpeer\tmedian\tspread\trounds\n",
            self.machine
        );
        for (row, metric) in &self.metrics {
            for peer in PEERS {
                let key = (row.clone(), metric.clone(), peer.to_owned());
                let Some(values) = self.values.get(&key) else {
                    continue;
                };
                if let Some(Summary { median, spread }) = Summary::of(values) {
                    let rounds = values.len();
                    let _ = writeln!(
                        text,
                        "{row}\t{metric}\t{peer}\t{median:.3}\t{spread:.3}\t{rounds}"
                    );
                }
            }
        }
        fs::write(path, text)
    }

    /// What [`write`](Report::write) has written.
    pub(crate) fn read(path: &Path) -> io::Result<Report> {
        let mut report = Report::default();
        for line in fs::read_to_string(path)?.lines() {
            if let Some(machine) = line.strip_prefix("# ") {
                machine.clone_into(&mut report.machine);
            }
            let fields: Vec<&str> = line.split('\t').collect();
            if let [row, metric, peer, median, ..] = fields[..]
                && let Ok(median) = median.parse()
            {
                report.add(row, metric, peer, median);
            }
        }
        Ok(report)
    }

    pub(crate) fn print(&self) {
        let mut head = vec!["", "workers", "in"];
        head.extend(PEERS);
        let mut table = Table::new(&head);
        for (key, metric) in &self.metrics {
            let Some(row) = ROWS.iter().find(|row| row.key == key) else {
                continue;
            };
            let mut cells = vec![row.text.to_owned(), row.workers.to_string(), metric.clone()];
            cells.extend(PEERS.map(|peer| {
                let median = self.median(key, metric, peer);
                median.map_or("–".to_owned(), significant)
            }));
            table.row(cells);
        }
        table.print();
    }
}
