//! Makes the columns of a batch from those that the staging table has, as the pipeline file says.

mod cast;
mod explode;
mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltalake::arrow::datatypes::{DataType as Arrow, Schema};
use deltalake::datafusion::catalog::TableProvider;

pub use self::generated::bind_with_generated;

use self::cast::{Cast, masked, settled};
use self::explode::columns_of_elements;
use super::text::FILTERED;
use crate::config::{BothColumns, MappedColumn, Mapping, Origins, Problem, Select};
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Expression, Known, Rows, arrow_field, called};
use crate::error::{Error, Kind, Result};
use crate::model::Dialect;
use crate::model::types::{DataType, Field, same_name};
use crate::notation::bound::exactly;
use crate::notation::{Mask, did_you_mean};
use crate::plan::{LoadSpec, Mapped, MappedField, MappedSql};

/// Staging's rows as they are stored.
const STORED: &str = "__hw_stored";

/// For whom SQL is written: as it runs, and as it is printed.
const DIALECTS: [Dialect; 2] = [Dialect::Engine, Dialect::Spark];

/// The columns that a batch has, and how they are made.
pub struct BoundMapping {
    /// The columns.
    pub fields: Vec<Field>,
    /// How they are made; `None`, where they are staging's as they stand.
    pub mapped: Option<Mapped>,
    /// Those that staging has by another of their names, with that name.
    pub renamed: BTreeMap<String, String>,
    /// Those that staging has by several of their names.
    pub coalesced: BTreeSet<String>,
}

impl BoundMapping {
    /// The columns beside those of a target.
    #[must_use]
    pub fn beside<'a>(&'a self, target: &'a [Field], partitions: &'a [String]) -> BothColumns<'a> {
        let (renamed, coalesced) = (&self.renamed, &self.coalesced);
        BothColumns { batch: &self.fields, target, partitions, renamed, coalesced }
    }
}

/// Holds a mapping against staging's columns, `stored`, and types all that it computes. `target` has the types of
/// columns that staging lacks.
///
/// # Errors
/// Fails with all that is wrong.
async fn bind_mapping(
    engine: &Engine,
    mapping: &Mapping,
    origins: &Origins,
    stored: &[Field],
    target: &[Field],
) -> std::result::Result<BoundMapping, Vec<Problem>> {
    if mapping.is_identity() {
        return Ok(BoundMapping {
            fields: stored.to_vec(),
            mapped: None,
            renamed: BTreeMap::new(),
            coalesced: BTreeSet::new(),
        });
    }
    let staging = stored;
    let exploded =
        mapping.explode.as_ref().map(|explode| columns_of_elements(explode, origins, staging)).transpose()?;
    let stored = exploded.as_deref().unwrap_or(staging);
    let schema = Arc::new(Schema::new(stored.iter().map(arrow_field).collect::<Vec<_>>()));
    let empty = Rows { schema, batches: Vec::new() };
    let _stored = engine.register_rows(STORED, &empty).map_err(|error| {
        let problem = Problem { message: error.to_string(), ..at(origins, "source.table", "") };
        vec![problem]
    })?;
    let mut binding = Binding { engine, origins, stored, target, problems: Vec::new() };
    let fields = binding.columns(mapping).await;
    let filter = binding.filter(mapping).await;
    if !binding.problems.is_empty() {
        return Err(binding.problems);
    }
    let (fields, columns): (_, Vec<MappedField>) = fields.into_iter().unzip();
    let renamed = columns.iter().filter_map(|column| {
        let aliases = &mapping.columns.get(&column.name)?.aliases;
        let was = column.renames.as_ref().filter(|was| aliases.contains(was))?;
        Some((column.name.clone(), was.clone()))
    });
    let renamed = renamed.collect();
    let coalesced = columns.iter().filter(|column| {
        let Some(mapped) = mapping.columns.get(&column.name).filter(|mapped| mapped.from.is_none()) else {
            return false;
        };
        let found = column.sql.as_ref().map(|sql| sql.columns.len()).unwrap_or_default();
        !mapped.aliases.is_empty() && found > 1
    });
    let coalesced = coalesced.map(|column| column.name.clone()).collect();
    Ok(BoundMapping {
        fields,
        mapped: Some(Mapped { explode: mapping.explode.clone(), columns, filter, stored: staging.to_vec() }),
        renamed,
        coalesced,
    })
}

struct Binding<'a> {
    engine: &'a Engine,
    origins: &'a Origins,
    stored: &'a [Field],
    target: &'a [Field],
    problems: Vec<Problem>,
}

impl Binding<'_> {
    /// Staging's columns in their order; in the place of one the computed ones that have its name, or its values as they
    /// stand; then the other computed ones.
    async fn columns(&mut self, mapping: &Mapping) -> Vec<(Field, MappedField)> {
        if let Select::Except(names) = &mapping.select {
            for (i, name) in names.iter().enumerate() {
                if !self.stored.iter().any(|field| field.name == *name) {
                    self.no_column(&format!("source.select.except.{i}"), name);
                }
            }
        }
        let mut computed = Vec::new();
        for (name, mapped) in &mapping.columns {
            computed.extend(self.column(name, mapped).await);
        }
        let mut columns = Vec::new();
        for field in self.stored {
            // Delta's names differ in more than case, so a computed column takes the place of any that does not.
            let is_here = |(to, from): &(Field, MappedField)| {
                to.name.to_lowercase() == field.name.to_lowercase()
                    || from.renames.as_ref() == Some(&field.name)
            };
            let here: Vec<_> = computed.extract_if(.., |column| is_here(column)).collect();
            let is_hidden = |(_, from): &(Field, MappedField)| {
                from.masked && from.sql.as_ref().is_some_and(|sql| sql.columns.contains(&field.name))
            };
            let hidden = computed.iter().chain(&here).chain(&columns).any(is_hidden);
            let stays = here.is_empty() && !hidden && mapping.select.keeps(&field.name);
            columns.extend(here);
            // One that was renamed to a name before its own is gone too.
            let is_gone = columns.iter().any(is_here);
            if stays && !is_gone {
                columns.push((
                    field.clone(),
                    MappedField { name: field.name.clone(), sql: None, renames: None, masked: false },
                ));
            }
        }
        columns.extend(computed);
        let mut seen = BTreeSet::new();
        for (field, _) in &columns {
            if !seen.insert(field.name.to_lowercase()) {
                let path = format!("columns.{}", field.name);
                let message =
                    format!("`{}` is there twice: names that differ in case only are the same", field.name);
                self.problems.push(at(self.origins, &path, &message));
            }
        }
        columns
    }

    async fn column(&mut self, name: &str, mapped: &MappedColumn) -> Option<(Field, MappedField)> {
        let path = format!("columns.{name}");
        // Delta's names differ in more than case.
        let own = self.stored.iter().find(|field| same_name(&field.name, name));
        let others =
            mapped.aliases.iter().filter_map(|alias| self.stored.iter().find(|field| field.name == *alias));
        let others: Vec<&Field> = others.filter(|other| own != Some(*other)).collect();
        let sources: Vec<&Field> = own.into_iter().chain(others).collect();
        let expression = match (&mapped.from, sources.as_slice()) {
            (Some(from), _) => self.expression(&format!("{path}.from"), from)?,
            (None, []) => return self.constant(name, mapped),
            (None, [one]) => Expression::column(&one.name),
            // A table that rows were appended to by either name has both.
            (None, [first, rest @ ..]) if rest.iter().all(|other| other.data_type == first.data_type) => {
                let names: Vec<String> =
                    sources.iter().map(|source| Ident(&source.name).to_string()).collect();
                self.expression(&path, &format!("COALESCE({})", names.join(", ")))?
            }
            (None, _) => {
                let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
                let why = format!(
                    "is {} in staging, of several types: say under `from` which counts",
                    names.join(" and ")
                );
                self.problem(&path, &why);
                return None;
            }
        };
        let path_of_sql = if mapped.from.is_some() { format!("{path}.from") } else { path.clone() };
        let (mut data_type, mut cast) = self.typed(&path_of_sql, &expression).await?;
        let wanted = self.target.iter().find(|field| field.name == name).map(|field| &field.data_type);
        if let (Cast::Timestamp { has_zone: false }, Some(DataType::TimestampNtz)) = (&cast, wanted) {
            // A time without a zone stays one where the target has no zone either.
            (data_type, cast) = (DataType::TimestampNtz, Cast::WallClock);
        }
        if data_type == DataType::Binary && mapped.default.is_some() {
            // A scan's bytes and a literal's are kept in two ways.
            cast = Cast::To(DataType::Binary);
        }
        let mut texts = DIALECTS.map(|dialect| cast.around(expression.sql(dialect), dialect));
        if let Some(mask) = mapped.mask {
            if data_type.is_nested() {
                self.problem(
                    &format!("{path}.mask"),
                    &format!("is for single values, and `{name}` is {data_type}"),
                );
                return None;
            }
            for (text, dialect) in texts.iter_mut().zip(DIALECTS) {
                *text = masked(text, &data_type, mask, dialect);
            }
            if mask != Mask::Null {
                data_type = DataType::String;
            }
        }
        let mut nullable = true;
        if let Some(default) = &mapped.default {
            match exactly(default, &data_type) {
                Err(why) => {
                    self.problem(&format!("{path}.default"), &why);
                    return None;
                }
                Ok(literal) => {
                    nullable = false;
                    for (text, dialect) in texts.iter_mut().zip(DIALECTS) {
                        *text = format!("COALESCE({text}, {})", literal.sql(dialect));
                    }
                }
            }
        }
        let [engine, spark] = texts;
        let place = self.place(&path_of_sql);
        let renames = expression.is_column.then(|| expression.columns.first().cloned()).flatten();
        let sql = MappedSql { engine, spark, columns: expression.columns, place };
        let field = Field { name: name.to_owned(), data_type, nullable };
        Some((
            field,
            MappedField { name: name.to_owned(), sql: Some(sql), renames, masked: mapped.mask.is_some() },
        ))
    }

    /// A column that staging lacks: its default, in the target's type.
    fn constant(&mut self, name: &str, mapped: &MappedColumn) -> Option<(Field, MappedField)> {
        let path = format!("columns.{name}");
        let Some(default) = &mapped.default else {
            // One that had other names may be gone: the target's columns tell what that means.
            if mapped.aliases.is_empty() || mapped.mask.is_some() {
                self.no_column(&path, name);
            }
            return None;
        };
        let Some(field) = self.target.iter().find(|field| field.name == *name) else {
            let mut problem = at(self.origins, &path, &format!("staging and target have no column `{name}`"));
            problem.hint = Some(format!("give it a type: `from: CAST('{default}' AS INT)`, say"));
            self.problems.push(problem);
            return None;
        };
        match exactly(default, &field.data_type) {
            Err(why) => {
                self.problem(&format!("{path}.default"), &why);
                None
            }
            Ok(literal) => {
                let [engine, spark] = DIALECTS.map(|dialect| literal.sql(dialect));
                let sql = MappedSql { engine, spark, columns: BTreeSet::new(), place: self.place(&path) };
                let field = Field { nullable: false, ..field.clone() };
                Some((
                    field,
                    MappedField { name: name.to_owned(), sql: Some(sql), renames: None, masked: false },
                ))
            }
        }
    }

    async fn filter(&mut self, mapping: &Mapping) -> Option<MappedSql> {
        let path = "source.where";
        let expression = self.expression(path, mapping.filter.as_deref()?)?;
        match self.arrow_type(expression.sql(Dialect::Engine)).await {
            Ok(Arrow::Boolean) => {
                let [engine, spark] = DIALECTS.map(|dialect| expression.sql(dialect).to_owned());
                Some(MappedSql { engine, spark, columns: expression.columns, place: self.place(path) })
            }
            Ok(other) => {
                self.problem(path, &format!("is {}, not true or false", called(&other)));
                None
            }
            Err(why) => {
                self.problem(path, &why);
                None
            }
        }
    }

    fn expression(&mut self, path: &str, sql: &str) -> Option<Expression> {
        let known: Vec<&str> = self.stored.iter().map(|field| field.name.as_str()).collect();
        Expression::parse(sql, &known).map_err(|why| self.problem(path, &why)).ok()
    }

    /// The type of an expression, and what makes its values ones of that type.
    async fn typed(&mut self, path: &str, expression: &Expression) -> Option<(DataType, Cast)> {
        if expression.is_column {
            let name = expression.columns.first()?;
            let field = self.stored.iter().find(|field| field.name == *name)?;
            return Some((field.data_type.clone(), Cast::None));
        }
        match self.arrow_type(expression.sql(Dialect::Engine)).await {
            Ok(found) => {
                let settled = settled(&found);
                if settled.is_none() {
                    self.problem(path, &format!("is {}, which no column can hold", called(&found)));
                }
                settled
            }
            Err(why) => {
                self.problem(path, &why);
                None
            }
        }
    }

    /// The type that the engine gives an expression, which is one of single rows: an aggregate cannot stand in WHERE.
    async fn arrow_type(&self, sql: &str) -> std::result::Result<Arrow, String> {
        let found = self.engine.expression_type(sql, STORED).await;
        // There is no logical date here: a row is the same one in every batch.
        let found = found.map_err(|why| why.replace("; `$as_of` is the logical date", ""))?;
        self.engine.prepare_each_row(sql, STORED).await.map(|()| found).map_err(|why| {
            let is_sum = why.contains("Aggregate functions are not allowed");
            if is_sum { "is an aggregate, and each row is one by itself".to_owned() } else { why }
        })
    }

    fn no_column(&mut self, path: &str, name: &str) {
        let mut problem = at(self.origins, path, &format!("the staging table has no column `{name}`"));
        problem.hint = did_you_mean(name, self.stored.iter().map(|field| field.name.as_str()));
        self.problems.push(problem);
    }

    fn problem(&mut self, path: &str, why: &str) {
        self.problems.push(at(self.origins, path, &format!("`{path}` {why}")));
    }

    fn place(&self, path: &str) -> String {
        format!("{}: {path}", self.origins.position(path))
    }
}

fn at(origins: &Origins, path: &str, message: &str) -> Problem {
    Problem { path: path.to_owned(), origin: origins.position(path), message: message.to_owned(), hint: None }
}

/// Makes staging's rows known under `name`, with the columns that a batch has; and those that do not meet the filter, if
/// there is one, under `name` after [`FILTERED`].
///
/// # Errors
/// Fails when DataFusion refuses the rows.
pub async fn register_mapped<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    name: &str,
    rows: Arc<dyn TableProvider>,
) -> Result<Vec<Known<'e>>> {
    let Some(mapped) = &spec.mapped else { return Ok(vec![engine.register(name, rows)?]) };
    let _stored = engine.register(STORED, rows)?;
    let mut known =
        vec![engine.register_checked_view(name, &mapped.select(STORED, Dialect::Engine, true)).await?];
    if mapped.filter.is_some() {
        let rest = mapped.select(STORED, Dialect::Engine, false);
        known.push(engine.register_checked_view(&format!("{FILTERED}{name}"), &rest).await?);
    }
    Ok(known)
}

/// What to tell of rows that could not be read: which of the computed columns fails on them, if one does. The relation
/// `staging` is known.
pub async fn explained(engine: &Engine, spec: &LoadSpec, error: Error) -> Error {
    let Some(mapped) = spec.mapped.as_ref().filter(|_| error.kind() == Kind::Bug) else { return error };
    let columns = mapped.columns.iter().filter_map(|field| {
        let query = format!("SELECT COUNT({}) AS `n` FROM staging", Ident(&field.name));
        let sql = field.sql.as_ref()?;
        Some((sql, query, spec.hides(&field.name) || spec.hides_what_is_made_by(sql)))
    });
    let is_any_masked = mapped.columns.iter().any(|field| spec.hides(&field.name));
    let filter = mapped.filter.iter();
    let filter = filter.map(|sql| (sql, "SELECT COUNT(*) AS `n` FROM staging".to_owned(), is_any_masked));
    for (sql, query, is_masked) in filter.chain(columns) {
        if let Err(other) = engine.rows(&query, &Params::new()).await
            && let Some(why) = engine.words_of(&other)
        {
            // The value may be one that nobody is to read.
            let why = if is_masked { "a value of it cannot be computed".to_owned() } else { why };
            return Error::usage(format!("{} does not fit a row: {why}", sql.place)).hint(
                "TRY_CAST gives NULL where a value does not fit, which `not_null: {action: quarantine}` keeps out",
            );
        }
    }
    error
}
