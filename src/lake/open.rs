//! Opens tables: where they lie, and through which store they are read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deltalake::logstore::ObjectStoreRef;
use deltalake::{DeltaTableBuilder, DeltaTableError};
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::features::unreadable;
use super::kept::Kept;
use super::layer::Layered;
use super::names::check_column_names;
use super::table::{Table, failed};
use crate::config::{Location, Pipeline};
use crate::error::{Error, Result};
use crate::failure::{self, Cause};

/// Opens tables with one set of storage options.
#[derive(Clone)]
pub struct Lake {
    options: HashMap<String, String>,
    /// Where `memory:` tables lie: as long as the lake lives.
    memory: Arc<InMemory>,
    stores: Arc<Mutex<HashMap<String, Arc<Layered<Kept>>>>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the values: some are secrets.
        f.debug_struct("Lake").field("options", &self.options.keys()).finish_non_exhaustive()
    }
}

impl Lake {
    /// A lake with the pipeline's storage options.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        deltalake::aws::register_handlers(None);
        let options = pipeline.storage.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        Self { options: options.collect(), memory: Arc::default(), stores: Arc::default() }
    }

    /// A lake with default storage options.
    #[must_use]
    pub fn plain() -> Self {
        deltalake::aws::register_handlers(None);
        Self { options: HashMap::new(), memory: Arc::default(), stores: Arc::default() }
    }

    /// Opens a table at its newest version.
    ///
    /// # Errors
    /// A missing table is a usage error that points to `init`; storage that is away can be tried again.
    pub async fn open(&self, name: &str, location: &Location) -> Result<Table> {
        self.open_existing(name, location).await?.ok_or_else(|| missing(name, location))
    }

    /// Opens a table that is to be written, at its newest version.
    ///
    /// # Errors
    /// As [`open`](Self::open) does; and if the table has features that a writer would have to honour and highwater
    /// does not.
    pub async fn open_to_write(&self, name: &str, location: &Location) -> Result<Table> {
        self.must_write(self.open(name, location).await?).await
    }

    /// Opens a table that has a row a batch, to be written, at its newest version. Its small files are read once.
    ///
    /// # Errors
    /// As [`open_to_write`](Self::open_to_write) does.
    pub async fn open_record(&self, name: &str, location: &Location) -> Result<Table> {
        let url = location_url(location)?;
        self.store(&url)?.0.keep_data_of(folder(&url)?);
        self.open_to_write(name, location).await
    }

    async fn must_write(&self, table: Table) -> Result<Table> {
        table.check_writable()?;
        table.check_newest().await?;
        Ok(table)
    }

    /// Opens a table at its newest version; `None` where there is none.
    ///
    /// # Errors
    /// Fails when the location or the credentials are wrong, or storage is away.
    pub async fn open_existing(&self, name: &str, location: &Location) -> Result<Option<Table>> {
        let url = location_url(location)?;
        // delta-rs takes a missing folder for a wrong location, and an empty one for a missing table.
        if let Ok(path) = url.to_file_path()
            && url.scheme() == "file"
            && !path.exists()
        {
            return Ok(None);
        }
        if let Ok(path) = url.to_file_path()
            && url.scheme() == "file"
            && path.is_file()
        {
            return Err(Error::usage(format!("{} is a file, and a table is a folder", path.display()))
                .hint("correct the path, or move that file away"));
        }
        let mut stale = false;
        let loaded = match self.builder(&url)?.load().await {
            Err(error) if failure::cause(&error) == Cause::StalePointer => {
                tracing::warn!(
                    table = name,
                    "its pointer to the last checkpoint is stale; reading without it"
                );
                stale = true;
                self.store(&url)?.0.hide_pointer_of(folder(&url)?);
                self.builder(&url)?.load().await
            }
            loaded => loaded,
        };
        let what = || format!("cannot open table `{name}` at {location}");
        match loaded {
            Ok(inner) => {
                let table = Table { name: name.to_owned(), inner, kept: self.store(&url)? };
                table.check_beginning().await?;
                table.check_newest_is_whole().await?;
                if stale {
                    table.check_checkpoints().await?;
                }
                table.check_readable()?;
                table.check_column_mapping()?;
                let schema = table.snapshot()?.schema();
                check_column_names(name, schema.fields().map(|field| field.name().as_str()))?;
                Ok(Some(table))
            }
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) if failure::cause(&error) == Cause::Unsupported => Err(unreadable(&what(), error)),
            Err(error) => Err(failed(&what(), error)),
        }
    }

    /// What opens or creates the table at `url`.
    pub(super) fn builder(&self, url: &Url) -> Result<DeltaTableBuilder> {
        Ok(self.plain_builder(url)?.with_storage_backend(self.store(url)?, url.clone()))
    }

    fn plain_builder(&self, url: &Url) -> Result<DeltaTableBuilder> {
        let builder = DeltaTableBuilder::from_url(url.clone());
        let builder = builder.map_err(|error| failed("bad table location", error))?;
        Ok(builder.with_storage_options(self.options.clone()))
    }

    /// The store of the bucket, or of this machine, that the table lies on: one for all of its tables.
    fn store(&self, url: &Url) -> Result<Arc<Layered<Kept>>> {
        // The table library reads that from the environment too, and does not hold the lock.
        let locking = std::env::var("AWS_S3_LOCKING_PROVIDER").is_ok_and(|name| !name.is_empty());
        if locking && url.scheme().starts_with("s3") {
            return Err(Error::usage("AWS_S3_LOCKING_PROVIDER asks for a lock table, which highwater does not hold")
                .hint("commits are made by conditional PUTs: unset it, if no other writer of these tables relies on the lock"));
        }
        let bucket = url[..url::Position::BeforePath].to_owned();
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&bucket) {
            return Ok(store.clone());
        }
        let root: ObjectStoreRef = if url.scheme() == "memory" {
            self.memory.clone()
        } else {
            let log = self.plain_builder(url)?.build_storage();
            log.map_err(|error| failed("bad table location", error))?.root_object_store(None)
        };
        let store = Arc::new(Layered(Kept::new(root)));
        stores.insert(bucket, store.clone());
        Ok(store)
    }
}

/// The folder of a table in its bucket.
pub(super) fn folder(url: &Url) -> Result<Path> {
    Path::from_url_path(url.path())
        .map_err(|error| Error::usage(format!("bad table location {url}")).because(error))
}

fn missing(name: &str, location: &Location) -> Error {
    Error::usage(format!("table `{name}` does not exist at {location}"))
        .hint("`highwater init` creates missing tables; check the path in the pipeline file")
}

/// The URL of a table's location.
pub(super) fn location_url(location: &Location) -> Result<Url> {
    let text = location.as_str();
    let shown = text.escape_debug();
    if let Some(trouble) = location.trouble() {
        return Err(
            Error::usage(format!("bad table location `{shown}`: it {trouble}")).hint("rename the folder")
        );
    }
    let mut url = if location.is_url() {
        Url::parse(text).map_err(|error| Error::usage(format!("bad table URL `{shown}`")).because(error))?
    } else {
        Url::from_directory_path(text).map_err(|()| Error::usage(format!("bad table path `{shown}`")))?
    };
    // A path may hold these as they are; but delta-rs makes a host of it, which may not, and panics.
    let forbidden = [("[", "%5B"), ("]", "%5D"), ("^", "%5E"), ("|", "%7C")];
    let path = forbidden.iter().fold(url.path().to_owned(), |path, (char, code)| path.replace(char, code));
    url.set_path(&path);
    Ok(url)
}
