//! Long lists of a record, in files of their own that the record names.

use serde::{Deserialize, Serialize};

/// A file that holds a list as JSON, beside the table that the record is about.
///
/// It stands in a field of its own beside the list's, which is empty then: a release that does not know of it reads the
/// record all the same, and refuses it by the feature.
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

/// A list, or the file that it was written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed<T> {
    /// The list; empty where it is in a file.
    pub here: Vec<T>,
    /// The file, where there is one.
    pub file: Option<ListFile>,
}
