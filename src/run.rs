//! The load: observe, decide, do that one step, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::NaiveDate;
use tokio::time::{Instant, sleep};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hooks::{Hooks, RunStep};
use crate::lake::{Outcome, Stamp, Table, rejected_app};
use crate::model::{AuditRow, Clock, Counts, Descriptor, Group, Memos, Status, Window};
use crate::observe::Observer;
use crate::open::Opened;
use crate::plan::decide::{First, GroupPlan, UndoPlan};
use crate::plan::rows::rejected_row;
use crate::plan::settle::{Commitment, Rejection, group_counts};
use crate::plan::window::{ReadPlan, own_watermark};
use crate::plan::{End, Intent, Ledger, LoadPlan, Recipe, Rules, Staged, Step, Verdict, decide, settle};
use crate::stages::dedupe::{Deduped, dedupe};
use crate::stages::locate::{Located, locate};
use crate::stages::merge::{Provenance, merge_source};
use crate::stages::read::{Nulls, read};
use crate::stages::record::to_batch;

/// Commits that a run may lose to others before it gives up for now.
const MAX_LOST: u32 = 30;
/// Steps that a run may take: far more than any batch has, so that a loop that goes nowhere ends.
const MAX_STEPS: u32 = 10_000;

/// What a run did, or what a plan would do.
#[derive(Debug, Clone)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// The batch.
    pub batch_id: String,
    /// Its number; a rejected batch has none.
    pub sequence: Option<i64>,
    /// How it ended.
    pub ending: Ending,
    /// The logical date.
    pub as_of: NaiveDate,
    /// The days read.
    pub window: Window,
    /// The live watermark before and after.
    pub watermark: (Option<NaiveDate>, Option<NaiveDate>),
    /// Rows by class.
    pub counts: Counts,
    /// Late and future rows, and ties.
    pub memos: Memos,
    /// Distinct rows that broke a rule.
    pub dq_errors: i64,
    /// Batches of others that this process finished.
    pub recovered: Vec<String>,
    /// Versions of each table before and after, by the table's name.
    pub tables: BTreeMap<String, (u64, u64)>,
    /// Why the batch was rejected or undone.
    pub reason: Option<String>,
    /// What a plan found would be rewritten.
    pub rewrite: Option<Rewrite>,
    /// How long it took.
    pub seconds: f64,
}

/// How a run or a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// This process made a commit of the batch.
    Loaded,
    /// The batch was loaded before; this process made no commit of it.
    AlreadyLoaded,
    /// The gate refused the batch.
    Rejected,
    /// A plan: nothing was done.
    Planned,
}

impl Ending {
    /// The status in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::AlreadyLoaded => "already_loaded",
            Self::Rejected => "rejected",
            Self::Planned => "planned",
        }
    }
}

/// The part of the target that a batch rewrites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Partitions that rows are written to or taken from.
    pub partitions: usize,
    /// Files that hold rows to be replaced.
    pub files: usize,
    /// The size of those files.
    pub bytes: i64,
    /// Commits that the batch takes.
    pub commits: usize,
}

/// What is kept of a staged batch between two attempts: the pinned input does not change.
struct Kept {
    inputs: Vec<crate::model::Pin>,
    reading: ReadPlan,
    nulls: Nulls,
    deduped: Deduped,
    /// The located rows, and the target's version that they hold for.
    located: Option<(u64, Located)>,
}

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
        let intent = Intent {
            rules: Rules::of(&opened.pipeline),
            as_of: opened.as_of(clock),
            started: clock.now(),
            clock,
            first: None,
            gap: None,
        };
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
                Step::WriteAudit { row, .. } => {
                    // No row is kept out of a batch yet; the point is there for those who test recovery.
                    self.hooks.begin(RunStep::Quarantine, "");
                    self.hooks.end(RunStep::Quarantine, "");
                    self.hooks.begin(RunStep::Audit, &row.batch_id);
                    let outcome = self.append_audit(&row).await?;
                    if self.settle(outcome, &row.batch_id).await? {
                        self.hooks.end(RunStep::Audit, &row.batch_id);
                    }
                }
                Step::WriteWatermark { row, .. } => {
                    self.hooks.begin(RunStep::Watermark, &row.batch_id);
                    let table = &self.opened.tables.watermarks;
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
        let newest = seen.fact.sequence.max(seen.fact.group_sequence);
        self.intent.first.get_or_insert(First { audited: seen.audit.sequence, newest });
        Ok(step)
    }

    /// Stages a batch, settles it, and makes its deciding commit.
    async fn load(&mut self, plan: &LoadPlan) -> Result<Loading> {
        self.hooks.begin(RunStep::Pin, &plan.batch_id);
        tracing::info!(batch = plan.batch_id, sequence = plan.sequence, window = ?plan.reading.window, "pinned");
        self.hooks.end(RunStep::Pin, &plan.batch_id);
        let recipe = self.opened.recipe.clone();
        let (staged, located) = self.stage(plan, &recipe).await?;

        let verdict = self.judge(&staged, &recipe);
        match verdict {
            Verdict::Reject(rejection) => self.reject(plan, rejection).await,
            Verdict::Commit(commitment) => {
                let own = own_watermark(
                    &recipe.rules.incremental,
                    plan.as_of,
                    staged.newest,
                    plan.reading.previous,
                );
                let group = first_group(&commitment, &recipe)?;
                let descriptor = plan.descriptor(commitment.counts, commitment.memos, own, group);
                if let Some(imbalance) = whole_imbalance(&commitment, &staged) {
                    return Err(Error::bug(format!("the classes do not add up: {imbalance}")));
                }
                let partitions = commitment.groups.first().map(Vec::as_slice);
                let outcome = self.commit_rows(&descriptor, &recipe, &located, partitions).await?;
                if !commitment.groups.is_empty() {
                    self.keep_located(located, &outcome);
                }
                Ok(match outcome {
                    Outcome::Committed(version) => {
                        tracing::info!(batch = plan.batch_id, version, "committed");
                        self.made.insert(plan.batch_id.clone());
                        Loading::Committed
                    }
                    Outcome::Lost => Loading::Lost,
                    Outcome::Unknown(error) => Loading::Unknown(error),
                })
            }
        }
    }

    /// Reads, dedupes and locates the rows of a planned batch.
    pub(crate) async fn stage(&mut self, plan: &LoadPlan, recipe: &Recipe) -> Result<(Staged, Located)> {
        let staging = self.opened.tables.staging.clone();
        self.keep_deduped(&plan.inputs, &plan.reading, recipe, &staging).await?;
        let kept = self.kept.as_ref().ok_or_else(|| Error::bug("nothing was staged"))?;
        self.hooks.begin(RunStep::Locate, &format!("{} rows", kept.deduped.rows.len()));
        let located = locate(&self.opened.engine, recipe, &kept.deduped, &self.opened.tables.target).await?;
        self.hooks.end(RunStep::Locate, "");
        let staged = Staged {
            dedupe: kept.deduped.counts,
            memos: kept.deduped.memos,
            cells: located.cells.clone(),
            target_ties: located.target_ties,
            nulls: kept.nulls.by_column.clone(),
            null_rows: kept.nulls.rows,
            examples: kept.nulls.examples.iter().chain(&located.tie_examples).cloned().collect(),
            newest: kept.deduped.newest,
        };
        Ok((staged, located))
    }

    /// Reads and dedupes, unless that was done for the same input before.
    async fn keep_deduped(
        &mut self,
        inputs: &[crate::model::Pin],
        reading: &ReadPlan,
        recipe: &Recipe,
        staging: &Table,
    ) -> Result<()> {
        if self.kept.as_ref().is_some_and(|kept| kept.inputs == inputs && kept.reading == *reading) {
            return Ok(());
        }
        self.kept = None;
        let engine = &self.opened.engine;
        self.hooks.begin(RunStep::Read, "");
        let rows = read(engine, recipe, reading, staging).await?;
        let found = format!("{} rows", rows.rows.len());
        self.hooks.end(RunStep::Read, &found);
        self.hooks.begin(RunStep::Hash, &found);
        self.hooks.end(RunStep::Hash, &found);
        self.hooks.begin(RunStep::Dedupe, &found);
        let nulls = rows.nulls.clone();
        let deduped = dedupe(engine, recipe, rows).await?;
        self.hooks.end(RunStep::Dedupe, &format!("{} rows", deduped.rows.len()));
        self.kept =
            Some(Kept { inputs: inputs.to_vec(), reading: reading.clone(), nulls, deduped, located: None });
        Ok(())
    }

    pub(crate) fn judge(&self, staged: &Staged, recipe: &Recipe) -> Verdict {
        self.hooks.begin(RunStep::Gate, "");
        let verdict = settle(staged, recipe.rules.on_tie, self.opened.pipeline.partitions_per_commit);
        let detail = match &verdict {
            Verdict::Reject(rejection) => rejection.reason.clone(),
            Verdict::Commit(_) => "passed".to_owned(),
        };
        self.hooks.end(RunStep::Gate, &detail);
        verdict
    }

    /// Commits the rows that go to `partitions`, or all: a MERGE, or an empty commit where none is written.
    async fn commit_rows(
        &self,
        descriptor: &Descriptor,
        recipe: &Recipe,
        located: &Located,
        partitions: Option<&[String]>,
    ) -> Result<Outcome> {
        let group = descriptor.group.as_ref().map_or(0, |group| group.index);
        let rows = descriptor.counts.inserted + descriptor.counts.updated;
        self.hooks.begin_commit(group, &format!("{rows} rows"));
        let target = &self.opened.tables.target;
        let stamp = Stamp::describe(descriptor)?;
        let outcome = if rows == 0 {
            target.commit_empty(stamp).await?
        } else {
            let engine: &Engine = &self.opened.engine;
            let provenance = Provenance { batch_id: &descriptor.batch_id, loaded_at: descriptor.run_start };
            let mut source = merge_source(engine, recipe, located, partitions, provenance).await?;
            if self.hooks.lose_a_row {
                source.lose_a_row()?;
            }
            target.merge(source, &engine.state(), stamp).await?
        };
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.end_commit(group, &format!("{rows} rows"));
        }
        Ok(outcome)
    }

    /// Writes the next group of an unfinished batch, by the recipe that the batch was begun with.
    async fn write_group(&mut self, plan: &GroupPlan) -> Result<Outcome> {
        let begun = plan.first.group.as_ref();
        let recipe: Recipe = begun
            .and_then(|group| group.recipe.clone())
            .and_then(|recipe| serde_json::from_value(recipe).ok())
            .ok_or_else(|| unreadable_group(&plan.first))?;
        let partitions = begun.and_then(|group| group.partitions.get(plan.index));
        let partitions = partitions.ok_or_else(|| unreadable_group(&plan.first))?;
        let of = begun.map_or(0, |group| group.of);

        let pinned = plan.first.inputs.first().map_or(0, |pin| pin.version);
        let staging = self.opened.tables.staging.at(pinned).await?;
        let staging = staging.ok_or_else(|| Error::retry("staging's pinned version is gone"))?;
        self.keep_deduped(&plan.first.inputs, &plan.reading, &recipe, &staging).await?;
        let located = self.located_again(plan.onto, &recipe).await?;
        let descriptor = Descriptor {
            counts: group_counts(&located.cells, partitions),
            memos: Memos::default(),
            run_end: self.intent.clock.frozen(),
            group: Some(Group { index: plan.index, partitions: Vec::new(), of, recipe: None }),
            ..plan.first.clone()
        };
        let outcome = self.commit_rows(&descriptor, &recipe, &located, Some(partitions)).await?;
        self.keep_located(located, &outcome);
        Ok(outcome)
    }

    /// The rows located on version `onto`. Where the only commits since they were located are groups of
    /// this very batch, made by this process, they hold still: groups have no key in common.
    async fn located_again(&mut self, onto: u64, recipe: &Recipe) -> Result<Located> {
        let kept = self.kept.as_mut().ok_or_else(|| Error::bug("nothing was staged"))?;
        if let Some((version, located)) = kept.located.take()
            && version == onto
        {
            return Ok(located);
        }
        let kept = self.kept.as_ref().ok_or_else(|| Error::bug("nothing was staged"))?;
        locate(&self.opened.engine, recipe, &kept.deduped, &self.opened.tables.target).await
    }

    /// Keeps located rows for the next group, if this process committed onto the version they hold for.
    fn keep_located(&mut self, located: Located, outcome: &Outcome) {
        if let (Some(kept), Outcome::Committed(version)) = (&mut self.kept, outcome) {
            kept.located = Some((*version, located));
        }
    }

    /// Takes an unbalanced batch back.
    async fn undo(&mut self, plan: &UndoPlan) -> Result<Outcome> {
        tracing::error!(reason = plan.descriptor.reason, "undoing a batch that does not balance");
        let stamp = Stamp::describe(&plan.descriptor)?;
        self.opened.tables.target.restore(plan.restore_to, stamp).await
    }

    async fn append_audit(&self, row: &AuditRow) -> Result<Outcome> {
        let table = &self.opened.tables.audit;
        let sequence = row.sequence.unwrap_or_default();
        table.append(to_batch(table, row)?, Stamp::number(&row.pipeline, sequence)).await
    }

    /// Records a rejection, unless the same one is recorded already.
    async fn reject(&mut self, plan: &LoadPlan, rejection: Rejection) -> Result<Loading> {
        let row = rejected_row(plan, &rejection);
        if plan.rejections.contains(&row.batch_id) {
            return Ok(Loading::Rejected(rejection, Box::new(row)));
        }
        self.hooks.begin(RunStep::Audit, &row.batch_id);
        let table = &self.opened.tables.audit;
        let app = rejected_app(&row.pipeline);
        let number = table.txn(&app).await?.unwrap_or_default() + 1;
        let outcome = table.append(to_batch(table, &row)?, Stamp::number(&app, number)).await?;
        Ok(match outcome {
            Outcome::Committed(_) => {
                self.hooks.end(RunStep::Audit, &row.batch_id);
                Loading::Rejected(rejection, Box::new(row))
            }
            Outcome::Lost => Loading::Lost,
            Outcome::Unknown(error) => Loading::Unknown(error),
        })
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
        if self.lost > MAX_LOST {
            return Err(error.unwrap_or_else(|| {
                Error::retry(format!("other writers committed first {MAX_LOST} times"))
                    .hint("run it again when the tables are quieter")
            }));
        }
        if let Some(error) = error {
            tracing::warn!(error = error.chain(), "a commit's answer was lost; looking again");
        }
        // Spread out by process, so that runs that met once do not meet again.
        let spread = u64::from(std::process::id() % 50) + 10;
        sleep(Duration::from_millis(spread * u64::from(self.lost.min(10)))).await;
        Ok(())
    }

    /// The report or the error that a last step stands for.
    pub(crate) fn finish(self, step: Step) -> Result<Report> {
        match step {
            Step::End(End::Done(row)) => Ok(self.done(&row)),
            Step::End(End::Failed(row)) => Err(undone(&row)),
            Step::End(End::Overtaken(row)) => Err(overtaken(&row)),
            Step::Refuse(refusal) => {
                let message = format!("{} (case {})", refusal.message, refusal.case);
                Err(Error::person(message).hint(refusal.hint))
            }
            _ => Err(Error::bug("a run ended in the middle")),
        }
    }

    fn done(self, row: &AuditRow) -> Report {
        let ledger_rows = self.observer.rows();
        let ledger = Ledger::new(ledger_rows);
        let sequence = row.sequence.unwrap_or_default();
        let ending = if self.made.contains(&row.batch_id) { Ending::Loaded } else { Ending::AlreadyLoaded };
        let recovered = self.made.iter().filter(|id| **id != row.batch_id).cloned().collect();
        let watermark = (ledger.live_watermark_at(sequence - 1), ledger.live_watermark_at(sequence));
        Report { ending, recovered, ..self.report(row, watermark) }
    }

    async fn rejected(self, plan: &LoadPlan, rejection: &Rejection, row: &AuditRow) -> Result<Report> {
        // The audit table has moved by this row.
        self.opened.tables.audit.refresh().await?;
        let recovered = self.made.iter().cloned().collect();
        let report = self.report(row, (plan.live, plan.live));
        Ok(Report { ending: Ending::Rejected, recovered, reason: Some(rejection.reason.clone()), ..report })
    }

    /// A report of what an audit row says.
    pub(crate) fn report(&self, row: &AuditRow, watermark: (Option<NaiveDate>, Option<NaiveDate>)) -> Report {
        let after = self.versions();
        let tables = after
            .into_iter()
            .map(|(name, after)| (name.clone(), (self.before.get(&name).copied().unwrap_or(after), after)))
            .collect();
        Report {
            pipeline: row.pipeline.clone(),
            batch_id: row.batch_id.clone(),
            sequence: row.sequence,
            ending: Ending::Planned,
            as_of: row.as_of,
            window: Window { from: row.watermark_from, to: row.watermark_to },
            watermark,
            counts: row.counts(),
            memos: row.memos(),
            dq_errors: row.dq_errors,
            recovered: Vec::new(),
            tables,
            reason: row.reason.clone(),
            rewrite: None,
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    pub(crate) fn opened(&self) -> &Opened {
        self.opened
    }

    /// The versions of all tables, by the name that people call them.
    fn versions(&self) -> BTreeMap<String, u64> {
        let (pipeline, tables) = (&self.opened.pipeline, &self.opened.tables);
        let mut versions = BTreeMap::from([
            (pipeline.source.table.name().to_owned(), tables.staging.version()),
            (pipeline.target.table.name().to_owned(), tables.target.version()),
            (pipeline.audit.name().to_owned(), tables.audit.version()),
            (pipeline.watermarks.name().to_owned(), tables.watermarks.version()),
        ]);
        for (name, table) in &tables.dimensions {
            versions.insert(name.clone(), table.version());
        }
        versions
    }
}

/// How the attempt to load a batch ended.
enum Loading {
    Committed,
    Lost,
    Unknown(Error),
    Rejected(Rejection, Box<AuditRow>),
}

/// The first group's part of the descriptor, if the batch is written in groups.
fn first_group(commitment: &Commitment, recipe: &Recipe) -> Result<Option<Group>> {
    if commitment.groups.is_empty() {
        return Ok(None);
    }
    let recipe =
        serde_json::to_value(recipe).map_err(|error| Error::bug("a recipe is no JSON").because(error))?;
    let (partitions, of) = (commitment.groups.clone(), commitment.groups.len());
    Ok(Some(Group { index: 0, partitions, of, recipe: Some(recipe) }))
}

/// Whether the classes of the whole batch add up, before anything is written.
fn whole_imbalance(commitment: &Commitment, staged: &Staged) -> Option<String> {
    let rest = commitment.groups.iter().skip(1).map(|partitions| group_counts(&staged.cells, partitions));
    rest.fold(commitment.counts, |sum, counts| sum + counts).imbalance()
}

fn undone(row: &AuditRow) -> Error {
    Error::person(format!(
        "a batch did not balance and was undone as batch number {}: {}",
        row.sequence.unwrap_or_default(),
        row.reason.as_deref().unwrap_or("no reason recorded")
    ))
    .hint("this is a bug in highwater or in the table library; nothing was loaded. Please report it")
}

fn overtaken(row: &AuditRow) -> Error {
    let sequence = row.sequence.unwrap_or_default();
    debug_assert_eq!(row.status, Status::RolledBack);
    Error::retry(format!("somebody rolled batches back (number {sequence}) while this run was under way"))
        .hint("run it again to load what staging still holds")
}

fn unreadable_group(first: &Descriptor) -> Error {
    Error::person(format!("batch {} is unfinished, and its list of groups cannot be read", first.batch_id))
        .hint("run it once more with the version of highwater that it was begun with")
}
