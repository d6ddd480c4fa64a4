//! Which rows deletion vectors take from the files of a table.
//!
//! Each file of vectors is read once, whole; what it holds is parsed by Delta's kernel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use delta_kernel::actions::deletion_vector::{
    DeletionVectorDescriptor as Descriptor, DeletionVectorStorageType as Storage,
};
use delta_kernel::{DeltaResult, Error as KernelError, FileMeta, FileSlice, StorageHandler};
use deltalake::kernel::{DeletionVectorDescriptor, StorageType};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use roaring::RoaringTreemap;
use url::Url;

use super::file_id::FileId;
use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

/// Files of vectors that are read at once.
const AT_ONCE: usize = 16;

impl Table {
    /// The numbers of the rows that vectors delete, of those of the given files that have a vector.
    ///
    /// # Errors
    /// Fails when a vector cannot be read, or is not what the log says of it.
    pub(super) async fn gone_rows(
        &self,
        wanted: impl Fn(&FileId) -> bool,
    ) -> Result<BTreeMap<FileId, RoaringTreemap>> {
        let mut vectors: Vec<(FileId, Descriptor)> = Vec::new();
        for (file, view) in self.active()? {
            if let Some(vector) = view.deletion_vector_descriptor()
                && wanted(&file)
            {
                vectors.push((file, of_kernel(vector)));
            }
        }
        if vectors.is_empty() {
            return Ok(BTreeMap::new());
        }
        let root = self.url();
        let damaged = |file: &FileId, error: KernelError| {
            let what = format!("the deletion vector of {file} of `{}` cannot be read", self.name());
            Error::person(what)
                .because(error)
                .hint("restore the table to a version before it, or its files from a backup")
        };
        let mut places: Vec<Url> = Vec::new();
        for (file, vector) in &vectors {
            places.extend(vector.absolute_path(root).map_err(|error| damaged(file, error))?);
        }
        places.sort();
        places.dedup();
        let reads = futures::stream::iter(places).map(|place| self.read_whole(place));
        let read: Arc<dyn StorageHandler> =
            Arc::new(InMemory(reads.buffer_unordered(AT_ONCE).try_collect().await?));
        let mut gone = BTreeMap::new();
        for (file, vector) in vectors {
            let rows = vector.read(Arc::clone(&read), root).map_err(|error| damaged(&file, error))?;
            if i64::try_from(rows.len()).ok() != Some(vector.cardinality) {
                let found =
                    format!("it deletes {} rows, and the log says {}", rows.len(), vector.cardinality);
                return Err(damaged(&file, KernelError::generic(found)));
            }
            gone.insert(file, rows);
        }
        Ok(gone)
    }

    /// Reads a file of vectors, which may lie outside of the table's folder.
    async fn read_whole(&self, place: Url) -> Result<(Url, Bytes)> {
        let (store, path) = match place.as_str().strip_prefix(self.url().as_str()) {
            Some(relative) => (self.inner.object_store(), Path::from_url_path(relative)),
            None => (self.inner.log_store().root_object_store(None), Path::from_url_path(place.path())),
        };
        let path = path.map_err(|error| {
            Error::person(format!("the log names {place}, which is no path")).because(error)
        })?;
        let got = async { store.get(&path).await?.bytes().await };
        let what = || format!("cannot read the deletion vectors of `{}`", self.name());
        got.await.map(|bytes| (place, bytes)).map_err(|error| failure::of(Phase::Data, &what(), error))
    }
}

fn of_kernel(vector: DeletionVectorDescriptor) -> Descriptor {
    Descriptor {
        storage_type: match vector.storage_type {
            StorageType::UuidRelativePath => Storage::PersistedRelative,
            StorageType::Inline => Storage::Inline,
            StorageType::AbsolutePath => Storage::PersistedAbsolute,
        },
        path_or_inline_dv: vector.path_or_inline_dv,
        offset: vector.offset,
        size_in_bytes: vector.size_in_bytes,
        cardinality: vector.cardinality,
    }
}

/// Files that were read, for a kernel that would read each once a vector.
#[derive(Debug)]
struct InMemory(HashMap<Url, Bytes>);

impl StorageHandler for InMemory {
    fn read_files(&self, files: Vec<FileSlice>) -> DeltaResult<Box<dyn Iterator<Item = DeltaResult<Bytes>>>> {
        let found = |(place, _): FileSlice| {
            self.0.get(&place).cloned().ok_or_else(|| KernelError::file_not_found(place))
        };
        let found: Vec<DeltaResult<Bytes>> = files.into_iter().map(found).collect();
        Ok(Box::new(found.into_iter()))
    }

    fn list_from(&self, _: &Url) -> DeltaResult<Box<dyn Iterator<Item = DeltaResult<FileMeta>>>> {
        Err(only_reads())
    }

    fn copy_atomic(&self, _: &Url, _: &Url) -> DeltaResult<()> {
        Err(only_reads())
    }

    fn put(&self, _: &Url, _: Bytes, _: bool) -> DeltaResult<()> {
        Err(only_reads())
    }

    fn delete(&self, _: &Url) -> DeltaResult<()> {
        Err(only_reads())
    }

    fn head(&self, _: &Url) -> DeltaResult<FileMeta> {
        Err(only_reads())
    }
}

fn only_reads() -> KernelError {
    KernelError::generic("vectors are only read")
}
