//! Whether a log is there from its beginning.
//!
//! The Delta kernel checks that the commits it finds follow each other, not that they begin with the first. If the
//! beginning is gone, and no checkpoint stands for it, a later commit with protocol and metadata makes the rest look
//! like a whole table, with rows missing.

use deltalake::logstore::commit_uri_from_version;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt as _};

use super::open::folder;
use super::table::{Table, failed};
use crate::error::{Error, Result};

impl Table {
    /// Makes sure that the log of this version is there from its beginning.
    ///
    /// # Errors
    /// Calls a person when it is not.
    pub(super) async fn check_beginning(&self) -> Result<()> {
        if self.has_beginning().await? {
            return Ok(());
        }
        Err(Error::person(format!(
            "the beginning of the log of `{}` is gone, with no checkpoint in its place",
            self.name
        ))
        .hint("bring the table's log back from a copy: what is left of it is not the whole table"))
    }

    /// Makes sure that the newest entry, where it is there, holds something: the kernel takes an empty one for a commit
    /// that changed nothing.
    ///
    /// # Errors
    /// Calls a person when it is empty.
    pub(super) async fn check_newest_is_whole(&self) -> Result<()> {
        let (version, what) = (self.version(), || format!("cannot read the log of `{}`", self.name));
        match self.inner.object_store().head(&commit_uri_from_version(Some(version))).await {
            Ok(entry) if entry.size == 0 => {
                Err(Error::person(format!("the log entry of version {version} of `{}` is empty", self.name))
                    .hint("a writer or a disk failed half way: bring that entry back from a copy"))
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&what(), error.into())),
        }
    }

    /// Makes sure that no checkpoint is empty, of those that a reader may begin with.
    ///
    /// # Errors
    /// Calls a person when one is.
    pub(super) async fn check_checkpoints(&self) -> Result<()> {
        let empty = self.log_files().await?.into_iter().find(|file| {
            file.size == 0
                && checkpoint_version(&file.location).is_some_and(|version| version <= self.version())
        });
        match empty {
            None => Ok(()),
            Some(file) => Err(Error::person(format!("the checkpoint `{}` of `{}` is empty", file.location, self.name))
                .hint("bring it back from a copy; if the log's entries are all there, delete it and `_delta_log/_last_checkpoint`")),
        }
    }

    async fn log_files(&self) -> Result<Vec<ObjectMeta>> {
        let what = || format!("cannot read the log of `{}`", self.name);
        let log = Path::from("_delta_log");
        let files = self.inner.object_store().list(Some(&log)).try_collect().await;
        files.map_err(|error: StoreError| failed(&what(), error.into()))
    }

    /// Makes sure that the newest entry is there: where only a checkpoint is left of it, no commit can follow.
    ///
    /// # Errors
    /// Calls a person when it is gone.
    pub(super) async fn check_newest(&self) -> Result<()> {
        let (version, what) = (self.version(), || format!("cannot read the log of `{}`", self.name));
        let entry = commit_uri_from_version(Some(version));
        match self.inner.object_store().head(&entry).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => Err(Error::person(format!(
                "the log entry of version {version} of `{}` is gone, and only a checkpoint is left of it",
                self.name
            ))
            .hint("bring that entry back from a copy, or have another writer commit to the table: it cannot be written so")),
            Err(error) => Err(failed(&what(), error.into())),
        }
    }

    /// Whether the first commit is there, or a checkpoint that stands for it.
    pub(super) async fn has_beginning(&self) -> Result<bool> {
        let read = self.kept.0.checkpoints_of(&folder(self.url())?);
        if read.iter().filter_map(checkpoint_version).any(|version| version <= self.version()) {
            return Ok(true);
        }
        let what = || format!("cannot read the log of `{}`", self.name);
        let store = self.inner.object_store();
        match store.head(&commit_uri_from_version(Some(0))).await {
            Ok(_) => return Ok(true),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(failed(&what(), error.into())),
        }
        Ok(self.log_files().await?.iter().any(|file| {
            // The kernel passes over empty ones.
            file.size > 0
                && checkpoint_version(&file.location).is_some_and(|version| version <= self.version())
        }))
    }
}

/// The version that a file of the log is a checkpoint of, or a part of one.
fn checkpoint_version(path: &Path) -> Option<u64> {
    let (version, rest) = path.filename()?.split_once('.')?;
    rest.starts_with("checkpoint.").then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_of_every_kind_are_told_from_other_files() {
        let version = |name: &str| checkpoint_version(&Path::from(format!("_delta_log/{name}")));
        assert_eq!(version("00000000000000000010.checkpoint.parquet"), Some(10));
        assert_eq!(version("00000000000000000010.checkpoint.0000000001.0000000002.parquet"), Some(10));
        assert_eq!(version("00000000000000000010.checkpoint.80a083e8-7026-4e79.json"), Some(10));
        assert_eq!(version("00000000000000000010.json"), None);
        assert_eq!(version("_last_checkpoint"), None);
    }
}
