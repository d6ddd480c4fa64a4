//! A table's contract, as its DDL file states it.
//!
//! People edit the files under `tables/`, and a table is made from what they say. So whatever stands in a file is
//! understood or refused, never dropped: a CHECK constraint that no table enforces, or a LOCATION that is not where the
//! table is, would be a promise nobody keeps.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::parse;
use crate::model::types::Field;

/// A table's contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    /// The table's name, one part.
    pub name: String,
    /// What the table is for.
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<ColumnDef>,
    /// The columns that identify a row. Delta stores no such thing: the load keeps keys unique.
    pub primary_key: Vec<String>,
    /// The columns whose values the files are laid out by.
    pub partitioned_by: Vec<String>,
    /// Delta table properties; a CHECK constraint is one, `delta.constraints.NAME`.
    pub properties: BTreeMap<String, String>,
    /// Where the table is, if the file says so.
    pub location: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// Name, type and nullability.
    pub field: Field,
    /// What the column means, with its unit.
    pub comment: Option<String>,
}

/// Why a DDL file can't be a contract, and where in the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct DdlError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// Where in the file; None for what concerns all of it.
    pub position: Option<Position>,
    /// What is wrong.
    pub problem: DdlProblem,
}

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// What is wrong with a DDL file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say what each case and field is")]
pub enum DdlProblem {
    #[error("{0}")]
    Syntax(String),
    #[error("expected one CREATE TABLE statement and nothing else, found {found}")]
    NotOneCreateTable { found: String },
    #[error(
        "`{clause}` is not understood here; \
         a contract has USING DELTA, PARTITIONED BY, COMMENT, LOCATION and TBLPROPERTIES"
    )]
    UnknownClause { clause: String },
    #[error("`CREATE OR REPLACE` would drop rows: no table is ever replaced here; write CREATE TABLE")]
    Replace,
    #[error(
        "`CLUSTER BY` cannot be kept: the table library does not cluster; \
         PARTITIONED BY lays files out, and `merge.sort_by` in the pipeline file sorts the rows in them"
    )]
    Clustered,
    #[error(
        "column `{column}`: `DEFAULT` cannot be kept: the table library writes none; \
         say `columns: {{{column}: {{default: …}}}}` in the pipeline file"
    )]
    Default { column: String },
    #[error("the constraint `{name}` is there twice")]
    RepeatedConstraint { name: String },
    #[error("{clause} is stated twice")]
    RepeatedClause { clause: &'static str },
    #[error("the table must be declared USING DELTA")]
    NotDelta,
    #[error("column `{column}`: type {sql_type} is not supported")]
    UnsupportedType { column: String, sql_type: String },
    #[error(
        "column `{column}`: `{option}` is not supported; a column has NOT NULL, PRIMARY KEY, CHECK and COMMENT"
    )]
    UnsupportedColumnOption { column: String, option: String },
    #[error(
        "`{constraint}` is not supported; the constraints are CHECK (condition), and PRIMARY KEY (columns), which may be NOT ENFORCED"
    )]
    UnsupportedConstraint { constraint: String },
    #[error("column `{column}` is defined twice; names that differ in case only are the same")]
    DuplicateColumn { column: String },
    #[error("property '{key}' is set twice")]
    DuplicateProperty { key: String },
    #[error("{clause} names column `{column}`, which the table does not define")]
    UndefinedColumn { clause: &'static str, column: String },
    #[error("{clause} names column `{column}` twice")]
    RepeatedColumn { clause: &'static str, column: String },
    #[error("column `{column}` is part of the primary key and must be declared NOT NULL")]
    NullableKey { column: String },
}

impl fmt::Display for DdlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl TableDef {
    /// Reads the one `CREATE TABLE` statement of a DDL file. `file` is its name, for messages.
    ///
    /// # Errors
    /// The first thing in the text that is not understood, or that contradicts the rest.
    pub fn parse(file: &str, text: &str) -> Result<Self, DdlError> {
        Self::parse_all(file, text).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Reads it, and tells all that is wrong with it.
    ///
    /// # Errors
    /// What is not understood, or contradicts the rest: at least one thing.
    pub fn parse_all(file: &str, text: &str) -> Result<Self, Vec<DdlError>> {
        let error =
            |parse::Fault { position, problem }| DdlError { file: file.to_owned(), position, problem };
        parse::statement(text).map_err(|faults| faults.into_iter().map(error).collect())
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.field.name == name)
    }
}
