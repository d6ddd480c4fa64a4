//! `CREATE TABLE` text to [`TableDef`].
//!
//! Only the columns are left to the SQL parser's own `CREATE TABLE` rules. For the clauses behind them these rules have
//! no COMMENT beside TBLPROPERTIES, want PARTITIONED BY ahead of USING where Spark wants it behind, and keep the last
//! of two USING without a word. So the clauses are read here, in any order, and what is none of them is refused.

use std::collections::{BTreeMap, btree_map::Entry};

use deltalake::datafusion::sql::sqlparser::ast::{
    ColumnDef as SqlColumn, ColumnOption, ConstraintCharacteristics, DataType as SqlType, Expr, Ident,
    IndexColumn, PrimaryKeyConstraint, Spanned, TableConstraint,
};
use deltalake::datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use deltalake::datafusion::sql::sqlparser::keywords::Keyword;
use deltalake::datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use deltalake::datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::ddl::{ColumnDef, DdlProblem, Position, TableDef};
use super::sql_types;
use crate::model::sql::Ident as SqlName;
use crate::model::types::Field;

/// A [`DdlError`] that does not know its file yet.
pub(super) struct Fault {
    /// As in the error.
    pub(super) position: Option<Position>,
    /// As in the error.
    pub(super) problem: DdlProblem,
}

type Parsed<T> = Result<T, Fault>;

impl Fault {
    fn at(location: Location, problem: DdlProblem) -> Self {
        // The parser has line 0 for what it made up itself.
        let position =
            (location.line > 0).then_some(Position { line: location.line, column: location.column });
        Self { position, problem }
    }
}

impl From<ParserError> for Fault {
    fn from(error: ParserError) -> Self {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => "types are nested too deeply".to_owned(),
        };
        // The parser gives the place in its message only, at the end.
        let (message, position) = match message.rsplit_once(" at Line: ") {
            Some((before, place)) => match place_of(place) {
                Some(position) => (before.to_owned(), Some(position)),
                None => (message, None),
            },
            None => (message, None),
        };
        let problem = DdlProblem::Syntax(message);
        Self { position, problem }
    }
}

fn place_of(text: &str) -> Option<Position> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
}

/// Reads a DDL file's one statement.
///
/// All that is wrong with the columns is told at once; what the SQL parser stumbles over ends it.
pub(super) fn statement(text: &str) -> Result<TableDef, Vec<Fault>> {
    let (mut sql, name) = begin(text).map_err(|fault| vec![fault])?;
    let (sql_columns, constraints) = sql.parse_columns().map_err(|error| vec![error.into()])?;
    let (mut faults, mut found) = (Vec::new(), Constraints::default());
    let columns = columns(&sql_columns, &mut found, &mut faults);
    faults.extend(constraints.iter().filter_map(|constraint| found.add(constraint).err()));
    let clauses = Clauses::parse(&mut sql).map_err(|fault| vec![fault])?;
    let names: Vec<&str> = sql_columns.iter().map(|column| column.name.value.as_str()).collect();
    let mut keep = |found: Parsed<Vec<String>>| found.map_err(|fault| faults.push(fault)).unwrap_or_default();
    let primary_key = keep(primary_key(&found.keys, &columns, &names));
    let partitioned_by =
        keep(known_columns("PARTITIONED BY", &clauses.partitioned_by.unwrap_or_default(), &names));
    if !clauses.using_delta {
        faults.push(Fault { position: None, problem: DdlProblem::NotDelta });
    }
    let mut properties = clauses.properties.unwrap_or_default();
    for (name, condition) in found.checks {
        if properties.insert(format!("delta.constraints.{name}"), condition).is_some() {
            faults.push(Fault { position: None, problem: DdlProblem::RepeatedConstraint { name } });
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(TableDef {
        name,
        comment: clauses.comment,
        columns,
        primary_key,
        partitioned_by,
        properties,
        location: clauses.location,
    })
}

/// The statement's name, and a parser that stands behind it.
fn begin(text: &str) -> Parsed<(Parser<'static>, String)> {
    static DIALECT: SparkSqlDialect = SparkSqlDialect {};
    let tokens = Tokenizer::new(&DIALECT, text)
        .tokenize_with_location()
        .map_err(|e| Fault::at(e.location, DdlProblem::Syntax(e.message)))?;
    let mut sql = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
    let name = parse_name(&mut sql)?;
    Ok((sql, name))
}

/// `CREATE TABLE name`, up to the parenthesis that opens the columns.
fn parse_name(sql: &mut Parser) -> Parsed<String> {
    let first = sql.peek_token_ref().clone();
    if sql.parse_keywords(&[Keyword::CREATE, Keyword::OR, Keyword::REPLACE]) {
        return Err(Fault::at(first.span.start, DdlProblem::Replace));
    }
    if !sql.parse_keywords(&[Keyword::CREATE, Keyword::TABLE]) {
        return Err(not_one_create_table(&first));
    }
    // As ever here: what is there is compared, and never made anew.
    let _ = sql.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    // Catalog and schema are the catalog's to say; where the table is, the pipeline file says.
    let mut name = sql.parse_identifier()?;
    while sql.consume_token(&Token::Period) {
        name = sql.parse_identifier()?;
    }
    if sql.peek_token_ref().token != Token::LParen {
        return Err(unknown_clause(sql.peek_token_ref()));
    }
    Ok(name.value)
}

fn not_one_create_table(found: &TokenWithSpan) -> Fault {
    let found_text = found.token.to_string();
    Fault::at(found.span.start, DdlProblem::NotOneCreateTable { found: found_text })
}

fn unknown_clause(found: &TokenWithSpan) -> Fault {
    let clause = found.token.to_string();
    Fault::at(found.span.start, DdlProblem::UnknownClause { clause })
}

/// What may stand behind the columns.
#[derive(Default)]
struct Clauses {
    using_delta: bool,
    partitioned_by: Option<Vec<Ident>>,
    comment: Option<String>,
    location: Option<String>,
    properties: Option<BTreeMap<String, String>>,
}

impl Clauses {
    fn parse(sql: &mut Parser) -> Parsed<Self> {
        let mut clauses = Self::default();
        loop {
            let start = sql.peek_token_ref().clone();
            let repeated = if sql.parse_keyword(Keyword::USING) {
                parse_format(sql)?;
                std::mem::replace(&mut clauses.using_delta, true).then_some("USING")
            } else if sql.parse_keywords(&[Keyword::PARTITIONED, Keyword::BY]) {
                let names = sql.parse_parenthesized_column_list(IsOptional::Mandatory, false)?;
                let before = clauses.partitioned_by.replace(names);
                before.map(|_| "PARTITIONED BY")
            } else if sql.parse_keyword(Keyword::COMMENT) {
                let before = clauses.comment.replace(parse_quoted(sql)?);
                before.map(|_| "COMMENT")
            } else if sql.parse_keyword(Keyword::LOCATION) {
                let before = clauses.location.replace(parse_quoted(sql)?);
                before.map(|_| "LOCATION")
            } else if sql.parse_keywords(&[Keyword::CLUSTER, Keyword::BY]) {
                return Err(Fault::at(start.span.start, DdlProblem::Clustered));
            } else if sql.parse_keyword(Keyword::TBLPROPERTIES) {
                let before = clauses.properties.replace(parse_properties(sql)?);
                before.map(|_| "TBLPROPERTIES")
            } else {
                break;
            };
            if let Some(clause) = repeated {
                let problem = DdlProblem::RepeatedClause { clause };
                return Err(Fault::at(start.span.start, problem));
            }
        }
        expect_end(sql)?;
        Ok(clauses)
    }
}

fn parse_format(sql: &mut Parser) -> Parsed<()> {
    let location = sql.peek_token_ref().span.start;
    let format = sql.parse_identifier()?;
    if format.value.eq_ignore_ascii_case("delta") {
        Ok(())
    } else {
        Err(Fault::at(location, DdlProblem::NotDelta))
    }
}

fn parse_properties(sql: &mut Parser) -> Parsed<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    sql.expect_token(&Token::LParen)?;
    loop {
        let location = sql.peek_token_ref().span.start;
        let key = parse_quoted(sql)?;
        sql.expect_token(&Token::Eq)?;
        let value = parse_quoted(sql)?;
        match properties.entry(key) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(entry) => {
                let key = entry.key().clone();
                return Err(Fault::at(location, DdlProblem::DuplicateProperty { key }));
            }
        };
        if !sql.consume_token(&Token::Comma) {
            break;
        }
    }
    sql.expect_token(&Token::RParen)?;
    Ok(properties)
}

fn parse_quoted(sql: &mut Parser) -> Parsed<String> {
    let found = sql.next_token();
    match found.token {
        Token::SingleQuotedString(text) => Ok(text),
        _ => Ok(sql.expected("a text in single quotes", found)?),
    }
}

/// The end of the file, behind at most one semicolon.
fn expect_end(sql: &mut Parser) -> Parsed<()> {
    let terminated = sql.consume_token(&Token::SemiColon);
    let found = sql.peek_token_ref();
    match found.token {
        Token::EOF => Ok(()),
        _ if terminated => Err(not_one_create_table(found)),
        _ => Err(unknown_clause(found)),
    }
}

fn columns(sql: &[SqlColumn], found: &mut Constraints, faults: &mut Vec<Fault>) -> Vec<ColumnDef> {
    let mut columns: Vec<ColumnDef> = Vec::with_capacity(sql.len());
    if sql.is_empty() {
        let problem = DdlProblem::Syntax("the table has no columns".to_owned());
        faults.push(Fault { position: None, problem });
    }
    for (index, sql_column) in sql.iter().enumerate() {
        let name = &sql_column.name.value;
        // Delta compares names without regard to case.
        if sql[..index].iter().any(|other| other.name.value.eq_ignore_ascii_case(name)) {
            let problem = DdlProblem::DuplicateColumn { column: name.clone() };
            faults.push(Fault::at(sql_column.name.span.start, problem));
            continue;
        }
        match column(sql_column, found) {
            Ok(column) => columns.push(column),
            Err(fault) => faults.push(fault),
        }
    }
    columns
}

fn column(sql: &SqlColumn, found: &mut Constraints) -> Parsed<ColumnDef> {
    let name = &sql.name.value;
    let fault = |problem| Fault::at(sql.name.span.start, problem);
    let (plain, longest) = match sql_types::longest(&sql.data_type) {
        Some(longest) => (&SqlType::String(None), Some(longest)),
        None => (&sql.data_type, None),
    };
    if let Some(longest) = longest {
        // Delta has no such type, and nothing but a constraint keeps the promise.
        found.checks.push((format!("{name}_length"), format!("length({}) <= {longest}", SqlName(name))));
    }
    let Some(data_type) = sql_types::data_type(plain) else {
        return Err(fault(DdlProblem::UnsupportedType {
            column: name.clone(),
            sql_type: sql.data_type.to_string(),
        }));
    };
    let mut nullable = true;
    let mut comment = None;
    for option in &sql.options {
        match (&option.name, &option.option) {
            (None, ColumnOption::NotNull) if nullable => nullable = false,
            (None, ColumnOption::Comment(text)) if comment.is_none() => {
                comment = Some(text.clone());
            }
            (None, ColumnOption::Default(_)) => {
                return Err(fault(DdlProblem::Default { column: name.clone() }));
            }
            (None, ColumnOption::PrimaryKey(key)) if is_plain(key) => found.keys.push(vec![sql.name.clone()]),
            (constraint, ColumnOption::Check(check)) if check.enforced != Some(false) => {
                let own = || {
                    let own = format!("{name}_check");
                    let before = found.checks.iter().filter(|(other, _)| other.starts_with(&own)).count();
                    if before == 0 { own } else { format!("{own}_{}", before + 1) }
                };
                let name = constraint.as_ref().map_or_else(own, |name| name.value.clone());
                found.checks.push((name, check.expr.to_string()));
            }
            _ => {
                return Err(fault(DdlProblem::UnsupportedColumnOption {
                    column: name.clone(),
                    option: option.to_string().trim().to_owned(),
                }));
            }
        }
    }
    let field = Field { name: name.clone(), data_type, nullable };
    Ok(ColumnDef { field, comment })
}

/// What a file says of a table's rows.
#[derive(Default)]
struct Constraints {
    /// The columns of each PRIMARY KEY.
    keys: Vec<Vec<Ident>>,
    /// CHECK constraints: name and condition.
    checks: Vec<(String, String)>,
}

impl Constraints {
    /// Adds a constraint of the table.
    fn add(&mut self, constraint: &TableConstraint) -> Parsed<()> {
        if let TableConstraint::Check(check) = constraint
            && check.enforced != Some(false)
        {
            let name = check.name.as_ref().map(|name| name.value.clone());
            let name = name.unwrap_or_else(|| format!("check_{}", self.checks.len() + 1));
            self.checks.push((name, check.expr.to_string()));
            return Ok(());
        }
        let unsupported = || {
            let problem = DdlProblem::UnsupportedConstraint { constraint: constraint.to_string() };
            Fault::at(constraint.span().start, problem)
        };
        let TableConstraint::PrimaryKey(key) = constraint else { return Err(unsupported()) };
        let name_alone = |column: &IndexColumn| match &column.column.expr {
            Expr::Identifier(name) if *column == IndexColumn::from(name.clone()) => Some(name.clone()),
            _ => None,
        };
        let columns: Option<Vec<Ident>> = key.columns.iter().map(name_alone).collect();
        self.keys.push(columns.filter(|_| is_plain(key)).ok_or_else(unsupported)?);
        Ok(())
    }
}

/// Whether a PRIMARY KEY says no more than its columns, its name, and what it is in Delta anyway: NOT ENFORCED.
fn is_plain(key: &PrimaryKeyConstraint) -> bool {
    let PrimaryKeyConstraint { name: _, index_name, index_type, columns: _, index_options, characteristics } =
        key;
    let unenforced = ConstraintCharacteristics { deferrable: None, initially: None, enforced: Some(false) };
    let plain = characteristics.as_ref().is_none_or(|found| *found == unenforced);
    index_name.is_none() && index_type.is_none() && index_options.is_empty() && plain
}

fn primary_key(keys: &[Vec<Ident>], columns: &[ColumnDef], names: &[&str]) -> Parsed<Vec<String>> {
    if let Some(second) = keys.get(1) {
        let location = second.first().map_or(Location::empty(), |name| name.span.start);
        return Err(Fault::at(location, DdlProblem::RepeatedClause { clause: "PRIMARY KEY" }));
    }
    let key = keys.first().map(Vec::as_slice).unwrap_or_default();
    let known = known_columns("PRIMARY KEY", key, names)?;
    let may_be_null = |name: &Ident| columns.iter().any(|c| c.field.name == name.value && c.field.nullable);
    match key.iter().find(|name| may_be_null(name)) {
        None => Ok(known),
        Some(name) => {
            let column = name.value.clone();
            Err(Fault::at(name.span.start, DdlProblem::NullableKey { column }))
        }
    }
}

/// The names a clause lists, each of which must be a defined column and stand there once.
fn known_columns(clause: &'static str, names: &[Ident], defined: &[&str]) -> Parsed<Vec<String>> {
    let mut known = Vec::with_capacity(names.len());
    for name in names {
        let column = name.value.clone();
        let problem = if !defined.contains(&column.as_str()) {
            DdlProblem::UndefinedColumn { clause, column }
        } else if known.contains(&column) {
            DdlProblem::RepeatedColumn { clause, column }
        } else {
            known.push(column);
            continue;
        };
        return Err(Fault::at(name.span.start, problem));
    }
    Ok(known)
}
