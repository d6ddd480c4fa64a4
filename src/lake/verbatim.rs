//! Commits that name files by the log's own strings.
//!
//! delta-rs decodes the string of a file, and encodes it in its own way when it writes the file's Remove, or the
//! Add of a RESTORE. Where another writer encoded it otherwise, such a Remove takes nothing away: its rows would
//! stand beside their copies. No operation of delta-rs can be told the string. So where a commit would name a
//! file by another string than the log does, it goes through a store that puts the log's own string back as the
//! entry is written: before the commit, not after it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use deltalake::DeltaTable;
use deltalake::kernel::{Action, LogicalFileView};
use deltalake::logstore::{ObjectStoreRef, default_logstore};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore as _, PutOptions, PutPayload, PutResult};
use serde_json::{Map, Value};

use super::file_id::FileId;
use super::layer::{Layer, Layered};
use super::table::Table;
use crate::error::{Error, Result};

/// The log's own strings, by what delta-rs would write instead. Only of files for which the two differ.
#[derive(Debug, Clone, Default)]
struct Names(HashMap<String, FileId>);

impl Names {
    fn of(table: &Table) -> Result<Self> {
        let mut names = HashMap::new();
        for (file, view) in table.active()? {
            let written = written_by_delta_rs(&file, &view)?;
            if let Some(other) = names.insert(written, file.clone()) {
                return Err(Error::person(format!(
                    "the log of `{}` names one file twice, as {other} and as {file}: its rows count twice",
                    table.name()
                ))
                .hint("take one of the two out of the table, with the writer that put it there"));
            }
        }
        names.retain(|written, file| written != file.as_str());
        Ok(Self(names))
    }
}

/// The string by which delta-rs would name the file in a commit.
fn written_by_delta_rs(file: &FileId, view: &LogicalFileView) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/=._-".contains(&byte);
    if file.as_str().bytes().all(plain) {
        return Ok(file.as_str().to_owned());
    }
    let no_action = || Error::bug("a Remove has no path");
    let action = serde_json::to_value(Action::Remove(view.remove_action(true)));
    let action = action.map_err(|error| no_action().because(error))?;
    action["remove"]["path"].as_str().map(str::to_owned).ok_or_else(no_action)
}

impl Table {
    /// The table as delta-rs's operations take it, so that what they commit names this version's files by the
    /// log's own strings. With `also`, those files too that the operation adds again from there.
    ///
    /// # Errors
    /// Fails for a person when the log names one file twice.
    pub(super) fn to_commit(&self, also: Option<&Self>) -> Result<DeltaTable> {
        // A table is opened once, and may have been replaced by another since.
        self.check_column_mapping()?;
        let removed = Names::of(self)?;
        let added = also.map(Names::of).transpose()?.unwrap_or_default();
        if removed.0.is_empty() && added.0.is_empty() {
            return Ok(self.inner.clone());
        }
        tracing::debug!(table = self.name, files = removed.0.len(), "files keep the strings of the log");
        let log = self.inner.log_store();
        let store = Verbatim { inner: log.object_store(None), removed, added };
        let log = default_logstore(
            Arc::new(Layered(store)),
            log.root_object_store(None),
            log.config().location(),
            log.config().options(),
        );
        let mut table = DeltaTable::new(log);
        table.state.clone_from(&self.inner.state);
        Ok(table)
    }
}

/// A table's store that puts the log's own strings into each log entry that is written.
#[derive(Debug)]
struct Verbatim {
    inner: ObjectStoreRef,
    removed: Names,
    added: Names,
}

impl Verbatim {
    /// The log entry with the log's own strings.
    fn restore(&self, entry: &PutPayload) -> serde_json::Result<PutPayload> {
        let entry: Vec<u8> = entry.iter().flat_map(|part| part.iter().copied()).collect();
        let mut lines = Vec::new();
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut action: Map<String, Value> = serde_json::from_slice(line)?;
            let mut changed = false;
            for (kind, names) in [("remove", &self.removed), ("add", &self.added)] {
                let path = action.get_mut(kind).and_then(|action| action.get_mut("path"));
                if let Some(path) = path
                    && let Some(own) = path.as_str().and_then(|path| names.0.get(path))
                {
                    *path = Value::from(own.as_str());
                    changed = true;
                }
            }
            lines.push(if changed { serde_json::to_vec(&action)? } else { line.to_vec() });
        }
        Ok(PutPayload::from(lines.join(&b'\n')))
    }
}

fn is_log_entry(path: &Path) -> bool {
    path.as_ref().starts_with("_delta_log/") && path.extension() == Some("json")
}

#[async_trait]
impl Layer for Verbatim {
    const NAME: &'static str = "Verbatim";

    fn below(&self) -> &ObjectStoreRef {
        &self.inner
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if !is_log_entry(path) {
            return self.inner.put_opts(path, payload, options).await;
        }
        let entry = self
            .restore(&payload)
            .map_err(|error| StoreError::Generic { store: "log entry", source: Box::new(error) })?;
        self.inner.put_opts(path, entry, options).await
    }
}

#[cfg(test)]
mod tests {
    use deltalake::logstore::object_store::memory::InMemory;

    use object_store::GetOptions;

    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Names {
        Names(pairs.iter().map(|(written, own)| ((*written).to_owned(), FileId::new(*own))).collect())
    }

    async fn written(path: &str, entry: &str) -> String {
        let inner: ObjectStoreRef = Arc::new(InMemory::new());
        let store = Verbatim {
            inner: Arc::clone(&inner),
            removed: names(&[("c=Z%C3%BC/a", "c=Zü/a")]),
            added: names(&[("c=a%20b/a", "c=a b/a")]),
        };
        let path = Path::from(path);
        store.put(&path, entry.to_owned().into(), PutOptions::default()).await.unwrap();
        let bytes = inner.get_opts(&path, GetOptions::default()).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn log_entry_gets_the_strings_of_the_log_and_nothing_else_changes() {
        let entry = [
            r#"{"commitInfo":{"x":"c=Z%C3%BC/a"}}"#,
            r#"{"remove":{"path":"c=Z%C3%BC/a","dataChange":true}}"#,
            r#"{"remove":{"path":"c=a%20b/a","dataChange":true}}"#,
            r#"{"add":{"path":"c=a%20b/a","size":1}}"#,
            r#"{"add":{"path":"c=Z%C3%BC/b","size":1}}"#,
        ];
        let found = written("_delta_log/00000000000000000007.json", &entry.join("\n")).await;
        let mut expected = entry.map(str::to_owned);
        expected[1] = r#"{"remove":{"path":"c=Zü/a","dataChange":true}}"#.to_owned();
        expected[3] = r#"{"add":{"path":"c=a b/a","size":1}}"#.to_owned();
        assert_eq!(found, expected.join("\n"));
    }

    #[tokio::test]
    async fn other_files_are_written_as_they_are() {
        let entry = r#"{"remove":{"path":"c=Z%C3%BC/a"}}"#;
        for path in ["c=x/a.parquet", "_delta_log/_last_checkpoint", "c=x/_delta_log/1.json"] {
            assert_eq!(written(path, entry).await, entry);
        }
    }
}
