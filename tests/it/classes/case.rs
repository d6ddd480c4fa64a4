//! A case: rows, and a pipeline's rules.

use chrono::{Days, NaiveDate};
use highwater::config::{Late, OnTie};
use highwater::model::Counts;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::demand::Spec;

/// The logical date of a case's first batch.
pub(super) const AS_OF: u64 = 12;

/// A day by its number.
pub(super) fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 8, 20).unwrap().checked_add_days(Days::new(number)).unwrap()
}

/// A row of staging. `a` and `b` are the key or its first part, `v` is the version, `seq` and `file` are lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) a: Option<i64>,
    pub(super) b: Option<String>,
    pub(super) day: Option<NaiveDate>,
    pub(super) v: Option<NaiveDate>,
    pub(super) n: Option<i64>,
    pub(super) s: Option<String>,
    pub(super) seq: Option<i64>,
    pub(super) file: Option<String>,
}

/// A column of staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    A,
    B,
    Day,
    V,
    N,
    S,
    Seq,
    File,
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Day => "day",
            Self::V => "v",
            Self::N => "n",
            Self::S => "s",
            Self::Seq => "seq",
            Self::File => "file",
        }
    }
}

impl Row {
    /// A value as text; two values are equal where their texts are.
    pub(super) fn text(&self, column: Column) -> Option<String> {
        match column {
            Column::A => self.a.map(|a| a.to_string()),
            Column::B => self.b.clone(),
            Column::Day => self.day.map(|day| day.to_string()),
            Column::V => self.v.map(|v| v.to_string()),
            Column::N => self.n.map(|n| n.to_string()),
            Column::S => self.s.clone(),
            Column::Seq => self.seq.map(|seq| seq.to_string()),
            Column::File => self.file.clone(),
        }
    }

    /// The SHA-256 of what is loaded but the version, as RULES.md has it: `tag length:value` for each column.
    pub(super) fn hash(&self) -> String {
        let columns =
            [('i', Column::A), ('s', Column::B), ('D', Column::Day), ('i', Column::N), ('s', Column::S)];
        let parts = columns.map(|(tag, column)| match self.text(column) {
            Some(text) => format!("{tag}{}:{text}", text.len()),
            None => "n".to_owned(),
        });
        hex::encode(Sha256::digest(parts.concat()))
    }

    /// The columns that are loaded, as the tables print them: without those that are NULL.
    pub(super) fn loaded(&self) -> Map<String, Value> {
        let at = self.v.map(|v| format!("{v}T12:00:00Z"));
        let value = json!({"a": self.a, "b": self.b, "day": self.day, "v": at, "n": self.n, "s": self.s});
        filled(value)
    }

    /// All columns.
    pub(super) fn whole(&self) -> Map<String, Value> {
        let mut fields = self.loaded();
        fields.extend(filled(json!({"seq": self.seq, "file": self.file})));
        fields
    }
}

fn filled(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("no object: {value}") };
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// A line of JSON for each row.
pub(super) fn lines(rows: impl Iterator<Item = Map<String, Value>>) -> String {
    rows.flat_map(|fields| [Value::Object(fields).to_string(), "\n".to_owned()]).collect()
}

/// A row of the target.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) row: Row,
    /// The hash that stands beside it; `None` in rows that another tool wrote.
    pub(super) hash: Option<String>,
}

impl Held {
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = self.row.loaded();
        fields.extend(filled(json!({"row_hash": self.hash})));
        fields
    }
}

/// The key: `a`, or `a` and `b`.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) columns: Vec<Column>,
    /// Whether NULL is a value like others.
    pub(super) nulls_match: bool,
}

impl std::ops::Deref for Key {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.columns
    }
}

/// What a pipeline file can say.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) key: Key,
    /// The target's partition columns.
    pub(super) partitions: Vec<Column>,
    /// Mode `window` over `day`, or mode `changes`.
    pub(super) window: bool,
    /// Whether `day` is the watermark column.
    pub(super) dated: bool,
    pub(super) late: Late,
    pub(super) on_tie: OnTie,
    /// The columns of the version: `v`, and perhaps `n`, which decides where `v` is equal.
    pub(super) versions: Vec<Column>,
    /// Whether `seq` is a tie-breaker, and the highest first.
    pub(super) breaker: Option<bool>,
    /// Whether the target wants `n` filled.
    pub(super) strict: bool,
    pub(super) checks: Vec<Spec>,
    pub(super) partitions_per_commit: usize,
}

impl Config {
    /// Whether the version is of two columns.
    pub(super) fn has_sequence(&self) -> bool {
        self.versions.len() > 1
    }

    /// Columns without which a row stands outside of the dedupe.
    pub(super) fn required(&self) -> Vec<Column> {
        let mut columns = if self.key.nulls_match { Vec::new() } else { self.key.columns.clone() };
        columns.extend(&self.versions);
        if self.dated {
            columns.push(Column::Day);
        }
        columns
    }

    /// The row as the load takes it: a partition column has no empty string.
    pub(super) fn taken(&self, row: &Row) -> Row {
        let mut row = row.clone();
        if self.partitions.contains(&Column::B) && row.b.as_deref() == Some("") {
            row.b = None;
        }
        row
    }
}

/// A row as staging holds it.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub(super) row: Row,
    /// Whether it came after the batch before; without one, every row did.
    pub(super) arrived: bool,
}

/// Which rows of staging a batch takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) as_of: NaiveDate,
    /// The first day of the window.
    pub(super) from: Option<NaiveDate>,
    /// Whether there was a batch before that knew this staging table.
    pub(super) anchored: bool,
    /// Whether there was no batch before, so that rows below the window are history.
    pub(super) first: bool,
}

/// How many rows a load before had.
pub(super) type History = Vec<i64>;

/// Both sums of the rules.
pub(super) fn assert_balanced(counts: &Counts) {
    assert_eq!(counts.imbalance(), None);
    assert_eq!(counts.staged, counts.duplicate + counts.superseded + counts.deduped);
}
