//! Holds the deduped rows against the target and gives each its class.
//!
//! [`probe`] finds the target's rows by key, with their places and versions. What the version settles is settled here;
//! rows of equal versions are compared in SQL, by hash and where that does not settle it by value.

mod classes;
mod files;
mod partitions;
mod probe;

use std::collections::BTreeSet;
use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array, new_empty_array, new_null_array,
};
use deltalake::arrow::compute::{cast, concat_batches, take};
use deltalake::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use tokio::task::JoinSet;

pub use self::partitions::refuse_partitions;

use self::classes::{Settled, by_version, settle_level, with_classes, with_field};
use self::files::files_with_keys;
use self::probe::{KeyIndex, Matches};
use super::dedupe::Deduped;
use super::rows::{EXAMPLES, column, column_texts, describe, first_number, of_class, quoted, texts};
use super::text::{CLASS, FILE, NUMBER, Text, target_partition};
use crate::config::OnTie;
use crate::engine::sql::Params;
use crate::engine::{Engine, Rows, Slices, failed, in_threads, version_key};
use crate::error::{Error, Result};
use crate::lake::{PlacedStream, Table};
use crate::model::Class;
use crate::plan::{Cells, LoadSpec};

/// Deduped rows with their classes.
#[derive(Debug, Clone)]
pub struct Located {
    /// The rows, with `__hw_class` and what is known of the target's row.
    pub rows: Slices,
    /// Rows by partition and class.
    pub cells: Cells,
    /// Rows that tie with the target.
    pub ties: TargetTies,
}

/// Rows that tie with the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetTies {
    /// How many there are.
    pub rows: i64,
    /// Some of them, if ties fail the batch.
    pub examples: Vec<String>,
}

/// Bytes that a key takes while it is looked for, beside itself.
const PER_KEY: usize = 48;

/// Classifies the deduped rows against one version of the target.
///
/// # Errors
/// Fails when the target holds a key twice, or cannot be read.
pub async fn locate(engine: &Engine, spec: &LoadSpec, deduped: &Deduped, target: &Table) -> Result<Located> {
    let mut made = deduped.rows.alike();
    for slice in deduped.rows.each() {
        let slice = slice?;
        let found = look_up(engine, spec, &slice, target).await?;
        made.push(classify(engine, spec, &slice, &found, Some(target)).await?)?;
    }
    counted(engine, spec, made.done()?).await
}

/// Looks the keys of rows up in the target.
async fn look_up(engine: &Engine, spec: &LoadSpec, deduped: &Rows, target: &Table) -> Result<Found> {
    let columns = looked_at(spec);
    let files = files_with_keys(spec, deduped, target)?;
    let scan = target.scan_places(&engine.state(), &columns, files.as_ref()).await?;
    let held = engine.reserve("locate", deduped.len() * PER_KEY)?;
    let mut found =
        Found { urls: scan.files.iter().map(|file| target.url_of(file)).collect(), ..Found::default() };
    if !deduped.is_empty() && !scan.streams.is_empty() {
        let looks = Arc::new(Looks::new(engine, spec, deduped, &scan.schema)?);
        let looks = scan.streams.into_iter().map(|stream| Arc::clone(&looks).through(stream));
        let mut parts: JoinSet<Result<Matches>> = looks.collect();
        while let Some(part) = parts.join_next().await {
            let part = part.map_err(|error| Error::bug("a part of the scan was lost").because(error))?;
            found.matches.extend(part?);
        }
    }
    drop(held);
    Ok(found)
}

/// Classifies the deduped rows against what is registered as `target`, as if it were one file.
///
/// # Errors
/// Fails when the target holds a key twice, or cannot be read.
pub async fn locate_in(engine: &Engine, spec: &LoadSpec, deduped: &Deduped) -> Result<Located> {
    let target =
        engine.rows(&format!("SELECT {} FROM target", quoted(&looked_at(spec))), &Params::new()).await?;
    let mut made = deduped.rows.alike();
    for slice in deduped.rows.each() {
        let slice = slice?;
        let mut found = Found { urls: vec!["memory".to_owned()], ..Found::default() };
        if !slice.is_empty() {
            let looks = Looks::new(engine, spec, &slice, &target.schema)?;
            for batch in &target.batches {
                looks.probe(batch, 0, |row| row as u64, &mut found.matches)?;
            }
        }
        made.push(classify(engine, spec, &slice, &found, None).await?)?;
    }
    counted(engine, spec, made.done()?).await
}

/// The target's columns that are looked at: key, version, and partition columns.
fn looked_at(spec: &LoadSpec) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    let partitions = spec.partition_columns.iter();
    for name in spec.rules.unique_key.iter().chain(spec.rules.version_columns()).chain(partitions) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    columns
}

/// The target's rows that have a key of the batch, and the files that they lie in.
#[derive(Debug, Default)]
struct Found {
    matches: Matches,
    urls: Vec<String>,
}

/// The keys that are looked for, and where the target's rows have what is looked at.
struct Looks {
    index: KeyIndex,
    key: Vec<usize>,
    /// Columns of the version, then of the partition.
    rest: Vec<usize>,
}

impl Looks {
    fn new(engine: &Engine, spec: &LoadSpec, deduped: &Rows, target: &SchemaRef) -> Result<Self> {
        let lost = |error: ArrowError| Error::bug("rows lack a column").because(error);
        let place = |name: &String| target.index_of(name).map_err(lost);
        let key = spec.rules.unique_key.iter().map(place).collect::<Result<Vec<_>>>()?;
        let rest = spec.rules.version_columns().chain(&spec.partition_columns);
        let rest = rest.map(place).collect::<Result<Vec<_>>>()?;
        let ours = |batch: &RecordBatch| {
            let column =
                |name: &String| Ok(Arc::clone(batch.column(batch.schema().index_of(name).map_err(lost)?)));
            spec.rules.unique_key.iter().map(column).collect::<Result<Vec<_>>>()
        };
        let keys = deduped.batches.iter().map(ours).collect::<Result<Vec<_>>>()?;
        let types: Vec<DataType> = key.iter().map(|at| plain(target.field(*at).data_type())).collect();
        let index = KeyIndex::new(&keys, &types, engine.threads()).map_err(failed)?;
        Ok(Self { index, key, rest })
    }

    async fn through(self: Arc<Self>, mut stream: PlacedStream) -> Result<Matches> {
        let mut matches = Matches::default();
        while let Some(placed) = stream.next().await? {
            self.probe(&placed.batch, placed.file, |row| placed.number(row), &mut matches)?;
        }
        Ok(matches)
    }

    fn probe(
        &self,
        batch: &RecordBatch,
        file: usize,
        number: impl Fn(usize) -> u64,
        matches: &mut Matches,
    ) -> Result<()> {
        let unpacked = |at: &usize| cast(batch.column(*at), &plain(batch.column(*at).data_type()));
        let key = self.key.iter().map(unpacked).collect::<std::result::Result<Vec<_>, _>>();
        let key = key.map_err(|error| failed(error.into()))?;
        let rest = batch.project(&self.rest).map_err(|error| failed(error.into()))?;
        self.index.probe(&key, &rest, file, number, matches).map_err(failed)
    }
}

/// A type without the dictionary around it.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => (**values).clone(),
        other => other.clone(),
    }
}

/// Gives each row its class.
async fn classify(
    engine: &Engine,
    spec: &LoadSpec,
    deduped: &Rows,
    found: &Found,
    table: Option<&Table>,
) -> Result<Rows> {
    let Some(by_key) = found.matches.by_key(deduped.len()) else {
        return Err(doubled_keys(engine, spec, deduped, &found.matches).await?);
    };
    let located = beside(engine, spec, deduped, found, &by_key).map_err(|error| failed(error.into()))?;
    let Settled { rows, mut classes, level } = by_version(engine, spec, located)?;
    if let Some(level) = level {
        for (at, class) in settle_level(engine, spec, &level, table).await? {
            classes[at] = Some(class);
        }
    }
    with_classes(rows, &classes)
}

async fn counted(engine: &Engine, spec: &LoadSpec, rows: Slices) -> Result<Located> {
    let text = Text::new(spec);
    let _classified = engine.register_slices("classified", &rows)?;
    let cells = count_cells(engine, &text).await?;
    let ties = find_ties(engine, spec, &text).await?;
    Ok(Located { rows, cells, ties })
}

/// Each deduped row beside the version, the partition and the place of the target's row with its key.
fn beside(
    engine: &Engine,
    spec: &LoadSpec,
    deduped: &Rows,
    found: &Found,
    by_key: &[Option<u32>],
) -> std::result::Result<Rows, ArrowError> {
    let matches = &found.matches;
    let files: Vec<Option<i32>> = matches.files.iter().map(|file| i32::try_from(*file).ok()).collect();
    let urls: ArrayRef = Arc::new(StringArray::from_iter_values(&found.urls));
    let files: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(files), urls)?);
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(matches.numbers.iter().copied()));
    let all =
        matches.columns.first().map(|first| concat_batches(&first.schema(), &matches.columns)).transpose()?;
    let type_of = |name: &String| deduped.schema.field_with_name(name).map(|field| field.data_type().clone());
    let mut versions = Vec::new();
    for (at, name) in spec.rules.version_columns().enumerate() {
        versions.push(match &all {
            Some(all) => cast(all.column(at), &type_of(name)?)?,
            None => new_empty_array(&type_of(name)?),
        });
    }
    let mut theirs: Vec<(String, ArrayRef)> = vec![
        ("__hw_t_version".to_owned(), version_of(spec, &versions)?),
        ("__hw_t_hash".to_owned(), new_null_array(&DataType::Utf8, matches.keys.len())),
    ];
    for (number, name) in spec.partition_columns.iter().enumerate() {
        let values = match &all {
            Some(all) => {
                let values = all.column(versions.len() + number);
                cast(values, &plain(values.data_type()))?
            }
            None => new_empty_array(&type_of(name)?),
        };
        theirs.push((target_partition(number), values));
    }
    theirs.extend([(FILE.to_owned(), files), (NUMBER.to_owned(), numbers)]);

    let mut fields: Vec<_> = deduped.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("__hw_found", DataType::Boolean, false)));
    fields.extend(
        theirs.iter().map(|(name, values)| Arc::new(Field::new(name, values.data_type().clone(), true))),
    );
    let schema = Arc::new(Schema::new(fields));
    let (mut parts, mut from) = (Vec::with_capacity(deduped.batches.len()), 0);
    for batch in &deduped.batches {
        parts.push((batch, &by_key[from..from + batch.num_rows()]));
        from += batch.num_rows();
    }
    let with_theirs = |(batch, places): (&RecordBatch, &[Option<u32>])| {
        let found: BooleanArray = places.iter().map(|place| Some(place.is_some())).collect();
        let places = UInt32Array::from(places.to_vec());
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(found));
        for (_, values) in &theirs {
            columns.push(take(values, &places, None)?);
        }
        RecordBatch::try_new(Arc::clone(&schema), columns)
    };
    let batches = in_threads(parts, engine.threads(), with_theirs)?;
    Ok(Rows { schema, batches })
}

/// What rows with these columns of the version are compared by.
fn version_of(spec: &LoadSpec, columns: &[ArrayRef]) -> std::result::Result<ArrayRef, ArrowError> {
    match (columns, spec.rules.sequence.is_empty()) {
        ([only], true) => Ok(Arc::clone(only)),
        _ => version_key(columns, &spec.rules.version_orders().collect::<Vec<_>>()),
    }
}

/// The target's files that hold rows to be replaced: how many, and their bytes.
///
/// # Errors
/// Fails when the rows were not located.
pub fn files_to_rewrite(located: &Located, target: &Table) -> Result<(usize, i64)> {
    let touched = files_of(&located.rows, |class| class == Class::Updated)?;
    let files = target.files()?;
    let concerned = files.iter().filter(|(file, _)| touched.contains(&target.url_of(file)));
    Ok((touched.len(), concerned.map(|(_, size)| size.bytes).sum()))
}

/// The target's files that located rows of such a class lie in, by their URLs.
fn files_of(rows: &Slices, wanted: impl Fn(Class) -> bool) -> Result<BTreeSet<String>> {
    let lost = |error: ArrowError| Error::bug("rows were not located").because(error);
    let mut files = BTreeSet::new();
    for batch in rows.columns(&[CLASS, FILE])? {
        let batch = batch?;
        let of_class = of_class(&batch, &wanted).map_err(lost)?;
        files.extend(files_in(column(&batch, FILE).map_err(lost)?, |row| of_class.value(row))?);
    }
    Ok(files)
}

/// The URLs in a column of files, of such rows.
fn files_in(places: &ArrayRef, wanted: impl Fn(usize) -> bool) -> Result<Vec<String>> {
    let urls = places.as_any_dictionary_opt().ok_or_else(|| Error::bug("files are not numbered"))?;
    if urls.values().is_empty() {
        return Ok(Vec::new());
    }
    let mut met = vec![false; urls.values().len()];
    for (row, place) in urls.normalized_keys().into_iter().enumerate() {
        if places.is_valid(row) && wanted(row) {
            met[place] = true;
        }
    }
    let names = texts(urls.values())?;
    Ok(names.into_iter().zip(met).filter(|(_, met)| *met).filter_map(|(name, _)| name).collect())
}

/// A key that the target holds twice would match twice; nothing is loaded on top of a broken table.
async fn doubled_keys(engine: &Engine, spec: &LoadSpec, deduped: &Rows, matches: &Matches) -> Result<Error> {
    let mut times = vec![0_i64; deduped.len()];
    for key in &matches.keys {
        times[*key as usize] += 1;
    }
    let schema = with_field(&deduped.schema, Field::new("times there", DataType::Int64, false));
    let (mut batches, mut from) = (Vec::new(), 0);
    for batch in &deduped.batches {
        let of_batch = Int64Array::from(times[from..from + batch.num_rows()].to_vec());
        from += batch.num_rows();
        let columns = batch.columns().iter().cloned().chain([Arc::new(of_batch) as ArrayRef]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect());
        batches.push(batch.map_err(|error| failed(error.into()))?);
    }
    let _located = engine.register_rows("located", &Rows { schema, batches })?;
    let key: Vec<&str> = spec.rules.unique_key.iter().map(String::as_str).collect();
    let key = quoted(&key);
    let sql = format!(
        "SELECT {key}, `times there` FROM located WHERE `times there` > 1 ORDER BY {key} LIMIT {EXAMPLES}"
    );
    let doubled = describe(&engine.rows(&sql, &Params::new()).await?, spec.pii())?;
    Ok(Error::person(format!("the target holds keys more than once: {}", doubled.join("; "))).hint(
        "nothing is loaded on top of a broken table; delete the surplus rows, or check that `unique_key` \
         names the target's key",
    ))
}

/// Located rows by partition and class, once more: the gate gives rows that it keeps out a class of their own.
///
/// # Errors
/// Fails when the query does.
pub async fn recount(engine: &Engine, spec: &LoadSpec, rows: &Slices) -> Result<Cells> {
    let _classified = engine.register_slices("classified", rows)?;
    count_cells(engine, &Text::new(spec)).await
}

async fn count_cells(engine: &Engine, text: &Text<'_>) -> Result<Cells> {
    // By the values first: names are made of the few that there are.
    let names = text.partition_columns();
    let mut by = quoted(&names.iter().map(String::as_str).collect::<Vec<_>>());
    if !by.is_empty() {
        by.push_str(", ");
    }
    let sql = format!(
        "SELECT `new`, `old`, `__hw_class`, CAST(SUM(`n`) AS BIGINT) AS `n` FROM (\
           SELECT {} AS `new`, CASE WHEN `__hw_found` THEN {} END AS `old`, `__hw_class`, `n` FROM (\
             SELECT {by}`__hw_found`, `__hw_class`, COUNT(*) AS `n` FROM classified \
             GROUP BY {by}`__hw_found`, `__hw_class`\
           ) AS v\
         ) AS c GROUP BY `new`, `old`, `__hw_class`",
        text.new_partition(),
        text.old_partition(),
    );
    let rows = engine.rows(&sql, &Params::new()).await?;
    let mut cells = Cells::new();
    for batch in &rows.batches {
        let (new, old) = (column_texts(batch, "new")?, column_texts(batch, "old")?);
        let class = column_texts(batch, CLASS)?;
        let n = column(batch, "n").map_err(|error| failed(error.into()))?.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let class = class[row].as_deref().and_then(Class::from_name);
            let class = class.ok_or_else(|| Error::bug("a row has no class"))?;
            cells.insert((new[row].clone().unwrap_or_default(), old[row].clone(), class), n.value(row));
        }
    }
    Ok(cells)
}

async fn find_ties(engine: &Engine, spec: &LoadSpec, text: &Text<'_>) -> Result<TargetTies> {
    let version = text.version("classified");
    let tied =
        format!("FROM classified WHERE {version} = `__hw_t_version` AND `__hw_class` IN ('tied', 'updated')");
    let counted = engine.rows(&format!("SELECT COUNT(*) AS `n` {tied}"), &Params::new()).await?;
    let mut ties = TargetTies { rows: first_number(&counted, "n")?, ..TargetTies::default() };
    if ties.rows == 0 || spec.rules.on_tie != OnTie::Fail {
        return Ok(ties);
    }
    let shown = quoted(&text.identifying());
    let sql = format!("SELECT {shown} {tied} ORDER BY {shown} LIMIT {EXAMPLES}");
    ties.examples = describe(&engine.rows(&sql, &Params::new()).await?, spec.pii())?;
    Ok(ties)
}
