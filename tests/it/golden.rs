//! What outlives a release, held against files in `tests/golden/`: ids, digests, the form of each record. A file that
//! differs means that tables in use would not be understood: it is never written anew for a record that is there, only
//! added to. `HIGHWATER_GOLDEN=write` adds what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use highwater::config::{Overrides, load};
use highwater::model::{Descriptor, Evidence, Form, Strategy};
use highwater::plan::Rules;
use serde_json::{Value, json};

use crate::common::{Lab, clock};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Holds values by name against a file; names that it lacks are an error, or are added.
fn holds(file: &str, found: BTreeMap<String, Value>) {
    let path = golden(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let mut known: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let write = std::env::var_os("HIGHWATER_GOLDEN").is_some_and(|what| what == "write");
    for (name, value) in found {
        match known.get(&name) {
            Some(known) => assert_eq!(known, &value, "{file}: {name}"),
            None if write => {
                known.insert(name, value);
            }
            None => panic!("{file} lacks {name}: {value:#}"),
        }
    }
    if write {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&known).unwrap())).unwrap();
    }
}

fn digest(file: &Path) -> String {
    let (pipeline, _) = load(file, &Overrides::default()).unwrap().into_valid().unwrap();
    Rules::of(&pipeline).digest()
}

/// A pipeline file that says everything.
const EVERYTHING: &str = r#"
name: everything
source: {table: src, lineage: [file, at]}
target: {table: tgt, exclude: [x], load_columns: {batch_id: lb, loaded_at: la, row_hash: lh}}
unique_key: [a, b]
updated_at: v
tie_breakers: [at desc, file]
on_tie: replace_if_different
incremental: {mode: window, column: day, lookback: 2 weeks, lag: 3 days, late: skip, initial: 2025-01-01}
dimensions: {d: d, e: e}
columns:
  c:
    checks:
      - not_null: {action: quarantine, where: "a > 1"}
      - unique
      - accepted_values: {values: [1, 2], warn_if: "> 1", error_if: ">= 5 %"}
      - accepted_range: {min: 1, max: 9.5}
      - regex: {pattern: "^x"}
      - relationships: {to: d, field: c}
      - null_rate: {max: 5 %}
checks:
  - expression: {name: e, sql: a < b, action: warn}
  - freshness: {within: 2 days}
  - row_count: {min: 1, max: 100}
  - row_count_change: {within: 50 %, last: 5, min_history: 2}
  - duplicate_rate: {max: 1 %}
  - aggregate: {name: sum, sql: SUM(a), min: 1}
  - sql: {name: q, query: SELECT * FROM batch}
"#;

#[test]
fn digests_of_pipeline_files_never_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("everything.yaml");
    std::fs::write(&file, EVERYTHING).unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let shipped = ["orders.yaml", "orders-minimal.yaml", "stock.yaml"];
    let mut found: BTreeMap<String, Value> =
        shipped.iter().map(|name| ((*name).to_owned(), digest(&config.join(name)).into())).collect();
    found.insert("everything".to_owned(), digest(&file).into());
    holds("ids.json", found);
}

/// The records in a table's log, under a key of `commitInfo`.
fn records(lab: &Lab, table: &str, key: &str) -> Vec<Value> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(lab.path().join(table).join("_delta_log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let lines = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let actions = lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let actions = actions.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    actions.filter_map(|action| action["commitInfo"].get(key).cloned()).collect()
}

/// Keys of a record, those within it too; of lists, those of the first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(values) => values.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "flag".into(),
        Value::Null => "null".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_have_the_form_that_they_always_had_and_old_ones_are_read() {
    let _ = clock();
    let lab = Lab::reference().await;
    lab.load();
    lab.expect(0, &["rollback", "--last"]);
    let rejected = Lab::reference().await;
    rejected.edit("action: quarantine, error_if: \"> 25 %\"", "action: fail");
    rejected.expect(1, &["run"]);
    let grouped = Lab::ungated().await;
    grouped.edit("partitions_per_commit: 400", "partitions_per_commit: 1");
    grouped.load();
    let by_vectors = Lab::reference().await.written_by(Strategy::DeletionVectors);
    by_vectors.load();
    let mut found = BTreeMap::new();
    for (name, lab) in [("load", &lab), ("group", &grouped), ("by vectors", &by_vectors)] {
        for (index, record) in records(lab, "fact_orders", "highwater").into_iter().enumerate() {
            found.insert(format!("{name} {index}"), shape(&record));
        }
    }
    for record in records(&rejected, "loads_audit", "highwater_evidence") {
        found.insert("evidence".to_owned(), shape(&record));
    }
    assert!(found.len() >= 5, "{:?}", found.keys());
    holds("records.json", found);

    // Whole ones, as a release wrote them.
    let path = golden("old-records.json");
    if std::env::var_os("HIGHWATER_GOLDEN").is_some_and(|what| what == "write") && !path.exists() {
        let evidence = records(&rejected, "loads_audit", "highwater_evidence");
        let mut descriptors = records(&lab, "fact_orders", "highwater");
        descriptors.extend(records(&grouped, "fact_orders", "highwater"));
        let old = json!({"descriptors": descriptors, "evidence": evidence});
        std::fs::write(&path, format!("{old:#}\n")).unwrap();
    }
    let old: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for record in old["descriptors"].as_array().unwrap() {
        assert_eq!(Form::of(record).unknown(), None);
        let descriptor: Descriptor = serde_json::from_value(record.clone()).unwrap();
        let again = Form::stamped(serde_json::to_value(&descriptor).unwrap(), &descriptor.features());
        assert_eq!(&again, record, "read and written again, a descriptor is the same");
    }
    for record in old["evidence"].as_array().unwrap() {
        let evidence: Evidence = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(&Form::stamped(serde_json::to_value(&evidence).unwrap(), &evidence.features()), record);
    }
}

/// Rewrites a record in the newest entry of a table's log.
fn with_feature(lab: &Lab, table: &str, key: &str) {
    let log = lab.path().join(table).join("_delta_log");
    let newest = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .max()
        .unwrap();
    let text = std::fs::read_to_string(&newest).unwrap();
    let lines = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if action["commitInfo"].get(key).is_some() {
            action["commitInfo"][key]["features"] = json!(["tombstones"]);
        }
        action.to_string()
    });
    std::fs::write(&newest, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn record_of_a_newer_release_is_refused_by_name_and_nothing_is_changed() {
    let loaded = Lab::reference().await;
    assert_eq!(loaded.run(&["run", "--fail-at", "merge:after"]).status.code(), None);
    with_feature(&loaded, "fact_orders", "highwater");

    let rejected = Lab::reference().await;
    rejected.edit("action: quarantine, error_if: \"> 25 %\"", "action: fail");
    assert_eq!(rejected.run(&["run", "--fail-at", "audit:after"]).status.code(), None);
    with_feature(&rejected, "loads_audit", "highwater_evidence");

    let audited = Lab::reference().await;
    audited.load();
    let mut row: Value = serde_json::from_str(&audited.rows("loads_audit").await[0]).unwrap();
    row["features"] = json!(["tombstones"]);
    row["batch_id"] = "another".into();
    audited.append("loads_audit", &row.to_string()).await;

    for lab in [loaded, rejected, audited] {
        let before = lab.versions().await;
        let document = lab.expect(4, &["run"]);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("newer highwater") && message.contains("tombstones"), "{message}");
        assert_eq!(lab.versions().await, before);
    }
}
