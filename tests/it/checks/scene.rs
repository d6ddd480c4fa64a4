//! Labs whose batches the cases are about, and the pipeline files that gate them.

use serde_json::{Value, json};

use crate::common::Lab;

/// Which batch is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// Ten staged rows, eight after the dedupe, and no load before: [`ROWS`].
    First,
    /// No row, and no load before.
    Empty,
    /// Four staged rows, three after the dedupe, of which one lacks its key and one its version.
    Holes,
    /// Five rows, after loads of 2, 4 and 4.
    Later,
    /// No row, after the same loads.
    LaterEmpty,
}

/// Where a check is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Column(&'static str),
    Table,
    /// For the table, with this for the columns in staging's DDL file.
    Contract(&'static str),
}

/// Staging's columns.
pub(super) const COLUMNS: &str =
    "id BIGINT, at TIMESTAMP, t STRING, q INT, d DECIMAL(38,0), ref BIGINT, file STRING";

const MANY_98: &str = "99999999999999999999999999999999999998";
const MANY_99: &str = "99999999999999999999999999999999999999";
const LESS_99: &str = "-99999999999999999999999999999999999999";

pub(super) fn row(
    id: impl Into<Option<i64>>,
    at: impl Into<Option<&'static str>>,
    t: Option<&str>,
    q: Option<i64>,
    d: Option<&str>,
    reference: Option<i64>,
) -> Value {
    let at = at.into().map(|day| format!("{day}T12:00:00Z"));
    json!({"id": id.into(), "at": at, "t": t, "q": q, "d": d, "ref": reference, "file": "f"})
}

/// The rows of [`Scene::First`]; the last two lose the dedupe, one as a duplicate.
fn first() -> Vec<Value> {
    let at = "2025-08-30";
    let third = row(3, at, Some("日本語"), Some(11), Some(LESS_99), Some(3));
    vec![
        row(1, "2025-08-31", Some("a"), Some(9), Some(MANY_98), Some(1)),
        row(2, at, Some("ab"), Some(10), Some(MANY_99), Some(2)),
        third.clone(),
        row(4, at, Some("日本語"), None, Some(MANY_98), Some(3)),
        row(5, at, None, None, None, None),
        row(6, at, Some("übergroß"), Some(10), Some("0"), Some(1)),
        row(7, at, Some("ÜBERGROSS"), Some(12), Some("1"), Some(9)),
        row(8, at, Some("abcd"), Some(10), Some("2"), Some(2)),
        third,
        row(8, "2025-08-01", Some("older"), Some(99), Some("99"), Some(99)),
    ]
}

pub(super) fn lines(rows: &[Value]) -> String {
    rows.iter().flat_map(|row| [row.to_string(), "\n".to_owned()]).collect()
}

/// The pipeline file without checks, for staging's DDL in `ddl`.
pub(super) fn head(ddl: &str) -> String {
    format!(
        "name: checks
source: {{table: src, ddl: {ddl}, lineage: [file]}}
target: {{table: tgt, ddl: tgt.sql}}
unique_key: id
updated_at: at
incremental: {{mode: changes}}
as_of: 2025-09-01
dimensions: {{dim: {{table: dim, ddl: dim.sql}}}}
"
    )
}

fn staging(columns: &str) -> String {
    format!("CREATE TABLE src ({columns}) USING DELTA")
}

const TARGET: &str = "CREATE TABLE tgt (
  id BIGINT NOT NULL, at TIMESTAMP, t STRING, q INT, d DECIMAL(38,0), ref BIGINT, load_batch_id STRING,
  loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)
) USING DELTA";
const DIMENSION: &str = "CREATE TABLE dim (k BIGINT, kt STRING, kd DECIMAL(38,0)) USING DELTA";

/// A lab with an empty staging table and a dimension that knows 1, 2 and NULL.
pub(super) async fn empty() -> Lab {
    let file = head("src.sql");
    let lab = Lab::custom(&file, &[("src", &staging(COLUMNS)), ("tgt", TARGET), ("dim", DIMENSION)]);
    let known = [
        json!({"k": 1, "kt": "日本語", "kd": MANY_98}),
        json!({"k": 2, "kt": "a", "kd": MANY_99}),
        json!({"k": null, "kt": null, "kd": null}),
    ];
    lab.append("dim", &lines(&known)).await;
    lab
}

/// A lab of [`Scene::First`].
pub(super) async fn of_first() -> Lab {
    let lab = empty().await;
    lab.append("src", &lines(&first())).await;
    lab
}

/// The labs of all scenes.
pub(super) struct Scenes {
    first: Lab,
    empty: Lab,
    holes: Lab,
    later: Lab,
    later_empty: Lab,
}

impl Scenes {
    pub(super) async fn new() -> Self {
        let at = "2025-08-31";
        let holes = empty().await;
        let whole = row(1, at, Some("a"), Some(1), None, Some(1));
        let lacking = [row(None, at, None, None, None, None), row(2, None, None, None, None, None)];
        holes.append("src", &lines(&[whole.clone(), whole, lacking[0].clone(), lacking[1].clone()])).await;

        let later_empty = empty().await;
        let mut id = 0;
        for (day, rows) in [("2025-08-29", 2), ("2025-08-30", 4), ("2025-08-31", 4)] {
            let rows: Vec<Value> = (0..rows).map(|_| next(&mut id)).collect();
            later_empty.append("src", &lines(&rows)).await;
            let (status, document) = later_empty.json(&["run", "--as-of", day]);
            assert_eq!(status, Some(0), "{document:#}");
            assert_eq!(document["counts"]["deduped"], rows.len());
        }
        let later = later_empty.copy();
        let mut rows: Vec<Value> = (0..4).map(|_| next(&mut id)).collect();
        rows.push(row(99, at, Some("日本語"), Some(1), Some(MANY_99), None));
        later.append("src", &lines(&rows)).await;
        Self { first: of_first().await, empty: empty().await, holes, later, later_empty }
    }

    pub(super) fn lab(&self, scene: Scene) -> &Lab {
        match scene {
            Scene::First => &self.first,
            Scene::Empty => &self.empty,
            Scene::Holes => &self.holes,
            Scene::Later => &self.later,
            Scene::LaterEmpty => &self.later_empty,
        }
    }
}

fn next(id: &mut i64) -> Value {
    *id += 1;
    row(*id, "2025-08-31", None, None, None, None)
}

/// Writes a pipeline file with these checks: where declared, kind, name and further keys. Its name in the lab.
pub(super) fn file_of(lab: &Lab, called: &str, checks: &[(At, &str, &str, &str)]) -> String {
    let (mut columns, mut table) = (String::new(), String::new());
    let mut ddl = "src.sql".to_owned();
    let mut sorted = checks.to_vec();
    sorted.sort_by_key(|(at, ..)| if let At::Column(column) = at { *column } else { "" });
    let mut declared = "";
    for (at, kind, name, keys) in sorted {
        let item = format!("- {kind}: {{name: {name}{}{keys}}}", if keys.is_empty() { "" } else { ", " });
        match at {
            At::Column(column) => {
                if declared != column {
                    columns.push_str(&format!("  {column}:\n    checks:\n"));
                }
                declared = column;
                columns.push_str(&format!("      {item}\n"));
            }
            At::Table => table.push_str(&format!("  {item}\n")),
            At::Contract(columns) => {
                ddl = format!("{called}.sql");
                std::fs::write(lab.path().join(&ddl), staging(columns)).unwrap();
                table.push_str(&format!("  {item}\n"));
            }
        }
    }
    let section =
        |key: &str, text: &str| if text.is_empty() { String::new() } else { format!("{key}:\n{text}") };
    let file = format!("{called}.yaml");
    let text = format!("{}{}{}", head(&ddl), section("columns", &columns), section("checks", &table));
    std::fs::write(lab.path().join(&file), text).unwrap();
    file
}
