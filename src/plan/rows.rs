//! The audit and the watermark row of a batch. Whoever writes a row writes the same.

use super::batch_id::rejection_id;
use super::ledger::Ledger;
use super::observation::Commit;
use super::step::{Decided, LoadPlan};
use super::verdict::Rejection;

use crate::model::{AuditRow, BatchKind, Counts, Descriptor, Form, Memos, Status, Watermark, WatermarkRow};

/// The audit row of a batch, from its commits alone. `first` decides, `last` completes.
#[must_use]
pub fn audit_row(commits: &[&Commit], first: &Descriptor, last: &Descriptor) -> AuditRow {
    let descriptors = || commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    let mut counts = descriptors().map(|d| d.counts).fold(Counts::default(), |a, b| a + b);
    let memos = descriptors().map(|d| d.memos).fold(Memos::default(), |a, b| a + b);
    if last.status == Status::Abandoned {
        // Rows of the groups that were never written belong to no other class.
        counts.rejected += counts.deduped - counts.classified();
    }
    let committed = commits.first().map_or(first.run_start, |commit| commit.timestamp);
    let after = commits.last().map(|commit| commit.version);
    AuditRow {
        run_end: first.run_end.unwrap_or(committed),
        status: last.status,
        watermark: if last.status == Status::Loaded { first.own_watermark } else { None },
        fact_version_after: after.and_then(|version| i64::try_from(version).ok()),
        dq_errors: first.dq_errors,
        checks: first.checks.clone(),
        drift: first.drift.clone(),
        undone: last.undone.clone(),
        reason: last.reason.clone(),
        sequence: Some(first.sequence),
        ..row_of(first, counts, memos)
    }
}

/// The audit row that a batch with this descriptor would have, were it one commit.
#[must_use]
pub fn row_to_be(descriptor: &Descriptor) -> AuditRow {
    AuditRow {
        watermark: descriptor.own_watermark,
        dq_errors: descriptor.dq_errors,
        checks: descriptor.checks.clone(),
        sequence: Some(descriptor.sequence),
        undone: descriptor.undone.clone(),
        reason: descriptor.reason.clone(),
        ..row_of(descriptor, descriptor.counts, descriptor.memos)
    }
}

/// The audit row of a rejected batch. It has no number and moves no watermark.
#[must_use]
pub fn rejected_row(plan: &LoadPlan, rejection: &Rejection) -> AuditRow {
    let decided = Decided { counts: rejection.counts, memos: rejection.memos, ..Decided::default() };
    let descriptor = plan.descriptor(decided);
    AuditRow {
        batch_id: rejection_id(&plan.batch_id, &rejection.judged_by),
        status: Status::Rejected,
        dq_errors: rejection.dq_errors,
        checks: rejection.checks.clone(),
        reason: Some(rejection.reason.clone()),
        ..row_of(&descriptor, rejection.counts, rejection.memos)
    }
}

/// The watermark row of a batch that has its audit row.
#[must_use]
pub fn watermark_row(row: &AuditRow, ledger: &Ledger<'_>) -> WatermarkRow {
    let sequence = row.sequence.unwrap_or_default();
    WatermarkRow {
        pipeline: row.pipeline.clone(),
        sequence,
        batch_id: row.batch_id.clone(),
        as_of: row.as_of,
        watermark: ledger.live_watermark_at(sequence),
        own: own(row),
        updated_at: row.run_end,
    }
}

fn own(row: &AuditRow) -> Option<Watermark> {
    (row.status == Status::Loaded && row.kind == BatchKind::Load).then_some(row.watermark).flatten()
}

/// What every audit row takes from the descriptor and the counts; the rest is for the caller to say.
fn row_of(descriptor: &Descriptor, counts: Counts, memos: Memos) -> AuditRow {
    AuditRow {
        batch_id: descriptor.batch_id.clone(),
        run_start: descriptor.run_start,
        run_end: descriptor.run_end.unwrap_or(descriptor.run_start),
        watermark_from: descriptor.window.from,
        watermark_to: descriptor.window.to,
        staged_rows: counts.staged,
        deduped_rows: counts.deduped,
        inserted_rows: counts.inserted,
        updated_rows: counts.updated,
        dq_errors: 0,
        status: descriptor.status,
        pipeline: descriptor.pipeline.clone(),
        kind: descriptor.kind,
        sequence: None,
        as_of: descriptor.as_of,
        duplicate_rows: counts.duplicate,
        superseded_rows: counts.superseded,
        stale_rows: counts.stale,
        unchanged_rows: counts.unchanged,
        tied_rows: counts.tied,
        quarantined_rows: counts.quarantined,
        rejected_rows: counts.rejected,
        deleted_rows: counts.deleted,
        late_rows: memos.late,
        future_rows: memos.future,
        history_rows: memos.history,
        filtered_rows: memos.filtered,
        ties_in_batch_rows: memos.ties.in_batch,
        ties_kept_rows: memos.ties.kept,
        ties_replaced_rows: memos.ties.replaced,
        watermark: None,
        config_digest: descriptor.config_digest.clone(),
        target_id: descriptor.tables.target.clone(),
        fact_version_before: i64::try_from(descriptor.base_version).ok(),
        fact_version_after: None,
        inputs: descriptor.inputs.clone(),
        checks: Vec::new(),
        drift: descriptor.drift.clone(),
        undone: Vec::new(),
        form: Form::default(),
        reason: None,
        runner: None,
    }
}
