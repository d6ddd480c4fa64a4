//! What people read of tables as such: made by `init` and `demo`, and shown.

use anstyle::Style;

use super::grid::Grid;
use super::look::{Look, bad, good, odd};
use super::plain::{WIDTH, plain, value, width};
use super::text::line;
use crate::demo::DemoReport;
use crate::init::{InitState, InitTable};
use crate::scaffold::Scaffold;
use crate::show::Shown;

/// The report of `init`; `brings_in` is whether the pipeline file names files.
#[must_use]
pub fn init(tables: &[InitTable], brings_in: bool, look: &Look) -> String {
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
        text.push_str(&look.next(
            "mend that and run `init` again; no table was created or changed. Of the target, `evolve` changes what can be",
        ));
    } else if created {
        text.push_str(&look.next(&if brings_in {
            format!("`{} run` brings the files in, and loads them", look.program)
        } else {
            format!("fill staging, then `{} plan`", look.program)
        }));
    }
    text
}

/// The report of `new`.
#[must_use]
pub fn scaffold(made: &Scaffold, look: &Look) -> String {
    let mut text = String::new();
    let ddl = made.ddl.as_ref().map(|path| format!(" and {}", path.display()));
    line(&mut text, format_args!("wrote {}{}", made.file.display(), ddl.unwrap_or_default()));
    let rows = if made.profile.whole { "rows" } else { "rows, the first ones," };
    line(
        &mut text,
        format_args!("from {} {rows} of {}; nothing was changed", made.profile.rows, made.profile.origin()),
    );
    text.push('\n');
    let guess = &made.guess;
    let why =
        |why: &Option<String>| why.as_ref().map_or("as you said".to_owned(), |why| format!("guessed: {why}"));
    for guessed in &guess.key {
        line(&mut text, format_args!("key       {}  {}", plain(&guessed.column), plain(&why(&guessed.why))));
    }
    for doubt in &guess.doubts {
        line(&mut text, format_args!("unsure    {}", plain(doubt)));
    }
    let version = &guess.version;
    line(&mut text, format_args!("version   {}  {}", plain(&version.column), plain(&why(&version.why))));
    if !guess.lineage.is_empty() {
        line(&mut text, format_args!("lineage   {}  guessed by the names", plain(&guess.lineage.join(", "))));
    }
    if let Some((day, why)) = &guess.partition {
        line(&mut text, format_args!("partition none; {} could be one: {why}", plain(day)));
    }
    if let Some(files) = made.profile.files.as_ref().filter(|files| files.corrupt > 0) {
        let example = plain(files.example.as_deref().unwrap_or_default());
        line(&mut text, format_args!("corrupt   {} to be kept aside: {example}", files.corrupt));
    }
    for (name, sql, why) in &guess.computed {
        line(&mut text, format_args!("computed  {} from {}  {}", plain(name), plain(sql), plain(why)));
    }
    for name in &guess.unknown {
        line(&mut text, format_args!("unknown   {}: the target has it, staging does not", plain(name)));
    }
    if !guess.checks.is_empty() {
        line(&mut text, format_args!("checks    {} suggested, as comments", guess.checks.len()));
    }
    text.push_str(&look.next(&format!("look at the file, then `{} init`", look.program)));
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
