//! Lists in a record: where they are long, in a file of their own that the record names.

use serde::{Deserialize, Serialize};

/// A list that a record holds, or names the file of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Listed<T> {
    /// The list itself.
    Here(Vec<T>),
    /// A file with the list, beside the table that the record is about.
    InFile(ListFile),
}

/// A file that holds a list as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFile {
    /// Its path in the table's folder. The name says what is in it, so that who writes the same list again writes the
    /// same file.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// How many items it holds.
    pub items: usize,
}

impl<T> Listed<T> {
    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Here(items) => items.len(),
            Self::InFile(file) => file.items,
        }
    }

    /// The items, where the record holds them.
    #[must_use]
    pub fn here(&self) -> Option<&[T]> {
        match self {
            Self::Here(items) => Some(items),
            Self::InFile(_) => None,
        }
    }

    /// The file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&ListFile> {
        match self {
            Self::Here(_) => None,
            Self::InFile(file) => Some(file),
        }
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

impl<T> From<Vec<T>> for Listed<T> {
    fn from(items: Vec<T>) -> Self {
        Self::Here(items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_is_an_array_and_a_file_an_object() {
        let here: Listed<String> = serde_json::from_value(json!(["a"])).unwrap();
        assert_eq!((here.here(), here.len()), (Some(&["a".to_owned()][..]), 1));
        let file = json!({"file": "_highwater/x.json", "sha256": "x", "items": 3});
        let there: Listed<String> = serde_json::from_value(file.clone()).unwrap();
        assert_eq!((there.here(), there.len()), (None, 3));
        assert_eq!(serde_json::to_value(&there).unwrap(), file);
    }
}
