//! What is wrong with the checks of a pipeline file.

use super::checks::{of_column, of_table};
use super::*;
use crate::checks::{CheckKind, Schema};
use crate::model::types::DataType;

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
    assert_eq!(pipeline.checks[0].kind, CheckKind::Schema(Schema { columns }));
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
