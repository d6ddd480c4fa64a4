//! Failed runs leave a row each, on which nothing depends; and columns that nobody loads are named.

use serde_json::{Value, json};

use crate::common::{CLOCK, Lab, json_of};

/// The rows of the table of attempts.
async fn attempts(lab: &Lab) -> Vec<Value> {
    lab.rows("loads_attempts").await.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// Has every run fail with exit status 4: the target holds a key twice.
async fn break_target(lab: &Lab) {
    let order =
        r#"{"order_id":101,"customer_id":2,"order_date":"2025-08-28","updated_at":"2025-08-28T09:00:00Z"}"#;
    lab.append("fact_orders", order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_run_leaves_a_row_that_status_shows_and_a_successful_one_none() {
    let lab = Lab::reference().await;
    lab.load();
    assert!(attempts(&lab).await.is_empty());
    break_target(&lab).await;
    let mut command = lab.command(&["run", "--as-of", "2025-09-02"]);
    command.env("AWS_BATCH_JOB_ID", "job-7").env("AWS_BATCH_JOB_ATTEMPT", "2");
    command.env("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/task-1");
    let (code, document) = json_of(command);
    assert_eq!(code, Some(4), "{document:#}");

    let rows = attempts(&lab).await;
    let expected = json!([{
        "attempted_at": CLOCK, "pipeline": "orders", "command": "run", "as_of": "2025-09-02", "exit_status": 4,
        "message": document["error"]["message"], "job_id": "job-7", "job_attempt": "2", "ecs_task": "task-1",
    }]);
    assert_eq!(Value::from(rows), expected);
    let (_, status) = lab.json(&["status"]);
    assert_eq!(status["attempts"], expected);
    let text = String::from_utf8(lab.run(&["status"]).stdout).unwrap();
    assert!(text.contains("run, exit status 4: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_row_tells_which_job_wrote_it_and_the_summary_line_ends_stdout() {
    let lab = Lab::reference().await;
    let mut command = lab.command(&["run", "--summary-line"]);
    command.env("AWS_BATCH_JOB_ID", "job-7").env("AWS_BATCH_JOB_ATTEMPT", "2");
    command.env("AWS_BATCH_JOB_ARRAY_INDEX", "0");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["command"], &summary["status"]), (&json!("run"), &json!("loaded")));
    assert!(text.lines().count() > 10, "the report comes before it: {text}");
    let rows = lab.rows("loads_audit").await;
    let row: Value = serde_json::from_str(rows.last().unwrap()).unwrap();
    let runner = json!({"job_id": "job-7", "job_attempt": "2", "job_array_index": "0"});
    assert_eq!(row["runner"], runner);
    // A failure has its line too, and without the flag stdout stays empty.
    let failed = lab.run(&["rollback", "--batch", "none", "--summary-line"]);
    let summary: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(summary["error"]["kind"], "usage");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_leaves_a_row_and_commands_that_only_look_leave_none() {
    let lab = Lab::reference().await;
    lab.load();
    let accept = ["run", "--accept", "none", "--reason", "x"];
    assert_eq!(lab.run(&accept).status.code(), Some(2));
    assert_eq!(lab.run(&["rollback", "--batch", "none"]).status.code(), Some(2));
    assert_eq!(lab.run(&["quarantine", "replay", "--where", "nothing = 1"]).status.code(), Some(2));
    break_target(&lab).await;
    assert_eq!(lab.run(&["quarantine", "replay"]).status.code(), Some(0), "nothing to do is no failure");
    for command in [&["plan"][..], &["check"], &["run", "--dry-run"]] {
        let day = [command, &["--as-of", "2025-09-02"]].concat();
        assert_eq!(lab.run(&day).status.code(), Some(4), "{day:?}");
    }
    assert_eq!(lab.run(&["rollback", "--batch", "none", "--dry-run"]).status.code(), Some(2));
    let rows = attempts(&lab).await;
    let told = |command: &str, status: i64| {
        rows.iter().filter(|row| row["command"] == command && row["exit_status"] == status).count()
    };
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_eq!([told("run", 2), told("rollback", 2), told("quarantine replay", 2)], [1, 1, 1], "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_batch_is_no_failed_run() {
    let lab = Lab::reference().await;
    lab.edit("error_if: \"> 25 %\"", "error_if: \"> 5 %\"");
    assert_eq!(lab.run(&["run"]).status.code(), Some(1));
    assert!(attempts(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_or_unwritable_table_of_attempts_changes_no_exit_status() {
    let whole = Lab::reference().await;
    whole.load();
    break_target(&whole).await;
    let (missing, damaged, other) = (whole.copy(), whole.copy(), whole.copy());
    std::fs::remove_dir_all(missing.path().join("loads_attempts")).unwrap();
    let log = damaged.path().join("loads_attempts/_delta_log");
    std::fs::write(log.join("00000000000000000000.json"), "no log\n").unwrap();
    other.edit("attempts: loads_attempts", "attempts: dim_customer_2");
    std::fs::rename(other.path().join("loads_attempts"), other.path().join("gone")).unwrap();
    for lab in [&whole, &missing, &damaged, &other] {
        let before = lab.versions().await;
        let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
        assert_eq!(code, Some(4), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains("101"), "{document:#}");
        assert_eq!(lab.versions().await, before);
        let (code, status) = lab.json(&["status"]);
        assert_eq!(code, Some(0), "{status:#}");
        assert_eq!(
            status["attempts"].as_array().unwrap().len(),
            usize::from(std::ptr::eq(lab, &raw const whole))
        );
    }
    // And loads go on.
    for lab in [&missing, &damaged, &other] {
        assert_eq!(lab.load()["status"], "already_loaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_of_a_storage_option_is_not_kept() {
    let lab = Lab::reference().await;
    lab.load();
    lab.edit("storage: {}", "storage: {aws_secret_access_key: \"${env:HW_TEST_KEY}\"}");
    // A batch of this id is none, and the message names it.
    let mut command = lab.command(&["rollback", "--batch", "sesame-open-1"]);
    command.env("HW_TEST_KEY", "sesame-open");
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    let rows = attempts(&lab).await;
    assert_eq!(rows.len(), 1);
    let message = rows[0]["message"].as_str().unwrap();
    assert!(message.contains("***-1") && !message.contains("sesame"), "{message}");
}

const STAGING: &str =
    "CREATE TABLE src (id BIGINT, at TIMESTAMP, seq BIGINT, day DATE, file STRING, discount DOUBLE,
  note STRING) USING DELTA";
const TARGET: &str = "CREATE TABLE tgt (id BIGINT NOT NULL, at TIMESTAMP, day DATE, load_batch_id STRING,
  loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA";

#[tokio::test(flavor = "multi_thread")]
async fn column_that_is_neither_loaded_nor_excluded_is_named_in_every_report() {
    let file = "
name: columns
source: {table: src, ddl: src.sql, lineage: [file]}
target: {table: tgt, ddl: tgt.sql, exclude: [note]}
unique_key: id
updated_at: at
tie_breakers: seq
incremental: {column: day}
as_of: 2025-09-01
";
    let lab = Lab::custom(file, &[("src", STAGING), ("tgt", TARGET)]);
    lab.append("src", r#"{"id":1,"at":"2025-09-01T00:00:00Z","seq":1,"day":"2025-09-01","discount":0.5}"#)
        .await;
    // A tie-breaker is used, but not loaded either.
    let expected = json!(["seq", "discount"]);
    for command in [
        &["plan"][..],
        &["check"],
        &["run"],
        &["run"],
        &["quarantine", "replay"],
        &["status"],
        &["rollback", "--last"],
    ] {
        let (code, document) = lab.json(command);
        assert_eq!((code, &document["not_loaded"]), (Some(0), &expected), "{command:?}: {document:#}");
        let text = String::from_utf8(lab.run(command).stdout).unwrap();
        assert!(text.contains("\nnot loaded: seq, discount\n"), "{command:?}: {text}");
    }
    lab.edit("exclude: [note]", "exclude: [note, discount, seq]");
    let document = lab.load();
    assert_eq!(document["not_loaded"], json!([]));
    assert!(!String::from_utf8(lab.run(&["run"]).stdout).unwrap().contains("not loaded"));
}
