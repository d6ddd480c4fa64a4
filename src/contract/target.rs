//! The contract of a target that no DDL file states: the batch's columns, then the load's own.

use std::collections::BTreeMap;

use super::ddl::{ColumnDef, TableDef};
use crate::model::types::{DataType, Field};

/// What a pipeline file says of a target that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct TargetShape<'a> {
    /// The table's name.
    pub name: &'a str,
    /// The columns that identify a row.
    pub unique_key: &'a [String],
    /// Whether they may be NULL.
    pub has_null_keys: bool,
    /// The columns of the version.
    pub versions: &'a [&'a str],
    /// Columns of the batch that are not loaded.
    pub left_out: &'a [&'a str],
    /// The columns that each load fills in itself: batch id, time, row hash.
    pub load_columns: [&'a str; 3],
    /// The columns that the files are laid out by.
    pub partitioned_by: &'a [String],
}

/// The target of a batch with these columns.
#[must_use]
pub fn target_of(shape: TargetShape<'_>, batch: &[ColumnDef]) -> TableDef {
    let is_loaded = |column: &&ColumnDef| {
        let name = column.field.name.as_str();
        !shape.left_out.contains(&name)
            && !shape.load_columns.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    // A row without one of these is never loaded.
    let is_needed = |name: &String| {
        (!shape.has_null_keys && shape.unique_key.contains(name)) || shape.versions.contains(&name.as_str())
    };
    let loaded = batch.iter().filter(is_loaded).map(|column| ColumnDef {
        field: Field { nullable: !is_needed(&column.field.name), ..column.field.clone() },
        comment: column.comment.clone(),
    });
    let own = [
        (DataType::String, "Id of the batch that wrote the row"),
        (DataType::Timestamp, "When that batch started, UTC"),
        (DataType::String, "Hash of the row's values, by which the next load knows whether they differ"),
    ];
    let own = shape.load_columns.into_iter().zip(own).map(|(name, (data_type, comment))| ColumnDef {
        field: Field { name: name.to_owned(), data_type, nullable: true },
        comment: Some(comment.to_owned()),
    });
    TableDef {
        name: shape.name.to_owned(),
        comment: None,
        columns: loaded.chain(own).collect(),
        // Columns of a PRIMARY KEY are never NULL.
        primary_key: if shape.has_null_keys { Vec::new() } else { shape.unique_key.to_vec() },
        partitioned_by: shape.partitioned_by.to_vec(),
        properties: BTreeMap::new(),
        location: None,
    }
}
