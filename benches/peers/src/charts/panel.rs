//! One coordinate system: what it shows, and what all of them look like.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::Report;
use crate::rows::PEERS;

/// A colour for each peer, the same in all charts; ours is the strong one.
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(214, 39, 40),
    RGBColor(31, 90, 170),
    RGBColor(110, 170, 230),
    RGBColor(60, 150, 70),
    RGBColor(150, 90, 170),
    RGBColor(0, 165, 175),
    RGBColor(150, 130, 110),
    RGBColor(90, 90, 90),
];

/// One coordinate system.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) metric: &'static str,
    /// A key, a label under the bars, and a place on the axis for curves.
    pub(super) points: &'static [(&'static str, &'static str, f64)],
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Over a logarithmic axis of this name.
    Curves(&'static str),
    /// On a logarithmic scale, because OS threads are a hundred times dearer than the rest.
    Bars,
    /// From zero up.
    LinearBars,
}

pub(super) type Drawn = Result<(), Box<dyn Error>>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What a panel leaves around its coordinates.
pub(super) const LEFT: i32 = 72;
pub(super) const TOP: i32 = 40;

/// Dark letters of this size.
pub(super) fn style(size: i32) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font();
    font.color(&RGBColor(30, 30, 30))
}

/// The title of a panel.
pub(super) fn caption(area: &Area<'_>, title: &str) -> Drawn {
    Ok(area.draw(&Text::new(title.to_owned(), (LEFT, 8), style(19)))?)
}

impl Panel {
    /// The values of a peer, with the number of the point.
    pub(super) fn values(&self, report: &Report, peer: &str) -> Vec<(usize, f64)> {
        let points = self.points.iter().enumerate();
        points
            .filter_map(|(number, (row, _, _))| {
                let value = report.median(row, self.metric, peer)?;
                (value > 0.0).then_some((number, value))
            })
            .collect()
    }

    /// The lowest and the highest of all.
    pub(super) fn bounds(&self, report: &Report) -> Option<(f64, f64)> {
        let values = PEERS.iter().flat_map(|peer| self.values(report, peer));
        values.fold(None, |bounds, (_, value)| {
            let (low, high) = bounds.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
    }
}

/// A figure at an axis: no more digits than it needs.
pub(super) fn tick(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", (value / 1e6 * 10.0).round() / 10.0)
    } else if value >= 1e4 {
        format!("{}k", (value / 1e3 * 10.0).round() / 10.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}
