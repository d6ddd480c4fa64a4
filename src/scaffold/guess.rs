//! What a table's columns are for, guessed from their names and values. Pure.

use serde::Serialize;

use super::profile::{ColumnProfile, Profile};
use crate::contract::widening::accepts;
use crate::error::{Error, Result};
use crate::model::types::{DataType, Field};
use crate::notation::did_you_mean;

/// Names of columns that say where a row came from.
const LINEAGE: [&str; 14] = [
    "source_file",
    "file_name",
    "filename",
    "_file",
    "ingest_time",
    "ingested_at",
    "_ingested_at",
    "_loaded_at",
    "source_row",
    "_rescued_data",
    "_airbyte_extracted_at",
    "_airbyte_raw_id",
    "_fivetran_synced",
    "_dlt_load_id",
];

/// Names of version columns, the surest first; a `*` stands for anything.
const VERSIONS: [&str; 19] = [
    "updated_at",
    "modified_at",
    "changed_at",
    "last_updated*",
    "last_modified*",
    "last_change*",
    "update_*",
    "modif*",
    "*updated*",
    "*modified*",
    "*changed*",
    "version",
    "revision",
    "row_version",
    "lsn",
    "seq*",
    "*_ts",
    "ts",
    "*timestamp*",
];

/// Names of watermark columns.
const DAYS: [&str; 6] = ["*_date", "date", "day", "*_day", "created_at", "event_time"];

/// How names of keys end.
const ID_ENDINGS: [&str; 10] =
    ["_id", "_key", "_no", "_nr", "_number", "_ref", "_code", "uuid", "guid", "id"];

/// Rows from which on checks are suggested.
const ENOUGH: u64 = 20;

/// What a person says, and what a target that is there has.
pub(super) struct Given<'a> {
    pub(super) key: &'a [String],
    pub(super) version: Option<&'a str>,
    pub(super) target: Option<&'a [Field]>,
}

/// A column with what it was taken by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guessed {
    /// The column, as the batch has it.
    pub column: String,
    /// Why it was taken; `None` where a person said so.
    pub why: Option<String>,
}

/// What the columns are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guess {
    /// The key.
    pub key: Vec<Guessed>,
    /// The version column.
    pub version: Guessed,
    /// Columns that say where a row came from.
    pub lineage: Vec<String>,
    /// A column with the rows' day, for mode `window`.
    pub day: Option<String>,
    /// Columns that are computed: name, SQL, why.
    pub computed: Vec<(String, String, String)>,
    /// Checks that the values would pass: column, its checks in YAML, why.
    pub checks: Vec<(String, String, String)>,
    /// Columns of a target that is there which nobody knows the values of.
    pub unknown: Vec<String>,
}

/// Guesses.
///
/// # Errors
/// Fails where there is no key or version to be found, or none of the name that is given.
pub(super) fn guess(profile: &Profile, given: &Given<'_>) -> Result<Guess> {
    let lineage: Vec<String> = profile
        .columns
        .iter()
        .map(|column| column.name.clone())
        .filter(|name| LINEAGE.contains(&name.to_lowercase().as_str()))
        .filter(|name| !given.key.contains(name) && given.version != Some(name))
        // What the target has is loaded.
        .filter(|name| {
            !given.target.is_some_and(|target| target.iter().any(|field| is_same(&field.name, name)))
        })
        .collect();
    let version = version_of(profile, given, &lineage)?;
    let key = key_of(profile, given, &version.column, &lineage)?;
    let is_key = |name: &str| key.iter().any(|guessed| guessed.column == name);
    let day = DAYS.iter().find_map(|pattern| {
        profile.columns.iter().find(|column| {
            let fits = matches!(column.data_type, DataType::Date | DataType::Timestamp) && column.nulls == 0;
            fits && is_like(&column.name, pattern)
                && column.name != version.column
                && !lineage.contains(&column.name)
        })
    });
    let mut guess = Guess {
        day: day.map(|column| column.name.clone()),
        checks: checks(profile, &|name| {
            is_key(name) || name == version.column || lineage.contains(&name.to_owned())
        }),
        computed: Vec::new(),
        unknown: Vec::new(),
        key,
        version,
        lineage,
    };
    compute(profile, given, &mut guess);
    Ok(guess)
}

fn version_of(profile: &Profile, given: &Given<'_>, lineage: &[String]) -> Result<Guessed> {
    if let Some(name) = given.version {
        let column = named(profile, name)?;
        return Ok(Guessed { column: column.name.clone(), why: None });
    }
    let fits = |column: &&ColumnProfile| {
        let is_version = match column.data_type {
            DataType::Timestamp
            | DataType::TimestampNtz
            | DataType::Date
            | DataType::Byte
            | DataType::Short
            | DataType::Int
            | DataType::Long => true,
            DataType::String => column.no_times == 0,
            _ => false,
        };
        is_version
            && column.nulls == 0
            && !given.key.contains(&column.name)
            && !lineage.contains(&column.name)
    };
    let by_name = VERSIONS.iter().find_map(|pattern| {
        profile.columns.iter().filter(fits).find(|column| is_like(&column.name, pattern))
    });
    let last_time = || {
        let is_time = |column: &&ColumnProfile| {
            matches!(column.data_type, DataType::Timestamp | DataType::TimestampNtz) && fits(column)
        };
        profile.columns.iter().rfind(is_time)
    };
    let found = by_name.or_else(last_time).ok_or_else(|| {
        Error::usage(format!(
            "no column of `{}` looks like a version: a time or a number that grows with each change",
            profile.table
        ))
        .hint("name it with `--version-column`; NULL may stand in none of its rows")
    })?;
    let why = format!("{} without NULL, {}", found.data_type, range(found));
    Ok(Guessed { column: found.name.clone(), why: Some(why) })
}

fn key_of(profile: &Profile, given: &Given<'_>, version: &str, lineage: &[String]) -> Result<Vec<Guessed>> {
    if !given.key.is_empty() {
        return given
            .key
            .iter()
            .map(|name| Ok(Guessed { column: named(profile, name)?.name.clone(), why: None }))
            .collect();
    }
    let fits = |column: &&ColumnProfile| {
        let can_be = match column.data_type {
            DataType::Byte
            | DataType::Short
            | DataType::Int
            | DataType::Long
            | DataType::String
            | DataType::Date => true,
            DataType::Decimal(precision, _) => precision <= 15,
            _ => false,
        };
        can_be && column.nulls == 0 && column.name != version && !lineage.contains(&column.name)
    };
    let table = singular(&profile.table);
    let score = |column: &ColumnProfile| {
        let name = words(&column.name);
        let by_name = match name.as_str() {
            "id" | "uuid" | "guid" | "key" | "pk" => 3,
            name if table
                .iter()
                .any(|table| name == format!("{table}_id") || name == format!("{table}id")) =>
            {
                4
            }
            name => i32::from(ID_ENDINGS.iter().any(|end| name.ends_with(end))),
        };
        // Of rows that come more than once, there are fewer keys than rows, but not few.
        let spread = column.distinct.unwrap_or_default() * 10 >= profile.rows * 2;
        (by_name, spread)
    };
    let mut found: Option<(&ColumnProfile, (i32, bool))> = None;
    for column in profile.columns.iter().filter(fits) {
        let score = score(column);
        // The first of equal ones: a key stands at the beginning.
        if score.0 > 0 && found.is_none_or(|(_, best)| (score.1, score.0) > (best.1, best.0)) {
            found = Some((column, score));
        }
    }
    let Some((column, _)) = found else {
        let names: Vec<&str> =
            profile.columns.iter().filter(fits).map(|column| column.name.as_str()).collect();
        return Err(Error::usage(format!("no column of `{}` looks like a key", profile.table)).hint(
            format!(
                "name it with `--key`, once for each of its columns; without NULL are {}",
                if names.is_empty() { "none that could be one".to_owned() } else { names.join(", ") }
            ),
        ));
    };
    let why =
        format!("no NULL, about {} values in {} rows", column.distinct.unwrap_or_default(), profile.rows);
    Ok(vec![Guessed { column: column.name.clone(), why: Some(why) }])
}

/// Columns that must be computed to be what they are taken for, or to be what the target has.
fn compute(profile: &Profile, given: &Given<'_>, guess: &mut Guess) {
    let Some(target) = given.target else {
        if let Some(column) = profile.column(&guess.version.column)
            && let Some((sql, why)) = as_version(column)
        {
            guess.computed.push((column.name.clone(), sql, why));
        }
        return;
    };
    for field in target {
        if let Some(column) = profile.column(&field.name) {
            guess.computed.extend(converted(column, field));
            continue;
        }
        let Some(column) = profile.columns.iter().find(|column| is_same(&column.name, &field.name)) else {
            if !["load_batch_id", "loaded_at", "row_hash"].contains(&field.name.as_str()) {
                guess.unknown.push(field.name.clone());
            }
            continue;
        };
        let why = format!("the target's name for {}", column.name);
        let sql = converted(column, field).map_or_else(|| column.name.clone(), |(_, sql, _)| sql);
        guess.computed.push((field.name.clone(), sql, why));
        for guessed in guess.key.iter_mut().chain([&mut guess.version]) {
            if guessed.column == column.name {
                guessed.column.clone_from(&field.name);
            }
        }
        if guess.day.as_ref() == Some(&column.name) {
            guess.day = Some(field.name.clone());
        }
    }
}

/// Whether two names are the same but for case and what stands between their words.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    plain(one) == plain(other)
}

fn converted(column: &ColumnProfile, field: &Field) -> Option<(String, String, String)> {
    let (from, to) = (&column.data_type, &field.data_type);
    if accepts(from, to) || from.is_nested() || to.is_nested() {
        return None;
    }
    let sql = match (as_version(column), to) {
        (Some((sql, _)), DataType::Timestamp) => sql,
        _ => format!("CAST({} AS {to})", quoted(&column.name)),
    };
    Some((field.name.clone(), sql, format!("{from} in staging, {to} in the target")))
}

/// What makes a column one that a version can be, where it is none, or one that says its time.
fn as_version(column: &ColumnProfile) -> Option<(String, String)> {
    let name = quoted(&column.name);
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<i64>().ok());
    match column.data_type {
        DataType::TimestampNtz => {
            Some((format!("CAST({name} AS TIMESTAMP)"), "a time without a zone: taken as UTC".to_owned()))
        }
        DataType::String => {
            Some((format!("CAST({name} AS TIMESTAMP)"), "all of its texts are times".to_owned()))
        }
        DataType::Long => {
            // From 2001 on, and not past 2286.
            let (low, high) = (number(&column.min)?, number(&column.max)?);
            let units = [
                ("millis", 1_000_000_000_000, 10_000_000_000_000),
                ("micros", 1_000_000_000_000_000, 10_000_000_000_000_000),
            ];
            let (unit, ..) = units.into_iter().find(|(_, from, to)| low >= *from && high < *to)?;
            let seconds = unit.trim_end_matches('s');
            Some((
                format!("to_timestamp_{unit}({name})"),
                format!("{seconds}seconds since 1970, by its values"),
            ))
        }
        _ => None,
    }
}

/// Checks that the rows would pass, for columns that have nothing else to say. A few rows say nothing.
fn checks(profile: &Profile, taken: &dyn Fn(&str) -> bool) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for column in profile.columns.iter().filter(|column| profile.rows >= ENOUGH && !taken(&column.name)) {
        let (mut checks, mut reasons) = (Vec::new(), Vec::new());
        let mut add = |check: String, why: String| {
            checks.push(check);
            reasons.push(why);
        };
        if !column.values.is_empty() {
            let values: Vec<String> =
                column.values.iter().map(|value| serde_json::json!(value).to_string()).collect();
            add(
                format!("{{accepted_values: {{values: [{}], action: warn}}}}", values.join(", ")),
                "no other value".to_owned(),
            );
        } else if is_number(&column.data_type)
            && !ID_ENDINGS.iter().any(|end| words(&column.name).ends_with(end))
            && column.min.as_ref().and_then(|min| min.parse::<f64>().ok()).is_some_and(|min| min >= 0.0)
        {
            add("{accepted_range: {min: 0, action: warn}}".to_owned(), range(column));
        }
        if column.nulls == 0 && !column.data_type.is_nested() {
            add("{not_null: {action: warn}}".to_owned(), "no NULL".to_owned());
        }
        if !checks.is_empty() {
            found.push((column.name.clone(), checks.join(", "), reasons.join("; ")));
        }
    }
    found
}

fn is_number(data_type: &DataType) -> bool {
    use DataType::{Byte, Decimal, Double, Float, Int, Long, Short};
    matches!(data_type, Byte | Short | Int | Long | Float | Double | Decimal(..))
}

fn named<'p>(profile: &'p Profile, name: &str) -> Result<&'p ColumnProfile> {
    profile.column(name).ok_or_else(|| {
        let error = Error::usage(format!("`{}` has no column `{name}`", profile.table));
        let known = profile.columns.iter().map(|column| column.name.as_str());
        did_you_mean(name, known).into_iter().fold(error, Error::hint)
    })
}

/// From where to where a column's values go.
pub(super) fn range(column: &ColumnProfile) -> String {
    match (&column.min, &column.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        _ if column.data_type.is_nested() => "nested".to_owned(),
        _ => "no value".to_owned(),
    }
}

fn quoted(name: &str) -> String {
    crate::model::sql::Ident(name).to_string()
}

/// What one row of a table might be called: of `stg_orders`, `order`.
fn singular(table: &str) -> Vec<String> {
    let table = table.to_lowercase();
    table.split(['_', '-', '.']).map(|word| word.strip_suffix('s').unwrap_or(word).to_owned()).collect()
}

/// A name in words with `_` between them: `OrderRef` and `Order Ref.` are `order_ref`.
fn words(name: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if (begins || !c.is_alphanumeric()) && !words.ends_with('_') && !words.is_empty() {
            words.push('_');
        }
        if c.is_alphanumeric() || (c == '_' && words.is_empty()) {
            words.extend(c.to_lowercase());
        }
        before = c;
    }
    words.trim_end_matches('_').to_owned()
}

/// Whether a name is like a pattern, in whatever case.
fn is_like(name: &str, pattern: &str) -> bool {
    let name = words(name);
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: DataType, nulls: u64, distinct: u64) -> ColumnProfile {
        let (min, max) = match data_type {
            DataType::Long => (Some("1756684800000".to_owned()), Some("1756684900000".to_owned())),
            DataType::Int => (Some("0".to_owned()), Some("9".to_owned())),
            _ => (None, None),
        };
        let no_times = u64::from(!name.contains("time"));
        let name = name.to_owned();
        ColumnProfile {
            name,
            data_type,
            nulls,
            distinct: Some(distinct),
            min,
            max,
            no_times,
            values: Vec::new(),
        }
    }

    fn profile(columns: Vec<ColumnProfile>) -> Profile {
        Profile { table: "stg_orders".to_owned(), version: 1, rows: 100, whole: true, columns }
    }

    const NONE: Given<'static> = Given { key: &[], version: None, target: None };

    fn key_and_version(columns: Vec<ColumnProfile>) -> (Vec<String>, String) {
        let guess = guess(&profile(columns), &NONE).unwrap();
        (guess.key.into_iter().map(|key| key.column).collect(), guess.version.column)
    }

    #[test]
    fn the_table_s_own_id_is_the_key_and_a_foreign_one_is_not() {
        let columns = vec![
            column("customer_id", DataType::Int, 0, 90),
            column("order_id", DataType::Int, 0, 80),
            column("created_at", DataType::Timestamp, 0, 90),
            column("updated_at", DataType::Timestamp, 0, 90),
        ];
        assert_eq!(key_and_version(columns), (vec!["order_id".to_owned()], "updated_at".to_owned()));
    }

    #[test]
    fn what_has_nulls_or_few_values_is_no_key() {
        let columns = vec![
            column("id", DataType::Int, 3, 80),
            column("shop_id", DataType::Int, 0, 4),
            column("Order No.", DataType::String, 0, 80),
            column("order_key", DataType::String, 0, 70),
            column("version", DataType::Int, 0, 5),
        ];
        assert_eq!(key_and_version(columns).0, ["Order No."]);
    }

    #[test]
    fn names_are_read_in_words() {
        for (name, read) in [
            ("OrderRef", "order_ref"),
            ("Order No.", "order_no"),
            ("order-id", "order_id"),
            ("_file", "_file"),
            ("ID", "id"),
        ] {
            assert_eq!(words(name), read);
        }
    }

    #[test]
    fn numbers_and_texts_of_times_are_made_times() {
        for (name, data_type, sql) in [
            ("ts", DataType::Long, "to_timestamp_millis(`ts`)"),
            ("changed time", DataType::String, "CAST(`changed time` AS TIMESTAMP)"),
            ("updated_at", DataType::TimestampNtz, "CAST(`updated_at` AS TIMESTAMP)"),
        ] {
            let columns = vec![column("id", DataType::Int, 0, 80), column(name, data_type, 0, 90)];
            let guess = guess(&profile(columns), &NONE).unwrap();
            assert_eq!(guess.computed.iter().map(|(_, sql, _)| sql.as_str()).collect::<Vec<_>>(), [sql]);
        }
    }

    #[test]
    fn without_key_or_version_a_person_is_asked_by_option() {
        let none = guess(&profile(vec![column("note", DataType::String, 0, 9)]), &NONE).unwrap_err();
        assert!(none.hint_text().unwrap().contains("--version-column"), "{none:?}");
        let columns = vec![column("note", DataType::String, 0, 9), column("ts", DataType::Long, 0, 9)];
        let none = guess(&profile(columns.clone()), &NONE).unwrap_err();
        assert!(
            none.hint_text().unwrap().contains("--key") && none.hint_text().unwrap().contains("note"),
            "{none:?}"
        );
        let given = Given { key: &["nte".to_owned()], version: None, target: None };
        let wrong = guess(&profile(columns), &given).unwrap_err();
        assert!(wrong.hint_text().unwrap().contains("did you mean `note`"), "{wrong:?}");
    }

    #[test]
    fn an_existing_target_s_names_and_types_rule() {
        let field = |name: &str, data_type| Field { name: name.to_owned(), data_type, nullable: true };
        let target = [
            field("order_id", DataType::Long),
            field("changed_at", DataType::Timestamp),
            field("note", DataType::String),
            field("row_hash", DataType::String),
        ];
        let columns =
            vec![column("OrderID", DataType::Int, 0, 80), column("Changed At", DataType::Long, 0, 90)];
        let given = Given { key: &[], version: None, target: Some(&target) };
        let guess = guess(&profile(columns), &given).unwrap();
        assert_eq!((guess.key[0].column.as_str(), guess.version.column.as_str()), ("order_id", "changed_at"));
        let computed: Vec<_> =
            guess.computed.iter().map(|(name, sql, _)| (name.as_str(), sql.as_str())).collect();
        assert_eq!(computed, [("order_id", "OrderID"), ("changed_at", "to_timestamp_millis(`Changed At`)")]);
        assert_eq!(guess.unknown, ["note"]);
    }
}
