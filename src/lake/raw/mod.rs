//! Files of other formats than Delta, that only come in: lists them, and reads their rows as those of a table.
//!
//! A row that cannot be read never stops those around it: it comes out as [`Corrupt`]. What stops a file is a [`Fault`].

mod avro;
mod columns;
mod csv;
mod fitted;
mod infer;
mod json;
mod lines;
mod parquet;
mod typed;
mod unpack;

use std::collections::HashSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::SecondsFormat;
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::{Field, FieldRef};
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio_util::io::{StreamReader, SyncIoBridge};

pub use self::infer::{inferred, own_columns};

use super::open::{Lake, folder, location_url};
use crate::config::{FileFormat, Files};
use crate::error::{Error, Result};
use crate::failure::{self, Phase};
use crate::model::RawFile;
use crate::model::ingest::INGEST_COLUMNS;

/// Rows of one batch.
const ROWS: usize = 8 << 10;

/// The most characters of a row that could not be read that are kept.
const LONGEST_TEXT: usize = 8_000;

/// Rows of a file, in the columns that were asked for.
#[derive(Debug)]
pub struct Chunk {
    /// Rows: the columns in their order, and last the line or row in the file.
    pub rows: RecordBatch,
    /// Rows that could not be read.
    pub corrupt: Vec<Corrupt>,
    /// Columns of the file that were not asked for, as far as was looked.
    pub extra: Vec<String>,
}

/// The names that are not among the fields.
fn extra<'n>(names: impl IntoIterator<Item = &'n String>, fields: &[FieldRef]) -> Vec<String> {
    let is_extra = |name: &&String| {
        let is_it = |field: &FieldRef| field.name().to_lowercase() == name.to_lowercase();
        !INGEST_COLUMNS.contains(&name.as_str()) && !fields.iter().any(is_it)
    };
    names.into_iter().filter(is_extra).cloned().collect()
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// The line on which it begins, or its number.
    pub row: i64,
    /// What is wrong.
    pub reason: String,
    /// The row as it was written.
    pub text: String,
}

impl Corrupt {
    fn new(row: i64, reason: impl Into<String>, text: &str) -> Self {
        Self { row, reason: reason.into(), text: text.chars().take(LONGEST_TEXT).collect() }
    }
}

/// Why a file's rows do not come in.
#[derive(Debug)]
pub enum Fault {
    /// The store cannot be read: nothing is known of the file.
    Away(Error),
    /// It is not there any more, or another than the listing had.
    Changed,
    /// It cannot be read, for this reason.
    Broken(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> =
            error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        while let Some(inner) = source {
            if inner.downcast_ref::<object_store::Error>().is_some() {
                return Self::Away(failure::of(Phase::Data, "cannot read a raw file", error));
            }
            source = inner.source();
        }
        Self::Broken(error.to_string())
    }
}

/// Takes rows as they are read; may end the reading.
type Sink<'a> = &'a mut dyn FnMut(Chunk) -> ControlFlow<()>;

/// Where a column stands among names: by its name or, as Delta does, whatever the case, where that is only one.
fn position(names: &[String], column: &str) -> Option<usize> {
    names.iter().position(|name| name == column).or_else(|| {
        let mut alike =
            names.iter().enumerate().filter(|(_, name)| name.to_lowercase() == column.to_lowercase());
        let (at, _) = alike.next()?;
        alike.next().is_none().then_some(at)
    })
}

/// Reads files as the rows of one table.
#[derive(Clone)]
pub struct RawReader {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    is_local: bool,
    files: Files,
    fields: Arc<Vec<FieldRef>>,
}

impl Lake {
    /// What reads these files as rows of a table with these columns, of which those that bringing in fills are left out.
    ///
    /// # Errors
    /// Fails when their place is none.
    pub async fn raw_reader(&self, files: &Files, columns: &[FieldRef]) -> Result<RawReader> {
        let url = location_url(&files.folder)?;
        let fields = columns.iter().filter(|field| !INGEST_COLUMNS.contains(&field.name().as_str()));
        Ok(RawReader {
            store: self.store_below(&url).await?,
            folder: folder(&url)?,
            is_local: url.scheme() == "file",
            files: files.clone(),
            fields: Arc::new(fields.cloned().collect()),
        })
    }
}

impl RawReader {
    /// The files that the pattern means, in no order.
    ///
    /// # Errors
    /// Fails when the folder is missing, or the store away.
    pub async fn list(&self) -> Result<Vec<RawFile>> {
        let pattern = glob::Pattern::new(&self.files.pattern)
            .map_err(|error| Error::bug("a checked pattern is none").because(error))?;
        let what = || format!("cannot list {}", self.files.folder);
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        if self.files.folder.as_str().starts_with('/')
            && !std::path::Path::new(self.files.folder.as_str()).is_dir()
        {
            return Err(Error::usage(format!("there is no folder {}", self.files.folder))
                .hint("correct `source.files.path`"));
        }
        let mut listed = self.store.list(Some(&self.folder));
        let (mut found, mut tables) = (Vec::new(), HashSet::new());
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|error| failure::of(Phase::Data, &what(), error))?;
            let Some(parts) = meta.location.prefix_match(&self.folder) else { continue };
            let path = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if let Some(at) = path.find("_delta_log/").filter(|at| *at == 0 || path[..*at].ends_with('/')) {
                tables.insert(path[..at].to_owned());
            }
            let is_hidden = path.split('/').any(|name| name.starts_with(['.', '_']));
            if !is_hidden && pattern.matches_with(&path, options) {
                found.push(RawFile { path, ..self.raw_file(&meta) });
            }
        }
        // What a table's log names is no raw file: least of all that of staging, which would read what it wrote.
        found.retain(|file| !tables.iter().any(|table| file.path.starts_with(table)));
        Ok(found)
    }

    /// Reads a file's rows. To be called where one may wait.
    ///
    /// # Errors
    /// Fails with why its rows do not come in; some may have been given to the sink before.
    pub fn read(&self, file: &RawFile, sink: Sink<'_>) -> std::result::Result<(), Fault> {
        let (fields, on_corrupt) = (&self.fields, self.files.on_corrupt);
        match self.format_of(file) {
            None => Err(Fault::Broken(format!(
                "the name `{}` tells no format: say `source.files.format`",
                file.path
            ))),
            Some(FileFormat::Csv) => csv::read(self.input(file)?, &self.files, fields, sink),
            Some(FileFormat::Ndjson) => json::read_lines(self.input(file)?, fields, on_corrupt, sink),
            Some(FileFormat::Json) => json::read_objects(self.input(file)?, fields, on_corrupt, sink),
            Some(FileFormat::Avro) => avro::read(self.unpacked(file)?, fields, on_corrupt, sink),
            Some(FileFormat::Parquet) => parquet::read(self.bytes(file)?, fields, on_corrupt, sink),
        }
    }

    /// How a file is written: as the pipeline file says, else as its name does.
    fn format_of(&self, file: &RawFile) -> Option<FileFormat> {
        self.files.format.or_else(|| FileFormat::of(&file.path))
    }

    /// The text of a file, unpacked, in UTF-8.
    fn input(&self, file: &RawFile) -> std::result::Result<Box<dyn Read + Send>, Fault> {
        Ok(unpack::decoded(self.unpacked(file)?, self.files.encoding.as_deref())?)
    }

    /// The bytes of a file, unpacked.
    fn unpacked(&self, file: &RawFile) -> std::result::Result<Box<dyn Read + Send>, Fault> {
        let packed: Box<dyn Read + Send> = match self.get(file)? {
            GetResultPayload::File(file, _) => Box::new(file),
            GetResultPayload::Stream(stream) => {
                let stream = stream.map(|bytes| bytes.map_err(std::io::Error::other));
                Box::new(SyncIoBridge::new(StreamReader::new(stream)))
            }
        };
        Ok(unpack::unpacked(packed, &file.path)?)
    }

    /// A Parquet file as one that can be read anywhere.
    fn bytes(&self, file: &RawFile) -> std::result::Result<parquet::Input, Fault> {
        match self.get(file)? {
            GetResultPayload::File(file, _) => Ok(parquet::Input::File(file)),
            GetResultPayload::Stream(_) => Ok(parquet::Input::Stored(
                Arc::clone(&self.store),
                self.path_of(file)?,
                file.size.unsigned_abs(),
            )),
        }
    }

    /// The path as the store has it: nothing in it stands for something else.
    fn path_of(&self, file: &RawFile) -> std::result::Result<Path, Fault> {
        let path = if self.folder.as_ref().is_empty() {
            file.path.clone()
        } else {
            format!("{}/{}", self.folder, file.path)
        };
        Path::parse(path).map_err(|error| Fault::Broken(error.to_string()))
    }

    fn get(&self, file: &RawFile) -> std::result::Result<GetResultPayload, Fault> {
        let got = match tokio::runtime::Handle::current().block_on(self.store.get(&self.path_of(file)?)) {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err(Fault::Changed),
            Err(error) => {
                let what = format!("cannot read {}/{}", self.files.folder, file.path);
                return Err(Fault::Away(failure::of(Phase::Data, &what, error)));
            }
        };
        let now = self.raw_file(&got.meta);
        // Some stores tell the tag in one kind of answer only, and times to the second.
        let same_time = now.modified.timestamp() == file.modified.timestamp();
        let is_same = now.size == file.size && (now.tag == file.tag || same_time);
        if is_same { Ok(got.payload) } else { Err(Fault::Changed) }
    }

    /// A file as the store knows it, without its path.
    fn raw_file(&self, meta: &ObjectMeta) -> RawFile {
        // A local file's tag holds its inode, which another copy of the same file has not. Listings and answers may
        // quote a tag or not.
        let stored = meta.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_owned());
        let stored = stored.filter(|tag| !self.is_local && !tag.is_empty());
        let tag = stored.unwrap_or_else(|| meta.last_modified.to_rfc3339_opts(SecondsFormat::Nanos, true));
        let size = i64::try_from(meta.size).unwrap_or(i64::MAX);
        RawFile { path: String::new(), size, tag, modified: meta.last_modified }
    }

    /// The columns that files are read as.
    #[must_use]
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }
}

/// The column with the line or row in the file.
fn row_field() -> Field {
    Field::new("row", deltalake::arrow::datatypes::DataType::Int64, false)
}
