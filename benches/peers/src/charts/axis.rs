//! Axes, drawn by hand: many round figures over few decades, powers of ten over many.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::panel::{Area, Drawn, GRID, LEFT, TOP, style, tick};

/// Maps values to pixels.
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) logarithmic: bool,
    /// The pixel of the lowest value, and of the highest.
    pub(super) pixels: (i32, i32),
}

impl Axis {
    pub(super) fn at(&self, value: f64) -> i32 {
        let part = if self.logarithmic {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let (from, to) = self.pixels;
        from + ((to - from) as f64 * part).round() as i32
    }

    /// Returns round values on the axis.
    fn ticks(&self) -> Vec<f64> {
        let inside = |value: &f64| (self.low * 0.999..=self.high * 1.001).contains(value);
        if !self.logarithmic {
            let rough = (self.high - self.low) / 6.0;
            let power = 10_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
            let step = step.into_iter().find(|step| *step >= rough);
            let step = step.unwrap_or(rough);
            return (0..20).map(|n| n as f64 * step).filter(inside).collect();
        }
        let decades = (self.high / self.low).log10();
        let between: &[f64] = match decades {
            one if one < 1.1 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
            few if few < 2.2 => &[1.0, 2.0, 5.0],
            some if some < 3.5 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = self.low.log10().floor() as i32;
        let powers = (first..first + 12).map(|power| 10_f64.powi(power));
        let all = powers.flat_map(|power| between.iter().map(move |n| n * power));
        all.filter(inside).collect()
    }

    /// Draws horizontal lines, and labels with a unit at the left.
    pub(super) fn draw_upright(&self, area: &Area<'_>, right: i32, unit: &str) -> Drawn {
        let text = style(17).pos(Pos::new(HPos::Right, VPos::Center));
        for value in self.ticks() {
            let y = self.at(value);
            area.draw(&PathElement::new([(LEFT, y), (right, y)], GRID))?;
            let label = format!("{}{unit}", tick(value));
            area.draw(&Text::new(label, (LEFT - 8, y), text.clone()))?;
        }
        Ok(())
    }

    /// Draws vertical lines, labels below, and the name of the axis.
    pub(super) fn draw_level(&self, area: &Area<'_>, bottom: i32, name: &str) -> Drawn {
        let text = style(17).pos(Pos::new(HPos::Center, VPos::Top));
        for value in self.ticks() {
            let x = self.at(value);
            area.draw(&PathElement::new([(x, TOP), (x, bottom)], GRID))?;
            area.draw(&Text::new(tick(value), (x, bottom + 8), text.clone()))?;
        }
        let middle = (self.pixels.0 + self.pixels.1) / 2;
        let text = style(18).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(name.to_owned(), (middle, bottom + 30), text))?;
        Ok(())
    }
}
