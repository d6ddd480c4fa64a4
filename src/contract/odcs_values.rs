//! Values of a contract of the Open Data Contract Standard, and how they are written here.

use serde_json::Value;

use crate::model::sql::Ident;

/// How many rows may be wrong, as `error_if` has it; empty where none may. `None` for another operator.
pub(super) fn limit(rule: &Value) -> Option<String> {
    let unit = match text(rule, "unit") {
        Some("percent" | "%") => " %",
        None | Some("rows") => "",
        Some(_) => return None,
    };
    let number = |key: &str| rule.get(key).filter(|value| value.is_number());
    if let Some(most) = number("mustBe").or_else(|| number("mustBeLessOrEqualTo")) {
        let none = most.as_f64() == Some(0.0);
        // Exactly so many wrong rows is nothing that anybody wants but for none.
        let is_exact = rule.get("mustBe").is_some();
        return match (none, is_exact) {
            (true, _) => Some(String::new()),
            (false, false) => Some(format!("> {most}{unit}")),
            (false, true) => None,
        };
    }
    number("mustBeLessThan").map(|beyond| format!(">= {beyond}{unit}"))
}

/// A check of rows with its keys, and with a limit if there is one.
pub(super) fn with_limit(kind: &str, keys: &str, limit: &str) -> String {
    let limit = if limit.is_empty() { String::new() } else { format!("error_if: \"{limit}\"") };
    let all: Vec<&str> = [keys, &limit].into_iter().filter(|part| !part.is_empty()).collect();
    if all.is_empty() { kind.to_owned() } else { format!("{kind}: {{{}}}", all.join(", ")) }
}

/// The columns that are marked so, by their positions.
pub(super) fn placed<'v>(properties: &'v [Value], mark: &str, position: &str) -> Vec<&'v str> {
    let marked = properties.iter().filter(|property| is_true(property, mark));
    let mut placed: Vec<(i64, &str)> = marked
        .filter_map(|property| Some((property[position].as_i64().unwrap_or(i64::MAX), name_of(property)?)))
        .collect();
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, name)| name).collect()
}

pub(super) fn place(column: Option<&str>) -> String {
    column.map_or_else(|| "the table".to_owned(), |column| format!("`{column}`"))
}

pub(super) fn name_of(element: &Value) -> Option<&str> {
    text(element, "physicalName").or_else(|| text(element, "name"))
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn is_true(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn idents(names: &[&str]) -> String {
    names.iter().map(|name| Ident(name).to_string()).collect::<Vec<_>>().join(", ")
}

/// A text as YAML has it in any place.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub(super) fn scalar(value: &Value) -> String {
    // JSON's scalars are YAML's.
    value.to_string()
}

pub(super) fn yaml_list(values: &[Value]) -> String {
    format!("[{}]", values.iter().map(scalar).collect::<Vec<_>>().join(", "))
}

pub(super) fn sql(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => value.to_string(),
    }
}
