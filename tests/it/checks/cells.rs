//! The table: each kind of check at each edge. Where an edge has no meaning for a kind, its case shows what happens
//! there all the same.

use super::scene::At::{self, Column, Contract, Table};
use super::scene::Scene::{self, Empty, First, Holes, Later, LaterEmpty};

/// Where checks go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// NULL in what is checked.
    Null,
    /// A batch without rows.
    EmptyBatch,
    /// No load before.
    NoHistory,
    /// Text beyond ASCII.
    Unicode,
    /// 38 digits, which no other number type tells apart.
    Decimal38,
    /// One below the limit: of values, of rows that may fail, or of percent.
    Below,
    /// At the limit.
    At,
    /// One above it.
    Above,
}

impl Edge {
    pub(super) const ALL: [Self; 8] = [
        Self::Null,
        Self::EmptyBatch,
        Self::NoHistory,
        Self::Unicode,
        Self::Decimal38,
        Self::Below,
        Self::At,
        Self::Above,
    ];

    /// The name of the edge's check.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "nulls",
            Self::EmptyBatch => "empty_batch",
            Self::NoHistory => "no_history",
            Self::Unicode => "unicode",
            Self::Decimal38 => "decimal38",
            Self::Below => "below",
            Self::At => "at",
            Self::Above => "above",
        }
    }
}

/// What has to come out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// Rows examined, rows that failed, the verdict, and the value where it says something.
    Found(i64, i64, &'static str, Option<&'static str>),
    /// The pipeline file is refused with these words, exit status 2.
    Refused(&'static str),
}

/// A case.
pub(super) struct Cell {
    pub(super) kind: &'static str,
    pub(super) edge: Edge,
    pub(super) scene: Scene,
    pub(super) at: At,
    /// The check's keys, as they stand in the pipeline file.
    pub(super) keys: &'static str,
    pub(super) expected: Expected,
}

const fn cell(
    kind: &'static str,
    edge: Edge,
    scene: Scene,
    at: At,
    keys: &'static str,
    expected: Expected,
) -> Cell {
    Cell { kind, edge, scene, at, keys, expected }
}

const fn passed(examined: i64, failed: i64) -> Expected {
    Expected::Found(examined, failed, "passed", None)
}

const fn warned(examined: i64, failed: i64) -> Expected {
    Expected::Found(examined, failed, "warned", None)
}

const fn failed(examined: i64, failed: i64) -> Expected {
    Expected::Found(examined, failed, "failed", None)
}

const fn valued(value: &'static str, examined: i64, verdict: &'static str) -> Expected {
    let out = if verdict.len() == "failed".len() && verdict.as_bytes()[0] == b'f' { 1 } else { 0 };
    Expected::Found(examined, out, verdict, Some(value))
}

#[rustfmt::skip]
pub(super) const CELLS: &[Cell] = &[
    cell("not_null", Edge::Null, First, Column("t"), "", failed(8, 1)),
    cell("not_null", Edge::EmptyBatch, Empty, Column("t"), "", passed(0, 0)),
    cell("not_null", Edge::NoHistory, First, Column("t"), "action: warn", warned(8, 1)),
    cell("not_null", Edge::Unicode, First, Column("t"), r#"where: "t = '日本語'""#, passed(2, 0)),
    cell("not_null", Edge::Decimal38, First, Column("d"), "", failed(8, 1)),
    cell("not_null", Edge::Below, First, Column("q"), "error_if: '> 3 rows'", warned(8, 2)),
    cell("not_null", Edge::At, First, Column("q"), "error_if: '> 2 rows'", warned(8, 2)),
    cell("not_null", Edge::Above, First, Column("q"), "error_if: '> 1 rows'", failed(8, 2)),

    cell("unique", Edge::Null, First, Column("q"), "where: q IS NULL", passed(2, 0)),
    cell("unique", Edge::EmptyBatch, Empty, Column("t"), "", passed(0, 0)),
    cell("unique", Edge::NoHistory, First, Column("ref"), "action: warn", warned(8, 6)),
    cell("unique", Edge::Unicode, First, Column("t"), "", failed(8, 2)),
    cell("unique", Edge::Decimal38, First, Column("d"), "", failed(8, 2)),
    cell("unique", Edge::Below, First, Column("q"), "error_if: '> 4 rows'", warned(8, 3)),
    cell("unique", Edge::At, First, Column("q"), "error_if: '> 3 rows'", warned(8, 3)),
    cell("unique", Edge::Above, First, Column("q"), "error_if: '> 2 rows'", failed(8, 3)),

    cell("accepted_values", Edge::Null, First, Column("q"), "values: [9, 10, 11, 12]", passed(8, 0)),
    cell("accepted_values", Edge::EmptyBatch, Empty, Column("q"), "values: [9]", passed(0, 0)),
    cell("accepted_values", Edge::NoHistory, First, Column("q"), "values: [10], action: warn", warned(8, 3)),
    cell("accepted_values", Edge::Unicode, First, Column("t"), "values: [日本語, übergroß]", failed(8, 4)),
    cell("accepted_values", Edge::Decimal38, First, Column("d"),
        "values: [99999999999999999999999999999999999998], where: id <= 2", failed(2, 1)),
    cell("accepted_values", Edge::Below, First, Column("q"), "values: [9, 10, 11], error_if: '> 2 rows'", warned(8, 1)),
    cell("accepted_values", Edge::At, First, Column("q"), "values: [9, 10, 11], error_if: '> 1 rows'", warned(8, 1)),
    cell("accepted_values", Edge::Above, First, Column("q"), "values: [9, 10, 11], error_if: '> 0 rows'", failed(8, 1)),

    cell("accepted_range", Edge::Null, First, Column("q"), "min: 9, max: 12", passed(8, 0)),
    cell("accepted_range", Edge::EmptyBatch, Empty, Column("q"), "min: 1", passed(0, 0)),
    cell("accepted_range", Edge::NoHistory, First, Column("q"), "max: 10, action: warn", warned(8, 2)),
    // Texts are ordered as their bytes are: all that is Latin lies below.
    cell("accepted_range", Edge::Unicode, First, Column("t"), "min: 日", failed(8, 5)),
    cell("accepted_range", Edge::Decimal38, First, Column("d"),
        "max: 99999999999999999999999999999999999998", failed(8, 1)),
    cell("accepted_range", Edge::Below, First, Column("q"), "max: 10, where: id = 1", passed(1, 0)),
    cell("accepted_range", Edge::At, First, Column("q"), "max: 10, where: id = 2", passed(1, 0)),
    cell("accepted_range", Edge::Above, First, Column("q"), "max: 10, where: id = 3", failed(1, 1)),

    cell("regex", Edge::Null, First, Column("t"), "pattern: '^$', where: t IS NULL", passed(1, 0)),
    cell("regex", Edge::EmptyBatch, Empty, Column("t"), "pattern: x", passed(0, 0)),
    cell("regex", Edge::NoHistory, First, Column("t"), "pattern: ^a, action: warn", warned(8, 4)),
    cell("regex", Edge::Unicode, First, Column("t"), r"pattern: '^\p{Han}+$'", failed(8, 5)),
    cell("regex", Edge::Decimal38, First, Column("d"), "pattern: ^9",
        Expected::Refused("`regex` needs a STRING, but `d` is DECIMAL(38,0)")),
    // Characters are counted, not bytes: three of them are nine here.
    cell("regex", Edge::Below, First, Column("t"), "pattern: '^.{1,3}$', where: id = 2", passed(1, 0)),
    cell("regex", Edge::At, First, Column("t"), "pattern: '^.{1,3}$', where: id = 3", passed(1, 0)),
    cell("regex", Edge::Above, First, Column("t"), "pattern: '^.{1,3}$', where: id = 8", failed(1, 1)),

    cell("relationships", Edge::Null, First, Column("ref"), "to: dim, field: k, where: ref IS NULL", passed(1, 0)),
    cell("relationships", Edge::EmptyBatch, Empty, Column("ref"), "to: dim, field: k", passed(0, 0)),
    cell("relationships", Edge::NoHistory, First, Column("ref"), "to: dim, field: k, action: warn", warned(8, 3)),
    cell("relationships", Edge::Unicode, First, Column("t"), "to: dim, field: kt", failed(8, 4)),
    cell("relationships", Edge::Decimal38, First, Column("d"), "to: dim, field: kd", failed(8, 4)),
    cell("relationships", Edge::Below, First, Column("ref"), "to: dim, field: k, error_if: '> 4'", warned(8, 3)),
    cell("relationships", Edge::At, First, Column("ref"), "to: dim, field: k, error_if: '> 3'", warned(8, 3)),
    cell("relationships", Edge::Above, First, Column("ref"), "to: dim, field: k, error_if: '> 2'", failed(8, 3)),

    cell("expression", Edge::Null, First, Table, "sql: q > 0", passed(8, 0)),
    cell("expression", Edge::EmptyBatch, Empty, Table, "sql: q > 0", passed(0, 0)),
    cell("expression", Edge::NoHistory, First, Table, "sql: q <> 10, action: warn", warned(8, 3)),
    cell("expression", Edge::Unicode, First, Column("t"), r#"sql: "t <> '日本語'""#, failed(8, 2)),
    cell("expression", Edge::Decimal38, First, Table, "sql: d < 99999999999999999999999999999999999999", failed(8, 1)),
    cell("expression", Edge::Below, First, Table, "sql: q <> 10, error_if: '> 4 rows'", warned(8, 3)),
    cell("expression", Edge::At, First, Table, "sql: q <> 10, error_if: '> 3 rows'", warned(8, 3)),
    cell("expression", Edge::Above, First, Table, "sql: q <> 10, error_if: '> 2 rows'", failed(8, 3)),

    // A row without a version, which has no age, stands beside one of 31 August.
    cell("freshness", Edge::Null, Holes, Table, "within: 1 days", valued("2025-08-31", 3, "passed")),
    cell("freshness", Edge::EmptyBatch, Empty, Table, "within: 0 days", passed(0, 0)),
    cell("freshness", Edge::NoHistory, First, Table, "within: 1 weeks", valued("2025-08-31", 8, "passed")),
    cell("freshness", Edge::Unicode, First, Table, r#"within: 1 days, where: "t = '日本語'""#,
        valued("2025-08-30", 2, "failed")),
    cell("freshness", Edge::Decimal38, First, Table,
        "within: 1 days, where: d >= 99999999999999999999999999999999999999", valued("2025-08-30", 1, "failed")),
    cell("freshness", Edge::Below, First, Table, "within: 2 days", valued("2025-08-31", 8, "passed")),
    cell("freshness", Edge::At, First, Table, "within: 1 days", valued("2025-08-31", 8, "passed")),
    cell("freshness", Edge::Above, First, Table, "within: 0 days", valued("2025-08-31", 8, "failed")),

    // Rows are counted as they were staged, whatever they hold or lack.
    cell("row_count", Edge::Null, Holes, Table, "min: 4, max: 4", valued("4", 4, "passed")),
    cell("row_count", Edge::EmptyBatch, Empty, Table, "min: 1", valued("0", 0, "failed")),
    cell("row_count", Edge::NoHistory, First, Table, "min: 1", valued("10", 10, "passed")),
    cell("row_count", Edge::Unicode, First, Table, "min: 11", valued("10", 10, "failed")),
    cell("row_count", Edge::Decimal38, First, Table, "min: 10", valued("10", 10, "passed")),
    cell("row_count", Edge::Below, First, Table, "max: 11", valued("10", 10, "passed")),
    cell("row_count", Edge::At, First, Table, "max: 10", valued("10", 10, "passed")),
    cell("row_count", Edge::Above, First, Table, "max: 9", valued("10", 10, "failed")),

    // Five rows after loads of 2, 4 and 4: four of them hold NULLs, the last unicode and 38 digits.
    cell("row_count_change", Edge::Null, Later, Table, "within: 50 %, last: 3", valued("5", 5, "passed")),
    cell("row_count_change", Edge::EmptyBatch, LaterEmpty, Table, "within: 99 %", valued("0", 0, "failed")),
    cell("row_count_change", Edge::NoHistory, First, Table, "within: 0 %, min_history: 1", valued("8", 8, "skipped")),
    cell("row_count_change", Edge::Unicode, Later, Table, "within: 49.9 %, last: 3", valued("5", 5, "failed")),
    cell("row_count_change", Edge::Decimal38, Later, Table, "within: 0 %, min_history: 4", valued("5", 5, "skipped")),
    cell("row_count_change", Edge::Below, Later, Table, "within: 26 %, last: 2, min_history: 2",
        valued("5", 5, "passed")),
    cell("row_count_change", Edge::At, Later, Table, "within: 25 %, last: 2, min_history: 2", valued("5", 5, "passed")),
    cell("row_count_change", Edge::Above, Later, Table, "within: 24 %, last: 2, min_history: 2",
        valued("5", 5, "failed")),

    cell("null_rate", Edge::Null, First, Column("t"), "max: 12 %", failed(8, 1)),
    cell("null_rate", Edge::EmptyBatch, Empty, Column("t"), "max: 0 %", passed(0, 0)),
    cell("null_rate", Edge::NoHistory, First, Column("t"), "max: 13 %", passed(8, 1)),
    cell("null_rate", Edge::Unicode, First, Column("t"), r#"max: 33 %, where: "t = '日本語' OR t IS NULL""#, failed(3, 1)),
    cell("null_rate", Edge::Decimal38, First, Column("d"), "max: 12.5 %", passed(8, 1)),
    cell("null_rate", Edge::Below, First, Column("q"), "max: 26 %", passed(8, 2)),
    cell("null_rate", Edge::At, First, Column("q"), "max: 25 %", passed(8, 2)),
    cell("null_rate", Edge::Above, First, Column("q"), "max: 24 %", failed(8, 2)),

    // Rows that lack their key are nobody's duplicates.
    cell("duplicate_rate", Edge::Null, Holes, Table, "max: 25 %", passed(4, 1)),
    cell("duplicate_rate", Edge::EmptyBatch, Empty, Table, "max: 0 %", passed(0, 0)),
    cell("duplicate_rate", Edge::NoHistory, First, Table, "max: 50 %", passed(10, 1)),
    // The duplicate is a row with unicode and 38 digits.
    cell("duplicate_rate", Edge::Unicode, First, Table, "max: 0 %", failed(10, 1)),
    cell("duplicate_rate", Edge::Decimal38, First, Table, "max: 9.999999 %", failed(10, 1)),
    cell("duplicate_rate", Edge::Below, First, Table, "max: 11 %", passed(10, 1)),
    cell("duplicate_rate", Edge::At, First, Table, "max: 10 %", passed(10, 1)),
    cell("duplicate_rate", Edge::Above, First, Table, "max: 9 %", failed(10, 1)),

    cell("aggregate", Edge::Null, First, Table, "sql: SUM(q), min: 1, where: q IS NULL", passed(2, 0)),
    cell("aggregate", Edge::EmptyBatch, Empty, Table, "sql: COUNT(*), min: 1", valued("0", 0, "failed")),
    cell("aggregate", Edge::NoHistory, First, Column("t"), "sql: COUNT(DISTINCT t), max: 6", valued("6", 8, "passed")),
    cell("aggregate", Edge::Unicode, First, Table, "sql: MAX(t), max: übergroß", valued("日本語", 8, "failed")),
    cell("aggregate", Edge::Decimal38, First, Table, "sql: MAX(d), max: 99999999999999999999999999999999999998",
        valued("99999999999999999999999999999999999999", 8, "failed")),
    cell("aggregate", Edge::Below, First, Table, "sql: SUM(q), max: 63", valued("62", 8, "passed")),
    cell("aggregate", Edge::At, First, Table, "sql: SUM(q), max: 62", valued("62", 8, "passed")),
    cell("aggregate", Edge::Above, First, Table, "sql: SUM(q), max: 61", valued("62", 8, "failed")),

    // Names and types are the contract; whether staging says NOT NULL is not.
    cell("schema", Edge::Null, First, Contract("id BIGINT NOT NULL, at TIMESTAMP NOT NULL"), "", passed(2, 0)),
    cell("schema", Edge::EmptyBatch, Empty, Table, "", passed(7, 0)),
    cell("schema", Edge::NoHistory, First, Table, "action: warn", passed(7, 0)),
    cell("schema", Edge::Unicode, First, Contract("id BIGINT, `größe` STRING"), "", failed(2, 1)),
    cell("schema", Edge::Decimal38, First, Contract("id BIGINT, d DECIMAL(38,1)"), "", failed(2, 1)),
    // One column more than is contracted, as many, one fewer.
    cell("schema", Edge::Below, First,
        Contract("id BIGINT, at TIMESTAMP, t STRING, q INT, d DECIMAL(38,0), ref BIGINT"), "", passed(6, 0)),
    cell("schema", Edge::At, First,
        Contract("id BIGINT, at TIMESTAMP, t STRING, q INT, d DECIMAL(38,0), ref BIGINT, file STRING"), "", passed(7, 0)),
    cell("schema", Edge::Above, First,
        Contract("id BIGINT, at TIMESTAMP, t STRING, q INT, d DECIMAL(38,0), ref BIGINT, file STRING, more INT"), "",
        failed(8, 1)),

    // A key that is NULL is no row's.
    cell("sql", Edge::Null, First, Table, "query: SELECT CAST(NULL AS BIGINT) AS id", passed(8, 0)),
    cell("sql", Edge::EmptyBatch, Empty, Table, "query: SELECT * FROM batch", passed(0, 0)),
    cell("sql", Edge::NoHistory, First, Table, "query: SELECT id FROM batch WHERE q = 10, action: warn", warned(8, 3)),
    cell("sql", Edge::Unicode, First, Table, r#"query: "SELECT * FROM batch WHERE t = '日本語'""#, failed(8, 2)),
    cell("sql", Edge::Decimal38, First, Table,
        "query: SELECT * FROM batch WHERE d = 99999999999999999999999999999999999999", failed(8, 1)),
    cell("sql", Edge::Below, First, Table, "query: SELECT id FROM batch WHERE q = 10, error_if: '> 4 rows'", warned(8, 3)),
    cell("sql", Edge::At, First, Table, "query: SELECT id FROM batch WHERE q = 10, error_if: '> 3 rows'", warned(8, 3)),
    cell("sql", Edge::Above, First, Table, "query: SELECT id FROM batch WHERE q = 10, error_if: '> 2 rows'", failed(8, 3)),
];
