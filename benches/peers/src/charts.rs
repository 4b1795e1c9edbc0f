//! The charts, as SVG: bars for what one operation costs on each runtime, curves for how costs grow.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

use plotters::prelude::*;

use crate::report::Report;
use crate::rows::PEERS;

/// A colour for each peer, the same in all charts; ours is the strong one.
const COLOURS: [RGBColor; 8] = [
    RGBColor(200, 60, 20),
    RGBColor(70, 110, 180),
    RGBColor(140, 175, 220),
    RGBColor(110, 160, 110),
    RGBColor(170, 120, 180),
    RGBColor(80, 180, 190),
    RGBColor(150, 150, 150),
    RGBColor(60, 60, 60),
];

struct Bars {
    file: &'static str,
    title: &'static str,
    metric: &'static str,
    groups: &'static [(&'static str, &'static str)],
}

const BARS: [Bars; 5] = [
    Bars {
        file: "switching.svg",
        title: "Scheduling on one core: ns each, less is better",
        metric: "ns",
        groups: &[
            ("yield-2", "yield, 2"),
            ("yield-1k", "yield, 1,000"),
            ("yield-100k", "yield, 100,000"),
            ("spawn-1", "spawn + join"),
            ("spawn-100k", "spawn 100,000"),
        ],
    },
    Bars {
        file: "channels.svg",
        title: "Channels and locks on one core: ns each, less is better",
        metric: "ns",
        groups: &[
            ("pingpong", "round trip"),
            ("mpsc", "4 to 1"),
            ("mpmc", "4 to 4"),
            ("mutex", "mutex"),
            ("rwlock", "rwlock"),
        ],
    },
    Bars {
        file: "channels-w2.svg",
        title: "Channels and locks on two cores: ns each, less is better",
        metric: "ns",
        groups: &[
            ("pingpong-w2", "round trip"),
            ("mpsc-w2", "4 to 1"),
            ("mpmc-w2", "4 to 4"),
            ("mutex-w2", "mutex"),
            ("rwlock-w2", "rwlock"),
        ],
    },
    Bars {
        file: "echo.svg",
        title: "Servers on one core: CPU µs per request, less is better",
        metric: "CPU µs per request",
        groups: &[
            ("echo-100", "echo, 100"),
            ("echo-1k", "echo, 1,000"),
            ("echo-10k", "echo, 10,000"),
            ("echo-limited", "time limits"),
            ("http-100", "HTTP, 100"),
        ],
    },
    Bars {
        file: "memory.svg",
        title: "A waiting thread: bytes of memory, less is better",
        metric: "bytes each",
        groups: &[
            ("parked-10k", "10,000"),
            ("parked-100k", "100,000"),
            ("parked-1m", "1,000,000"),
        ],
    },
];

struct Curves {
    file: &'static str,
    title: &'static str,
    across: &'static str,
    metric: &'static str,
    points: &'static [(&'static str, f64)],
}

const CURVES: [Curves; 2] = [
    Curves {
        file: "yield-growth.svg",
        title: "A yield, by the number of threads: ns",
        across: "threads",
        metric: "ns",
        points: &[
            ("yield-2", 2.0),
            ("yield-10", 10.0),
            ("yield-100", 100.0),
            ("yield-1k", 1e3),
            ("yield-10k", 1e4),
            ("yield-100k", 1e5),
            ("yield-1m", 1e6),
        ],
    },
    Curves {
        file: "echo-growth.svg",
        title: "An echo, by the number of connections: CPU µs per request",
        across: "connections",
        metric: "CPU µs per request",
        points: &[
            ("echo-1", 1.0),
            ("echo-100", 100.0),
            ("echo-1k", 1e3),
            ("echo-10k", 1e4),
        ],
    },
];

type Drawn = Result<(), Box<dyn Error>>;

/// Draws those charts for which there are figures.
pub(crate) fn draw(report: &Report, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for chart in &BARS {
        bars(report, chart, &directory.join(chart.file)).map_err(text)?;
    }
    for chart in &CURVES {
        curves(report, chart, &directory.join(chart.file)).map_err(text)?;
    }
    Ok(())
}

fn text(error: Box<dyn Error>) -> io::Error {
    io::Error::other(error.to_string())
}

/// On a logarithmic scale, because OS threads are a hundred times dearer than the rest.
fn bars(report: &Report, chart: &Bars, path: &Path) -> Drawn {
    let value = |row, peer| report.median(row, chart.metric, peer);
    let groups: Vec<_> = chart
        .groups
        .iter()
        .filter(|(row, _)| PEERS.iter().any(|peer| value(row, peer).is_some()))
        .collect();
    let all: Vec<f64> = groups
        .iter()
        .flat_map(|(row, _)| PEERS.iter().filter_map(|peer| value(row, peer)))
        .filter(|value| *value > 0.0)
        .collect();
    let Some((low, high)) = bounds(&all) else {
        return Ok(());
    };
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let width = PEERS.len() as f64 + 2.0;
    let mut area = ChartBuilder::on(&root)
        .caption(chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..groups.len() as f64 * width, (low..high).log_scale())?;
    area.configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|value| crate::table::significant(*value))
        .draw()?;
    for (number, peer) in PEERS.iter().enumerate() {
        let colour = COLOURS[number];
        let drawn = groups.iter().enumerate().filter_map(|(group, (row, _))| {
            let left = group as f64 * width + 1.0 + number as f64;
            let top = value(row, peer)?;
            Some(Rectangle::new(
                [(left, low), (left + 0.9, top)],
                colour.filled(),
            ))
        });
        area.draw_series(drawn)?
            .label(*peer)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    for (group, (_, label)) in groups.iter().enumerate() {
        let middle = area.backend_coord(&((group as f64 + 0.5) * width, low));
        let style =
            ("sans-serif", 14)
                .into_text_style(&root)
                .pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Center,
                    plotters::style::text_anchor::VPos::Top,
                ));
        root.draw(&Text::new(*label, (middle.0, middle.1 + 8), style))?;
    }
    area.configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    root.present()?;
    Ok(())
}

fn curves(report: &Report, chart: &Curves, path: &Path) -> Drawn {
    let line = |peer: &str| -> Vec<(f64, f64)> {
        chart
            .points
            .iter()
            .filter_map(|(row, at)| Some((*at, report.median(row, chart.metric, peer)?)))
            .collect()
    };
    let all: Vec<f64> = PEERS
        .iter()
        .flat_map(|peer| line(peer).into_iter().map(|(_, value)| value))
        .collect();
    let Some((low, high)) = bounds(&all) else {
        return Ok(());
    };
    let (first, last) = (chart.points[0].1, chart.points[chart.points.len() - 1].1);
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut area = ChartBuilder::on(&root)
        .caption(chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((first..last).log_scale(), (low..high).log_scale())?;
    area.configure_mesh()
        .x_desc(chart.across)
        .x_label_formatter(&|value| crate::table::significant(*value))
        .y_label_formatter(&|value| crate::table::significant(*value))
        .draw()?;
    for (number, peer) in PEERS.iter().enumerate() {
        let colour = COLOURS[number];
        let points = line(peer);
        if points.is_empty() {
            continue;
        }
        let stroke = colour.stroke_width(if number == 0 { 3 } else { 2 });
        area.draw_series(LineSeries::new(points.iter().copied(), stroke).point_size(3))?
            .label(*peer)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], stroke));
    }
    area.configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    root.present()?;
    Ok(())
}

/// Whole powers of ten around the values.
fn bounds(values: &[f64]) -> Option<(f64, f64)> {
    let low = values
        .iter()
        .copied()
        .filter(|value| *value > 0.0)
        .min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    // Half a power more at the top, for the legend.
    Some((
        10_f64.powf(low.log10().floor()),
        10_f64.powf(high.log10() + 0.6),
    ))
}
