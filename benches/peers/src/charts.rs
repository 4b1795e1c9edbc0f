//! The charts, as SVG: curves for how costs grow, bars for what one thing costs on each runtime.
//!
//! They stand in documents that are read on white and on black, so they bring their own background.

use std::path::Path;
use std::{fs, io};

use plotters::prelude::*;

use crate::report::Report;
use crate::rows::PEERS;

mod axis;
mod bars;
mod curves;
mod panel;

use panel::Kind::{Bars, Curves, LinearBars};
use panel::{COLOURS, Drawn, Panel, style};

struct Chart {
    file: &'static str,
    title: &'static str,
    size: (u32, u32),
    /// Of panels: rows and columns.
    grid: (usize, usize),
    panels: &'static [Panel],
}

const CHARTS: [Chart; 6] = [
    Chart {
        file: "growth.svg",
        title: "How costs grow with the number of threads, one core: ns each, less is better",
        size: (1000, 860),
        grid: (2, 2),
        panels: &[
            Panel {
                title: "yield",
                metric: "ns",
                points: &[
                    ("yield-2", "", 2.0),
                    ("yield-10", "", 10.0),
                    ("yield-100", "", 100.0),
                    ("yield-1k", "", 1e3),
                    ("yield-10k", "", 1e4),
                    ("yield-100k", "", 1e5),
                    ("yield-1m", "", 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "spawn, then join",
                metric: "ns",
                points: &[
                    ("spawn-1", "", 1.0),
                    ("spawn-10", "", 10.0),
                    ("spawn-100", "", 100.0),
                    ("spawn-1k", "", 1e3),
                    ("spawn-10k", "", 1e4),
                    ("spawn-100k", "", 1e5),
                    ("spawn-1m", "", 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "wake one that waits",
                metric: "ns",
                points: &[
                    ("wake-10", "", 10.0),
                    ("wake-100", "", 100.0),
                    ("wake-1k", "", 1e3),
                    ("wake-10k", "", 1e4),
                    ("wake-100k", "", 1e5),
                    ("wake-1m", "", 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "the same, the wait with a time limit",
                metric: "ns",
                points: &[
                    ("timer-10", "", 10.0),
                    ("timer-100", "", 100.0),
                    ("timer-1k", "", 1e3),
                    ("timer-10k", "", 1e4),
                    ("timer-100k", "", 1e5),
                    ("timer-1m", "", 1e6),
                ],
                kind: Curves("threads"),
            },
        ],
    },
    Chart {
        file: "echo-growth.svg",
        title: "An echo server on one core, by the number of connections: less is better",
        size: (1000, 480),
        grid: (1, 2),
        panels: &[
            Panel {
                title: "CPU µs of the server per request",
                metric: "CPU µs per request",
                points: &ECHO,
                kind: Curves("connections"),
            },
            Panel {
                title: "99 in 100 answered within, µs",
                metric: "p99 µs",
                points: &ECHO,
                kind: Curves("connections"),
            },
        ],
    },
    Chart {
        file: "switching.svg",
        title: "Yield and spawn: ns each, less is better",
        size: (1000, 460),
        grid: (1, 1),
        panels: &[Panel {
            title: "one core where nothing else is said; spawn: and join; logarithmic",
            metric: "ns",
            points: &[
                ("yield-2", "yield, 2", 0.0),
                ("yield-1k", "yield, 1,000", 0.0),
                ("yield-100k", "yield, 100k", 0.0),
                ("spawn-1", "spawn, 1", 0.0),
                ("spawn-1-w2", "spawn 1, 2 cores", 0.0),
                ("spawn-100k", "spawn, 100k", 0.0),
                ("spawn-100k-w2", "100k, 2 cores", 0.0),
            ],
            kind: Bars,
        }],
    },
    Chart {
        file: "channels.svg",
        title: "Channels and locks: ns each, less is better",
        size: (1000, 820),
        grid: (2, 1),
        panels: &[
            Panel {
                title: "one core, logarithmic",
                metric: "ns",
                points: &[
                    ("pingpong", "round trip", 0.0),
                    ("mpsc", "4 to 1", 0.0),
                    ("mpmc", "4 to 4", 0.0),
                    ("mutex", "mutex", 0.0),
                    ("rwlock", "rwlock", 0.0),
                ],
                kind: Bars,
            },
            Panel {
                title: "two cores, logarithmic",
                metric: "ns",
                points: &[
                    ("pingpong-w2", "round trip", 0.0),
                    ("mpsc-w2", "4 to 1", 0.0),
                    ("mpmc-w2", "4 to 4", 0.0),
                    ("mutex-w2", "mutex", 0.0),
                    ("rwlock-w2", "rwlock", 0.0),
                ],
                kind: Bars,
            },
        ],
    },
    Chart {
        file: "servers.svg",
        title: "Servers on one core: CPU µs of the server per request, less is better",
        size: (1000, 460),
        grid: (1, 1),
        panels: &[Panel {
            title: "echo of 64 bytes over loopback, and HTTP under wrk, by connections",
            metric: "CPU µs per request",
            points: &[
                ("echo-100", "100", 0.0),
                ("echo-1k", "1,000", 0.0),
                ("echo-10k", "10,000", 0.0),
                ("echo-limited", "100, time limits", 0.0),
                ("http-100", "HTTP, 100", 0.0),
            ],
            kind: LinearBars,
        }],
    },
    Chart {
        file: "memory.svg",
        title: "Memory of a waiting thread: bytes, less is better",
        size: (1000, 460),
        grid: (1, 1),
        panels: &[Panel {
            title: "resident bytes each, page tables left out, by the number of threads; logarithmic",
            metric: "bytes each",
            points: &[
                ("parked-10k", "10,000", 0.0),
                ("parked-100k", "100,000", 0.0),
                ("parked-1m", "1,000,000", 0.0),
            ],
            kind: Bars,
        }],
    },
];

const ECHO: [(&str, &str, f64); 4] = [
    ("echo-1", "", 1.0),
    ("echo-100", "", 100.0),
    ("echo-1k", "", 1e3),
    ("echo-10k", "", 1e4),
];

/// Draws those charts for which there are figures.
pub(crate) fn draw(report: &Report, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for chart in &CHARTS {
        let path = directory.join(chart.file);
        one(report, chart, &path).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

fn one(report: &Report, chart: &Chart, path: &Path) -> Drawn {
    let present = |peer: &str| {
        let mut panels = chart.panels.iter();
        panels.any(|panel| !panel.values(report, peer).is_empty())
    };
    if !PEERS.iter().any(|peer| present(peer)) {
        return Ok(());
    }
    let root = SVGBackend::new(path, chart.size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(chart.title, (16, 12), style(23)))?;
    // The legend is a line under the title, where no curve can be in its way.
    let mut left = 18;
    for (number, peer) in PEERS.iter().enumerate().filter(|(_, peer)| present(peer)) {
        let colour = COLOURS[number].filled();
        root.draw(&Rectangle::new([(left, 50), (left + 22, 64)], colour))?;
        let name = shown(peer);
        root.draw(&Text::new(name, (left + 28, 46), style(19)))?;
        left += 28 + 10 * name.len() as i32 + 24;
    }
    let below = root.margin(80, 4, 4, 8);
    let areas = below.split_evenly(chart.grid);
    for (panel, area) in chart.panels.iter().zip(&areas) {
        match panel.kind {
            Curves(across) => curves::draw(report, panel, across, area)?,
            Bars => bars::draw(report, panel, true, area)?,
            LinearBars => bars::draw(report, panel, false, area)?,
        }
    }
    root.present()?;
    Ok(())
}

/// As the legend calls it.
fn shown(peer: &'static str) -> &'static str {
    match peer {
        "go" => "Go",
        "threads" => "OS threads",
        "limit" => "limit, no scheduler",
        _ => peer,
    }
}
