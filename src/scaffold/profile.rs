//! What a table's columns hold: types, NULLs, how many values, from where to where.

use serde::Serialize;
use serde_json::{Map, Value};

use super::sample::{Sample, SampledFiles};
use crate::engine::sql::{Ident, Params};
use crate::error::Result;
use crate::lake::record::exact_values;
use crate::model::types::DataType;

/// Columns that one query looks at: planning takes more than twice the time for twice as many.
const AT_ONCE: usize = 50;

/// How much of a value is told.
const SHOWN: usize = 24;

/// A column with at most so many values is taken for one of a fixed list.
const LISTED: u64 = 8;

/// What was seen of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The table's name.
    pub table: String,
    /// The version that was read; `None` where the table is yet to be made, of files.
    pub version: Option<u64>,
    /// The files that it is to be made of.
    pub files: Option<SampledFiles>,
    /// Rows that were looked at: the first ones of a large table.
    pub rows: u64,
    /// Whether that are all.
    pub whole: bool,
    /// The columns, in order.
    pub columns: Vec<ColumnProfile>,
}

/// What was seen of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its type, as DDL names it.
    #[serde(rename = "type", serialize_with = "as_text")]
    pub data_type: DataType,
    /// Rows with NULL.
    pub nulls: u64,
    /// About how many values there are; `None` for a nested column.
    pub distinct: Option<u64>,
    /// The lowest value, shortened.
    pub min: Option<String>,
    /// The highest value, shortened.
    pub max: Option<String>,
    /// Of a STRING: rows whose text is no time; 0 where all are.
    #[serde(skip)]
    pub no_times: u64,
    /// All values, where they are few.
    pub values: Vec<String>,
}

fn as_text<S: serde::Serializer>(
    data_type: &DataType,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(data_type)
}

impl Profile {
    /// What was looked at, in words.
    #[must_use]
    pub fn origin(&self) -> String {
        match (&self.files, self.version) {
            (Some(SampledFiles { count: 1, path, .. }), _) => format!("1 file, {path}"),
            (Some(files), _) => format!("{} files, {}", files.count, files.path),
            (None, Some(version)) => format!("{} version {version}", self.table),
            (None, None) => self.table.clone(),
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Looks at rows.
///
/// # Errors
/// Fails when they cannot be read.
pub(super) async fn profile(sample: &Sample) -> Result<Profile> {
    let _looked_at = sample.looked_at().await?;
    let fields = &sample.fields;
    let mut sums = vec![vec!["COUNT(*) AS `rows`".to_owned()]];
    for (at, field) in fields.iter().enumerate() {
        let name = Ident(&field.name);
        if at % AT_ONCE == 0 && at > 0 {
            sums.push(Vec::new());
        }
        let Some(sums) = sums.last_mut() else { continue };
        sums.push(format!("COUNT({name}) AS `filled{at}`"));
        if field.data_type.is_nested() {
            continue;
        }
        // Bytes and truths have no order that says much.
        let text = match field.data_type {
            DataType::Binary => format!("hex({name})"),
            _ => format!("CAST({name} AS STRING)"),
        };
        let bound = if field.data_type == DataType::Boolean { text.clone() } else { name.to_string() };
        sums.push(format!("APPROX_DISTINCT({text}) AS `distinct{at}`"));
        if field.data_type != DataType::Binary {
            sums.push(format!("LEFT(CAST(MIN({bound}) AS STRING), {SHOWN}) AS `min{at}`"));
            sums.push(format!("LEFT(CAST(MAX({bound}) AS STRING), {SHOWN}) AS `max{at}`"));
        }
        if field.data_type == DataType::String {
            sums.push(format!("COALESCE(SUM(CASE WHEN {name} IS NOT NULL AND TRY_CAST({name} AS TIMESTAMP) IS NULL THEN 1 ELSE 0 END), 0) AS `no_times{at}`"));
        }
    }
    let mut found = Map::new();
    for sums in sums {
        found.extend(sample.first(&format!("SELECT {} FROM looked_at", sums.join(", "))).await?);
    }
    let number = |name: String| found.get(&name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: String| found.get(&name).and_then(Value::as_str).map(str::to_owned);
    let rows = number("rows".to_owned());
    let mut columns = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let distinct = found.get(&format!("distinct{at}")).and_then(Value::as_u64);
        let mut column = ColumnProfile {
            nulls: rows - number(format!("filled{at}")),
            distinct,
            min: text(format!("min{at}")),
            max: text(format!("max{at}")),
            no_times: number(format!("no_times{at}")),
            values: Vec::new(),
            name: field.name.clone(),
            data_type: field.data_type.clone(),
        };
        let few = distinct.is_some_and(|distinct| (1..=LISTED).contains(&distinct) && rows >= 10 * distinct);
        if column.data_type == DataType::String && few {
            let name = Ident(&column.name);
            let sql = format!(
                "SELECT DISTINCT {name} AS `value` FROM looked_at WHERE {name} IS NOT NULL ORDER BY 1"
            );
            let values = exact_values(&sample.engine.rows(&sql, &Params::new()).await?)?;
            column.values =
                values.iter().filter_map(|row| row.get("value")?.as_str().map(str::to_owned)).collect();
        }
        columns.push(column);
    }
    Ok(Profile {
        table: sample.table.clone(),
        version: sample.version,
        files: sample.files.clone(),
        rows,
        whole: sample.is_whole(rows),
        columns,
    })
}
