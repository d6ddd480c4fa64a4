//! What identifies a batch.

use chrono::NaiveDate;
use sha2::{Digest as _, Sha256};

use super::ledger::Ledger;
use crate::model::{BatchKind, Pin, Pinned};

/// Bytes of the hash that an id keeps: 16, so an id is 32 hex digits.
const ID_BYTES: usize = 16;

/// The id of the batch with these inputs: the same on any machine, on any day.
///
/// If a batch with these inputs was taken back, the new one's id covers that batch's id, so ids form a
/// chain and no id is ever used twice. An id never depends on a path. `further` is what else makes the batch:
/// the checks that a person accepted, the entries that a replay takes.
#[must_use]
pub fn batch_id(
    kind: BatchKind,
    as_of: NaiveDate,
    config_digest: &str,
    inputs: &[Pin],
    further: &[String],
    ledger: &Ledger<'_>,
) -> String {
    let hash_inputs = |previous: Option<&str>| {
        let further = further.iter().map(String::as_str).chain(previous);
        hash_inputs(kind, as_of, config_digest, inputs, further)
    };
    let mut id = hash_inputs(None);
    // Each turn meets another spent id, and there are no more of them than rows.
    for _ in 0..=ledger.rows().len() {
        if !ledger.is_spent(&id) {
            break;
        }
        id = hash_inputs(Some(&id));
    }
    id
}

/// The id of the rejection of a batch, given what the gate judged it by.
#[must_use]
pub fn rejection_id(batch_id: &str, judged_by: &str) -> String {
    hash(&["rejected", batch_id, judged_by])
}

/// The id of a batch that takes others back.
#[must_use]
pub fn undo_id(undone: &[String], sequence: i64) -> String {
    let mut parts = vec!["rollback".to_owned(), sequence.to_string()];
    parts.extend(undone.iter().cloned());
    hash(&parts)
}

fn hash_inputs<'a>(
    kind: BatchKind,
    as_of: NaiveDate,
    config_digest: &str,
    inputs: &[Pin],
    further: impl Iterator<Item = &'a str>,
) -> String {
    let mut parts = vec![kind.as_str().to_owned(), as_of.to_string(), config_digest.to_owned()];
    for pin in inputs {
        let Pinned::Table(table) = &pin.what;
        parts.extend([pin.name.clone(), table.table_id.clone(), table.data_version.to_string()]);
    }
    parts.extend(further.map(str::to_owned));
    hash(&parts)
}

/// Hashes the parts with their lengths, so that no two lists of parts look the same.
fn hash(parts: &[impl AsRef<str>]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        sha.update(part.len().to_le_bytes());
        sha.update(part);
    }
    hex::encode(&sha.finalize()[..ID_BYTES])
}
