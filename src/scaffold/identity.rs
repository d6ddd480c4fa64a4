//! What tells rows apart: key and version, guessed from names and values. Pure.

use serde::Serialize;

use super::guess::range;
use super::names::{ID_ENDINGS, LINEAGE, PARTS, VERSIONS, is_like, is_same, singular, words};
use super::profile::{ColumnProfile, Profile};
use crate::error::{Error, Result};
use crate::model::types::{DataType, Field};
use crate::notation::did_you_mean;

/// Columns of a key, at most, that is guessed.
pub(super) const MOST_KEYS: usize = 4;

/// Columns that are tried as a further part of a key, at most.
const MOST_TRIED: usize = 12;

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

/// What tells rows apart.
pub(super) struct Identity {
    pub(super) key: Vec<Guessed>,
    pub(super) version: Guessed,
    pub(super) lineage: Vec<String>,
}

/// Guesses by what rows are told apart.
///
/// # Errors
/// Fails where there is no key or version to be found, or none of the name that is given.
pub(super) fn identity(profile: &Profile, given: &Given<'_>) -> Result<Identity> {
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
    Ok(Identity { key, version, lineage })
}

impl Identity {
    /// The key's columns, and the version.
    pub(super) fn columns(&self) -> Vec<&str> {
        let key = self.key.iter().map(|guessed| guessed.column.as_str());
        key.chain([self.version.column.as_str()]).collect()
    }

    /// Whether no person named the key.
    pub(super) fn is_guessed(&self) -> bool {
        self.key.iter().all(|guessed| guessed.why.is_some())
    }

    /// Columns that could be a further part of the key, of which none is one yet: those whose names say so.
    pub(super) fn further<'p>(&self, profile: &'p Profile) -> Vec<&'p ColumnProfile> {
        let is_known = |name: &str| {
            self.version.column == name
                || self.lineage.iter().any(|other| other == name)
                || self.key.iter().any(|other| other.column == name)
        };
        let says_so = |column: &&ColumnProfile| {
            let name = words(&column.name);
            ID_ENDINGS.iter().any(|end| name.ends_with(end)) || is_part(column)
        };
        // What numbers changes tells a row from every other, and would keep them all.
        let numbers_changes = |column: &ColumnProfile| {
            let many = column.distinct.unwrap_or_default() * 10 >= profile.rows * 9;
            many || VERSIONS.iter().any(|pattern| is_like(&column.name, pattern))
        };
        let columns = profile.columns.iter().filter(|column| !is_known(&column.name) && can_be_key(column));
        columns.filter(|column| !numbers_changes(column)).filter(says_so).take(MOST_TRIED).collect()
    }

    /// A column that is called like a part of a document, and is not in the key.
    pub(super) fn part_left_out<'p>(&self, profile: &'p Profile) -> Option<&'p str> {
        self.further(profile).into_iter().find(|column| is_part(column)).map(|column| column.name.as_str())
    }
}

/// Whether a column is called like a part of a document.
fn is_part(column: &ColumnProfile) -> bool {
    PARTS.iter().any(|pattern| is_like(&column.name, pattern))
}

/// Whether a column's type and values can be part of a key.
fn can_be_key(column: &ColumnProfile) -> bool {
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
    can_be && column.nulls == 0
}

fn version_of(profile: &Profile, given: &Given<'_>, lineage: &[String]) -> Result<Guessed> {
    if let Some(name) = given.version {
        let column = named(profile, name)?;
        let knows_type =
            given.target.is_some_and(|target| target.iter().any(|field| is_same(&field.name, name)));
        if column.data_type == DataType::String && column.no_times > 0 && !knows_type {
            return Err(Error::usage(format!(
                "`{name}` holds texts of which {} of {} are no times as ISO 8601 writes them",
                column.no_times, profile.rows
            ))
            .hint(
                "write the pipeline file by hand: say their order, `updated_at: {column: …, order: numeric}`, or their form, \
                 `columns: {…: {from: \"to_timestamp(…, '%d.%m.%Y')\"}}`",
            ));
        }
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
        can_be_key(column) && column.name != version && !lineage.contains(&column.name)
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

fn named<'p>(profile: &'p Profile, name: &str) -> Result<&'p ColumnProfile> {
    profile.column(name).ok_or_else(|| {
        let error = Error::usage(format!("`{}` has no column `{name}`", profile.table));
        let known = profile.columns.iter().map(|column| column.name.as_str());
        did_you_mean(name, known).into_iter().fold(error, Error::hint)
    })
}
