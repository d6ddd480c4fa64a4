//! In what the columns of contract, staging and target differ, and what the pipeline file says of it. Changes nothing.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::config::{BothColumns, drift as drift_of};
use crate::context::PipelineContext;
use crate::error::{Error, Result};
use crate::init::contract_of;
use crate::lake::Table;
use crate::model::types::Field;
use crate::model::{Answer, Change, Clock, Drift};
use crate::stages::mapping::bind_with_generated;

/// How long ago staging is looked at, unless a day is named.
const A_WEEK: Days = Days::new(7);

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftReport {
    /// The pipeline.
    pub pipeline: String,
    /// The DDL file of the target, if one is named.
    pub contract: Option<String>,
    /// Staging's version.
    pub staging: u64,
    /// Staging as it was: its version, and the moment that is meant; `None`, where that can no longer be read.
    pub before: Option<(u64, DateTime<Utc>)>,
    /// The target's version.
    pub target: u64,
    /// The columns that differ somewhere.
    pub columns: Vec<ColumnDrift>,
    /// Why no batch would be loaded. Where staging's columns cannot be mapped, they are shown as they are stored.
    pub problem: Option<String>,
}

/// A column, as each has it: type and nullability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDrift {
    /// Its name.
    pub column: String,
    /// In the contract.
    pub contract: Option<String>,
    /// In staging as it was.
    pub before: Option<String>,
    /// In staging.
    pub staging: Option<String>,
    /// In the target.
    pub target: Option<String>,
    /// In what staging and target differ, and what is done about it.
    pub drift: Option<Drift>,
    /// Whether staging had another one, or none, or has none.
    pub moved: bool,
    /// Whether the target is not what its contract says.
    pub breaks_contract: bool,
}

impl ColumnDrift {
    /// What is loaded as it always was is no news.
    fn is_told(&self) -> bool {
        let quiet = [Change::OtherType, Change::Nullable];
        self.moved
            || self.breaks_contract
            || self.drift.as_ref().is_some_and(|drift| !quiet.contains(&drift.change))
    }
}

impl DriftReport {
    /// Whether the pipeline file has a difference refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let is_refused =
            |column: &ColumnDrift| column.drift.as_ref().is_some_and(|d| d.answer == Answer::Fail);
        self.problem.is_some() || self.columns.iter().any(is_refused)
    }
}

/// Looks at the columns of a pipeline's tables, and at those that staging had on the day `since`, or a week ago.
///
/// # Errors
/// Fails when a table or the DDL file cannot be read.
pub async fn drift(
    opened: &mut PipelineContext,
    clock: Clock,
    since: Option<NaiveDate>,
) -> Result<DriftReport> {
    let contract = contract_of(opened.pipeline.target.ddl.as_deref())?;
    if opened.tables.staging.is_none() {
        opened.staging()?;
    }
    let staging = opened.tables.staging.clone().ok_or_else(|| Error::bug("staging is not open"))?;
    let since = since.or_else(|| clock.now().date_naive().checked_sub_days(A_WEEK)).unwrap_or_default();
    let moment = since.and_time(NaiveTime::MIN).and_utc();
    let older = staging.at_time(moment).await?;
    // Where the columns cannot be mapped, they are shown as they are stored.
    let is_mapped = !opened.columns.batch.is_empty();
    let problem = opened.problem_of_next().await?.map(|why| why.chain());
    let now = if is_mapped { opened.columns.batch.clone() } else { staging.fields()? };
    let target = opened.tables.target.fields()?;
    let before = match &older {
        Some(older) => columns_then(opened, older, &target, is_mapped).await?,
        None => None,
    };
    let found = if is_mapped {
        opened.columns.drift.clone()
    } else {
        let partitions = opened.tables.target.partition_columns()?;
        let both = BothColumns::of(&now, &target, &partitions);
        drift_of(&opened.pipeline, both)
    };
    let promised: Option<Vec<Field>> =
        contract.map(|def| def.columns.into_iter().map(|column| column.field).collect());
    let mut names: Vec<&str> = Vec::new();
    let all = target.iter().chain(&now).chain(promised.iter().flatten()).chain(before.iter().flatten());
    for field in all {
        if !names.contains(&field.name.as_str()) {
            names.push(&field.name);
        }
    }
    let own = opened.pipeline.target.load_columns.names();
    let of = |fields: &[Field], name: &str| fields.iter().find(|field| field.name == *name).cloned();
    let columns = names.iter().filter(|name| !own.contains(name)).map(|name| {
        let [in_staging, in_target] = [&now, &target].map(|fields| of(fields, name));
        let was = before.as_ref().map(|fields| of(fields, name));
        let wanted = promised.as_ref().map(|fields| of(fields, name));
        let drift = found.iter().find(|drift| drift.column == **name).cloned();
        ColumnDrift {
            column: (*name).to_owned(),
            moved: was.as_ref().is_some_and(|was| *was != in_staging),
            // A contract is a minimum: further columns may follow.
            breaks_contract: wanted.as_ref().is_some_and(|wanted| wanted.is_some() && *wanted != in_target),
            contract: wanted.flatten().as_ref().map(Field::told),
            before: was.flatten().as_ref().map(Field::told),
            staging: in_staging.as_ref().map(Field::told),
            target: in_target.as_ref().map(Field::told),
            drift,
        }
    });
    let columns = columns.filter(ColumnDrift::is_told).collect();
    Ok(DriftReport {
        pipeline: opened.pipeline.name.clone(),
        contract: opened.pipeline.target.ddl.as_ref().map(|path| path.display().to_string()),
        staging: staging.version(),
        before: older.filter(|_| before.is_some()).map(|older| (older.version(), moment)),
        target: opened.tables.target.version(),
        columns,
        problem,
    })
}

/// The columns that a batch had from staging as it was; `None`, where the mapping of today does not fit them.
async fn columns_then(
    opened: &PipelineContext,
    older: &Table,
    target: &[Field],
    is_mapped: bool,
) -> Result<Option<Vec<Field>>> {
    let stored = older.fields()?;
    if !is_mapped {
        return Ok(Some(stored));
    }
    let (generated, both) = (opened.tables.target.generated_columns()?, (&*stored, target));
    let PipelineContext { engine, pipeline, origins, .. } = opened;
    let bound = Box::pin(bind_with_generated(engine, pipeline, origins, both, &generated)).await;
    Ok(bound.ok().map(|bound| bound.fields))
}
