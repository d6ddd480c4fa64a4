//! Takes batches back, by a RESTORE of the target with a number of its own.
//!
//! What goes with a batch is decided in [`plan`](crate::plan::decide) from the target's log; this is the same
//! loop as a load's, with another goal.

use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::hooks::Hooks;
use crate::model::{Clock, Status};
use crate::plan::{Request, RollbackGoal};
use crate::preview::preview;
use crate::protocol::{Observer, Wanted};
use crate::run::{Report, Run};

/// Takes a batch back, and what came after it; with `dry_run`, only says what would go.
///
/// # Errors
/// Fails with the reason and the way out when the batch cannot be taken back.
pub async fn roll_back(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    goal: RollbackGoal,
    dry_run: bool,
) -> Result<Report> {
    if let Some(id) = &goal.batch_id {
        refuse_unknown(opened, id).await?;
    }
    if dry_run {
        return preview(opened, clock, hooks, Request::Rollback(goal)).await;
    }
    Run::new(opened, clock, hooks, Request::Rollback(goal)).until_done().await
}

/// An id that no batch has is a slip of the pen, and nothing that a person has to look into.
async fn refuse_unknown(opened: &mut PipelineContext, id: &str) -> Result<()> {
    let mut observer = Observer::new(&opened.pipeline.name);
    let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await?;
    let unfinished = seen.target.commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    if unfinished.into_iter().any(|descriptor| descriptor.batch_id == id) {
        return Ok(());
    }
    match seen.rows.iter().find(|row| row.batch_id == id) {
        Some(row) if row.status == Status::Rejected => {
            Err(Error::usage(format!("batch {id} was rejected: it has loaded nothing"))
                .hint("`highwater status` lists the batches"))
        }
        Some(_) => Ok(()),
        None => Err(Error::usage(format!("no batch of pipeline {} has the id {id}", opened.pipeline.name))
            .hint("`highwater status` lists the batches")),
    }
}
