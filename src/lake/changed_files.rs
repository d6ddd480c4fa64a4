//! Which rows of a table arrived since a version.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deltalake::ObjectStoreError;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::execution::session_state::SessionState;
use object_store::ObjectStoreExt as _;
use sha2::{Digest as _, Sha256};

use super::file_id::FileId;
use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

/// The files that the rows of a compacted file went to.
type Went = HashMap<FileId, Arc<[FileId]>>;

/// Files whose rows arrived in a range of versions.
///
/// A file that was added by a change of data, and is still there, counts. One that a change of data took
/// away again does not: what is left of its rows lies in files that the same change added. One that
/// OPTIMIZE took away is read as it was; if VACUUM took it since, the file that its rows went to is read
/// instead, which may hold older rows too. Those do no harm: the guard knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Files that are active at the pinned version.
    pub active: Vec<FileId>,
    /// Files that OPTIMIZE took away, by the last version at which they were active.
    pub compacted: BTreeMap<u64, Vec<FileId>>,
}

impl Arrivals {
    /// The arrivals after version `after`, up to the table's loaded version.
    ///
    /// # Errors
    /// `Ok(None)` when log entries in between are gone, so that nobody can tell.
    pub async fn since(table: &Table, after: u64) -> Result<Option<Self>> {
        // Arrived files that are still there or were compacted away, with the version that took them.
        let mut there: HashMap<FileId, Option<u64>> = HashMap::new();
        // Where the rows of a compacted file went; files that were compacted together share it.
        let mut went = Went::new();
        // All that rows of compacted files went to.
        let mut reached: HashSet<FileId> = HashSet::new();
        for version in after + 1..=table.version() {
            let Some(actions) = table.actions(version).await? else { return Ok(None) };
            let outputs = actions.adds.iter().filter(|add| !add.data_change);
            let outputs: Arc<[FileId]> = outputs.map(|add| add.file.clone()).collect();
            let mut compacts = false;
            for remove in &actions.removes {
                if remove.data_change {
                    there.remove(&remove.file);
                    if reached.contains(&remove.file) {
                        forget_compacted(&mut there, &went, &remove.file);
                    }
                    continue;
                }
                let arrived = there.get_mut(&remove.file);
                if arrived.is_none() && !reached.contains(&remove.file) {
                    continue;
                }
                if let Some(taken) = arrived {
                    *taken = Some(version - 1);
                }
                went.insert(remove.file.clone(), Arc::clone(&outputs));
                if !compacts {
                    compacts = true;
                    reached.extend(outputs.iter().cloned());
                }
            }
            let arrived = actions.adds.into_iter().filter(|add| add.data_change);
            there.extend(arrived.map(|add| (add.file, None)));
        }
        let mut arrivals = Self::default();
        let mut instead: HashSet<FileId> = HashSet::new();
        for (file, taken) in there {
            match taken {
                None => arrivals.active.push(file),
                Some(version) if exists(table, &file).await? && table.at(version).await?.is_some() => {
                    arrivals.compacted.entry(version).or_default().push(file);
                }
                Some(_) => instead.extend(final_outputs(&went, &file)),
            }
        }
        arrivals.active.extend(instead);
        arrivals.active.sort();
        arrivals.active.dedup();
        arrivals.compacted.values_mut().for_each(|files| files.sort());
        Ok(Some(arrivals))
    }

    /// SHA-256 over the files, to tell whether a later look finds the same ones.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut sha = Sha256::new();
        let mut add = |version: u64, file: &FileId| {
            sha.update(version.to_le_bytes());
            sha.update(file.as_str().len().to_le_bytes());
            sha.update(file.as_str());
        };
        for file in &self.active {
            add(u64::MAX, file);
        }
        for (version, files) in &self.compacted {
            for file in files {
                add(*version, file);
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
            providers.push(table.rows_of_files(state, &self.active).await?);
        }
        for (version, files) in &self.compacted {
            let Some(before) = table.at(*version).await? else {
                return Err(Error::retry(format!(
                    "version {version} of `{}` can no longer be read",
                    table.name()
                )));
            };
            providers.push(before.rows_of_files(state, files).await?);
        }
        Ok(providers)
    }
}

/// A change of data took away a compacted file: what is left of the rows lies in the files that it added.
fn forget_compacted(there: &mut HashMap<FileId, Option<u64>>, went: &Went, output: &FileId) {
    there.retain(|file, taken| taken.is_none() || !final_outputs(went, file).contains(output));
}

/// The files that a compacted file's rows lie in at the end, through any number of compactions.
fn final_outputs(went: &Went, file: &FileId) -> HashSet<FileId> {
    let mut ends = HashSet::new();
    let mut seen = HashSet::new();
    let mut open = vec![file.clone()];
    while let Some(file) = open.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        match went.get(&file) {
            Some(outputs) => open.extend(outputs.iter().cloned()),
            None => {
                ends.insert(file);
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
        let now = self.files()?;
        for file in older.files()?.keys() {
            if !now.contains_key(file) && !exists(self, file).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) async fn exists(table: &Table, file: &FileId) -> Result<bool> {
    let path = file.path(table.url())?;
    match table.inner.object_store().head(&path).await {
        Ok(_) => Ok(true),
        Err(ObjectStoreError::NotFound { .. }) => Ok(false),
        Err(error) => {
            let what = format!("cannot look at {file} of `{}`", table.name());
            Err(failure::of(Phase::Data, &what, error))
        }
    }
}
