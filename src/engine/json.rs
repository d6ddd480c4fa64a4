//! Spark's `get_json_object`: a value out of a text that is JSON.

use std::sync::Arc;

use deltalake::arrow::array::{Array as _, AsArray as _, StringBuilder};
use deltalake::arrow::datatypes::DataType;
use deltalake::datafusion::error::{DataFusionError, Result};
use deltalake::datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use serde_json::Value;

/// `get_json_object(text, '$.a.b[0]')`: a text as it is, anything else as JSON; NULL where there is nothing, and where the
/// text is no JSON.
pub(super) fn get_json_object() -> ScalarUDF {
    let body = |values: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(values)?;
        let (texts, paths) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let mut found = StringBuilder::with_capacity(texts.len(), texts.len() * 16);
        let mut known: Option<(String, Vec<Step>)> = None;
        for row in 0..texts.len() {
            if texts.is_null(row) || paths.is_null(row) {
                found.append_null();
                continue;
            }
            let path = paths.value(row);
            if known.as_ref().is_none_or(|(text, _)| text != path) {
                known = Some((path.to_owned(), steps(path)?));
            }
            let steps = known.as_ref().map(|(_, steps)| steps.as_slice()).unwrap_or_default();
            found.append_option(value_at(texts.value(row), steps));
        }
        Ok(ColumnarValue::Array(Arc::new(found.finish())))
    };
    let arguments = vec![DataType::Utf8, DataType::Utf8];
    create_udf("get_json_object", arguments, DataType::Utf8, Volatility::Immutable, Arc::new(body))
}

/// A step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// The steps of a path such as `$.a['b c'][0]`.
fn steps(path: &str) -> Result<Vec<Step>> {
    let wrong = || {
        let why = format!("`{path}` is no JSON path here: one is like $.a['b c'][0]");
        DataFusionError::Execution(why)
    };
    let mut rest = path.strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let (key, after) = after.split_once("']").ok_or_else(wrong)?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (number, after) = after.split_once(']').ok_or_else(wrong)?;
            steps.push(Step::Item(number.parse().map_err(|_| wrong())?));
            rest = after;
        } else {
            let after = rest.strip_prefix('.').ok_or_else(wrong)?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 || after.starts_with('*') {
                return Err(wrong());
            }
            steps.push(Step::Key(after[..end].to_owned()));
            rest = &after[end..];
        }
    }
    Ok(steps)
}

fn value_at(text: &str, steps: &[Step]) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    for step in steps {
        value = match (step, &mut value) {
            (Step::Key(key), Value::Object(object)) => object.get_mut(key)?.take(),
            (Step::Item(at), Value::Array(items)) => items.get_mut(*at)?.take(),
            _ => return None,
        };
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let text = r#"{"id": 7, "who": {"first name": "Ann", "tags": ["x", {"y": [1, 2.50, null]}]}, "no": null, "t": true}"#;
        for (path, found) in [
            ("$.id", Some("7")),
            ("$.who['first name']", Some("Ann")),
            ("$['who'].tags[0]", Some("x")),
            ("$.who.tags[1].y", Some("[1,2.5,null]")),
            ("$.who.tags[1].y[1]", Some("2.5")),
            ("$.t", Some("true")),
            ("$.no", None),
            ("$.who.tags[7]", None),
            ("$.who.nobody.home", None),
            ("$.id.x", None),
        ] {
            assert_eq!(value_at(text, &steps(path).unwrap()).as_deref(), found, "{path}");
        }
        assert_eq!(value_at("{cut", &[]), None);
        assert_eq!(value_at("\"a\"", &[]).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["id", "$id", "$.", "$..a", "$[x]", "$['a", "$.*", "$[*]", "$[-1]"] {
            assert!(steps(path).is_err(), "{path}");
        }
    }
}
