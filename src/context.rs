//! Opens what a pipeline file names, and checks that it fits together.

use std::collections::BTreeMap;
use std::path::Path;

use deltalake::arrow::datatypes::SchemaRef;

use crate::config::{
    self, AsOf, BothColumns, Loaded, Memory, Missing, Origins, Overrides, Pipeline, check_columns, drift,
    fitted,
};
use crate::contract::widening::accepts;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::lake::record::rows_of;
use crate::lake::{Lake, Table};
use crate::model::types::Field;
use crate::model::{Answer, AuditRow, Change, Clock, Drift};
use crate::plan::{Ledger, LoadSpec, LoadedColumn, Rules};
use crate::protocol;
use crate::stages::check_bind::unfit_checks;
use crate::stages::mapping::{BoundMapping, bind_with_generated};

/// Bytes of memory that a machine is taken to have when it does not say.
const SMALL_MACHINE: u64 = 2 << 30;

/// A pipeline with its tables open.
pub struct PipelineContext {
    /// The resolved pipeline file.
    pub pipeline: Pipeline,
    /// How rows are read and compared.
    pub spec: LoadSpec,
    /// The tables.
    pub tables: Tables,
    /// The session that queries run in.
    pub engine: Engine,
    /// Where tables are opened.
    pub lake: Lake,
    /// Where each value of the pipeline file came from.
    pub origins: Origins,
    /// What keeps a new batch from being read. An unfinished one can be finished all the same: that takes
    /// none of what is wrong.
    pub problem: Option<Error>,
    /// Whether that was told: the run ended before it began.
    pub problem_told: bool,
    /// What the batch's columns are held against, and in what they differ.
    pub columns: ColumnsFound,
}

/// The columns that a batch was bound with.
#[derive(Default)]
pub struct ColumnsFound {
    /// Those that a batch has.
    pub batch: Vec<Field>,
    /// Staging's as they are stored, and the target's.
    bound: Option<(SchemaRef, SchemaRef)>,
    /// In what the batch's differ from the target's.
    pub drift: Vec<Drift>,
    /// What keeps a first batch from being loaded: columns that staging never brought.
    pub unless_loaded: Option<Error>,
}

impl ColumnsFound {
    /// What a batch says of it: differences that are there whatever is loaded are none that came to be.
    #[must_use]
    pub fn told(&self) -> Vec<Drift> {
        let told = [Change::NewColumn, Change::DroppedColumn, Change::Renamed, Change::UnfitType];
        self.drift.iter().filter(|drift| told.contains(&drift.change)).cloned().collect()
    }
}

/// The tables of a pipeline.
pub type Tables = protocol::Tables<Table>;

/// Reads the pipeline file. If it has problems, they are reported together with those that only the tables
/// it names can show.
///
/// # Errors
/// Fails with all problems at once.
pub async fn load(path: &Path, overrides: &Overrides) -> Result<(Pipeline, Origins)> {
    let mut loaded = config::load(path, overrides).map_err(|problems| usage(&problems))?;
    if !loaded.problems.is_empty() {
        let found = column_problems(&loaded).await;
        loaded.problems.extend(found);
    }
    loaded.into_valid().map_err(|problems| usage(&problems))
}

/// Opens a pipeline's tables.
///
/// # Errors
/// Fails when target, audit or watermark table cannot be opened. What is wrong with the inputs is kept in
/// [`PipelineContext::problem`].
pub async fn open(pipeline: Pipeline, origins: Origins) -> Result<PipelineContext> {
    let lake = Lake::of(&pipeline);
    open_in(&lake, pipeline, &origins).await
}

/// Opens a pipeline's tables in a lake.
///
/// # Errors
/// As [`open`] does.
pub(crate) async fn open_in(lake: &Lake, pipeline: Pipeline, origins: &Origins) -> Result<PipelineContext> {
    // In the reverse order of writing, as they are looked at; of several that are missing, the target is told.
    let watermarks = unless_away(lake.open_record(pipeline.watermarks.name(), &pipeline.watermarks).await)?;
    let audit = unless_away(lake.open_record(pipeline.audit.name(), &pipeline.audit).await)?;
    let quarantine = unless_away(lake.open_to_write(pipeline.quarantine.name(), &pipeline.quarantine).await)?;
    let target = lake.open_to_write(pipeline.target.table.name(), &pipeline.target.table).await?;
    let (quarantine, audit, watermarks) = (quarantine?, audit?, watermarks?);
    let target = if pipeline.pii.is_empty() { target } else { target.discreet() };
    for table in [&quarantine, &audit, &watermarks] {
        refuse_constraints(table)?;
    }
    let engine = Engine::new(memory_limit(pipeline.memory)).with_mask_key(pipeline.mask_key.as_ref());
    let mut tables = Tables {
        staging: None,
        target,
        dimensions: BTreeMap::new(),
        quarantine,
        audit,
        watermarks,
        fresh: true,
    };
    let mut columns = ColumnsFound::default();
    let bound = Box::pin(bind(lake, &engine, &pipeline, origins, &mut tables, &mut columns)).await;
    let (spec, problem) = match bound {
        Ok(spec) => (spec, None),
        Err(problem) => (LoadSpec::unbound(Rules::of(&pipeline)), Some(problem)),
    };
    let lake = lake.clone();
    let origins = origins.clone();
    Ok(PipelineContext {
        pipeline,
        spec,
        tables,
        engine,
        lake,
        origins,
        problem,
        problem_told: false,
        columns,
    })
}

/// Storage that is away is told at once: the other tables need not be waited for.
fn unless_away(opened: Result<Table>) -> Result<Result<Table>> {
    match opened {
        Err(error) if error.kind() == Kind::Retry => Err(error),
        opened => Ok(opened),
    }
}

/// Opens the inputs, and checks that their columns and the target's fit the pipeline file.
async fn bind(
    lake: &Lake,
    engine: &Engine,
    pipeline: &Pipeline,
    origins: &Origins,
    tables: &mut Tables,
    found: &mut ColumnsFound,
) -> Result<LoadSpec> {
    let staging = lake.open(pipeline.source.table.name(), &pipeline.source.table).await?;
    let stored = staging.fields()?;
    tables.staging = Some(staging);
    for (name, dimension) in &pipeline.dimensions {
        tables.dimensions.insert(name.clone(), lake.open(name, &dimension.table).await?);
    }
    let target = &tables.target;
    if target.is_append_only()? {
        return Err(Error::usage(format!("the target `{}` is append-only", target.name()))
            .hint("a load replaces rows: unset the table property delta.appendOnly"));
    }
    target.check_files()?;
    check_constraints(engine, target).await?;
    let generated = target.generated_columns()?;
    refuse_mapped_generated(&generated, pipeline, origins)?;
    let (existing, partitions) = (target.fields()?, target.partition_columns()?);
    let target_schema = target.arrow_schema()?;
    let problems = |found| usage(&config::Problems(found));
    let both = (&*stored, &*existing);
    let bound = Box::pin(bind_with_generated(engine, pipeline, origins, both, &generated)).await;
    let mut bound = bound.map_err(problems)?;
    found.drift = drift(pipeline, bound.beside(&existing, &partitions));
    found.batch.clone_from(&bound.fields);
    let fitted = fitted(pipeline, &stored, bound.beside(&existing, &partitions));
    let pipeline = fitted.as_ref().unwrap_or(pipeline);
    if fitted.is_some() {
        let again = Box::pin(bind_with_generated(engine, pipeline, origins, both, &generated)).await;
        bound = again.map_err(problems)?;
    }
    let both = bound.beside(&existing, &partitions);
    let clashing = check_columns(pipeline, origins, both, Missing::ByPolicy);
    if !clashing.is_empty() {
        return Err(problems(clashing));
    }
    let lost = (Change::DroppedColumn, Answer::Leave);
    let lost = found.drift.iter().filter(|drift| (drift.change, drift.answer) == lost);
    let lost: Vec<String> = lost.map(|drift| drift.column.clone()).collect();
    if !lost.is_empty() {
        let of_first = check_columns(pipeline, origins, both, Missing::Wrong);
        found.unless_loaded = (!of_first.is_empty()).then(|| problems(of_first));
    }
    let BoundMapping { fields: source, mapped, .. } = bound;
    let spec = spec(pipeline, &source, &existing, partitions);
    let spec =
        spec.with_mapped(mapped).with_lost(lost).with_places(origins.of_checks()).with_pii(&pipeline.pii);
    check_quarantine(&tables.quarantine, &source)?;
    let staging = tables.staging.as_ref().ok_or_else(|| Error::bug("staging is not open"))?;
    let unfit = unfit_checks(engine, &spec, origins, staging, &tables.dimensions).await?;
    if !unfit.is_empty() {
        return Err(usage(&config::Problems(unfit)).hint("correct the checks in the pipeline file"));
    }
    found.bound = Some((staging.arrow_schema()?, target_schema));
    Ok(spec)
}

/// What the target computes by itself is not the pipeline file's to compute.
fn refuse_mapped_generated(
    generated: &[(String, String)],
    pipeline: &Pipeline,
    origins: &Origins,
) -> Result<()> {
    let mapped = &pipeline.source.mapping.columns;
    let problems: Vec<config::Problem> = generated
        .iter()
        .filter(|(name, _)| mapped.contains_key(name))
        .map(|(name, expression)| {
            let path = format!("columns.{name}");
            config::Problem {
                origin: origins.position(&path),
                path,
                message: format!("`{name}` is a generated column: the target fills it by `{expression}`"),
                hint: Some("take out where its values come from".to_owned()),
            }
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(usage(&config::Problems(problems))) }
}

/// The target's CHECK constraints must be such that the MERGE can hold rows against them.
async fn check_constraints(engine: &Engine, target: &Table) -> Result<()> {
    let constraints = target.constraints()?;
    if constraints.is_empty() {
        return Ok(());
    }
    let _constrained = engine.register("constrained", target.rows(&engine.state()).await?)?;
    for (name, condition) in constraints {
        let why = match engine.expression_type(&condition, "constrained").await {
            Ok(deltalake::arrow::datatypes::DataType::Boolean) => {
                match engine.prepare_each_row(&condition, "constrained").await {
                    Ok(()) => continue,
                    Err(why) => why,
                }
            }
            Ok(other) => format!("is {other}, not true or false"),
            Err(why) => why,
        };
        return Err(Error::usage(format!(
            "the CHECK constraint `{name}` of the target `{}` cannot be held against rows here: `{condition}` {why}",
            target.name()
        ))
        .hint("write the constraint otherwise, or drop it: ALTER TABLE … DROP CONSTRAINT"));
    }
    Ok(())
}

/// What highwater writes of itself must always fit: it is written when the target's commit is made already.
fn refuse_constraints(table: &Table) -> Result<()> {
    match table.constraints()?.first() {
        None => Ok(()),
        Some((name, _)) => Err(Error::usage(format!(
            "`{}` has a CHECK constraint, `{name}`, which a table that highwater keeps for itself may not have",
            table.name()
        ))
        .hint(format!("drop it: ALTER TABLE … DROP CONSTRAINT {name}"))),
    }
}

/// The quarantine must be able to hold whatever staging does.
fn check_quarantine(quarantine: &Table, source: &[Field]) -> Result<()> {
    let name = quarantine.name();
    if !quarantine.partition_columns()?.is_empty() {
        return Err(Error::usage(format!("the quarantine `{name}` is partitioned, which is not supported"))
            .hint("`highwater init` makes one that is not: name another table under `quarantine`"));
    }
    for column in quarantine.columns()? {
        let wanted = source.iter().find(|field| field.name == column.field.name);
        let (Some(wanted), found) = (wanted, &column.field.data_type) else { continue };
        if wanted.data_type != *found && !accepts(&wanted.data_type, found) {
            return Err(Error::usage(format!(
                "`{}` is {} in the staging table, which does not fit the quarantine `{name}`: it is {found} there",
                wanted.name, wanted.data_type
            ))
            .hint("name another table under `quarantine`, and create it with `highwater init`"));
        }
    }
    Ok(())
}

impl PipelineContext {
    /// Opens the tables anew, and takes their columns as they are now.
    ///
    /// # Errors
    /// As [`open`] does.
    pub async fn reopen(&mut self) -> Result<()> {
        *self = open_in(&self.lake, self.pipeline.clone(), &self.origins).await?;
        Ok(())
    }

    /// The staging table.
    ///
    /// # Errors
    /// Fails with what keeps it from being read.
    pub fn staging(&mut self) -> Result<&Table> {
        if let Some(problem) = self.problem.take() {
            self.problem_told = true;
            return Err(problem);
        }
        self.tables.staging.as_ref().ok_or_else(|| Error::bug("staging is not open"))
    }

    /// Makes sure that the columns are still those that the batch was bound with: others may change them at any moment.
    ///
    /// # Errors
    /// A run that begins anew takes them as they are.
    pub fn check_columns_again(&self) -> Result<()> {
        let (Some((staged, target)), Some(staging)) = (&self.columns.bound, &self.tables.staging) else {
            return Ok(());
        };
        for (bound, table) in [(staged, staging), (target, &self.tables.target)] {
            if table.arrow_schema()?.fields() != bound.fields() {
                return Err(Error::retry(format!(
                    "the columns of `{}` changed while the run began",
                    table.name()
                ))
                .hint("run it again: it takes them as they are now"));
            }
        }
        Ok(())
    }

    /// What keeps the next batch from being loaded, if anything does.
    ///
    /// # Errors
    /// Fails when the audit rows cannot be read.
    pub async fn problem_of_next(&mut self) -> Result<Option<Error>> {
        if self.problem.is_some() || self.columns.unless_loaded.is_none() {
            return Ok(self.problem.take());
        }
        let rows: Vec<AuditRow> = rows_of(&self.engine, &self.tables.audit, &self.pipeline.name).await?;
        let is_first = Ledger::new(&rows).loads().next().is_none();
        Ok(self.columns.unless_loaded.take().filter(|_| is_first))
    }

    /// The logical date of a batch that starts now.
    #[must_use]
    pub fn as_of(&self, clock: Clock) -> chrono::NaiveDate {
        match self.pipeline.as_of {
            AsOf::Today => clock.now().date_naive(),
            AsOf::Date(day) => day,
        }
    }
}

async fn column_problems(loaded: &Loaded) -> Vec<config::Problem> {
    let Some(pipeline) = &loaded.pipeline else { return Vec::new() };
    // What is wrong with the file is told before anybody is asked over the network.
    if pipeline.source.table.is_url() || pipeline.target.table.is_url() {
        return Vec::new();
    }
    // What is computed has no type yet.
    if !pipeline.source.mapping.is_identity() {
        return Vec::new();
    }
    let lake = Lake::of(pipeline);
    // A table that cannot be opened is reported once the file itself is right.
    let staging = lake.open_existing(pipeline.source.table.name(), &pipeline.source.table).await;
    let target = lake.open_existing(pipeline.target.table.name(), &pipeline.target.table).await;
    let (Ok(Some(staging)), Ok(Some(target))) = (staging, target) else { return Vec::new() };
    let (Ok(source), Ok(existing)) = (staging.fields(), target.fields()) else { return Vec::new() };
    let Ok(partitions) = target.partition_columns() else { return Vec::new() };
    let both = BothColumns::of(&source, &existing, &partitions);
    check_columns(pipeline, &loaded.origins, both, Missing::ByPolicy)
}

fn usage(problems: &config::Problems) -> Error {
    problems.to_error()
}

/// Loaded columns are those that staging and target share, in the target's order.
fn spec(pipeline: &Pipeline, source: &[Field], target: &[Field], partition_columns: Vec<String>) -> LoadSpec {
    let rules = Rules::of(pipeline);
    let left_out = |name: &str| {
        rules.exclude.iter().chain(&rules.lineage).any(|out| out == name) || rules.load_columns.contains(name)
    };
    let find = |name: &str| source.iter().find(|field| field.name == name);
    let columns: Vec<LoadedColumn> = target
        .iter()
        .filter(|field| !left_out(&field.name))
        .filter_map(|field| {
            let source = find(&field.name)?;
            Some(LoadedColumn {
                name: field.name.clone(),
                source: source.data_type.clone(),
                target: field.data_type.clone(),
                nullable: field.nullable,
            })
        })
        .collect();
    let breakers = rules.tie_breakers.iter().map(|breaker| &breaker.column);
    let mut extra_columns: Vec<Field> = Vec::new();
    // A row that is kept out is kept whole, so every column is carried along.
    let others = source.iter().map(|field| &field.name);
    for name in rules.lineage.iter().chain(breakers).chain(&rules.incremental.column).chain(others) {
        let known = columns.iter().any(|column| column.name == *name)
            || extra_columns.iter().any(|field| field.name == *name);
        if !known {
            extra_columns.extend(find(name).cloned());
        }
    }
    LoadSpec::bound(rules, columns, extra_columns, partition_columns)
}

/// Bytes that queries may hold.
pub(crate) fn memory_limit(memory: Memory) -> usize {
    let bytes = match memory {
        Memory::Bytes(bytes) => bytes,
        Memory::Percent(percent) => available_memory() / 100 * u64::from(percent),
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The memory of the container, or else of the machine, in bytes.
pub(crate) fn available_memory() -> u64 {
    // A machine that does not tell is taken for a small one.
    let Ok(mut system) = sysinfo::System::new() else { return SMALL_MACHINE };
    system.refresh_memory();
    let machine = system.total_memory();
    system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine))
}
