//! Tables on a store that counts what is asked of it, and fails where it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::{Arc, LazyLock, Mutex};

use deltalake::logstore::object_store::local::LocalFileSystem;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories, object_store_factories,
};
use deltalake::{DeltaResult, DeltaTableError};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use url::Url;

use crate::common::Lab;

/// What was asked of tables with a `counted://` URL, by operation and path.
static REQUESTS: LazyLock<Mutex<Vec<(&'static str, String)>>> = LazyLock::new(Mutex::default);

fn note(operation: &'static str, path: &Path) {
    REQUESTS.lock().unwrap().push((operation, path.to_string()));
}

/// What befalls a request.
#[derive(Debug, Clone, Copy)]
pub enum Harm {
    /// It is not served, and this is the answer, an HTTP status.
    Answered(&'static str),
    /// It is served, and then this is the answer.
    Lost(&'static str),
    /// The connection ends in the middle of the body.
    Cut,
    /// It is served a while later.
    Late,
}

/// Requests that fail.
#[derive(Debug)]
struct Fault {
    operation: &'static str,
    /// The path holds these.
    parts: [String; 2],
    harm: Harm,
    times: usize,
}

static FAULTS: LazyLock<Mutex<Vec<Fault>>> = LazyLock::new(Mutex::default);

/// Makes the next requests fail that ask this of a table's files with `part` in their paths.
pub fn fail(lab: &Lab, operation: &'static str, table: &str, part: &str, harm: Harm, times: usize) {
    let folder = lab.path().join(table).display().to_string();
    let parts = [format!("{}/", folder.trim_start_matches('/')), part.to_owned()];
    FAULTS.lock().unwrap().push(Fault { operation, parts, harm, times });
}

/// Takes back what is left of the failures of a lab; gives how many there were still to come.
pub fn mend(lab: &Lab) -> usize {
    let folder = lab.path().display().to_string();
    let mut left = 0;
    FAULTS.lock().unwrap().retain(|fault| {
        let own = fault.parts[0].starts_with(folder.trim_start_matches('/'));
        left += if own { fault.times } else { 0 };
        !own
    });
    left
}

/// Requests of this process that fail by their number, whatever they ask.
static AT_RANDOM: LazyLock<Mutex<(u64, BTreeMap<u64, Harm>)>> = LazyLock::new(Mutex::default);

/// Makes a few of the next requests of this process fail in ways that pass, drawn by a seed.
pub fn fail_at_random(seed: u64) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let draw = |rng: &mut Pcg64| match rng.random_range(0..5) {
        0 => Harm::Answered("503 Slow Down"),
        1 => Harm::Answered("500 Internal Server Error"),
        2 => Harm::Lost("500 Internal Server Error"),
        3 => Harm::Cut,
        _ => Harm::Late,
    };
    // A load makes some 130 requests.
    let drawn = (0..3).map(|_| (rng.random_range(0..150), draw(&mut rng))).collect();
    *AT_RANDOM.lock().unwrap() = (0, drawn);
}

fn harm(operation: &str, path: &Path) -> Option<Harm> {
    {
        let mut at_random = AT_RANDOM.lock().unwrap();
        at_random.0 += 1;
        let number = at_random.0;
        if let Some(harm) = at_random.1.remove(&number) {
            return Some(harm);
        }
    }
    let mut faults = FAULTS.lock().unwrap();
    let fault = faults.iter_mut().find(|fault| {
        fault.times > 0
            && fault.operation == operation
            && fault.parts.iter().all(|part| path.as_ref().contains(part.as_str()))
    })?;
    fault.times -= 1;
    Some(fault.harm)
}

fn answered<T>(status: &str) -> Result<T> {
    let source = format!("Server returned non-2xx status code: {status}").into();
    Err(deltalake::logstore::object_store::Error::Generic { store: "Counted", source })
}

async fn late() {
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
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
        match harm("put", path) {
            Some(Harm::Answered(status)) => answered(status),
            Some(Harm::Lost(status)) => {
                self.0.put_opts(path, payload, options).await?;
                answered(status)
            }
            Some(Harm::Late) => {
                late().await;
                self.0.put_opts(path, payload, options).await
            }
            Some(Harm::Cut) | None => self.0.put_opts(path, payload, options).await,
        }
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
        match harm("get", path) {
            Some(Harm::Answered(status) | Harm::Lost(status)) => answered(status),
            Some(Harm::Cut) => {
                let whole = self.0.get_opts(path, options).await?;
                let cut = stream::once(async { answered("500 connection reset") }).boxed();
                Ok(GetResult { payload: GetResultPayload::Stream(cut), ..whole })
            }
            Some(Harm::Late) => {
                late().await;
                self.0.get_opts(path, options).await
            }
            None => self.0.get_opts(path, options).await,
        }
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
    know_the_scheme();
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

/// Makes `counted://` URLs known in this process.
pub fn know_the_scheme() {
    let scheme = Url::parse("counted://").unwrap();
    object_store_factories().insert(scheme.clone(), Arc::new(Factory));
    logstore_factories().insert(scheme, Arc::new(Factory));
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
