//! What a pipeline's tables say about its batches.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::attempts::latest;
use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::model::{AttemptRow, AuditRow, Clock};
use crate::observe::{Observer, Wanted};
use crate::plan::{Accepted, Goal, Intent, Ledger, Rules, Step, decide};

/// Failed runs that are shown.
const MAX_ATTEMPTS: usize = 5;

/// The state of a pipeline.
#[derive(Debug, Clone)]
pub struct StatusReport {
    /// The pipeline.
    pub pipeline: String,
    /// The live watermark.
    pub watermark: Option<NaiveDate>,
    /// The newest batches, newest first.
    pub batches: Vec<AuditRow>,
    /// The ids of all batches.
    pub ids: Vec<String>,
    /// Those of them that were taken back, with the number of the rollback.
    pub taken_back: BTreeMap<String, i64>,
    /// What is left to do of an unfinished batch.
    pub unfinished: Option<Unfinished>,
    /// What is wrong with the tables, if a run would refuse.
    pub refused: Option<String>,
    /// Columns of staging that are neither loaded nor excluded.
    pub not_loaded: Vec<String>,
    /// The latest failed runs, newest first.
    pub attempts: Vec<AttemptRow>,
}

/// A batch that a run would finish first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The batch.
    pub batch_id: String,
    /// The next step, in words.
    pub next: &'static str,
}

/// Looks at a pipeline and shows its last batches, or one batch by its id.
///
/// # Errors
/// Fails when the tables cannot be read, or no batch has that id.
pub async fn status(
    opened: &mut PipelineContext,
    clock: Clock,
    last: usize,
    batch: Option<&str>,
) -> Result<StatusReport> {
    let goal = Goal::Load(Accepted::default());
    let mut intent = Intent::new(Rules::of(&opened.pipeline), goal, opened.as_of(clock), clock);
    let mut observer = Observer::new(&opened.pipeline.name);
    let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await?;
    let ledger = Ledger::new(&seen.rows);
    let mut batches = seen.rows.clone();
    batches.sort_by_key(|row| std::cmp::Reverse((row.run_start, row.sequence)));
    batches.retain(|row| batch.is_none_or(|id| row.batch_id == id));
    if let (Some(id), true) = (batch, batches.is_empty()) {
        return Err(Error::usage(format!("no batch of pipeline {} has the id {id}", opened.pipeline.name))
            .hint("`highwater status` lists the batches"));
    }
    batches.truncate(last);
    let by = |row: &AuditRow| Some((row.batch_id.clone(), ledger.taken_back_by(&row.batch_id)?.sequence?));
    let taken_back = batches.iter().filter_map(by).collect();
    let mut step = decide(&seen, &intent);
    if let Step::LookAgain { gap } = step {
        // A race would be over by now.
        intent.gap = Some(gap);
        let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await?;
        step = decide(&seen, &intent);
    }
    let refused = match &step {
        _ if opened.problem.is_some() => opened.problem.as_ref().map(Error::chain),
        Step::Refuse(refusal) => Some(refusal.told()),
        _ => None,
    };
    Ok(StatusReport {
        pipeline: opened.pipeline.name.clone(),
        watermark: ledger.live_watermark(),
        batches,
        ids: seen.rows.iter().map(|row| row.batch_id.clone()).collect(),
        taken_back,
        unfinished: unfinished(step),
        refused,
        not_loaded: opened.spec.not_loaded(),
        attempts: latest(opened, MAX_ATTEMPTS).await,
    })
}

fn unfinished(step: Step) -> Option<Unfinished> {
    let (batch_id, next) = match step {
        Step::WriteGroup(plan) => (plan.first.batch_id, "write its next group of partitions"),
        Step::Abandon(descriptor) => (descriptor.batch_id, "abandon it: staging's pinned version is gone"),
        Step::Undo(plan) => (plan.descriptor.undone.join(", "), "undo it: its commit does not balance"),
        Step::WriteQuarantine(plan) => (plan.batch_id, "write the rows that were kept out to the quarantine"),
        Step::WriteAudit { row, .. } => (row.batch_id, "append its audit row"),
        Step::WriteWatermark { row, .. } => (row.batch_id, "append its watermark row"),
        Step::End(_) | Step::Refuse(_) | Step::LookAgain { .. } | Step::LookBack { .. } | Step::Load(_) => {
            return None;
        }
    };
    Some(Unfinished { batch_id, next })
}
