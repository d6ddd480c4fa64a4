//! Checks: what they resolve to, and what is said about them.

use super::*;
use crate::model::Action;
use crate::model::types::DataType;

/// The pipeline of [`HEAD`] with a dimension `d` and `rest`.
fn valid_with(rest: &str) -> Pipeline {
    let text = format!("{HEAD}incremental: {{column: order_date}}\ndimensions: {{d: d}}\n{rest}");
    valid(&text, &Overrides::default())
}

/// The report on one check of the column `a`, without its positions.
fn of_column(check: &str) -> String {
    of("columns: {a: {checks: [", check, "]}}", "columns.a.checks.0.")
}

/// The report on one check of the table, without its positions.
fn of_table(check: &str) -> String {
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
    assert_eq!(pipeline.checks[1].kind, CheckKind::Unique { columns: vec!["z".to_owned()] });
    let values = ["1", "1.50", "x: y", "true", "-0"].map(str::to_owned).to_vec();
    assert_eq!(pipeline.checks[2].kind, CheckKind::AcceptedValues { values });
    assert_eq!(pipeline.checks[2].warn_if, Some(Threshold { inclusive: true, limit: Limit::Rows(2) }));
    assert_eq!(pipeline.checks[12].kind, CheckKind::Freshness { within_days: 14 });
    let within = Percent::from_millionths(50_500_000);
    assert_eq!(pipeline.checks[14].kind, CheckKind::RowCountChange { within, last: 7, min_history: 3 });
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

#[test]
fn thresholds_are_for_checks_that_count_rows_and_filters_for_checks_that_look_at_rows() {
    for check in [
        "row_count: {min: 1",
        "row_count_change: {within: 5 %",
        "freshness: {within: 1 day",
        "aggregate: {sql: a, min: 1",
    ] {
        let kind = check.split(':').next().unwrap();
        for key in ["warn_if", "error_if"] {
            assert_eq!(
                of_table(&format!("{{{check}, {key}: '> 1'}}}}")),
                format!(
                    "`{kind}.{key}` means nothing here: `{kind}` does not count rows that fail\n  \
                     hint: leave it out: the action says what follows"
                )
            );
        }
    }
    for (check, hint) in [
        ("row_count: {min: 1", "to count some of the rows, use `aggregate: {sql: COUNT(*), where: …}`"),
        ("row_count_change: {within: 5 %", "leave it out"),
        ("duplicate_rate: {max: 5 %", "leave it out"),
        ("sql: {query: a", "say it in the query"),
    ] {
        let kind = check.split(':').next().unwrap();
        assert_eq!(
            of_table(&format!("{{{check}, where: a}}}}")),
            format!(
                "`{kind}.where` means nothing here: `{kind}` does not look at single rows of the batch\n  hint: {hint}"
            )
        );
    }
    assert_eq!(of_table("{sql: {query: a, error_if: '> 5 rows'}}"), "");
}

#[test]
fn values_that_mean_nothing_are_reported() {
    for (report, expected) in [
        (of_table("{row_count: {}}"), "`row_count` needs `min` or `max`, or both"),
        (of_column("{accepted_range: {}}"), "`accepted_range` needs `min` or `max`, or both"),
        (of_table("{aggregate: {sql: a}}"), "`aggregate` needs `min` or `max`, or both"),
        (of_table("{row_count: {min: [1]}}"), "`row_count.min` must be a whole number, not a list"),
        (of_table("{row_count: {min: -1}}"), "`row_count.min` must be at least 0, not -1"),
        (
            of_table("{row_count: {min: 5, max: 3}}"),
            "`row_count.max` is 3, which is less than `min`, 5\n  hint: no batch could ever pass",
        ),
        (
            of_table("{row_count_change: {within: 5 %, last: 2}}"),
            "`row_count_change.min_history` must be at most `last`, 2, not 3, which it is by default\n  \
             hint: it counts those of the last loads that there are",
        ),
        (
            of_table("{row_count_change: {within: 5 %, min_history: 0}}"),
            "`row_count_change.min_history` must be at least 1, not 0",
        ),
        (
            of_table("{row_count_change: {within: '50'}}"),
            "`row_count_change.within` must be a part in percent, not `50`\n  hint: write it like `5 %` or `0.5 %`",
        ),
        (
            of_column("{regex: {pattern: x, warn_if: '25 %'}}"),
            "`regex.warn_if` must be `>` or `>=` and a number of rows or a percentage, not `25 %`\n  \
             hint: write it like \"> 25 %\" or \">= 10 rows\"",
        ),
        (of_column("{regex: {pattern: ' '}}"), "`regex.pattern` must not be empty"),
        (of_column("{regex: {pattern: x, where: ''}}"), "`regex.where` must not be empty"),
        (
            of_column("{accepted_values: {values: []}}"),
            "`accepted_values.values` must have at least one value",
        ),
        (of_table("{unique: {columns: []}}"), "`unique.columns` must name at least one column"),
        (of_table("{unique: {columns: [b, b]}}"), "`unique.columns` names `b` twice"),
        (
            of_column("{relationships: {to: custmers, field: id}}"),
            "`relationships.to` names no dimension: there is no `custmers` in `dimensions`\n  \
             hint: did you mean `customers`?",
        ),
        (
            of_column("{not_null: {action: quarantin}}"),
            "`not_null.action` must be `warn` or `quarantine` or `fail`, not `quarantin`\n  \
             hint: did you mean `quarantine`?",
        ),
        (
            of_table("schema"),
            "`schema` needs `source.ddl`, which is not set\n  \
             hint: name the file with the staging table's DDL there",
        ),
    ] {
        assert_eq!(report, expected);
    }
    assert_eq!(
        report_on("columns: {'': {checks: [unique]}}\n"),
        "orders.yaml:7:15: `columns.` must name a column"
    );
}

#[test]
fn all_mistakes_in_checks_are_reported_at_once_in_order() {
    let text = "\
columns:
  a:
    checks:
      - uniqe
      - null_rate: {max: 101 %, action: quarantine}
      - row_count: {min: 1}
checks:
  - row_count: {min: 1, where: a}
  - freshness: {within: 1 hour}
";
    let report = report_on(text);
    let places: Vec<_> = report.lines().filter(|line| !line.starts_with(' ')).collect();
    let expected = ["10:9", "11:26", "11:41", "12:9", "14:32", "15:25"];
    assert_eq!(places.len(), expected.len(), "{report}");
    for (line, place) in places.iter().zip(expected) {
        assert!(line.starts_with(&format!("orders.yaml:{place}: ")), "{report}");
    }
}

#[test]
fn a_schema_check_has_the_columns_of_stagings_ddl_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("staging.sql");
    let ddl = path.display();
    let head = HEAD.replace("source: staging", &format!("source: {{table: staging, ddl: {ddl}}}"));
    let text = format!("{head}incremental: {{mode: changes}}\nchecks: [schema]\n");

    let report = || report(&text, &Overrides::default());
    assert!(
        report().starts_with("orders.yaml:7:10: `checks.0.schema` needs `source.ddl`, but "),
        "{}",
        report()
    );
    fs::write(&path, "CREATE TABLE staging (a INT, b NUMBER) USING DELTA").unwrap();
    let expected = format!(
        "orders.yaml:7:10: `checks.0.schema` needs `source.ddl`, which is not understood: {ddl}:1:30: \
         column `b`: type NUMBER is not supported"
    );
    assert_eq!(report(), expected);

    fs::write(&path, "CREATE TABLE staging (a INT NOT NULL, b DECIMAL(10,2)) USING DELTA").unwrap();
    let (pipeline, origins) = loaded(&text, &Overrides::default()).into_valid().unwrap();
    let columns = vec![("a".to_owned(), DataType::Int), ("b".to_owned(), DataType::Decimal(10, 2))];
    assert_eq!(pipeline.checks[0].kind, CheckKind::Schema { columns });
    assert_eq!(valid(&show_resolved(&pipeline, &origins), &Overrides::default()), as_said(pipeline));
}

#[test]
fn a_ddl_file_that_is_wrong_itself_is_reported_once() {
    let text = HEAD.replace("source: staging", "source: {table: staging, ddl: s3://lake/a.sql}");
    let text = format!("{text}incremental: {{mode: changes}}\nchecks: [schema]\n");
    assert_eq!(
        report(&text, &Overrides::default()),
        "orders.yaml:2:31: `source.ddl` must be the path of a file, not the URL `s3://lake/a.sql`"
    );
}

#[test]
fn every_shipped_file_resolves() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (file, checks) in [("orders.yaml", 4), ("orders-minimal.yaml", 1), ("stock.yaml", 2)] {
        let (pipeline, _) = load(&folder.join(file), &Overrides::default()).unwrap().into_valid().unwrap();
        assert_eq!(pipeline.checks.len(), checks, "{file}");
    }
}

#[test]
fn an_invalid_pattern_is_shown_with_a_caret_beside_all_other_problems() {
    let text = format!(
        "{HEAD}incremental: {{column: d}}\nmemory: much\nchecks_timeout: soon\ncolumns:\n  email:\n    checks:\n      \
         - regex: {{pattern: 'a(b'}}\n"
    );
    let problems = loaded(&text, &Overrides::default()).problems;
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    assert_eq!(problems.len(), 3, "{told}");
    let pattern = "orders.yaml:12:26: `columns.email.checks.0.regex.pattern` is no regular expression: unclosed group\n    \
                   a(b\n     ^";
    assert!(told.contains(pattern), "{told}");
    assert!(told.contains("`checks_timeout` must be a time from a second to a week, not `soon`"), "{told}");
}
