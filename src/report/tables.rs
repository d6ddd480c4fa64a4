//! What people read of tables as such: made by `init` and `demo`, and shown.

use anstyle::Style;

use super::grid::Grid;
use super::look::{Look, bad, good, odd};
use super::plain::{WIDTH, plain, value, width};
use super::text::line;
use crate::demo::DemoReport;
use crate::init::{InitState, InitTable};
use crate::show::Shown;

/// The report of `init`.
#[must_use]
pub fn init(tables: &[InitTable], look: &Look) -> String {
    let mut text = String::new();
    let mut wrong = false;
    for table in tables {
        let (state, style) = match &table.state {
            InitState::Created => ("created", good()),
            InitState::Agrees => ("exists, and agrees with its DDL", Style::new()),
            InitState::Exists => ("exists; no DDL is named to compare it with", Style::new()),
            InitState::Missing => ("is missing; name its DDL file under `ddl` in the pipeline file", bad()),
            InitState::Differs(_) => ("exists, and differs from its DDL:", bad()),
            InitState::Waits => ("not created", odd()),
        };
        let name = plain(&table.name);
        if width(&name) + 2 + width(state) <= WIDTH {
            text.push_str(&format!("{name}  {}\n", look.paint(style, state)));
        } else {
            line(&mut text, format_args!("{name}  {state}"));
        }
        if let InitState::Differs(differences) = &table.state {
            for difference in differences {
                line(&mut text, format_args!("  - {}", plain(difference)));
            }
        }
        wrong |= matches!(table.state, InitState::Missing | InitState::Differs(_));
    }
    let created = tables.iter().any(|table| table.state == InitState::Created);
    if wrong {
        text.push_str(&look.next("mend that and run `init` again; no table was created or changed"));
    } else if created {
        text.push_str(&look.next(&format!("fill staging, then `{} plan`", look.program)));
    }
    text
}

/// The report of `demo`.
#[must_use]
pub fn demo(report: &DemoReport, look: &Look) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "wrote {} orders in the target, {} customers, {} staged rows",
            report.fact_rows,
            report.customer_rows,
            report.counts.total()
        ),
    );
    for (purpose, rows) in report.counts.by_purpose() {
        if rows > 0 {
            line(&mut text, format_args!("  {rows:>8}  {purpose}"));
        }
    }
    text.push_str(&look.next(&format!("{} run", look.program)));
    text
}

/// The first rows of a table.
#[must_use]
pub fn shown(shown: &Shown, look: &Look) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{} version {}", shown.table, shown.version));
    let names: Vec<&str> = shown.columns.iter().map(|column| column.name.as_str()).collect();
    let numbers: Vec<usize> =
        shown.columns.iter().enumerate().filter(|(_, column)| column.is_number).map(|(at, _)| at).collect();
    let mut table = Grid::new(&names).right(&numbers);
    for row in &shown.rows {
        table.row(row.values().map(|one| value(Some(one)).into()).collect());
    }
    if shown.rows.is_empty() {
        text.push_str("no rows\n");
    } else {
        text.push('\n');
        text.push_str(&table.render(look));
    }
    text
}
