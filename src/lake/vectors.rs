//! Deletion vectors: which rows of a file are gone.
//!
//! A file's vector takes the place of the one that it had, so it holds the rows of both. All vectors of a commit lie in
//! one file beside the data. A file none of whose rows is left is removed instead.

use std::collections::{BTreeMap, BTreeSet};

use delta_kernel::actions::deletion_vector_writer::{KernelDeletionVector, StreamingDeletionVectorWriter};
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::delta_datafusion::FileSelection;
use deltalake::kernel::{Add, DeletionVectorDescriptor, StorageType};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::file_id::FileId;
use super::places::place_of;
use super::replace::Changes;
use super::table::Table;
use crate::engine;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};

impl Table {
    /// Marks rows of files as gone: writes the vectors, and gives what a commit makes of the files.
    pub(super) async fn mark(
        &self,
        dead: &BTreeMap<FileId, Vec<u64>>,
        state: &SessionState,
    ) -> Result<Changes> {
        let mut changes = Changes { removed: dead.keys().cloned().collect(), added: Vec::new() };
        if dead.is_empty() {
            return Ok(changes);
        }
        let mut sizes = self.files()?;
        sizes.retain(|file, _| dead.contains_key(file));
        self.count_rows(&mut sizes, &std::collections::HashMap::new()).await?;
        let marked: BTreeSet<&FileId> =
            sizes.iter().filter(|(_, size)| size.deleted > 0).map(|(file, _)| file).collect();
        let gone = self.gone_rows(&marked, state).await?;

        let (id, mut bytes) = (Uuid::new_v4(), Vec::new());
        let mut writer = StreamingDeletionVectorWriter::new(&mut bytes);
        let failed =
            |error: delta_kernel::Error| Error::bug("a deletion vector cannot be written").because(error);
        for (file, view) in self.active()? {
            let Some(numbers) = dead.get(&file) else { continue };
            let mut vector = KernelDeletionVector::new();
            vector.add_deleted_row_indexes(gone.get(&place_of(&self.url_of(&file))).into_iter().flatten());
            let before = vector.cardinality();
            vector.add_deleted_row_indexes(numbers);
            if vector.cardinality() != before + numbers.len() as u64 {
                return Err(Error::bug(format!("a row of {file} is to be replaced that is gone already")));
            }
            let rows = sizes.get(&file).and_then(|size| Some(size.rows? + size.deleted));
            let rows = rows.ok_or_else(|| Error::retry(format!("{file} of `{}` is gone", self.name())))?;
            if i64::try_from(vector.cardinality()).is_ok_and(|gone| gone >= rows) {
                continue;
            }
            let written = writer.write_deletion_vector(vector).map_err(failed)?;
            #[expect(deprecated, reason = "nothing else gives all that the log says of a file")]
            let add = view.add_action();
            changes.added.push(Add {
                stats: Some(loosened(add.stats.as_deref(), rows)),
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
        if !changes.added.is_empty() {
            let path = Path::from(format!("deletion_vector_{id}.bin"));
            let put = self.inner.object_store().put(&path, bytes.into()).await;
            let what = || format!("cannot write the deletion vectors of `{}`", self.name());
            put.map_err(|error| failure::of(Phase::Data, &what(), error))?;
        }
        Ok(changes)
    }

    /// The numbers of the rows that the files' vectors delete, by where the files lie.
    async fn gone_rows(
        &self,
        files: &BTreeSet<&FileId>,
        state: &SessionState,
    ) -> Result<BTreeMap<String, Vec<u64>>> {
        if files.is_empty() {
            return Ok(BTreeMap::new());
        }
        let selected = FileSelection::from_file_paths(files.iter().map(|file| self.url_of(file)));
        let scan = self.scan_builder(state)?.with_file_selection(selected).build().await;
        let vectors = scan.map_err(engine::failed)?.deletion_vectors(state).await.map_err(engine::failed)?;
        let gone =
            |kept: Vec<bool>| (0..).zip(kept).filter(|(_, kept)| !kept).map(|(number, _)| number).collect();
        Ok(vectors.into_iter().map(|vector| (place_of(&vector.filepath), gone(vector.keep_mask))).collect())
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
    use super::loosened;

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
