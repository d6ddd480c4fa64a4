//! The quarantine's contract: staging's columns as they are, then the load's own.

use super::ddl::{ColumnDef, DdlError, TableDef};
use crate::model::types::Field;

/// DDL of the columns that a quarantine adds to those of its staging table.
pub const QUARANTINE: &str = include_str!("../../tables/quarantine.sql");

/// What the names of those columns begin with, so that no staging column can have one of them.
pub const PREFIX: &str = "dq_";

/// The quarantine of a staging table with these columns.
///
/// # Errors
/// None in practice: the DDL is compiled in.
pub fn quarantine_of(name: &str, staging: &[ColumnDef]) -> Result<TableDef, DdlError> {
    let own = TableDef::parse("quarantine.sql", QUARANTINE)?;
    // A row that is kept out may lack any value.
    let kept = staging.iter().map(|column| ColumnDef {
        field: Field { nullable: true, ..column.field.clone() },
        comment: column.comment.clone(),
    });
    Ok(TableDef { name: name.to_owned(), columns: kept.chain(own.columns.clone()).collect(), ..own })
}
