//! Which rows of a table arrived since a version.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deltalake::ObjectStoreError;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::kernel::Action;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

use super::log::file_name;
use super::table::Table;
use crate::error::{Error, Result};

/// Files whose rows arrived in a range of versions.
///
/// A file that was added by a change of data, and is still there, counts. One that a change of data took
/// away again does not: what is left of its rows lies in files that the same change added. One that
/// OPTIMIZE took away is read as it was; if VACUUM took it since, the file that its rows went to is read
/// instead, which may hold older rows too. Those do no harm: the guard knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Files that are active at the pinned version, by path.
    pub active: Vec<String>,
    /// Files that OPTIMIZE took away, by the last version at which they were active.
    pub compacted: BTreeMap<u64, Vec<String>>,
}

impl Arrivals {
    /// The arrivals after version `after`, up to the table's loaded version.
    ///
    /// # Errors
    /// `Ok(None)` when log entries in between are gone, so that nobody can tell.
    pub async fn since(table: &Table, after: u64) -> Result<Option<Self>> {
        // Arrived files that are still there or were compacted away, with the version that took them.
        let mut there: HashMap<String, Option<u64>> = HashMap::new();
        // Where the rows of a compacted file went.
        let mut went: HashMap<String, Vec<String>> = HashMap::new();
        for version in after + 1..=table.version() {
            let Some(actions) = table.actions(version).await? else { return Ok(None) };
            let outputs: Vec<String> = actions
                .iter()
                .filter_map(|action| match action {
                    Action::Add(add) if !add.data_change => Some(add.path.clone()),
                    _ => None,
                })
                .collect();
            for action in &actions {
                if let Action::Remove(remove) = action {
                    if remove.data_change {
                        there.remove(&remove.path);
                        forget_compacted(&mut there, &went, &remove.path);
                    } else if let Some(taken) = there.get_mut(&remove.path) {
                        *taken = Some(version - 1);
                        went.insert(remove.path.clone(), outputs.clone());
                    } else if went.values().flatten().any(|path| *path == remove.path) {
                        went.insert(remove.path.clone(), outputs.clone());
                    }
                }
            }
            for action in &actions {
                if let Action::Add(add) = action
                    && add.data_change
                {
                    there.insert(add.path.clone(), None);
                }
            }
        }
        let mut arrivals = Self::default();
        let mut instead: HashSet<String> = HashSet::new();
        for (path, taken) in there {
            match taken {
                None => arrivals.active.push(path),
                Some(version) if exists(table, &path).await? => {
                    arrivals.compacted.entry(version).or_default().push(path);
                }
                Some(_) => instead.extend(final_outputs(&went, &path)),
            }
        }
        arrivals.active.extend(instead);
        arrivals.active.sort();
        arrivals.active.dedup();
        arrivals.compacted.values_mut().for_each(|paths| paths.sort());
        Ok(Some(arrivals))
    }

    /// SHA-256 over the files, to tell whether a later look finds the same ones.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut sha = Sha256::new();
        let mut add = |version: u64, path: &str| {
            sha.update(version.to_le_bytes());
            sha.update(path.len().to_le_bytes());
            sha.update(path);
        };
        for path in &self.active {
            add(u64::MAX, path);
        }
        for (version, paths) in &self.compacted {
            for path in paths {
                add(*version, path);
            }
        }
        hex::encode(sha.finalize())
    }

    /// The arrived rows, as one provider for each version that they are read at.
    ///
    /// # Errors
    /// Fails when a version or a file cannot be read.
    pub async fn providers(
        &self,
        table: &Table,
        state: &SessionState,
    ) -> Result<Vec<Arc<dyn TableProvider>>> {
        let mut providers = Vec::new();
        if !self.active.is_empty() {
            providers.push(table.rows_of_files(state, self.active.clone()).await?);
        }
        for (version, paths) in &self.compacted {
            let Some(before) = table.at(*version).await? else {
                return Err(Error::retry(format!(
                    "version {version} of `{}` can no longer be read",
                    table.name()
                )));
            };
            providers.push(before.rows_of_files(state, paths.clone()).await?);
        }
        Ok(providers)
    }
}

/// A change of data took away a compacted file: what is left of the rows lies in the files that it added.
fn forget_compacted(
    there: &mut HashMap<String, Option<u64>>,
    went: &HashMap<String, Vec<String>>,
    output: &str,
) {
    there.retain(|path, taken| taken.is_none() || !final_outputs(went, path).contains(output));
}

/// The files that a compacted file's rows lie in at the end, through any number of compactions.
fn final_outputs(went: &HashMap<String, Vec<String>>, path: &str) -> HashSet<String> {
    let mut ends = HashSet::new();
    let mut seen = HashSet::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        match went.get(&path) {
            Some(outputs) => open.extend(outputs.iter().cloned()),
            None => {
                ends.insert(path);
            }
        }
    }
    ends
}

impl Table {
    /// Whether the table can be read at an older version: its log entries and all of its files are there.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn is_readable_at(&self, version: u64) -> Result<bool> {
        let Some(older) = self.at(version).await? else { return Ok(false) };
        let now = self.files().await?;
        for path in older.files().await?.keys() {
            if !now.contains_key(path) && !exists(self, path).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) async fn exists(table: &Table, path: &str) -> Result<bool> {
    let what = || format!("cannot look at {} of `{}`", file_name(path), table.name());
    let path = Path::parse(path).map_err(|error| Error::bug(what()).because(error))?;
    match table.inner.object_store().head(&path).await {
        Ok(_) => Ok(true),
        Err(ObjectStoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(Error::retry(what()).because(error)),
    }
}
