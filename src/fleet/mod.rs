//! Several pipelines in one command: each in a process of its own, those that read what another writes after it.
//!
//! A process each, so that what fails, panics or takes too much memory is one pipeline's failure, and so that each has
//! the memory that it is allowed.

mod order;
mod run;

use std::path::{Path, PathBuf};

use crate::config::{self, Memory, Overrides, Pipeline};
use crate::error::{Error, Result};
use crate::notation::did_you_mean;

pub use self::order::Member;
pub use self::run::{Outcome, run_all};

/// The pipeline files that `-c` names: a file, those of a folder, or those that a pattern such as `feeds/*.yaml` matches.
///
/// # Errors
/// Fails where there is none.
pub fn files(named: &Path) -> Result<Vec<PathBuf>> {
    let text = named.to_str().unwrap_or_default();
    let pattern = if named.is_dir() {
        format!("{}/*.y*ml", glob::Pattern::escape(text.trim_end_matches('/')))
    } else if named.exists() {
        return Ok(vec![named.to_path_buf()]);
    } else {
        text.to_owned()
    };
    let wrong = |why: String| Error::usage(format!("`{text}` names no pipeline files: {why}"));
    let found = glob::glob(&pattern).map_err(|error| wrong(error.to_string()))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if path.is_file() && path.file_name().is_none_or(|name| !is_of_others(&name.to_string_lossy())) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(wrong("there is none there".to_owned()).hint(
            "`-c` takes a file, a folder with `.yaml` files, or a pattern in quotes, such as 'feeds/*.yaml'",
        ));
    }
    Ok(files)
}

/// Whether a file beside pipeline files is none: the project's, or one with tests.
fn is_of_others(name: &str) -> bool {
    name == "highwater.yaml" || name.contains(".tests.")
}

/// The members of these files, in the order in which they are to be run: of `select`, if any are named.
///
/// # Errors
/// Fails where two have one name, none has a name that is selected, or some wait for each other.
pub fn members(files: &[PathBuf], select: &[String], overrides: &Overrides) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = files.iter().map(|file| member(file, overrides)).collect();
    if let Some(name) = select.iter().find(|name| !members.iter().any(|member| member.name == **name)) {
        let error = Error::usage(format!("there is no pipeline `{name}` in {} files", files.len()));
        let known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let meant = did_you_mean(name, known.iter().copied());
        return Err(error.hint(meant.unwrap_or_else(|| format!("the pipelines are {}", known.join(", ")))));
    }
    if !select.is_empty() {
        members.retain(|member| select.contains(&member.name));
    }
    order::ordered(members)
}

/// What there is to know of a file before it is run. One that cannot be understood fails when it is run, and says why.
fn member(file: &Path, overrides: &Overrides) -> Member {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let unknown = Member { name: stem, file: file.to_path_buf(), ..Member::default() };
    let Some(pipeline) = config::load(file, overrides).ok().and_then(|loaded| loaded.pipeline) else {
        return unknown;
    };
    let Pipeline { name, source, target, dimensions, memory, .. } = pipeline;
    let dimensions = dimensions.into_values().map(|dimension| dimension.table);
    Member {
        name: if name.is_empty() { unknown.name } else { name },
        file: unknown.file,
        reads: dimensions.chain([source.table]).collect(),
        writes: Some(target.table),
        percent: match memory {
            Memory::Percent(percent) => Some(percent),
            Memory::Bytes(_) => None,
        },
    }
}
