//! What is shown of a configuration, and what never is.

use super::*;

const STORAGE: &str = "storage:\n  aws_region: eu-1\n  aws_secret_access_key: ${env:KEY}\n";

#[test]
fn a_secret_reaches_the_pipeline_but_is_never_shown() {
    let text = format!("{MINIMAL}{STORAGE}");
    let loaded =
        loaded(&text, &env(&[("KEY", "hunter2"), ("HIGHWATER__STORAGE__AWS_SESSION_TOKEN", "hunter3")]));
    let debug = format!("{loaded:?}");
    let (pipeline, origins) = loaded.into_valid().unwrap();
    let secret = &pipeline.storage["aws_secret_access_key"];
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(pipeline.storage["aws_session_token"].expose(), "hunter3");
    let json = serde_json::to_string(secret).unwrap();
    for shown in [debug, secret.to_string(), json, show_resolved(&pipeline, &origins)] {
        assert!(!shown.contains("hunter") && shown.contains("***"), "{shown}");
    }
}

#[test]
fn problems_under_storage_never_show_a_value() {
    let overrides = env(&[("HIGHWATER__STORAGE", "hunter2")]);
    let reports = [
        report(&format!("{MINIMAL}storage:\n  aws_secret_access_key: hunter2\n"), &Overrides::default()),
        report(&format!("{MINIMAL}storage:\n  token: [hunter2]\n"), &Overrides::default()),
        report(&format!("{MINIMAL}storage: hunter2\n"), &Overrides::default()),
        report(&format!("{MINIMAL}storage: {{}}\n"), &overrides),
    ];
    for report in reports {
        assert!(!report.is_empty() && !report.contains("hunter"), "{report}");
    }
}

#[test]
fn a_missing_variable_for_storage_is_reported_at_its_option() {
    assert_eq!(
        report(&format!("{MINIMAL}{STORAGE}"), &Overrides::default()),
        "orders.yaml:17:26: `storage.aws_secret_access_key` needs the environment variable KEY, which is not set"
    );
}

#[test]
fn options_that_are_numbers_or_truth_values_are_taken_as_they_were_written() {
    let pipeline =
        valid(&format!("{MINIMAL}storage: {{allow_http: true, max_retries: 007}}\n"), &Overrides::default());
    assert_eq!(pipeline.storage["allow_http"].expose(), "true");
    assert_eq!(pipeline.storage["max_retries"].expose(), "007");
}

#[test]
fn the_resolved_configuration_names_the_origin_of_every_value() {
    let overrides = env(&[("HIGHWATER__INCREMENTAL__LAG", "2 days"), ("KEY", "k")]);
    let overrides = flag(overrides, "as_of", "2025-09-01", "--as-of");
    let (pipeline, origins) = loaded(&format!("{MINIMAL}{STORAGE}"), &overrides).into_valid().unwrap();
    let expected = "\
name: orders                                     # orders.yaml:4:7
source:
  table: /lake/config/staging_orders             # orders.yaml:5:9
  lineage: []                                    # default
  select: all                                    # default
target:
  table: /lake/config/fact_orders                # orders.yaml:6:9
  load_columns:
    batch_id: load_batch_id                      # default
    loaded_at: loaded_at                         # default
    row_hash: row_hash                           # default
  exclude: []                                    # default
unique_key: [order_id]                           # orders.yaml:7:13
updated_at: updated_at                           # orders.yaml:8:13
tie_breakers: []                                 # default
on_tie: keep                                     # default
null_keys: reject                                # default
as_of: 2025-09-01                                # --as-of
incremental:
  mode: window                                   # default
  column: order_date                             # orders.yaml:9:23
  lookback: 7 days                               # default
  lag: 2 days                                    # HIGHWATER__INCREMENTAL__LAG
  late: load                                     # default
  initial: all                                   # default
dimensions:
  dim_customer:
    table: /lake/config/dim_customer             # orders.yaml:10:28
columns:
  customer_id:
    checks:
      - relationships:
          name: relationships_customer_id        # default
          to: dim_customer                       # orders.yaml:14:29
          field: customer_id                     # orders.yaml:14:50
          action: quarantine                     # orders.yaml:14:71
checks: []                                       # default
quarantine: /lake/config/fact_orders_bad         # default
audit: /lake/config/loads_audit                  # default
watermarks: /lake/config/load_watermarks         # default
attempts: /lake/config/loads_attempts            # default
storage:
  aws_region: eu-1                               # orders.yaml:16:15
  aws_secret_access_key: \"***\"                   # orders.yaml:17:26
memory: 60 %                                     # default
checks_timeout: 10 minutes                       # default
schema:
  new_column: tell                               # default
  dropped_column: leave                          # default
  unfit_type: fail                               # default
  evolve: manual                                 # default
  rules: leave                                   # default
merge:
  strategy: auto                                 # default
  partitions_per_commit: 400                     # default
  sort_by: [order_id]                            # default
  purge:
    dead_rows: 15 %                              # default
    small_files: 6                               # default
alerts: []                                       # default
";
    assert_eq!(show_resolved(&pipeline, &origins), expected);
}

#[test]
fn the_resolved_configuration_resolves_to_itself() {
    let text =
        FULL.replace("memory: 60 %", "memory: 4 GiB").replace("column: order_date", "column: \"no: # such\"");
    let text = text.replace("initial: lookback", "initial: 2025-01-01");
    let (pipeline, origins) = loaded(&text, &Overrides::default()).into_valid().unwrap();
    assert_eq!(valid(&show_resolved(&pipeline, &origins), &Overrides::default()), pipeline);
}
