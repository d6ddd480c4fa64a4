//! Contract files: what of one can be kept here, and whom a change of one breaks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::config::{Location, contract_of_text};
use crate::contract::compatibility::{Compatibility, ContractChange, contract_changes};
use crate::contract::ddl::TableDef;
use crate::contract::odcs::Odcs;
use crate::error::{Error, Result, user_and_password};
use crate::lake::Lake;

/// How long a web server may take.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);

/// What `contract check` found.
#[derive(Debug, Clone, PartialEq)]
pub struct ContractReport {
    /// The new contract.
    pub file: String,
    /// What it was held against.
    pub against: String,
    /// What is asked of it.
    pub asked: Compatibility,
    /// What changed.
    pub changes: Vec<ContractChange>,
}

impl ContractReport {
    /// Whether a change is against what is asked.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.changes.iter().any(|change| change.breaks(self.asked))
    }
}

/// Reads a contract: a DDL file, or one of the Open Data Contract Standard by its ending.
///
/// # Errors
/// Fails where the file cannot be read or is no contract.
pub fn read(path: &Path, table: Option<&str>) -> Result<Odcs> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::usage(format!("cannot read the contract {}", path.display())).because(error)
    })?;
    of_text(&path.display().to_string(), &text, table)
}

fn of_text(file: &str, text: &str, table: Option<&str>) -> Result<Odcs> {
    contract_of_text(file, text, table).map_err(|why| {
        Error::usage(why)
            .hint("a contract is a DDL file, a YAML file of the Open Data Contract Standard, version 3, or an Avro schema (.avsc)")
    })
}

/// Holds a contract against an earlier one: a file, one that a web server has, the same file at a commit of git, or a Delta
/// table.
///
/// # Errors
/// Fails where either cannot be read.
pub async fn check(
    file: &Path,
    against: &str,
    asked: Compatibility,
    table: Option<&str>,
) -> Result<ContractReport> {
    let new = read(file, table)?.def;
    let mut old = earlier(file, against, table).await?;
    if old.primary_key.is_empty() && is_table(against) {
        // Delta stores no key.
        old.primary_key.clone_from(&new.primary_key);
    }
    Ok(ContractReport {
        file: file.display().to_string(),
        against: if is_web(against) { shown(against).to_owned() } else { against.to_owned() },
        asked,
        changes: contract_changes(&old, &new),
    })
}

fn is_web(against: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| against.starts_with(scheme))
}

/// A URL up to its path.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

fn is_table(against: &str) -> bool {
    (against.contains("://") && !is_web(against)) || Path::new(against).join("_delta_log").is_dir()
}

async fn earlier(file: &Path, against: &str, table: Option<&str>) -> Result<TableDef> {
    if is_table(against) {
        let location = Location::named(against)
            .map_err(|error| Error::usage(format!("bad table path {against}")).because(error))?;
        return Lake::plain().open(location.name(), &location).await?.as_it_is();
    }
    if is_web(against) {
        let text = Box::pin(fetched(against)).await?;
        return Ok(of_text(shown(against), &text, table)?.def);
    }
    if Path::new(against).is_file() {
        return Ok(read(Path::new(against), table)?.def);
    }
    let text = at_commit(file, against)?;
    Ok(of_text(&file.display().to_string(), &text, table)?.def)
}

/// A file's text as a web server has it.
async fn fetched(url: &str) -> Result<String> {
    // What stands behind the path may be a signature.
    let what = || format!("cannot fetch the contract {}", shown(url));
    if user_and_password(url.split_once("://").map_or(url, |(_, rest)| rest)).is_some() {
        return Err(Error::usage("a contract's URL must not hold credentials")
            .hint("fetch the file, and name it: `--against FILE`"));
    }
    let away = |error: reqwest::Error| {
        let of_kind = if error.is_builder() || error.is_redirect() { Error::usage } else { Error::retry };
        of_kind(what()).because(error.without_url())
    };
    let client = reqwest::Client::builder().timeout(FETCHED_WITHIN).build().map_err(away)?;
    let answer = client.get(url).send().await.map_err(away)?;
    let status = answer.status();
    if !status.is_success() {
        let is_for_now = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let of_kind = if is_for_now { Error::retry } else { Error::usage };
        return Err(of_kind(format!("{}: it answers {status}", what())));
    }
    answer.text().await.map_err(away)
}

/// A file's text at a commit of git.
fn at_commit(file: &Path, commit: &str) -> Result<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let refused = |why: &str| {
        let what =
            format!("`{commit}` is no file, no table and no commit of git that has {}", file.display());
        let error = Error::usage(if why.is_empty() { what } else { format!("{what}: {why}") });
        error.hint("name a contract's file, a Delta table's folder or URL, or a commit such as `origin/main`")
    };
    let git = |words: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&folder).args(words).output();
        let output = output.map_err(|error| refused(&format!("git cannot be run: {error}")))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(refused(String::from_utf8_lossy(&output.stderr).trim()))
        }
    };
    // What is no commit, such as nothing at all, would be the index: the file itself.
    let found =
        git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{commit}^{{commit}}")])?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    let text = git(&["show", &format!("{found}:./{name}")])?;
    String::from_utf8(text)
        .map_err(|error| Error::usage(format!("{} is no text", file.display())).because(error))
}
