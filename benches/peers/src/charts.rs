//! The charts, as SVG: curves for how costs grow, bars for the cost of one operation on each
//! runtime.
//!
//! They appear in documents that are read on white and on black: they have their own background,
//! and a style that makes it dark where the reader prefers that.

use std::path::Path;
use std::{fs, io};

use plotters::prelude::*;

use crate::report::Report;
use crate::rows::{PEERS, shown};

mod axis;
mod bars;
mod catalogue;
mod curves;
mod panel;

use catalogue::{CHARTS, Chart};
use panel::Kind::{Bars, Curves, Ratios};
use panel::{COLOURS, Drawn, style};

/// Draws the charts that have figures.
pub(crate) fn draw(report: &Report, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for chart in &CHARTS {
        let path = directory.join(chart.file);
        let drawn = one(report, chart, &path);
        if drawn.map_err(|error| io::Error::other(error.to_string()))? {
            fs::write(&path, themed(&fs::read_to_string(&path)?))?;
        }
    }
    Ok(())
}

/// Draws a chart, if it has figures.
fn one(report: &Report, chart: &Chart, path: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let present = |peer: &str| {
        let mut panels = chart.panels.iter();
        let is_shown = peer != "limit" || chart.bare.is_some();
        is_shown && panels.any(|panel| !panel.values(report, peer).is_empty())
    };
    let peers: Vec<usize> = (0..PEERS.len())
        .filter(|number| present(PEERS[*number]))
        .collect();
    if peers.is_empty() {
        return Ok(false);
    }
    let root = SVGBackend::new(path, chart.size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(chart.title, (16, 12), style(23)))?;
    // The legend is a line under the title, where no curve overlaps it.
    let mut left = 18;
    for number in &peers {
        let colour = COLOURS[*number].filled();
        root.draw(&Rectangle::new([(left, 50), (left + 18, 64)], colour))?;
        let name = match (PEERS[*number], chart.bare) {
            ("limit", Some(bare)) => bare,
            (peer, _) => shown(peer),
        };
        root.draw(&Text::new(name, (left + 24, 47), style(17)))?;
        left += 24 + 7 * name.len() as i32 + 26;
    }
    let below = root.margin(80, 4, 4, 8);
    let areas = below.split_evenly(chart.grid);
    for (panel, area) in chart.panels.iter().zip(&areas) {
        let drawn: Drawn = match panel.kind {
            Curves(across) => curves::draw(report, panel, across, &peers, area),
            Ratios => bars::draw(report, panel, true, &peers, area),
            Bars => bars::draw(report, panel, false, &peers, area),
        };
        drawn?;
    }
    root.present()?;
    Ok(true)
}

/// Returns the chart with a style for dark pages. The colours are those of `panel.rs`.
fn themed(svg: &str) -> String {
    const DARK: &str = "\n<style>@media (prefers-color-scheme: dark) {\n\
        rect[fill=\"#FFFFFF\"] { fill: #0D1117 }\n\
        text[fill=\"#1E1E1E\"] { fill: #E6EDF3 }\n\
        text[fill=\"#D62728\"] { fill: #FF7B72 }\n\
        polyline[stroke=\"#D7D7D7\"] { stroke: #30363D }\n\
        polyline[stroke=\"#787878\"] { stroke: #8B949E }\n\
        }</style>";
    let head = svg.find('>').map_or(0, |end| end + 1);
    format!("{}{DARK}{}", &svg[..head], &svg[head..])
}
