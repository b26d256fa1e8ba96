//! A table for people that is Markdown too: [`Table`].

use std::fmt;

/// Rows of text under a heading. The first columns are words, aligned left; the others are figures, aligned right.
#[derive(Clone, Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
    words: usize,
}

impl Table {
    /// A table without rows. The first `words` columns are words.
    pub fn new(heading: &[&str], words: usize) -> Self {
        Self { heading: heading.iter().map(ToString::to_string).collect(), rows: Vec::new(), words }
    }

    /// Adds a row. Missing cells at its end stay empty.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().chain([&self.heading]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn write_row(&self, formatter: &mut fmt::Formatter<'_>, row: &[String]) -> fmt::Result {
        for column in 0..self.heading.len() {
            let (cell, width) = (row.get(column).map_or("", String::as_str), self.width(column));
            if column < self.words {
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
            let right = if column < self.words { "-" } else { ":" };
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
