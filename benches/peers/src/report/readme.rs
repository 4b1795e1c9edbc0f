//! The README's table: few rows, two digits, the best figure of each row in bold.

use super::Report;
use crate::rows::{PEERS, shown};
use crate::table::thousands;

/// The title of a row, its key, and the metrics that are summed.
const LINES: [(&str, &str, &[&str]); 9] = [
    ("yield, 1,000 threads, ns", "yield-1k", &["ns"]),
    ("spawn and join one thread, ns", "spawn-1", &["ns"]),
    ("channel, round trip, ns", "pingpong", &["ns"]),
    ("a mutex, 8 threads on two workers, ns", "mutex-w2", &["ns"]),
    (
        "a million waiting threads, bytes each",
        "parked-1m",
        &["bytes each", "page-table bytes each"],
    ),
    (
        "the same, time to start them, ms",
        "parked-1m",
        &["spawn ms"],
    ),
    (
        "echo, 1,000 connections, CPU µs per request",
        "echo-1k",
        &["CPU µs per request"],
    ),
    (
        "echo, 10,000 connections, CPU µs per request",
        "echo-10k",
        &["CPU µs per request"],
    ),
    (
        "HTTP, 100 connections, CPU µs per request",
        "http-100",
        &["CPU µs per request"],
    ),
];

pub(crate) fn print(report: &Report) {
    // A bare loop is no runtime.
    let peers = &PEERS[..PEERS.len() - 1];
    let names: Vec<&str> = peers.iter().map(|peer| shown(peer)).collect();
    println!("| lower is better | {} |", names.join(" | "));
    println!("|---|{}", "---:|".repeat(names.len()));
    for (name, row, metrics) in LINES {
        let figures: Vec<Option<f64>> = peers
            .iter()
            .map(|peer| {
                let metrics = metrics.iter();
                let sum: Option<f64> = metrics.map(|metric| report.median(row, metric, peer)).sum();
                sum.map(two_digits)
            })
            .collect();
        let best = figures.iter().flatten().copied().reduce(f64::min);
        let cells: Vec<String> = peers
            .iter()
            .zip(&figures)
            .map(|(peer, figure)| match *figure {
                Some(figure) if Some(figure) == best => format!("**{}**", text(figure)),
                Some(figure) => text(figure),
                None if report.has_failed(row, peer) => "fails".to_owned(),
                None => "–".to_owned(),
            })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn two_digits(figure: f64) -> f64 {
    let unit = 10_f64.powf(figure.log10().floor() - 1.0);
    (figure / unit).round() * unit
}

fn text(figure: f64) -> String {
    if figure < 10.0 {
        format!("{figure:.1}")
    } else {
        thousands(figure.round() as u64)
    }
}
