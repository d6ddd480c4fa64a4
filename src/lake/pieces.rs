//! Reads a large file by several threads, where it has too few row groups for them.
//!
//! DataFusion gives a row group to one thread, and a day's staging is often one file of one row group: all processors but
//! one would wait while it is read. Here each thread reads a stretch of the file's rows, and leaves the pages
//! before it compressed.

use std::sync::Arc;

use async_trait::async_trait;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::{Session, TableProvider};
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use deltalake::datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use deltalake::datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::error::Result;
use deltalake::datafusion::execution::memory_pool::MemoryLimit;
use deltalake::datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use deltalake::datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use deltalake::parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// Bytes that a large file has at least.
const LARGE: u64 = 4 << 20;

/// Threads that read one file at most: each holds the bytes of all columns of a row group.
const MOST: usize = 4;

/// The part of the memory for queries that these bytes may take.
const PART: u64 = 16;

/// A scan of a table on local disk, without deletion vectors: those go by the number of a row among all that come.
#[derive(Debug)]
pub(super) struct InPieces(pub(super) Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for InPieces {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        columns: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.0.scan(session, columns, filters, limit).await?;
        let Some(scan) = files_of(&plan).filter(|_| limit.is_none()) else { return Ok(plan) };
        let files: Vec<&PartitionedFile> = scan.file_groups.iter().flat_map(FileGroup::iter).collect();
        let each = pieces_of_each(&files, session);
        if each < 2 {
            return Ok(plan);
        }
        let mut groups = Vec::new();
        for file in files {
            groups.extend(pieces(scan, file, each, session).await?);
        }
        let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
        with_files(&plan, DataSourceExec::from_data_source(scan))
    }
}

/// What reads the files, where one step of the plan does.
fn files_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        return source.downcast_to_file_source::<ParquetSource>().map(|(scan, _)| scan);
    }
    match plan.children()[..] {
        [only] => files_of(only),
        _ => None,
    }
}

/// The plan with another step at its end.
fn with_files(
    plan: &Arc<dyn ExecutionPlan>,
    files: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.children()[..] {
        [only] => {
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(vec![with_files(only, files)?], options)
        }
        _ => Ok(files),
    }
}

/// How many pieces each file is read in; one where there are enough files, or small ones, or not the memory.
fn pieces_of_each(files: &[&PartitionedFile], session: &dyn Session) -> usize {
    if files.is_empty() || files.iter().any(|file| file.object_meta.size < LARGE) {
        return 1;
    }
    let each = session.config().target_partitions().div_ceil(files.len()).min(MOST);
    let bytes: u64 = files.iter().map(|file| file.object_meta.size).sum();
    let most = match session.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes as u64 / PART,
        _ => u64::MAX,
    };
    if bytes.saturating_mul(each as u64) <= most { each } else { 1 }
}

/// So many pieces of a file, each a group of its own.
async fn pieces(
    scan: &FileScanConfig,
    file: &PartitionedFile,
    count: usize,
    session: &dyn Session,
) -> Result<Vec<FileGroup>> {
    let runtime = session.runtime_env();
    let store = runtime.object_store(&scan.object_store_url)?;
    // Kept for whoever opens the file next: each of the pieces.
    let footer = DFParquetMetadata::new(store.as_ref(), &file.object_meta)
        .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await?;
    let rows = usize::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
    let piece = |number: usize| {
        let (from, upto) = (rows * number / count, rows * (number + 1) / count);
        let read =
            vec![RowSelector::skip(from), RowSelector::select(upto - from), RowSelector::skip(rows - upto)];
        let mut file = file.clone().with_extension(ParquetRowSelection::new(RowSelection::from(read)));
        // They are those of the whole file.
        file.statistics = None;
        FileGroup::new(vec![file])
    };
    Ok((0..count).map(piece).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use deltalake::arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
    use deltalake::arrow::datatypes::Int64Type;
    use deltalake::datafusion::datasource::listing::{
        ListingTable, ListingTableConfig, ListingTableConfigExt as _, ListingTableUrl,
    };
    use deltalake::parquet::arrow::ArrowWriter;
    use deltalake::parquet::file::properties::WriterProperties;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::engine::Engine;
    use crate::engine::sql::Params;

    const GIB: usize = 1 << 30;
    const ROWS: i64 = 150_000;

    /// Writes rows that do not compress, in row groups of so many.
    fn write(path: &Path, row_group: usize) {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
        let text = |n: i64| hex::encode(Sha256::digest(n.to_le_bytes()));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(text)));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
        let mut writer =
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert!(path.metadata().unwrap().len() >= LARGE);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_row_of_a_large_file_comes_once_whatever_its_row_groups() {
        for (row_group, memory, threads, files, pieces) in [
            (1_000_000, 4 * GIB, 1, 1, 1),
            (1_000_000, 4 * GIB, 2, 1, 2),
            (1_000_000, 4 * GIB, 3, 1, 3),
            (1_000_000, 4 * GIB, 8, 1, 4),
            (1_000_000, 4 * GIB, 3, 2, 4),
            (1_000_000, 4 * GIB, 2, 2, 2),
            (1_000_000, GIB / 4, 2, 1, 1),
            (40_000, 4 * GIB, 2, 1, 2),
            (7_000, 4 * GIB, 4, 1, 4),
        ] {
            let folder = tempfile::tempdir().unwrap();
            (0..files).for_each(|at| write(&folder.path().join(format!("{at}.parquet")), row_group));
            let engine = Engine::with_threads(memory, Some(threads));
            let url = ListingTableUrl::parse(folder.path().to_str().unwrap()).unwrap();
            let config = ListingTableConfig::new(url).infer(&engine.state()).await.unwrap();
            let table = InPieces(Arc::new(ListingTable::try_new(config).unwrap()));
            let plan = table.scan(&engine.state(), None, &[], None).await.unwrap();
            let case = format!("{row_group} {memory} {threads} {files}");
            assert_eq!(files_of(&plan).unwrap().file_groups.len(), pieces, "{case}");
            let _known = engine.register("t", Arc::new(table)).unwrap();
            for (filter, from) in [("", 0), ("WHERE n >= 70000 AND length(text) = 64", 70_000)] {
                let query = format!("SELECT COUNT(*), COUNT(DISTINCT text), SUM(n) FROM t {filter}");
                let found = engine.rows(&query, &Params::new()).await.unwrap();
                let found: Vec<i64> = found.batches[0]
                    .columns()
                    .iter()
                    .map(|column| column.as_primitive::<Int64Type>().value(0))
                    .collect();
                let each: i64 = (from..ROWS).sum();
                assert_eq!(found, [(ROWS - from) * files, ROWS - from, each * files], "{case} {filter}");
            }
        }
    }
}
