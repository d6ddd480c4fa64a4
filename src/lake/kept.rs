//! A bucket's store that keeps what never changes: each entry of a log, and each checkpoint, is fetched once.
//!
//! A log is replayed again and again: for the table's files, for its `txn` numbers, for the commits since the last
//! batch, and all of that at each look. On an object store each replay asks for each entry anew. A version's entry is
//! written once and never again, so its first answer stands. What is not there is not kept: it may come.
//!
//! Of tables that have a row a batch, small data files are kept too.
//!
//! `_last_checkpoint` may be hidden, table by table. It is a hint of where to begin, which may be stale or gone; a log is whole without
//! it. The Delta kernel follows it all the same, and fails.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::logstore::ObjectStoreRef;
use futures::StreamExt as _;
use futures::stream;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore as _,
};

use super::layer::Layer;

const POINTER: &str = "_last_checkpoint";

/// Bytes of one object that is kept.
const LARGEST: u64 = 4 << 20;
/// Bytes that are kept in all.
const MOST: usize = 64 << 20;

/// What is known of an object.
#[derive(Debug, Clone)]
enum Known {
    Whole(ObjectMeta, Bytes),
    TooLarge,
}

/// A store with what was fetched from it.
#[derive(Debug)]
pub(super) struct Kept {
    inner: ObjectStoreRef,
    /// Folders of tables whose data files are kept.
    with_data: Mutex<HashSet<Path>>,
    /// Folders of tables that are read without their pointer.
    without_pointer: Mutex<HashSet<Path>>,
    objects: Mutex<(usize, HashMap<Path, Known>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_in_one_of(folders: &Mutex<HashSet<Path>>, path: &Path) -> bool {
    lock(folders).iter().any(|folder| path.prefix_matches(folder))
}

impl Kept {
    pub(super) fn new(inner: ObjectStoreRef) -> Self {
        let (with_data, without_pointer) = (Mutex::default(), Mutex::default());
        Self { inner, with_data, without_pointer, objects: Mutex::default() }
    }

    /// Keeps the data files of the table in this folder too.
    pub(super) fn keep_data_of(&self, folder: Path) {
        lock(&self.with_data).insert(folder);
    }

    /// Shows no pointer to a last checkpoint in the log of the table in this folder.
    pub(super) fn hide_pointer_of(&self, folder: Path) {
        lock(&self.without_pointer).insert(folder);
    }

    fn known(&self, path: &Path) -> Option<Known> {
        lock(&self.objects).1.get(path).cloned()
    }

    /// The checkpoints that were read of the table in this folder.
    pub(super) fn checkpoints_of(&self, folder: &Path) -> Vec<Path> {
        let objects = lock(&self.objects);
        let is_checkpoint = |path: &&Path| path.filename().is_some_and(|name| name.contains(".checkpoint"));
        let own = objects.1.keys().filter(|path| path.prefix_matches(folder));
        own.filter(is_checkpoint).cloned().collect()
    }

    fn keep(&self, path: &Path, known: Known) {
        let mut objects = lock(&self.objects);
        let bytes = if let Known::Whole(_, bytes) = &known { bytes.len() } else { 0 };
        if objects.0 + bytes <= MOST {
            objects.0 += bytes;
            objects.1.insert(path.clone(), known);
        }
    }

    /// Whether an object never changes once it is there, and is worth keeping.
    fn is_kept(&self, path: &Path) -> bool {
        let (folder, name) = path.as_ref().rsplit_once('/').unwrap_or(("", path.as_ref()));
        match folder.rsplit('/').next() {
            Some("_delta_log") => {
                let (version, rest) = name.split_once('.').unwrap_or((name, ""));
                version.len() == 20 && (rest == "json" || rest.starts_with("checkpoint"))
            }
            Some("_sidecars") => true,
            _ => name.ends_with(".parquet") && is_in_one_of(&self.with_data, path),
        }
    }

    /// The whole object, unless it is too large, or asked for under conditions.
    async fn whole(
        &self,
        path: &Path,
        options: &GetOptions,
    ) -> object_store::Result<Option<(ObjectMeta, Bytes)>> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some()
            || options.version.is_some();
        if conditional || !self.is_kept(path) {
            return Ok(None);
        }
        match self.known(path) {
            Some(Known::Whole(meta, bytes)) => return Ok(Some((meta, bytes))),
            Some(Known::TooLarge) => return Ok(None),
            None if options.head => return Ok(None),
            None => {}
        }
        let found = self.inner.get_opts(path, GetOptions::default()).await?;
        if found.meta.size > LARGEST {
            self.keep(path, Known::TooLarge);
            return Ok(None);
        }
        let meta = found.meta.clone();
        let bytes = found.bytes().await?;
        // One that is still empty is not whole: another store may show it before it is written.
        if !bytes.is_empty() {
            self.keep(path, Known::Whole(meta.clone(), bytes.clone()));
        }
        Ok(Some((meta, bytes)))
    }
}

fn answer(meta: ObjectMeta, bytes: &Bytes, options: &GetOptions) -> object_store::Result<GetResult> {
    let range = match &options.range {
        None => 0..meta.size,
        Some(range) => range.as_range(meta.size).map_err(|error| StoreError::Generic {
            store: "Kept",
            source: format!("{}: {error}", meta.location).into(),
        })?,
    };
    let part = if options.head { Bytes::new() } else { slice(bytes, &range) };
    let payload = GetResultPayload::Stream(stream::once(async { Ok(part) }).boxed());
    Ok(GetResult { payload, meta, range, attributes: object_store::Attributes::default() })
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

#[async_trait]
impl Layer for Kept {
    const NAME: &'static str = "Kept";

    fn below(&self) -> &ObjectStoreRef {
        &self.inner
    }

    async fn get(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if path.filename() == Some(POINTER) && is_in_one_of(&self.without_pointer, path) {
            return Err(StoreError::NotFound { path: path.to_string(), source: "it is stale".into() });
        }
        match self.whole(path, &options).await? {
            Some((meta, bytes)) => answer(meta, &bytes, &options),
            None => self.inner.get_opts(path, options).await,
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        match self.whole(path, &GetOptions::default()).await? {
            Some((_, bytes)) => Ok(ranges.iter().map(|range| slice(&bytes, range)).collect()),
            None => self.inner.get_ranges(path, ranges).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::super::layer::Layered;
    use super::*;

    const ENTRY: &str = "t/_delta_log/00000000000000000007.json";

    async fn store() -> (Arc<InMemory>, Layered<Kept>) {
        let inner = Arc::new(InMemory::new());
        for path in [ENTRY, "t/_delta_log/_last_checkpoint", "t/a.parquet"] {
            inner.put(&Path::from(path), "0123456789".into()).await.unwrap();
        }
        (inner.clone(), Layered(Kept::new(inner)))
    }

    async fn read(store: &Layered<Kept>, path: &str) -> object_store::Result<Bytes> {
        store.get(&Path::from(path)).await?.bytes().await
    }

    #[tokio::test]
    async fn log_entry_is_fetched_once_and_answers_ranges_and_heads() {
        let (inner, store) = store().await;
        let path = Path::from(ENTRY);
        assert_eq!(store.get_range(&path, 2..4).await.unwrap(), "23");
        inner.delete(&path).await.unwrap();
        assert_eq!(read(&store, ENTRY).await.unwrap(), "0123456789");
        assert_eq!(store.head(&path).await.unwrap().size, 10);
        assert_eq!(store.get_ranges(&path, &[0..1, 8..10]).await.unwrap(), ["0", "89"]);
    }

    #[tokio::test]
    async fn what_may_change_is_asked_for_each_time() {
        let (inner, store) = store().await;
        for path in ["t/_delta_log/_last_checkpoint", "t/a.parquet"] {
            read(&store, path).await.unwrap();
            inner.delete(&Path::from(path)).await.unwrap();
            assert!(matches!(read(&store, path).await, Err(StoreError::NotFound { .. })), "{path}");
        }
        // What was missing may have come.
        let next = "t/_delta_log/00000000000000000008.json";
        assert!(read(&store, next).await.is_err());
        inner.put(&Path::from(next), "x".into()).await.unwrap();
        assert_eq!(read(&store, next).await.unwrap(), "x");
    }

    #[tokio::test]
    async fn data_files_of_a_record_table_are_kept_and_a_hidden_pointer_is_not_there() {
        let (inner, store) = store().await;
        store.0.keep_data_of(Path::from("t"));
        read(&store, "t/a.parquet").await.unwrap();
        inner.delete(&Path::from("t/a.parquet")).await.unwrap();
        assert_eq!(read(&store, "t/a.parquet").await.unwrap(), "0123456789");
        assert!(read(&store, "t/_delta_log/_last_checkpoint").await.is_ok());
        store.0.hide_pointer_of(Path::from("t"));
        assert!(read(&store, "t/_delta_log/_last_checkpoint").await.is_err());
    }
}
