//! One coordinate system: its content, and the style that all of them share.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::Report;
use crate::rows::PEERS;

/// A colour for each peer, the same in all charts, readable on white and on black; rustlet's is the
/// strong one.
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(214, 39, 40),
    RGBColor(47, 111, 196),
    RGBColor(110, 170, 230),
    RGBColor(60, 150, 70),
    RGBColor(164, 95, 189),
    RGBColor(0, 165, 175),
    RGBColor(160, 135, 110),
    RGBColor(128, 128, 128),
];

/// Colours of text, lines and the background; a dark page replaces them.
pub(super) const TEXT: RGBColor = RGBColor(30, 30, 30);
pub(super) const GRID: RGBColor = RGBColor(215, 215, 215);
pub(super) const ZERO: RGBColor = RGBColor(120, 120, 120);

/// One coordinate system.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) points: &'static [Point],
    pub(super) kind: Kind,
}

/// A group of bars, or a position on the axis of curves.
pub(super) struct Point {
    /// The key of a row.
    pub(super) row: &'static str,
    /// The metrics of that row, which are summed.
    pub(super) metrics: &'static [&'static str],
    /// The label under the bars.
    pub(super) label: &'static str,
    /// The position on the axis, for curves.
    pub(super) at: f64,
}

pub(super) enum Kind {
    /// Curves over a logarithmic axis of this name.
    Curves(&'static str),
    /// Bars from zero up, in multiples of rustlet's, which is shown in its unit.
    Ratios,
    /// Bars from zero up.
    Bars,
}

pub(super) type Drawn = Result<(), Box<dyn Error>>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Margins of a panel around its coordinates.
pub(super) const LEFT: i32 = 72;
pub(super) const TOP: i32 = 40;

pub(super) const fn bars(
    row: &'static str,
    metrics: &'static [&'static str],
    label: &'static str,
) -> Point {
    Point {
        row,
        metrics,
        label,
        at: 0.0,
    }
}

pub(super) const fn at(row: &'static str, metrics: &'static [&'static str], at: f64) -> Point {
    Point {
        row,
        metrics,
        label: "",
        at,
    }
}

/// Returns a text style of this size.
pub(super) fn style(size: i32) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font();
    font.color(&TEXT)
}

/// Draws the title of a panel.
pub(super) fn caption(area: &Area<'_>, title: &str) -> Drawn {
    Ok(area.draw(&Text::new(title.to_owned(), (LEFT, 8), style(19)))?)
}

impl Point {
    /// Returns the value of a peer: the sum of all its metrics, or none.
    pub(super) fn value(&self, report: &Report, peer: &str) -> Option<f64> {
        let metrics = self.metrics.iter();
        let sum: f64 = metrics
            .map(|metric| report.median(self.row, metric, peer))
            .sum::<Option<f64>>()?;
        (sum > 0.0).then_some(sum)
    }

    /// Returns the unit of the metric: its first word that is a unit.
    pub(super) fn unit(&self) -> &'static str {
        let words = self.metrics[0].split(' ');
        let mut units = words.filter(|word| ["ns", "µs", "ms", "bytes"].contains(word));
        units.next().unwrap_or_default()
    }
}

impl Panel {
    /// Returns the values of a peer, with the number of the point.
    pub(super) fn values(&self, report: &Report, peer: &str) -> Vec<(usize, f64)> {
        let points = self.points.iter().enumerate();
        points
            .filter_map(|(number, point)| Some((number, point.value(report, peer)?)))
            .collect()
    }

    /// Returns the lowest and the highest value of these peers.
    pub(super) fn bounds(&self, report: &Report, peers: &[usize]) -> Option<(f64, f64)> {
        let values = peers
            .iter()
            .flat_map(|peer| self.values(report, PEERS[*peer]));
        values.fold(None, |bounds, (_, value)| {
            let (low, high) = bounds.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
    }
}

/// Formats a figure at an axis with no more digits than it needs.
pub(super) fn tick(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", (value / 1e6 * 10.0).round() / 10.0)
    } else if value >= 1e4 {
        format!("{}k", (value / 1e3 * 10.0).round() / 10.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}
