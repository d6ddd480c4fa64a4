//! Deletion vectors: which rows of a file are gone.
//!
//! A file's vector takes the place of the one that it had, so it holds the rows of both. Vectors lie in files of their
//! own beside the data. A file none of whose rows is left is removed instead.

use std::collections::{BTreeMap, HashMap, HashSet};

use delta_kernel::actions::deletion_vector_writer::{KernelDeletionVector, StreamingDeletionVectorWriter};
use deltalake::delta_datafusion::FileSelection;
use deltalake::kernel::{Add, DeletionVectorDescriptor, LogicalFileView, StorageType};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use roaring::RoaringTreemap;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::file_id::FileId;
use super::replace::Changes;
use super::table::{FileSize, Table};
use crate::engine::in_threads;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

/// Files with a vector that one scan may read. delta-rs loads all vectors of a scan at once, each in a thread that waits
/// for another one to read: of the 512 that tokio has for this, a scan of some more vectors would take all, and wait
/// forever. Two scans may be planned at once.
const VECTORS_A_SCAN: usize = 192;

/// Splits files among scans, each of which may load all its vectors at once.
pub(super) fn in_scans<T>(files: Vec<T>, has_vector: impl Fn(&T) -> bool) -> Vec<Vec<T>> {
    let (marked, mut rest): (Vec<T>, Vec<T>) = files.into_iter().partition(has_vector);
    let mut scans = Vec::new();
    let mut marked = marked.into_iter().peekable();
    while marked.peek().is_some() {
        let mut scan: Vec<T> = marked.by_ref().take(VECTORS_A_SCAN).collect();
        scan.append(&mut rest);
        scans.push(scan);
    }
    if !rest.is_empty() {
        scans.push(rest);
    }
    scans
}

/// Bytes from which on a file of vectors gets no further one: delta-rs reads it whole for each of its vectors.
const FULL: i32 = 64 << 10;

impl Table {
    /// The files, all of `sizes` where none are given, split as the scans of them have to be. `None` is a scan of all.
    pub(super) fn scans_of(
        &self,
        sizes: &HashMap<FileId, FileSize>,
        files: Option<Vec<String>>,
    ) -> Vec<Option<FileSelection>> {
        let marked = sizes.iter().filter(|(_, size)| size.deleted > 0);
        let marked: HashSet<String> = marked.map(|(file, _)| self.url_of(file)).collect();
        if marked.len() <= VECTORS_A_SCAN {
            return vec![files.map(FileSelection::from_file_paths)];
        }
        let files = files.unwrap_or_else(|| sizes.keys().map(|file| self.url_of(file)).collect());
        if files.is_empty() {
            return vec![Some(FileSelection::from_file_paths(files))];
        }
        let scans = in_scans(files, |file| marked.contains(file)).into_iter();
        scans.map(|files| Some(FileSelection::from_file_paths(files))).collect()
    }

    /// Marks rows of files as gone, by so many threads: writes the vectors, and gives what a commit makes of the files.
    pub(super) async fn mark(
        &self,
        dead: &BTreeMap<FileId, RoaringTreemap>,
        threads: usize,
    ) -> Result<Changes> {
        let mut changes = Changes { removed: dead.keys().cloned().collect(), added: Vec::new() };
        if dead.is_empty() {
            return Ok(changes);
        }
        let mut sizes = self.files()?;
        sizes.retain(|file, _| dead.contains_key(file));
        self.count_rows(&mut sizes, &HashMap::new()).await?;
        let gone = self.gone_rows(|file| dead.contains_key(file)).await?;
        let marked = |(file, view): (FileId, LogicalFileView)| {
            let Some(numbers) = dead.get(&file) else { return Ok(None) };
            let before = gone.get(&file);
            let vector = before.map_or_else(|| numbers.clone(), |before| before | numbers);
            if vector.len() != before.map_or(0, RoaringTreemap::len) + numbers.len() {
                return Err(Error::bug(format!("a row of {file} is to be replaced that is gone already")));
            }
            let rows = sizes.get(&file).and_then(|size| Some(size.rows? + size.deleted));
            let rows = rows.ok_or_else(|| Error::retry(format!("{file} of `{}` is gone", self.name())))?;
            if i64::try_from(vector.len()).is_ok_and(|gone| gone >= rows) {
                return Ok(None);
            }
            #[expect(deprecated, reason = "nothing else gives all that the log says of a file")]
            let add = view.add_action();
            Ok(Some((Add { stats: Some(loosened(add.stats.as_deref(), rows)), ..add }, vector)))
        };
        let vectors = in_threads(self.active()?, threads, marked)?;
        self.write_vectors(vectors.into_iter().flatten().collect(), &mut changes).await?;
        Ok(changes)
    }

    /// Writes vectors, several to a file, and adds each to its file's entry.
    async fn write_vectors(&self, vectors: Vec<(Add, RoaringTreemap)>, changes: &mut Changes) -> Result<()> {
        let failed =
            |error: delta_kernel::Error| Error::bug("a deletion vector cannot be written").because(error);
        let mut vectors = vectors.into_iter().peekable();
        while vectors.peek().is_some() {
            let (id, mut bytes, mut end) = (Uuid::new_v4(), Vec::new(), 0);
            let mut writer = StreamingDeletionVectorWriter::new(&mut bytes);
            while end < FULL
                && let Some((add, vector)) = vectors.next()
            {
                let mut rows = KernelDeletionVector::new();
                rows.add_deleted_row_indexes(&vector);
                let written = writer.write_deletion_vector(rows).map_err(failed)?;
                end = written.offset + written.size_in_bytes;
                changes.added.push(Add {
                    deletion_vector: Some(DeletionVectorDescriptor {
                        storage_type: StorageType::UuidRelativePath,
                        path_or_inline_dv: z85::encode(id.as_bytes()),
                        offset: Some(written.offset),
                        size_in_bytes: written.size_in_bytes,
                        cardinality: written.cardinality,
                    }),
                    ..add
                });
            }
            writer.finalize().map_err(failed)?;
            let path = Path::from(format!("deletion_vector_{id}.bin"));
            let put = self.inner.object_store().put(&path, bytes.into()).await;
            let what = || format!("cannot write the deletion vectors of `{}`", self.name());
            put.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        }
        Ok(())
    }
}

/// A file's statistics once some of its rows are gone: its bounds still hold all rows, but may be those of none.
/// All other values keep their text: a float, read and written, may lose a digit.
fn loosened(stats: Option<&str>, rows: i64) -> String {
    let rows = rows.to_string();
    let known = stats.and_then(members).unwrap_or_default();
    let kept = known.iter().filter(|(key, _)| !["numRecords", "tightBounds"].contains(&key.as_str()));
    let kept = kept.map(|(key, value)| (key.as_str(), *value));
    let all = [("numRecords", rows.as_str()), ("tightBounds", "false")].into_iter().chain(kept);
    let all = all.map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key)));
    format!("{{{}}}", all.collect::<Vec<_>>().join(","))
}

/// The members of a JSON object, each with its value's text; `None` where it is none.
fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = object.trim().strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    while !rest.starts_with('}') {
        let mut keys = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let after = rest.get(keys.byte_offset()..)?.trim_start().strip_prefix(':')?.trim_start();
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (value, after) = after.split_at_checked(values.byte_offset())?;
        found.push((key, value.trim()));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::{VECTORS_A_SCAN, in_scans, loosened};

    #[test]
    fn no_scan_has_more_vectors_than_it_may_and_no_file_is_left_out() {
        for (files, marked) in [(0, 0), (5, 0), (3, 3), (500, 191), (500, 192), (500, 193), (500, 500)] {
            let scans = in_scans((0..files).collect(), |file| *file < marked);
            let vectors = scans.iter().map(|scan| scan.iter().filter(|file| **file < marked).count());
            assert!(
                vectors.max().unwrap_or(0) <= VECTORS_A_SCAN && scans.iter().all(|scan| !scan.is_empty())
            );
            let mut all = scans.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..files), "{files}, {marked}");
        }
    }

    #[test]
    fn statistics_keep_every_digit_and_lose_their_tightness() {
        let values = r#""minValues":{"d":0.1000000000000000055511151231257827,"tightBounds":true,"n":12345678901234567890}"#;
        let loose = format!(r#"{{"numRecords":7,"tightBounds":false,{values}}}"#);
        for stats in [
            format!(r#"{{"numRecords":7,{values}}}"#),
            format!(r#" {{ {values} , "tightBounds" : true, "numRecords":7 }} "#),
            loose.clone(),
        ] {
            assert_eq!(loosened(Some(&stats), 7), loose, "{stats}");
        }
        for none in [None, Some("{}"), Some("null"), Some("{1}"), Some("{\"a\":")] {
            assert_eq!(loosened(none, 3), r#"{"numRecords":3,"tightBounds":false}"#, "{none:?}");
        }
    }
}
