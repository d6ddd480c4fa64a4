//! Creates a pipeline's missing tables; compares existing ones with their DDL, and never alters them.

mod definitions;
mod derived;

use std::path::Path;

pub use self::definitions::{Definitions, definitions};
pub use self::derived::{fitting_target, inferred_staging, target_ddl};

use self::derived::{batch_and_target, columns_that_clash, complete_staging};
use crate::config::{Location, Origins, Pipeline, is_standard};
use crate::context::open_in;
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::differences::ActualTable;
use crate::contract::quarantine::{PREFIX, quarantine_of};
use crate::contract::widening::accepts;
use crate::contract::{
    INGEST_CORRUPT, INGEST_FILES, LATER_AUDIT_COLUMNS, LOAD_WATERMARKS, LOADS_ATTEMPTS, LOADS_AUDIT,
};
use crate::contracts;
use crate::error::{Error, Kind, Problem, Result};
use crate::lake::{Lake, Table, check_column_names, create_table};
use crate::notation::NullKeys;

/// Where staging, target and quarantine stand in the report.
const STAGING: usize = 0;
const TARGET: usize = 1;
const QUARANTINE: usize = 2;

/// What `init` found or did for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitTable {
    /// The table's name.
    pub name: String,
    /// Where it lies.
    pub location: String,
    /// What became of it.
    pub state: InitState,
}

/// The state of one table after `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitState {
    /// It was created.
    Created,
    /// It exists and agrees with its DDL.
    Agrees,
    /// It exists, and no DDL is named to compare it with.
    Exists,
    /// It exists and differs from its DDL in these ways.
    Differs(Vec<String>),
    /// It does not exist, and no DDL is named to create it from.
    Missing,
    /// It could be created, but something is wrong with another table.
    Waits,
}

/// A table as `init` wants it and finds it.
struct Wanted<'a> {
    location: &'a Location,
    def: Option<TableDef>,
    existing: Option<Table>,
}

impl Wanted<'_> {
    /// What is to be said of it before anything is made.
    fn state(&self) -> Result<InitState> {
        Ok(match (&self.existing, &self.def) {
            (Some(table), Some(def)) => {
                let actual = table.actual()?;
                let differences = without_later_columns(def, &actual).differences(&actual);
                if differences.is_empty() { InitState::Agrees } else { InitState::Differs(differences) }
            }
            (Some(_), None) => InitState::Exists,
            (None, None) => InitState::Missing,
            (None, Some(_)) => InitState::Waits,
        })
    }

    /// The columns that it has, or will have.
    fn columns(&self) -> Result<Option<Vec<ColumnDef>>> {
        match (&self.existing, &self.def) {
            (Some(table), _) => Ok(Some(table.columns()?)),
            (None, def) => Ok(def.as_ref().map(|def| def.columns.clone())),
        }
    }

    fn partitions(&self) -> Result<Vec<String>> {
        match (&self.existing, &self.def) {
            (Some(table), _) => table.partition_columns(),
            (None, def) => Ok(def.as_ref().map(|def| def.partitioned_by.clone()).unwrap_or_default()),
        }
    }
}

/// Creates a pipeline's missing tables, all of them or none, and compares the others with their DDL.
///
/// # Errors
/// Fails with all that is wrong where a DDL file cannot be read, or no load could use the tables that it would make:
/// before any table is created.
pub async fn init(pipeline: &Pipeline, origins: &Origins) -> Result<Vec<InitTable>> {
    let lake = Lake::of(pipeline);
    let mut problems = Vec::new();
    let mut wanted = vec![
        (&pipeline.source.table, read_ddl(pipeline.source.ddl.as_deref(), &mut problems)),
        (&pipeline.target.table, read_ddl(pipeline.target.ddl.as_deref(), &mut problems)),
        (&pipeline.quarantine, None),
    ];
    for dimension in pipeline.dimensions.values() {
        wanted.push((&dimension.table, read_ddl(dimension.ddl.as_deref(), &mut problems)));
    }
    wanted.push((&pipeline.audit, Some(embedded("loads_audit.sql", LOADS_AUDIT)?)));
    wanted.push((&pipeline.watermarks, Some(embedded("load_watermarks.sql", LOAD_WATERMARKS)?)));
    wanted.push((&pipeline.attempts, Some(embedded("loads_attempts.sql", LOADS_ATTEMPTS)?)));
    if let Some(files) = &pipeline.source.files {
        wanted.push((&files.ledger, Some(embedded("ingest_files.sql", INGEST_FILES)?)));
        wanted.push((&files.corrupt, Some(embedded("ingest_corrupt.sql", INGEST_CORRUPT)?)));
    }
    let mut tables = Vec::new();
    for (location, def) in wanted {
        in_the_way(location, &mut problems);
        problems.extend(def.as_ref().and_then(|def| elsewhere(location, def)));
        let existing = match usable(&lake, pipeline, location).await {
            Ok(existing) => existing,
            Err(error) if error.kind() == Kind::Usage => {
                problems.extend(error.each());
                None
            }
            Err(error) => return Err(error),
        };
        tables.push(Wanted { location, def, existing });
    }
    complete_staging(&lake, pipeline, &mut tables[STAGING], &problems).await?;
    let batch = batch_and_target(pipeline, origins, &mut tables, &mut problems).await?;
    let [staging, target, ..] = tables.as_slice() else { return Err(Error::bug("init wants no tables")) };
    if problems.is_empty() {
        unusable(pipeline, origins, batch.as_deref(), (staging, target), &mut problems)?;
    }
    if !problems.is_empty() {
        return Err(all(&problems));
    }
    if let Some(columns) = batch {
        if tables[QUARANTINE].existing.is_none() {
            refuse_own_names(pipeline, &columns)?;
        }
        let mut columns = as_wide_as(&columns, &[&tables[QUARANTINE], &tables[TARGET]])?;
        if let (Some(_), Some(there)) = (&tables[QUARANTINE].existing, tables[QUARANTINE].columns()?) {
            // It gets those that staging got since with the first row that is kept out.
            columns.retain(|column| there.iter().any(|other| other.field.name == column.field.name));
        }
        let def = quarantine_of(pipeline.quarantine.name(), &columns);
        tables[QUARANTINE].def = Some(def.map_err(|error| Error::bug(error.to_string()))?);
    }
    let mut states = tables.iter().map(Wanted::state).collect::<Result<Vec<_>>>()?;
    if states[STAGING] == InitState::Missing && states[QUARANTINE] == InitState::Missing {
        // It is made from staging's columns, and no DDL of its own can be named.
        states[QUARANTINE] = InitState::Waits;
    }
    let wrong = |state: &InitState| matches!(state, InitState::Missing | InitState::Differs(_));
    if !states.iter().any(wrong) {
        if states.contains(&InitState::Waits) {
            rehearse(&lake, pipeline, origins, &tables).await?;
        }
        for (table, state) in tables.iter().zip(&mut states).filter(|(_, state)| **state == InitState::Waits)
        {
            *state = make(&lake, table).await?;
        }
    }
    Ok(tables.iter().zip(states).map(|(table, state)| named(table.location, state)).collect())
}

/// Makes the missing tables in memory, and opens all as a run does: a DDL that no load could use is refused before
/// any table is made.
async fn rehearse(lake: &Lake, pipeline: &Pipeline, origins: &Origins, tables: &[Wanted<'_>]) -> Result<()> {
    let mut pipeline = pipeline.clone();
    for (index, (place, table)) in pipeline.places_mut().zip(tables).enumerate() {
        if let (None, Some(def)) = (&table.existing, &table.def) {
            *place = place.in_memory(index);
            if let Err(error) = create_table(lake, place, def).await {
                // In memory, nothing else can go wrong.
                let why = Error::usage(format!("no table can be made from the DDL of `{}`", def.name));
                let why = error.into_source().into_iter().fold(why, Error::because);
                return Err(why.hint("correct the properties in its DDL file"));
            }
        }
    }
    if tables.iter().take(QUARANTINE).all(|table| table.existing.is_some()) {
        // Those are a run's to judge.
        return Ok(());
    }
    let mut opened = open_in(lake, pipeline, origins).await?;
    opened.problem.take().map_or(Ok(()), Err)
}

/// The columns with the types that the first of these tables has for them, where staging's values fit: what staging may
/// widen to without a word, the quarantine takes too.
fn as_wide_as(columns: &[ColumnDef], tables: &[&Wanted<'_>]) -> Result<Vec<ColumnDef>> {
    let there = tables.iter().map(|table| table.columns()).collect::<Result<Vec<_>>>()?;
    let there: Vec<ColumnDef> = there.into_iter().flatten().flatten().collect();
    let widened = columns.iter().cloned().map(|mut column| {
        let same = there.iter().filter(|other| other.field.name == column.field.name);
        let mut types = same.map(|other| &other.field.data_type);
        if let Some(wide) = types.find(|wide| accepts(&column.field.data_type, wide)) {
            column.field.data_type = wide.clone();
        }
        column
    });
    Ok(widened.collect())
}

/// The quarantine has staging's columns beside its own, whose names no other may have.
fn refuse_own_names(pipeline: &Pipeline, columns: &[ColumnDef]) -> Result<()> {
    let own = |column: &&ColumnDef| column.field.name.to_lowercase().starts_with(PREFIX);
    match columns.iter().find(own) {
        None => Ok(()),
        Some(column) => Err(Error::usage(format!(
            "the staging table `{}` has a column `{}`, and no quarantine can be made for it",
            pipeline.source.table.name(),
            column.field.name
        ))
        .hint(format!("names that begin with `{PREFIX}` are highwater's own: rename the column"))),
    }
}

/// A table that is there, if a load could read it, and write it where it has to.
async fn usable(lake: &Lake, pipeline: &Pipeline, location: &Location) -> Result<Option<Table>> {
    let existing = lake.open_existing(location.name(), location).await?;
    let written = [&pipeline.target.table, &pipeline.quarantine, &pipeline.audit, &pipeline.watermarks];
    if let Some(table) = &existing
        && written.contains(&location)
    {
        table.check_writable()?;
    }
    Ok(existing)
}

/// All problems as one error.
fn all(problems: &[Problem]) -> Error {
    // One alone is told as any other error, with its hint.
    if let [only] = problems
        && only.file.is_none()
    {
        let error = Error::usage(only.message.clone());
        return only.hint.iter().fold(error, Error::hint);
    }
    let texts: Vec<String> = problems.iter().map(told).collect();
    Error::usage(texts.join("\n")).problems(problems.to_vec())
}

/// A problem with its place, as the pipeline file's are told.
fn told(problem: &Problem) -> String {
    let mut text = problem.file.clone().unwrap_or_default();
    for number in [problem.line, problem.column].into_iter().flatten() {
        text.push_str(&format!(":{number}"));
    }
    let place = if text.is_empty() { text } else { format!("{text}: ") };
    let hint = problem.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{place}{}{hint}", problem.message)
}

/// What would keep every load from using the tables that are to be made: held against the pipeline file as a run does.
///
/// Tables that are there already are not `init`'s to judge: a run says what is wrong with them.
fn unusable(
    pipeline: &Pipeline,
    origins: &Origins,
    batch: Option<&[ColumnDef]>,
    (staging, target): (&Wanted<'_>, &Wanted<'_>),
    problems: &mut Vec<Problem>,
) -> Result<()> {
    if let Some(def) = &target.def {
        problems.extend(other_key(pipeline, def));
    }
    if staging.existing.is_some() && target.existing.is_some() {
        return Ok(());
    }
    if let (Some(source), Some(columns)) = (batch, target.columns()?) {
        let partitions = target.partitions()?;
        let found = columns_that_clash(pipeline, origins, source, &columns, &partitions);
        problems.extend(found.iter().map(Problem::from));
    }
    let append_only = target.def.as_ref().and_then(|def| def.properties.get("delta.appendOnly"));
    if append_only.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        problems.push(Problem {
            message: format!("the target `{}` is append-only", target.location.name()),
            hint: Some("a load replaces rows: leave out the table property delta.appendOnly".to_owned()),
            file: pipeline.target.ddl.as_ref().map(|path| path.display().to_string()),
            ..Problem::default()
        });
    }
    Ok(())
}

/// A local table needs a folder, which a file must not stand in the way of.
fn in_the_way(location: &Location, problems: &mut Vec<Problem>) {
    let path = location.as_str().strip_prefix("file://").unwrap_or(location.as_str());
    let ancestor = Path::new(path).ancestors().find(|path| path.exists());
    if !path.contains("://")
        && let Some(file) = ancestor.filter(|path| !path.is_dir())
    {
        problems.push(Problem {
            message: format!("no table can be at {location}: {} is a file", file.display()),
            ..Problem::default()
        });
    }
}

fn named(location: &Location, state: InitState) -> InitTable {
    InitTable { name: location.name().to_owned(), location: location.to_string(), state }
}

/// Creates a table; compares it where somebody else created it first.
async fn make(lake: &Lake, table: &Wanted<'_>) -> Result<InitState> {
    let (location, Some(def)) = (table.location, &table.def) else { return Ok(InitState::Waits) };
    if create_table(lake, location, def).await? {
        return Ok(InitState::Created);
    }
    let existing = lake.open_existing(location.name(), location).await?;
    if existing.is_none() {
        return Err(Error::retry(format!("{location} appears and disappears")));
    }
    Wanted { location, def: Some(def.clone()), existing }.state()
}

/// The contract that a record table made by an earlier version of this program keeps.
fn without_later_columns(def: &TableDef, actual: &ActualTable) -> TableDef {
    let mut def = def.clone();
    if def.name != "loads_audit" {
        return def;
    }
    let of = |name: &str| actual.columns.iter().find(|column| column.field.name == *name);
    def.columns.retain(|column| {
        let name = column.field.name.as_str();
        of(name).is_some() || !LATER_AUDIT_COLUMNS.contains(&name)
    });
    // What it says of a column is what was true then.
    for column in &mut def.columns {
        if let Some(existing) = of(&column.field.name) {
            column.comment.clone_from(&existing.comment);
        }
    }
    def
}

/// The contract of a DDL file.
///
/// # Errors
/// Fails with all that is wrong with it.
pub fn contract_of(path: Option<&Path>) -> Result<Option<TableDef>> {
    let mut problems = Vec::new();
    let def = read_ddl(path, &mut problems);
    if problems.is_empty() { Ok(def) } else { Err(all(&problems)) }
}

fn read_ddl(path: Option<&Path>, problems: &mut Vec<Problem>) -> Option<TableDef> {
    let path = path?;
    let file = path.display().to_string();
    if is_standard(path) {
        return match contracts::read(path, None) {
            Ok(contract) => Some(contract.def),
            Err(error) => {
                problems.extend(error.each());
                None
            }
        };
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot read the DDL file: {error}");
            problems.push(Problem { message, file: Some(file), ..Problem::default() });
            return None;
        }
    };
    match TableDef::parse_all(&file, &text) {
        Ok(def) => {
            let names = def.columns.iter().map(|column| column.field.name.as_str());
            if let Err(error) = check_column_names(&def.name, names) {
                problems.extend(error.each());
            }
            Some(def)
        }
        Err(errors) => {
            let number = |number: u64| usize::try_from(number).ok();
            problems.extend(errors.into_iter().map(|error| Problem {
                message: error.problem.to_string(),
                file: Some(file.clone()),
                line: error.position.and_then(|position| number(position.line)),
                column: error.position.and_then(|position| number(position.column)),
                hint: None,
                excerpt: None,
            }));
            None
        }
    }
}

fn embedded(name: &str, text: &str) -> Result<TableDef> {
    TableDef::parse(name, text).map_err(|error| Error::bug(error.to_string()))
}

/// A DDL file that says the table lies somewhere else than the pipeline file does.
fn elsewhere(location: &Location, def: &TableDef) -> Option<Problem> {
    let said = def.location.as_ref()?;
    // As Hadoop calls the same store.
    let url = said.strip_prefix("s3a://").map(|rest| format!("s3://{rest}"));
    let there = Location::named(url.as_ref().unwrap_or(said)).ok();
    (!there.is_some_and(|there| there.is_same(location))).then(|| Problem {
        message: format!(
            "the DDL of `{}` says LOCATION '{said}', and the pipeline file {location}",
            def.name
        ),
        hint: Some("make them equal, or leave LOCATION out".to_owned()),
        ..Problem::default()
    })
}

fn other_key(pipeline: &Pipeline, def: &TableDef) -> Option<Problem> {
    let (mut key, mut primary) = (pipeline.unique_key.clone(), def.primary_key.clone());
    key.sort();
    primary.sort();
    // Columns of a PRIMARY KEY are never NULL.
    let needs_none = pipeline.null_keys == NullKeys::Match && primary.is_empty();
    (key != primary && !needs_none).then(|| Problem {
        message: format!(
            "the PRIMARY KEY of `{}` is ({}), and unique_key is ({})",
            def.name,
            def.primary_key.join(", "),
            pipeline.unique_key.join(", ")
        ),
        hint: Some("make them equal: a row is one key's".to_owned()),
        file: pipeline.target.ddl.as_ref().map(|path| path.display().to_string()),
        ..Problem::default()
    })
}
