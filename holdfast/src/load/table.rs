//! Tables for people: columns as wide as they must be, numbers to the right.

use std::fmt::Write;
use std::time::Duration;

/// Which side a column keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Side)]) -> Self {
        let heading = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let columns = columns.iter().map(|(_, side)| *side).collect();
        Self {
            columns,
            rows: vec![heading],
        }
    }

    /// Adds a row, with one cell per column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has one cell per column");
        self.rows.push(cells.into());
    }

    /// The table as lines of text, a rule under the heading.
    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            let widths = self.rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            push_line(&mut text, &self.columns, &widths, row);
            if number == 0 {
                let rule: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
                push_line(&mut text, &self.columns, &widths, &rule);
            }
        }
        text
    }
}

/// Milliseconds with one digit behind the point.
pub(crate) fn milliseconds(duration: Duration) -> String {
    let tenths = duration.as_micros() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn push_line(text: &mut String, columns: &[Side], widths: &[usize], cells: &[String]) {
    let mut line = String::new();
    for ((cell, width), side) in cells.iter().zip(widths).zip(columns) {
        // Writing into a string cannot fail.
        let _ = match side {
            Side::Left => write!(line, "{cell:<width$}  "),
            Side::Right => write!(line, "{cell:>width$}  "),
        };
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("what", Side::Left), ("µs", Side::Right)]);
        table.row(["decide".to_owned(), "18".to_owned()]);
        assert_eq!(table.render(), "what    µs\n──────  ──\ndecide  18\n");
    }
}
