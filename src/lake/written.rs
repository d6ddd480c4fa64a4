//! What a table's commits wrote.

use std::collections::{BTreeSet, HashSet};

use super::actions::Add;
use super::file_id::FileId;
use super::table::Table;
use crate::error::Result;

/// Versions that are looked at: a report is not worth more.
const MOST: usize = 1_000;

/// Data files that came with some versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// The files, those that only got a deletion vector included.
    pub files: BTreeSet<FileId>,
    /// Those of them that got their first deletion vector.
    pub newly_marked: BTreeSet<FileId>,
    /// Bytes of those that are new.
    pub bytes: i64,
}

impl Table {
    /// The data files that came with the versions after `before`, up to this one.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn came_since(&self, before: u64) -> Result<Came> {
        let mut came = Came::default();
        for version in (before + 1..=self.version()).take(MOST) {
            let Some(actions) = self.actions(version).await? else { continue };
            // A file that only gets a deletion vector is removed and added again.
            let removed: HashSet<&FileId> = actions.removes.iter().map(|remove| &remove.file).collect();
            let is_new = |add: &&Add| !removed.contains(&add.file);
            came.bytes += actions.adds.iter().filter(is_new).map(|add| add.size).sum::<i64>();
            let unmarked = actions.removes.iter().filter(|remove| !remove.is_marked);
            let unmarked: HashSet<&FileId> = unmarked.map(|remove| &remove.file).collect();
            let again = actions.adds.iter().filter(|add| unmarked.contains(&add.file));
            came.newly_marked.extend(again.map(|add| add.file.clone()));
            came.files.extend(actions.adds.into_iter().map(|add| add.file));
        }
        Ok(came)
    }
}
