//! The JSON Schemas of the documents that `--json` prints.

use serde_json::{Map, Value, json};

use crate::config::json_schema;
use crate::error::{Error, Result};
use crate::notation::did_you_mean;

/// The format of every document.
pub const FORMAT: u32 = 1;

/// Every document with what they share.
const DOCUMENTS: &str = include_str!("documents.schema.json");

/// The commands by name, each with its document.
const NAMES: [(&str, &str); 35] = [
    ("new", "new"),
    ("init", "init"),
    ("plan", "report"),
    ("check", "report"),
    ("run", "report"),
    ("contract-check", "contractsed"),
    ("contract-show", "contract_shown"),
    ("drift", "drift"),
    ("evolve", "evolved"),
    ("ingest", "ingested"),
    ("replay", "replayed"),
    ("bookmarks-list", "bookmarks"),
    ("bookmarks-skip", "bookmarks"),
    ("bookmarks-reset", "bookmarks"),
    ("bookmarks-pause", "bookmarks"),
    ("bookmarks-resume", "bookmarks"),
    ("quarantine-list", "entries"),
    ("quarantine-show", "entries"),
    ("quarantine-replay", "report"),
    ("quarantine-discard", "discarded"),
    ("rollback", "report"),
    ("status", "status"),
    ("doctor", "doctor"),
    ("register", "registered"),
    ("sql", "sql"),
    ("show", "show"),
    ("demo", "demo"),
    ("config-show", "config"),
    ("validate", "validated"),
    ("test", "tested"),
    ("all", "several"),
    ("completions", "text"),
    ("man", "text"),
    ("error", "error"),
    ("pipeline", ""),
];

/// The names that [`schema`] knows.
#[must_use]
pub fn names() -> Vec<&'static str> {
    NAMES.map(|(name, _)| name).to_vec()
}

/// The JSON Schema of a command's document, of `error`, or of a `pipeline` file.
///
/// # Errors
/// Fails when there is no such name.
pub fn schema(name: &str) -> Result<Value> {
    let unknown = || {
        let near = did_you_mean(name, names()).map(|near| format!("{near} "));
        Error::usage(format!("there is no document `{name}`")).hint(format!(
            "{}the documents are {}",
            near.unwrap_or_default(),
            names().join(", ")
        ))
    };
    let (_, document) = NAMES.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    if document.is_empty() {
        return Ok(json_schema());
    }
    let all: Value = serde_json::from_str(DOCUMENTS)
        .map_err(|error| Error::bug("the schemas are no JSON").because(error))?;
    let own = all["documents"][*document].clone();
    let mut whole = Map::from_iter([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), json!(format!("highwater {}", name.replace('-', " ")))),
    ]);
    let shared = shared(&own, &all["$defs"]);
    whole.extend(own.as_object().cloned().unwrap_or_default());
    whole.insert("$defs".to_owned(), Value::Object(shared));
    Ok(Value::Object(whole))
}

/// The shared parts that a schema refers to, and those that they refer to.
fn shared(own: &Value, defs: &Value) -> Map<String, Value> {
    let mut found: Map<String, Value> = Map::new();
    let mut text = own.to_string();
    loop {
        let used = |name: &str| text.contains(&format!("\"#/$defs/{name}\""));
        let missing: Vec<(String, Value)> = defs
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| used(name) && !found.contains_key(*name))
            .map(|(name, def)| (name.clone(), def.clone()))
            .collect();
        if missing.is_empty() {
            return found;
        }
        text = missing.iter().map(|(_, def)| def.to_string()).collect();
        found.extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_holds_what_it_refers_to() {
        for name in names() {
            let schema = schema(name).unwrap();
            let text = schema.to_string();
            for (at, _) in text.match_indices("\"#/$defs/") {
                let name = text[at + 9..].split('"').next().unwrap();
                assert!(schema["$defs"].get(name).is_some(), "{name}");
            }
        }
        let error = schema("statsu").unwrap_err();
        assert!(error.hint_text().unwrap().starts_with("did you mean `status`?"), "{error:?}");
    }
}
