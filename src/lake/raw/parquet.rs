//! Parquet files.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use deltalake::arrow::array::{ArrayRef, Int64Array};
use deltalake::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};
use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use deltalake::parquet::basic::Type;
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::parquet::file::reader::{ChunkReader, Length};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::typed::chunk;
use super::{Chunk, Fault, ROWS, Sink};
use crate::config::OnCorrupt;

/// A file that is read here and there.
pub(super) enum Input {
    /// On this machine.
    File(File),
    /// In a store, with its size.
    Stored(Arc<dyn ObjectStore>, Path, u64),
}

impl Length for Input {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.metadata().map_or(0, |meta| meta.len()),
            Self::Stored(_, _, size) => *size,
        }
    }
}

impl ChunkReader for Input {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            Self::File(file) => Ok(Box::new(file.get_read(start)?)),
            Self::Stored(_, _, size) => {
                let length = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX);
                Ok(Box::new(self.get_bytes(start, length)?.reader()))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Stored(store, path, _) => tokio::runtime::Handle::current()
                .block_on(store.get_range(path, start..start + length as u64))
                .map_err(|error| ParquetError::External(Box::new(std::io::Error::other(error)))),
        }
    }
}

fn broken(error: ParquetError) -> Fault {
    match error {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => Fault::Broken(error.to_string()),
        },
        other => Fault::Broken(other.to_string()),
    }
}

/// What reads a file. Times that Spark writes as INT96 are instants, and read in microseconds: in nanoseconds, those before
/// 1677 and after 2262 would be others.
fn opened(input: Input) -> Result<ParquetRecordBatchReaderBuilder<Input>, Fault> {
    let metadata = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()).map_err(broken)?;
    let columns = metadata.parquet_schema().columns();
    let is_int96 = |name: &str| {
        columns.iter().any(|column| column.path().parts() == [name] && column.physical_type() == Type::INT96)
    };
    let fields = metadata.schema().fields().iter().map(|field| {
        if is_int96(field.name()) {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            Arc::new(field.as_ref().clone().with_data_type(micros))
        } else {
            Arc::clone(field)
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(broken)?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata))
}

/// The columns of a file.
pub(super) fn schema(input: Input) -> Result<SchemaRef, Fault> {
    Ok(Arc::clone(opened(input)?.schema()))
}

/// Reads a file.
pub(super) fn read(
    input: Input,
    fields: &[FieldRef],
    on_corrupt: OnCorrupt,
    sink: Sink<'_>,
) -> Result<(), Fault> {
    let builder = opened(input)?;
    let has = builder.schema().fields().clone();
    let names: Vec<String> = has.iter().map(|field| field.name().clone()).collect();
    let places: Vec<Option<usize>> =
        fields.iter().map(|field| super::position(&names, field.name())).collect();
    let wanted: Vec<usize> = places.iter().copied().flatten().collect();
    if wanted.is_empty() {
        return Err(Fault::Broken("it has no column of staging".to_owned()));
    }
    let mut extra = super::extra(&names, fields);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(ROWS).build().map_err(broken)?;
    let mut done = 0;
    for batch in reader {
        let batch = batch.map_err(|error| match error {
            deltalake::arrow::error::ArrowError::ExternalError(error) => {
                match error.downcast::<ParquetError>() {
                    Ok(error) => broken(*error),
                    Err(error) => Fault::Broken(error.to_string()),
                }
            }
            other => Fault::Broken(other.to_string()),
        })?;
        let rows = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        let given: Vec<Option<ArrayRef>> =
            places.iter().map(|place| batch.column_by_name(&names[(*place)?]).cloned()).collect();
        let numbers: Int64Array = (done + 1..=done + rows).map(Some).collect();
        done += rows;
        let options = FormatOptions::new().with_null("null");
        let text = |row: usize| {
            let schema = batch.schema();
            let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
                let shown = ArrayFormatter::try_new(column, &options).map(|cell| cell.value(row).to_string());
                format!("{}={}", field.name(), shown.unwrap_or_default())
            });
            cells.collect::<Vec<_>>().join(", ")
        };
        let chunk = chunk(fields, &given, numbers, on_corrupt, Vec::new(), text)?;
        if sink(Chunk { extra: std::mem::take(&mut extra), ..chunk }).is_break() {
            return Ok(());
        }
    }
    Ok(())
}
