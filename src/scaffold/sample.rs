//! Rows to guess by: those of a table, or of files.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::Schema;
use deltalake::datafusion::catalog::TableProvider;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{FileFormat, Files, Location};
use crate::contract::ddl::TableDef;
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Known, Rows};
use crate::error::{Error, Result};
use crate::init::inferred_staging;
use crate::lake::record::exact_values;
use crate::lake::{Fault, Lake, RawReader, Table, create_table};
use crate::model::RawFile;
use crate::model::types::Field;

/// Rows that are looked at, at most: enough to guess by, and read in seconds.
const MOST: usize = 1_000_000;

/// Bytes of rows of files that are looked at, at most.
const MOST_BYTES: usize = 512 << 20;

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
        let Some(first) = found.first().cloned() else {
            return Err(Error::usage(format!("no file is there: {}/{}", files.folder, files.pattern))
                .hint("name files by a pattern, such as 'incoming/**/*.csv', in quotes"));
        };
        let delimiter = delimiter(reader, first).await?.filter(|delimiter| *delimiter != files.csv.delimiter);
        let mut files = files.clone();
        files.csv.delimiter = delimiter.unwrap_or(files.csv.delimiter);
        let def = inferred_staging(lake, &files, staging.name()).await?;
        let reader = typed(lake, &files, staging, &def).await?;
        let known = reader.fields().to_vec();
        let count = found.len();
        let read = tokio::task::spawn_blocking(move || Read::of(&reader, &found)).await;
        let read = read.map_err(|error| Error::bug("a look at files ended early").because(error))??;
        let schema = match read.batches.first() {
            Some(batch) => batch.schema(),
            None => Arc::new(Schema::new(known.clone())),
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

    /// Rows that differ from another which has these columns in common with them, but for columns that only tell where
    /// they came from.
    pub(super) async fn ties(&self, columns: &[&str], lineage: &[String]) -> Result<u64> {
        let _looked_at = self.looked_at().await?;
        let told =
            self.fields.iter().filter(|field| !field.data_type.is_nested() && !lineage.contains(&field.name));
        let all: Vec<String> = told.map(|field| Ident(&field.name).to_string()).collect();
        let by: Vec<String> = columns.iter().map(|name| Ident(name).to_string()).collect();
        let sql = format!(
            "SELECT COALESCE(SUM(`n` - 1), 0) AS `ties` FROM (SELECT COUNT(*) AS `n` FROM (SELECT DISTINCT {} FROM \
             looked_at) AS d GROUP BY {}) AS g",
            all.join(", "),
            by.join(", ")
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

async fn delimiter(reader: RawReader, file: RawFile) -> Result<Option<u8>> {
    let looked = tokio::task::spawn_blocking(move || match reader.delimiter(&file) {
        Ok(found) => Ok(found),
        Err(fault) => unreadable(&file, fault).map(|()| None),
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

/// Whether a person means files: a pattern, or a name that ends like one of a file.
pub(super) fn means_files(text: &str) -> bool {
    text.contains(['*', '?', '[']) || FileFormat::of(text).is_some()
}

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
