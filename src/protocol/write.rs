//! Every commit that carries a batch's or a rejection's number: to which table, onto which version, with which stamp.
//!
//! Not here are commits that decide nothing: columns that a quarantine gets, other writers' rows that are kept aside,
//! discards, attempts, and upkeep.

use super::port::{Change, Outcome, RecordRow, TableLog};
use super::stamp::Stamp;
use super::tables::{Role, Tables};
use crate::error::Result;
use crate::model::{AuditRow, Descriptor, Evidence, Lane, QuarantineWork, WatermarkRow};
use crate::plan::LoadPlan;
use crate::plan::step::{QuarantineNumber, QuarantinePlan, UndoPlan};

/// A commit that is ready to be made.
pub struct Write<T: TableLog> {
    /// The table.
    pub role: Role,
    /// The version that was looked at.
    pub onto: u64,
    /// What the commit says of itself.
    pub stamp: Stamp,
    /// What it does.
    pub change: Change<T>,
}

impl<T: TableLog<Rows: Clone, Entries: Clone>> Clone for Write<T> {
    fn clone(&self) -> Self {
        let (stamp, change) = (self.stamp.clone(), self.change.clone());
        Self { role: self.role, onto: self.onto, stamp, change }
    }
}

impl<T: TableLog> Write<T> {
    /// A batch's commit to the target, or a group's.
    #[must_use]
    pub fn batch(descriptor: Descriptor, onto: u64, change: Change<T>) -> Self {
        Self { role: Role::Target, onto, stamp: Stamp::describe(descriptor), change }
    }

    /// The RESTORE that takes batches back.
    #[must_use]
    pub fn undo(plan: &UndoPlan) -> Self {
        Self::batch(plan.descriptor.clone(), plan.onto, Change::Restore(plan.restore_to))
    }

    /// The commit to the quarantine that makes known what a batch, or a rejected one, changes there.
    #[must_use]
    pub fn entries(plan: &QuarantinePlan, entries: T::Entries) -> Self {
        let stamp = match &plan.number {
            QuarantineNumber::Batch(number) => Stamp::number(&plan.pipeline, *number),
            QuarantineNumber::Evidence { app, number } => Stamp::number(app, *number),
        };
        Self { role: Role::Quarantine, onto: plan.onto, stamp, change: Change::Entries(entries) }
    }

    /// The audit row of a numbered batch.
    #[must_use]
    pub fn audit(row: Box<AuditRow>, onto: u64) -> Self {
        let stamp = Stamp::number(&row.pipeline, row.sequence.unwrap_or_default());
        Self { role: Role::Audit, onto, stamp, change: Change::Append(RecordRow::Audit(row)) }
    }

    /// The watermark row of a numbered batch: with it, the batch is done.
    #[must_use]
    pub fn watermark(row: Box<WatermarkRow>, onto: u64) -> Self {
        let stamp = Stamp::number(&row.pipeline, row.sequence);
        Self { role: Role::Watermarks, onto, stamp, change: Change::Append(RecordRow::Watermark(row)) }
    }

    /// The audit row of a rejected batch, with the work that its rows make for the quarantine.
    ///
    /// # Errors
    /// Fails when the audit table's log cannot be read.
    pub async fn rejection(
        tables: &Tables<T>,
        plan: &LoadPlan,
        row: Box<AuditRow>,
        work: Option<QuarantineWork>,
    ) -> Result<Self> {
        let audit = tables.at_decided(Role::Audit, plan.audit_onto)?;
        let number = audit.txn(&Lane::Rejected.app(&row.pipeline)).await? + 1;
        let quarantine_id = tables.quarantine.id()?;
        let evidence = work.map(|work| Evidence {
            pipeline: plan.pipeline.clone(),
            batch_id: row.batch_id.clone(),
            number,
            quarantine_id,
            run_start: plan.started,
            work,
        });
        let stamp = Stamp::reject(&row.pipeline, number, evidence);
        let change = Change::Append(RecordRow::Audit(row));
        Ok(Self { role: Role::Audit, onto: plan.audit_onto, stamp, change })
    }

    /// Makes the commit, onto the version that was looked at and no other.
    ///
    /// # Errors
    /// Fails when the commit was not made, or the log cannot tell for good; the error's kind says whether another run
    /// may help.
    pub async fn make(self, tables: &Tables<T>) -> Result<Outcome> {
        let table = tables.at_decided(self.role, self.onto)?;
        table.commit(self.change, self.stamp).await
    }
}
