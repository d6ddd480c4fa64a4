//! Rows of a batch, in slices of which each fits memory.
//!
//! A batch that fits is one slice, in memory. The rows of one that does not are cut by key while they are read, into
//! files on local disk ([`super::cut`]), and as many of these are a slice as fit together: all rows of a key are in one slice,
//! so slices are deduped and looked up one after the other. What becomes of a slice is spooled like the slice itself.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::ipc::CompressionType;
use deltalake::arrow::ipc::reader::StreamReader;
use deltalake::arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::memory_pool::MemoryReservation;
use deltalake::datafusion::physical_plan::spill::get_record_batch_memory_size;

use super::session::{Rows, failed};
use crate::error::{Error, Result};

/// Bytes that are read from a file at once.
const READ_AT_ONCE: usize = 256 << 10;

/// Rows, in slices. There is at least one.
#[derive(Debug, Clone)]
pub struct Slices {
    pub(super) schema: SchemaRef,
    pub(super) slices: Vec<Slice>,
}

#[derive(Debug, Clone)]
pub(super) enum Slice {
    /// In memory; what is reserved for them is given back with the last copy.
    Here { batches: Vec<RecordBatch>, _held: Option<Arc<MemoryReservation>> },
    /// On disk.
    Spooled(Vec<Spooled>),
}

/// Rows in a file that has no name, and is gone with the last that holds it.
#[derive(Debug, Clone)]
pub(super) struct Spooled {
    file: Arc<File>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl From<Rows> for Slices {
    fn from(Rows { schema, batches }: Rows) -> Self {
        Self { schema, slices: vec![Slice::Here { batches, _held: None }] }
    }
}

impl Slices {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.iter().map(Slice::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many slices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slices.len()
    }

    /// Whether the rows lie on disk.
    #[must_use]
    pub fn is_spooled(&self) -> bool {
        self.slices.iter().any(|slice| matches!(slice, Slice::Spooled(_)))
    }

    /// Bytes that the rows take in memory, all at once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(Slice::bytes).sum()
    }

    /// The slices, each in memory as long as it is looked at.
    pub fn each(&self) -> impl Iterator<Item = Result<Rows>> {
        self.slices.iter().map(|slice| slice.clone().load(&self.schema))
    }

    /// The slices; those in memory are given away.
    pub fn into_each(self) -> impl Iterator<Item = Result<Rows>> {
        let Self { schema, slices } = self;
        slices.into_iter().map(move |slice| slice.load(&schema))
    }

    /// The rows, no more of them in memory at once than a batch where they lie on disk.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch>> + use<> {
        let slices = self.slices.clone().into_iter();
        slices.flat_map(|slice| slice.batches(None)).map(|batch| batch.map_err(broken))
    }

    /// Some columns of the rows, as [`Self::batches`] gives all: others are not read.
    ///
    /// # Errors
    /// Fails when there is no such column.
    pub fn columns(&self, names: &[&str]) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let places = names.iter().map(|name| self.schema.index_of(name));
        let places = places.collect::<std::result::Result<Vec<_>, _>>().map_err(broken)?;
        let slices = self.slices.clone().into_iter();
        Ok(slices
            .flat_map(move |slice| slice.batches(Some(places.clone())))
            .map(|batch| batch.map_err(broken)))
    }

    /// Keeps what becomes of these slices where they lie themselves.
    #[must_use]
    pub fn alike(&self) -> SlicesMade {
        SlicesMade { schema: None, slices: Vec::new(), spools: self.is_spooled() }
    }
}

/// What became of slices, one after the other.
#[derive(Debug)]
pub struct SlicesMade {
    schema: Option<SchemaRef>,
    slices: Vec<Slice>,
    spools: bool,
}

impl SlicesMade {
    /// Adds what became of the next slice.
    ///
    /// # Errors
    /// Fails when the disk is full.
    pub fn push(&mut self, rows: Rows) -> Result<()> {
        // What a plan says of columns and what its batches say can differ; the batches are right.
        if self.schema.is_none() || !rows.is_empty() {
            self.schema = Some(rows.schema.clone());
        }
        self.slices.push(if self.spools {
            let mut spool = Spool::new(&rows.schema)?;
            rows.batches.iter().try_for_each(|batch| spool.write(batch)).map_err(unwritable)?;
            Slice::Spooled(vec![spool.finish()?])
        } else {
            Slice::Here { batches: rows.batches, _held: None }
        });
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// Fails when there was none.
    pub fn done(self) -> Result<Slices> {
        let schema = self.schema.ok_or_else(|| Error::bug("there are no slices"))?;
        Ok(Slices { schema, slices: self.slices })
    }
}

impl Slice {
    fn len(&self) -> usize {
        match self {
            Self::Here { batches, .. } => batches.iter().map(RecordBatch::num_rows).sum(),
            Self::Spooled(files) => files.iter().map(|file| file.rows).sum(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Here { batches, .. } => batches.iter().map(get_record_batch_memory_size).sum(),
            Self::Spooled(files) => files.iter().map(|file| file.bytes).sum(),
        }
    }

    fn load(self, schema: &SchemaRef) -> Result<Rows> {
        let batches = self.batches(None).collect::<std::result::Result<_, _>>().map_err(broken)?;
        Ok(Rows { schema: Arc::clone(schema), batches })
    }

    /// The rows, or some columns of them.
    pub(super) fn batches(self, columns: Option<Vec<usize>>) -> Batches {
        match self {
            Self::Here { batches, .. } => match columns {
                None => Box::new(batches.into_iter().map(Ok)),
                Some(columns) => Box::new(batches.into_iter().map(move |batch| batch.project(&columns))),
            },
            Self::Spooled(files) => {
                Box::new(files.into_iter().flat_map(move |file| match file.read(columns.clone()) {
                    Ok(reader) => Box::new(reader) as Batches,
                    Err(error) => Box::new(std::iter::once(Err(error))),
                }))
            }
        }
    }
}

/// Rows, batch by batch.
pub(super) type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

impl Spooled {
    fn read(
        &self,
        columns: Option<Vec<usize>>,
    ) -> std::result::Result<StreamReader<BufReader<Place>>, ArrowError> {
        let place = Place { file: Arc::clone(&self.file), at: 0 };
        StreamReader::try_new(BufReader::with_capacity(READ_AT_ONCE, place), columns)
    }
}

/// A place in a file that others read too.
struct Place {
    file: Arc<File>,
    at: u64,
}

impl io::Read for Place {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A file that rows are written to.
pub(super) struct Spool {
    writer: StreamWriter<BufWriter<File>>,
    rows: usize,
    bytes: usize,
}

impl Spool {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let file = tempfile::tempfile().map_err(unwritable)?;
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME));
        let writer = options
            .and_then(|options| StreamWriter::try_new_with_options(BufWriter::new(file), schema, options));
        Ok(Self { writer: writer.map_err(unwritable)?, rows: 0, bytes: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), ArrowError> {
        let batch = compact(batch)?;
        self.rows += batch.num_rows();
        self.bytes += get_record_batch_memory_size(&batch);
        self.writer.write(&batch)
    }

    pub(super) fn finish(self) -> Result<Spooled> {
        let written = self.writer.into_inner().and_then(|file| {
            file.into_inner().map_err(|error| ArrowError::IoError(error.to_string(), error.into_error()))
        });
        Ok(Spooled { file: Arc::new(written.map_err(unwritable)?), rows: self.rows, bytes: self.bytes })
    }
}

/// The batch without what its views of texts and bytes do not show: the whole of that would be written.
fn compact(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let compact = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        }
    };
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(compact).collect())
}

pub(super) fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let folder = std::env::temp_dir();
    Error::usage(format!("rows that do not fit memory cannot be written to `{}`", folder.display()))
        .because(error)
        .hint("free disk space there, or name a folder with room in TMPDIR; or raise `memory` in the pipeline file")
}

pub(super) fn broken(error: ArrowError) -> Error {
    failed(DataFusionError::from(error))
}
