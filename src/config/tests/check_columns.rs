//! Checks held against the columns of the staging table.

use super::columns::{column_report, field, source_columns, target_columns};
use super::*;
use crate::model::types::DataType;

/// The report on the minimal file without its checks, with `rest`, whose first line is line 11.
fn bound_report(rest: &str) -> String {
    let head = MINIMAL.split("columns:").next().unwrap();
    column_report(&format!("{head}{rest}"), &source_columns(), &target_columns())
}

#[test]
fn checks_of_columns_that_staging_lacks_are_reported_with_the_nearest_name() {
    assert_eq!(
        bound_report(
            "columns:\n  total_amout: {checks: [not_null, {accepted_range: {min: 0}}]}\n\
             checks:\n  - unique: {columns: [order_id, sourcefile]}\n"
        ),
        "orders.yaml:12:26: the staging table has no column `total_amout`\n  hint: did you mean `total_amount`?\n\
         orders.yaml:12:53: the staging table has no column `total_amout`\n  hint: did you mean `total_amount`?\n\
         orders.yaml:14:34: the staging table has no column `sourcefile`\n  hint: did you mean `source_file`?"
    );
}

#[test]
fn checks_behind_one_that_is_built_in_are_reported_at_their_own_place() {
    let report =
        bound_report("columns:\n  order_id:\n    checks:\n      - not_null\n      - regex: {pattern: x}\n");
    assert_eq!(report, "orders.yaml:15:16: `regex` needs a STRING, but `order_id` is INT");
}

#[test]
fn bounds_and_values_that_are_none_of_the_columns_type_are_reported_where_they_stand() {
    assert_eq!(
        bound_report(
            "columns:\n  total_amount: {checks: [{accepted_range: {min: zero, max: 1e3}}]}\n  \
             order_date: {checks: [{accepted_values: {values: [2025-09-01, 2025-9-1]}}]}\n"
        ),
        "orders.yaml:12:50: `columns.total_amount.checks.0.accepted_range.min` must be a number, not `zero`\n\
         orders.yaml:12:61: `columns.total_amount.checks.0.accepted_range.max` must be a number, not `1e3`\n\
         orders.yaml:13:65: `columns.order_date.checks.0.accepted_values.values.1` must be a date such as \
         `2025-09-01`, not `2025-9-1`"
    );
    assert_eq!(
        bound_report("columns: {total_amount: {checks: [{accepted_range: {min: -0.005, max: 1.5}}]}}\n"),
        ""
    );
}

#[test]
fn values_that_cannot_be_compared_are_refused_where_checks_compare() {
    let mut source = source_columns();
    source.push(field("tags", DataType::Array(Box::new(DataType::String))));
    let report = |checks: &str| {
        let text = format!("{MINIMAL}  tags: {{checks: [{checks}]}}\n");
        column_report(&text, &source, &target_columns())
    };
    for kind in ["unique", "accepted_values: {values: [1]}", "accepted_range: {min: 1}"] {
        let expected = "compares values, which `tags` has none of: it is ARRAY<STRING>";
        let report = report(kind);
        assert!(report.contains(expected) && report.lines().count() == 1, "{report}");
    }
    assert_eq!(report("not_null, {null_rate: {max: 5 %}}, {expression: {sql: size(tags) > 0}}"), "");
    let text = format!("{MINIMAL}checks: [{{unique: {{columns: [order_id, tags]}}}}]\n");
    assert!(
        column_report(&text, &source, &target_columns()).starts_with("orders.yaml:15:40: `unique` compares")
    );
}

#[test]
fn freshness_needs_a_version_that_is_a_time() {
    let (mut source, mut target) = (source_columns(), target_columns());
    let text = format!("{MINIMAL}checks: [{{freshness: {{within: 2 days}}}}]\n");
    assert_eq!(column_report(&text, &source, &target), "");
    for columns in [&mut source, &mut target] {
        columns.iter_mut().find(|field| field.name == "updated_at").unwrap().data_type = DataType::Long;
    }
    assert_eq!(
        column_report(&text, &source, &target),
        "orders.yaml:15:22: `freshness` needs a version that is a DATE or a TIMESTAMP, but `updated_at` is BIGINT\n  \
         hint: a version that counts has no age"
    );
}

#[test]
fn staging_columns_with_names_of_ours_are_refused_whatever_their_case() {
    let mut source = source_columns();
    source.push(field("DQ_status", DataType::String));
    source.push(field("__hw_file", DataType::String));
    source.push(field("dqx", DataType::String));
    assert_eq!(
        column_report(MINIMAL, &source, &target_columns()),
        "orders.yaml:5:9: the staging table has a column `DQ_status`\n  \
         hint: names that begin with `dq_` are highwater's own\n\
         orders.yaml:5:9: the staging table has a column `__hw_file`\n  \
         hint: names that begin with `__hw_` are highwater's own"
    );
}
