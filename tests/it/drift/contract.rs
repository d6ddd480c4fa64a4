//! The contract, staging as it was, and what `drift` shows.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::{FAIL, SRC, TELL, becomes, loaded, row};

#[tokio::test(flavor = "multi_thread")]
async fn drift_shows_each_column_that_differs_as_contract_staging_and_target_have_it() {
    let lab = loaded(TELL, "warn").await;
    // The target is wider than staging, as it always was.
    assert_eq!(lab.json(&["drift"]).1["status"], "agrees");
    let columns = SRC.replace("note STRING", "note STRING, coupon STRING").replace(" state STRING,", "");
    let mut sent = row(2, 1, &json!({"coupon": "c"}));
    sent.as_object_mut().unwrap().remove("state");
    lab.edit("  state: {checks: [{accepted_values: {values: [new, paid], action: warn}}]}\n", "");
    becomes(&lab, &columns, &[sent]).await;
    let output = lab.run(&["drift", "--since", "2999-01-01"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "feed: 2 columns differ",
        "column  contract  staging 2999-01-01  staging  target  what",
        "state   STRING    -",
        "coupon  -         STRING",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    let document = lab.json(&["drift"]).1;
    let column = |name: &str| {
        document["columns"]
            .as_array()
            .unwrap()
            .iter()
            .find(|column| column["column"] == name)
            .unwrap()
            .clone()
    };
    let state = column("state");
    assert_eq!(
        [
            &state["contract"],
            &state["before"],
            &state["staging"],
            &state["target"],
            &state["answer"],
            &state["moved"]
        ],
        [&json!("STRING"), &json!("STRING"), &json!(null), &json!("STRING"), &json!("leave"), &json!(true)]
    );
    let coupon = column("coupon");
    assert_eq!(
        [&coupon["before"], &coupon["change"], &coupon["answer"]],
        [&json!(null), &json!("new_column"), &json!("told")]
    );
    // Staging's oldest version is younger than a week, and stands for what it was.
    assert_eq!(document["before"]["version"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_shows_columns_as_they_are_stored_where_they_cannot_be_mapped() {
    let lab = loaded(FAIL, "warn").await;
    lab.edit("  note: {aliases: [remark]}", "  note: {from: UPPER(note)}");
    lab.load();
    let columns = SRC.replace("note STRING", "notes STRING");
    let mut sent = row(2, 1, &json!({"notes": "n"}));
    sent.as_object_mut().unwrap().remove("note");
    becomes(&lab, &columns, &[sent]).await;
    let (status, document) = lab.json(&["drift"]);
    assert_eq!((status, &document["status"]), (Some(1), &json!("refused")), "{document:#}");
    assert!(document["problem"].as_str().unwrap().contains("note"), "{document:#}");
    let names: Vec<&str> = document["columns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["moved"] == true)
        .map(|column| column["column"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["note", "notes"], "{document:#}");
}

/// A contract of the standard, with what can be kept and what cannot.
pub const STANDARD: &str = "
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    logicalType: object
    physicalType: table
    relationships: [{type: foreignKey, from: [a, b], to: [x.a, x.b]}]
    quality:
      - {metric: rowCount, mustBeGreaterThan: 0}
      - {metric: duplicateValues, mustBe: 0, arguments: {properties: [shop, order_id]}}
      - {type: sql, query: SELECT 1, mustBe: 1, name: one}
      - {type: text, description: all is well}
    properties:
      - {name: order_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 2, description: The shop's number}
      - {name: shop, logicalType: string, physicalType: VARCHAR2(20), primaryKey: true, primaryKeyPosition: 1}
      - name: amount
        logicalType: number
        physicalType: DECIMAL(12,2)
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 100000, multipleOf: 5}
        quality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}, {metric: nullValues, mustBeGreaterThan: 3}]
      - name: state
        logicalType: string
        quality:
          - {metric: invalidValues, arguments: {validValues: [new, paid]}, mustBeLessOrEqualTo: 5}
          - {type: custom, engine: soda, implementation: x}
      - {name: email, logicalType: string, unique: true, quality: [{metric: missingValues, arguments: {missingValues: [null, '', n/a]}, mustBe: 0}]}
      - {name: customer_id, logicalType: integer, relationships: [{to: dim_customer.customer_id}]}
      - {name: tags, logicalType: array, items: {logicalType: string}}
      - {name: day, logicalType: date, partitioned: true, partitionKeyPosition: 1}
slaProperties:
  - {property: latency, value: 2, unit: d}
  - {property: latency, value: 4, unit: h}
  - {property: retention, value: 3, unit: y}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_of_the_standard_is_kept_as_far_as_it_can_be_and_the_rest_is_told() {
    let lab = loaded(TELL, "warn").await;
    std::fs::write(lab.path().join("orders.odcs.yaml"), STANDARD).unwrap();
    let file = lab.path().join("orders.odcs.yaml").display().to_string();
    let (status, document) = lab.json(&["contract", "show", &file]);
    assert_eq!(status, Some(0), "{document:#}");
    let ddl = document["ddl"].as_str().unwrap();
    let ddl: String = ddl.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "order_id BIGINT NOT NULL COMMENT 'The shop''s number'",
        "shop STRING NOT NULL",
        "amount DECIMAL(12,2) NOT NULL",
        "tags ARRAY<STRING>",
        "PRIMARY KEY (shop, order_id)",
        "PARTITIONED BY (day)",
    ] {
        assert!(ddl.contains(part), "{part}: {ddl}");
    }
    let checks: Vec<(Option<&str>, &str)> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["column"].as_str(), check["check"].as_str().unwrap()))
        .collect();
    assert_eq!(
        checks,
        [
            (Some("amount"), "not_null: {error_if: \">= 1 %\"}"),
            (Some("amount"), "accepted_range: {min: 0, max: 100000}"),
            (Some("state"), "accepted_values: {values: [\"new\", \"paid\"], error_if: \"> 5\"}"),
            (Some("email"), "expression: {sql: \"`email` IS NOT NULL AND `email` NOT IN ('', 'n/a')\"}"),
            (Some("email"), "unique"),
            (Some("customer_id"), "relationships: {to: dim_customer, field: customer_id}"),
            (None, "row_count: {min: 1}"),
            (None, "unique: {columns: [\"shop\", \"order_id\"]}"),
            (None, "freshness: {within: 2 days}"),
        ]
    );
    let unmapped = document["unmapped"].to_string();
    for part in [
        "the type VARCHAR2(20) is none of Delta's",
        "logicalTypeOptions.multipleOf",
        "nullValues: only an upper limit",
        "only rules of the library are run",
        "one: SQL of another engine",
        "a relationship of several columns",
        "`freshness` is in whole days",
        "slaProperties: retention",
    ] {
        assert!(unmapped.contains(part), "{part}: {unmapped}");
    }
    // The printed checks are those of a pipeline file, and the printed DDL makes a table.
    let text = String::from_utf8(lab.run(&["contract", "show", &file]).stdout).unwrap();
    let (ddl, rest) = text.split_once("\ncolumns:\n").unwrap();
    let checks = format!("columns:\n{}", rest.split("\n# Not kept").next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.sql"), ddl).unwrap();
    std::fs::write(folder.path().join("dim.sql"), "CREATE TABLE dim (customer_id BIGINT) USING DELTA")
        .unwrap();
    let staging = ddl.replace("CREATE TABLE orders (", "CREATE TABLE raw (\n  v TIMESTAMP,");
    let staging: Vec<&str> = staging.lines().filter(|line| !line.contains("PRIMARY KEY")).collect();
    let staging = staging.join("\n");
    std::fs::write(folder.path().join("raw.sql"), staging.replace("DATE,\n)", "DATE\n)")).unwrap();
    let target = ddl.replace(
        "CREATE TABLE orders (",
        "CREATE TABLE orders (\n  v TIMESTAMP, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING,",
    );
    std::fs::write(folder.path().join("orders.sql"), target).unwrap();
    let pipeline = format!(
        "name: o\nsource: {{table: raw, ddl: raw.sql}}\ntarget: {{table: orders, ddl: orders.sql, exclude: tags}}\n\
         unique_key: [shop, order_id]\nupdated_at: v\nincremental: {{mode: changes}}\n\
         dimensions: {{dim_customer: {{table: dim, ddl: dim.sql}}}}\n{checks}"
    );
    std::fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(crate::common::program());
        command.current_dir(folder.path()).args(["-c", "p.yaml"]).args(words);
        crate::common::json_of(command)
    };
    let (status, document) = run(&["init"]);
    assert_eq!(status, Some(0), "{document:#}");
    let (status, document) = run(&["validate"]);
    assert_eq!(status, Some(0), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_of_the_standard_makes_the_target_where_it_is_named_in_place_of_ddl() {
    let lab = loaded(TELL, "warn").await;
    let contract = STANDARD.replace("name: orders\n    logical", "name: tgt\n    logical");
    std::fs::write(lab.path().join("tgt.odcs.yaml"), contract).unwrap();
    lab.edit("ddl: tgt.sql", "ddl: tgt.odcs.yaml");
    let (status, document) = lab.json(&["evolve", "--dry-run"]);
    assert_eq!(status, Some(1), "{document:#}");
    let added: Vec<&str> = document["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["column"].as_str().unwrap())
        .collect();
    assert_eq!(added, ["email", "customer_id", "tags"], "{document:#}");
    for (text, part) in [
        ("kind: Other\n", "it is no `kind: DataContract`"),
        ("kind: DataContract\napiVersion: v2.2.2\n", "`apiVersion` is `v2.2.2`"),
        ("kind: DataContract\napiVersion: v3.1.0\nschema: []\n", "say by `--table`"),
        ("kind: [", "tgt.odcs.yaml"),
    ] {
        std::fs::write(lab.path().join("tgt.odcs.yaml"), text).unwrap();
        let (status, document) = lab.json(&["evolve"]);
        assert_eq!(status, Some(2), "{text}: {document:#}");
        assert!(document.to_string().contains(part), "{part}: {document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_held_against_a_file_a_commit_and_a_table() {
    let lab = loaded(TELL, "warn").await;
    let folder = lab.path().join("contracts");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("tgt.sql").display().to_string();
    let ddl = std::fs::read_to_string(lab.path().join("tgt.sql")).unwrap();
    std::fs::write(&file, &ddl).unwrap();
    let git = |words: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(&folder).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(words);
        assert!(command.output().unwrap().status.success(), "{words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let table = lab.path().join("tgt").display().to_string();
    let before = folder.join("before.sql").display().to_string();
    std::fs::write(&before, &ddl).unwrap();
    for against in ["HEAD", &before, &table] {
        let (status, document) = lab.json(&["contract", "check", &file, "--against", against]);
        assert_eq!((status, &document["status"]), (Some(0), &json!("compatible")), "{document:#}");
        assert_eq!(document["changes"], json!([]), "{against}");
    }
    std::fs::write(&file, ddl.replace("amount BIGINT", "amount DECIMAL(19,0), coupon STRING")).unwrap();
    for against in ["HEAD", &before, &table] {
        for (asked, expected) in [("backward", 0), ("forward", 1), ("full", 1)] {
            let words = ["contract", "check", &file, "--against", against, "--compatibility", asked];
            let (status, document) = lab.json(&words);
            assert_eq!(status, Some(expected), "{against}, {asked}: {document:#}");
            assert_eq!(document["changes"].as_array().map(Vec::len), Some(2), "{document:#}");
        }
    }
    // As a web server has it: one answer to each request.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/contracts/before.sql", listener.local_addr().unwrap());
    let served = ddl.clone();
    let schema = r#"{"type": "record", "name": "Feed", "fields": [{"name": "id", "type": "long"}, {"name": "extra", "type": "string"}]}"#;
    let answer_of_registry =
        json!({"subject": "feed-value", "version": 1, "id": 1, "schema": schema}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4_096];
            let length = stream.read(&mut request).unwrap();
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = match asked.split(' ').nth(1) {
                Some("/contracts/before.sql") => ("200 OK", &*served),
                Some("/subjects/feed-value/versions/latest") => ("200 OK", &*answer_of_registry),
                _ => ("404 Not Found", ""),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let words = ["contract", "check", &file, "--against", &url, "--compatibility", "full"];
    let (status, document) = lab.json(&words);
    assert_eq!((status, document["changes"].as_array().map(Vec::len)), (Some(1), Some(2)), "{document:#}");
    // And as a registry answers, with the schema as text.
    let registered = url.replace("contracts/before.sql", "subjects/feed-value/versions/latest");
    let (status, document) = lab.json(&["contract", "check", &file, "--against", &registered]);
    assert_eq!(status, Some(1), "{document:#}");
    assert!(document["changes"].to_string().contains("extra"), "{document:#}");
    let gone = url.replace("before", "gone");
    let closed = "http://127.0.0.1:9/contract.sql";
    for (against, expected, part) in [
        (&*gone, 2, "it answers 404"),
        (closed, 3, "cannot fetch the contract"),
        ("http://user:secret@127.0.0.1/c.sql", 2, "must not hold credentials"),
    ] {
        let (status, document) = lab.json(&["contract", "check", &file, "--against", against]);
        assert_eq!(status, Some(expected), "{document:#}");
        assert!(
            document.to_string().contains(part) && !document.to_string().contains("secret"),
            "{document:#}"
        );
    }
    for (against, part) in [
        ("nowhere", "is no file, no table and no commit"),
        ("--output=x", "is no file"),
        ("", "is no file"),
        (":0", "is no file"),
        (folder.to_str().unwrap(), "is no file"),
    ] {
        let words = ["contract", "check", &file, &format!("--against={against}")];
        let (status, document) = lab.json(&words);
        assert_eq!(status, Some(2), "{document:#}");
        assert!(document.to_string().contains(part), "{document:#}");
    }
}

/// A contract's rules are checks of the pipeline where its file lets them in, and its own words go before.
#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_contract_are_checks_where_the_pipeline_file_lets_them_in() {
    let contract = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\nschema:\n  - name: tgt\n    \
        quality:\n      - {metric: rowCount, mustBeGreaterThan: 1}\n    properties:\n      \
        - {name: id, logicalType: integer, primaryKey: true}\n      - {name: v, logicalType: integer}\n      \
        - {name: state, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [new, paid]}, mustBe: 0}, \
        {metric: nullValues, mustBe: 0}]}\n";
    let folder = tempfile::TempDir::new().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("tgt.odcs.yaml", contract);
    put("src.sql", "CREATE TABLE src (id BIGINT, v BIGINT, state STRING) USING DELTA");
    let file = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.odcs.yaml}\nunique_key: id\n\
        updated_at: v\nincremental: {mode: changes}\n";
    let run = |status: i32, arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::common::program());
        command.current_dir(folder.path()).args(["-c", "p.yaml"]).args(arguments).env_remove("RUST_LOG");
        let (found, document) = crate::common::json_of(command);
        assert_eq!(found, Some(status), "{arguments:?}: {document:#}");
        document
    };
    put(
        "p.yaml",
        &format!(
            "{file}schema: {{rules: check}}\ncolumns: {{state: {{checks: {{not_null: {{action: warn}}}}}}}}\n"
        ),
    );
    let shown = std::process::Command::new(crate::common::program())
        .current_dir(folder.path())
        .args(["-c", "p.yaml", "config", "show", "--resolved"])
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("accepted_values") && text.contains("tgt.odcs.yaml") && text.contains("row_count"),
        "{text}"
    );
    // Its own `not_null` stands, and once.
    assert_eq!((text.matches("not_null:").count(), text.contains("action: warn")), (1, true), "{text}");
    for (words, why) in [
        ("schema: {rules: check}", "no contract of the standard is named"),
        ("schema: {rules: sometimes}", "sometimes"),
    ] {
        put("p.yaml", &format!("{}{words}\n", file.replace(", ddl: tgt.odcs.yaml", "")));
        let refused = run(2, &["plan"]);
        assert!(refused["error"].to_string().contains(why), "{refused:#}");
    }
}
