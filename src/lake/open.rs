//! Opens tables: where they lie, and through which store they are read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deltalake::logstore::object_store_factories;
use deltalake::{DeltaTableBuilder, DeltaTableError};
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::OnceCell;
use url::Url;

use super::features::unreadable;
use super::kept::Kept;
use super::layer::{Layer as _, Layered};
use super::names::check_column_names;
use super::probe::Probed;
use super::table::{Table, failed};
use crate::config::{Location, Pipeline};
use crate::error::{Error, Result};
use crate::failure::{self, Cause, Phase};
use crate::store::Aws;

/// Opens tables with one set of storage options. A process has one, or asks for credentials more than once.
#[derive(Clone)]
pub struct Lake {
    options: Arc<HashMap<String, String>>,
    /// Where `memory:` tables lie: as long as the lake lives.
    memory: Arc<InMemory>,
    s3: Arc<OnceCell<Aws>>,
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

/// The store of a bucket, or of this machine, that tables lie on: one for all of them.
#[derive(Clone)]
struct Bucket {
    kept: Arc<Layered<Kept>>,
    /// Where it is not known whether the store holds to conditions.
    probed: Option<Arc<Layered<Probed>>>,
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
        let options = pipeline.storage.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        Self::with(options.collect())
    }

    /// A lake with default storage options.
    #[must_use]
    pub fn plain() -> Self {
        Self::with(HashMap::new())
    }

    fn with(options: HashMap<String, String>) -> Self {
        // For the schemes; the stores come from here.
        deltalake::aws::register_handlers(None);
        Self {
            options: Arc::new(options),
            memory: Arc::default(),
            s3: Arc::default(),
            buckets: Arc::default(),
        }
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
        let url = location_url(location)?;
        self.probe_in(&url).await?;
        self.must_write(self.open(name, location).await?).await
    }

    /// Opens a table that has a row a batch, to be written, at its newest version. Its small files are read once.
    ///
    /// # Errors
    /// As [`open_to_write`](Self::open_to_write) does.
    pub async fn open_record(&self, name: &str, location: &Location) -> Result<Table> {
        let url = location_url(location)?;
        self.bucket(&url).await?.kept.0.keep_data_of(folder(&url)?);
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
        let loaded = match self.builder(&url).await?.load().await {
            Err(error) if failure::cause(&error) == Cause::StalePointer => {
                tracing::warn!(
                    table = name,
                    "its pointer to the last checkpoint is stale; reading without it"
                );
                stale = true;
                self.bucket(&url).await?.kept.0.hide_pointer_of(folder(&url)?);
                self.builder(&url).await?.load().await
            }
            loaded => loaded,
        };
        let what = || format!("cannot open table `{name}` at {location}");
        match loaded {
            Ok(inner) => {
                let kept = self.bucket(&url).await?.kept;
                let table = Table { name: name.to_owned(), inner, kept, is_discreet: false };
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
            Err(DeltaTableError::NotATable(_)) => {
                self.check_bucket(&url, &what()).await?;
                Ok(None)
            }
            Err(error) if failure::cause(&error) == Cause::Unsupported => Err(unreadable(&what(), error)),
            Err(error) => Err(failed(&what(), error)),
        }
    }

    /// What opens or creates the table at `url`.
    pub(super) async fn builder(&self, url: &Url) -> Result<DeltaTableBuilder> {
        let builder = DeltaTableBuilder::from_url(url.clone());
        let builder = builder.map_err(|error| failed("bad table location", error))?;
        Ok(builder.with_storage_backend(self.bucket(url).await?.kept, url.clone()))
    }

    /// The same, for a table that is to be written.
    pub(super) async fn builder_to_write(&self, url: &Url) -> Result<DeltaTableBuilder> {
        self.probe_in(url).await?;
        self.builder(url).await
    }

    /// Has the table's store tried in its folder before the first write.
    async fn probe_in(&self, url: &Url) -> Result<()> {
        if let Some(probed) = self.bucket(url).await?.probed {
            probed.0.probe_in(folder(url)?);
        }
        Ok(())
    }

    /// A bucket that is missing is no missing table: nothing can be created in it.
    async fn check_bucket(&self, url: &Url, what: &str) -> Result<()> {
        if !is_s3(url) {
            return Ok(());
        }
        let store = self.bucket(url).await?.kept;
        let listed = store.list_with_delimiter(Some(&folder(url)?)).await;
        listed.map(drop).map_err(|error| failure::of(Phase::Log, what, error))
    }

    /// S3 as this process uses it, settled at the first table that lies there.
    ///
    /// # Errors
    /// Fails on settings that no request can be made with.
    pub(crate) async fn aws(&self) -> Result<&Aws> {
        // Boxed: the SDK's futures are nested deeply, and the compiler lays out all that await this one.
        let settle: BoxFuture<'_, Result<Aws>> = Box::pin(async {
            let options: Vec<_> = self.options.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            let env = std::env::vars_os();
            let env = env.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
            Aws::open(options, env.collect()).await
        });
        self.s3.get_or_try_init(|| settle).await
    }

    /// The store itself, with nothing kept.
    pub(super) async fn store_below(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let bucket = self.bucket(url).await?;
        Ok(match bucket.probed {
            Some(probed) => probed.0.below().clone(),
            None => bucket.kept.0.below().clone(),
        })
    }

    async fn bucket(&self, url: &Url) -> Result<Bucket> {
        // The table library reads that from the environment too, and does not hold the lock.
        let locking = std::env::var("AWS_S3_LOCKING_PROVIDER").is_ok_and(|name| !name.is_empty());
        if locking && is_s3(url) {
            return Err(Error::usage("AWS_S3_LOCKING_PROVIDER asks for a lock table, which highwater does not hold")
                .hint("commits are made by conditional PUTs: unset it, if no other writer of these tables relies on the lock"));
        }
        let name = url[..url::Position::BeforePath].to_owned();
        let known = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = match url.scheme() {
            "memory" => Bucket::known_good(self.memory.clone()),
            "file" => Bucket::known_good(Arc::new(LocalFileSystem::new())),
            _ if is_s3(url) => {
                let aws = self.aws().await?;
                let store = aws.bucket(url.host_str().unwrap_or_default())?;
                if aws.is_aws() { Bucket::known_good(store) } else { Bucket::unknown(store) }
            }
            // One that a program which uses this library has registered.
            scheme if object_store_factories().iter().any(|known| known.key().scheme() == scheme) => {
                let builder = DeltaTableBuilder::from_url(url.clone());
                let builder = builder.map_err(|error| failed("bad table location", error))?;
                let log = builder.with_storage_options((*self.options).clone()).build_storage();
                let log = log.map_err(|error| failed("bad table location", error))?;
                Bucket::known_good(log.root_object_store(None))
            }
            scheme => {
                return Err(Error::usage(format!(
                    "no table can lie at {url}: this build knows no `{scheme}://`"
                ))
                .hint("it knows s3://, s3a:// and local paths"));
            }
        };
        // Another task may have been here first: its store stays.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(buckets.entry(name).or_insert(made).clone())
    }
}

impl Bucket {
    fn known_good(store: Arc<dyn ObjectStore>) -> Self {
        Self { kept: Arc::new(Layered(Kept::new(store))), probed: None }
    }

    fn unknown(store: Arc<dyn ObjectStore>) -> Self {
        let probed = Arc::new(Layered(Probed::new(store)));
        Self { kept: Arc::new(Layered(Kept::new(probed.clone()))), probed: Some(probed) }
    }
}

fn is_s3(url: &Url) -> bool {
    ["s3", "s3a"].contains(&url.scheme())
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
