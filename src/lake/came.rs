//! Rows of staging by what they came in with: their file, and the time at which it was brought in.

use std::collections::{BTreeMap, BTreeSet};

use deltalake::arrow::array::{Array as _, AsArray as _, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use deltalake::datafusion::common::hash_utils::{RandomState, create_hashes};
use deltalake::datafusion::execution::session_state::SessionState;
use roaring::RoaringTreemap;

use super::replace::in_schema;
use super::table::Table;
use crate::engine;
use crate::error::{Error, Result};
use crate::model::ingest::{FILE_COLUMN, TIME_COLUMN};

/// Any number does, as long as it is the same for both sides.
const SEED: u64 = 0x6272_6f75_6768_7421;

/// A file's path, and when it was brought in, in microseconds since 1970.
pub type CameWith = (String, i64);

/// What tells rows from others, in whatever order: how many there are, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowsDigest {
    /// How many rows there are.
    pub rows: u64,
    sum: u64,
}

impl RowsDigest {
    /// Adds rows with the columns of staging.
    ///
    /// # Errors
    /// Fails for types that have no hash.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        hashes(batch)?.into_iter().for_each(|hash| self.add_row(hash));
        Ok(())
    }

    fn add_row(&mut self, hash: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

fn hashes(batch: &RecordBatch) -> Result<Vec<u64>> {
    let mut hashes = vec![0; batch.num_rows()];
    create_hashes(batch.columns(), &RandomState::with_seed(SEED), &mut hashes).map_err(engine::failed)?;
    Ok(hashes)
}

impl Table {
    /// The rows that came with each file and time.
    ///
    /// # Errors
    /// Fails when rows cannot be read.
    pub async fn rows_by_what_they_came_with(
        &self,
        state: &SessionState,
    ) -> Result<BTreeMap<CameWith, RowsDigest>> {
        let schema = self.arrow_schema()?;
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut found: BTreeMap<CameWith, RowsDigest> = BTreeMap::new();
        for mut stream in self.scan_places(state, &columns, None).await?.streams {
            while let Some(placed) = stream.next().await? {
                let batch = in_schema(&placed.batch, &schema)
                    .map_err(|error| Error::bug("rows are not as they were read").because(error))?;
                for (came, hash) in came_with(&batch)?.into_iter().zip(hashes(&batch)?) {
                    if let Some(came) = came {
                        found.entry(came).or_default().add_row(hash);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The numbers of the rows that came with any of these, by the URL of their data file.
    ///
    /// # Errors
    /// Fails when rows cannot be read.
    pub async fn places_of(
        &self,
        state: &SessionState,
        wanted: &BTreeSet<CameWith>,
    ) -> Result<BTreeMap<String, RoaringTreemap>> {
        let scan = self.scan_places(state, &[FILE_COLUMN, TIME_COLUMN], None).await?;
        let mut places: BTreeMap<String, RoaringTreemap> = BTreeMap::new();
        for mut stream in scan.streams {
            while let Some(placed) = stream.next().await? {
                for (row, came) in came_with(&placed.batch)?.into_iter().enumerate() {
                    if came.is_some_and(|came| wanted.contains(&came)) {
                        let url = self.url_of(&scan.files[placed.file]);
                        places.entry(url).or_default().insert(placed.number(row));
                    }
                }
            }
        }
        Ok(places)
    }
}

/// What each row came with; `None` for one that nobody brought in from a file.
fn came_with(batch: &RecordBatch) -> Result<Vec<Option<CameWith>>> {
    let column = |name: &str, data_type: &DataType| {
        let found = batch.column_by_name(name);
        let found = found.ok_or_else(|| Error::bug(format!("staging has no column `{name}`")))?;
        cast(found, data_type)
            .map_err(|error| Error::bug(format!("`{name}` is of another type")).because(error))
    };
    let files = column(FILE_COLUMN, &DataType::Utf8)?;
    let times = column(TIME_COLUMN, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
    let (files, times) = (files.as_string::<i32>(), times.as_primitive::<TimestampMicrosecondType>());
    let of = |row: usize| {
        let known = files.is_valid(row) && times.is_valid(row);
        known.then(|| (files.value(row).to_owned(), times.value(row)))
    };
    Ok((0..batch.num_rows()).map(of).collect())
}
