//! The actions of one commit, as its log entry has them.
//!
//! Read as the protocol asks: what a reader does not know, it ignores, be it an action, a field, or a key beside an
//! action; and an action that is there as NULL is none.

use chrono::{DateTime, Utc};
use deltalake::DeltaTableError;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::file_id::FileId;

/// What a commit did to the table's files, and what it says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Actions {
    /// Its `commitInfo`; empty where there is none.
    pub(super) info: Map<String, Value>,
    pub(super) adds: Vec<Add>,
    pub(super) removes: Vec<Remove>,
}

/// A file that a commit added.
#[derive(Debug, Clone)]
pub(super) struct Add {
    pub(super) file: FileId,
    pub(super) data_change: bool,
    /// Bytes.
    pub(super) size: i64,
    /// Rows, less those that a deletion vector takes; `None` where the log does not say.
    pub(super) rows: Option<i64>,
}

/// A file that a commit removed.
#[derive(Debug, Clone)]
pub(super) struct Remove {
    pub(super) file: FileId,
    pub(super) data_change: bool,
    /// Whether it had a deletion vector.
    pub(super) is_marked: bool,
}

/// A line of a log entry. What is not asked for is skipped without being kept: a commit has a line for each file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLine {
    commit_info: Option<Value>,
    add: Option<RawFile>,
    remove: Option<RawFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile {
    path: String,
    #[serde(default = "yes")]
    data_change: bool,
    #[serde(default)]
    size: Option<i64>,
    stats: Option<String>,
    deletion_vector: Option<RawVector>,
}

#[derive(Deserialize)]
struct RawVector {
    cardinality: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatistics {
    num_records: Option<i64>,
}

/// A file action that does not say is taken to change data: at worst, rows are looked at that are known.
fn yes() -> bool {
    true
}

impl Actions {
    /// The actions of a log entry.
    ///
    /// # Errors
    /// Fails when a line is no JSON object, or an action lacks what every one has.
    pub(super) fn parse(version: u64, entry: &[u8]) -> Result<Self, DeltaTableError> {
        let mut actions = Self::default();
        if entry.is_empty() {
            // A commit has at least its own line: this one was not written to its end.
            let error = serde_json::from_slice::<Value>(entry).err();
            let error = error.unwrap_or_else(|| serde::de::Error::custom("it is empty"));
            return Err(DeltaTableError::InvalidJsonLog { json_err: error, line: String::new(), version });
        }
        for line in entry.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() {
                continue;
            }
            actions.read(line).map_err(|error| DeltaTableError::InvalidJsonLog {
                json_err: error,
                line: String::from_utf8_lossy(line).into_owned(),
                version,
            })?;
        }
        Ok(actions)
    }

    fn read(&mut self, line: &[u8]) -> serde_json::Result<()> {
        if !line.starts_with(b"{") {
            return Err(serde::de::Error::custom("it is no object"));
        }
        let RawLine { commit_info, add, remove } = serde_json::from_slice(line)?;
        if let Some(Value::Object(info)) = commit_info {
            self.info = info;
        }
        if let Some(RawFile { path, data_change, size, stats, deletion_vector }) = add {
            let deleted = deletion_vector.and_then(|vector| vector.cardinality).unwrap_or(0);
            let rows = stats.as_deref().and_then(num_records).map(|rows| rows - deleted);
            let size = size.unwrap_or_default();
            self.adds.push(Add { file: FileId::new(path), data_change, size, rows });
        }
        if let Some(RawFile { path, data_change, deletion_vector, .. }) = remove {
            let is_marked = deletion_vector.is_some();
            self.removes.push(Remove { file: FileId::new(path), data_change, is_marked });
        }
        Ok(())
    }

    /// Whether the commit added or removed rows, as opposed to rewriting files only.
    pub(super) fn change_data(&self) -> bool {
        self.adds.iter().any(|add| add.data_change) || self.removes.iter().any(|remove| remove.data_change)
    }

    /// When the commit was made, as far as it says.
    pub(super) fn timestamp(&self) -> Option<DateTime<Utc>> {
        self.info.get("timestamp").and_then(Value::as_i64).and_then(DateTime::from_timestamp_millis)
    }

    /// One of the operation's metrics, which some writers give as text.
    pub(super) fn metric(&self, name: &str) -> Option<i64> {
        let value = self.info.get("operationMetrics")?.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    /// Present for a RESTORE: the version that it went back to, where the log names it.
    #[expect(clippy::option_option, reason = "as the planner takes it")]
    pub(super) fn restored_version(&self) -> Option<Option<u64>> {
        if self.info.get("operation").and_then(Value::as_str) != Some("RESTORE") {
            return None;
        }
        let version = self.info.get("operationParameters").and_then(|parameters| parameters.get("version"));
        Some(version.and_then(|version| version.as_u64().or_else(|| version.as_str()?.parse().ok())))
    }
}

fn num_records(stats: &str) -> Option<i64> {
    serde_json::from_str::<RawStatistics>(stats).ok()?.num_records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Actions {
        Actions::parse(1, lines.join("\n").as_bytes()).unwrap()
    }

    const ADD: &str = r#"{"add":{"path":"a%2cb","size":1,"partitionValues":{},"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":3}"}}"#;

    #[test]
    fn path_is_the_logs_own_string() {
        let actions = read(&[ADD, r#"{"remove":{"path":"c=Zürich/a b","dataChange":false}}"#]);
        assert_eq!(actions.adds[0].file.as_str(), "a%2cb");
        assert_eq!(actions.removes[0].file.as_str(), "c=Zürich/a b");
        assert_eq!((actions.adds[0].rows, actions.removes[0].data_change), (Some(3), false));
    }

    #[test]
    fn what_is_not_known_is_ignored() {
        let odd = ADD.replacen('{', r#"{"newKey":["x"],"remove":null,"txn":null,"#, 1);
        let odd = odd.replace(r#""size""#, r#""newField":{"a":[null]},"size""#);
        let actions =
            read(&[r#"{"someNewAction":{"a":1}}"#, "", &format!("{odd}\r"), r#"{"commitInfo":null}"#]);
        assert_eq!((actions.adds.len(), actions.removes.len(), actions.info.len()), (1, 0, 0));
    }

    #[test]
    fn two_actions_in_one_line_are_both_read() {
        let both = ADD.replacen('{', r#"{"remove":{"path":"b","dataChange":true},"#, 1);
        let actions = read(&[&both]);
        assert_eq!((actions.adds.len(), actions.removes.len()), (1, 1));
    }

    #[test]
    fn rows_of_a_deletion_vector_do_not_count() {
        let add = ADD.replace(r#""size""#, r#""deletionVector":{"storageType":"u","pathOrInlineDv":"x","sizeInBytes":1,"cardinality":2},"size""#);
        assert_eq!(read(&[&add]).adds[0].rows, Some(1));
    }

    #[test]
    fn commit_says_when_and_what_it_was() {
        let info = r#"{"commitInfo":{"timestamp":1000,"operation":"RESTORE","operationParameters":{"version":"4"},"operationMetrics":{"a":"7","b":8}}}"#;
        let actions = read(&[info]);
        assert_eq!(actions.timestamp().unwrap().timestamp(), 1);
        assert_eq!(actions.restored_version(), Some(Some(4)));
        assert_eq!((actions.metric("a"), actions.metric("b"), actions.metric("c")), (Some(7), Some(8), None));
        assert!(!actions.change_data());
    }

    #[test]
    fn line_that_is_no_object_is_damage() {
        for line in ["[1]", "[null,null,null]", "{\"add\":{}}", "nonsense", ""] {
            let error = Actions::parse(5, line.as_bytes()).unwrap_err();
            assert!(matches!(error, DeltaTableError::InvalidJsonLog { version: 5, .. }), "{line}: {error}");
        }
    }
}
