//! What a run would do, with no table changed.

use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::hooks::Hooks;
use crate::model::{Clock, Status};
use crate::plan::rows::rejected_row;
use crate::plan::strategy::touched_partitions;
use crate::plan::verdict::{Commitment, group_counts};
use crate::plan::{LoadPlan, Request, Verdict, Work};
use crate::protocol::Next;
use crate::run::{Ending, Report, Rewrite, Run, Stage, own_watermark_of, planned_row};
use crate::stages::locate::{Located, files_to_rewrite};

/// Plans a run: the batch as it would be loaded, or a report of the one that is loaded already. Of a rollback,
/// what it would take back.
///
/// # Errors
/// Fails where the run would refuse. A batch that another run left unfinished must be finished first, and
/// is named.
pub async fn preview(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    request: Request,
) -> Result<Report> {
    let mut run = Run::new(opened, clock, hooks, request);
    match run.look().await? {
        Next::Do(Work::Load(plan)) => Box::pin(planned(run, &plan)).await,
        Next::Do(Work::Undo(plan)) if plan.descriptor.status == Status::RolledBack => {
            if plan.foreign {
                run.keep_aside(&plan, false).await?;
            }
            Ok(run.would_take_back(&plan))
        }
        Next::Do(Work::Undo(plan)) => Err(unfinished(&plan.descriptor.undone.join(", "))),
        Next::Do(work) => Err(unfinished(work.batch_id())),
        Next::Over(ended) => run.finish(ended).await,
    }
}

/// A plan cannot see past a batch that is half written.
fn unfinished(batch_id: &str) -> Error {
    Error::retry(format!("batch {batch_id} is unfinished; what comes after it cannot be planned yet"))
        .hint("`highwater run` finishes it first; `highwater status` shows it")
}

async fn planned(mut run: Run<'_>, plan: &LoadPlan) -> Result<Report> {
    let spec = run.spec_of(plan);
    let Stage { staged, located, chosen, .. } = run.stage(plan, &spec).await?;
    match run.judge(plan, &staged, &spec, &chosen) {
        Verdict::Reject(rejection) => {
            let row = rejected_row(plan, &rejection);
            let report = run.report(&row, (plan.live, plan.live));
            Ok(Report { batch_id: plan.batch_id.clone(), would_reject: true, ..report })
        }
        Verdict::Nothing(commitment) => {
            let report = run.report(&planned_row(plan, &commitment, None), (plan.live, plan.live));
            Ok(Report { ending: Ending::NothingToDo, sequence: None, ..report })
        }
        Verdict::Commit(commitment) => {
            let rest = commitment.groups.iter().skip(1).map(|group| group_counts(&staged.cells, group));
            let counts = rest.fold(commitment.counts, |sum, counts| sum + counts);
            let own = own_watermark_of(plan, &spec, &staged);
            let row = planned_row(plan, &Commitment { counts, ..commitment.clone() }, own);
            let rewrite = Rewrite { commits: commitment.groups.len().max(1), ..rewrite(&run, &located)? };
            let after = plan.live.max(own);
            let report = run.report(&row, (plan.live, after));
            Ok(Report { ending: Ending::Planned, rewrite: Some(rewrite), strategy: Some(chosen), ..report })
        }
    }
}

/// The part of the target that the batch would rewrite.
fn rewrite(run: &Run<'_>, located: &Located) -> Result<Rewrite> {
    let partitions = touched_partitions(&located.cells);
    let (files, bytes) = files_to_rewrite(located, &run.opened().tables.target)?;
    Ok(Rewrite { partitions, files, bytes, commits: 1 })
}
