//! Other columns for the target: observe, decide, do that one step, and again.
//!
//! The order of writing, and the cases, are in [`plan::evolve`](crate::plan::EvolveStep): the target's commit decides, and its
//! audit row follows, each with a number in a lane of their own. It is no batch, and no rollback crosses it.

use std::collections::BTreeSet;

use crate::config::Evolve;
use crate::context::PipelineContext;
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::error::{Error, Result};
use crate::fail_points::SideCommit;
use crate::hooks::Hooks;
use crate::init::contract_of;
use crate::lake::record::to_batch;
use crate::model::{Alteration, AuditRow, Clock, Lane, SchemaRecord};
use crate::patience::Patience;
use crate::plan::{
    Accepted, CommittedSchema, EvolveSeen, EvolveStep, Request, Rules, Wanted, Wishes, decide_evolve,
    schema_id, schema_row, wanted,
};
use crate::protocol::{GROUPS, Outcome, Stamp};
use crate::run::Run;
use crate::runner::runner;

/// Steps that one process may take: far more than any has, so that a loop that goes nowhere ends.
const MAX_TURNS: u32 = 1_000;

/// Looks that others may overtake: more, and it is no race.
const LOOKS: u32 = 10;

/// What was changed, or would be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvolveReport {
    /// The pipeline.
    pub pipeline: String,
    /// The target's name.
    pub target: String,
    /// What was changed by this process, or would be.
    pub alterations: Vec<Alteration>,
    /// What is wanted and cannot be done so, with what helps.
    pub impossible: Vec<(String, String)>,
    /// The number of the change that this process made.
    pub number: Option<i64>,
    /// Changes of others that this process finished.
    pub finished: Vec<i64>,
    /// The target's version before and after.
    pub versions: (u64, u64),
    /// Whether nothing was to be changed.
    pub dry_run: bool,
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// What the contract and the policy ask for.
    All,
    /// Nothing: what others left unfinished is finished.
    Unfinished,
}

/// Changes the target's columns as its contract, the policy and `add` ask for, after finishing whatever others left behind.
/// With `dry_run`, only tells.
///
/// # Errors
/// Fails when the tables cannot be read or written, when `add` names no new column, and when others keep committing.
pub async fn evolve(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    add: BTreeSet<String>,
    dry_run: bool,
) -> Result<EvolveReport> {
    if opened.columns.batch.is_empty() {
        // Nobody knows staging's columns.
        opened.staging()?;
    }
    Evolving::new(opened, clock, hooks, Wish { scope: Scope::All, add, dry_run, is_before_a_batch: false })?
        .until_done()
        .await
}

/// What `run` does before its batch: finishes a change that others left behind and, where the pipeline file says so, makes
/// the one that the batch needs. The tables are opened anew where their columns are others then.
///
/// # Errors
/// As [`evolve`] does.
pub async fn evolve_first(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
) -> Result<Option<EvolveReport>> {
    let is_auto = opened.pipeline.schema.evolve == Evolve::Auto && opened.problem.is_none();
    let scope = if is_auto { Scope::All } else { Scope::Unfinished };
    let app = Lane::Schema.app(&opened.pipeline.name);
    let (audit, target) = (opened.tables.audit.txn(&app).await?, opened.tables.target.txn(&app).await?);
    if !is_auto && audit == target {
        return Ok(None);
    }
    let wish = Wish { scope, add: BTreeSet::new(), dry_run: false, is_before_a_batch: true };
    let evolving = Evolving::new(opened, clock, hooks, wish)?;
    let wanted = evolving.wanted()?;
    if wanted.alterations.is_empty() && audit == target {
        return Ok(None);
    }
    for (what, hint) in &wanted.impossible {
        tracing::info!(what, hint, "the contract asks for what cannot be done without writing files anew");
    }
    let report = evolving.until_done().await?;
    let is_done = report.number.is_some() || !report.finished.is_empty();
    // Where another made the change meanwhile, its columns are there all the same.
    if is_done || !wanted.alterations.is_empty() {
        opened.reopen().await?;
    }
    Ok(Some(report).filter(|_| is_done))
}

/// What is asked for.
struct Wish {
    scope: Scope,
    /// Columns of the batch that a person wants in the target.
    add: BTreeSet<String>,
    dry_run: bool,
    /// Whether it is for the batch that follows, and not by a person's word.
    is_before_a_batch: bool,
}

struct Evolving<'a> {
    opened: &'a mut PipelineContext,
    clock: Clock,
    hooks: &'a Hooks,
    scope: Scope,
    is_before_a_batch: bool,
    add: BTreeSet<String>,
    contract: Option<TableDef>,
    batch: Vec<ColumnDef>,
    report: EvolveReport,
}

impl<'a> Evolving<'a> {
    fn new(opened: &'a mut PipelineContext, clock: Clock, hooks: &'a Hooks, wish: Wish) -> Result<Self> {
        let Wish { scope, add, dry_run, is_before_a_batch } = wish;
        // A run that changes nothing needs no contract.
        let contract = match scope {
            Scope::All => contract_of(opened.pipeline.target.ddl.as_deref())?,
            Scope::Unfinished => None,
        };
        let batch = batch_columns(opened)?;
        let is_known = |name: &&String| batch.iter().any(|column| column.field.name == **name);
        if let Some(name) = add.iter().find(|name| !is_known(name)) {
            return Err(Error::usage(format!("a batch has no column `{name}`"))
                .hint("`highwater drift` lists the columns that staging has and the target lacks"));
        }
        let report = EvolveReport {
            pipeline: opened.pipeline.name.clone(),
            target: opened.pipeline.target.table.name().to_owned(),
            versions: (opened.tables.target.version(), opened.tables.target.version()),
            dry_run,
            ..EvolveReport::default()
        };
        Ok(Self { opened, clock, hooks, scope, is_before_a_batch, add, contract, batch, report })
    }

    /// What is to be changed in the target as it is now.
    fn wanted(&self) -> Result<Wanted> {
        if self.scope == Scope::Unfinished {
            return Ok(Wanted::default());
        }
        let target = &self.opened.tables.target;
        let wishes = Wishes {
            contract: self.contract.as_ref(),
            batch: &self.batch,
            drift: &self.opened.columns.drift,
            add: &self.add,
            only_brought: self.is_before_a_batch,
        };
        let mut wanted = wanted(&target.columns()?, wishes);
        if let Some(why) =
            target.keeps_from_altering(&wanted.alterations)?.filter(|_| !wanted.alterations.is_empty())
        {
            let hint = "change it with the engine that made it: ALTER TABLE … ADD COLUMNS";
            let told = wanted
                .alterations
                .drain(..)
                .map(|change| (format!("{}: {why}", change.told()), hint.to_owned()));
            let told: Vec<_> = told.collect();
            wanted.impossible.extend(told);
        }
        Ok(wanted)
    }

    async fn until_done(mut self) -> Result<EvolveReport> {
        let (mut patience, mut looks, mut finishes) = (Patience::default(), 0, 0);
        for _ in 0..MAX_TURNS {
            self.hooks.stop.at_boundary(None);
            let (seen, wanted) = self.look().await?;
            self.report.impossible.clone_from(&wanted.impossible);
            if self.report.dry_run {
                self.report.alterations = wanted.alterations;
                return Ok(self.report);
            }
            let outcome = match decide_evolve(seen) {
                EvolveStep::Done => {
                    self.report.versions.1 = self.opened.tables.target.version();
                    return Ok(self.report);
                }
                EvolveStep::Commit(number) => self.commit(number, wanted.alterations).await?,
                EvolveStep::FinishBatch => {
                    let request = Request::Load(Accepted::default());
                    let run = Run::new(self.opened, self.clock, self.hooks, request);
                    finishes += 1;
                    if !Box::pin(run.finish_others()).await? && finishes > LOOKS {
                        return Err(self
                            .refused("a batch is unfinished")
                            .hint("`highwater run` finishes it, or tells why not"));
                    }
                    continue;
                }
                EvolveStep::WriteAudit(unfinished) => self.write_audit(&unfinished).await?,
                EvolveStep::LookAgain if looks < LOOKS => {
                    looks += 1;
                    Outcome::Lost
                }
                EvolveStep::LookAgain => {
                    let audit = self.opened.tables.audit.name();
                    return Err(self
                        .refused(&format!("the audit table `{audit}` knows less than the target"))
                        .hint("bring the audit table back, by a Delta RESTORE, say"));
                }
                EvolveStep::Refuse(why, hint) => return Err(self.refused(why).hint(hint)),
            };
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Lost => patience.lose(None).await?,
                Outcome::Unknown(error) => patience.lose(Some(error)).await?,
            }
        }
        Err(Error::bug(format!("no end after {MAX_TURNS} steps")))
    }

    fn refused(&self, why: &str) -> Error {
        Error::person(format!("`{}`: {why}", self.report.pipeline))
    }

    /// Looks at the tables in the reverse order of writing.
    async fn look(&mut self) -> Result<(EvolveSeen, Wanted)> {
        let app = Lane::Schema.app(&self.report.pipeline);
        let tables = &mut self.opened.tables;
        tables.watermarks.refresh().await?;
        tables.audit.refresh().await?;
        tables.target.refresh().await?;
        let mut seen = EvolveSeen {
            audit: tables.audit.txn(&app).await?.unwrap_or_default(),
            target: tables.target.txn(&app).await?.unwrap_or_default(),
            ..EvolveSeen::default()
        };
        let of = |lane: Lane<'_>| lane.app(&self.report.pipeline);
        let done = tables.watermarks.txn(&of(Lane::Live)).await?.unwrap_or_default();
        let begun = tables.target.txn(&of(Lane::Live)).await?.unwrap_or_default();
        let group = tables.target.txn(&of(Lane::Group)).await?.unwrap_or_default();
        seen.is_batch_unfinished = begun.max(group / GROUPS) > done;
        if seen.target == seen.audit + 1 {
            let found = tables.target.schema_record(&self.report.pipeline, seen.target).await?;
            let unfinished =
                |(record, version, committed)| Box::new(CommittedSchema { record, version, committed });
            seen.unfinished = found.map(unfinished);
        }
        let wanted = self.wanted()?;
        seen.is_wanted = !wanted.alterations.is_empty();
        Ok((seen, wanted))
    }

    async fn commit(&mut self, number: i64, alterations: Vec<Alteration>) -> Result<Outcome> {
        let (pipeline, tables) = (&self.opened.pipeline, &self.opened.tables);
        let target_id = tables.target.id()?;
        let record = SchemaRecord {
            pipeline: pipeline.name.clone(),
            number,
            batch_id: schema_id(pipeline, number, &target_id, &alterations),
            as_of: self.opened.as_of(self.clock),
            started: self.clock.now(),
            ended: self.clock.frozen(),
            config_digest: Rules::of(pipeline).digest(),
            target_id,
            base_version: tables.target.version(),
            audit_id: tables.audit.id()?,
            alterations: alterations.clone(),
        };
        self.hooks.fail_points.pass_side(SideCommit::Schema, false);
        let outcome = tables.target.alter(&alterations, Stamp::schema(record)).await?;
        if let Outcome::Committed(version) = outcome {
            self.hooks.fail_points.pass_side(SideCommit::Schema, true);
            tracing::info!(version, changes = ?alterations, "the target's columns were changed");
            self.report.alterations = alterations;
            self.report.number = Some(number);
        }
        Ok(outcome)
    }

    async fn write_audit(&mut self, change: &CommittedSchema) -> Result<Outcome> {
        let record = &change.record;
        let audit = &self.opened.tables.audit;
        if audit.id()? != record.audit_id {
            return Err(self
                .refused("a change of the target's columns was to be recorded in another audit table")
                .hint("name that one under `audit`, and run it again"));
        }
        let row = AuditRow { runner: runner().await, ..schema_row(change) };
        self.hooks.fail_points.pass_side(SideCommit::SchemaAudit, false);
        let stamp = Stamp::number(&Lane::Schema.app(&record.pipeline), record.number);
        let outcome = audit.append(to_batch(audit, &row)?, stamp).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.fail_points.pass_side(SideCommit::SchemaAudit, true);
            if self.report.number != Some(record.number) {
                self.report.finished.push(record.number);
            }
        }
        Ok(outcome)
    }
}

/// The columns that a batch has, with what staging says of those that it has as they are.
fn batch_columns(opened: &PipelineContext) -> Result<Vec<ColumnDef>> {
    let stored =
        opened.tables.staging.as_ref().map(crate::lake::Table::columns).transpose()?.unwrap_or_default();
    let mapping = &opened.pipeline.source.mapping;
    let comment = |name: &str| {
        let stays = !mapping.columns.contains_key(name);
        stored
            .iter()
            .find(|column| stays && column.field.name == *name)
            .and_then(|column| column.comment.clone())
    };
    let columns = opened.columns.batch.iter();
    Ok(columns.map(|field| ColumnDef { field: field.clone(), comment: comment(&field.name) }).collect())
}
