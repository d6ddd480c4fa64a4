//! Configurations held against the columns of their tables.

use super::*;
use crate::model::types::{DataType, Field};

pub(super) fn field(name: &str, data_type: DataType) -> Field {
    Field { name: name.to_owned(), data_type, nullable: true }
}

pub(super) fn source_columns() -> Vec<Field> {
    vec![
        field("order_id", DataType::Int),
        field("customer_id", DataType::Int),
        field("order_date", DataType::Date),
        field("updated_at", DataType::Timestamp),
        field("total_amount", DataType::Decimal(10, 2)),
        field("source_file", DataType::String),
        field("ingest_time", DataType::Timestamp),
    ]
}

pub(super) fn target_columns() -> Vec<Field> {
    let mut columns = source_columns();
    columns.truncate(5);
    columns.push(field("load_batch_id", DataType::String));
    columns.push(field("loaded_at", DataType::Timestamp));
    columns.push(field("row_hash", DataType::String));
    columns
}

fn set(columns: &mut [Field], name: &str, data_type: DataType) {
    columns.iter_mut().find(|field| field.name == name).unwrap().data_type = data_type;
}

/// The report on `text` held against the tables.
pub(super) fn column_report(text: &str, source: &[Field], target: &[Field]) -> String {
    let (pipeline, origins) = loaded(text, &Overrides::default()).into_valid().unwrap();
    let partitions = ["order_date".to_owned()];
    let both = BothColumns::of(source, target, &partitions);
    Problems(check_columns(&pipeline, &origins, both, Missing::Wrong)).to_string()
}

#[test]
fn the_shipped_files_fit_the_reference_tables() {
    assert_eq!(column_report(&FULL, &source_columns(), &target_columns()), "");
    assert_eq!(column_report(MINIMAL, &source_columns(), &target_columns()), "");
}

#[test]
fn columns_that_no_table_has_are_all_reported_with_the_nearest_name() {
    let text = FULL
        .replace("[source_file, ingest_time]", "[source_fil]")
        .replace("exclude: []", "exclude: [nothing_alike]")
        .replace("[order_id]", "[order_idd]")
        .replace("updated_at: updated_at", "updated_at: Updated_At")
        .replace("column: order_date", "column: order_dat")
        .replace("ingest_time desc", "ingest_tme desc");
    let report = column_report(&text, &source_columns(), &target_columns());
    let expected = "\
orders.yaml:5:13: the staging table has no column `source_fil`
  hint: did you mean `source_file`?
orders.yaml:13:13: the staging table has no column `nothing_alike`
orders.yaml:14:14: the staging table has no column `order_idd`
  hint: did you mean `order_id`?
orders.yaml:15:13: the staging table has no column `Updated_At`
  hint: did you mean `updated_at`?
orders.yaml:16:16: the staging table has no column `ingest_tme`
  hint: did you mean `ingest_time`?
orders.yaml:22:11: the staging table has no column `order_dat`
  hint: did you mean `order_date`?";
    assert_eq!(report, expected);
}

#[test]
fn missing_load_columns_are_reported_with_the_statement_that_adds_them() {
    let mut target = target_columns();
    target.retain(|field| !["row_hash", "loaded_at"].contains(&field.name.as_str()));
    assert_eq!(
        column_report(MINIMAL, &source_columns(), &target),
        "orders.yaml:6:9: the target lacks the load columns `loaded_at`, `row_hash`\n  \
         hint: ALTER TABLE delta.`/lake/config/fact_orders` ADD COLUMNS (loaded_at TIMESTAMP, row_hash STRING)"
    );
}

#[test]
fn load_columns_of_another_type_are_refused() {
    let mut target = target_columns();
    set(&mut target, "loaded_at", DataType::TimestampNtz);
    assert_eq!(
        column_report(MINIMAL, &source_columns(), &target),
        "orders.yaml:6:9: the load column `loaded_at` must be TIMESTAMP, not TIMESTAMP_NTZ"
    );
}

#[test]
fn key_and_version_must_be_columns_of_the_target_too() {
    let mut target = target_columns();
    target.retain(|field| field.name != "order_id" && field.name != "updated_at");
    let report = column_report(MINIMAL, &source_columns(), &target);
    assert!(report.contains("orders.yaml:7:13: the target has no column `order_id`"), "{report}");
    assert!(report.contains("orders.yaml:8:13: the target has no column `updated_at`"), "{report}");
}

#[test]
fn types_that_no_row_can_be_found_by_are_refused_as_keys_once() {
    let list = DataType::Array(Box::new(DataType::Int));
    for (data_type, fits) in [
        (DataType::Decimal(15, 0), true),
        (DataType::Decimal(16, 0), false),
        (DataType::Double, false),
        (DataType::Float, false),
        (DataType::Binary, false),
        (list, false),
        (DataType::String, true),
        (DataType::Date, true),
    ] {
        let (mut source, mut target) = (source_columns(), target_columns());
        set(&mut source, "order_id", data_type.clone());
        set(&mut target, "order_id", data_type.clone());
        let report = column_report(MINIMAL, &source, &target);
        if fits {
            assert_eq!(report, "", "{data_type}");
        } else {
            let expected = format!("`order_id` cannot be part of the key: it is {data_type} in the target");
            assert!(report.starts_with(&format!("orders.yaml:7:13: {expected}")), "{report}");
            assert_eq!(report.lines().count(), 1, "{report}");
        }
    }
}

#[test]
fn a_version_is_a_time_a_date_or_an_integer() {
    for (data_type, fits) in [
        (DataType::Timestamp, true),
        (DataType::Date, true),
        (DataType::Byte, true),
        (DataType::Long, true),
        (DataType::TimestampNtz, true),
        (DataType::String, false),
        (DataType::Double, false),
        (DataType::Decimal(10, 0), false),
    ] {
        let (mut source, mut target) = (source_columns(), target_columns());
        set(&mut source, "updated_at", data_type.clone());
        set(&mut target, "updated_at", data_type.clone());
        let report = column_report(MINIMAL, &source, &target);
        let expected =
            format!("orders.yaml:8:13: the version column `updated_at` is {data_type} in the target");
        assert_eq!(report.is_empty(), fits, "{report}");
        assert!(fits || report.starts_with(&expected), "{report}");
    }
}

#[test]
fn a_watermark_column_that_is_no_day_and_a_tie_breaker_without_order_are_refused() {
    let mut source = source_columns();
    set(&mut source, "ingest_time", DataType::Struct(vec![]));
    let text = FULL.replace("column: order_date", "column: source_file");
    let report = column_report(&text, &source, &target_columns());
    assert!(
        report.contains("the watermark column `source_file` must be DATE or TIMESTAMP, not STRING"),
        "{report}"
    );
    assert!(report.contains("the tie-breaker `ingest_time` is STRUCT<>, which has no order"), "{report}");
}

#[test]
fn a_column_that_would_lose_values_is_refused_and_one_that_widens_is_not() {
    let (mut source, mut target) = (source_columns(), target_columns());
    set(&mut source, "total_amount", DataType::Decimal(12, 2));
    set(&mut target, "customer_id", DataType::Long);
    assert_eq!(
        column_report(MINIMAL, &source, &target),
        "orders.yaml:6:9: `total_amount` is DECIMAL(12,2) in the staging table, which does not fit the target's \
         DECIMAL(10,2)\n  hint: types widen only where nothing is lost: convert it, \
         `columns: {total_amount: {from: \"CAST(`total_amount` AS DECIMAL(10,2))\"}}`"
    );
}

#[test]
fn a_nested_column_is_loaded_into_the_same_type_only() {
    let list = |element| field("tags", DataType::Array(Box::new(element)));
    let (mut source, mut target) = (source_columns(), target_columns());
    source.push(list(DataType::String));
    assert_eq!(column_report(MINIMAL, &source, &target), "", "the target does not have it");
    target.push(list(DataType::String));
    assert_eq!(column_report(MINIMAL, &source, &target), "");
    *target.last_mut().unwrap() = list(DataType::Int);
    assert_eq!(
        column_report(MINIMAL, &source, &target),
        "orders.yaml:6:9: `tags` is ARRAY<STRING> in the staging table, which does not fit the target's ARRAY<INT>\n  \
         hint: nested columns are loaded into the same type: compute it under `columns`, or add `tags` to `target.exclude`"
    );
    let excluded = FULL.replace("exclude: []", "exclude: [tags]");
    assert_eq!(column_report(&excluded, &source, &target), "");
}

#[test]
fn a_target_column_that_staging_lacks_must_be_excluded_and_nullable() {
    let mut target = target_columns();
    target.push(field("note", DataType::String));
    assert_eq!(
        column_report(MINIMAL, &source_columns(), &target),
        "orders.yaml:6:9: the target's column `note` is missing in the staging table\n  \
         hint: say where it comes from, `columns: {note: {from: …}}`; or, if it is to stay as it is, add it to `target.exclude`"
    );
    let excluded = FULL.replace("exclude: []", "exclude: [note]");
    assert_eq!(column_report(&excluded, &source_columns(), &target), "");
    target.last_mut().unwrap().nullable = false;
    let report = column_report(&excluded, &source_columns(), &target);
    assert!(report.contains("13:13: `note` is NOT NULL in the target, so it cannot be left out"), "{report}");
}

#[test]
fn the_targets_partition_column_cannot_be_left_out() {
    let text = FULL.replace("exclude: []", "exclude: [order_date]");
    let report = column_report(&text, &source_columns(), &target_columns());
    assert!(report.contains("`order_date` partitions the target, so it cannot be left out"), "{report}");
}
