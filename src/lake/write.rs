//! Data files of new rows.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::error::ArrowError;
use deltalake::kernel::Add;
use deltalake::operations::write::WriterStatsConfig;
use deltalake::operations::write::writer::{DeltaWriter, WriterConfig};
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::table::config::TablePropertiesExt as _;
use tokio::task::JoinSet;

use super::arranged::Arranged;
use super::table::Table;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

const CODEC: &str = "delta.parquet.compression.codec";

/// What files of a table are written by.
#[derive(Clone)]
pub(super) struct Files {
    what: String,
    store: deltalake::logstore::ObjectStoreRef,
    config: WriterConfig,
}

impl Table {
    /// Writers of data files, by the table's properties.
    pub(super) fn files_to_write(&self) -> Result<Files> {
        let state = self.snapshot()?;
        let stats = WriterStatsConfig::from_config(state.snapshot().table_configuration());
        let codec = state.metadata().configuration().get(CODEC).map(String::as_str);
        let properties = WriterProperties::builder()
            .set_created_by(concat!("highwater ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(compression(codec))
            .build();
        let config = WriterConfig::new(
            self.arrow_schema()?,
            self.partition_columns()?,
            Some(properties),
            Some(state.table_config().target_file_size()),
            None,
            stats.num_indexed_cols,
            stats.stats_columns,
        );
        let what = format!("cannot write data files of `{}`", self.name());
        Ok(Files { what, store: self.inner.object_store(), config })
    }
}

impl Files {
    /// A writer of its own. What it writes lies in files of their own.
    pub(super) fn writer(&self) -> DeltaWriter {
        DeltaWriter::new(Arc::clone(&self.store), self.config.clone())
    }

    pub(super) async fn write(
        &self,
        writer: &mut DeltaWriter,
        rows: impl IntoIterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<()> {
        for batch in rows {
            let batch = batch.map_err(|error| Error::bug(self.what.clone()).because(error))?;
            writer.write(&batch).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    pub(super) async fn close(&self, writer: DeltaWriter) -> Result<Vec<Add>> {
        writer.close().await.map_err(|error| self.failed(error))
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

/// The codec that a table's property names; zstd where it names none that there is.
fn compression(codec: Option<&str>) -> Compression {
    match codec.map(str::to_ascii_lowercase).as_deref() {
        Some("snappy") => Compression::SNAPPY,
        Some("none" | "uncompressed") => Compression::UNCOMPRESSED,
        Some("lz4" | "lz4_raw") => Compression::LZ4_RAW,
        Some("gzip") => Compression::GZIP(deltalake::parquet::basic::GzipLevel::default()),
        _ => Compression::ZSTD(ZstdLevel::default()),
    }
}
