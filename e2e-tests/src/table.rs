//! Numbers, printed so that they can be compared by eye.

use std::io::{self, Write as _};
use std::time::Duration;

/// Times of one contestant.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The time that this share of the samples stayed below, in microseconds.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let index = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e6)
    }
}

/// Prints a table: the first column to the left, all others to the right.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(title: &str, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    writeln!(out, "\n{title}")?;
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| match column {
                0 => format!("{cell:<0$}", width(0)),
                _ => format!("{cell:>0$}", width(column)),
            })
            .collect();
        writeln!(out, "  {}", cells.join("   ").trim_end())?;
    }
    Ok(())
}
