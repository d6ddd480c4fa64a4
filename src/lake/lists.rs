//! Long lists of a record, in files beside the table.
//!
//! They lie in a folder that VACUUM passes over, and are written before the commit that names them. Nobody reads them once
//! the batch is done.

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};
use crate::model::{ListFile, Listed};

/// The folder in a table's own. Writers of Delta tables leave what begins with an underscore alone.
const FOLDER: &str = "_highwater";

/// Bytes of JSON that a record holds itself at most.
const MOST_HERE: usize = 16 << 10;

/// What a person puts in the place of a list that is lost.
const LOST: &[u8] = b"[]";

impl Table {
    /// A list as a record is to hold it: a long one is written to a file.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn listed<T: Serialize>(&self, items: Vec<T>) -> Result<Listed<T>> {
        let bytes =
            serde_json::to_vec(&items).map_err(|error| Error::bug("a list is no JSON").because(error))?;
        if bytes.len() <= MOST_HERE {
            return Ok(Listed { here: items, file: None });
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let list = ListFile { file: format!("{FOLDER}/{sha256}.json"), sha256, items: items.len() };
        let path = Path::from(list.file.as_str());
        // Never written over: another process may be reading it.
        let put =
            self.inner.object_store().put_opts(&path, PutPayload::from(bytes), PutMode::Create.into()).await;
        match put {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => {
                Ok(Listed { here: Vec::new(), file: Some(list) })
            }
            Err(error) => {
                let what = format!("cannot write {} of `{}`", list.file, self.name());
                Err(failure::of(Phase::Data, &what, error))
            }
        }
    }

    /// The items of a list. Of one that a person gave up, none.
    ///
    /// # Errors
    /// Fails with what to do when its file is gone or has changed.
    pub async fn items<T: DeserializeOwned + Clone>(
        &self,
        here: &[T],
        file: Option<&ListFile>,
    ) -> Result<Vec<T>> {
        let Some(list) = file else { return Ok(here.to_vec()) };
        let path = Path::from(list.file.as_str());
        let bytes = async { self.inner.object_store().get(&path).await?.bytes().await }.await;
        let bytes = match bytes {
            Err(StoreError::NotFound { .. }) => return Err(self.unusable(list, "is gone")),
            other => other.map_err(|error| {
                failure::of(Phase::Data, &format!("cannot read {} of `{}`", list.file, self.name()), error)
            })?,
        };
        if bytes.trim_ascii() == LOST {
            return Ok(Vec::new());
        }
        if hex::encode(Sha256::digest(&bytes)) != list.sha256 {
            return Err(self.unusable(list, "has changed"));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.unusable(list, "cannot be read").because(error))
    }

    /// Whether a person gave a list up.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn is_given_up(&self, file: Option<&ListFile>) -> Result<bool> {
        let Some(list) = file else { return Ok(false) };
        let path = Path::from(list.file.as_str());
        let longest = u64::try_from(LOST.len() + 1).unwrap_or(u64::MAX);
        match self.inner.object_store().head(&path).await {
            // With a line's end, perhaps.
            Ok(meta) => Ok(meta.size <= longest),
            // That is told when it is to be read.
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => {
                let what = format!("cannot look for {} of `{}`", list.file, self.name());
                Err(failure::of(Phase::Data, &what, error))
            }
        }
    }

    fn unusable(&self, list: &ListFile, how: &str) -> Error {
        Error::person(format!("{} of `{}` {how}, and an unfinished batch needs it", list.file, self.name())).hint(
            "bring it back from a copy of the table's folder; if it is lost, put a file with [] in its place: then entries \
             keep the status that they have, and groups that are missing are abandoned",
        )
    }
}
