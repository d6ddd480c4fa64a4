//! Rows, and what the stages do with them: read, dedupe, locate, merge. As small as can be, and pure.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use highwater::checks::Measure;
use highwater::config::{Incremental, Late, Mode, OnTie};
use highwater::model::{Action, Class, Counts, EntryStatus, Memos, Pin, QuarantineWork, StatusChange};
use highwater::plan::judge::keeps_out;
use highwater::plan::verdict::Cells;
use highwater::plan::window::{Arrived, ReadPlan};
use highwater::plan::{Accepted, Rules, Staged};

use super::world::{CustomersLog, Entry, QuarantineLog, StagingLog, entry_id};

/// A row of staging. `day` is both the watermark column and the target's partition column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub key: Option<u8>,
    pub day: u8,
    pub version: u8,
    pub value: u8,
}

/// A row of the target, with the batch that wrote it; `None` where another writer did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    pub row: Row,
    pub by: Option<(Rc<str>, DateTime<Utc>)>,
}

pub fn row(key: u8, day: u8, version: u8) -> Row {
    Row { key: Some(key), day, version, value: key * 10 + version }
}

/// Keys from here on are customers that the dimension has to hold.
pub const ORPHANS: u8 = 20;

impl Row {
    /// As a file of new entries holds it.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!([self.key, self.day, self.version, self.value])
    }

    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        let (key, day, version, value) = serde_json::from_value(json.clone()).ok()?;
        Some(Self { key, day, version, value })
    }
}

pub fn date(day: u8) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 8, 1).unwrap() + Days::new(day.into())
}

pub fn partition(day: u8) -> String {
    format!("day={day:02}")
}

/// What is read of staging at its version `at`: rows to stage, late and future rows.
fn read(staging: &StagingLog, at: u64, reading: &ReadPlan, rules: &Incremental) -> (Vec<Row>, Memos) {
    let (mut staged, mut memos) = (Vec::new(), Memos::default());
    for node in staging.nodes().into_iter().filter(|node| node.version <= at) {
        let arrived = match reading.arrived {
            Arrived::After(version) => node.version > version,
            Arrived::Everything => true,
        };
        for row in &node.entry.rows {
            let day = date(row.day);
            if rules.mode == Mode::Changes {
                staged.extend(arrived.then_some(*row));
            } else if reading.window.to.is_some_and(|to| day > to) {
                memos.future += 1;
            } else if reading.first && reading.window.from.is_some_and(|from| day < from) {
                memos.history += 1;
            } else if reading.window.from.is_some_and(|from| day < from) {
                memos.late += i64::from(arrived);
                staged.extend((arrived && rules.late == Late::Load).then_some(*row));
            } else {
                staged.push(*row);
            }
        }
    }
    (staged, memos)
}

/// The latest row of each key; rows without a key stand alone.
fn dedupe(mut rows: Vec<Row>) -> (Vec<Row>, Counts) {
    let mut counts = Counts { staged: rows.len() as i64, ..Counts::default() };
    rows.sort_by_key(|row| std::cmp::Reverse((row.version, row.value)));
    let mut winners: BTreeMap<u8, Vec<Row>> = BTreeMap::new();
    let mut deduped = Vec::new();
    for row in rows {
        let Some(key) = row.key else {
            deduped.push(row);
            continue;
        };
        let above = winners.entry(key).or_default();
        match above.iter().any(|other| (other.version, other.value) == (row.version, row.value)) {
            true => counts.duplicate += 1,
            false if above.is_empty() => deduped.push(row),
            false => counts.superseded += 1,
        }
        above.push(row);
    }
    deduped.sort();
    counts.deduped = deduped.len() as i64;
    (deduped, counts)
}

fn classify(row: Row, target: Option<Row>, on_tie: OnTie) -> Class {
    let Some(held) = target else { return Class::Inserted };
    match row.version.cmp(&held.version) {
        std::cmp::Ordering::Greater => Class::Updated,
        std::cmp::Ordering::Less => Class::Stale,
        std::cmp::Ordering::Equal if row == held => Class::Unchanged,
        std::cmp::Ordering::Equal if on_tie == OnTie::ReplaceIfDifferent => Class::Updated,
        std::cmp::Ordering::Equal => Class::Tied,
    }
}

/// What a batch is staged from.
pub struct Sources<'a> {
    pub staging: &'a StagingLog,
    pub quarantine: &'a QuarantineLog,
    pub customers: &'a CustomersLog,
    pub inputs: &'a [Pin],
    /// The version of the quarantine by which entries are known.
    pub entries_at: u64,
    /// Which rows stay out.
    pub out: Out<'a>,
}

/// How it is told which rows stay out.
pub enum Out<'a> {
    /// By judging them, but for those that were judged before.
    Judged { in_effect: &'a [String], accepted: &'a Accepted },
    /// The first group kept these out, for a later one.
    Said(BTreeSet<Row>),
}

/// The rows that a batch in groups keeps out, as its first commit says: entries as it found them, and as it
/// will leave them.
pub fn kept_by(work: &QuarantineWork, quarantine: &QuarantineLog, pipeline: &str) -> BTreeSet<Row> {
    let entries = quarantine.at(work.base_version).map(|node| Rc::clone(&node.entry.entries));
    let status = |entry: &Entry| {
        let change = work.changes.iter().find(|change| change.entries.contains(&entry.id()));
        change.map_or(entry.status, |change| change.status)
    };
    let stays = |entry: &&Entry| {
        entry.pipeline == pipeline && matches!(status(entry), EntryStatus::Open | EntryStatus::Discarded)
    };
    let known = entries.unwrap_or_default();
    let known = known.iter().filter(stays).map(|entry| entry.row);
    known.chain(work.adds.iter().filter_map(Row::from_json)).collect()
}

/// A batch as the stages leave it.
pub struct Located {
    pub staged: Staged,
    pub rows: Vec<(Class, Row)>,
    /// What changes in the quarantine if the batch is committed, by the batch with this id.
    pub work: QuarantineWork,
    pub kept: Vec<Row>,
    /// What changes there if it is rejected.
    pub evidence: QuarantineWork,
    pub evidence_kept: Vec<Row>,
}

/// A staged batch with its located rows: pure from the pinned versions and the target's content.
pub fn stage(from: &Sources<'_>, id: &str, reading: &ReadPlan, rules: &Rules, target: &[Held]) -> Located {
    let source = from.inputs[0].table().version;
    let known = from.inputs.get(1).and_then(|pin| from.customers.at(pin.table().version));
    let known = known.map(|node| node.entry.clone()).unwrap_or_default();
    let entries = from.quarantine.at(from.entries_at).map(|node| Rc::clone(&node.entry.entries));
    let entries = entries.unwrap_or_default();
    let entry_of = |row: Row| entries.iter().find(|e| e.row == row && e.pipeline == rules.pipeline);
    let (rows, memos) = if reading.selection.is_some() {
        let open = |entry: &&Entry| entry.status == EntryStatus::Open && entry.pipeline == rules.pipeline;
        let at = from.quarantine.at(source).map(|node| Rc::clone(&node.entry.entries)).unwrap_or_default();
        (at.iter().filter(open).map(|entry| entry.row).collect(), Memos::default())
    } else {
        read(from.staging, source, reading, &rules.incremental)
    };
    let (deduped, counts) = dedupe(rows.clone());

    let mut staged = Staged { dedupe: counts, memos, ..Staged::default() };
    let (mut nulls, mut orphans) = (Measure::default(), Measure::default());
    let (mut cells, mut located) = (Cells::new(), Vec::new());
    let (mut kept, mut evidence_kept) = (BTreeSet::new(), BTreeSet::new());
    let mut closed: BTreeMap<EntryStatus, BTreeSet<String>> = BTreeMap::new();
    let mut claimed = Vec::new();
    for row in &deduped {
        let row = *row;
        let held = target.iter().map(|held| held.row).find(|held| held.key == row.key);
        let mut class = classify(row, held, rules.on_tie);
        let is_null = row.key.is_none();
        let is_orphan = row.key.is_some_and(|key| key >= ORPHANS && !known.contains(&key));
        let entry = entry_of(row);
        let status = entry.map(|entry| entry.status);
        let quarantines = rules.checks.iter().any(|check| check.action == Action::Quarantine);
        let (judged, stays_out) = match &from.out {
            Out::Said(kept) => (false, kept.contains(&row)),
            Out::Judged { in_effect, accepted } => {
                let by_load = entry.is_some_and(|entry| in_effect.contains(&entry.batch));
                let mut fails = rules.checks.iter().zip([is_null, is_orphan]);
                let judged = match status {
                    Some(EntryStatus::Discarded) => true,
                    Some(EntryStatus::Open) if by_load => {
                        fails.any(|(check, fails)| fails && keeps_out(check, accepted))
                    }
                    _ => false,
                };
                let claims = !by_load && status.is_some() && status != Some(EntryStatus::Discarded);
                if claims && is_orphan && quarantines && class.is_written() && reading.selection.is_none() {
                    claimed.push(entry_id(&rules.pipeline, row));
                }
                (judged, judged || is_orphan && quarantines)
            }
        };
        if judged {
            staged.evidence += i64::from(class.is_written());
        } else {
            for (measure, fails) in [(&mut nulls, is_null), (&mut orphans, is_orphan)] {
                measure.examined += 1;
                measure.failed += i64::from(fails);
                measure.held += i64::from(fails && class.is_written());
            }
            if is_null || is_orphan {
                staged.dq_errors += 1;
                staged.evidence += 1;
                evidence_kept.insert(row);
            }
        }
        if class.is_written() && stays_out {
            class = Class::Quarantined;
            kept.insert(row);
        }
        let becomes = match (class, status) {
            (Class::Quarantined, Some(EntryStatus::Replayed | EntryStatus::Stale)) => Some(EntryStatus::Open),
            (Class::Inserted | Class::Updated | Class::Unchanged, Some(EntryStatus::Open)) => {
                Some(EntryStatus::Replayed)
            }
            (Class::Stale | Class::Tied, Some(EntryStatus::Open)) if reading.selection.is_some() => {
                Some(EntryStatus::Stale)
            }
            _ => None,
        };
        if let Some(status) = becomes {
            closed.entry(status).or_default().insert(entry_id(&rules.pipeline, row));
        }
        if class != Class::Quarantined {
            staged.newest = staged.newest.max(Some(date(row.day)));
            if reading.selection.is_some() {
                // What lost the dedupe to a row that is not kept out is older than what the target holds.
                let lost = rows.iter().filter(|other| other.key == row.key && **other != row);
                let ids = lost.map(|other| entry_id(&rules.pipeline, *other));
                closed.entry(EntryStatus::Stale).or_default().extend(ids);
            }
        }
        let old = held.map(|held| partition(held.day));
        *cells.entry((partition(row.day), old, class)).or_default() += 1;
        staged.target_ties += i64::from(held.is_some_and(|h| h.version == row.version && h != row));
        located.push((class, row));
    }
    staged.cells = cells;
    staged.measures = vec![nulls, orphans];
    closed.retain(|_, ids| !ids.is_empty());
    let changes = closed.into_iter().map(|(status, ids)| StatusChange {
        entries: ids.into_iter().collect(),
        entries_file: None,
        status,
        resolution: (status != EntryStatus::Open).then(|| id.to_owned()),
    });
    let adds = |rows: &BTreeSet<Row>| -> Vec<_> {
        rows.iter().filter(|row| entry_of(**row).is_none()).map(|row| row.to_json()).collect()
    };
    let base_version = from.entries_at;
    Located {
        work: QuarantineWork {
            base_version,
            adds: adds(&kept),
            changes: changes.collect(),
            claims: claimed,
            claims_file: None,
            reopen: Vec::new(),
        },
        evidence: QuarantineWork { base_version, adds: adds(&evidence_kept), ..QuarantineWork::default() },
        staged,
        rows: located,
        kept: kept.into_iter().collect(),
        evidence_kept: evidence_kept.into_iter().collect(),
    }
}

/// The rows of these partitions that are written; of all of them where there are no groups.
pub fn to_write(located: &[(Class, Row)], partitions: Option<&[String]>) -> Vec<(Class, Row)> {
    let partitions: Option<BTreeSet<&String>> = partitions.map(|list| list.iter().collect());
    let among = |row: &Row| partitions.as_ref().is_none_or(|list| list.contains(&partition(row.day)));
    located.iter().filter(|(class, row)| class.is_written() && among(row)).copied().collect()
}

/// The content after a MERGE. As in the real one, an inserted row is not held against the target again.
///
/// # Errors
/// When a row would be replaced by one that is not strictly newer, or by a rule for ties.
pub fn merge(
    content: &[Held],
    rows: &[(Class, Row)],
    by: &(Rc<str>, DateTime<Utc>),
    on_tie: OnTie,
) -> Result<Vec<Held>, String> {
    let mut content = content.to_vec();
    for (class, row) in rows {
        let new = Held { row: *row, by: Some(by.clone()) };
        if *class == Class::Inserted {
            content.push(new);
            continue;
        }
        let held = content.iter_mut().find(|held| held.row.key == row.key);
        let held = held.ok_or_else(|| format!("I6: {row:?} replaces a row that is gone"))?;
        let tie = held.row.version == row.version && on_tie == OnTie::ReplaceIfDifferent;
        if held.row.version >= row.version && !tie {
            return Err(format!("I6: {:?} is replaced by {row:?}, which is not newer", held.row));
        }
        *held = new;
    }
    content.sort();
    Ok(content)
}
