//! What data files say of themselves, where the log does not.

use std::collections::HashMap;

use deltalake::parquet::basic::Compression;
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use object_store::{Error as StoreError, ObjectStoreExt as _};

use super::file_id::FileId;
use super::table::{FileSize, Table};
use crate::error::Result;
use crate::failure::{self, Phase};

/// Bytes at a file's end that hold most footers.
const FOOTER: u64 = 64 << 10;

impl Table {
    /// Looks up the rows of those files that the log does not tell the rows of, and that the other version of the
    /// table does not hold as they are. A file that is gone stays uncounted.
    ///
    /// # Errors
    /// Fails when a file is damaged, or storage is away.
    pub(super) async fn count_rows(
        &self,
        files: &mut HashMap<FileId, FileSize>,
        other: &HashMap<FileId, FileSize>,
    ) -> Result<()> {
        let uncounted = files.iter_mut().filter(|(file, size)| {
            let same = other
                .get(*file)
                .is_some_and(|other| (other.bytes, other.deleted) == (size.bytes, size.deleted));
            size.rows.is_none() && !same
        });
        for (file, size) in uncounted {
            size.rows = self.rows_in_footer(file).await?.map(|rows| rows - size.deleted);
        }
        Ok(())
    }

    /// The rows of a file, deleted ones included; `None` where it is gone.
    pub(super) async fn rows_in_footer(&self, file: &FileId) -> Result<Option<i64>> {
        Ok(self.footer(file).await?.map(|footer| footer.file_metadata().num_rows()))
    }

    /// What a file's columns are compressed with; `None` where the file is gone or has none.
    pub(super) async fn codec_of(&self, file: &FileId) -> Result<Option<Compression>> {
        let footer = self.footer(file).await?;
        let columns = footer.iter().flat_map(ParquetMetaData::row_groups).flat_map(RowGroupMetaData::columns);
        Ok(columns.map(ColumnChunkMetaData::compression).next())
    }

    /// What a file says of itself at its end; `None` where it is gone.
    async fn footer(&self, file: &FileId) -> Result<Option<ParquetMetaData>> {
        let what = || format!("cannot read the footer of {file} of `{}`", self.name);
        let (path, store) = (file.path(self.url())?, self.inner.object_store());
        let of_store = |error| failure::of(Phase::Data, &what(), error);
        let size = match store.head(&path).await {
            Ok(found) => found.size,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(of_store(error)),
        };
        let mut wanted = FOOTER.min(size);
        loop {
            let end = store.get_range(&path, size - wanted..size).await.map_err(of_store)?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&end, size).and_then(|()| reader.finish()) {
                Ok(metadata) => return Ok(Some(metadata)),
                Err(ParquetError::NeedMoreData(more)) if wanted < size => {
                    wanted = u64::try_from(more).unwrap_or(size).clamp(wanted + 1, size);
                }
                Err(error) => return Err(failure::of(Phase::Data, &what(), error)),
            }
        }
    }
}
