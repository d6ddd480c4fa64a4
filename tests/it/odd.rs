//! Tables that nobody would design, and that exist all the same.

use serde_json::json;

use crate::common::Lab;

const PIPELINE: &str = "
name: odd
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: the id
updated_at: at
incremental: {column: at}
as_of: 2025-09-01
";

const SOURCE: &str = "CREATE TABLE src (
  `the id` BIGINT, `re.gion` STRING, at TIMESTAMP, `a``b` STRING, f DOUBLE, ok BOOLEAN, day DATE, raw BINARY
) USING DELTA";

const TARGET: &str = "CREATE TABLE tgt (
  `the id` BIGINT NOT NULL, `re.gion` STRING, at TIMESTAMP, `a``b` STRING NOT NULL, f DOUBLE, ok BOOLEAN, day DATE,
  raw BINARY, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (`the id`)
) PARTITIONED BY (`re.gion`, day) USING DELTA";

fn row(id: usize, region: Option<&str>, day: Option<&str>, hour: u32, text: Option<&str>) -> String {
    let row = json!({
        "the id": id, "re.gion": region, "at": format!("2025-08-31T{hour:02}:00:00Z"), "a`b": text,
        "f": 0.1 + 1e20 * f64::from(hour), "ok": id.is_multiple_of(2), "day": day, "raw": "00ff",
    });
    format!("{row}\n")
}

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", TARGET)])
}

const REGIONS: [Option<&str>; 5] = [Some("a/b=c %"), None, Some("\u{fc}'x"), Some("plain"), Some("x:y?z")];
const DAYS: [Option<&str>; 5] = [Some("2025-08-31"), None, Some("2025-08-30"), Some("2025-08-31"), None];

#[tokio::test(flavor = "multi_thread")]
async fn rows_under_odd_names_and_partitions_are_inserted_moved_and_found_again() {
    let lab = lab();
    for hour in [1, 2, 3] {
        // Each hour brings a newer version of every row, in another partition.
        let turn = |index: usize| (index + hour as usize) % REGIONS.len();
        let rows: String = (0..REGIONS.len())
            .map(|id| row(id, REGIONS[turn(id)], DAYS[turn(id)], hour, Some("\\ \" ' ; -- `")))
            .collect();
        lab.append("src", &rows).await;
        let document = lab.load();
        let class = if hour == 1 { "inserted" } else { "updated" };
        assert_eq!(document["counts"][class], 5, "{document:#}");
        let target = lab.rows("tgt").await;
        assert_eq!(target.len(), 5);
        assert!(target.iter().all(|row| row.contains(&format!("T0{hour}:00:00Z"))), "{target:#?}");
        assert_eq!(lab.load()["status"], "already_loaded");
    }
    // A wider window meets the same rows as another batch: all hashes agree.
    let (_, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(document["counts"]["unchanged"], 5, "{document:#}");
    assert_eq!(document["counts"]["superseded"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamp_as_watermark_column_takes_whole_days() {
    let lab = lab();
    lab.edit("{column: at}", "{column: at, initial: lookback}");
    let at = |id: usize, at: &str| format!("{}\n", json!({"the id": id, "at": at, "a`b": "x"}));
    let rows = [
        at(1, "2025-08-24T23:59:59.999999Z"),
        at(2, "2025-08-25T00:00:00Z"),
        at(3, "2025-09-01T23:59:59.999999Z"),
        at(4, "2025-09-02T00:00:00Z"),
    ];
    lab.append("src", &rows.concat()).await;
    let document = lab.load();
    assert_eq!(document["counts"]["inserted"], 2);
    assert_eq!((&document["history"], &document["future"]), (&1.into(), &1.into()));
    assert_eq!(document["watermark"]["after"], "2025-08-31");
    let (_, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!((&next["counts"]["inserted"], &next["late"]), (&1.into(), &0.into()), "{next:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_column_that_the_target_wants_filled_rejects_the_batch() {
    let lab = lab();
    lab.append("src", &(row(1, None, None, 1, None) + &row(2, None, None, 1, Some("x")))).await;
    let (code, document) = lab.json(&["run"]);
    assert_eq!((code, &document["status"]), (Some(1), &"rejected".into()), "{document:#}");
    let reason = document["reason"].as_str().unwrap();
    assert!(reason.contains("NULL in `a`b` in 1 of 2 rows") && reason.contains("\"the id\"=1"), "{reason}");
    // An older version without the value does no harm.
    lab.append("src", &row(1, None, None, 2, Some("filled"))).await;
    assert_eq!(lab.load()["counts"]["inserted"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_a_constraint_of_the_target_are_refused_with_nothing_written() {
    let lab = lab();
    let target = lab.delta("tgt").await;
    target.add_constraint().with_constraint("even", "ok = true").await.unwrap();
    lab.append("src", &(row(1, None, None, 1, Some("x")) + &row(2, None, None, 1, Some("x")))).await;
    let before = lab.versions().await;
    let (code, document) = lab.json(&["run"]);
    assert_eq!(code, Some(4), "{document:#}");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("`even`") && message.contains("the id=1"), "{message}");
    assert!(!message.contains('|') && !message.contains("caused by"), "{message}");
    assert_eq!(lab.versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_string_in_a_partition_column_is_null_and_never_breaks_the_target() {
    let strict = TARGET.replace("`re.gion` STRING,", "`re.gion` STRING NOT NULL,");
    for (target, code) in [(TARGET, 0), (strict.as_str(), 1)] {
        let lab = Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", target)]);
        lab.append("src", &row(1, Some(""), None, 1, Some("x"))).await;
        let (exit, document) = lab.json(&["run"]);
        assert_eq!(exit, Some(code), "{document:#}");
        assert_eq!(lab.rows("tgt").await.len(), usize::from(code == 0));
        let (_, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
        let unchanged = i64::from(code == 0);
        assert_eq!(next["counts"]["unchanged"], unchanged, "{next:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrivals_in_oddly_named_partitions_of_staging_are_read() {
    let source = SOURCE.replace("USING", "PARTITIONED BY (`re.gion`, at) USING");
    let pipeline = PIPELINE.replace("{column: at}", "{mode: changes}");
    let lab = Lab::custom(&pipeline, &[("src", &source), ("tgt", TARGET)]);
    let regions = ["North America", "a:b", "5%", "\u{e9}", "a+b", "a=b", "A&B", "x/y", "q?#"];
    for (turn, day) in [(1, "2025-09-01"), (2, "2025-09-02")] {
        let rows: String =
            regions.iter().enumerate().map(|(id, name)| row(id, Some(name), None, turn, Some("x"))).collect();
        lab.append("src", &rows).await;
        let (code, document) = lab.json(&["run", "--as-of", day]);
        assert_eq!(code, Some(0), "{document:#}");
        assert_eq!(document["counts"]["staged"], regions.len(), "{document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_and_the_text_that_folders_have_for_it_are_never_written_at_once() {
    let lab = lab();
    let row = |id: u32, region: Option<&str>, hour: u32| {
        let at = format!("2025-08-31T{hour:02}:00:00Z");
        format!("{}\n", json!({"the id": id, "re.gion": region, "at": at, "a`b": "x"}))
    };
    let text = Some("__HIVE_DEFAULT_PARTITION__");
    // Each by itself stays what it is.
    lab.append("src", &(row(1, text, 0) + &row(3, text, 0))).await;
    lab.load();
    lab.append("src", &(row(2, None, 0) + &row(4, None, 0))).await;
    lab.load();
    let before = lab.state().await;
    assert_eq!(before["tgt"].iter().filter(|row| row.contains("__HIVE")).count(), 2, "{before:#?}");
    lab.append("src", &(row(1, text, 1) + &row(2, None, 1))).await;
    for command in ["plan", "check", "run"] {
        let (code, document) = lab.json(&[command]);
        assert_eq!(code, Some(2), "{command}: {document:#}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("`re.gion`") && message.contains("__HIVE_DEFAULT_PARTITION__"), "{message}");
    }
    assert_eq!(lab.rows("tgt").await, before["tgt"]);
}
