//! Tables for people: columns side by side where they fit, and a block of lines for each row where they don't.

use anstyle::Style;

use super::look::{Look, heading};
use super::plain::{WIDTH, plain, width, wrapped};

/// What stands between two columns.
const GAP: usize = 2;
/// The least room that a last column is wrapped in.
const LEAST: usize = 20;
/// How far the values of a block are set in at most.
const INSET: usize = 30;

/// A value with its colour.
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A table. Its cells hold nothing that a terminal would act on.
pub(super) struct Grid {
    header: Vec<String>,
    right: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: plain(&text), style: Style::new() }
    }
}

impl Cell {
    pub(super) fn styled(text: &str, style: Style) -> Self {
        Self { text: plain(text), style }
    }
}

impl Grid {
    pub(super) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|name| plain(name)).collect();
        Self { header, right: Vec::new(), rows: Vec::new() }
    }

    /// Aligns columns to the right.
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        self.right.extend(columns);
        self
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as columns, the last of them wrapped if need be, or else as blocks.
    pub(super) fn render(&self, look: &Look) -> String {
        let widths: Vec<usize> = (0..self.header.len()).map(|column| self.width_of(column)).collect();
        let Some((last, before)) = widths.split_last() else { return String::new() };
        let before = before.iter().map(|width| width + GAP).sum::<usize>();
        if before + last <= WIDTH {
            return self.columns(&widths, *last, look);
        }
        let room = WIDTH.saturating_sub(before);
        if room >= LEAST && self.longest_word() <= room {
            self.columns(&widths, room, look)
        } else {
            self.blocks(look)
        }
    }

    fn width_of(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(&cell.text));
        cells.chain([width(&self.header[column])]).max().unwrap_or_default()
    }

    /// The longest word of the last column.
    fn longest_word(&self) -> usize {
        let words = self.rows.iter().filter_map(|row| row.last()).flat_map(|cell| cell.text.split(' '));
        words.map(width).max().unwrap_or_default()
    }

    fn columns(&self, widths: &[usize], room: usize, look: &Look) -> String {
        let header: Vec<Cell> =
            self.header.iter().map(|name| Cell { text: name.clone(), style: heading() }).collect();
        let rows = std::iter::once(&header).chain(&self.rows);
        rows.map(|row| self.line(row, widths, room, look)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], room: usize, look: &Look) -> String {
        let mut text = String::new();
        let mut inset = 0;
        let Some((last, before)) = row.split_last() else { return text };
        for (column, cell) in before.iter().enumerate() {
            let fill = " ".repeat(widths[column].saturating_sub(width(&cell.text)));
            let painted = look.paint(cell.style, &cell.text);
            let both = if self.right.contains(&column) { [fill, painted] } else { [painted, fill] };
            text.push_str(&both.concat());
            text.push_str(&" ".repeat(GAP));
            inset += widths[column] + GAP;
        }
        for (index, part) in wrapped(&last.text, room).iter().enumerate() {
            if index > 0 {
                text.push('\n');
                text.push_str(&" ".repeat(inset));
            } else if self.right.contains(&before.len()) {
                text.push_str(&" ".repeat(widths[before.len()].min(room).saturating_sub(width(part))));
            }
            text.push_str(&look.paint(last.style, part));
        }
        format!("{}\n", text.trim_end())
    }

    /// A block for each row: a line for each column.
    pub(super) fn blocks(&self, look: &Look) -> String {
        let names = self.header.iter().map(|name| width(name)).filter(|width| *width <= INSET);
        let inset = names.max().unwrap_or_default() + GAP;
        let blocks: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let fields = self.header.iter().zip(row);
                fields.map(|(name, cell)| field(name, cell, inset, look)).collect()
            })
            .collect();
        blocks.join("\n")
    }
}

/// A name and its value; the value in lines of its own where that keeps it in one piece.
fn field(name: &str, cell: &Cell, inset: usize, look: &Look) -> String {
    let longest = cell.text.split(' ').map(width).max().unwrap_or_default();
    let beside = width(name) + GAP <= inset;
    let short = longest <= WIDTH - inset || longest > WIDTH - 2 * GAP;
    let (mut text, indent) = if beside && short {
        (format!("{}{}", look.paint(heading(), name), " ".repeat(inset - width(name))), inset)
    } else {
        let name: Vec<String> = wrapped(name, WIDTH).iter().map(|part| look.paint(heading(), part)).collect();
        (format!("{}\n{}", name.join("\n"), " ".repeat(2 * GAP)), 2 * GAP)
    };
    for (index, part) in wrapped(&cell.text, WIDTH - indent).iter().enumerate() {
        if index > 0 {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&look.paint(cell.style, part));
    }
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(last: &str) -> Grid {
        let mut grid = Grid::new(&["number", "name", "why"]).right(&[0]);
        grid.row(vec!["1".to_owned().into(), "x".repeat(40).into(), last.to_owned().into()]);
        grid.row(vec!["22".to_owned().into(), "y".to_owned().into(), String::new().into()]);
        grid
    }

    #[test]
    fn table_that_fits_has_its_columns_side_by_side() {
        let text = grid("short").render(&Look::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("     1  {}  short", "x".repeat(40)));
        assert_eq!(lines[2], "    22  y");
    }

    #[test]
    fn last_column_is_wrapped_where_there_is_room_for_its_words() {
        let text = grid("words that go on and on and on until the line is full").render(&Look::default());
        assert!(text.starts_with("number  name") && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn table_that_is_too_wide_turns_into_blocks_that_lose_nothing() {
        let long = "z".repeat(300);
        let text = grid(&long).render(&Look::default());
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.matches('z').count(), 300);
        assert_eq!(text.matches("number").count(), 2, "a block for each row: {text}");
    }

    #[test]
    fn value_that_fits_on_a_line_of_its_own_is_not_cut() {
        let hash = "f".repeat(76);
        let mut grid = Grid::new(&["dq_row_hash", "more"]);
        grid.row(vec![hash.clone().into(), "x".to_owned().into()]);
        assert_eq!(grid.render(&Look::default()), format!("dq_row_hash\n    {hash}\nmore         x\n"));
    }
}
