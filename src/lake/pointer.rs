//! Opens tables whose `_last_checkpoint` names a checkpoint that is not there.
//!
//! That file is a hint of where to begin, which may be stale or gone; a log is whole without it. The Delta kernel
//! follows it all the same, and fails. So the table is read through a store in which there is no such file.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use deltalake::logstore::ObjectStoreRef;
use deltalake::{DeltaTable, DeltaTableError};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};
use url::Url;

use super::table::Lake;

const POINTER: &str = "_last_checkpoint";

impl Lake {
    /// Loads a table by its log alone.
    pub(super) async fn load_without_pointer(&self, url: Url) -> Result<DeltaTable, DeltaTableError> {
        let builder = || deltalake::DeltaTableBuilder::from_url(url.clone());
        let options = self.options();
        let root = builder()?.with_storage_options(options.clone()).build_storage()?.root_object_store(None);
        let store = Arc::new(WithoutPointer { inner: root });
        builder()?.with_storage_options(options).with_storage_backend(store, url.clone()).load().await
    }
}

/// A store that shows no pointer to a last checkpoint.
#[derive(Debug)]
struct WithoutPointer {
    inner: ObjectStoreRef,
}

impl fmt::Display for WithoutPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WithoutPointer({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for WithoutPointer {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if path.filename() == Some(POINTER) {
            return Err(StoreError::NotFound { path: path.to_string(), source: "it is stale".into() });
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
