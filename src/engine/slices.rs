//! Rows of a batch, in slices of which each fits memory.
//!
//! A batch that fits is one slice, in memory. The rows of one that does not are cut by key while they are read, into
//! [`BUCKETS`] files on local disk, and as many of these are a slice as fit together: all rows of a key are in one slice,
//! so slices are deduped and looked up one after the other. What becomes of a slice is spooled like the slice itself.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use deltalake::arrow::compute::interleave_record_batch;
use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::ipc::CompressionType;
use deltalake::arrow::ipc::reader::StreamReader;
use deltalake::arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use deltalake::datafusion::catalog::streaming::StreamingTable;
use deltalake::datafusion::common::hash_utils::{RandomState, create_hashes};
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::memory_pool::MemoryReservation;
use deltalake::datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::datafusion::physical_plan::spill::get_record_batch_memory_size;
use deltalake::datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake::datafusion::physical_plan::streaming::PartitionStream;

use super::session::{Engine, Rows, failed};
use crate::error::{Error, Result};

/// Files that rows are cut into: a batch may be that many times larger than what fits memory, or nearly so.
const BUCKETS: usize = 64;

/// Bytes of rows that are cut at once.
const CUT_AT_ONCE: usize = 16 << 20;

/// Bytes that are read from a file at once.
const READ_AT_ONCE: usize = 256 << 10;

/// Another one than keys are grouped by: a slice's keys would be alike there.
const SEED: u64 = 0x736c_6963;

/// Rows, in slices. There is at least one.
#[derive(Debug, Clone)]
pub struct Slices {
    schema: SchemaRef,
    slices: Vec<Slice>,
}

#[derive(Debug, Clone)]
enum Slice {
    /// In memory; what is reserved for them is given back with the last copy.
    Here { batches: Vec<RecordBatch>, _held: Option<Arc<MemoryReservation>> },
    /// On disk.
    Spooled(Vec<Spooled>),
}

/// Rows in a file that has no name, and is gone with the last that holds it.
#[derive(Debug, Clone)]
struct Spooled {
    file: Arc<File>,
    rows: usize,
    bytes: usize,
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
        self.slices.clone().into_iter().flat_map(Slice::batches).map(|batch| batch.map_err(broken))
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
        let batches = self.batches().collect::<std::result::Result<_, _>>().map_err(broken)?;
        Ok(Rows { schema: Arc::clone(schema), batches })
    }

    fn batches(self) -> Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send> {
        match self {
            Self::Here { batches, .. } => Box::new(batches.into_iter().map(Ok)),
            Self::Spooled(files) => Box::new(files.into_iter().flat_map(|file| match file.read() {
                Ok(reader) => Box::new(reader) as Box<dyn Iterator<Item = _> + Send>,
                Err(error) => Box::new(std::iter::once(Err(error))),
            })),
        }
    }
}

impl Spooled {
    fn read(&self) -> std::result::Result<StreamReader<BufReader<Place>>, ArrowError> {
        let place = Place { file: Arc::clone(&self.file), at: 0 };
        StreamReader::try_new(BufReader::with_capacity(READ_AT_ONCE, place), None)
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
struct Spool {
    writer: StreamWriter<BufWriter<File>>,
    rows: usize,
    bytes: usize,
}

impl Spool {
    fn new(schema: &SchemaRef) -> Result<Self> {
        let file = tempfile::tempfile().map_err(unwritable)?;
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME));
        let writer = options
            .and_then(|options| StreamWriter::try_new_with_options(BufWriter::new(file), schema, options));
        Ok(Self { writer: writer.map_err(unwritable)?, rows: 0, bytes: 0 })
    }

    fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), ArrowError> {
        let batch = compact(batch)?;
        self.rows += batch.num_rows();
        self.bytes += get_record_batch_memory_size(&batch);
        self.writer.write(&batch)
    }

    fn finish(self) -> Result<Spooled> {
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

/// Collects rows, and cuts them by key once they do not fit memory.
pub(super) struct Cut<'k> {
    key: &'k [String],
    engine: &'k Engine,
    here: Vec<RecordBatch>,
    held: MemoryReservation,
    buckets: Vec<Spool>,
}

impl<'k> Cut<'k> {
    pub(super) fn new(engine: &'k Engine, key: &'k [String]) -> Result<Self> {
        let held = engine.reserve("staged rows", 0)?;
        Ok(Self { key, engine, here: Vec::new(), held, buckets: Vec::new() })
    }

    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = get_record_batch_memory_size(&batch);
        let most = self.engine.most_in_one_piece();
        let full = if self.buckets.is_empty() { most } else { most.min(CUT_AT_ONCE) };
        if self.held.size() + bytes > full {
            self.spool()?;
        }
        self.held.try_grow(bytes).map_err(failed)?;
        self.here.push(batch);
        Ok(())
    }

    /// Writes to disk what is in memory.
    fn spool(&mut self) -> Result<()> {
        let Some(first) = self.here.first() else { return Ok(()) };
        if self.buckets.is_empty() {
            let spools = (0..BUCKETS).map(|_| Spool::new(&first.schema()));
            self.buckets = spools.collect::<Result<_>>()?;
        }
        let mut here = std::mem::take(&mut self.here).into_iter().peekable();
        while here.peek().is_some() {
            let (mut batches, mut bytes) = (Vec::new(), 0);
            while bytes < CUT_AT_ONCE
                && let Some(batch) = here.next()
            {
                bytes += get_record_batch_memory_size(&batch);
                batches.push(batch);
            }
            self.cut(&batches)?;
        }
        self.held.free();
        Ok(())
    }

    fn cut(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let mut places = vec![Vec::new(); BUCKETS];
        for (number, batch) in batches.iter().enumerate() {
            let key = self.key.iter().map(|name| batch.schema().index_of(name));
            let key = key.map(|at| at.map(|at| Arc::clone(batch.column(at))));
            let key = key.collect::<std::result::Result<Vec<_>, _>>().map_err(broken)?;
            let mut hashes = vec![0_u64; batch.num_rows()];
            create_hashes(&key, &RandomState::with_seed(SEED), &mut hashes).map_err(failed)?;
            for (row, hash) in hashes.into_iter().enumerate() {
                // The remainder is less than their number.
                places[usize::try_from(hash % BUCKETS as u64).unwrap_or_default()].push((number, row));
            }
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for (bucket, places) in self.buckets.iter_mut().zip(places) {
            if !places.is_empty() {
                let rows = interleave_record_batch(&batches, &places).map_err(broken)?;
                bucket.write(&rows).map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// The rows; `schema` is theirs where there are none.
    pub(super) fn done(mut self, schema: SchemaRef) -> Result<Slices> {
        let schema = self.here.first().map_or(schema, RecordBatch::schema);
        if self.buckets.is_empty() {
            let here = Slice::Here { batches: self.here, _held: Some(Arc::new(self.held)) };
            return Ok(Slices { schema, slices: vec![here] });
        }
        self.spool()?;
        let mut slices: Vec<Vec<Spooled>> = Vec::new();
        let mut filled = 0;
        for bucket in self.buckets {
            let file = bucket.finish()?;
            if file.bytes > self.engine.most_in_a_slice() {
                return Err(too_large(file.bytes));
            }
            if file.rows == 0 && !slices.is_empty() {
                continue;
            }
            match slices.last_mut() {
                Some(slice) if filled + file.bytes <= self.engine.slice_limit() => {
                    filled += file.bytes;
                    slice.push(file);
                }
                _ => {
                    filled = file.bytes;
                    slices.push(vec![file]);
                }
            }
        }
        Ok(Slices { schema, slices: slices.into_iter().map(Slice::Spooled).collect() })
    }
}

impl Engine {
    /// Makes rows known under `name`; where they lie on disk, they are read each time that they are looked at.
    ///
    /// # Errors
    /// Fails when the batches do not have the schema.
    pub fn register_slices(&self, name: &str, slices: &Slices) -> Result<()> {
        if let [Slice::Here { batches, .. }] = &slices.slices[..] {
            let rows = Rows { schema: slices.schema.clone(), batches: batches.clone() };
            return self.register_rows(name, &rows);
        }
        let threads = self.threads().max(1);
        let mut streams: Vec<Stream> = Vec::new();
        for (at, slice) in slices.slices.iter().enumerate() {
            match streams.get_mut(at % threads) {
                Some(stream) => stream.slices.push(slice.clone()),
                None => streams.push(Stream { schema: slices.schema.clone(), slices: vec![slice.clone()] }),
            }
        }
        let streams = streams.into_iter().map(|stream| Arc::new(stream) as Arc<dyn PartitionStream>);
        let table = StreamingTable::try_new(slices.schema.clone(), streams.collect()).map_err(failed)?;
        self.register(name, Arc::new(table))
    }
}

/// Slices that are read one after the other.
#[derive(Debug)]
struct Stream {
    schema: SchemaRef,
    slices: Vec<Slice>,
}

impl PartitionStream for Stream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.slices.clone().into_iter().flat_map(Slice::batches);
        let batches = futures::stream::iter(batches.map(|batch| batch.map_err(DataFusionError::from)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

fn too_large(bytes: usize) -> Error {
    let needed = Engine::memory_for(bytes);
    Error::usage(format!(
        "the batch cannot be cut small enough for the `memory` that it may use: {} MiB of its rows stay together",
        bytes.div_ceil(1 << 20)
    ))
    .hint(format!("raise `memory` in the pipeline file to {} MiB or more", needed.div_ceil(1 << 20)))
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let folder = std::env::temp_dir();
    Error::usage(format!("rows that do not fit memory cannot be written to `{}`", folder.display()))
        .because(error)
        .hint("free disk space there, or name a folder with room in TMPDIR; or raise `memory` in the pipeline file")
}

fn broken(error: ArrowError) -> Error {
    failed(DataFusionError::from(error))
}
