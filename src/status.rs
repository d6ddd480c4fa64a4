//! What a pipeline's tables say about its batches.

use std::collections::BTreeMap;

use crate::attempts::latest;
use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::model::{AttemptRow, AuditRow, Clock, Watermark};
use crate::plan::{Accepted, Intent, Ledger, Request, Rules, Work};
use crate::protocol::{Conclusion, Course, Next, Observer, look_until_stable};

/// Failed runs that are shown.
const MAX_ATTEMPTS: usize = 5;

/// The state of a pipeline.
#[derive(Debug, Clone)]
pub struct StatusReport {
    /// The pipeline.
    pub pipeline: String,
    /// The live watermark.
    pub watermark: Option<Watermark>,
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
    let request = Request::Load(Accepted::default());
    let intent = Intent::new(Rules::of(&opened.pipeline), request, opened.as_of(clock), clock);
    let mut observer = Observer::new(&opened.pipeline.name);
    let mut course = Course::new(intent);
    let (seen, next) =
        look_until_stable(&mut course, &mut observer, &opened.engine, &mut opened.tables).await?;
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
    let refused = match &next {
        _ if opened.problem.is_some() => opened.problem.as_ref().map(Error::chain),
        Next::Over(Conclusion::Refused(refusal)) => Some(refusal.told()),
        _ => None,
    };
    Ok(StatusReport {
        pipeline: opened.pipeline.name.clone(),
        watermark: ledger.live_watermark(),
        batches,
        ids: seen.rows.iter().map(|row| row.batch_id.clone()).collect(),
        taken_back,
        unfinished: unfinished(next),
        refused,
        not_loaded: opened.spec.not_loaded(),
        attempts: latest(opened, MAX_ATTEMPTS).await,
    })
}

fn unfinished(next: Next) -> Option<Unfinished> {
    let Next::Do(work) = next else { return None };
    let told = match &work {
        Work::Load(_) => return None,
        Work::WriteGroup(_) => "write its next group of partitions",
        Work::Abandon { .. } => "abandon it: what it pinned can no longer be read",
        Work::Undo(_) => "undo it: its commit does not balance",
        Work::WriteQuarantine(_) => "write the rows that were kept out to the quarantine",
        Work::WriteAudit { .. } => "append its audit row",
        Work::WriteWatermark { .. } => "append its watermark row",
    };
    let batch_id = match &work {
        Work::Undo(plan) => plan.descriptor.undone.join(", "),
        work => work.batch_id().to_owned(),
    };
    Some(Unfinished { batch_id, next: told })
}
