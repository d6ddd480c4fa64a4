//! Rows of the demo's tables, and the Arrow batches they become.

use std::sync::Arc;

use deltalake::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use deltalake::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use deltalake::arrow::error::ArrowError;

/// Rows of a batch: enough for a writer to work on, small beside the rows themselves.
const BATCH_ROWS: usize = 100_000;

/// Precision and scale of `total_amount`.
const AMOUNT: (u8, i8) = (10, 2);

/// Microseconds.
pub(super) const SECOND: i64 = 1_000_000;
/// Microseconds.
pub(super) const MINUTE: i64 = 60 * SECOND;
/// Microseconds.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// Microseconds.
pub(super) const DAY: i64 = 24 * HOUR;

/// The start of a day, in microseconds since the epoch.
pub(super) fn midnight(day: i32) -> i64 {
    i64::from(day) * DAY
}

/// An order as source and target share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: i32,
    pub(super) customer_id: i32,
    /// `order_date`, in days since the epoch.
    pub(super) day: i32,
    /// Microseconds since the epoch.
    pub(super) updated_at: i64,
    /// `total_amount`, in hundredths.
    pub(super) cents: i64,
}

/// A row of staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StagedRow {
    pub(super) order: Order,
    pub(super) source_file: String,
    /// Microseconds since the epoch.
    pub(super) ingest_time: i64,
}

/// A row of the dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Customer {
    pub(super) customer_id: i32,
    /// Days since the epoch.
    pub(super) signup_date: i32,
}

/// The target's rows as record batches, each made when it is asked for: all batches of a large target at once would
/// take twice the room of its rows.
#[derive(Debug)]
pub struct FactBatches {
    orders: Vec<Order>,
    next: usize,
    load_batch_id: &'static str,
    loaded_at: i64,
}

impl FactBatches {
    /// All from one load, at `loaded_at`, and without row hashes, as in a table that is older than this tool: ties with
    /// such rows are settled by comparing values.
    pub(super) fn new(orders: Vec<Order>, load_batch_id: &'static str, loaded_at: i64) -> Self {
        Self { orders, next: 0, load_batch_id, loaded_at }
    }

    /// Rows not yet given out.
    #[must_use]
    pub fn remaining_rows(&self) -> usize {
        self.orders.len() - self.next
    }
}

impl Iterator for FactBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.orders.len().min(self.next + BATCH_ROWS);
        let rows = self.orders.get(self.next..end)?;
        if rows.is_empty() {
            return None;
        }
        self.next = end;
        Some(fact_batch(rows, self.load_batch_id, self.loaded_at))
    }
}

fn fact_batch(orders: &[Order], load_batch_id: &str, loaded_at: i64) -> Result<RecordBatch, ArrowError> {
    let fields = order_fields(false).into_iter().chain([
        Field::new("load_batch_id", DataType::Utf8, true),
        Field::new("loaded_at", timestamp(), true),
        Field::new("row_hash", DataType::Utf8, true),
    ]);
    let mut columns = order_columns(orders.iter())?;
    let batch_ids = orders.iter().map(|_| load_batch_id);
    columns.push(Arc::new(StringArray::from_iter_values(batch_ids)));
    columns.push(timestamps(orders.iter().map(|_| loaded_at)));
    columns.push(new_null_array(&DataType::Utf8, orders.len()));
    RecordBatch::try_new(schema(fields), columns)
}

/// The rows of staging as batches, in their order.
pub(super) fn staging_batches(rows: &[StagedRow]) -> Result<Vec<RecordBatch>, ArrowError> {
    let fields = order_fields(true).into_iter().chain([
        Field::new("source_file", DataType::Utf8, true),
        Field::new("ingest_time", timestamp(), true),
    ]);
    let schema = schema(fields);
    let batch = |rows: &[StagedRow]| {
        let mut columns = order_columns(rows.iter().map(|row| &row.order))?;
        let files = rows.iter().map(|row| &row.source_file);
        columns.push(Arc::new(StringArray::from_iter_values(files)));
        columns.push(timestamps(rows.iter().map(|row| row.ingest_time)));
        RecordBatch::try_new(Arc::clone(&schema), columns)
    };
    rows.chunks(BATCH_ROWS).map(batch).collect()
}

/// The rows of the dimension as batches, in their order.
pub(super) fn customer_batches(rows: &[Customer]) -> Result<Vec<RecordBatch>, ArrowError> {
    let schema = schema([
        Field::new("customer_id", DataType::Int32, false),
        Field::new("signup_date", DataType::Date32, true),
    ]);
    let batch = |rows: &[Customer]| {
        let ids = Int32Array::from_iter_values(rows.iter().map(|row| row.customer_id));
        let dates = Date32Array::from_iter_values(rows.iter().map(|row| row.signup_date));
        let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(dates)];
        RecordBatch::try_new(Arc::clone(&schema), columns)
    };
    rows.chunks(BATCH_ROWS).map(batch).collect()
}

fn schema(fields: impl IntoIterator<Item = Field>) -> Arc<Schema> {
    Arc::new(Schema::new(fields.into_iter().collect::<Vec<_>>()))
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns that staging and target share. In staging even key and version may be NULL.
fn order_fields(nullable_key: bool) -> Vec<Field> {
    let (precision, scale) = AMOUNT;
    let amount = DataType::Decimal128(precision, scale);
    vec![
        Field::new("order_id", DataType::Int32, nullable_key),
        Field::new("customer_id", DataType::Int32, true),
        Field::new("order_date", DataType::Date32, true),
        Field::new("updated_at", timestamp(), nullable_key),
        Field::new("total_amount", amount, true),
    ]
}

fn order_columns<'a>(orders: impl Iterator<Item = &'a Order> + Clone) -> Result<Vec<ArrayRef>, ArrowError> {
    let ids = Int32Array::from_iter_values(orders.clone().map(|o| o.id));
    let customers = Int32Array::from_iter_values(orders.clone().map(|o| o.customer_id));
    let dates = Date32Array::from_iter_values(orders.clone().map(|o| o.day));
    let versions = timestamps(orders.clone().map(|o| o.updated_at));
    let (precision, scale) = AMOUNT;
    let amounts = Decimal128Array::from_iter_values(orders.map(|o| i128::from(o.cents)))
        .with_precision_and_scale(precision, scale)?;
    Ok(vec![Arc::new(ids), Arc::new(customers), Arc::new(dates), versions, Arc::new(amounts)])
}

fn timestamps(micros: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}
