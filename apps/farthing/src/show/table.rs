//! Tables.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A column: its title, and which way its cells lean.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Words, to the left.
    Text(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

/// Rows under titles, aligned, without more lines than it takes.
pub(crate) fn table<R: IntoIterator<Item = String>>(columns: &[Column], rows: impl IntoIterator<Item = R>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let title = |column: &Column| match *column {
        Column::Text(title) | Column::Number(title) => title.to_owned(),
    };
    table.set_header(columns.iter().map(title));
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in columns.iter().enumerate() {
        if let Some(drawn) = table.column_mut(at) {
            drawn.set_padding((if at == 0 { 2 } else { 1 }, 1));
            if matches!(column, Column::Number(_)) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_on_the_right() {
        let columns = [Column::Text("who"), Column::Number("paid")];
        let rows = [["anna", "0.50"], ["bertram", "12.00"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&columns, rows), "  who       paid\n  anna      0.50\n  bertram  12.00");
    }
}
