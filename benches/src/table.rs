//! A table for people, that Markdown takes too.

use std::fmt;

/// Rows of text under a heading. All but the first columns are figures, and stand to the right.
#[derive(Clone, Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
    /// How many columns stand to the left.
    names: usize,
}

impl Table {
    /// With no rows yet. The first `names` columns are words.
    pub fn new(heading: &[&str], names: usize) -> Self {
        Self { heading: heading.iter().map(ToString::to_string).collect(), rows: Vec::new(), names }
    }

    /// Adds a row; what it lacks of cells stays empty.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().chain([&self.heading]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn write_row(&self, formatter: &mut fmt::Formatter<'_>, row: &[String]) -> fmt::Result {
        for column in 0..self.heading.len() {
            let (cell, width) = (row.get(column).map_or("", String::as_str), self.width(column));
            if column < self.names {
                write!(formatter, "| {cell:<width$} ")?;
            } else {
                write!(formatter, "| {cell:>width$} ")?;
            }
        }
        writeln!(formatter, "|")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_row(formatter, &self.heading)?;
        for column in 0..self.heading.len() {
            let dashes = "-".repeat(self.width(column));
            let right = if column < self.names { "-" } else { ":" };
            write!(formatter, "|-{dashes}{right}")?;
        }
        writeln!(formatter, "|")?;
        self.rows.iter().try_for_each(|row| self.write_row(formatter, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["what", "µs"], 1);
        table.push(vec!["one message".into(), "3.80".into()]);
        table.push(vec!["none".into()]);
        let expected = "\
            | what        |   µs |\n\
            |-------------|-----:|\n\
            | one message | 3.80 |\n\
            | none        |      |\n";
        assert_eq!(table.to_string(), expected);
    }
}
