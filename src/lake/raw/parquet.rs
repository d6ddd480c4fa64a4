//! Parquet files.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use deltalake::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use deltalake::parquet::basic::Type;
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::parquet::file::reader::{ChunkReader, Length};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::columns::Columns;
use super::{Fault, ROWS, Sink};
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
    let columns = Columns::of(builder.schema(), fields)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.wanted());
    let reader = builder.with_projection(mask).with_batch_size(ROWS).build().map_err(broken)?;
    let batches = reader.map(|batch| {
        batch.map_err(|error| match error {
            deltalake::arrow::error::ArrowError::ExternalError(error) => {
                match error.downcast::<ParquetError>() {
                    Ok(error) => broken(*error),
                    Err(error) => Fault::Broken(error.to_string()),
                }
            }
            other => Fault::Broken(other.to_string()),
        })
    });
    columns.read(batches, on_corrupt, sink)
}
