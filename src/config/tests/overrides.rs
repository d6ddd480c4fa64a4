//! Environment and flags over the file.

use super::*;

#[test]
fn flags_go_over_the_environment_over_the_file_over_the_defaults() {
    let lookback = |text: &str, overrides: &Overrides| valid(text, overrides).incremental.lookback_days;
    let file = MINIMAL.replace("{column: order_date}", "{column: order_date, lookback: 6 days}");
    let env = env(&[("HIGHWATER__INCREMENTAL__LOOKBACK", "5 days")]);
    let flag = flag(env.clone(), "incremental.lookback", "4 days", "--lookback");
    assert_eq!(lookback(MINIMAL, &Overrides::default()), 7);
    assert_eq!(lookback(&file, &Overrides::default()), 6);
    assert_eq!(lookback(&file, &env), 5);
    assert_eq!(lookback(&file, &flag), 4);
}

#[test]
fn a_variable_reaches_into_a_section_that_the_file_writes_short_or_not_at_all() {
    let pipeline = valid(
        MINIMAL,
        &env(&[
            ("HIGHWATER__SOURCE__TABLE", "s3://lake/staging"),
            ("HIGHWATER__TARGET__DDL", "fact.sql"),
            ("HIGHWATER__MERGE__PARTITIONS_PER_COMMIT", "7"),
            ("HIGHWATER__DIMENSIONS__DIM_CUSTOMER__TABLE", "s3://lake/dim"),
            ("HIGHWATER__UNIQUE_KEY", "id"),
        ]),
    );
    assert_eq!(pipeline.source.table.as_str(), "s3://lake/staging");
    assert_eq!(pipeline.target.table.as_str(), "/lake/config/fact_orders");
    assert_eq!(pipeline.target.ddl.as_deref(), Some(Path::new("/lake/config/fact.sql")));
    assert_eq!(pipeline.partitions_per_commit, 7);
    assert_eq!(pipeline.dimensions["dim_customer"].table.as_str(), "s3://lake/dim");
    assert_eq!(pipeline.unique_key, ["id"]);
}

#[test]
fn a_table_set_in_short_leaves_the_rest_of_its_section_as_it_is() {
    let pipeline = valid(&FULL, &env(&[("HIGHWATER__SOURCE", "s3://lake/staging")]));
    assert_eq!(pipeline.source.table.as_str(), "s3://lake/staging");
    assert_eq!(pipeline.source.lineage, ["source_file", "ingest_time"]);
}

#[test]
fn the_order_of_the_environment_does_not_matter() {
    let vars = [("HIGHWATER__SOURCE__TABLE", "long"), ("HIGHWATER__SOURCE__LINEAGE", "source_file")];
    let reversed = [vars[1], vars[0]];
    assert_eq!(valid(MINIMAL, &env(&vars)), valid(MINIMAL, &env(&reversed)));
    let twice = [("HIGHWATER__SOURCE__TABLE", "a"), ("HIGHWATER__SOURCE", "b")];
    let expected = "HIGHWATER__SOURCE__TABLE: sets `source.table`, which HIGHWATER__SOURCE sets too";
    assert_eq!(report(MINIMAL, &env(&twice)), expected);
    assert_eq!(report(MINIMAL, &env(&[twice[1], twice[0]])), expected);
}

#[test]
fn a_misspelt_variable_is_reported_with_the_nearest_name() {
    let overrides = env(&[
        ("HIGHWATER__INCREMENTAL__LOOKBAK", "3 days"),
        ("HIGHWATER__INCREMNTAL__LAG", "3 days"),
        ("HIGHWATER_LOG", "debug"),
    ]);
    assert_eq!(
        report(MINIMAL, &overrides),
        "HIGHWATER__INCREMENTAL__LOOKBAK: unknown key `lookbak` in `incremental`\n  \
         hint: did you mean `HIGHWATER__INCREMENTAL__LOOKBACK`?\n\
         HIGHWATER__INCREMNTAL__LAG: unknown key `incremntal`\n  \
         hint: did you mean `HIGHWATER__INCREMENTAL`?"
    );
}

#[test]
fn a_wrong_value_from_outside_is_reported_with_the_name_of_the_variable_or_flag() {
    let overrides = env(&[("HIGHWATER__MERGE__PARTITIONS_PER_COMMIT", "many"), ("HIGHWATER__MEMORY", "")]);
    assert_eq!(
        report(MINIMAL, &flag(overrides, "as_of", "yesterday", "--as-of")),
        "HIGHWATER__MEMORY: `memory` has no value\n  hint: leave it out altogether to have the default\n\
         HIGHWATER__MERGE__PARTITIONS_PER_COMMIT: `merge.partitions_per_commit` must be a whole number, not text\n\
         --as-of: `as_of` must be `today` or a date such as `2025-09-01`, not `yesterday`"
    );
}

#[test]
fn a_variable_that_names_no_key_one_item_of_a_list_or_a_key_twice_is_reported() {
    let overrides = env(&[
        ("HIGHWATER__", "x"),
        ("HIGHWATER__TIE_BREAKERS__0", "a desc"),
        ("HIGHWATER__AS_OF", "today"),
        ("HIGHWATER__as_of", "2025-09-01"),
    ]);
    assert_eq!(
        report(&FULL, &overrides),
        "HIGHWATER__: names no key\n\
         HIGHWATER__TIE_BREAKERS__0: cannot set one item of the list `tie_breakers`\n  \
         hint: an override replaces the whole list by one value\n\
         HIGHWATER__as_of: sets `as_of`, which HIGHWATER__AS_OF sets too"
    );
}
