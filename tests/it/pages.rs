//! The tables of docs/configuration.md are made from the JSON Schema of the pipeline file; `HIGHWATER_README=write`
//! makes them anew.

use std::path::Path;

use highwater::config::json_schema;
use serde_json::{Map, Value};

const BEGIN: &str = "<!-- made from the schema: -->";
const END: &str = "<!-- :made from the schema -->";

/// The keys that every check has.
const COMMON: [&str; 5] = ["name", "action", "where", "warn_if", "error_if"];

/// A value's alternatives: itself, or those that the schema lists.
fn alternatives(node: &Value) -> impl Iterator<Item = &Value> {
    let listed = node.get("anyOf").or_else(|| node.get("oneOf")).and_then(Value::as_array);
    std::iter::once(node).chain(listed.into_iter().flatten())
}

fn object(node: &Value) -> Option<&Map<String, Value>> {
    let mut objects = alternatives(node).filter(|node| node["type"] == "object");
    objects.next().and_then(Value::as_object)
}

/// What a key means: its description, and that of each value it may have.
fn meaning(node: &Value) -> String {
    let words = |node: &Value| node["description"].as_str().unwrap_or_default().replace('\n', " ");
    let choices: Vec<String> = alternatives(node)
        .filter_map(|choice| Some(format!("`{}`: {}", choice.get("const")?.as_str()?, words(choice))))
        .collect();
    let joined = choices.join(" ");
    [words(node), joined].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn default(node: &Value, required: bool) -> String {
    match &node["default"] {
        _ if required => "**required**".to_owned(),
        Value::Null | Value::Object(_) => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn row(path: &str, node: &Value, required: bool) -> String {
    format!("| `{path}` | {} | {} |\n", default(node, required), meaning(node).replace('|', "\\|"))
}

/// A row for each key below `node`. What may be called anything is called `NAME`.
fn rows(path: &str, node: &Value, table: &mut String) {
    let Some(mapping) = object(node) else { return };
    // Of keys of which one must be there, the first: its text names the others.
    let either = mapping.get("anyOf").and_then(|either| either[0].get("required"));
    let required: Vec<&str> = mapping
        .get("required")
        .into_iter()
        .chain(either)
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (key, below) in mapping.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let named = object(below).and_then(|mapping| mapping.get("additionalProperties"));
        if let Some(named) = named.filter(|named| named.is_object()) {
            let path = format!("{path}.NAME");
            table.push_str(&row(&path, below, false));
            rows(&path, named, table);
            continue;
        }
        table.push_str(&row(&path, below, required.contains(&key.as_str())));
        rows(&path, below, table);
    }
}

/// The schema of a check in the list at these properties.
fn check<'s>(schema: &'s Value, path: &[&str]) -> &'s Map<String, Value> {
    let mut node = schema;
    for key in path {
        let mapping = object(node).unwrap();
        node = mapping
            .get("properties")
            .and_then(|below| below.get(key))
            .unwrap_or_else(|| &mapping["additionalProperties"]);
    }
    let list = alternatives(node).find(|node| node["type"] == "array").unwrap();
    object(&list["items"]).unwrap()["properties"].as_object().unwrap()
}

fn made() -> String {
    let schema = json_schema();
    let mut text = String::from("| key | default | meaning |\n|---|---|---|\n");
    rows("", &schema, &mut text);
    let levels =
        [("column", check(&schema, &["columns", "NAME", "checks"])), ("table", check(&schema, &["checks"]))];
    text.push_str("\nA check is a mapping of its kind to its keys. All kinds have these:\n\n| key | default | meaning |\n|---|---|---|\n");
    let any = levels[0].1.values().next().unwrap();
    for key in COMMON {
        text.push_str(&row(&format!("KIND.{key}"), &object(any).unwrap()["properties"][key], false));
    }
    text.push_str("\n| kind | of a | what it demands | its own keys |\n|---|---|---|---|\n");
    for (level, kinds) in levels {
        for (kind, node) in kinds {
            let mapping = object(node).unwrap();
            let own = mapping["properties"].as_object().unwrap().iter();
            let own = own.filter(|(key, _)| !COMMON.contains(&key.as_str()));
            let required = mapping.get("required").and_then(Value::as_array);
            let own: Vec<String> = own
                .map(|(key, node)| {
                    let is_required = required.is_some_and(|keys| keys.contains(&Value::from(key.as_str())));
                    let default = default(node, is_required);
                    let default = if default.is_empty() { default } else { format!(" ({default})") };
                    format!("`{key}`{default}: {}", meaning(node))
                })
                .collect();
            let line = format!("| `{kind}` | {level} | {} | {} |\n", meaning(node), own.join("<br>"));
            text.push_str(&line);
        }
    }
    text
}

/// A row for each option of the object store.
fn options() -> String {
    let schema = json_schema();
    let mut text = String::from("| option | meaning |\n|---|---|\n");
    for (name, node) in schema["properties"]["storage"]["properties"].as_object().unwrap() {
        text.push_str(&format!("| `{name}` | {} |\n", meaning(node).replace('|', "\\|")));
    }
    text
}

#[test]
fn configuration_page_has_every_key_of_the_schema() {
    hold("docs/configuration.md", &made());
}

#[test]
fn page_of_object_storage_has_every_option() {
    hold("docs/object-storage.md", &options());
}

/// Holds what stands between the marks of a page against what was made.
fn hold(page: &str, made: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let made = format!("\n\n{made}\n");
    if std::env::var_os("HIGHWATER_README").is_some_and(|what| what == "write") {
        std::fs::write(page, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, made, "run this test with HIGHWATER_README=write");
    }
}
