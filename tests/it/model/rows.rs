//! Rows, and what the stages do with them: read, dedupe, locate, merge. As small as can be, and pure.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use highwater::config::{Incremental, Late, Mode, OnTie};
use highwater::model::{Class, Counts, Memos};
use highwater::plan::settle::Cells;
use highwater::plan::window::{Arrived, ReadPlan};
use highwater::plan::{Rules, Staged};

use super::world::StagingLog;

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

/// A staged batch with its located rows: pure from the pinned staging version and the target's content.
pub fn stage(
    staging: &StagingLog,
    at: u64,
    reading: &ReadPlan,
    rules: &Rules,
    target: &[Held],
) -> (Staged, Vec<(Class, Row)>) {
    let (rows, memos) = read(staging, at, reading, &rules.incremental);
    let (deduped, counts) = dedupe(rows);
    let nulls = deduped.iter().filter(|row| row.key.is_none()).count() as i64;
    let mut staged = Staged {
        dedupe: counts,
        memos,
        nulls: (nulls > 0).then(|| ("key".to_owned(), nulls)).into_iter().collect(),
        null_rows: nulls,
        newest: deduped.iter().map(|row| date(row.day)).max(),
        ..Staged::default()
    };
    let mut cells = Cells::new();
    let mut located = Vec::new();
    for row in deduped {
        let held = target.iter().map(|held| held.row).find(|held| held.key == row.key);
        let class = classify(row, held, rules.on_tie);
        let old = held.map(|held| partition(held.day));
        *cells.entry((partition(row.day), old, class)).or_default() += 1;
        staged.target_ties += i64::from(held.is_some_and(|h| h.version == row.version && h != row));
        located.push((class, row));
    }
    staged.cells = cells;
    (staged, located)
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
