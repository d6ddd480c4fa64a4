//! Writes the pipeline file of a table that nobody has loaded yet, from a look at its rows.
//!
//! [`profile`] looks, [`guess`] decides what the columns are for, and [`write`] tells it as a pipeline file.

mod guess;
mod profile;
mod write;

use std::path::{Path, PathBuf};

use crate::config::{Location, MAX_NAME, Overrides, is_name};
use crate::context;
use crate::error::{Error, Result};
use crate::init::fitting_target;
use crate::lake::Lake;
use crate::model::Clock;
use crate::model::types::Field;

pub use self::guess::{Guess, Guessed};
pub use self::profile::{ColumnProfile, Profile};

use self::guess::{Given, guess};
use self::profile::profile;
use self::write::{Places, pipeline_file};

/// What a person says of the pipeline that is to be written.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The pipeline's name, and that of its files.
    pub name: String,
    /// The staging table, as it is written in the file.
    pub source: String,
    /// The target; without one, it lies beside staging, under the pipeline's name.
    pub target: Option<String>,
    /// The key's columns, if they are not to be guessed.
    pub key: Vec<String>,
    /// The version column, if it is not to be guessed.
    pub version: Option<String>,
    /// Where the files are written; the current folder, if it has no name.
    pub folder: PathBuf,
}

/// A pipeline file that was written.
#[derive(Debug, Clone)]
pub struct Scaffold {
    /// The pipeline file.
    pub file: PathBuf,
    /// The target's DDL file; `None` where the target is there already.
    pub ddl: Option<PathBuf>,
    /// What was seen of the staging table.
    pub profile: Profile,
    /// What the columns were taken for.
    pub guess: Guess,
}

/// Looks at a staging table, and writes a pipeline file and the target's DDL for it. No table is changed, and no file that
/// is there is written over.
///
/// # Errors
/// Fails when the table cannot be read, when no key or version can be guessed and none is given, and when a file is there
/// already.
pub async fn scaffold(wish: &Wish, clock: Clock) -> Result<Scaffold> {
    if !is_name(&wish.name) {
        return Err(Error::usage(format!(
            "a pipeline's name is 1 to {MAX_NAME} letters, digits, `_`, `.` or `-`, not `{}`",
            wish.name
        )));
    }
    let (file, ddl) = (path(wish, "yaml"), path(wish, "sql"));
    for path in [&file, &ddl] {
        if path.exists() {
            return Err(Error::usage(format!("{} is there already", path.display()))
                .hint("take another name, or move it away: what somebody wrote is not written over"));
        }
    }
    let source = named(&wish.source)?;
    let target_text = wish.target.clone().unwrap_or_else(|| beside(&wish.source, &wish.name));
    let target = named(&target_text)?;
    if source.overlaps(&target) {
        return Err(Error::usage(format!("staging and target would lie in one folder, {target}"))
            .hint("name another place with `--target`"));
    }
    let lake = Lake::plain();
    let Some(staging) = lake.open_existing(source.name(), &source).await? else {
        return Err(Error::usage(format!("there is no table at {source}"))
            .hint("name a Delta table, by its path or URL: one whose folder has a `_delta_log`"));
    };
    let existing = lake.open_existing(target.name(), &target).await?;
    let known: Option<Vec<Field>> = match &existing {
        Some(table) => Some(table.columns()?.into_iter().map(|column| column.field).collect()),
        None => None,
    };
    let profile = profile(&staging).await?;
    let given = Given { key: &wish.key, version: wish.version.as_deref(), target: known.as_deref() };
    let guess = guess(&profile, &given)?;
    let places = Places {
        name: &wish.name,
        source: &relative(&wish.source, &wish.folder)?,
        target: &relative(&target_text, &wish.folder)?,
        ddl: existing.is_none().then_some(&*ddl),
    };
    if !wish.folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&wish.folder).map_err(|error| unwritten(&wish.folder, &error))?;
    }
    // Without the DDL file first: it is made from what the file says.
    let without = pipeline_file(&Places { ddl: None, ..places }, &profile, &guess, clock);
    let written = match write(&file, &without) {
        Ok(()) => finish(&file, places.ddl, &pipeline_file(&places, &profile, &guess, clock)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        // Half of it would only be in the way.
        for path in [&file, &ddl] {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(Scaffold { file, ddl: places.ddl.map(Path::to_path_buf), profile, guess })
}

/// Holds the pipeline file against the tables, and writes the target's DDL.
async fn finish(file: &Path, ddl: Option<&Path>, text: &str) -> Result<()> {
    let (pipeline, origins) = context::load(file, &Overrides::default()).await?;
    if let (Some(ddl), Some(def)) = (ddl, fitting_target(&pipeline, &origins).await?) {
        write(ddl, &def.to_string())?;
    }
    write(file, text)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Error {
    Error::usage(format!("{} cannot be written: {error}", path.display()))
}

fn path(wish: &Wish, ending: &str) -> PathBuf {
    wish.folder.join(format!("{}.{ending}", wish.name))
}

fn named(text: &str) -> Result<Location> {
    let location = Location::named(text);
    location.map_err(|error| Error::usage(format!("bad table path {text}")).because(error))
}

/// A table's path or URL as it is written in a file of this folder: a path starts there.
fn relative(text: &str, folder: &Path) -> Result<String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| Error::usage("the current folder is unknown").because(error))
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (table, folder) = (absolute(Path::new(text))?, absolute(folder)?);
    let below = table.strip_prefix(&folder).map(Path::to_path_buf);
    Ok(below.unwrap_or(table).display().to_string())
}

/// The table `name` in the folder of another.
fn beside(table: &str, name: &str) -> String {
    match table.trim_end_matches('/').rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}
