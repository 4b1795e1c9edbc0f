//! The charts and their content.

use super::panel::Kind::{Bars, Curves, Ratios};
use super::panel::{Panel, Point, at, bars};

pub(super) struct Chart {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    /// Meaning of `limit` in this chart, if it is shown: no runtime, but a bare loop without a
    /// scheduler.
    pub(super) bare: Option<&'static str>,
    pub(super) size: (u32, u32),
    /// Number of rows and columns of panels.
    pub(super) grid: (usize, usize),
    pub(super) panels: &'static [Panel],
}

const NS: &[&str] = &["ns"];
const CPU: &[&str] = &["CPU µs per request"];
const BYTES: &[&str] = &["bytes each", "page-table bytes each"];

const COROUTINES: Option<&str> = Some("bare coroutines");
const EPOLL: Option<&str> = Some("bare epoll loop");

pub(super) const CHARTS: [Chart; 7] = [
    Chart {
        file: "overview.svg",
        title: "Costs, as multiples of rustlet's: lower is better",
        bare: None,
        size: (1000, 470),
        grid: (1, 1),
        panels: &[Panel {
            title: "under each group: what rustlet takes",
            points: &[
                bars("yield-1k", NS, "yield, 1,000"),
                bars("spawn-1", NS, "spawn + join"),
                bars("pingpong", NS, "channel"),
                bars("mutex-w2", NS, "mutex, 2 cores"),
                bars("skynet-1m", NS, "skynet, 2 cores"),
                bars("echo-1k", CPU, "echo, 1,000"),
                bars("http-100", CPU, "HTTP, 100"),
                bars("parked-1m", BYTES, "memory, 1M"),
            ],
            kind: Ratios,
        }],
    },
    Chart {
        file: "growth.svg",
        title: "How costs grow with the number of threads, one core: ns each, lower is better",
        bare: COROUTINES,
        size: (1000, 860),
        grid: (2, 2),
        panels: &[
            Panel {
                title: "yield (both axes logarithmic)",
                points: &[
                    at("yield-2", NS, 2.0),
                    at("yield-10", NS, 10.0),
                    at("yield-100", NS, 100.0),
                    at("yield-1k", NS, 1e3),
                    at("yield-10k", NS, 1e4),
                    at("yield-100k", NS, 1e5),
                    at("yield-1m", NS, 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "spawn, then join",
                points: &[
                    at("spawn-1", NS, 1.0),
                    at("spawn-10", NS, 10.0),
                    at("spawn-100", NS, 100.0),
                    at("spawn-1k", NS, 1e3),
                    at("spawn-10k", NS, 1e4),
                    at("spawn-100k", NS, 1e5),
                    at("spawn-1m", NS, 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "wake one parked thread",
                points: &[
                    at("wake-10", NS, 10.0),
                    at("wake-100", NS, 100.0),
                    at("wake-1k", NS, 1e3),
                    at("wake-10k", NS, 1e4),
                    at("wake-100k", NS, 1e5),
                    at("wake-1m", NS, 1e6),
                ],
                kind: Curves("threads"),
            },
            Panel {
                title: "the same, parked with a time limit",
                points: &[
                    at("timer-10", NS, 10.0),
                    at("timer-100", NS, 100.0),
                    at("timer-1k", NS, 1e3),
                    at("timer-10k", NS, 1e4),
                    at("timer-100k", NS, 1e5),
                    at("timer-1m", NS, 1e6),
                ],
                kind: Curves("threads"),
            },
        ],
    },
    Chart {
        file: "echo-growth.svg",
        title: "An echo server on one core, by the number of connections: lower is better",
        bare: EPOLL,
        size: (1000, 480),
        grid: (1, 2),
        panels: &[
            Panel {
                title: "CPU µs of the server per request (logarithmic)",
                points: &echo(CPU),
                kind: Curves("connections"),
            },
            Panel {
                title: "99 in 100 answered within, µs",
                points: &echo(&["p99 µs"]),
                kind: Curves("connections"),
            },
        ],
    },
    Chart {
        file: "switching.svg",
        title: "Yield and spawn, as multiples of rustlet's: lower is better",
        bare: COROUTINES,
        size: (1000, 470),
        grid: (1, 1),
        panels: &[Panel {
            title: "one core unless noted; spawn: and join; under each group: what rustlet takes",
            points: &[
                bars("yield-2", NS, "yield, 2"),
                bars("yield-1k", NS, "yield, 1,000"),
                bars("yield-100k", NS, "yield, 100k"),
                bars("spawn-1", NS, "spawn 1"),
                bars("spawn-1-w2", NS, "spawn 1, 2 cores"),
                bars("spawn-100k", NS, "spawn 100k"),
                bars("spawn-100k-w2", NS, "100k, 2 cores"),
            ],
            kind: Ratios,
        }],
    },
    Chart {
        file: "channels.svg",
        title: "Channels and locks, as multiples of rustlet's: lower is better",
        bare: None,
        size: (1000, 840),
        grid: (2, 1),
        panels: &[
            Panel {
                title: "one core; under each group: what rustlet takes",
                points: &[
                    bars("pingpong", NS, "round trip"),
                    bars("mpsc", NS, "4 to 1"),
                    bars("mpmc", NS, "4 to 4"),
                    bars("mutex", NS, "mutex"),
                    bars("rwlock", NS, "rwlock"),
                ],
                kind: Ratios,
            },
            Panel {
                title: "two cores",
                points: &[
                    bars("pingpong-w2", NS, "round trip"),
                    bars("mpsc-w2", NS, "4 to 1"),
                    bars("mpmc-w2", NS, "4 to 4"),
                    bars("mutex-w2", NS, "mutex"),
                    bars("rwlock-w2", NS, "rwlock"),
                ],
                kind: Ratios,
            },
        ],
    },
    Chart {
        file: "servers.svg",
        title: "Servers on one core: CPU µs of the server per request, lower is better",
        bare: EPOLL,
        size: (1000, 460),
        grid: (1, 1),
        panels: &[Panel {
            title: "echo of 64 bytes over loopback, and HTTP under wrk, by connections",
            points: &[
                bars("echo-100", CPU, "100"),
                bars("echo-1k", CPU, "1,000"),
                bars("echo-10k", CPU, "10,000"),
                bars("echo-limited", CPU, "100, time limits"),
                bars("http-100", CPU, "HTTP, 100"),
            ],
            kind: Bars,
        }],
    },
    Chart {
        file: "memory.svg",
        title: "Memory of a waiting thread: bytes, page tables included, lower is better",
        bare: COROUTINES,
        size: (1000, 460),
        grid: (1, 1),
        panels: &[Panel {
            title: "by the number of threads",
            points: &[
                bars("parked-10k", BYTES, "10,000"),
                bars("parked-100k", BYTES, "100,000"),
                bars("parked-1m", BYTES, "1,000,000"),
            ],
            kind: Bars,
        }],
    },
];

const fn echo(metrics: &'static [&'static str]) -> [Point; 4] {
    [
        at("echo-1", metrics, 1.0),
        at("echo-100", metrics, 100.0),
        at("echo-1k", metrics, 1e3),
        at("echo-10k", metrics, 1e4),
    ]
}
