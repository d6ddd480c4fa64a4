//! A pipeline file as one JSON value.

use std::sync::Arc;

use serde_json::Value as Json;

use super::problem::Problems;
use super::tree::{Kind, Node, Scalar, Value};
use super::yaml;

/// The text of a pipeline file, or of [`super::show_resolved`], as JSON. What comes from outside stays unread.
///
/// # Errors
/// The first error in the text's syntax.
pub fn yaml_as_json(text: &str, file: &str) -> Result<Json, Problems> {
    let (root, _) = yaml::parse(text, &Arc::from(file)).map_err(|problem| Problems(vec![problem]))?;
    Ok(json(&root))
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(text) => scalar(text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect())
        }
    }
}

fn scalar(scalar: &Scalar) -> Json {
    let text = || Json::from(scalar.text.as_str());
    match scalar.kind() {
        Kind::Null => Json::Null,
        Kind::Boolean => scalar.text.eq_ignore_ascii_case("true").into(),
        Kind::Number => serde_json::from_str(&scalar.text).unwrap_or_else(|_| text()),
        Kind::Text => text(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_yaml_says_they_are() {
        let text = "name: orders\nsource: {table: 't', n: 400, ok: true, none: ~}\nlist: [a, '1']\n";
        let expected = json!({
            "name": "orders",
            "source": {"table": "t", "n": 400, "ok": true, "none": null},
            "list": ["a", "1"],
        });
        assert_eq!(yaml_as_json(text, "p.yaml").unwrap(), expected);
    }
}
