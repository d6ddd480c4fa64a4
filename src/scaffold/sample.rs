//! Rows to guess by: those of a table, or of files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::datafusion::catalog::TableProvider;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{FileFormat, Files, Location};
use crate::contract::ddl::TableDef;
use crate::engine::sql::Params;
use crate::engine::{Engine, Known, Rows};
use crate::error::{Error, Result};
use crate::init::inferred_staging;
use crate::lake::record::exact_values;
use crate::lake::{Fault, Lake, RawReader, Table, create_table};
use crate::model::RawFile;
use crate::model::types::Field;
use crate::stages::rows::quoted;

/// Rows that are looked at, at most: enough to guess by, and read in seconds.
const MOST: usize = 1_000_000;

/// Bytes of rows of files that are looked at, at most.
const MOST_BYTES: usize = 512 << 20;

/// Files that are asked for what separates their fields, at most.
const MOST_TRIED: usize = 20;

/// Bytes that the look may hold.
const MEMORY: usize = 2 << 30;

/// Rows, and what is known of where they are from.
pub(super) struct Sample {
    pub(super) engine: Engine,
    /// What the table is called.
    pub(super) table: String,
    /// The table's version that is looked at, where it is there.
    pub(super) version: Option<u64>,
    pub(super) files: Option<SampledFiles>,
    pub(super) fields: Vec<Field>,
    rows: Relation,
    is_read_to_its_end: bool,
}

/// Files that rows were looked at in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampledFiles {
    /// Which ones, as it is written in the pipeline file.
    pub path: String,
    /// What separates fields, where that is no comma.
    pub delimiter: Option<char>,
    /// How many there are.
    pub count: usize,
    /// Others in the same folder, of another format or none.
    pub left_out: usize,
    /// Rows that cannot be read, of those that were looked at.
    pub corrupt: usize,
    /// One of them: its file, line and what is wrong.
    pub example: Option<String>,
}

enum Relation {
    Table(Arc<dyn TableProvider>),
    Read(Rows),
}

impl Sample {
    pub(super) async fn of_table(table: &Table) -> Result<Self> {
        let engine = Engine::new(MEMORY);
        let rows = Relation::Table(table.rows(&engine.state()).await?);
        let fields = table.columns()?.into_iter().map(|column| column.field).collect();
        Ok(Self {
            engine,
            table: table.name().to_owned(),
            version: Some(table.version()),
            files: None,
            fields,
            rows,
            is_read_to_its_end: true,
        })
    }

    /// Reads the first of these files, which are told as `path`, as rows of the table that `init` would make of them.
    pub(super) async fn of_files(
        lake: &Lake,
        files: &Files,
        staging: &Location,
        path: String,
    ) -> Result<Self> {
        let reader = lake.raw_reader(files, &[]).await?;
        let mut found = reader.list().await?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        if found.is_empty() {
            return Err(Error::usage(format!("no file is there: {}/{}", files.folder, files.pattern))
                .hint("name files by a pattern, such as 'incoming/**/*.csv', in quotes"));
        }
        let delimiter =
            delimiter(reader, found.clone()).await?.filter(|delimiter| *delimiter != files.csv.delimiter);
        let mut files = files.clone();
        files.csv.delimiter = delimiter.unwrap_or(files.csv.delimiter);
        let def = inferred_staging(lake, &files, staging.name()).await?;
        let reader = typed(lake, &files, staging, &def).await?;
        let known = reader.fields().to_vec();
        let count = found.len();
        let read = tokio::task::spawn_blocking(move || Read::of(&reader, &found)).await;
        let read = read.map_err(|error| Error::bug("a look at files ended early").because(error))??;
        let Some(schema) = read.batches.iter().find(|batch| batch.num_rows() > 0).map(RecordBatch::schema)
        else {
            let why =
                read.example.map_or("they are empty".to_owned(), |example| format!("such as {example}"));
            return Err(Error::usage(format!("no row of {path} can be read: {why}")).hint(
                "write the pipeline file by hand, and say how files are written, `encoding: latin1` say: highwater schema pipeline",
            ));
        };
        let is_of_files = |name: &str| known.iter().any(|field| field.name() == name);
        let fields = def.columns.into_iter().map(|column| column.field);
        Ok(Self {
            engine: Engine::new(MEMORY),
            table: staging.name().to_owned(),
            version: None,
            fields: fields.filter(|field| is_of_files(&field.name)).collect(),
            files: Some(SampledFiles {
                path,
                delimiter: delimiter.map(char::from),
                count,
                left_out: 0,
                corrupt: read.corrupt,
                example: read.example,
            }),
            rows: Relation::Read(Rows { schema, batches: read.batches }),
            is_read_to_its_end: read.is_whole,
        })
    }

    /// The rows, as the relation `looked_at`.
    pub(super) async fn looked_at(&self) -> Result<[Known<'_>; 2]> {
        let whole = match &self.rows {
            Relation::Table(table) => self.engine.register("whole", Arc::clone(table))?,
            Relation::Read(rows) => self.engine.register_rows("whole", rows)?,
        };
        let view = format!("SELECT * FROM whole LIMIT {MOST}");
        Ok([whole, self.engine.register_view("looked_at", &view).await?])
    }

    /// The one row of a query over `looked_at`.
    pub(super) async fn first(&self, sql: &str) -> Result<Map<String, Value>> {
        let rows = exact_values(&self.engine.rows(sql, &Params::new()).await?)?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// Whether all rows there are were looked at.
    pub(super) fn is_whole(&self, rows: u64) -> bool {
        rows < MOST as u64 && self.is_read_to_its_end
    }

    /// These columns of all rows that differ from each other, but for columns that only tell where they came from.
    pub(super) async fn distinct(&self, columns: &[&str], lineage: &[String]) -> Result<Rows> {
        let _looked_at = self.looked_at().await?;
        let told = |field: &&Field| !field.data_type.is_nested() && !lineage.contains(&field.name);
        let all = self.fields.iter().filter(told).map(|field| field.name.as_str()).collect::<Vec<_>>();
        let sql =
            format!("SELECT {} FROM (SELECT DISTINCT {} FROM looked_at) AS d", quoted(columns), quoted(&all));
        self.engine.rows(&sql, &Params::new()).await
    }

    /// How many of these rows have the columns in common with another.
    pub(super) async fn ties(&self, distinct: &Rows, columns: &[&str]) -> Result<u64> {
        let _distinct = self.engine.register_rows("told_apart", distinct)?;
        let sql = format!(
            "SELECT COALESCE(SUM(`n` - 1), 0) AS `ties` FROM (SELECT COUNT(*) AS `n` FROM told_apart GROUP BY {}) AS g",
            quoted(columns)
        );
        Ok(self.first(&sql).await?.get("ties").and_then(Value::as_u64).unwrap_or_default())
    }
}

/// What reads files as rows of the table that would be made of them.
async fn typed(lake: &Lake, files: &Files, staging: &Location, def: &TableDef) -> Result<RawReader> {
    // A table in memory tells its columns as files are read: nothing is made where the table will be.
    let place = staging.in_memory(0);
    create_table(lake, &place, def).await?;
    let table = lake.open_to_write(staging.name(), &place).await?;
    lake.raw_reader(files, table.arrow_schema()?.fields()).await
}

/// What separates fields in the first of these files that tells.
async fn delimiter(reader: RawReader, files: Vec<RawFile>) -> Result<Option<u8>> {
    let looked = tokio::task::spawn_blocking(move || {
        for file in files.iter().take(MOST_TRIED) {
            match reader.delimiter(file) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(fault) => unreadable(file, fault)?,
            }
        }
        Ok(None)
    });
    looked.await.map_err(|error| Error::bug("a look at files ended early").because(error))?
}

/// A file that changes is passed over.
fn unreadable(file: &RawFile, fault: Fault) -> Result<()> {
    match fault {
        Fault::Changed => Ok(()),
        Fault::Away(error) => Err(error),
        Fault::Broken(why) => Err(Error::usage(format!("{} cannot be read: {why}", file.path)).hint(
            "leave it out by the pattern; or write the pipeline file by hand: highwater schema pipeline",
        )),
    }
}

/// Rows of files.
#[derive(Default)]
struct Read {
    batches: Vec<RecordBatch>,
    corrupt: usize,
    example: Option<String>,
    is_whole: bool,
}

impl Read {
    fn of(reader: &RawReader, files: &[RawFile]) -> Result<Self> {
        let mut all = Self::default();
        let (mut rows, mut bytes) = (0, 0);
        for file in files {
            let read = reader.read(file, &mut |chunk| {
                if let Some(bad) = chunk.corrupt.first() {
                    all.example.get_or_insert_with(|| format!("{}:{}: {}", file.path, bad.row, bad.reason));
                }
                all.corrupt += chunk.corrupt.len();
                rows += chunk.rows.num_rows();
                bytes += chunk.rows.get_array_memory_size();
                // Last comes the row's number.
                let columns: Vec<usize> = (0..reader.fields().len()).collect();
                all.batches.extend(chunk.rows.project(&columns));
                if rows >= MOST || bytes >= MOST_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if let Err(fault) = read {
                unreadable(file, fault)?;
            }
            if rows >= MOST || bytes >= MOST_BYTES {
                return Ok(all);
            }
        }
        Ok(Self { is_whole: true, ..all })
    }
}

/// What a person means by a source.
pub(super) enum Meant {
    /// A table, or else all files of a folder.
    Table,
    /// Files, by this pattern.
    Files(String),
}

/// What a path or URL means: what is there, whatever it is called; else files, where it is a pattern or ends like a file's
/// name.
pub(super) fn meant(text: &str) -> Meant {
    let path = Path::new(text);
    if path.is_dir() {
        return Meant::Table;
    }
    if path.is_file() {
        return Meant::Files(glob::Pattern::escape(text));
    }
    if text.contains(['*', '?', '[']) || FileFormat::of(text).is_some() {
        Meant::Files(text.to_owned())
    } else {
        Meant::Table
    }
}

/// The pattern of those files in a folder whose format is there most often, and how many others there are.
pub(super) async fn of_one_format(lake: &Lake, files: &Files, folder: &str) -> Result<(String, usize)> {
    let found = lake.raw_reader(files, &[]).await?.list().await?;
    let mut by_format: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &found {
        if FileFormat::of(&file.path).is_some()
            && let Some(ending) = ENDINGS.into_iter().find(|ending| file.path.contains(ending))
        {
            *by_format.entry(ending).or_default() += 1;
        }
    }
    let most = by_format.into_iter().max_by_key(|(_, count)| *count);
    let (ending, count) = most.ok_or_else(|| {
        Error::usage(format!("no file is there whose name tells its format: {folder}"))
            .hint("name files by a pattern, such as 'incoming/**/*.csv', in quotes")
    })?;
    // Packed or not.
    Ok((format!("{}/**/*{ending}*", folder.trim_end_matches('/')), found.len() - count))
}

/// What names of each format hold.
const ENDINGS: [&str; 6] = [".csv", ".ndjson", ".jsonl", ".json", ".parquet", ".avro"];

/// The pattern of all files in a folder.
pub(super) fn all_in(folder: &str) -> String {
    format!("{}/**/*", folder.trim_end_matches('/'))
}

/// Where a table of this name lies whose rows come from these files: on this machine, beside the pipeline file; else
/// beside the files' folder.
pub(super) fn table_for(files: &Files, folder: &Path, name: &str) -> String {
    if files.folder.is_url() {
        files.folder.sibling(name).to_string()
    } else {
        folder.join(name).display().to_string()
    }
}
