//! Data files of new rows.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use delta_kernel::expressions::Scalar;
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::error::ArrowError;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::datafusion::common::hash_utils::{RandomState, create_hashes};
use deltalake::datafusion::error::DataFusionError;
use deltalake::kernel::Add;
use deltalake::kernel::scalars::ScalarExt as _;
use deltalake::operations::write::WriterStatsConfig;
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::table::config::TablePropertiesExt as _;
use indexmap::IndexMap;
use tokio::task::JoinSet;

use super::arranged::Arranged;
use super::file_id::FileId;
use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

const CODEC: &str = "delta.parquet.compression.codec";

/// How many rows the files of a load get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// As many as there are, or nobody knows.
    Any,
    /// Many files, of a few rows each: zstd takes longer to get ready for each of their columns than to compress it, a
    /// quarter of all the time of such a load.
    Few,
    /// Many files, of so few rows that a dictionary, and what tells pages apart, takes longer than the rows.
    HardlyAny,
}

impl Size {
    /// What compresses them, unless the table says otherwise.
    fn codec(self) -> Compression {
        match self {
            Self::Any => zstd(),
            Self::Few | Self::HardlyAny => Compression::SNAPPY,
        }
    }
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// Rows that are looked at to tell whether a dictionary of a column's values pays.
const SAMPLE: usize = 32 << 10;

/// Rows that are encoded at once.
const ENCODED_AT_ONCE: usize = 8 << 10;

/// What files of a table are written by.
#[derive(Clone)]
pub(super) struct Files {
    what: String,
    store: deltalake::logstore::ObjectStoreRef,
    config: WriterConfig,
    partition_columns: Vec<String>,
}

/// Writes rows of one partition.
pub(super) struct PartitionWriter {
    writer: DeltaWriter,
    /// The partition's values, which the first row tells.
    values: Option<IndexMap<String, Scalar>>,
}

impl Table {
    /// Writers of data files. `plain` are columns that are written without dictionary; `instead_of` are files that
    /// the new ones take the place of, whose codec they keep unless the table names one; else their size tells it.
    pub(super) async fn files_to_write(
        &self,
        plain: &[String],
        instead_of: impl IntoIterator<Item = &FileId>,
        size: Size,
    ) -> Result<Files> {
        let state = self.snapshot()?;
        let stats = WriterStatsConfig::from_config(state.snapshot().table_configuration());
        let properties = self.writer_properties(plain, instead_of, size).await?;
        let partition_columns = self.partition_columns()?;
        let config = WriterConfig::new(
            self.arrow_schema()?,
            partition_columns.clone(),
            Some(properties),
            Some(state.table_config().target_file_size()),
            Some(ENCODED_AT_ONCE),
            stats.num_indexed_cols,
            stats.stats_columns,
        );
        let what = format!("cannot write data files of `{}`", self.name());
        Ok(Files { what, store: self.inner.object_store(), config, partition_columns })
    }

    /// How data files are encoded: compressed as the table's property says, else like the files that they take the
    /// place of, else as their size says.
    pub(super) async fn writer_properties(
        &self,
        plain: &[String],
        instead_of: impl IntoIterator<Item = &FileId>,
        size: Size,
    ) -> Result<WriterProperties> {
        let codec = match self.snapshot()?.metadata().configuration().get(CODEC) {
            Some(codec) => compression(codec),
            None => match instead_of.into_iter().next() {
                Some(file) => self.codec_of(file).await?,
                None => None,
            },
        };
        let created_by = concat!("highwater ", env!("CARGO_PKG_VERSION")).to_owned();
        let mut builder = WriterProperties::builder()
            .set_created_by(created_by)
            .set_compression(codec.unwrap_or(size.codec()));
        if size == Size::HardlyAny {
            builder = builder
                .set_dictionary_enabled(false)
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_offset_index_disabled(true);
        }
        for column in plain {
            builder = builder.set_column_dictionary_enabled(ColumnPath::new(vec![column.clone()]), false);
        }
        Ok(builder.build())
    }
}

/// The columns of which most rows have a value of their own: a dictionary of them would be built, found too large, and
/// given up in the middle of each file.
///
/// # Errors
/// Fails for types that have no hash.
pub fn mostly_distinct(rows: &[RecordBatch]) -> Result<Vec<String>, DataFusionError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let each = SAMPLE.div_ceil(rows.len());
    let sample: Vec<RecordBatch> =
        rows.iter().map(|batch| batch.slice(0, batch.num_rows().min(each))).collect();
    let sampled: usize = sample.iter().map(RecordBatch::num_rows).sum();
    let mut distinct = Vec::new();
    for (at, field) in first.schema().fields().iter().enumerate() {
        if field.data_type().is_nested() {
            continue;
        }
        let mut seen: HashSet<u64, RandomState> = HashSet::default();
        for batch in &sample {
            let mut hashes = vec![0; batch.num_rows()];
            create_hashes([batch.column(at)], &RandomState::default(), &mut hashes)?;
            seen.extend(hashes);
        }
        if seen.len() * 2 > sampled {
            distinct.push(field.name().clone());
        }
    }
    Ok(distinct)
}

impl Files {
    /// A writer of its own, for the rows of one partition. What it writes lies in files of their own.
    pub(super) fn writer(&self) -> PartitionWriter {
        let writer = DeltaWriter::new(Arc::clone(&self.store), self.config.clone());
        PartitionWriter { writer, values: None }
    }

    /// A writer for rows of any partition.
    pub(super) fn writer_of_all(self) -> DeltaWriter {
        DeltaWriter::new(self.store, self.config)
    }

    pub(super) async fn write(
        &self,
        to: &mut PartitionWriter,
        rows: impl IntoIterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<()> {
        let failed = |error: ArrowError| Error::bug(self.what.clone()).because(error);
        for batch in rows {
            let batch = batch.map_err(failed)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let values = match &mut to.values {
                Some(values) => values,
                none => none.insert(partition_values(&batch, &self.partition_columns).map_err(failed)?),
            };
            to.writer.write_partition(batch, values).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    pub(super) async fn close(&self, writer: PartitionWriter) -> Result<Vec<Add>> {
        writer.writer.close().await.map_err(|error| self.failed(error))
    }

    /// Writes what is left of arranged rows to writers that stay open, one a partition.
    pub(super) async fn write_on(
        &self,
        open: &mut BTreeMap<String, PartitionWriter>,
        arranged: &Arranged,
    ) -> Result<()> {
        let failed = |error: ArrowError| Error::bug(self.what.clone()).because(error);
        for part in arranged.take_rest(1).into_iter().flatten() {
            let mut rows = arranged.rows(part);
            let Some(first) = rows.next().transpose().map_err(failed)? else { continue };
            let values = partition_values(&first, &self.partition_columns).map_err(failed)?;
            let partition = format!("{values:?}");
            let writer = open.entry(partition).or_insert_with(|| self.writer());
            self.write(writer, std::iter::once(Ok(first)).chain(rows)).await?;
        }
        Ok(())
    }

    /// Writes what is left of arranged rows, by so many writers side by side.
    pub(super) async fn write_rest(&self, arranged: &Arc<Arranged>, among: usize) -> Result<Vec<Add>> {
        let mut shares = JoinSet::new();
        for share in arranged.take_rest(among) {
            let (files, arranged) = (self.clone(), Arc::clone(arranged));
            shares.spawn(async move {
                let mut adds = Vec::new();
                // One at a time: an open file holds what was written to it.
                for part in share {
                    let mut writer = files.writer();
                    files.write(&mut writer, arranged.rows(part)).await?;
                    adds.extend(files.close(writer).await?);
                }
                Ok::<_, Error>(adds)
            });
        }
        let mut adds = Vec::new();
        while let Some(written) = shares.join_next().await {
            adds.extend(written.map_err(|error| Error::bug(self.what.clone()).because(error))??);
        }
        Ok(adds)
    }

    fn failed(&self, error: deltalake::DeltaTableError) -> Error {
        failure::of(Phase::Data, &self.what, error)
    }
}

/// The values of the partition that the first row lies in.
fn partition_values(
    batch: &RecordBatch,
    partition_columns: &[String],
) -> Result<IndexMap<String, Scalar>, ArrowError> {
    let value = |name: &String| {
        let value = Scalar::from_array(batch.column(batch.schema().index_of(name)?), 0);
        let value = value.ok_or_else(|| ArrowError::CastError(format!("`{name}` is no partition value")))?;
        Ok((name.clone(), value))
    };
    partition_columns.iter().map(value).collect()
}

/// The codec that a table's property names; `None` where there is none of that name.
fn compression(codec: &str) -> Option<Compression> {
    Some(match codec.to_ascii_lowercase().as_str() {
        "snappy" => Compression::SNAPPY,
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        "gzip" => Compression::GZIP(deltalake::parquet::basic::GzipLevel::default()),
        "zstd" => zstd(),
        _ => return None,
    })
}
