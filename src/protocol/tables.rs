//! The tables of a pipeline.

use std::collections::BTreeMap;

use super::port::TableLog;
use crate::error::{Error, Result};

/// The tables of a pipeline.
#[derive(Debug, Clone)]
pub struct Tables<T> {
    /// Where rows come from; `None` where it cannot be opened.
    pub staging: Option<T>,
    /// Where they go.
    pub target: T,
    /// Further inputs, by name.
    pub dimensions: BTreeMap<String, T>,
    /// Rows that were kept out of the target.
    pub quarantine: T,
    /// One row for each batch.
    pub audit: T,
    /// One row for each numbered batch.
    pub watermarks: T,
    /// Whether they were opened just now, in the order in which they are to be looked at, and not observed yet.
    pub fresh: bool,
}

/// A table that a batch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Where rows go.
    Target,
    /// Rows that were kept out.
    Quarantine,
    /// One row for each batch.
    Audit,
    /// One row for each numbered batch.
    Watermarks,
}

impl<T: TableLog> Tables<T> {
    /// Brings all tables up to date, in the reverse order of writing.
    ///
    /// # Errors
    /// Fails when a log cannot be read.
    pub async fn refresh(&mut self) -> Result<()> {
        for table in [&mut self.watermarks, &mut self.audit, &mut self.quarantine, &mut self.target] {
            table.refresh().await?;
        }
        for table in self.staging.iter_mut().chain(self.dimensions.values_mut()) {
            table.refresh().await?;
        }
        Ok(())
    }

    /// The table with this role.
    #[must_use]
    pub fn of(&self, role: Role) -> &T {
        match role {
            Role::Target => &self.target,
            Role::Quarantine => &self.quarantine,
            Role::Audit => &self.audit,
            Role::Watermarks => &self.watermarks,
        }
    }

    /// The same, if it stands at the version that a step was decided for: commits are made onto that version and no
    /// other.
    ///
    /// # Errors
    /// A bug, if it stands elsewhere.
    pub fn at_decided(&self, role: Role, version: u64) -> Result<&T> {
        let table = self.of(role);
        if table.version() == version {
            return Ok(table);
        }
        let (name, found) = (table.name(), table.version());
        Err(Error::bug(format!("`{name}` stands at version {found}, decided for {version}")))
    }
}
