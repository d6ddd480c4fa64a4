//! Which form a record has, so that one of a newer release is refused by name and not half understood.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form of the records that this release writes. A new field that an older release may pass over changes nothing
/// here; one that it may not is named in [`FEATURES`]; a record that it could not even read for its fields has a new
/// format.
const FORMAT: i32 = 1;

/// What a reader must know of, by name, beyond what has always been there.
const FEATURES: [&str; 2] = [LISTS_IN_FILES, MAPPING];

/// Lists that lie in files of their own.
pub const LISTS_IN_FILES: &str = "lists_in_files";

/// Columns of a batch that are computed from staging's.
pub const MAPPING: &str = "mapping";

/// The form of one record: a descriptor, a rejection's evidence, or an audit row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Which fields there are. Records of before there was a format have 1.
    #[serde(default = "first")]
    pub format: i32,
    /// What a reader must know of to act on the record.
    #[serde(default)]
    pub features: Vec<String>,
}

fn first() -> i32 {
    1
}

impl Default for Form {
    fn default() -> Self {
        Self { format: FORMAT, features: Vec::new() }
    }
}

impl Form {
    /// The form of a record as it was read.
    #[must_use]
    pub fn of(record: &Value) -> Self {
        let unknown = Self { format: i32::MAX, features: Vec::new() };
        serde_json::from_value(record.clone()).unwrap_or(unknown)
    }

    /// Writes the form into a record that needs its reader to know of these features.
    #[must_use]
    pub fn stamped(record: Value, features: &[&str]) -> Value {
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        let (Value::Object(mut fields), Ok(Value::Object(form))) =
            (record.clone(), serde_json::to_value(Self { features, ..Self::default() }))
        else {
            return record;
        };
        fields.extend(form);
        Value::Object(fields)
    }

    /// What of it this release does not know, in words.
    #[must_use]
    pub fn unknown(&self) -> Option<String> {
        if self.format > FORMAT {
            return Some(format!("format {}", self.format));
        }
        let unknown = self.features.iter().filter(|feature| !FEATURES.contains(&feature.as_str()));
        let names: Vec<String> = unknown.map(|feature| format!("`{}`", feature.escape_debug())).collect();
        (!names.is_empty()).then(|| format!("the feature {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn record_of_a_newer_release_is_told_by_what_it_needs() {
        let unknown = |record: Value| Form::of(&record).unknown();
        assert_eq!(unknown(json!({"pipeline": "p"})), None);
        assert_eq!(unknown(Form::stamped(json!({"pipeline": "p"}), &FEATURES)), None);
        assert_eq!(unknown(json!({"format": 2})).unwrap(), "format 2");
        assert_eq!(unknown(json!({"features": ["tombstones"]})).unwrap(), "the feature `tombstones`");
        assert!(unknown(json!({"format": "x"})).is_some());
    }
}
