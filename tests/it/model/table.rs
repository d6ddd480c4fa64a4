//! The tables in memory, behind the port that the shipped observer, loop and commits are written against.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use highwater::config::OnTie;
use highwater::error::Error;
use highwater::model::{AuditRow, Class, Group};
use highwater::plan::Written;
use highwater::protocol::{Change, LogEntry, Note, Outcome, RecordRow, Recorded, Stamp, TableLog, Tables};
use serde_json::Value;

use super::actor::Parts;
use super::rows::{Row, merge};
use super::world::{
    AuditLog, Audited, CustomersLog, Entry as Kept, FactLog, Log, Marked, MarksLog, QuarantineLog,
    StagingLog, World,
};

/// A table as it was read.
#[derive(Clone)]
pub struct SimTable {
    log: Snapshot,
    /// What a second look at it comes upon.
    later: Option<Snapshot>,
    /// The tables as they are now, for commits.
    now: Option<Rc<RefCell<World>>>,
    /// Rows that the commit keeps out: no run can see them, and the checks do.
    kept: Vec<Row>,
    /// The names of tables that were refreshed, in order.
    looked_at: Rc<RefCell<Vec<&'static str>>>,
}

#[derive(Clone)]
enum Snapshot {
    Staging(StagingLog),
    Customers(CustomersLog),
    Fact(FactLog),
    Quarantine(QuarantineLog),
    Audit(AuditLog),
    Marks(MarksLog),
}

impl std::fmt::Debug for SimTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.name(), self.version())
    }
}

/// Rows to be merged.
#[derive(Clone)]
pub struct SimRows {
    pub rows: Vec<(Class, Row)>,
    pub kept: Vec<Row>,
    pub on_tie: OnTie,
}

/// Evaluates an expression for whichever log a snapshot holds.
macro_rules! with_log {
    ($snapshot:expr, $log:ident => $value:expr) => {
        match $snapshot {
            Snapshot::Staging($log) => $value,
            Snapshot::Customers($log) => $value,
            Snapshot::Fact($log) => $value,
            Snapshot::Quarantine($log) => $value,
            Snapshot::Audit($log) => $value,
            Snapshot::Marks($log) => $value,
        }
    };
}

/// The tables that a run read, part by part. Only once all parts are read.
pub fn tables_of(parts: &Parts) -> Tables<SimTable> {
    let inputs = parts.inputs.as_ref().unwrap();
    let looked_at = Rc::default();
    let table =
        |log| SimTable { log, later: None, now: None, kept: Vec::new(), looked_at: Rc::clone(&looked_at) };
    let quarantine = table(Snapshot::Quarantine(parts.quarantine.clone().unwrap()));
    Tables {
        staging: Some(table(Snapshot::Staging(inputs.staging.clone()))),
        target: table(Snapshot::Fact(parts.fact.clone().unwrap())),
        dimensions: [("customers".to_owned(), table(Snapshot::Customers(inputs.customers.clone())))].into(),
        quarantine: SimTable { later: Some(Snapshot::Quarantine(inputs.quarantine.clone())), ..quarantine },
        audit: table(Snapshot::Audit(parts.audit.clone().unwrap())),
        watermarks: table(Snapshot::Marks(parts.marks.clone().unwrap())),
        // Each part was read at a moment of its own.
        fresh: true,
    }
}

/// The same tables, to commit to: they know the world as it is now.
pub fn to_commit(tables: &Tables<SimTable>, world: &Rc<RefCell<World>>, kept: &[Row]) -> Tables<SimTable> {
    let mut tables = tables.clone();
    let written = [&mut tables.target, &mut tables.quarantine, &mut tables.audit, &mut tables.watermarks];
    for table in written {
        table.now = Some(Rc::clone(world));
        table.kept = kept.to_vec();
    }
    tables
}

/// The order in which a look comes to tables.
pub fn order_of_looks(tables: &Tables<SimTable>) -> Vec<&'static str> {
    tables.target.looked_at.borrow().clone()
}

/// Runs what never waits to its end.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a table in memory waits"),
    }
}

impl SimTable {
    fn fact(&self) -> Result<&FactLog, Error> {
        match &self.log {
            Snapshot::Fact(log) => Ok(log),
            _ => Err(Error::bug("the target is another table")),
        }
    }
}

impl TableLog for SimTable {
    type Reader = ();
    type Rows = SimRows;
    /// All entries after the change, or what is wrong with it where it is made.
    type Entries = Result<Vec<Kept>, String>;

    fn name(&self) -> &str {
        with_log!(&self.log, log => log.id)
    }

    fn id(&self) -> Result<String, Error> {
        Ok(self.name().to_owned())
    }

    fn version(&self) -> u64 {
        with_log!(&self.log, log => log.head.version)
    }

    async fn refresh(&mut self) -> Result<(), Error> {
        self.looked_at.borrow_mut().push(with_log!(&self.log, log => log.id));
        if let Some(later) = self.later.take() {
            self.log = later;
        }
        Ok(())
    }

    async fn at(&self, version: u64) -> Result<Option<Self>, Error> {
        fn older<T: Default + std::fmt::Debug>(log: &Log<T>, version: u64) -> Option<Log<T>> {
            let head = log.at(version).filter(|_| log.is_readable_at(version))?;
            Some(Log { head, ..log.clone() })
        }
        let log = match &self.log {
            Snapshot::Staging(log) => older(log, version).map(Snapshot::Staging),
            Snapshot::Customers(log) => older(log, version).map(Snapshot::Customers),
            Snapshot::Fact(log) => older(log, version).map(Snapshot::Fact),
            Snapshot::Quarantine(log) => older(log, version).map(Snapshot::Quarantine),
            Snapshot::Audit(log) => older(log, version).map(Snapshot::Audit),
            Snapshot::Marks(log) => older(log, version).map(Snapshot::Marks),
        };
        Ok(log.map(|log| Self { log, ..self.clone() }))
    }

    async fn txn(&self, app: &str) -> Result<i64, Error> {
        Ok(with_log!(&self.log, log => log.txn(app)))
    }

    async fn log_entry(&self, version: u64) -> Result<Option<LogEntry>, Error> {
        if version < with_log!(&self.log, log => log.cleaned) {
            return Ok(None);
        }
        let entry = |changed_data| LogEntry {
            timestamp: chrono::DateTime::UNIX_EPOCH,
            note: None,
            changed_data,
            restored: None,
        };
        Ok(match &self.log {
            Snapshot::Staging(log) => log.at(version).map(|node| entry(node.entry.changed_data)),
            Snapshot::Quarantine(log) => log.at(version).map(|node| entry(node.entry.changed_data)),
            Snapshot::Fact(log) => log.at(version).map(|node| LogEntry {
                note: node
                    .entry
                    .descriptor
                    .clone()
                    .map(|descriptor| Note::Batch { descriptor: Some(Box::new(descriptor)), unknown: None }),
                restored: node.entry.restored.map(Some),
                ..entry(node.entry.changed_data)
            }),
            Snapshot::Audit(log) => log.at(version).map(|node| LogEntry {
                note: node.entry.evidence.clone().map(|evidence| Note::Rejection {
                    pipeline: evidence.pipeline.clone(),
                    number: evidence.number,
                    evidence: Some(Box::new(evidence)),
                    unknown: None,
                }),
                ..entry(true)
            }),
            Snapshot::Customers(log) => log.at(version).map(|_| entry(true)),
            Snapshot::Marks(log) => log.at(version).map(|_| entry(true)),
        })
    }

    async fn written(&self, version: u64, _hand: &mut Option<Self>) -> Result<Written, Error> {
        Ok(self.fact()?.at(version).map_or_else(Written::default, |node| node.entry.written))
    }

    async fn is_readable_at(&self, version: u64) -> Result<bool, Error> {
        Ok(with_log!(&self.log, log => log.is_readable_at(version)))
    }

    async fn has_same_schema_at(&self, version: u64) -> Result<bool, Error> {
        let fact = self.fact()?;
        Ok(fact.at(version).is_none_or(|then| then.entry.schema == fact.head.entry.schema))
    }

    async fn has_files(&self, _adds: &[Value]) -> Result<bool, Error> {
        Ok(true)
    }

    async fn has_given_up(&self, _group: &Group) -> Result<bool, Error> {
        Ok(false)
    }

    async fn arrivals_digest(&self, _after: u64) -> Result<Option<String>, Error> {
        Err(Error::bug("batches note no arrived files here"))
    }

    async fn audit_rows(&self, (): &(), pipeline: &str) -> Result<Vec<AuditRow>, Error> {
        let Snapshot::Audit(log) = &self.log else { return Err(Error::bug("no audit table")) };
        Ok(log.rows().into_iter().filter(|row| row.pipeline == pipeline).cloned().collect())
    }

    async fn watermark_numbers(&self, (): &(), pipeline: &str) -> Result<BTreeSet<i64>, Error> {
        let Snapshot::Marks(log) = &self.log else { return Err(Error::bug("no watermark table")) };
        let own = log.rows().into_iter().filter(|row| row.pipeline == pipeline);
        Ok(own.map(|row| row.sequence).collect())
    }

    async fn commit(&self, change: Change<Self>, stamp: Stamp) -> Result<Outcome, Error> {
        let mut world = self.now.as_ref().ok_or_else(|| Error::bug("a past table"))?.borrow_mut();
        let world = &mut *world;
        let newest = match &self.log {
            Snapshot::Fact(_) => world.fact.head.version,
            Snapshot::Quarantine(_) => world.quarantine.head.version,
            Snapshot::Audit(_) => world.audit.head.version,
            Snapshot::Marks(_) => world.marks.head.version,
            _ => return Err(Error::bug("a run writes to an input")),
        };
        if newest != self.version() {
            return Ok(Outcome::Lost);
        }
        let Stamp { txn, recorded } = stamp;
        match (&self.log, change) {
            (Snapshot::Fact(_), Change::Merge(SimRows { rows, kept, on_tie })) => {
                let Some(Recorded::Batch(descriptor)) = recorded else { return Err(unmarked()) };
                let rows = world.sabotaged(rows);
                let by = (Rc::from(descriptor.batch_id.as_str()), descriptor.run_start);
                let content = merge(world.fact.content(), &rows, &by, on_tie).map_err(Error::bug)?;
                world.fact.commit_described(*descriptor, txn, None, kept, content);
            }
            (Snapshot::Fact(_), Change::Nothing) => {
                let Some(Recorded::Batch(descriptor)) = recorded else { return Err(unmarked()) };
                let content = world.fact.content().to_vec();
                world.fact.commit_described(*descriptor, txn, None, Vec::new(), content);
            }
            (Snapshot::Fact(_), Change::Restore(to)) => {
                let Some(Recorded::Batch(descriptor)) = recorded else { return Err(unmarked()) };
                let older = world.fact.at(to).ok_or_else(|| Error::bug("restores what never was"))?;
                let content = older.entry.content.to_vec();
                world.fact.commit_described(*descriptor, txn, Some(to), Vec::new(), content);
            }
            (Snapshot::Quarantine(_), Change::Entries(after)) => {
                for (app, number) in &txn {
                    if world.quarantine.txn(app) >= *number {
                        return Err(Error::bug(format!("{app} writes number {number} twice")));
                    }
                }
                world.quarantine.put(after.map_err(Error::bug)?, txn);
            }
            (Snapshot::Audit(_), Change::Append(RecordRow::Audit(row))) => {
                let evidence = match recorded {
                    Some(Recorded::Rejection(evidence)) => Some(*evidence),
                    _ => None,
                };
                let kept = if row.sequence.is_none() { self.kept.clone() } else { Vec::new() };
                let row = Some(*row);
                world.audit.push(Audited { row, evidence, kept, ..Audited::default() }, txn);
            }
            (Snapshot::Marks(_), Change::Append(RecordRow::Watermark(row))) => {
                world.marks.push(Marked { row: Some(*row), deleted: None }, txn);
            }
            _ => return Err(Error::bug("a commit that does not go with its table")),
        }
        Ok(Outcome::Committed(newest + 1))
    }
}

fn unmarked() -> Error {
    Error::bug("a commit to the target without a descriptor")
}

/// The tables of a world, as somebody finds them who reads all at once.
fn all_at_once(world: &World) -> Tables<SimTable> {
    let mut parts = Parts::default();
    for part in super::explore::EACH {
        parts.read(*part, world);
    }
    tables_of(&parts)
}

mod tests {
    use highwater::protocol::{Observer, Wanted};

    use super::super::scenario::{SPLIT, after, three_days};
    use super::*;

    #[test]
    fn the_shipped_observer_looks_in_the_order_that_is_explored() {
        for (world, again) in [
            (World::new(three_days()), &[][..]),
            // What an unfinished batch pinned is looked for when it is seen.
            (after(three_days(), SPLIT, "P"), &["quarantine"][..]),
        ] {
            let mut tables = all_at_once(&world);
            tables.fresh = false;
            now(Observer::new("orders").observe(&(), &mut tables, Wanted::default())).unwrap();
            let each = ["watermarks", "audit", "quarantine", "target", "staging", "customers"];
            assert_eq!(order_of_looks(&tables), [&each[..], again].concat());
        }
    }
}
