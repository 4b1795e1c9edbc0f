//! Curves over a logarithmic axis.

use plotters::prelude::*;

use super::axis::Axis;
use super::panel::{Area, COLOURS, Drawn, LEFT, Panel, TOP, caption};
use crate::report::Report;
use crate::rows::PEERS;

pub(super) fn draw(
    report: &Report,
    panel: &Panel,
    across: &str,
    peers: &[usize],
    area: &Area<'_>,
) -> Drawn {
    let Some((low, high)) = panel.bounds(report, peers) else {
        return Ok(());
    };
    let (width, height) = area.dim_in_pixel();
    let (right, bottom) = (width as i32 - 24, height as i32 - 62);
    let at = |number: usize| panel.points[number].at;
    let level = Axis {
        low: at(0),
        high: at(panel.points.len() - 1),
        logarithmic: true,
        pixels: (LEFT + 12, right - 8),
    };
    let upright = Axis {
        low: low / 1.25,
        high: high * 1.25,
        logarithmic: true,
        pixels: (bottom, TOP),
    };
    caption(area, panel.title)?;
    level.draw_level(area, bottom, across)?;
    upright.draw_upright(area, right, "")?;
    // rustlet is last, so that its curve lies above the others.
    for &number in peers.iter().rev() {
        let values = panel.values(report, PEERS[number]).into_iter();
        let points: Vec<_> = values
            .map(|(n, value)| (level.at(at(n)), upright.at(value)))
            .collect();
        let colour = COLOURS[number];
        let (stroke, size) = if number == 0 { (4, 6) } else { (2, 4) };
        for point in &points {
            area.draw(&Circle::new(*point, size, colour.filled()))?;
        }
        area.draw(&PathElement::new(points, colour.stroke_width(stroke)))?;
    }
    Ok(())
}
