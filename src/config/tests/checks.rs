//! Checks: what they resolve to, and what is said about them.

use super::*;
use crate::checks::{AcceptedValues, CheckKind, Freshness, RowCountChange, Unique};
use crate::model::Action;
use crate::notation::{Limit, Percent, Threshold};

/// The pipeline of [`HEAD`] with a dimension `d` and `rest`.
fn valid_with(rest: &str) -> Pipeline {
    let text = format!("{HEAD}incremental: {{column: order_date}}\ndimensions: {{d: d}}\n{rest}");
    valid(&text, &Overrides::default())
}

/// The report on one check of the column `a`, without its positions.
pub(super) fn of_column(check: &str) -> String {
    of("columns: {a: {checks: [", check, "]}}", "columns.a.checks.0.")
}

/// The report on one check of the table, without its positions.
pub(super) fn of_table(check: &str) -> String {
    of("checks: [", check, "]", "checks.0.")
}

fn of(before: &str, check: &str, after: &str, path: &str) -> String {
    let report = report_on(&format!("dimensions: {{customers: c}}\n{before}{check}{after}\n"));
    let problems: Vec<_> = report.lines().map(|line| line.trim_start_matches("orders.yaml:8:")).collect();
    let place = |line: &str| line.split_once(": ").map_or(line.to_owned(), |(_, problem)| problem.to_owned());
    let lines =
        problems.iter().map(|line| if line.starts_with("  ") { (*line).to_owned() } else { place(line) });
    lines.map(|line| line.replace(path, "")).collect::<Vec<_>>().join("\n")
}

/// Every kind of check of a column, then of the table, with every key.
const ALL: &str = "\
columns:
  z:
    checks:
      - not_null
      - unique: {where: \"z > 0\", action: quarantine}
      - accepted_values: {values: [1, 1.50, 'x: y', true, -0], warn_if: '>= 2 rows', error_if: '> 0.5 %'}
      - accepted_range: {min: 0, max: '2025-01-01', name: a.range-1, action: warn}
  a:
    checks:
      - regex: {pattern: '^\"[A-Z]{2}\\d$'}
      - relationships: {to: d, field: id, action: quarantine, error_if: '> 25 %'}
      - expression: {sql: \"a <> 'it''s' -- really\"}
      - null_rate: {max: 5 %, where: z IS NULL, warn_if: '> 1'}
      - aggregate: {sql: MAX(a), max: 10}
checks:
  - unique: {columns: [a, z]}
  - unique: {columns: z, name: once}
  - expression: {sql: a < z, warn_if: '> 10 %'}
  - freshness: {within: 2 weeks, where: a = 1}
  - row_count: {min: 1, max: 18000000}
  - row_count_change: {within: 50.5 %}
  - duplicate_rate: {max: 0.000001 %, action: warn, error_if: '> 50 %'}
  - aggregate: {sql: COUNT(*), min: 1, max: 1e3, where: a > 0}
  - sql: {query: 'SELECT * FROM batch WHERE a > 1', action: quarantine}
";

#[test]
fn every_kind_resolves_in_the_order_of_the_file_with_its_name() {
    let pipeline = valid_with(ALL);
    let names: Vec<_> = pipeline.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "not_null_z",
            "unique_z",
            "accepted_values_z",
            "a.range-1",
            "regex_a",
            "relationships_a",
            "expression_a",
            "null_rate_a",
            "aggregate_a",
            "unique_a_z",
            "once",
            "expression",
            "freshness",
            "row_count",
            "row_count_change",
            "duplicate_rate",
            "aggregate",
            "sql",
        ]
    );
    assert!(pipeline.checks[..9].iter().all(|check| check.column.is_some()));
    assert!(pipeline.checks[9..].iter().all(|check| check.column.is_none()));
    assert_eq!(pipeline.checks[0].action, Action::Fail);
    assert_eq!(pipeline.checks[1].kind, CheckKind::Unique(Unique { columns: vec!["z".to_owned()] }));
    let values = ["1", "1.50", "x: y", "true", "-0"].map(str::to_owned).to_vec();
    assert_eq!(pipeline.checks[2].kind, CheckKind::AcceptedValues(AcceptedValues { values }));
    assert_eq!(pipeline.checks[2].warn_if, Some(Threshold { inclusive: true, limit: Limit::Rows(2) }));
    assert_eq!(pipeline.checks[12].kind, CheckKind::Freshness(Freshness { within_days: 14 }));
    let within = Percent::from_millionths(50_500_000);
    assert_eq!(
        pipeline.checks[14].kind,
        CheckKind::RowCountChange(RowCountChange { within, last: 7, min_history: 3 })
    );
}

#[test]
fn every_kind_shown_resolves_to_itself() {
    let text =
        format!("{HEAD}incremental: {{column: order_date}}\ndimensions: {{d: d}}\nquarantine: bad\n{ALL}");
    let text = text.replace("  a:\n", "  \"no: # such.column\":\n");
    let (pipeline, origins) = loaded(&text, &Overrides::default()).into_valid().unwrap();
    let shown = show_resolved(&pipeline, &origins);
    assert_eq!(valid(&shown, &Overrides::default()), as_said(pipeline), "{shown}");
    assert!(
        shown.contains("          error_if: \"> 0.5 %\"                    # orders.yaml:14:"),
        "{shown}"
    );
}

#[test]
fn a_bare_name_and_a_single_value_are_short_for_more() {
    let short = valid_with(
        "columns: {a: {checks: not_null}, b: {checks: [unique, {accepted_values: {values: x}}]}}\n",
    );
    let long = valid_with(
        "columns: {a: {checks: [{not_null: {}}]}, b: {checks: [{unique: {}}, {accepted_values: {values: [x]}}]}}\n",
    );
    assert_eq!(short, long);
    assert_eq!(short.checks.len(), 3);
    let text = format!("{HEAD}incremental: {{column: order_date}}\ncolumns: {{a: {{checks: []}}}}\n");
    let pipeline = valid(&text, &env(&[("HIGHWATER__COLUMNS__A__CHECKS", "not_null")]));
    assert_eq!(pipeline.checks[0].name, "not_null_a");
}

#[test]
fn not_null_of_key_version_and_watermark_column_is_built_in_and_may_be_said_or_keep_rows_out() {
    let said =
        |column: &str, check: &str| report_on(&format!("columns: {{{column}: {{checks: [{check}]}}}}\n"));
    for column in ["order_id", "updated_at", "order_date"] {
        assert_eq!(said(column, "not_null"), "");
        assert_eq!(said(column, "{not_null: {action: fail}}"), "");
        assert_eq!(said(column, "{not_null: {action: quarantine, error_if: '> 1 %', name: b}}"), "");
        let report = said(column, "{not_null: {action: quarantine, where: a}}");
        assert!(report.contains("not_null.where` must be left out: "), "{report}");
        let report = said(column, "not_null, {not_null: {action: quarantine}}");
        assert!(report.contains("is there twice, with two actions"), "{report}");
        let report =
            said(column, "{not_null: {action: warn, where: a, warn_if: '> 1', error_if: '> 1', name: b}}");
        let rest = format!("rows without `{column}` can never be loaded\n  hint: `not_null` is built in for");
        assert_eq!(report.matches(&rest).count(), 5, "{report}");
        assert!(report.contains("not_null.action` must be `fail` or `quarantine`: "), "{report}");
        assert!(report.contains("not_null.where` must be left out: "), "{report}");
    }
    let pipeline = valid_with("columns: {order_id: {checks: not_null}}\n");
    assert_eq!(pipeline.checks, []);
    let pipeline = valid_with("columns: {order_id: {checks: [{not_null: {action: quarantine}}]}}\n");
    assert_eq!((pipeline.checks.len(), pipeline.checks[0].name.as_str()), (1, "not_null_order_id"));
}

#[test]
fn two_checks_of_one_name_are_reported_and_so_is_the_name_of_a_built_in_one() {
    assert_eq!(
        report_on(
            "checks:\n  - expression: {sql: a}\n  - expression: {sql: b}\n  - row_count: {min: 1, name: expression}\n\
             \x20 - expression: {sql: c, name: not_null_order_id}\n"
        ),
        "orders.yaml:9:17: `expression` is the name of two checks; the first is at orders.yaml:8:17\n  \
         hint: give one of them a `name` of its own\n\
         orders.yaml:10:31: `expression` is the name of two checks; the first is at orders.yaml:8:17\n  \
         hint: give one of them a `name` of its own\n\
         orders.yaml:11:32: `not_null_order_id` is the name of a check that is built in\n  \
         hint: give it another `name`"
    );
}

#[test]
fn names_are_bounded_and_plain() {
    for name in ["'a b'", "''", "ä", "a/b", &"x".repeat(101)] {
        let report = of_table(&format!("{{row_count: {{min: 1, name: {name}}}}}"));
        assert!(
            report.starts_with("`row_count.name` must be 1 to 100 letters, digits, `_`, `.` or `-`, not "),
            "{report}"
        );
    }
    assert_eq!(of_table(&format!("{{row_count: {{min: 1, name: {}}}}}", "x".repeat(100))), "");
}

#[test]
fn a_kind_at_the_wrong_level_is_told_where_it_belongs() {
    for (check, kind) in [
        ("{freshness: {within: 1 day}}", "freshness"),
        ("{row_count: {min: 1}}", "row_count"),
        ("{row_count_change: {within: 5 %}}", "row_count_change"),
        ("{duplicate_rate: {max: 5 %}}", "duplicate_rate"),
        ("{schema: {}}", "schema"),
        ("schema", "schema"),
        ("{sql: {query: x}}", "sql"),
    ] {
        let expected =
            format!("`{kind}` is a check of the table as a whole\n  hint: it belongs under `checks`");
        assert_eq!(of_column(check), expected);
    }
    for (check, kind) in [
        ("{not_null: {}}", "not_null"),
        ("not_null", "not_null"),
        ("{accepted_values: {values: [1]}}", "accepted_values"),
        ("{accepted_range: {min: 1}}", "accepted_range"),
        ("{regex: {pattern: x}}", "regex"),
        ("{relationships: {to: d, field: d}}", "relationships"),
        ("{null_rate: {max: 5 %}}", "null_rate"),
    ] {
        let expected =
            format!("`{kind}` is a check of one column\n  hint: it belongs under `columns.NAME.checks`");
        assert_eq!(of_table(check), expected);
    }
}

#[test]
fn a_check_has_exactly_one_kind_with_its_keys() {
    for (report, expected) in [
        (
            of_column("{unique: {}, not_null: {}}"),
            "`columns.a.checks.0` is a `unique` check already, not `not_null` too\n  \
             hint: begin each check with a `-` of its own",
        ),
        (
            of_column("{}"),
            "`columns.a.checks.0` must have one key, the kind of check\n  hint: one of `not_null`, `unique`, \
             `accepted_values`, `accepted_range`, `regex`, `relationships`, `expression`, `null_rate`, `aggregate`",
        ),
        (
            of_column("{uniqe: {}}"),
            "unknown key `uniqe` in `columns.a.checks.0`\n  hint: did you mean `unique`?",
        ),
        (
            of_column("not_nul"),
            "`columns.a.checks.0` must be `not_null` or `unique`, not `not_nul`\n  \
             hint: did you mean `not_null`?",
        ),
        (of_column("regex"), "`regex` is no check without its keys\n  hint: write `regex: {pattern: …}`"),
        (of_column("{not_null: }"), "`not_null` has no value\n  hint: write `not_null: {}`"),
        (
            of_column("{relationships: }"),
            "`relationships` has no value\n  hint: write `relationships: {to: …, field: …}`",
        ),
        (
            of_column("{unique: {}, action: warn}"),
            "`action` is no kind of check\n  \
             hint: as a key of `unique` it goes below that: `unique: {action: …}`",
        ),
        (of_column("{regex: {}}"), "missing key `pattern` in `regex`"),
        (of_column("{null_rate: {}}"), "missing key `max` in `null_rate`"),
        (of_table("{duplicate_rate: {}}"), "missing key `max` in `duplicate_rate`"),
        (of_table("{unique: {}}"), "missing key `columns` in `unique`"),
        (
            of_column("{accepted_range: {minn: 0, max: 1}}"),
            "unknown key `minn` in `accepted_range`\n  hint: did you mean `min`?",
        ),
    ] {
        assert_eq!(report, expected);
    }
}

#[test]
fn a_check_of_the_batch_as_a_whole_cannot_quarantine() {
    for check in [
        "row_count: {min: 1",
        "row_count_change: {within: 5 %",
        "freshness: {within: 1 day",
        "duplicate_rate: {max: 5 %",
        "aggregate: {sql: a, min: 1",
    ] {
        let kind = check.split(':').next().unwrap();
        assert_eq!(
            of_table(&format!("{{{check}, action: quarantine}}}}")),
            format!(
                "`{kind}.action` cannot be `quarantine`: a check of the batch as a whole cannot quarantine rows\n  \
                 hint: take `warn` or `fail`"
            )
        );
    }
    assert!(of_column("{null_rate: {max: 1 %, action: quarantine}}").contains("cannot quarantine rows"));
}
