//! What must hold at every instant, and what makes two ends the same.

use std::collections::{BTreeMap, BTreeSet};

use highwater::model::{AuditRow, BatchKind, Counts, Descriptor, EntryStatus, Status};
use highwater::model::{Lane, Watermark};

use super::actor::{Actor, Ending};
use super::entries::{closed_by_a_batch, kept_once, kept_out, still_open};
use super::rows::{Held, Row, date};
use super::scenario::Scenario;
use super::start::{Reading, Want};
use super::world::{FactLog, World};

/// How alike the ends have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// All tables, in every column.
    Everything,
    /// Keys, versions and values of the target.
    Content,
    /// Nothing: a person has to look before there is an end. The invariants hold all the same.
    Open,
    /// No run may change anything.
    Nothing,
}

/// Checks the tables at one instant.
///
/// # Errors
/// What is wrong, with the number of the invariant.
pub fn check_world(world: &World, scenario: &Scenario) -> Result<(), String> {
    if scenario.same == Same::Nothing {
        let untouched = world.tables()[2..] == scenario.world.tables()[2..];
        return untouched.then_some(()).ok_or_else(|| "a table was changed".to_owned());
    }
    one_row_for_each_key(world.fact.content())?;
    let pipelines: BTreeSet<&str> = scenario.runs.iter().map(|start| start.pipeline).collect();
    for pipeline in pipelines {
        order(world, pipeline)?;
        let rows: Vec<&AuditRow> = world.audit_rows().filter(|row| row.pipeline == pipeline).collect();
        recorded_once(&rows)?;
        for row in &rows {
            accounted(&world.fact, row)?;
        }
        watermarks(world, pipeline, &rows)?;
        pins(&rows)?;
        read_once(world, scenario, pipeline, &rows)?;
        loaded_once(&rows)?;
        kept_once(world, pipeline)?;
        kept_out(world, pipeline)?;
        closed_by_a_batch(world, pipeline, &rows)?;
    }
    Ok(())
}

fn one_row_for_each_key(content: &[Held]) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    match content.iter().find(|held| !keys.insert(held.row.key)) {
        Some(held) => Err(format!("I8: the target holds key {:?} twice", held.row.key)),
        None => Ok(()),
    }
}

fn order(world: &World, pipeline: &str) -> Result<(), String> {
    let (fact, audit, marks) =
        (world.fact.newest(pipeline), world.audit.txn(pipeline), world.marks.txn(pipeline));
    let holds = fact >= audit && audit >= marks;
    holds.then_some(()).ok_or_else(|| format!("I4: target {fact}, audit {audit}, watermark {marks}"))
}

fn recorded_once(rows: &[&AuditRow]) -> Result<(), String> {
    let (mut ids, mut numbers, mut undone) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in rows {
        if let Some(id) = row.undone.iter().find(|id| !undone.insert(*id)) {
            return Err(format!("batch {id} is taken back twice"));
        }
        if !ids.insert(&row.batch_id) {
            return Err(format!("I1: batch {} is audited twice", row.batch_id));
        }
        if row.sequence.is_some_and(|number| !numbers.insert(number)) {
            return Err(format!("number {:?} is audited twice", row.sequence));
        }
    }
    Ok(())
}

/// The row's classes add up, and say what the batch's commits did to the target.
fn accounted(fact: &FactLog, row: &AuditRow) -> Result<(), String> {
    let wrong = |what: String| Err(format!("I5: batch {:?} ({:?}): {what}", row.sequence, row.status));
    if row.status != Status::Failed
        && let Some(imbalance) = row.counts().imbalance()
    {
        return wrong(imbalance);
    }
    if (row.status != Status::Loaded || row.kind != BatchKind::Load) && row.watermark.is_some() {
        return wrong("only a load has a watermark".to_owned());
    }
    let Some(number) = row.sequence else {
        let nothing = Counts { inserted: 0, updated: 0, ..row.counts() };
        return if row.counts() == nothing {
            Ok(())
        } else {
            wrong("a rejected batch wrote rows".to_owned())
        };
    };
    if row.kind == BatchKind::Rollback {
        return Ok(());
    }
    let (mut inserted, mut updated, mut commits) = (0, 0, 0);
    for node in fact.nodes() {
        let own = node.entry.descriptor.as_ref();
        if own.is_some_and(|own| own.pipeline == row.pipeline && own.sequence == number) {
            inserted += node.entry.written.inserted.unwrap_or_default();
            updated += node.entry.written.updated.unwrap_or_default();
            commits += 1;
        }
    }
    if commits == 0 {
        return wrong("no commit of the target is this batch's".to_owned());
    }
    if (inserted, updated) != (row.inserted_rows, row.updated_rows) {
        return wrong(format!(
            "commits inserted {inserted} and updated {updated} rows, the row says {} and {}",
            row.inserted_rows, row.updated_rows
        ));
    }
    Ok(())
}

/// Every watermark row has its audit row; the live watermark goes back with a rollback only.
fn watermarks(world: &World, pipeline: &str, rows: &[&AuditRow]) -> Result<(), String> {
    let (mut number, mut live) = (0, None);
    for mark in world.watermark_rows().filter(|mark| mark.pipeline == pipeline) {
        let Some(row) = rows.iter().find(|row| row.sequence == Some(mark.sequence)) else {
            return Err(format!("I4: the watermark row of number {} has no audit row", mark.sequence));
        };
        if (&row.batch_id, row.as_of) != (&mark.batch_id, mark.as_of) {
            return Err(format!(
                "number {} is one batch in one table and another in the other",
                mark.sequence
            ));
        }
        if mark.sequence <= number {
            return Err(format!("watermark row {} follows {number}", mark.sequence));
        }
        let highest = highest_in_effect(rows, mark.sequence);
        if mark.watermark != highest {
            return Err(format!("number {} stores {:?}, not {highest:?}", mark.sequence, mark.watermark));
        }
        if mark.watermark < live && row.status != Status::RolledBack {
            return Err(format!("the live watermark goes back from {live:?} to {:?}", mark.watermark));
        }
        (number, live) = (mark.sequence, mark.watermark);
    }
    Ok(())
}

/// The highest watermark of the loads that were in effect when number `upto` was done.
fn highest_in_effect(rows: &[&AuditRow], upto: i64) -> Option<Watermark> {
    let upto = || rows.iter().filter(|row| row.sequence.is_some_and(|number| number <= upto));
    let undone: BTreeSet<&String> = upto().flat_map(|row| &row.undone).collect();
    let in_effect = |row: &&&AuditRow| row.status == Status::Loaded && !undone.contains(&row.batch_id);
    upto().filter(in_effect).filter_map(|row| row.watermark).max()
}

/// No two loads in effect are of the same inputs, whatever a person accepted for them.
fn loaded_once(rows: &[&AuditRow]) -> Result<(), String> {
    let undone: BTreeSet<&String> = rows.iter().flat_map(|row| &row.undone).collect();
    let mut loaded = BTreeSet::new();
    for row in rows.iter().filter(|row| row.status == Status::Loaded && row.kind == BatchKind::Load) {
        let inputs: Vec<_> =
            row.inputs.iter().map(|pin| (&pin.table().table_id, pin.table().data_version)).collect();
        if !undone.contains(&row.batch_id) && !loaded.insert((row.as_of, &row.config_digest, inputs)) {
            return Err(format!("I1: batch {:?} loads what was loaded before", row.sequence));
        }
    }
    Ok(())
}

/// A load never pins an older staging version than a load in effect before it.
fn pins(rows: &[&AuditRow]) -> Result<(), String> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.status == Status::Loaded) {
        for pin in &row.inputs {
            let pin = pin.table();
            let newest = newest.entry(&pin.table_id).or_default();
            if pin.version < *newest {
                return Err(format!("batch {:?} reads version {} after {newest}", row.sequence, pin.version));
            }
            *newest = pin.version;
        }
    }
    Ok(())
}

/// By arrival each version of staging is read by one load, unless logical dates go back; and the first load by
/// window takes no row below it.
fn read_once(world: &World, scenario: &Scenario, pipeline: &str, rows: &[&AuditRow]) -> Result<(), String> {
    let mut loads = in_effect(rows);
    loads.sort_by_key(|row| row.sequence);
    let Some((first, last)) = loads.first().zip(loads.last()) else { return Ok(()) };
    if first.watermark_to.is_some() && first.late_rows > 0 {
        return Err(format!("the first load, number {:?}, takes late rows", first.sequence));
    }
    let mut own = scenario.runs.iter().filter(|start| start.pipeline == pipeline);
    if own.any(|start| start.mode == Reading::Window) || !loads.is_sorted_by_key(|row| row.as_of) {
        return Ok(());
    }
    let pinned = last.inputs.first().map_or(0, |pin| pin.table().version);
    let nodes = world.staging.nodes().into_iter().filter(|node| node.version <= pinned);
    let arrived = nodes.map(|node| node.entry.rows.len() as i64).sum::<i64>();
    let read = loads.iter().map(|row| row.staged_rows).sum::<i64>();
    (read == arrived).then_some(()).ok_or_else(|| format!("{read} rows were read of {arrived} that arrived"))
}

/// Regular loads that nobody took back.
fn in_effect<'a>(rows: &[&'a AuditRow]) -> Vec<&'a AuditRow> {
    let undone: BTreeSet<&String> = rows.iter().flat_map(|row| &row.undone).collect();
    let loaded = |row: &&&AuditRow| row.status == Status::Loaded && row.kind == BatchKind::Load;
    rows.iter().filter(loaded).filter(|row| !undone.contains(&row.batch_id)).copied().collect()
}

/// Whether the first load in effect left a row out that came with this version of staging.
fn is_history(world: &World, pipeline: &str, row: Row, version: u64) -> bool {
    let rows: Vec<&AuditRow> = world.audit_rows().filter(|row| row.pipeline == pipeline).collect();
    let first = in_effect(&rows).into_iter().min_by_key(|row| row.sequence);
    first.is_some_and(|first| {
        first.watermark_from.is_some_and(|from| date(row.day) < from)
            && first.inputs.first().is_some_and(|pin| version <= pin.table().version)
    })
}

/// Checks the tables after the last run: all is recorded, and no row of staging is lost.
///
/// # Errors
/// What is wrong, with the number of the invariant.
pub fn check_end(world: &World, scenario: &Scenario, rejected: bool) -> Result<(), String> {
    for start in &scenario.runs {
        let newest = world.fact.newest(start.pipeline);
        if (world.audit.txn(start.pipeline), world.marks.txn(start.pipeline)) != (newest, newest) {
            return Err(format!("I2: a run ended, and number {newest} is not recorded"));
        }
        let evidence = Lane::Evidence(world.quarantine.id).app(start.pipeline);
        if world.audit.txn(&evidence) != world.quarantine.txn(&evidence) {
            return Err("I2: a run ended, and the rows of a rejection are not in the quarantine".to_owned());
        }
        let holds = |row: &Row| {
            let held = world.fact.content().iter().find(|held| held.row.key == row.key);
            held.is_some_and(|held| held.row.version >= row.version)
        };
        for entry in world.quarantine.entries().iter().filter(|entry| entry.pipeline == start.pipeline) {
            let closed = matches!(entry.status, EntryStatus::Replayed | EntryStatus::Stale);
            if closed && !holds(&entry.row) {
                return Err(format!("I9: {entry:?} is closed, and the target holds nothing as new"));
            }
        }
        if rejected || start.want != Want::Load {
            continue;
        }
        if start.mode == Reading::Window {
            still_open(world, start)?;
        }
        let nodes = world.staging.nodes();
        let all = nodes.iter().flat_map(|node| node.entry.rows.iter().map(|row| (node.version, row)));
        for (_, row) in all.filter(|(version, row)| !is_history(world, start.pipeline, **row, *version)) {
            let waits = world.quarantine.entries().iter().any(|entry| {
                let waits = matches!(entry.status, EntryStatus::Open | EntryStatus::Discarded);
                waits && entry.row.key == row.key && entry.row.version >= row.version
            });
            if row.day <= start.as_of && !holds(row) && !waits {
                return Err(format!("I9: {row:?} is lost: the target holds nothing as new"));
            }
        }
    }
    Ok(())
}

/// A RESTORE of ours takes back no row of another writer unless they are saved first, and no other batch
/// than a person knew of.
///
/// # Errors
/// When it does.
pub fn check_restore(
    fact: &FactLog,
    older: &[Held],
    undo: &Descriptor,
    foreign: bool,
    actor: &Actor,
) -> Result<(), String> {
    let nodes = fact.nodes();
    let descriptors = || nodes.iter().filter_map(|node| node.entry.descriptor.as_ref());
    let own = |id: &str| descriptors().any(|d| d.pipeline == undo.pipeline && d.batch_id == id);
    for held in fact.content().iter().filter(|held| !older.contains(held)) {
        match &held.by {
            None if !foreign => return Err(format!("an undo loses another writer's {:?}", held.row)),
            Some((id, _)) if !own(id) => {
                return Err(format!("an undo loses another pipeline's {:?}", held.row));
            }
            Some((id, _)) if !undo.undone.iter().any(|undone| **undone == **id) => {
                return Err(format!("an undo loses {:?} and does not say so", held.row));
            }
            _ => {}
        }
    }
    let first = actor.first();
    let known = |id: &&String| first.is_none_or(|first| first.batches.contains(*id));
    if undo.status == Status::RolledBack
        && let Some(new) = undo.undone.iter().find(|id| !known(id))
    {
        return Err(format!("a rollback takes back {new}, which came after its start"));
    }
    Ok(())
}

/// What a person wanted taken back is taken back when the rollback says so.
///
/// # Errors
/// When it is not.
pub fn check_taken_back(world: &World, actor: &Actor, ending: Ending) -> Result<(), String> {
    if ending != Ending::Case('T') {
        return Ok(());
    }
    let Want::Back(back) = actor.start.want else { return Err("a load ends as a rollback".to_owned()) };
    let nodes = world.fact.nodes();
    let last = actor.first().map_or(0, |first| first.newest);
    let number = back.number.unwrap_or(last);
    let mut own = nodes.iter().filter_map(|node| node.entry.descriptor.as_ref());
    let named = own.find(|d| d.pipeline == actor.start.pipeline && d.sequence == number);
    match named.filter(|named| named.kind != BatchKind::Rollback) {
        Some(named) if world.audit_rows().all(|row| !row.undone.contains(&named.batch_id)) => {
            Err(format!("a rollback of number {number} ends, and the batch is in effect"))
        }
        _ => Ok(()),
    }
}

/// The end as far as it has to be the same whoever did what when. Versions are counted in commits of the
/// row's own pipeline, as others may commit in between; the input's version is the one that changed data.
pub fn canonical(world: &World, same: Same) -> String {
    let mut lines: Vec<String> = world.fact.content().iter().map(|held| describe(held, same)).collect();
    let entries = world.quarantine.entries().iter();
    if same == Same::Content {
        lines.extend(entries.map(|entry| format!("{} {:?} {:?}", entry.pipeline, entry.row, entry.status)));
        return lines.join("\n");
    }
    lines.extend(entries.map(|entry| format!("{entry:?}")));
    let mut rows: Vec<AuditRow> = world.audit_rows().cloned().collect();
    rows.sort_by_key(|row| (row.pipeline.clone(), row.sequence, row.batch_id.clone()));
    for mut row in rows {
        for version in [&mut row.fact_version_before, &mut row.fact_version_after] {
            *version = version.map(|version| own_commits(&world.fact, &row.pipeline, version));
        }
        if row.status == Status::Rejected {
            // A load may be committed while a rejection is judged; it is no less right for that.
            row.fact_version_before = None;
        }
        for pin in &mut row.inputs {
            pin.table_mut().version = pin.table().data_version;
        }
        lines.push(format!("{row:?}"));
    }
    let mut marks: Vec<_> = world.watermark_rows().collect();
    marks.sort_by_key(|mark| (mark.pipeline.clone(), mark.sequence));
    lines.extend(marks.into_iter().map(|mark| format!("{mark:?}")));
    lines.join("\n")
}

fn describe(held: &Held, same: Same) -> String {
    match same {
        Same::Everything => format!("{held:?}"),
        _ => format!("{:?}", held.row),
    }
}

fn own_commits(fact: &FactLog, pipeline: &str, upto: i64) -> i64 {
    let upto = u64::try_from(upto).unwrap_or_default();
    let own = |descriptor: &highwater::model::Descriptor| descriptor.pipeline == pipeline;
    let nodes = fact.nodes().into_iter().filter(|node| node.version <= upto);
    nodes.filter(|node| node.entry.descriptor.as_ref().is_some_and(own)).count() as i64
}
