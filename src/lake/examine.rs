//! What `doctor` asks of tables and stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deltalake::table::config::TablePropertiesExt as _;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::open::{Lake, folder, location_url};
use super::probe::{key_in, race};
use super::table::Table;
use crate::config::Location;
use crate::error::Result;
use crate::failure::{self, Phase};

/// What there is to know of a table besides its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// The newest version.
    pub version: u64,
    /// The features that its protocol names; none for a protocol of before there were any.
    pub features: Vec<String>,
    /// The newest checkpoint: its version, and when it was written.
    pub checkpoint: Option<(u64, DateTime<Utc>)>,
    /// The oldest version that can still be read by its log.
    pub oldest: u64,
    /// How long the log's entries are kept at least, by the engine that cleans them up.
    pub log_retention: Duration,
    /// How long files that were replaced are kept at least, by VACUUM.
    pub file_retention: Duration,
}

/// How a store does what a commit needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// How long a PUT took that must not replace anything.
    pub put: Duration,
    /// How long a GET of a few bytes took.
    pub get: Duration,
}

impl Table {
    /// What there is to know of the table.
    ///
    /// # Errors
    /// Fails when its log cannot be listed.
    pub async fn facts(&self) -> Result<TableFacts> {
        let snapshot = self.snapshot()?;
        let properties = snapshot.table_config();
        let store = self.inner.log_store().object_store(None);
        let what = || format!("cannot list the log of `{}`", self.name);
        let listed: Vec<_> = store
            .list(Some(&Path::from("_delta_log")))
            .try_collect()
            .await
            .map_err(|error| failure::of(Phase::Log, &what(), error))?;
        let named = listed.iter().filter_map(|object| {
            let (version, rest) = object.location.filename()?.split_once('.')?;
            let version = version.parse::<u64>().ok().filter(|_| version.len() == 20)?;
            Some((version, rest, object.last_modified))
        });
        let (checkpoints, entries): (Vec<_>, Vec<_>) =
            named.partition(|(_, rest, _)| rest.starts_with("checkpoint"));
        let checkpoint = checkpoints.iter().max_by_key(|(version, ..)| *version);
        let checkpoint = checkpoint.map(|(version, _, at)| (*version, *at));
        // From a version on, all entries must be there; a checkpoint stands for those before it.
        let mut versions: Vec<u64> =
            entries.iter().filter(|(_, rest, _)| *rest == "json").map(|(version, ..)| *version).collect();
        versions.sort_unstable();
        let first = versions.first().copied().unwrap_or_default();
        let oldest = if first == 0 {
            0
        } else {
            let with_entries = checkpoints.iter().map(|(version, ..)| *version);
            with_entries.filter(|version| *version + 1 >= first).min().unwrap_or(first)
        };
        let protocol = snapshot.protocol();
        let read = protocol.reader_features().unwrap_or_default().iter().map(ToString::to_string);
        let written = protocol.writer_features().unwrap_or_default().iter().map(ToString::to_string);
        let mut features: Vec<String> = read.chain(written).collect();
        features.sort();
        features.dedup();
        Ok(TableFacts {
            version: self.version(),
            features,
            checkpoint,
            oldest,
            log_retention: properties.log_retention_duration(),
            file_retention: properties.deleted_file_retention_duration(),
        })
    }
}

impl Lake {
    /// Tries on the store of a table what a commit needs: a race of two PUTs, a GET, and how long each takes.
    ///
    /// # Errors
    /// Fails where the store lets both PUTs through, or fails itself.
    pub async fn try_store(&self, location: &Location) -> Result<Trial> {
        let url = location_url(location)?;
        let store: Arc<dyn ObjectStore> = self.store_below(&url).await?;
        let folder = folder(&url)?;
        let what = || format!("the store of {location} cannot be written as a commit has to");
        race(&store, &folder).await.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        let key = key_in(&folder);
        let began = Instant::now();
        let put = store.put_opts(&key, "a".into(), object_store::PutMode::Create.into()).await;
        let put = put.map(|_| began.elapsed());
        let began = Instant::now();
        let got = match store.get(&key).await {
            Ok(found) => found.bytes().await.map(|_| began.elapsed()),
            Err(error) => Err(error),
        };
        // If it stays, it is a file of a byte that nobody reads.
        let _ = store.delete(&key).await;
        let put = put.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        let get = got.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        Ok(Trial { put, get })
    }
}
