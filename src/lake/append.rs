//! Rows that come one batch after the other, written to data files that no log names yet.

use deltalake::arrow::array::RecordBatch;
use deltalake::datafile::writer::DeltaWriter;
use deltalake::kernel::Action;
use serde_json::Value;

use super::table::Table;
use super::write::Size;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

/// Writes files of a table, each partition's rows to its own.
pub struct Appender {
    writer: DeltaWriter,
    what: String,
}

impl Table {
    /// What writes files of this table.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub async fn appender(&self) -> Result<Appender> {
        let writer = self.files_to_write(&[], [], Size::Any).await?.writer_of_all();
        Ok(Appender { writer, what: format!("cannot write data files of `{}`", self.name) })
    }
}

impl Appender {
    /// Writes rows in the table's own columns.
    ///
    /// # Errors
    /// Fails when storage does.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).await.map_err(|error| failure::of(Phase::Data, &self.what, error))
    }

    /// Ends the files, and gives the actions that would name them.
    ///
    /// # Errors
    /// Fails when storage does.
    pub async fn close(self) -> Result<Vec<Value>> {
        let adds = self.writer.close().await.map_err(|error| failure::of(Phase::Data, &self.what, error))?;
        let actions = adds.into_iter().map(|add| serde_json::to_value(Action::Add(add)));
        actions.collect::<Result<_, _>>().map_err(|error| Error::bug("an action is no JSON").because(error))
    }

    /// Takes back what was written. What cannot be taken away is named by no log, and VACUUM's to remove.
    pub async fn abandon(self) {
        if let Err(error) = self.writer.abort().await {
            tracing::debug!(%error, "{}", self.what);
        }
    }
}
