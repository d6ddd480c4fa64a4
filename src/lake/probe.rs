//! Whether a store holds to `If-None-Match`, tried before the first write to it.
//!
//! A commit is a PUT that must fail where the log entry is there already. A store that does not hold to that takes two
//! writers' commits as one version, and one of the two is lost without a word. Such stores exist: so two PUTs of one key
//! are raced, and where both succeed, nothing else is written.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use deltalake::logstore::ObjectStoreRef;
use object_store::path::Path;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::OnceCell;

use super::layer::Layer;
use crate::failure::Unsafe;

/// The folder of what is tried, in a table's folder. Readers and VACUUM pass over it.
const FOLDER: &str = "_highwater/probe";

/// A store whose first write comes after a trial.
#[derive(Debug)]
pub(super) struct Probed {
    inner: ObjectStoreRef,
    /// The folder of the table that is to be written.
    folder: Mutex<Option<Path>>,
    /// Only a good end is remembered, and by nobody but this process.
    good: OnceCell<()>,
}

impl Probed {
    pub(super) fn new(inner: ObjectStoreRef) -> Self {
        Self { inner, folder: Mutex::default(), good: OnceCell::new() }
    }

    /// Has the trial made in this table's folder, unless it is over.
    pub(super) fn probe_in(&self, folder: Path) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    }

    /// Makes the trial, once: in the table's folder, or beside what is written where none was named.
    async fn probe(&self, written: &Path) -> Result<()> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let beside = || {
            let mut parts: Vec<_> = written.parts().collect();
            parts.pop();
            parts.into_iter().collect()
        };
        let folder = folder.unwrap_or_else(beside);
        self.good.get_or_try_init(|| race(&self.inner, &folder)).await.copied()
    }
}

/// A key that nobody else tries.
pub(super) fn key_in(folder: &Path) -> Path {
    let folder = FOLDER.split('/').fold(folder.clone(), Path::join);
    folder.join(uuid::Uuid::new_v4().simple().to_string())
}

/// Races two PUTs of one key, of which one must win.
pub(super) async fn race(store: &ObjectStoreRef, folder: &Path) -> Result<()> {
    let key = key_in(folder);
    // Of two requests at once, one would have to connect first, and come late. What these find does not matter.
    let _ = tokio::join!(store.head(&key), store.head(&key));
    let put = |text: &'static str| store.put_opts(&key, text.into(), PutMode::Create.into());
    let ends = tokio::join!(put("a"), put("b"));
    let judged = judged(&key, [ends.0, ends.1]);
    // If it stays, it is a file of a byte that nobody reads.
    if let Err(error) = store.delete(&key).await {
        tracing::debug!(%error, %key, "the probe's file stays");
    }
    judged
}

fn judged(key: &Path, ends: [Result<PutResult>; 2]) -> Result<()> {
    let told = |why: String| StoreError::NotSupported { source: Box::new(Unsafe(why)) };
    if ends.iter().all(Result::is_ok) {
        return Err(told(format!(
            "the store does not hold to `If-None-Match`: of two PUTs of {key} both were taken, so two writers could \
             commit the same version"
        )));
    }
    // Both may be lost: each to its own PUT that was tried again.
    let is_lost = |error: &StoreError| {
        matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })
    };
    ends.into_iter().filter_map(Result::err).find(|error| !is_lost(error)).map_or(Ok(()), Err)
}

#[async_trait]
impl Layer for Probed {
    const NAME: &'static str = "Probed";

    fn below(&self) -> &ObjectStoreRef {
        &self.inner
    }

    async fn put(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.probe(path).await?;
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.probe(path).await?;
        self.inner.put_multipart_opts(path, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::super::layer::Layered;
    use super::*;

    /// Takes every PUT, whatever its conditions.
    #[derive(Debug)]
    struct Careless(ObjectStoreRef);

    #[async_trait]
    impl Layer for Careless {
        const NAME: &'static str = "Careless";

        fn below(&self) -> &ObjectStoreRef {
            &self.0
        }

        async fn put(&self, path: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
            self.0.put(path, payload).await
        }
    }

    async fn written(inner: ObjectStoreRef) -> (Result<PutResult>, usize) {
        let probed = Probed::new(inner.clone());
        probed.probe_in(Path::from("lake/t"));
        let result = Layered(probed).put(&Path::from("lake/t/x"), "x".into()).await;
        let listed = inner.list_with_delimiter(Some(&Path::from("lake/t"))).await.unwrap();
        (result, listed.objects.len() + listed.common_prefixes.len())
    }

    #[tokio::test]
    async fn store_that_takes_both_is_refused_and_nothing_is_left() {
        let (good, left) = written(Arc::new(InMemory::new())).await;
        assert!(good.is_ok());
        assert_eq!(left, 1);
        let careless = Arc::new(Layered(Careless(Arc::new(InMemory::new()))));
        let (bad, left) = written(careless).await;
        assert!(bad.unwrap_err().to_string().contains("If-None-Match"));
        assert_eq!(left, 0);
    }
}
