//! In what a batch's columns differ from the target's, and what the pipeline file says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::evolution::{DroppedColumn, NewColumn};
use super::fit::by_row;
use super::pipeline::Pipeline;
use crate::contract::widening;
use crate::model::types::{Field, same_name};
use crate::model::{Answer, Change, Drift};
use crate::notation::near;

/// The columns that a batch brings and those of its target.
#[derive(Debug, Clone, Copy)]
pub struct BothColumns<'a> {
    /// The batch's.
    pub batch: &'a [Field],
    /// The target's.
    pub target: &'a [Field],
    /// The columns that the target is partitioned by.
    pub partitions: &'a [String],
    /// Columns of the batch that staging has by another of their names, with that name.
    pub renamed: &'a BTreeMap<String, String>,
    /// Columns of the batch that staging has by several of their names.
    pub coalesced: &'a BTreeSet<String>,
}

static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();
static NO_COLUMNS: BTreeSet<String> = BTreeSet::new();

impl<'a> BothColumns<'a> {
    /// Columns of which none is known by another name.
    #[must_use]
    pub fn of(batch: &'a [Field], target: &'a [Field], partitions: &'a [String]) -> Self {
        Self { batch, target, partitions, renamed: &NO_NAMES, coalesced: &NO_COLUMNS }
    }
}

/// In what a batch's columns differ from the target's, by the target's order, then staging's. The order of columns is no
/// difference, and neither is what the pipeline file leaves out by name.
#[must_use]
pub fn drift(pipeline: &Pipeline, both: BothColumns<'_>) -> Vec<Drift> {
    let of_target = both.target.iter().filter_map(|field| of_target(pipeline, both, field));
    let renamed = both.renamed.iter().map(|(name, was)| Drift {
        change: Change::Renamed,
        column: name.clone(),
        staging: Some(was.clone()),
        target: find(both.target, name).map(|field| field.data_type.to_string()),
        answer: Answer::Load,
    });
    // One that a missing column seems to be now is not added: a person says which it is.
    let lacking =
        both.target.iter().filter(|to| find(both.batch, &to.name).is_none() && is_loaded(pipeline, &to.name));
    let meant: Vec<&str> = lacking.filter_map(|to| looks_renamed(pipeline, both, to)).collect();
    let new = both.batch.iter().filter(|field| is_new(pipeline, both, field)).map(|field| Drift {
        change: Change::NewColumn,
        column: field.name.clone(),
        staging: Some(field.data_type.to_string()),
        target: None,
        answer: match pipeline.schema.new_column {
            NewColumn::Fail => Answer::Fail,
            NewColumn::Add if !meant.contains(&field.name.as_str()) => Answer::Add,
            NewColumn::Add | NewColumn::Tell => Answer::Told,
        },
    });
    of_target.chain(renamed).chain(new).collect()
}

/// Whether a column of the batch is one that the target could have and has not.
fn is_new(pipeline: &Pipeline, both: BothColumns<'_>, field: &Field) -> bool {
    let name = &field.name;
    let breakers = pipeline.tie_breakers.iter().map(|breaker| &breaker.column);
    let mut used = breakers.chain(&pipeline.incremental.column).chain(&pipeline.source.lineage);
    let load_columns = pipeline.target.load_columns.names();
    let mut aliases = pipeline.source.mapping.columns.values().flat_map(|column| &column.aliases);
    !aliases.any(|alias| alias == name)
        && !used.any(|used| used == name)
        && !pipeline.target.exclude.contains(name)
        // Names that differ in case only are the same to Delta.
        && !load_columns.iter().any(|own| same_name(own, name))
        && !both.target.iter().any(|other| same_name(&other.name, name))
}

/// Whether a column of the target gets its values from staging.
fn is_loaded(pipeline: &Pipeline, name: &str) -> bool {
    let lists = [&pipeline.source.lineage, &pipeline.target.exclude];
    !pipeline.target.load_columns.contains(name)
        && !lists.iter().any(|list| list.iter().any(|out| out == name))
}

fn of_target(pipeline: &Pipeline, both: BothColumns<'_>, to: &Field) -> Option<Drift> {
    let name = &to.name;
    if !is_loaded(pipeline, name) {
        return None;
    }
    let is_needed = pipeline.unique_key.contains(name) || pipeline.version == *name;
    let (change, answer) = match find(both.batch, name) {
        None => {
            let stays = !is_needed
                && to.nullable
                && !both.partitions.contains(name)
                && looks_renamed(pipeline, both, to).is_none()
                && !both.batch.iter().any(|from| same_name(&from.name, name))
                && pipeline.schema.dropped_column == DroppedColumn::Leave;
            (Change::DroppedColumn, if stays { Answer::Leave } else { Answer::Fail })
        }
        Some(from) if !widening::accepts(&from.data_type, &to.data_type) => {
            let by_row = by_row(pipeline, both, from, to).is_some();
            (Change::UnfitType, if by_row { Answer::Quarantine } else { Answer::Fail })
        }
        Some(from) if from.data_type != to.data_type => (Change::OtherType, Answer::Load),
        Some(from) if from.nullable && !to.nullable && !is_needed => (Change::Nullable, Answer::Load),
        Some(_) => return None,
    };
    let from = find(both.batch, name).map(|from| from.data_type.to_string());
    Some(Drift {
        change,
        column: name.clone(),
        staging: from,
        target: Some(to.data_type.to_string()),
        answer,
    })
}

/// The name that a column of the target seems to have in staging: it is near, and the target has none of it.
pub(super) fn looks_renamed<'a>(pipeline: &Pipeline, both: BothColumns<'a>, to: &Field) -> Option<&'a str> {
    let new = both.batch.iter().filter(|field| is_new(pipeline, both, field));
    let fitting = new.filter(|field| widening::accepts(&field.data_type, &to.data_type));
    near(&to.name, fitting.map(|field| field.name.as_str()), 1).first().copied()
}

fn find<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == *name)
}
