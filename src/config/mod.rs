//! The pipeline file: read, validated, resolved, with all its problems in one report.
//!
//! The file is parsed twice. First into a tree in which every value knows its [`Origin`], over
//! which environment variables and flags are laid; the tree is validated against the JSON Schema of
//! the raw configuration. Then what is left is resolved into a [`Pipeline`], which has no avoidable
//! `Option`. Precedence: defaults, file, environment, flags. Each phase reports all that it finds
//! and goes on with the rest.
//!
//! Nothing here reads the clock or the process's environment, except [`Overrides::from_process`].

mod bind_check;
mod columns;
mod contract_file;
mod contract_rules;
mod drift;
mod evolution;
mod files;
mod fit;
mod location;
mod mapping;
mod origin;
mod pipeline;
mod problem;
mod project;
mod raw;
mod resolve;
mod resolve_check;
mod rules;
mod secret;
mod shape;
mod show;
mod show_json;
mod storage;
mod storage_names;
mod tree;
mod value;
mod version;
mod walk;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use columns::{MAX_EXACT_DECIMAL, Missing, check_columns, unfit_for_partition};
pub use contract_file::{contract_of_text, is_standard};
pub use drift::{BothColumns, drift};
pub use evolution::{ContractRules, DroppedColumn, Evolve, NewColumn, SchemaPolicy, UnfitType};
pub use files::{Changed, CsvForm, FileFormat, Files, OnCorrupt, TEXTS_OF};
pub use fit::{BESIDE, fitted};
pub use location::LONGEST_NAME;
pub use mapping::{Explode, MappedColumn, Mapping, Select};
pub use origin::{Origin, Origins};
pub use pipeline::{
    Alert, AlertOn, AsOf, Dimension, Incremental, Initial, LEAST_MEMORY, Late, LoadColumns, Location, Memory,
    MergeStrategy, Mode, OnTie, Pipeline, Purge, Source, Target, TieBreaker,
};
pub use problem::{Problem, Problems};
pub use project::Project;
pub use raw::json_schema;
pub use secret::Secret;
pub use show::show_resolved;
pub use show_json::yaml_as_json;
pub(crate) use storage_names::{
    OPTIONS, StorageOption, check_value as check_storage_value, flag, known as storage_option, time,
};

use resolve::Resolved;
pub(crate) use resolve::{MAX_NAME, is_name};
use shape::Shape;
use storage::Outside;
use tree::Override;

use crate::notation::Fault;

/// What is laid over the file. Has no `Debug`, as an environment holds secrets.
#[derive(Clone, Default)]
pub struct Overrides {
    /// The environment: names and values. `HIGHWATER__SECTION__KEY` overrides a key, whatever the
    /// case of its sections; where a list is meant, by a list of one. All serve `${env:NAME}`.
    pub env: Vec<(String, String)>,
    /// Flags: the dotted path of the key, the value, and the flag as the user types it.
    pub flags: Vec<(String, String, String)>,
    /// The project's profile whose variables are meant, if one is.
    pub profile: Option<String>,
    /// Variables that go before the project's: names and values.
    pub vars: Vec<(String, String)>,
}

impl Overrides {
    /// The environment of this process, without what is not UTF-8, and `flags`.
    #[must_use]
    pub fn from_process(flags: Vec<(String, String, String)>) -> Self {
        let env = std::env::vars_os();
        let env = env.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { env: env.collect(), flags, ..Self::default() }
    }
}

/// A configuration as far as it could be understood.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The pipeline, if it is known where its tables are. If there are problems, it is good for one
    /// thing only: to look at the tables and find more of them.
    pub pipeline: Option<Pipeline>,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// Where each value came from.
    pub origins: Origins,
}

impl Loaded {
    /// The pipeline, to be run.
    ///
    /// # Errors
    /// If there are any problems, all of them.
    pub fn into_valid(self) -> Result<(Pipeline, Origins), Problems> {
        match self.pipeline {
            Some(pipeline) if self.problems.is_empty() => Ok((pipeline, self.origins)),
            _ => Err(Problems(self.problems)),
        }
    }
}

/// Reads the pipeline file at `path`, with `overrides` laid over it. Relative paths in it start at
/// its folder.
///
/// # Errors
/// If the file cannot be read or is not YAML, so that nothing of it is usable. All other problems
/// are in [`Loaded`].
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Problems> {
    let file: Arc<str> = path.display().to_string().into();
    let unreadable = |error: &dyn std::fmt::Display| {
        let fault = Fault::new(format!("cannot be read: {error}"));
        Problems(vec![fault.at("", Origin::WholeFile(Arc::clone(&file)))])
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let folder = folder_of(path).map_err(|error| unreadable(&error))?;
    load_text(&text, &file, &folder, overrides)
}

/// The folder of the file at `path`, without symlinks, so that a `..` from there on means what it
/// says.
fn folder_of(path: &Path) -> std::io::Result<PathBuf> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.canonicalize(),
        _ => Path::new(".").canonicalize(),
    }
}

fn load_text(text: &str, file: &Arc<str>, folder: &Path, overrides: &Overrides) -> Result<Loaded, Problems> {
    let (mut root, mut problems) = yaml::parse(text, file).map_err(|problem| Problems(vec![problem]))?;

    let vars = Project::of(folder)?.variables(overrides.profile.as_deref(), &overrides.vars)?;
    problems.extend(project::expand(&mut root, &vars));
    let schema = json_schema();
    let shape = Shape::of(&schema);
    let env = Override::all_from_env(&overrides.env).into_iter();
    let flags = overrides.flags.iter().map(|(path, value, flag)| Override::from_flag(path, value, flag));
    for over in env.chain(flags) {
        problems.extend(over.lay_over(&mut root, &shape).err());
    }

    problems.extend(contract_rules::lay(&mut root, folder).err());

    let mut origins = root.origins(file);
    let (json, found) = walk::walk(&root, &shape);
    problems.extend(found);

    storage::hide_env(&overrides.env);
    let outside = Outside { env: &overrides.env, folder };
    let resolved = match serde_json::from_value(json) {
        Ok(raw) => resolve::resolve(raw, &origins, &outside),
        // The schema is generated from what is read here, so this would be a bug; better told than
        // guessed around.
        Err(error) => {
            let fault = Fault::new(format!("is allowed by the schema but cannot be read: {error}"));
            let problem = fault.hint("this is a bug in highwater").at("", origins.position(""));
            Resolved { problems: vec![problem], ..Resolved::default() }
        }
    };
    let Resolved { pipeline, problems: found, check_paths } = resolved;
    origins.record_checks(check_paths);
    problems.extend(found);
    problems.extend(pipeline.iter().flat_map(|pipeline| rules::check(pipeline, &origins)));
    problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(Loaded { pipeline, problems, origins })
}
