//! Plain tables: the first column to the left, numbers to the right.

use std::io::{self, Write};

/// Rows of equally many cells; the first row is the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    rows: Vec<Vec<String>>,
    ends_in_text: bool,
}

impl Columns {
    pub fn with_head(cells: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut columns = Columns::default();
        columns.push(cells);
        columns
    }

    /// The last column is text too, to the left.
    #[must_use]
    pub fn ending_in_text(self) -> Self {
        Columns { ends_in_text: true, ..self }
    }

    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|row| row.get(i)).map(|c| width(c)).max())
            .map(Option::unwrap_or_default)
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (i, (cell, &wide)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(wide - width(cell));
                match i {
                    0 => line.extend([cell.as_str(), &padding]),
                    i if self.ends_in_text && i + 1 == columns => {
                        line.extend(["  ", cell, &padding]);
                    }
                    _ => line.extend(["  ", &padding, cell.as_str()]),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Characters; the tables have none that are wide or combine.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned() {
        let mut columns = Columns::with_head(["command", "count", "p50 µs"]);
        columns.push(["GET", "1,234,567", "8.10"]);
        columns.push(["a longer title", "2", "-"]);
        let mut text = Vec::new();
        columns.print(&mut text).unwrap();
        let expected = "\
command             count  p50 µs
GET             1,234,567    8.10
a longer title          2       -
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
