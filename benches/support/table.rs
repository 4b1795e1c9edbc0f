//! The table at the end of a benchmark, and its figures.

/// Rows of text, aligned in columns: the first to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Table {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Table { rows: vec![head] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Markdown, so that the terminal's output can go into a document unchanged.
    pub(crate) fn print(&self) {
        let columns = self.rows[0].len();
        let cells = |column: usize| self.rows.iter().map(move |row| row[column].chars().count());
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).max().unwrap_or(0))
            .collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = format!("| {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                line += &format!(" | {cell:>width$}");
            }
            println!("{line} |");
            if number == 0 {
                let rule = |width: &usize| "-".repeat(*width + 1);
                let rules: Vec<String> = widths.iter().skip(1).map(rule).collect();
                println!("|-{}|{}:|", "-".repeat(widths[0] + 1), rules.join(":|"));
            }
        }
    }
}

/// The median of some figures and their spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// Half the distance between the quartiles, as a fraction of the median.
    pub(crate) spread: f64,
}

impl Summary {
    /// Returns `None` if there are no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Summary> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Interpolates between two neighbours, so that few figures do not make the result jump.
        let at = |part: f64| {
            let place = part * (sorted.len() - 1) as f64;
            let (low, high) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            low + (high - low) * place.fract()
        };
        if sorted.is_empty() {
            return None;
        }
        let median = at(0.5);
        Some(Summary {
            median,
            spread: if median == 0.0 {
                0.0
            } else {
                (at(0.75) - at(0.25)) / 2.0 / median
            },
        })
    }
}

/// Formats the median of some figures, or a dash if there are none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    Summary::of(figures).map(|summary| summary.median)
}

/// Formats as `1234.5 ± 3 %`, or a dash if nothing was measured.
pub(crate) fn with_spread(summary: Option<Summary>) -> String {
    summary.map_or("–".into(), |s| {
        format!("{} ±{:.0}%", significant(s.median), s.spread * 100.0)
    })
}

/// Formats with three digits and a thousands separator.
pub(crate) fn significant(figure: f64) -> String {
    match figure.abs() {
        a if a < 9.995 => format!("{figure:.2}"),
        a if a < 99.95 => format!("{figure:.1}"),
        _ => thousands(figure.round() as u64),
    }
}

/// Formats `a / b` as `1.23×`, or a dash if one is missing.
pub(crate) fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if b != 0.0 => format!("{}×", significant(a / b)),
        _ => "–".into(),
    }
}

/// Formats 1234567 as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
