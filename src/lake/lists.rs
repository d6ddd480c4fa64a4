//! Long lists of a record, in files beside the table.
//!
//! They lie in a folder that VACUUM passes over, and are written before the commit that names them. Nobody reads them once
//! the batch is done.

use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};
use crate::model::listed::{ListFile, Listed};

/// The folder in a table's own. Writers of Delta tables leave what begins with an underscore alone.
const FOLDER: &str = "_highwater";

/// Bytes of JSON that a record holds itself at most.
const MOST_HERE: usize = 16 << 10;

impl Table {
    /// A list as a record is to hold it: a long one is written to a file.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn listed<T: Serialize>(&self, items: Vec<T>) -> Result<Listed<T>> {
        let bytes =
            serde_json::to_vec(&items).map_err(|error| Error::bug("a list is no JSON").because(error))?;
        if bytes.len() <= MOST_HERE {
            return Ok(Listed::Here(items));
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let list = ListFile { file: format!("{FOLDER}/{sha256}.json"), sha256, items: items.len() };
        let what = || format!("cannot write {} of `{}`", list.file, self.name());
        let put =
            self.inner.object_store().put(&Path::from(list.file.as_str()), PutPayload::from(bytes)).await;
        put.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        Ok(Listed::InFile(list))
    }

    /// The items of a list.
    ///
    /// # Errors
    /// Fails with what to do when its file is gone or has changed.
    pub async fn items<T: DeserializeOwned + Clone>(&self, list: &Listed<T>) -> Result<Vec<T>> {
        let list = match list {
            Listed::Here(items) => return Ok(items.clone()),
            Listed::InFile(list) => list,
        };
        let path = Path::from(list.file.as_str());
        let bytes = async { self.inner.object_store().get(&path).await?.bytes().await }.await;
        let bytes = match bytes {
            Err(object_store::Error::NotFound { .. }) => return Err(self.unusable(list, "is gone")),
            other => other.map_err(|error| {
                failure::of(Phase::Data, &format!("cannot read {} of `{}`", list.file, self.name()), error)
            })?,
        };
        if hex::encode(Sha256::digest(&bytes)) != list.sha256 {
            return Err(self.unusable(list, "has changed"));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.unusable(list, "cannot be read").because(error))
    }

    /// Whether the file of a list is there, where it has one.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn has_list<T>(&self, list: &Listed<T>) -> Result<bool> {
        let Some(file) = list.file() else { return Ok(true) };
        match self.inner.object_store().head(&Path::from(file.file.as_str())).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure::of(
                Phase::Data,
                &format!("cannot look for {} of `{}`", file.file, self.name()),
                error,
            )),
        }
    }

    fn unusable(&self, list: &ListFile, how: &str) -> Error {
        Error::person(format!("{} of `{}` {how}, and an unfinished batch needs it", list.file, self.name()))
            .hint("bring it back from a copy of the table")
    }
}
