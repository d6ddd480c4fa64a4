//! Tables on a store that counts what is asked of it.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::{Arc, LazyLock, Mutex};

use deltalake::logstore::object_store::local::LocalFileSystem;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories, object_store_factories,
};
use deltalake::{DeltaResult, DeltaTableError};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use url::Url;

use crate::common::Lab;

/// What was asked of tables with a `counted://` URL, by operation and path.
static REQUESTS: LazyLock<Mutex<Vec<(&'static str, String)>>> = LazyLock::new(Mutex::default);

fn note(operation: &'static str, path: &Path) {
    REQUESTS.lock().unwrap().push((operation, path.to_string()));
}

/// The local disk, with requests counted.
#[derive(Debug)]
struct Counted(LocalFileSystem);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({})", self.0)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        note("put", path);
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        note("put", path);
        self.0.put_multipart_opts(path, options).await
    }

    // Every read ends up here: those of one range, and, as `get_ranges` has its default, of several.
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        note(if options.head { "head" } else { "get" }, path);
        self.0.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        note("list", prefix.unwrap_or(&Path::default()));
        // Sorted by name, as the stores are whose URLs delta-rs does not know.
        let files = self.0.list(prefix).try_collect::<Vec<_>>().map_ok(|mut files| {
            files.sort_by(|a, b| a.location.cmp(&b.location));
            stream::iter(files.into_iter().map(Ok))
        });
        files.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        note("list", prefix.unwrap_or(&Path::default()));
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// Makes counting stores for `counted://` URLs.
struct Factory;

impl ObjectStoreFactory for Factory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let path =
            Path::from_url_path(url.path()).map_err(|error| DeltaTableError::generic(error.to_string()))?;
        Ok((Arc::new(Counted(LocalFileSystem::new())), path))
    }
}

impl LogStoreFactory for Factory {
    fn with_options(
        &self,
        prefixed: ObjectStoreRef,
        root: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}

/// Makes the lab's pipeline file name its tables by `counted://` URLs.
pub fn count_requests(lab: &Lab) {
    let scheme = Url::parse("counted://").unwrap();
    object_store_factories().insert(scheme.clone(), Arc::new(Factory));
    logstore_factories().insert(scheme, Arc::new(Factory));
    for table in &lab.tables {
        let key = if table.starts_with("load") {
            table.trim_start_matches("loads_").trim_start_matches("load_")
        } else if table.ends_with("_bad") {
            "quarantine"
        } else {
            "table"
        };
        lab.edit(
            &format!("{key}: {table}"),
            &format!("{key}: counted://{}", lab.path().join(table).display()),
        );
    }
}

/// A request to the store of a table.
#[derive(Debug)]
pub struct Request {
    pub operation: &'static str,
    pub table: &'static str,
    /// From the table's folder on.
    pub path: String,
}

impl Request {
    pub fn is_of_log(&self) -> bool {
        self.path.starts_with("_delta_log")
    }
}

/// The requests for this lab's tables since the last call.
pub fn requests_of(lab: &Lab) -> Vec<Request> {
    let mut found = Vec::new();
    REQUESTS.lock().unwrap().retain(|(operation, path)| {
        let path = FilePath::new("/").join(path);
        let under = |table: &&'static str| Some((*table, path.strip_prefix(lab.path().join(table)).ok()?));
        let Some((table, rest)) = lab.tables.iter().find_map(under) else { return true };
        found.push(Request { operation, table, path: rest.display().to_string() });
        false
    });
    found
}
