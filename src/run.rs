//! The load: observe, decide, do that one step, and again.
//!
//! [`batch`] carries a batch's steps out, [`group`] those of a batch in groups, [`keep`] those that concern the
//! quarantine; [`outcome`] says what was done.

mod batch;
mod group;
mod outcome;
mod quarantine;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

pub(crate) use self::batch::{Stage, own_watermark_of, planned_row};
pub use self::outcome::{Ending, KeptAside, Report, Rewrite};

use self::batch::{Kept, Loading};
use self::outcome::Refused;
use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::hooks::{Hooks, RunStep};
use crate::lake::{Outcome, Stamp};
use crate::model::Clock;
use crate::observe::{Observer, Wanted};
use crate::patience::Patience;
use crate::plan::step::First;
use crate::plan::{Accepted, Goal, Intent, Rules, Step, decide};
use crate::stages::record::to_batch;

/// Steps that a run may take: far more than any batch has, so that a loop that goes nowhere ends.
const MAX_STEPS: u32 = 10_000;

/// One process's work on a pipeline.
pub(crate) struct Run<'a> {
    opened: &'a mut PipelineContext,
    hooks: &'a Hooks,
    observer: Observer,
    pub(crate) intent: Intent,
    kept: Option<Kept>,
    /// The target's version that the planner asked to look back to.
    back_to: Option<u64>,
    /// Other writers' rows that a rollback took with it.
    pub(crate) aside: Option<KeptAside>,
    /// Batches that this process made a commit of.
    made: BTreeSet<String>,
    before: BTreeMap<String, u64>,
    started: Instant,
    patience: Patience,
    /// Bytes that came to the target meanwhile.
    bytes_written: i64,
}

/// Loads a batch, after finishing whatever others left behind. `accepted` are checks that may fail this once.
///
/// # Errors
/// Fails when the tables say something that no run could have written, when others keep committing, and
/// when a batch had to be undone.
pub async fn run(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    accepted: Accepted,
) -> Result<Report> {
    Run::new(opened, clock, hooks, Goal::Load(accepted)).until_done().await
}

impl<'a> Run<'a> {
    pub(crate) fn new(opened: &'a mut PipelineContext, clock: Clock, hooks: &'a Hooks, goal: Goal) -> Self {
        let intent = Intent::new(Rules::of(&opened.pipeline), goal, opened.as_of(clock), clock);
        let observer = Observer::new(&opened.pipeline.name);
        Self {
            opened,
            hooks,
            observer,
            intent,
            kept: None,
            back_to: None,
            aside: None,
            made: BTreeSet::new(),
            before: BTreeMap::new(),
            started: Instant::now(),
            patience: Patience::default(),
            bytes_written: 0,
        }
    }

    pub(crate) async fn until_done(mut self) -> Result<Report> {
        let mut reconciling = false;
        let mut refused: Option<Refused> = None;
        for _ in 0..MAX_STEPS {
            let step = self.look().await?;
            let wrote_target =
                matches!(step, Step::WriteQuarantine(_) | Step::WriteAudit { .. } | Step::WriteGroup(_));
            if reconciling && wrote_target {
                self.hooks.end(RunStep::Reconcile, "balanced");
                reconciling = false;
            }
            tracing::debug!(?step, "decided");
            if let Some(refused) =
                refused.take_if(|_| !matches!(step, Step::WriteQuarantine(_) | Step::LookAgain { .. }))
            {
                return self.rejected(refused).await;
            }
            match step {
                Step::End(_) | Step::Refuse(_) => {
                    self.count_bytes().await;
                    self.keep_up().await;
                    return self.finish(step);
                }
                Step::LookAgain { gap } => self.intent.gap = Some(gap),
                Step::LookBack { to } => self.back_to = Some(to),
                Step::Load(plan) => match self.load(&plan).await? {
                    Loading::Committed => {
                        self.hooks.begin(RunStep::Reconcile, "the commit against the classes");
                        reconciling = true;
                    }
                    Loading::Lost => self.lose(None).await?,
                    Loading::Unknown(error) => self.lose(Some(error)).await?,
                    // What it leaves behind as evidence is the next step's to write.
                    Loading::Rejected(row) => refused = Some(Refused { live: plan.live, row }),
                    Loading::Nothing(row) => return Ok(self.nothing(&plan, &row)),
                },
                Step::WriteGroup(plan) => {
                    let outcome = self.write_group(&plan).await?;
                    self.settle(outcome, &plan.first.batch_id).await?;
                    self.hooks.begin(RunStep::Reconcile, "the group's commit against its classes");
                    reconciling = true;
                }
                Step::Abandon(descriptor) => {
                    tracing::warn!(
                        batch = descriptor.batch_id,
                        "abandoning a batch that cannot be completed"
                    );
                    let outcome =
                        self.opened.tables.target.commit_empty(Stamp::describe(&descriptor)?).await?;
                    self.settle(outcome, &descriptor.batch_id).await?;
                }
                Step::Undo(plan) => {
                    let outcome = self.undo(&plan).await?;
                    self.settle(outcome, &plan.descriptor.batch_id).await?;
                }
                Step::WriteQuarantine(plan) => {
                    let outcome = self.write_quarantine(&plan).await?;
                    self.settle(outcome, &plan.batch_id).await?;
                }
                Step::WriteAudit { row, onto } => {
                    self.hooks.begin(RunStep::Audit, &row.batch_id);
                    let outcome = self.append_audit(&row, onto).await?;
                    if self.settle(outcome, &row.batch_id).await? {
                        self.hooks.end(RunStep::Audit, &row.batch_id);
                    }
                }
                Step::WriteWatermark { row, onto } => {
                    self.hooks.begin(RunStep::Watermark, &row.batch_id);
                    let table = self.opened.tables.watermarks.at_decided(onto)?;
                    let stamp = Stamp::number(&row.pipeline, row.sequence);
                    let outcome = table.append(to_batch(table, &row)?, stamp).await?;
                    if self.settle(outcome, &row.batch_id).await? {
                        self.hooks.end(RunStep::Watermark, &row.batch_id);
                    }
                }
            }
        }
        Err(Error::bug(format!("no end after {MAX_STEPS} steps")))
    }

    /// Leaves tables that the next run reads as fast, whatever the number of batches. Nothing depends on it.
    async fn keep_up(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let tables = &mut self.opened.tables;
        let written = [
            (&mut tables.target, false),
            (&mut tables.quarantine, false),
            (&mut tables.audit, true),
            (&mut tables.watermarks, true),
        ];
        for (table, is_record) in written {
            let before = self.before.get(table.name()).copied().unwrap_or_default();
            if let Err(error) = table.keep_up(before, is_record).await {
                tracing::debug!(error = error.chain(), "left for another run");
            }
        }
    }

    /// Observes, and decides.
    pub(crate) async fn look(&mut self) -> Result<Step> {
        let wanted = Wanted { replay: matches!(self.intent.goal, Goal::Replay(..)), back_to: self.back_to };
        let seen = self.observer.observe(&self.opened.engine, &mut self.opened.tables, wanted).await?;
        if self.before.is_empty() {
            self.before = self.versions();
        }
        let step = decide(&seen, &self.intent);
        if self.opened.problem.is_some() && !step.needs_no_inputs() {
            self.opened.staging()?;
        }
        self.intent.first.get_or_insert_with(|| First::of(&seen));
        Ok(step)
    }

    /// Notes a commit, or counts a lost one. Whether this process made the commit.
    async fn settle(&mut self, outcome: Outcome, batch_id: &str) -> Result<bool> {
        match outcome {
            Outcome::Committed(_) => {
                self.made.insert(batch_id.to_owned());
                Ok(true)
            }
            Outcome::Lost => self.lose(None).await.map(|()| false),
            Outcome::Unknown(error) => self.lose(Some(error)).await.map(|()| false),
        }
    }

    /// Another commit came first: wait a moment, and look again.
    async fn lose(&mut self, error: Option<Error>) -> Result<()> {
        self.patience.lose(error).await
    }

    pub(crate) fn opened(&self) -> &PipelineContext {
        self.opened
    }

    /// Looks at the target's past too from now on.
    pub(crate) fn look_back(&mut self, to: u64) {
        self.back_to = Some(to);
    }
}
