//! Bars in groups, one group for each row of the table. Their lengths begin at zero.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::panel::{Area, COLOURS, Drawn, LEFT, Panel, TOP, ZERO, caption, style};
use crate::report::Report;
use crate::rows::PEERS;
use crate::table::significant;

/// A bar more than this many times as long as rustlet's is cut off, and its figure is written on
/// it.
const CUT: f64 = 8.0;

/// Draws the bars. With `ratios`, each group is drawn in multiples of rustlet's bar.
pub(super) fn draw(
    report: &Report,
    panel: &Panel,
    ratios: bool,
    peers: &[usize],
    area: &Area<'_>,
) -> Drawn {
    let Some((_, highest)) = panel.bounds(report, peers) else {
        return Ok(());
    };
    let (width, height) = area.dim_in_pixel();
    let (right, bottom) = (width as i32 - 24, height as i32 - 58);
    let axis = Axis {
        low: 0.0,
        high: if ratios { CUT } else { highest * 1.12 },
        logarithmic: false,
        pixels: (bottom, TOP + 26),
    };
    caption(area, panel.title)?;
    axis.draw_upright(area, right, if ratios { "×" } else { "" })?;
    let ours = |group: usize| panel.points[group].value(report, PEERS[0]);
    let value = |peer: usize, group: usize| {
        let value = panel.points[group].value(report, PEERS[peer])?;
        if ratios {
            Some(value / ours(group)?)
        } else {
            Some(value)
        }
    };
    let groups: Vec<usize> = (0..panel.points.len())
        .filter(|group| peers.iter().any(|peer| value(*peer, *group).is_some()))
        .collect();
    if groups.is_empty() {
        return Ok(());
    }
    let room = (right - LEFT) / groups.len() as i32;
    for (place, group) in groups.into_iter().enumerate() {
        // A peer without a figure takes no space.
        let bars: Vec<_> = peers
            .iter()
            .filter_map(|peer| Some((*peer, value(*peer, group)?)))
            .collect();
        let middle = LEFT + room * place as i32 + room / 2;
        let bar = ((room - 20) / bars.len() as i32).min(46);
        let first = middle - bar * bars.len() as i32 / 2;
        // Figures of cut bars that are close to each other are drawn at two heights.
        let mut last: Option<(usize, bool)> = None;
        for (n, (peer, value)) in bars.iter().enumerate() {
            let left = first + bar * n as i32;
            let top = axis.at(value.min(axis.high));
            let colour = COLOURS[*peer];
            let end = (left + bar - 2, bottom);
            area.draw(&Rectangle::new([(left, top), end], colour.filled()))?;
            if *value > axis.high {
                mark_as_cut(area, left, bar, top)?;
                let text = format!("{}×", shortly(*value));
                let centre = Pos::new(HPos::Center, VPos::Bottom);
                let is_raised = last.is_some_and(|(before, raised)| n - before <= 2 && !raised);
                last = Some((n, is_raised));
                let place = (left + bar / 2, top - if is_raised { 16 } else { 3 });
                area.draw(&Text::new(text, place, style(14).pos(centre)))?;
            }
        }
        let centre = Pos::new(HPos::Center, VPos::Top);
        let label = panel.points[group].label;
        area.draw(&Text::new(
            label,
            (middle, bottom + 8),
            style(17).pos(centre),
        ))?;
        if let Some(ours) = ours(group) {
            let font = ("sans-serif", 16, FontStyle::Bold).into_font();
            let text = font.color(&COLOURS[0]).pos(centre);
            let figure = format!("{} {}", significant(ours), panel.points[group].unit());
            area.draw(&Text::new(figure, (middle, bottom + 28), text))?;
        }
    }
    if ratios {
        let y = axis.at(1.0);
        area.draw(&PathElement::new([(LEFT, y), (right, y)], COLOURS[0]))?;
    }
    let zero = PathElement::new([(LEFT, bottom), (right, bottom)], ZERO.stroke_width(2));
    area.draw(&zero)?;
    Ok(())
}

/// Draws a gap near the upper end of a bar.
fn mark_as_cut(area: &Area<'_>, left: i32, bar: i32, top: i32) -> Drawn {
    let gap = [(left - 1, top + 10), (left + bar - 1, top + 14)];
    Ok(area.draw(&Rectangle::new(gap, WHITE.filled()))?)
}

/// Formats with two digits.
fn shortly(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        let unit = 10_f64.powf(value.log10().floor() - 1.0);
        format!("{}", (value / unit).round() * unit)
    }
}
