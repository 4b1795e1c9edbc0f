//! Bars in groups, one group for each row of the table.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::panel::{Area, COLOURS, Drawn, LEFT, Panel, TOP, caption, style};
use crate::report::Report;
use crate::rows::PEERS;
use crate::table::significant;

pub(super) fn draw(report: &Report, panel: &Panel, logarithmic: bool, area: &Area<'_>) -> Drawn {
    let Some((low, high)) = panel.bounds(report) else {
        return Ok(());
    };
    let (width, height) = area.dim_in_pixel();
    let (right, bottom) = (width as i32 - 24, height as i32 - 40);
    let axis = Axis {
        // A bar of the lowest value has to be seen as well.
        low: if logarithmic { low / 1.6 } else { 0.0 },
        high: if logarithmic { high * 1.6 } else { high * 1.12 },
        logarithmic,
        pixels: (bottom, TOP),
    };
    caption(area, panel.title)?;
    axis.draw_upright(area, right)?;
    let values: Vec<_> = PEERS
        .iter()
        .map(|peer| panel.values(report, peer))
        .collect();
    let value = |peer: usize, group: usize| {
        let found = values[peer].iter().find(|(number, _)| *number == group);
        found.map(|(_, value)| *value)
    };
    let groups: Vec<usize> = (0..panel.points.len())
        .filter(|group| (0..PEERS.len()).any(|peer| value(peer, *group).is_some()))
        .collect();
    let room = (right - LEFT) / groups.len() as i32;
    for (place, group) in groups.into_iter().enumerate() {
        // Who has no bar takes no room.
        let own: Vec<_> = (0..PEERS.len())
            .filter_map(|peer| Some((peer, value(peer, group)?)))
            .collect();
        let middle = LEFT + room * place as i32 + room / 2;
        let bar = ((room - 24) / own.len() as i32).min(46);
        let first = middle - bar * own.len() as i32 / 2;
        for (n, (peer, value)) in own.iter().enumerate() {
            let left = first + bar * n as i32;
            let top = axis.at(*value);
            let colour = COLOURS[*peer].filled();
            area.draw(&Rectangle::new(
                [(left, top), (left + bar - 2, bottom)],
                colour,
            ))?;
        }
        // To the left, where no bar is in its way.
        if let Some((0, ours)) = own.first() {
            let font = ("sans-serif", 15, FontStyle::Bold).into_font();
            let text = font.color(&COLOURS[0]);
            let text = text.pos(Pos::new(HPos::Right, VPos::Bottom));
            let place = (first + bar - 2, axis.at(*ours) - 4);
            area.draw(&Text::new(significant(*ours), place, text))?;
        }
        let text = style(17).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(
            panel.points[group].1,
            (middle, bottom + 10),
            text,
        ))?;
    }
    area.draw(&PathElement::new(
        [(LEFT, bottom), (right, bottom)],
        RGBColor(120, 120, 120),
    ))?;
    Ok(())
}
