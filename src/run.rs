//! The load: observe, decide, do that one step, and again.
//!
//! [`batch`] carries a batch's steps out, [`group`] those of a batch in groups, [`quarantine`] those that
//! concern the quarantine; [`purge`] tidies up; [`report`] says what was done.

mod batch;
mod group;
mod purge;
mod quarantine;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

pub(crate) use self::batch::{Stage, own_watermark_of, planned_row};
pub use self::purge::Purged;
pub use self::report::{Ending, KeptAside, Report, Rewrite, Slicing};

use self::batch::{Loading, StagedCache};
use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::events::{Committed, Event, RunStep, Subject};
use crate::hooks::Hooks;
use crate::lake::{Came, Table};
use crate::model::Clock;
use crate::patience::Patience;
use crate::plan::{Accepted, Chosen, End, Intent, Request, Rules, Work};
use crate::protocol::course::Rejected;
use crate::protocol::{Change, Conclusion, Course, Next, Observer, Outcome, Write, look_until_stable};
use crate::runner::runner;

/// Steps that a run may take: far more than any batch has, so that a loop that goes nowhere ends.
const MAX_TURNS: u32 = 10_000;

/// One process's work on a pipeline.
pub(crate) struct Run<'a> {
    opened: &'a mut PipelineContext,
    hooks: &'a Hooks,
    observer: Observer<Table>,
    course: Course,
    kept: Option<StagedCache>,
    /// How the rows of the batch were written.
    chosen: Option<Chosen>,
    /// Other writers' rows that a rollback took with it.
    pub(crate) aside: Option<KeptAside>,
    /// Batches that this process made a commit of.
    made: BTreeSet<String>,
    before: BTreeMap<String, u64>,
    started: Instant,
    patience: Patience,
    /// How the staged rows were cut, if they were.
    slicing: Option<Slicing>,
    /// What was written anew.
    purged: Option<Purged>,
    /// Bytes that came to the target meanwhile.
    bytes_written: i64,
    /// Whether the commit that was made last is still to be held against its classes.
    reconciling: bool,
    /// Whether it was told in what the columns differ.
    drift_told: bool,
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
    Box::pin(Run::new(opened, clock, hooks, Request::Load(accepted)).until_done()).await
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        opened: &'a mut PipelineContext,
        clock: Clock,
        hooks: &'a Hooks,
        request: Request,
    ) -> Self {
        let intent = Intent::new(Rules::of(&opened.pipeline), request, opened.as_of(clock), clock);
        let observer = Observer::new(&opened.pipeline.name);
        Self {
            opened,
            hooks,
            observer,
            course: Course::new(intent),
            kept: None,
            chosen: None,
            aside: None,
            made: BTreeSet::new(),
            before: BTreeMap::new(),
            started: Instant::now(),
            patience: Patience::default(),
            slicing: None,
            purged: None,
            bytes_written: 0,
            reconciling: false,
            drift_told: false,
        }
    }

    /// The loop: look, and do the one piece of work that the look asks for, until nothing is left to do.
    pub(crate) async fn until_done(mut self) -> Result<Report> {
        for _ in 0..MAX_TURNS {
            self.hooks.stop.at_boundary(None);
            match Box::pin(self.look()).await? {
                Next::Do(work) => {
                    self.note_balance(&work);
                    if let Some(report) = Box::pin(self.carry_out(work)).await? {
                        return Ok(report);
                    }
                }
                Next::Over(ended) => {
                    let came = self.count_bytes().await;
                    let is_loaded = matches!(ended, Conclusion::End(End::Done(_)));
                    self.keep_up(&came, is_loaded).await;
                    return self.finish(ended).await;
                }
            }
        }
        Err(Error::bug(format!("no end after {MAX_TURNS} steps")))
    }

    /// Does one piece of work. The report, where the run ends with it.
    async fn carry_out(&mut self, work: Work) -> Result<Option<Report>> {
        let batch_id = work.batch_id().to_owned();
        match work {
            Work::Load(plan) => match Box::pin(self.load(&plan)).await? {
                Loading::Tried(outcome) => {
                    if self.note_outcome(outcome, &batch_id).await? {
                        self.reconcile("the commit against the classes");
                    }
                }
                // What it leaves behind as evidence is the next step's to write.
                Loading::Rejected(row) => self.course.rejected = Some(Rejected { live: plan.live, row }),
                Loading::Nothing(row) => return Ok(Some(self.nothing(&plan, &row))),
            },
            Work::WriteGroup(plan) => {
                let outcome = self.write_group(&plan).await?;
                if self.note_outcome(outcome, &batch_id).await? {
                    self.reconcile("the group's commit against its classes");
                }
            }
            Work::Abandon { descriptor, onto } => {
                tracing::warn!(batch = batch_id, "abandoning a batch that cannot be completed");
                self.make(Write::batch(*descriptor, onto, Change::Nothing), &batch_id).await?;
            }
            Work::Undo(plan) => {
                let outcome = self.undo(&plan).await?;
                self.note_outcome(outcome, &batch_id).await?;
            }
            Work::WriteQuarantine(plan) => {
                let outcome = self.write_quarantine(&plan).await?;
                self.note_outcome(outcome, &batch_id).await?;
            }
            Work::WriteAudit { mut row, onto } => {
                row.runner = runner().await;
                self.hooks.begin(RunStep::Audit, Subject::Batch(batch_id.clone()));
                if self.make(Write::audit(row, onto), &batch_id).await? {
                    self.hooks.end(RunStep::Audit, Subject::Batch(batch_id.clone()));
                }
            }
            Work::WriteWatermark { row, onto } => {
                self.hooks.begin(RunStep::Watermark, Subject::Batch(batch_id.clone()));
                if self.make(Write::watermark(row, onto), &batch_id).await? {
                    self.hooks.end(RunStep::Watermark, Subject::Batch(batch_id.clone()));
                }
            }
        }
        Ok(None)
    }

    /// The planner holds a commit against its classes at the next look: what it does then tells how that went.
    fn reconcile(&mut self, what: &str) {
        self.hooks.begin(RunStep::Reconcile, Subject::Told(what.to_owned()));
        self.reconciling = true;
    }

    fn note_balance(&mut self, work: &Work) {
        let goes_on =
            matches!(work, Work::WriteQuarantine(_) | Work::WriteAudit { .. } | Work::WriteGroup(_));
        if goes_on && std::mem::take(&mut self.reconciling) {
            self.hooks.end(RunStep::Reconcile, Subject::Told("balanced".to_owned()));
        }
    }

    /// Leaves tables that the next run reads as fast, whatever the number of batches. Nothing depends on it.
    async fn keep_up(&mut self, came: &Came, is_loaded: bool) {
        if self.made.is_empty() {
            return;
        }
        if is_loaded && let Err(error) = self.purge(came).await {
            tracing::warn!(error = error.chain(), "the target was loaded, and not purged");
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

    /// Finishes what others left behind, and begins nothing. Whether anything was.
    pub(crate) async fn finish_others(mut self) -> Result<bool> {
        for _ in 0..MAX_TURNS {
            self.hooks.stop.at_boundary(None);
            match Box::pin(self.decided()).await? {
                Next::Do(work) if !matches!(work, Work::Load(_)) => {
                    Box::pin(self.carry_out(work)).await?;
                }
                // Nothing can be done before a person looks.
                Next::Over(refused @ Conclusion::Refused(_)) => {
                    return self.finish(refused).await.map(|_| false);
                }
                Next::Do(_) | Next::Over(_) => return Ok(!self.made.is_empty()),
            }
        }
        Err(Error::bug(format!("no end after {MAX_TURNS} steps")))
    }

    /// Looks, until what is seen is enough, and decides; a batch that cannot be read is told.
    pub(crate) async fn look(&mut self) -> Result<Next> {
        let next = self.decided().await?;
        if self.opened.problem.is_some() && !next.needs_no_inputs() {
            self.opened.staging()?;
        }
        Ok(next)
    }

    async fn decided(&mut self) -> Result<Next> {
        if self.before.is_empty() {
            // As they were opened: the first look takes them so.
            self.before = self.versions();
        }
        let PipelineContext { engine, tables, .. } = &mut *self.opened;
        let told = self.course.cases.len();
        let looked = look_until_stable(&mut self.course, &mut self.observer, engine, tables).await;
        let cases = &self.course.cases;
        // Where a race was lost, the same is decided again.
        for decision in &cases[told.min(cases.len().saturating_sub(1))..] {
            self.hooks.events.tell(&Event::Decided(decision.clone()));
        }
        Ok(looked?.1)
    }

    /// Tells once in what the columns of the batch differ from the target's.
    fn tell_drift(&mut self) {
        if !std::mem::replace(&mut self.drift_told, true) {
            for drift in self.opened.columns.told() {
                self.hooks.events.tell(&Event::Drifted(drift));
            }
        }
    }

    /// Makes a commit. Whether this process made it.
    async fn make(&mut self, write: Write<Table>, batch_id: &str) -> Result<bool> {
        let outcome = write.make(&self.opened.tables).await?;
        self.note_outcome(outcome, batch_id).await
    }

    /// Notes a commit, or counts a lost one. Whether this process made the commit.
    async fn note_outcome(&mut self, outcome: Outcome, batch_id: &str) -> Result<bool> {
        match outcome {
            Outcome::Committed(version) => {
                let batch_id = batch_id.to_owned();
                self.hooks.events.tell(&Event::Committed(Committed { batch_id: batch_id.clone(), version }));
                self.made.insert(batch_id);
                Ok(true)
            }
            // Another commit came first: wait a moment, and look again.
            Outcome::Lost => self.patience.lose(None).await.map(|()| false),
            Outcome::Unknown(error) => self.patience.lose(Some(error)).await.map(|()| false),
        }
    }

    pub(crate) fn opened(&self) -> &PipelineContext {
        self.opened
    }
}
