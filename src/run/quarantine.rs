//! What a run does to the quarantine: entries written ahead of the commit that decides, and the commit that
//! makes them known.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::{KeptAside, Run};
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::error::{Error, Result};
use crate::events::{RunStep, Subject};
use crate::lake::{EntryFiles, Table, create_table};
use crate::model::types::Field;
use crate::model::{BatchKind, EntryStatus, Listed, QuarantineWork, StatusChange};
use crate::plan::LoadSpec;
use crate::plan::step::{QuarantineNumber, QuarantinePlan, UndoPlan};
use crate::protocol::{Outcome, Role, Write};
use crate::stages::foreign_rows::rows_since;
use crate::stages::quarantine::{
    Changes, Compared, Entries, EntryChange, Fate, changed, compared, entries, superseded_entries,
};

impl Run<'_> {
    /// Writes the data files of a batch's entries, which no log names yet, and says what else changes.
    pub(super) async fn prepare_entries(
        &mut self,
        batch: Batch<'_>,
        fate: Fate,
        batch_id: &str,
    ) -> Result<Option<QuarantineWork>> {
        let Batch { plan, spec, rows, gated } = batch;
        // What was known of the quarantine when rows were told apart: later entries are compared again.
        let base_version = self.opened.tables.quarantine.version();
        let known = |table: &Table| entries(spec, gated, fate, batch_id, plan.started, table);
        let mut found: Entries = known(&self.opened.tables.quarantine)?;
        if !found.rows.is_empty() && add_lacking_columns(spec, &mut self.opened.tables.quarantine).await? {
            found = known(&self.opened.tables.quarantine)?;
        }
        let adds = if found.rows.is_empty() {
            Vec::new()
        } else {
            self.opened.tables.quarantine.write_files(found.rows).await?
        };
        if let (Fate::Replay, Some(selection)) = (fate, &plan.reading.selection) {
            let (engine, quarantine) = (&self.opened.engine, &self.opened.tables.quarantine);
            let entries = superseded_entries(engine, spec, selection, quarantine, rows).await?;
            if !entries.is_empty() {
                let resolution = Some(batch_id.to_owned());
                found.changes.push(EntryChange { entries, status: EntryStatus::Stale, resolution });
            }
        }
        let quarantine = &self.opened.tables.quarantine;
        let Listed { here: claims, file: claims_file } = quarantine.listed(found.claims).await?;
        let mut changes = Vec::new();
        for EntryChange { entries, status, resolution } in found.changes {
            let Listed { here: entries, file: entries_file } = quarantine.listed(entries).await?;
            changes.push(StatusChange { entries, entries_file, status, resolution });
        }
        let reopen = Vec::new();
        let work = QuarantineWork { base_version, adds, changes, claims, claims_file, reopen };
        Ok(work.into_some())
    }

    /// Makes known what a batch, or a rejected one, changes in the quarantine.
    pub(super) async fn write_quarantine(&mut self, plan: &QuarantinePlan) -> Result<Outcome> {
        self.hooks.begin(RunStep::Quarantine, Subject::Files(plan.work.adds.len()));
        let engine = &self.opened.engine;
        let table = self.opened.tables.at_decided(Role::Quarantine, plan.onto)?;
        table.must_have_files(&plan.work.adds).await?;
        let mut adds = plan.work.adds.clone();
        let mut changes = Changes::of(&plan.work, table).await?;
        if plan.must_compare_again() {
            let Compared { rows, known } = compared(engine, table.read_files(&adds).await?, table).await?;
            adds = table.write_files(rows).await?;
            if let QuarantineNumber::Batch(_) = plan.number {
                // A rejection met the rows too, and wrote first; kept out they are by this batch.
                changes.claims.extend(known);
            }
        }
        let (dropped, rewritten) = changed(engine, &changes, &plan.batch_id, plan.at, table).await?;
        adds.extend(table.write_files(rewritten).await?);
        let write = Write::entries(plan, EntryFiles { adds, dropped });
        let outcome = write.make(&self.opened.tables).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.end(RunStep::Quarantine, Subject::Nothing);
        }
        Ok(outcome)
    }
}

impl Run<'_> {
    /// Finds the rows of other writers that a rollback takes with it, and keeps them in a table beside the
    /// target before it does.
    pub(crate) async fn keep_aside(&mut self, plan: &UndoPlan, write: bool) -> Result<()> {
        let target = &self.opened.tables.target;
        let gone = || Error::person(format!("version {} of the target cannot be read", plan.restore_to));
        let before = target.at(plan.restore_to).await?.ok_or_else(gone)?;
        let batch_id = plan.descriptor.undone.first().map(String::as_str).unwrap_or_default();
        let (rows, examples) =
            rows_since(&self.opened.engine, &self.opened.spec, target, &before, batch_id).await?;
        let location = &self.opened.pipeline.target.table;
        let name = format!("{}_undone_{}", location.name(), plan.descriptor.sequence);
        if write {
            let lake = &self.opened.lake;
            let def = TableDef {
                name: name.clone(),
                comment: None,
                columns: target.columns()?,
                primary_key: Vec::new(),
                partitioned_by: Vec::new(),
                properties: BTreeMap::new(),
                location: None,
            };
            let location = location.sibling(&name);
            create_table(lake, &location, &def).await?;
            // An attempt that was killed may have left rows there already.
            lake.open(&name, &location).await?.overwrite_foreign(rows.batches.clone()).await?;
        }
        self.aside = Some(KeptAside { table: name, rows: rows.len(), examples });
        Ok(())
    }
}

/// What the entries of a batch of this kind do, once it is committed.
pub(super) fn fate(kind: BatchKind) -> Fate {
    if kind == BatchKind::Replay { Fate::Replay } else { Fate::Load }
}

/// Adds to the quarantine the columns that staging got since. Whether there were any.
async fn add_lacking_columns(spec: &LoadSpec, quarantine: &mut Table) -> Result<bool> {
    let lacking = lacking_columns(spec, quarantine)?;
    if lacking.is_empty() {
        return Ok(false);
    }
    let added = quarantine.add_columns(&lacking).await;
    quarantine.refresh().await?;
    // Another run may have added them at the same time.
    if lacking_columns(spec, quarantine)?.is_empty() { Ok(true) } else { added.map(|()| true) }
}

fn lacking_columns(spec: &LoadSpec, quarantine: &Table) -> Result<Vec<ColumnDef>> {
    let there = quarantine.columns()?;
    let lacking =
        spec.staging_columns().filter(|(name, _)| there.iter().all(|column| column.field.name != *name));
    let column = |(name, data_type): (&str, &crate::model::types::DataType)| ColumnDef {
        field: Field { name: name.to_owned(), data_type: data_type.clone(), nullable: true },
        comment: None,
    };
    Ok(lacking.map(column).collect())
}
