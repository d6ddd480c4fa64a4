//! What a person writes and gives: SQL of checks, selections of the quarantine, options of the store.

use serde_json::{Value, json};

use crate::common::{Lab, json_of};

const PIPELINE: &str = "
name: p
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: [id, price, seen]
updated_at: at
incremental: {column: at}
as_of: 2025-09-01
quarantine: tgt_bad
";

const SOURCE: &str = "CREATE TABLE src (
  id BIGINT, price DECIMAL(10,2), seen TIMESTAMP, at TIMESTAMP, note STRING, `$as_of` STRING, day DATE
) USING DELTA";

const TARGET: &str = "CREATE TABLE tgt (
  id BIGINT NOT NULL, price DECIMAL(10,2) NOT NULL, seen TIMESTAMP NOT NULL, at TIMESTAMP, note STRING,
  `$as_of` STRING, day DATE, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING,
  PRIMARY KEY (id, price, seen)
) USING DELTA";

fn row(id: u32, note: &str, day: &str) -> String {
    let row = json!({
        "id": id, "price": "1.50", "seen": "2025-08-30T10:00:00Z", "at": "2025-08-31T00:00:00Z", "note": note,
        "$as_of": "a column's own", "day": day,
    });
    format!("{row}\n")
}

/// Three rows; the pipeline has these further lines.
async fn lab(rest: &str) -> Lab {
    let mut ddl = vec![("src", SOURCE), ("tgt", TARGET)];
    if rest.contains("dim.sql") {
        ddl.push(("dim", "CREATE TABLE dim (id BIGINT) USING DELTA"));
    }
    let lab = Lab::custom(&format!("{PIPELINE}{rest}"), &ddl);
    let rows = [row(7, "$as_of", "2025-09-01"), row(8, "it's \\ x", "2025-08-31"), row(9, "x", "2025-08-30")];
    lab.append("src", &rows.concat()).await;
    lab
}

/// The message of a command that ends with 2, with the hint after it.
fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let (status, document) = lab.json(arguments);
    assert_eq!(status, Some(2), "{document:#}");
    let error = &document["error"];
    format!("{}\n{}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default())
}

fn ids(document: &Value) -> Vec<i64> {
    let entries = document["entries"].as_array().unwrap().iter();
    let mut ids: Vec<i64> = entries.map(|entry| entry["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logical_date_is_a_parameter_and_a_literal_and_a_column_of_its_name_are_not() {
    let lab = lab(r#"
checks:
  - expression: {name: literal, sql: "note <> '$as_of' -- $as_of", action: quarantine}
  - expression: {name: column, sql: "`$as_of` = 'a column''s own'", action: quarantine}
  - expression: {name: parameter, sql: "day > $as_of - INTERVAL '2' DAY", action: quarantine}
  - aggregate: {name: total, sql: "COUNT(CASE WHEN day = $as_of THEN 1 END)", min: 1, where: "day <= $as_of"}
"#)
    .await;
    let document = lab.load();
    let failed = |name: &str| {
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["failed"].clone()
    };
    assert_eq!(failed("literal"), 1, "{document:#}");
    assert_eq!(failed("column"), 0);
    assert_eq!(failed("parameter"), 1);
    assert_eq!(failed("total"), 0);
    assert_eq!(document["counts"]["quarantined"], 2);
    assert_eq!(document["counts"]["inserted"], 1);
    let target = lab.rows("tgt").await;
    assert!(
        target[0].contains("\"note\":\"it's \\\\ x\"") && target[0].contains("a column's own"),
        "{target:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_checks_sql_names_check_file_and_line_before_and_while_it_runs() {
    for (check, told) in [
        (
            "expression: {name: c, sql: idd > 1}",
            "check c: `sql` there is no column `idd`; did you mean `id`?",
        ),
        (
            "expression: {name: c, sql: regexp_lik(note)}",
            "there is no function `regexp_lik`; did you mean `regexp_like`",
        ),
        ("sql: {name: c, query: SELECT * FROM bach}", "check c: `query` there is no table `bach`"),
        ("expression: {name: c, sql: 1 / (id - 7) > 0}", "check c: divides by zero"),
        ("expression: {name: c, sql: CAST(note AS INT) > 0}", "check c: Cannot cast string"),
        ("expression: {name: c, sql: \"CAST('corrupt' || note AS INT) > 0\"}", "check c: Cannot cast string"),
        ("expression: {name: c, sql: \"make_date(2025, 13, CAST(id AS INT)) IS NULL\"}", "check c: "),
        ("expression: {name: c, sql: SUM(id) > 0}", "check c: mixes an aggregate with values of single rows"),
    ] {
        let lab = lab("").await;
        let file = std::fs::read_to_string(lab.config()).unwrap();
        std::fs::write(lab.config(), format!("{file}checks:\n  - {check}\n")).unwrap();
        let before = lab.versions().await;
        let message = refused(&lab, &["run"]);
        assert!(message.contains(told), "{message}");
        let place = message.find("pipeline.yaml:11:").unwrap_or_else(|| panic!("{message}"));
        assert!(place < message.find("check c").unwrap(), "{message}");
        for word in ["__hw_", "ptimizer", "caused by", "gated", "datafusion"] {
            assert!(!message.contains(word), "{message}");
        }
        assert_eq!(lab.versions().await, before, "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_over_its_time_limit_ends_the_run_with_2_and_changes_no_table() {
    // Some 10^15 rows to look at: no machine comes near the end in a second.
    let joined: Vec<String> = (0..32).map(|at| format!("batch b{at}")).collect();
    let sum: Vec<String> = (0..32).map(|at| format!("b{at}.id")).collect();
    let query = format!("SELECT b0.* FROM {} WHERE {} < 0", joined.join(", "), sum.join(" + "));
    let lab =
        lab(&format!("checks_timeout: 1 second\nchecks:\n  - sql: {{name: heavy, query: '{query}'}}\n"))
            .await;
    let before = lab.versions().await;
    let message = refused(&lab, &["run"]);
    assert!(message.contains("check heavy: a statement ran longer than 1 s"), "{message}");
    assert!(message.contains("checks_timeout"), "{message}");
    assert_eq!(lab.versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_selected_by_the_keys_values_whatever_their_spelling() {
    let lab = lab("checks:\n  - expression: {name: none, sql: id < 0, action: quarantine}\n").await;
    assert_eq!(lab.load()["counts"]["quarantined"], 3);
    let list = |id: &str, price: &str, seen: &str| {
        let (status, document) =
            lab.json(&["quarantine", "list", "--key", id, "--key", price, "--key", seen]);
        assert_eq!(status, Some(0), "{document:#}");
        ids(&document)
    };
    for (id, price, seen) in [
        ("7", "1.50", "2025-08-30T10:00:00Z"),
        ("007", "1.5", "2025-08-30 10:00:00"),
        ("+7", "01.500", "2025-08-30T12:00:00+02:00"),
        ("7.0", "1.5", "2025-08-30 12:00+02"),
        ("7", "1.5", "2025-08-30 10:00:00 UTC"),
        ("7", "1.5", "2025-08-30T05:30:00.000-0430"),
    ] {
        assert_eq!(list(id, price, seen), [7], "{id} {price} {seen}");
    }
    assert_eq!(list("7", "1.51", "2025-08-30T10:00:00Z"), [] as [i64; 0]);
    for (id, price, seen, told) in [
        ("x", "1.5", "2025-08-30", "key column `id` must be a number, not `x`"),
        ("7.5", "1.5", "2025-08-30", "key column `id` must be a value of BIGINT, not `7.5`"),
        ("7", "1.505", "2025-08-30", "key column `price` must be a value of DECIMAL(10,2), not `1.505`"),
        ("7", "1.5", "yesterday", "key column `seen` must be a time"),
    ] {
        for command in [&["quarantine", "list"][..], &["quarantine", "discard", "--reason", "r"]] {
            let message = refused(&lab, &[command, &["--key", id, "--key", price, "--key", seen]].concat());
            assert!(message.contains(told), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_of_nothing_says_so_and_a_mistyped_check_is_refused() {
    let lab = lab("checks:\n  - expression: {name: no_negatives, sql: id < 0, action: quarantine}\n").await;
    lab.load();
    for command in [&["list"][..], &["discard", "--reason", "r"], &["replay"], &["replay", "--dry-run"]] {
        let before = lab.versions().await;
        let arguments = [&["quarantine"], command, &["--where", "id > 100"]].concat();
        let (status, document) = lab.json(&arguments);
        assert_eq!((status, &document["selected"]), (Some(0), &json!(0)), "{document:#}");
        let text = String::from_utf8(lab.run(&arguments).stdout).unwrap();
        assert!(text.contains("selected 0"), "{text}");
        assert_eq!(lab.versions().await, before);

        let message = refused(&lab, &[&["quarantine"], command, &["--check", "no_negative"]].concat());
        assert!(
            message.contains("no check `no_negative`") && message.contains("`no_negatives`"),
            "{message}"
        );
    }
    // Entries of a check that the pipeline file has no longer can still be found.
    lab.edit("no_negatives", "renamed");
    let (_, document) = lab.json(&["quarantine", "list", "--check", "no_negatives"]);
    assert_eq!(document["selected"], 3, "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dimensions_called_like_relations_of_a_run_are_read_as_what_they_are() {
    for name in ["known", "target", "staged", "classified", "ranked", "examined", "quarantine", "alone"] {
        let rest = format!(
            "dimensions: {{{name}: {{table: dim, ddl: dim.sql}}}}
columns: {{id: {{checks: [{{relationships: {{to: {name}, field: id, action: quarantine}}}}]}}}}
checks:
  - sql: {{name: joined, query: 'SELECT b.* FROM batch b JOIN {name} d ON b.id = d.id', action: warn}}
"
        );
        let lab = lab(&rest).await;
        let document = lab.load();
        // It is empty, so that no row finds what it refers to.
        assert_eq!(document["counts"]["quarantined"], 3, "{name}: {document:#}");
        let (_, again) = lab.json(&["quarantine", "list"]);
        assert_eq!(again["selected"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_store_are_told_nowhere() {
    let lab = lab("storage: {}\n").await;
    let shown = |command: &mut std::process::Command| {
        let output = command
            .env("HW_KEY_ID", "AKIAKEYOFMINE")
            .env("HW_SECRET", "s3cr3t/of/mine")
            .env("RUST_LOG", "debug")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    lab.edit("{table: src, ddl: src.sql}", "s3://lake/src");
    lab.edit(
        "storage: {}",
        "storage:
  aws_access_key_id: '${env:HW_KEY_ID}'
  aws_secret_access_key: '${env:HW_SECRET}'
  aws_endpoint: http://me:passw0rd@127.0.0.1:1
  aws_region: eu-central-1
  allow_http: true
  max_retries: 0
  connect_timeout: 1s",
    );
    let (status, config) = shown(&mut lab.command(&["config", "show", "--resolved"]));
    assert_eq!(status, Some(0), "{config}");
    assert!(
        config.contains("aws_region: eu-central-1") && config.contains("http://***@127.0.0.1:1"),
        "{config}"
    );
    assert!(config.contains("aws_access_key_id: \"***\""), "{config}");
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--resolved"],
        &["plan"],
        &["plan", "--json"],
        &["show", "s3://other:passw0rd@lake/x"],
        &["show", "s3://other:q/passw0rd@lake/x"],
    ] {
        let (_, text) = shown(&mut lab.command(arguments));
        for secret in ["AKIAKEYOFMINE", "s3cr3t/of/mine", "passw0rd"] {
            assert!(!text.contains(secret), "{arguments:?}: {text}");
        }
    }

    lab.edit("aws_region", "aws_regoin");
    let (status, document) = json_of(lab.command(&["plan"]));
    let error = document["error"]["message"].as_str().unwrap();
    assert_eq!(status, Some(2));
    assert!(error.contains("`storage.aws_regoin` is no option of the object store"), "{error}");
    assert!(error.contains("pipeline.yaml:14:") && error.contains("did you mean `aws_region`?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_has_no_value_for_an_entry_is_refused_by_the_commands_that_take_one() {
    let lab = lab("checks:\n  - expression: {name: c, sql: id <> 7, action: quarantine}\n").await;
    lab.load();
    let before = lab.versions().await;
    for condition in ["CAST(note AS INT) > 0", "CAST(note || 'corrupt' AS INT) > 0", "1 / (id - 7) > 0"] {
        for command in [["list"].as_slice(), &["replay"], &["discard", "--reason", "x"]] {
            let arguments = [&["quarantine"], command, &["--where", condition]].concat();
            let message = refused(&lab, &arguments);
            assert!(message.contains("`--where`"), "{condition}: {message}");
        }
    }
    assert_eq!(lab.versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_without_a_key_is_selected_by_null_and_a_batch_by_its_number() {
    let lab = lab("columns:\n  id: {checks: [not_null: {action: quarantine}]}\n").await;
    let nobody = row(5, "nobody", "2025-08-31").replace("\"id\":5", "\"id\":null");
    lab.append("src", &nobody).await;
    lab.load();
    let of = |id: &'static str| {
        ["quarantine", "list", "--key", id, "--key", "1.50", "--key", "2025-08-30T10:00:00Z"]
    };
    let listed = lab.expect(0, &of("NULL"));
    assert_eq!(
        (&listed["selected"], &listed["entries"][0]["note"]),
        (&1.into(), &"nobody".into()),
        "{listed:#}"
    );
    assert_eq!(lab.expect(0, &of("7"))["selected"], 0);

    lab.append("src", &row(10, "later", "2025-09-01")).await;
    lab.load();
    let told = |batch: &str| lab.expect(0, &["status", "--batch", batch])["batches"].clone();
    let (first, second) = (told("1"), told("2"));
    assert_eq!((first.as_array().unwrap().len(), &first[0]["sequence"]), (1, &1.into()));
    assert_eq!(told(second[0]["batch_id"].as_str().unwrap()), second);
    assert!(refused(&lab, &["status", "--batch", "777777777"]).contains("no batch"));
}
