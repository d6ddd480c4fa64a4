//! What must hold of the quarantine.

use std::collections::BTreeSet;

use highwater::model::Lane;
use highwater::model::{AuditRow, Descriptor, EntryStatus, Evidence, Status};

use super::rows::{Held, ORPHANS, Row};
use super::start::Start;
use super::world::World;

/// One entry for each row, however often it is met.
pub fn kept_once(world: &World, pipeline: &str) -> Result<(), String> {
    let mut rows = BTreeSet::new();
    let mut own = world.quarantine.entries().iter().filter(|entry| entry.pipeline == pipeline);
    match own.find(|entry| !rows.insert(entry.row)) {
        Some(entry) => Err(format!("{:?} is in the quarantine twice", entry.row)),
        None => Ok(()),
    }
}

/// Rows that were counted as kept out are in the quarantine: of a load once it has its audit row, of a
/// rejected batch once its number is there.
pub fn kept_out(world: &World, pipeline: &str) -> Result<(), String> {
    let entries = world.quarantine.entries();
    let has = |row: &Row| entries.iter().any(|entry| entry.pipeline == pipeline && entry.row == *row);
    let audited = world.audit.txn(pipeline);
    for node in world.fact.nodes() {
        let recorded = |own: &&Descriptor| own.pipeline == pipeline && own.sequence <= audited;
        let Some(own) = node.entry.descriptor.as_ref().filter(recorded) else { continue };
        // An unbalanced batch is taken back before anything else of it is written.
        let failed =
            |row: &AuditRow| row.undone.contains(&own.batch_id) && row.sequence == Some(own.sequence + 1);
        let taken_back = own.sequence < audited
            && world.audit_rows().all(|row| row.batch_id != own.batch_id)
            && world.audit_rows().any(failed);
        if let Some(row) = node.entry.kept.iter().find(|row| !taken_back && !has(row)) {
            return Err(format!("I9: number {} kept {row:?} out, which is nowhere", own.sequence));
        }
        let is_its = |held: &&Held| held.by.as_ref().is_some_and(|(id, _)| **id == *own.batch_id);
        let mut written = world.fact.content().iter().filter(is_its);
        if let Some(held) = written.find(|held| node.entry.kept.contains(&held.row)) {
            return Err(format!("number {} kept {:?} out and loaded it", own.sequence, held.row));
        }
    }
    let evident = world.quarantine.txn(&Lane::Evidence(world.quarantine.id).app(pipeline));
    for node in world.audit.nodes() {
        let own = |evidence: &&Evidence| {
            let here = evidence.quarantine_id == world.quarantine.id;
            evidence.pipeline == pipeline && here && evidence.number <= evident
        };
        let Some(evidence) = node.entry.evidence.as_ref().filter(own) else { continue };
        if let Some(row) = node.entry.kept.iter().find(|row| !has(row)) {
            return Err(format!("I9: rejection {} kept {row:?}, which is nowhere", evidence.number));
        }
    }
    Ok(())
}

/// Entries are closed by batches in effect, once all is recorded.
pub fn closed_by_a_batch(world: &World, pipeline: &str, rows: &[&AuditRow]) -> Result<(), String> {
    if world.fact.newest(pipeline) > world.audit.txn(pipeline) {
        return Ok(());
    }
    let undone: BTreeSet<&String> = rows.iter().flat_map(|row| &row.undone).collect();
    for entry in world.quarantine.entries().iter().filter(|entry| entry.pipeline == pipeline) {
        let by = entry.resolution.as_ref();
        let in_effect = rows.iter().any(|row| {
            Some(&row.batch_id) == by && row.status == Status::Loaded && !undone.contains(&row.batch_id)
        });
        let closed = matches!(entry.status, EntryStatus::Replayed | EntryStatus::Stale);
        if closed != by.is_some() || closed && !in_effect {
            return Err(format!("{entry:?} was closed by no batch in effect"));
        }
    }
    Ok(())
}

/// A load closes the entries of rows that it reads and that pass by now.
pub fn still_open(world: &World, start: &Start) -> Result<(), String> {
    let rows: Vec<Row> = world.staging.nodes().into_iter().flat_map(|n| n.entry.rows.clone()).collect();
    let read = |row: &Row| {
        row.day <= start.as_of
            && rows.contains(row)
            && rows.iter().all(|other| other.key != row.key || other.version <= row.version)
    };
    let passes =
        |row: &Row| row.key.is_some_and(|key| key < ORPHANS || world.customers.head.entry.contains(&key));
    let entries = world.quarantine.entries().iter();
    let mut open = entries.filter(|e| e.pipeline == start.pipeline && e.status == EntryStatus::Open);
    match open.find(|entry| read(&entry.row) && passes(&entry.row)) {
        Some(entry) => Err(format!("{entry:?} passes and is still open")),
        None => Ok(()),
    }
}
