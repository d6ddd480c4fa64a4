//! The tables in memory: each a log of commits, and each commit a compare-and-set onto the newest version.
//!
//! A log is a list that shares its tail with its older versions, so a snapshot of a table, or of the whole
//! world, costs nothing; the hash of a version covers everything before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use highwater::model::{AuditRow, Class, Descriptor, EntryStatus, Evidence, Lane, WatermarkRow};
use highwater::plan::Written;
use highwater::protocol::GROUPS;

use super::events::Event;
use super::rows::{Held, Row};

/// One version of a table.
pub struct Node<T> {
    pub version: u64,
    pub entry: T,
    pub txn: BTreeMap<String, i64>,
    pub hash: u64,
    pub before: Option<Rc<Node<T>>>,
}

/// A table.
pub struct Log<T> {
    pub id: &'static str,
    pub head: Rc<Node<T>>,
    /// Log entries before this version are gone.
    pub cleaned: u64,
    /// Files that only versions before this one need are gone.
    pub vacuumed: u64,
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self { id: self.id, head: Rc::clone(&self.head), cleaned: self.cleaned, vacuumed: self.vacuumed }
    }
}

impl<T: Default + Debug> Log<T> {
    pub fn new(id: &'static str) -> Self {
        let head =
            Node { version: 0, entry: T::default(), txn: BTreeMap::new(), hash: hash_of(&id), before: None };
        Self { id, head: Rc::new(head), cleaned: 0, vacuumed: 0 }
    }

    pub fn key(&self) -> u64 {
        hash_of(&(self.id, self.head.hash, self.cleaned, self.vacuumed))
    }

    pub fn txn(&self, app: &str) -> i64 {
        self.head.txn.get(app).copied().unwrap_or_default()
    }

    /// All versions, oldest first.
    pub fn nodes(&self) -> Vec<&Node<T>> {
        let mut nodes: Vec<&Node<T>> =
            std::iter::successors(Some(&*self.head), |n| n.before.as_deref()).collect();
        nodes.reverse();
        nodes
    }

    pub fn at(&self, version: u64) -> Option<Rc<Node<T>>> {
        std::iter::successors(Some(&self.head), |n| n.before.as_ref()).find(|n| n.version == version).cloned()
    }

    pub fn push(&mut self, entry: T, txn: impl IntoIterator<Item = (String, i64)>) {
        let mut all = self.head.txn.clone();
        all.extend(txn);
        let version = self.head.version + 1;
        let mut hasher = Hashed(DefaultHasher::new());
        let _ = write!(hasher, "{} {version} {all:?} {entry:?}", self.head.hash);
        let hash = hasher.0.finish();
        self.head = Rc::new(Node { version, entry, txn: all, hash, before: Some(Rc::clone(&self.head)) });
    }

    /// Whether this version can still be read.
    pub fn is_readable_at(&self, version: u64) -> bool {
        (self.vacuumed..=self.head.version).contains(&version)
    }
}

/// Hashes what is written to it.
struct Hashed(DefaultHasher);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

pub fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A commit of staging.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    pub rows: Vec<Row>,
    pub changed_data: bool,
}

/// A commit of the target.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub descriptor: Option<Descriptor>,
    pub changed_data: bool,
    pub restored: Option<u64>,
    pub written: Written,
    /// Rows that the batch kept out. No run can see them here.
    pub kept: Vec<Row>,
    /// Changes with columns and properties.
    pub schema: u8,
    /// The table's rows after it, sorted.
    pub content: Rc<Vec<Held>>,
}

/// A commit of the audit table.
#[derive(Debug, Clone, Default)]
pub struct Audited {
    pub row: Option<AuditRow>,
    /// The number whose row another hand deletes.
    pub deleted: Option<i64>,
    pub evidence: Option<Evidence>,
    /// Rows that the rejected batch leaves as evidence. No run can see them here.
    pub kept: Vec<Row>,
}

/// A commit of the watermark table.
#[derive(Debug, Clone, Default)]
pub struct Marked {
    pub row: Option<WatermarkRow>,
    /// The number whose row another hand deletes.
    pub deleted: Option<i64>,
}

/// An entry of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub pipeline: String,
    pub row: Row,
    pub status: EntryStatus,
    /// The batch that closed it.
    pub resolution: Option<String>,
    /// The batch that kept it out.
    pub batch: String,
}

impl Entry {
    pub fn id(&self) -> String {
        entry_id(&self.pipeline, self.row)
    }
}

pub fn entry_id(pipeline: &str, row: Row) -> String {
    format!("{pipeline} {row:?}")
}

/// A commit of the quarantine, with all entries after it.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub entries: Rc<Vec<Entry>>,
    pub changed_data: bool,
}

/// The keys that a dimension holds.
pub type Customers = BTreeSet<u8>;

pub type StagingLog = Log<Staged>;
pub type FactLog = Log<Loaded>;
pub type QuarantineLog = Log<Kept>;
pub type AuditLog = Log<Audited>;
pub type MarksLog = Log<Marked>;
pub type CustomersLog = Log<Customers>;

impl AuditLog {
    /// The rows that nobody deleted.
    pub fn rows(&self) -> Vec<&AuditRow> {
        let nodes = self.nodes();
        let deleted: BTreeSet<i64> = nodes.iter().filter_map(|node| node.entry.deleted).collect();
        let rows = nodes.into_iter().filter_map(|node| node.entry.row.as_ref());
        rows.filter(|row| row.sequence.is_none_or(|number| !deleted.contains(&number))).collect()
    }
}

impl MarksLog {
    /// The rows that nobody deleted.
    pub fn rows(&self) -> Vec<&WatermarkRow> {
        let nodes = self.nodes();
        let deleted: BTreeSet<i64> = nodes.iter().filter_map(|node| node.entry.deleted).collect();
        let rows = nodes.into_iter().filter_map(|node| node.entry.row.as_ref());
        rows.filter(|row| !deleted.contains(&row.sequence)).collect()
    }
}

impl QuarantineLog {
    /// Replaces all entries.
    pub fn put(&mut self, mut entries: Vec<Entry>, txn: impl IntoIterator<Item = (String, i64)>) {
        entries.sort();
        let changed_data = entries != **self.entries();
        self.push(Kept { entries: Rc::new(entries), changed_data }, txn);
    }

    pub fn entries(&self) -> &Rc<Vec<Entry>> {
        &self.head.entry.entries
    }
}

impl FactLog {
    pub fn content(&self) -> &Rc<Vec<Held>> {
        &self.head.entry.content
    }

    /// The newest number of a pipeline, finished or not.
    pub fn newest(&self, pipeline: &str) -> i64 {
        self.txn(pipeline).max(self.txn(&Lane::Group.app(pipeline)) / GROUPS)
    }

    /// Adds a commit of a batch.
    pub fn commit_described(
        &mut self,
        descriptor: Descriptor,
        txn: Vec<(String, i64)>,
        restored: Option<u64>,
        kept: Vec<Row>,
        content: Vec<Held>,
    ) {
        self.put(Loaded { descriptor: Some(descriptor), restored, kept, ..Loaded::default() }, content, txn);
    }

    /// Adds a commit by another hand.
    pub fn commit_foreign(&mut self, restored: Option<u64>, content: Vec<Held>) {
        self.put(Loaded { restored, ..Loaded::default() }, content, Vec::new());
    }

    fn put(&mut self, commit: Loaded, mut content: Vec<Held>, txn: Vec<(String, i64)>) {
        let restored = commit.restored;
        content.sort();
        let before = self.content();
        let added: Vec<&Held> = content.iter().filter(|held| !before.contains(held)).collect();
        let removed: Vec<&Held> = before.iter().filter(|held| !content.contains(held)).collect();
        let replaced = |held: &&&Held| removed.iter().any(|old| old.row.key == held.row.key);
        let updated = added.iter().filter(replaced).count() as i64;
        let metrics = restored.is_none() && !added.is_empty();
        let written = Written {
            added: Some(added.len() as i64),
            removed: Some(removed.len() as i64),
            moved: Some(content.len() as i64 - before.len() as i64),
            inserted: metrics.then_some(added.len() as i64 - updated),
            updated: metrics.then_some(updated),
        };
        let changed_data = restored.is_some() || !added.is_empty() || !removed.is_empty();
        let schema = restored.and_then(|to| self.at(to)).map_or(self.head.entry.schema, |to| to.entry.schema);
        self.push(Loaded { changed_data, written, schema, content: Rc::new(content), ..commit }, txn);
    }
}

/// All tables, and what may yet happen to them.
#[derive(Clone)]
pub struct World {
    pub staging: StagingLog,
    pub customers: CustomersLog,
    pub fact: FactLog,
    pub quarantine: QuarantineLog,
    pub audit: AuditLog,
    pub marks: MarksLog,
    /// How many merges will lose a row.
    pub sabotage: u8,
    /// What others may do, each once.
    pub events: Vec<Event>,
}

impl World {
    pub fn new(rows: Vec<Row>) -> Self {
        let mut staging = Log::new("staging");
        staging.push(Staged { rows, changed_data: true }, []);
        Self {
            staging,
            customers: Log::new("customers"),
            fact: Log::new("target"),
            quarantine: Log::new("quarantine"),
            audit: Log::new("audit"),
            marks: Log::new("watermarks"),
            sabotage: 0,
            events: Vec::new(),
        }
    }

    pub fn key(&self) -> u64 {
        hash_of(&(&self.sabotage, &self.events, self.tables()))
    }

    /// The state of the inputs, and of the four tables that a batch writes.
    pub fn tables(&self) -> [u64; 6] {
        let written = [self.fact.key(), self.quarantine.key(), self.audit.key(), self.marks.key()];
        let [fact, quarantine, audit, marks] = written;
        [self.staging.key(), self.customers.key(), fact, quarantine, audit, marks]
    }

    pub fn audit_rows(&self) -> impl Iterator<Item = &AuditRow> {
        self.audit.rows().into_iter()
    }

    pub fn watermark_rows(&self) -> impl Iterator<Item = &WatermarkRow> {
        self.marks.rows().into_iter()
    }

    /// A merge's rows, one of them lost if this merge is a sabotaged one.
    pub fn sabotaged(&mut self, mut rows: Vec<(Class, Row)>) -> Vec<(Class, Row)> {
        if self.sabotage > 0 && !rows.is_empty() {
            self.sabotage -= 1;
            rows.pop();
        }
        rows
    }
}
