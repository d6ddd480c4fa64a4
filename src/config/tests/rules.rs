//! What must hold between keys.

use chrono::NaiveDate;

use super::*;

#[test]
fn the_key_must_name_columns_once_and_at_least_one() {
    let report = |key: &str| {
        let text = MINIMAL.replace("unique_key: order_id", &format!("unique_key: {key}"));
        report(&text, &Overrides::default())
    };
    assert_eq!(report("[]"), "orders.yaml:7:13: `unique_key` must name at least one column");
    assert_eq!(report("[a, a]"), "orders.yaml:7:17: `unique_key` names `a` twice");
    assert_eq!(report("''"), "orders.yaml:7:13: `unique_key.0` must not be empty");
}

#[test]
fn names_that_could_not_be_told_from_derived_ids_are_refused() {
    for name in ["orders/late", "", "ordërs", &"x".repeat(101)] {
        let text = MINIMAL.replace("name: orders", &format!("name: \"{name}\""));
        assert!(
            report(&text, &Overrides::default()).starts_with("orders.yaml:4:7: `name` must be 1 to 100 "),
            "{name}"
        );
    }
    assert!(
        report_on("dimensions: {a-b: c}\n")
            .contains("`dimensions.a-b` must have a name of letters, digits and `_`")
    );
}

#[test]
fn key_and_version_can_be_neither_lineage_nor_excluded() {
    let text = FULL
        .replace("[source_file, ingest_time]", "[order_id]")
        .replace("exclude: []", "exclude: updated_at");
    assert_eq!(
        report(&text, &Overrides::default()),
        "orders.yaml:5:13: `order_id` is part of the key, so it cannot be in `source.lineage`\n\
         orders.yaml:13:12: `updated_at` is the version column, so it cannot be in `target.exclude`"
    );
}

#[test]
fn a_column_is_left_out_in_one_place_only() {
    let text = FULL.replace("exclude: []", "exclude: [source_file]");
    assert!(report(&text, &Overrides::default()).contains("`source_file` is in `source.lineage` too"));
}

#[test]
fn load_columns_are_three_columns_that_mean_nothing_else() {
    let text = FULL
        .replace("batch_id: load_batch_id", "batch_id: order_id")
        .replace("loaded_at: loaded_at", "loaded_at: order_date")
        .replace("row_hash: row_hash", "row_hash: order_date");
    let report = report(&text, &Overrides::default());
    for expected in [
        "10:15: `order_id` is part of the key, so it cannot be the load column `batch_id`",
        "11:16: `order_date` is the watermark column, so it cannot be the load column `loaded_at`",
        "12:15: `order_date` is another load column already",
    ] {
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn the_version_cannot_be_part_of_the_key() {
    let text = MINIMAL.replace("unique_key: order_id", "unique_key: [order_id, updated_at]");
    assert!(
        report(&text, &Overrides::default())
            .contains("orders.yaml:8:13: `updated_at` is in `unique_key` too")
    );
}

#[test]
fn a_tie_breaker_that_decides_nothing_is_refused() {
    let report = report_on("tie_breakers: [order_id, updated_at, row_hash, a, a desc, b]\n");
    for expected in [
        "7:16: `order_id` is part of the key",
        "7:26: `updated_at` is the version column",
        "7:38: `row_hash` is a load column",
        "7:51: `a` is a tie-breaker already",
    ] {
        assert!(report.contains(expected), "{report}");
    }
    assert_eq!(report.matches("hint").count(), 4, "{report}");
}

#[test]
fn mode_window_needs_a_column_and_mode_changes_does_not() {
    assert_eq!(
        report_with_incremental("incremental: {mode: window}\n"),
        "orders.yaml:6:14: mode `window` needs `incremental.column`\n  \
         hint: name the column with the rows' day, or take `mode: changes`"
    );
    assert!(report_with_incremental("").starts_with("orders.yaml: mode `window` needs"));
    assert_eq!(report_with_incremental("incremental: {mode: changes}\n"), "");
}

#[test]
fn a_watermark_column_of_the_wrong_kind_is_not_reported_as_missing_too() {
    assert_eq!(
        report_with_incremental("incremental: {column: [a]}\n"),
        "orders.yaml:6:23: `incremental.column` must be text, not a list"
    );
}

#[test]
fn a_first_batch_that_would_start_after_its_logical_date_is_refused_in_mode_window() {
    let text =
        |mode| format!("as_of: 2025-09-01\nincremental: {{mode: {mode}, column: a, initial: 2025-09-02}}\n");
    assert!(
        report_with_incremental(&text("window"))
            .contains("`incremental.initial` (2025-09-02) is after `as_of`")
    );
    assert_eq!(report_with_incremental(&text("changes")), "");
}

#[test]
fn a_table_that_is_written_shares_its_folder_with_no_other() {
    assert!(
        report_on("audit: fact\n")
            .contains("7:8: `audit` and `target.table` lie in one folder, /lake/config/fact")
    );
    assert!(
        report_on("watermarks: staging/w\n").contains("`watermarks` and `source.table` lie in one folder")
    );
    assert!(
        report_on("dimensions: {d: fact}\n").contains("`target.table` and `dimensions.d` lie in one folder")
    );
    assert!(
        report_on("audit: other/x\nwatermarks: other/x\n")
            .contains("`watermarks` and `audit` lie in one folder")
    );
    assert!(
        report_on("quarantine: fact/bad\n")
            .contains("7:13: `quarantine` and `target.table` lie in one folder, /lake/config/fact/bad")
    );
    assert!(report_on("attempts: staging\n").contains("`attempts` and `source.table` lie in one folder"));
    assert!(report_on("audit: fact_bad\n").contains("7:8: `audit` and `quarantine` lie in one folder"));
    assert!(report_on("quarantine: staging\n").contains("`quarantine` and `source.table` lie in one folder"));
    assert!(report_on("quarantine: s3://lake\n").contains("`quarantine` must name a table's folder"));
    assert_eq!(report_on("dimensions: {d: staging, e: staging}\n"), "");
}

#[test]
fn two_pipelines_may_share_the_record_tables() {
    let pipeline = valid(&format!("{MINIMAL}audit: s3://ops/audit\n"), &Overrides::default());
    assert_eq!(pipeline.audit.as_str(), "s3://ops/audit");
    assert_eq!(pipeline.watermarks.as_str(), "/lake/config/load_watermarks");
}

#[test]
fn dates_resolve() {
    let text = MINIMAL.replace("{column: order_date}", "{column: order_date, initial: 2025-01-01}");
    let pipeline = valid(&text, &env(&[("HIGHWATER__AS_OF", "2025-09-01")]));
    assert_eq!(pipeline.as_of, AsOf::Date(NaiveDate::from_ymd_opt(2025, 9, 1).unwrap()));
    assert_eq!(
        pipeline.incremental.initial,
        Some(Initial::Date(NaiveDate::from_ymd_opt(2025, 1, 1).unwrap()))
    );
}
