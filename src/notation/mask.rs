//! How a column's values are made unreadable.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands for a value that nobody is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Its HMAC-SHA256 with `mask_key`, in hex: equal values stay equal, and can be joined.
    Hash,
    /// `***`.
    Redact,
    /// NULL.
    Null,
    /// `***` and its last four characters, of a text of more than eight; else `***`.
    Last4,
}
