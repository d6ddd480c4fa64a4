//! Writes the pipeline file of a table, or of files, that nobody has loaded yet, from a look at the rows.
//!
//! [`sample`] has the rows, [`profile`] looks at them, [`identity`] and [`guess`] decide what the columns are for, and
//! [`write`] tells it as a pipeline file.

mod guess;
mod identity;
mod names;
mod profile;
mod sample;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Files, Location, MAX_NAME, Overrides, is_name};
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::init::fitting_target;
use crate::lake::Lake;
use crate::model::Clock;
use crate::model::types::Field;

pub use self::guess::Guess;
pub use self::identity::Guessed;
pub use self::profile::{ColumnProfile, Profile};
pub use self::sample::SampledFiles;

use self::guess::guess;
use self::identity::{Given, Identity, MOST_KEYS, identity};
use self::profile::profile;
use self::sample::{Meant, Sample, all_in, meant, of_one_format, table_for};
use self::write::{Places, pipeline_file};

/// Of so many rows, one that differs from another with its key and version is chance.
const TIES: u64 = 20;

/// What a person says of the pipeline that is to be written.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The pipeline's name, and that of its files.
    pub name: String,
    /// The staging table, or a folder or pattern of files, from the current folder on.
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

/// Looks at a staging table, or at files, and writes a pipeline file and the target's DDL for it. No table is changed, and no
/// file that is there is written over.
///
/// # Errors
/// Fails when neither table nor files can be read, when no key or version can be guessed and none is given, and when a file
/// is there already.
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
    let lake = Lake::plain();
    let Found { sample, staging: source_text, beside: target_text } = find(wish, &lake).await?;
    let target_text = wish.target.clone().unwrap_or(target_text);
    let (source, target) = (named(&source_text)?, named(&target_text)?);
    if source.overlaps(&target) {
        return Err(Error::usage(format!("staging and target would lie in one folder, {target}"))
            .hint("name another place with `--target`"));
    }
    let existing = lake.open_existing(target.name(), &target).await?;
    let known: Option<Vec<Field>> = match &existing {
        Some(table) => Some(table.columns()?.into_iter().map(|column| column.field).collect()),
        None => None,
    };
    let profile = profile(&sample).await?;
    let given = Given { key: &wish.key, version: wish.version.as_deref(), target: known.as_deref() };
    let mut identity = identity(&profile, &given)?;
    let doubts = complete_key(&sample, &profile, &mut identity).await?;
    drop(sample);
    let guess = guess(&profile, &given, identity, doubts);
    let places = Places {
        name: &wish.name,
        source: &relative(&source_text, &wish.folder)?,
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

/// Rows to guess by, and where tables are to lie.
struct Found {
    sample: Sample,
    /// The staging table, from the current folder on.
    staging: String,
    /// The target, unless a person names it.
    beside: String,
}

/// Finds what a person calls the source: a table; or files, for which staging is yet to be made.
async fn find(wish: &Wish, lake: &Lake) -> Result<Found> {
    let meant = meant(&wish.source);
    if let Meant::Table = meant {
        let source = named(&wish.source)?;
        if let Some(table) = lake.open_existing(source.name(), &source).await? {
            let sample = Sample::of_table(&table).await?;
            let beside = beside(&wish.source, &wish.name);
            return Ok(Found { sample, staging: wish.source.clone(), beside });
        }
    }
    let here = std::env::current_dir().map_err(|error| unknown_folder(&error))?;
    // Where the tables lie follows from where the files are.
    let probe = named(&wish.name)?;
    let (pattern, left_out) = match meant {
        Meant::Files(pattern) => (pattern, 0),
        Meant::Table => {
            let is_url = wish.source.contains("://");
            let folder = if is_url { wish.source.clone() } else { glob::Pattern::escape(&wish.source) };
            let found = of_one_format(lake, &Files::named(&all_in(&folder), &here, &probe)?, &folder).await;
            found.map_err(|error| match error.kind() {
                Kind::Usage => no_source(&wish.source).because(error),
                _ => error,
            })?
        }
    };
    let files = Files::named(&pattern, &here, &probe)?;
    let staging = table_for(&files, &wish.folder, &format!("{}_staging", wish.name));
    let beside = table_for(&files, &wish.folder, &wish.name);
    let told = relative(&pattern, &wish.folder)?;
    let mut sample = Sample::of_files(lake, &files, &named(&staging)?, told).await?;
    if let Some(files) = &mut sample.files {
        files.left_out = left_out;
    }
    Ok(Found { sample, staging, beside })
}

fn no_source(source: &str) -> Error {
    Error::usage(format!("there is no table at {source}, and no files that can be read")).hint(
        "name a Delta table, by its path or URL: one whose folder has a `_delta_log`; or files, by a pattern in quotes",
    )
}

/// Adds to a guessed key the columns without which many rows would be taken for one. What is doubtful about the key is told.
async fn complete_key(sample: &Sample, profile: &Profile, identity: &mut Identity) -> Result<Vec<String>> {
    let further = identity.further(profile).into_iter().map(|column| column.name.as_str());
    // A person may name one column for two.
    let needed: BTreeSet<&str> = identity.columns().into_iter().chain(further).collect();
    let needed: Vec<&str> = needed.into_iter().collect();
    let distinct = sample.distinct(&needed, &identity.lineage).await?;
    let mut ties = sample.ties(&distinct, &identity.columns()).await?;
    while ties * TIES > profile.rows && identity.is_guessed() && identity.key.len() < MOST_KEYS {
        let mut best: Option<(u64, &str)> = None;
        for column in identity.further(profile) {
            let columns = [&*identity.columns(), &[column.name.as_str()]].concat();
            let left = sample.ties(&distinct, &columns).await?;
            if best.is_none_or(|(least, _)| left < least) {
                best = Some((left, &column.name));
            }
        }
        let Some((left, column)) = best.filter(|(left, _)| left * 2 <= ties) else { break };
        let why = format!(
            "{ties} rows differ by it from others that agree in what stands before, and in the version"
        );
        identity.key.push(Guessed { column: column.to_owned(), why: Some(why) });
        ties = left;
    }
    let mut doubts = Vec::new();
    let key: Vec<&str> = identity.key.iter().map(|guessed| guessed.column.as_str()).collect();
    let name = key.join(", ");
    if ties * TIES > profile.rows {
        doubts.push(format!(
            "{ties} rows differ from others of their {name} and {}, and one of each is kept: does the key lack a column, or is \
             the version too coarse?",
            identity.version.column
        ));
    }
    if identity.is_guessed()
        && let Some(part) = identity.part_left_out(profile)
    {
        let again = sample.ties(&distinct, &key).await?;
        if again * 2 > profile.rows {
            doubts.push(format!(
                "{again} of {} rows have the {name} of another, and are taken for versions of one: or does the key lack {part}?",
                profile.rows
            ));
        }
    }
    for column in key.iter().filter_map(|name| profile.column(name)).filter(|column| column.nulls > 0) {
        doubts.push(format!(
            "{} is NULL in {} of {} rows, which are no key's: leave them out by source.where, or say `null_keys: match`",
            column.name, column.nulls, profile.rows
        ));
    }
    if let Some(files) = profile.files.as_ref().filter(|files| files.left_out > 0) {
        doubts.push(format!("other files are left out, of another format or none: {}", files.left_out));
    }
    Ok(doubts)
}

fn unknown_folder(error: &std::io::Error) -> Error {
    Error::usage(format!("the current folder is unknown: {error}"))
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
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| unknown_folder(&error));
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
