//! Avro object container files.

mod blocks;
mod shape;

use std::io::{BufReader, Read};
use std::sync::Arc;

use arrow_avro::errors::AvroError;
use arrow_avro::reader::{Reader, ReaderBuilder};
use deltalake::arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;

use self::blocks::Blocks;
use super::columns::Columns;
use super::{Fault, ROWS, Sink};
use crate::config::OnCorrupt;

/// Bytes that are read at once.
const AT_ONCE: usize = 256 << 10;

/// Bytes of a UUID.
const UUID: i32 = 16;

fn opened<R: Read>(input: R) -> Result<Reader<BufReader<Blocks<BufReader<R>>>>, Fault> {
    let blocks = Blocks::of(BufReader::with_capacity(AT_ONCE, input))?;
    ReaderBuilder::new()
        .with_batch_size(ROWS)
        .build(BufReader::with_capacity(AT_ONCE, blocks))
        .map_err(broken)
}

fn broken(error: ArrowError) -> Fault {
    match error {
        ArrowError::IoError(_, error) => error.into(),
        ArrowError::ExternalError(error) => match error.downcast::<AvroError>().map(|error| *error) {
            Ok(AvroError::IoError(_, error)) => error.into(),
            Ok(other) => Fault::Broken(other.to_string()),
            Err(error) => Fault::Broken(error.to_string()),
        },
        other => Fault::Broken(other.to_string()),
    }
}

/// The columns of a file.
pub(super) fn schema(input: impl Read) -> Result<SchemaRef, Fault> {
    Ok(Arc::new(with_texts(&opened(input)?.schema())))
}

/// Reads a file.
pub(super) fn read(
    input: impl Read,
    fields: &[FieldRef],
    on_corrupt: OnCorrupt,
    sink: Sink<'_>,
) -> Result<(), Fault> {
    let reader = opened(input)?;
    let schema = Arc::new(with_texts(&reader.schema()));
    let columns = Columns::of(&schema, fields)?;
    let batches = reader.map(|batch| batch.and_then(|batch| in_texts(&batch, &schema)).map_err(broken));
    columns.read(batches, on_corrupt, sink)
}

/// Names of enums, and UUIDs, are texts.
fn with_texts(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let is_text = matches!(field.data_type(), DataType::Dictionary(..)) || is_uuid(field);
        let data_type = if is_text { DataType::Utf8 } else { field.data_type().clone() };
        field.as_ref().clone().with_data_type(data_type)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn is_uuid(field: &FieldRef) -> bool {
    *field.data_type() == DataType::FixedSizeBinary(UUID)
        && field.metadata().get("logicalType").is_some_and(|name| name == "uuid")
}

fn in_texts(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(batch.schema_ref().fields()).map(|(values, field)| {
        if is_uuid(field) {
            let bytes = values.as_fixed_size_binary();
            let text = |bytes: Option<&[u8]>| {
                bytes.and_then(|bytes| uuid::Uuid::from_slice(bytes).ok()).map(|id| id.to_string())
            };
            return Ok(Arc::new(bytes.iter().map(text).collect::<StringArray>()) as ArrayRef);
        }
        match values.data_type() {
            DataType::Dictionary(..) => cast(values, &DataType::Utf8),
            _ => Ok(Arc::clone(values)),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<_>, _>>()?)
}
