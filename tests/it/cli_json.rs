//! What programs read: every document has a format, keeps to its printed schema, and names batches as people do.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Lab, json_of};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(arguments).env_remove("HIGHWATER_CONFIG");
    command
}

/// The printed schema of a document.
fn schema(name: &str) -> Value {
    let words: Vec<&str> = ["schema"].into_iter().chain(name.split(' ')).collect();
    let output = program(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{name}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What keeps a value from being what a schema says. Keys that no schema declares are wrong too: who adds one
/// says so.
fn faults(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let part = root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is nowhere"));
        return faults(value, part, root, at, found);
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed: Vec<&str> = match &schema["type"] {
        Value::Null => Vec::new(),
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    };
    let fits = |name: &&str| *name == is || (*name == "number" && is == "integer");
    if !allowed.is_empty() && !allowed.iter().any(fits) {
        found.push(format!("{at} is {is}, not {allowed:?}"));
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        found.push(format!("{at} is {value}, not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|names| !names.contains(value)) {
        found.push(format!("{at} is {value}, which is none of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(item, &schema["items"], root, &format!("{at}[{index}]"), found);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at} lacks {name}"));
        }
    }
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(part), _) | (None, part @ Value::Object(_)) => faults(field, part, root, &at, found),
            (None, Value::Bool(true)) => {}
            (None, _) => found.push(format!("{at} is in no schema")),
        }
    }
}

fn assert_keeps_to(document: &Value, name: &str) {
    assert_eq!(document["format"], 1, "{name}: {document:#}");
    let schema = schema(name);
    let mut found = Vec::new();
    faults(document, &schema, &schema, name, &mut found);
    assert_eq!(found, Vec::<String>::new(), "{document:#}");
    // The check itself must be able to fail.
    for key in schema["required"].as_array().unwrap() {
        let mut less = document.clone();
        less.as_object_mut().unwrap().remove(key.as_str().unwrap());
        let mut found = Vec::new();
        faults(&less, &schema, &schema, name, &mut found);
        assert_ne!(found, Vec::<String>::new(), "{name} without {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_keeps_to_its_printed_schema() {
    let lab = Lab::reference().await;
    let target = lab.path().join("fact_orders_bad").display().to_string();
    for (words, name, status) in [
        (&["init"][..], "init", 0),
        (&["status"], "status", 0),
        (&["plan"], "plan", 0),
        (&["check"], "check", 0),
        (&["check", "--as-of", "2025-08-01"], "check", 1),
        (&["run", "--as-of", "2025-08-01"], "run", 1),
        (&["run"], "run", 0),
        (&["run"], "run", 0),
        (&["sql"], "sql", 0),
        (&["show", &target], "show", 0),
        (&["quarantine", "list"], "quarantine list", 0),
        (&["quarantine", "show", "103"], "quarantine show", 0),
        (&["quarantine", "replay", "--dry-run"], "quarantine replay", 0),
        (&["quarantine", "replay"], "quarantine replay", 0),
        (&["quarantine", "discard", "--key", "103", "--reason", "x"], "quarantine discard", 0),
        (&["rollback", "--last", "--dry-run"], "rollback", 0),
        (&["rollback", "--last"], "rollback", 0),
        (&["rollback", "--last"], "rollback", 0),
        (&["status"], "status", 0),
        (&["config", "show"], "config show", 0),
        (&["config", "show", "--resolved"], "config show", 0),
        (&["completions", "bash"], "completions", 0),
        (&["man"], "man", 0),
        (&["rollback", "--batch", "nothing"], "error", 2),
        (&["rnu"], "error", 2),
        (&["run", "--as-of", "never"], "error", 2),
    ] {
        let (code, document) = lab.json(words);
        assert_eq!(code, Some(status), "{words:?} {document:#}");
        assert_keeps_to(&document, name);
    }
    let lab = crate::ingest::filled();
    for (words, name) in [
        (&["ingest"][..], "ingest"),
        (&["run"], "run"),
        (&["bookmarks", "list"], "bookmarks list"),
        (&["bookmarks", "skip", "0.csv", "--reason", "x"], "bookmarks skip"),
        (&["bookmarks", "reset", "--all"], "bookmarks reset"),
        (&["bookmarks", "pause"], "bookmarks pause"),
        (&["bookmarks", "resume"], "bookmarks resume"),
    ] {
        let (code, document) = lab.json(words);
        assert_eq!(code, Some(0), "{words:?} {document:#}");
        assert_keeps_to(&document, name);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("demo").display().to_string();
    assert_keeps_to(&json_of(program(&["demo", &place])).1, "demo");

    let (code, names) = json_of(program(&["schema"]));
    assert_eq!((code, &names["format"]), (Some(0), &json!(1)));
    for name in names["names"].as_array().unwrap() {
        assert!(schema(name.as_str().unwrap())["$schema"].is_string(), "{name}");
    }
    let (code, document) = json_of(program(&["schema", "statsu"]));
    assert_eq!(code, Some(2));
    assert!(document["error"]["hint"].as_str().unwrap().contains("did you mean `status`?"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_hold_rows_objects_and_places_instead_of_text() {
    let lab = Lab::reference().await;
    let table = lab.path().join("fact_orders").display().to_string();
    let (_, shown) = lab.json(&["show", &table]);
    assert_eq!(shown["rows"][0]["order_id"], 101);
    assert_eq!(shown["rows"][0]["total_amount"], "20.00", "a decimal keeps its digits");
    assert_eq!(shown["rows"][0]["row_hash"], Value::Null);
    assert_eq!(shown["columns"][4], json!({"name": "total_amount", "type": "DECIMAL(10,2)"}));
    assert!(shown["text"].as_str().unwrap().starts_with("fact_orders version 1\n"));

    let (_, config) = lab.json(&["config", "show", "--resolved"]);
    assert_eq!(config["config"]["unique_key"], json!(["order_id"]));
    assert_eq!(config["config"]["merge"]["partitions_per_commit"], 400);
    let (_, config) = lab.json(&["config", "show"]);
    assert_eq!(config["config"]["name"], "orders");

    lab.edit("on_tie: keep", "on_ti: keep");
    lab.edit("memory: 60 %", "memory: 60");
    let (code, document) = lab.json(&["run"]);
    assert_eq!(code, Some(2));
    let errors = document["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{document:#}");
    let file = std::fs::read_to_string(lab.config()).unwrap();
    let line = file.lines().position(|line| line.starts_with("on_ti:")).unwrap() + 1;
    let expected = json!({
        "message": "unknown key `on_ti`",
        "file": lab.config().display().to_string(),
        "line": line,
        "column": 1,
        "hint": "did you mean `on_tie`?",
    });
    assert_eq!(errors[0], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_named_by_id_beginning_or_number_everywhere() {
    let lab = Lab::reference().await;
    let id = lab.load()["batch_id"].as_str().unwrap().to_owned();
    for name in [id.as_str(), &id[..12], "1"] {
        let (code, list) = lab.json(&["quarantine", "list", "--batch", name]);
        assert_eq!((code, &list["selected"]), (Some(0), &json!(1)), "{name}: {list:#}");
        let (code, plan) = lab.json(&["rollback", "--batch", name, "--dry-run"]);
        assert_eq!((code, &plan["undone"]), (Some(0), &json!([id])), "{name}: {plan:#}");
        let (code, replay) = lab.json(&["quarantine", "replay", "--batch", name, "--dry-run"]);
        assert_eq!((code, &replay["counts"]["staged"]), (Some(0), &json!(1)), "{name}: {replay:#}");
    }
    // A replay's id covers its selection, so whoever names the batch otherwise means the same replay.
    let replay =
        |name: &str| lab.json(&["quarantine", "replay", "--batch", name, "--dry-run"]).1["batch_id"].clone();
    assert_eq!(replay("1"), replay(&id));
    // Not a short number: the id is another in each run, and may begin with it.
    for name in ["222222222", "zz"] {
        let (code, document) = lab.json(&["rollback", "--batch", name, "--dry-run"]);
        assert_eq!(code, Some(2), "{document:#}");
    }

    // Another batch whose id begins so.
    let row = lab.rows("loads_audit").await.remove(0);
    let mut other: Value = serde_json::from_str(&row).unwrap();
    let twin = format!("{}zz", &id[..12]);
    other["batch_id"] = json!(twin);
    other["sequence"] = Value::Null;
    lab.append("loads_audit", &other.to_string()).await;
    for words in [
        &["rollback", "--dry-run", "--batch"][..],
        &["quarantine", "list", "--batch"],
        &["quarantine", "replay", "--dry-run", "--batch"],
        &["quarantine", "discard", "--reason", "x", "--batch"],
    ] {
        let words: Vec<&str> = words.iter().copied().chain([&id[..12]]).collect();
        let (code, document) = lab.json(&words);
        assert_eq!(code, Some(2), "{document:#}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains(&id) && message.contains(&twin), "{message}");
    }
}
