//! The load: observe, decide, do that one step, and again.
//!
//! [`batch`] carries a batch's steps out; [`outcome`] says what was done.

mod batch;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use self::outcome::{Ending, Report, Rewrite};

use self::batch::{Kept, Loading};
use crate::error::{Error, Result};
use crate::hooks::{Hooks, RunStep};
use crate::lake::{Outcome, Stamp};
use crate::model::Clock;
use crate::observe::Observer;
use crate::open::Opened;
use crate::plan::step::First;
use crate::plan::{Intent, Rules, Step, decide};
use crate::stages::record::to_batch;

/// Commits that a run may lose to others before it gives up for now.
const MAX_LOST: u32 = 30;
/// Commits in a row that may stay without an answer: more, and it is no passing trouble.
const MAX_UNKNOWN: u32 = 3;
/// Steps that a run may take: far more than any batch has, so that a loop that goes nowhere ends.
const MAX_STEPS: u32 = 10_000;

/// One process's work on a pipeline.
pub(crate) struct Run<'a> {
    opened: &'a mut Opened,
    hooks: &'a Hooks,
    observer: Observer,
    pub(crate) intent: Intent,
    kept: Option<Kept>,
    /// Batches that this process made a commit of.
    made: BTreeSet<String>,
    before: BTreeMap<String, u64>,
    started: Instant,
    lost: u32,
    unknown: u32,
}

/// Loads a batch, after finishing whatever others left behind.
///
/// # Errors
/// Fails when the tables say something that no run could have written, when others keep committing, and
/// when a batch had to be undone.
pub async fn run(opened: &mut Opened, clock: Clock, hooks: &Hooks) -> Result<Report> {
    Run::new(opened, clock, hooks).until_done().await
}

impl<'a> Run<'a> {
    pub(crate) fn new(opened: &'a mut Opened, clock: Clock, hooks: &'a Hooks) -> Self {
        let intent = Intent::new(Rules::of(&opened.pipeline), opened.as_of(clock), clock);
        let observer = Observer::new(&opened.pipeline.name);
        Self {
            opened,
            hooks,
            observer,
            intent,
            kept: None,
            made: BTreeSet::new(),
            before: BTreeMap::new(),
            started: Instant::now(),
            lost: 0,
            unknown: 0,
        }
    }

    async fn until_done(mut self) -> Result<Report> {
        let mut reconciling = false;
        for _ in 0..MAX_STEPS {
            let step = self.look().await?;
            if reconciling && matches!(step, Step::WriteAudit { .. } | Step::WriteGroup(_)) {
                self.hooks.end(RunStep::Reconcile, "balanced");
                reconciling = false;
            }
            tracing::debug!(?step, "decided");
            match step {
                Step::End(_) | Step::Refuse(_) => return self.finish(step),
                Step::LookAgain { gap } => self.intent.gap = Some(gap),
                Step::Load(plan) => match self.load(&plan).await? {
                    Loading::Committed => {
                        self.hooks.begin(RunStep::Reconcile, "the commit against the classes");
                        reconciling = true;
                    }
                    Loading::Lost => self.lose(None).await?,
                    Loading::Unknown(error) => self.lose(Some(error)).await?,
                    Loading::Rejected(rejection, row) => return self.rejected(&plan, &rejection, &row).await,
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
                Step::WriteAudit { row, onto } => {
                    // No row is kept out of a batch yet; the point is there for those who test recovery.
                    self.hooks.begin(RunStep::Quarantine, "");
                    self.hooks.end(RunStep::Quarantine, "");
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

    /// Observes, and decides.
    pub(crate) async fn look(&mut self) -> Result<Step> {
        let seen = self.observer.observe(&self.opened.engine, &mut self.opened.tables).await?;
        if self.before.is_empty() {
            self.before = self.versions();
        }
        let step = decide(&seen, &self.intent);
        if self.opened.problem.is_some() && !step.needs_no_inputs() {
            self.opened.staging()?;
        }
        let newest = seen.fact.sequence.max(seen.fact.group_sequence);
        self.intent.first.get_or_insert(First { audited: seen.audit.sequence, newest });
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
        self.lost += 1;
        self.unknown = if error.is_some() { self.unknown + 1 } else { 0 };
        if self.lost > MAX_LOST || self.unknown > MAX_UNKNOWN {
            return Err(error.unwrap_or_else(|| {
                Error::retry(format!("other writers committed first {MAX_LOST} times"))
                    .hint("run it again when the tables are quieter")
            }));
        }
        if let Some(error) = error {
            tracing::warn!(error = error.chain(), "a commit's answer was lost; looking again");
        }
        // Spread out at random, so that runs that met once do not meet again. Process ids will not do: in
        // containers they are all the same.
        let spread = RandomState::new().hash_one(self.lost) % 50 + 10;
        sleep(Duration::from_millis(spread * u64::from(self.lost.min(10)))).await;
        Ok(())
    }

    pub(crate) fn opened(&self) -> &Opened {
        self.opened
    }
}
