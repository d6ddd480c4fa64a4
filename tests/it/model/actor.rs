//! A run, taken apart: it reads one table after another, decides, and makes one commit, and between any two
//! of these others may act.

use std::rc::Rc;

use highwater::model::{AuditRow, Descriptor, Pin};
use highwater::plan::step::First;
use highwater::plan::{Ledger, Observation, Past, Record, Step, Target};

use super::effect::Decision;
use super::rows::{Out, Sources};
use super::start::{Start, Want};
use super::world::{
    AuditLog, CustomersLog, FactLog, GROUPS, Log, MarksLog, QuarantineLog, StagingLog, World, evidence_app,
    group_app, hash_of,
};

/// Commits that a run may lose to others, as in `run.rs`.
pub const MAX_LOST: u32 = 30;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// With this case.
    Case(char),
    /// The gate refused the batch.
    Rejected,
    /// What was to be read is gone; try again.
    Retry,
    /// No open entry can be loaded.
    Nothing,
}

impl Ending {
    /// One character for each, as scenarios name them.
    pub fn letter(self) -> char {
        match self {
            Self::Case(letter) => letter,
            Self::Rejected => 'r',
            Self::Retry => 't',
            Self::Nothing => '0',
        }
    }
}

/// The parts of an observation, each as it was when it was read.
#[derive(Clone, Default)]
pub struct Parts {
    pub marks: Option<MarksLog>,
    pub audit: Option<AuditLog>,
    pub quarantine: Option<QuarantineLog>,
    pub fact: Option<FactLog>,
    pub inputs: Option<Inputs>,
}

/// What a batch may read. Only others change it, so that nothing is learnt from reading it in parts.
#[derive(Clone)]
pub struct Inputs {
    pub staging: StagingLog,
    /// Read anew: a batch that was seen in the target may have pinned a version that is newer than the one
    /// observed before.
    pub quarantine: QuarantineLog,
    pub customers: CustomersLog,
}

impl Inputs {
    /// What a batch with these pins is staged from.
    pub fn sources<'a>(&'a self, inputs: &'a [Pin], entries_at: u64, out: Out<'a>) -> Sources<'a> {
        let Self { staging, quarantine, customers } = self;
        Sources { staging, quarantine, customers, inputs, entries_at, out }
    }
}

/// What is read of the tables at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Marks,
    Audit,
    Quarantine,
    Target,
    Inputs,
}

impl Parts {
    /// Reads a part. Where the quarantine is none of its own, it is read with the target.
    pub fn read(&mut self, part: Part, world: &World) {
        match part {
            Part::Marks => self.marks = Some(world.marks.clone()),
            Part::Audit => self.audit = Some(world.audit.clone()),
            Part::Quarantine => self.quarantine = Some(world.quarantine.clone()),
            Part::Target => {
                self.quarantine.get_or_insert_with(|| world.quarantine.clone());
                self.fact = Some(world.fact.clone());
            }
            Part::Inputs => {
                self.inputs = Some(Inputs {
                    staging: world.staging.clone(),
                    quarantine: world.quarantine.clone(),
                    customers: world.customers.clone(),
                });
            }
        }
    }

    pub fn key(&self) -> u64 {
        let inputs = |i: &Inputs| (i.staging.key(), i.quarantine.key(), i.customers.key());
        hash_of(&(
            self.marks.as_ref().map(MarksLog::key),
            self.audit.as_ref().map(AuditLog::key),
            self.quarantine.as_ref().map(QuarantineLog::key),
            self.fact.as_ref().map(FactLog::key),
            self.inputs.as_ref().map(inputs),
        ))
    }

    /// The observation, put together as in `observe.rs`. Only once all parts are read.
    pub fn seen(&self, start: &Start, memory: &Memory) -> Observation {
        let pipeline = start.pipeline;
        let (marks, audit) = (self.marks.as_ref().unwrap(), self.audit.as_ref().unwrap());
        let (quarantine, fact) = (self.quarantine.as_ref().unwrap(), self.fact.as_ref().unwrap());
        let inputs = self.inputs.as_ref().unwrap();
        let own = |row: &&AuditRow| row.pipeline == pipeline;
        let rows: Vec<AuditRow> = audit.rows().into_iter().filter(own).cloned().collect();
        let marked = marks.rows().into_iter().filter(|row| row.pipeline == pipeline);
        let evidence_app = evidence_app(pipeline, quarantine.id);
        let watermarks = record(marks, pipeline, &evidence_app);
        let audit_record = record(audit, pipeline, &evidence_app);
        let quarantine_record = record(quarantine, pipeline, &evidence_app);
        let evidence = (audit_record.evidence > quarantine_record.evidence).then(|| {
            let nodes = audit.nodes().into_iter().filter(|node| node.version >= audit.cleaned);
            nodes
                .filter_map(|node| node.entry.evidence.clone())
                .find(|evidence| evidence.pipeline == pipeline && evidence.number == audit_record.evidence)
        });
        let (sequence, group_sequence) = (fact.txn(pipeline), fact.txn(&group_app(pipeline)) / GROUPS);
        let audited = Ledger::new(&rows).newest().and_then(|row| row.fact_version_after);
        let audited = audited.and_then(|version| u64::try_from(version).ok());
        let unfinished = sequence.max(group_sequence) > audit_record.sequence;
        let commits = fact.commits_since(pipeline, audited, unfinished);
        let past = memory.back_to.map(|since| Past {
            since,
            commits: fact.commits_since(pipeline, Some(since), true),
            gap: since + 1 < fact.cleaned,
            readable: fact.is_readable_at(since),
            same_schema: fact.at(since).is_some_and(|then| then.entry.schema == fact.head.entry.schema),
        });
        let fact = Target {
            table_id: fact.id.to_owned(),
            version: fact.head.version,
            sequence,
            group_sequence,
            commits,
        };
        Observation {
            watermarks,
            marked: marked.map(|row| row.sequence).collect(),
            audit: audit_record,
            rows,
            quarantine: quarantine_record,
            evidence: evidence.flatten(),
            evidence_app,
            pinned_readable: pinned_readable(&fact, inputs),
            target: fact,
            inputs: pins(inputs, quarantine, start),
            past,
        }
    }
}

fn record<T: Default + std::fmt::Debug>(log: &Log<T>, pipeline: &str, evidence_app: &str) -> Record {
    Record {
        table_id: log.id.to_owned(),
        version: log.head.version,
        sequence: log.txn(pipeline),
        evidence: log.txn(evidence_app),
    }
}

/// A replay pins the entries by which it also tells new ones from old ones.
fn pins(inputs: &Inputs, quarantine: &QuarantineLog, start: &Start) -> Vec<Pin> {
    let pin = |name: &str, table_id: &str, version, data_version| Pin {
        name: name.to_owned(),
        table_id: table_id.to_owned(),
        version,
        data_version,
    };
    let Inputs { staging, customers, .. } = inputs;
    let source = if start.want == Want::Replay {
        pin("quarantine", quarantine.id, quarantine.head.version, quarantine.data_version())
    } else {
        pin("staging", staging.id, staging.head.version, staging.data_version())
    };
    let version = customers.head.version;
    vec![source, pin("customers", customers.id, version, version)]
}

/// Whether what the unfinished batch of groups is read from, and known by, can still be read.
fn pinned_readable(fact: &Target, inputs: &Inputs) -> bool {
    let mut descriptors = fact.commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    let Some(last) = descriptors.next_back().filter(|last| !last.is_last_of_batch()) else { return true };
    let is_first = |first: &&Descriptor| first.sequence == last.sequence && first.quarantine.is_some();
    let first = descriptors.rfind(is_first).unwrap_or(last);
    let Some(pin) = first.inputs.first() else { return false };
    let replay = pin.name == "quarantine";
    let is = if replay { inputs.quarantine.id } else { inputs.staging.id };
    let entries_at = first.quarantine.as_ref().map(|work| work.base_version);
    pin.table_id == is
        && (replay || inputs.staging.is_readable_at(pin.version))
        && (!replay || inputs.quarantine.is_readable_at(pin.version))
        && entries_at.is_none_or(|version| inputs.quarantine.is_readable_at(version))
}

/// What a run is about to do.
#[derive(Clone)]
pub enum Phase {
    /// To read the next part.
    Look {
        parts: Box<Parts>,
        next: usize,
    },
    /// To make the commit that it decided on.
    Act(Rc<Decision>, u64),
    Ended(Ending),
}

/// What a run remembers from one observation to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub first: Option<First>,
    pub gap: Option<(u64, u64)>,
    pub planned: Option<String>,
    pub back_to: Option<u64>,
}

impl Memory {
    /// Remembers what a run has to of a decision.
    pub fn note(&mut self, decision: &Decision) {
        self.first.get_or_insert_with(|| decision.first.clone());
        match &decision.step {
            Step::Load(plan) => self.planned = Some(plan.batch_id.clone()),
            Step::LookAgain { gap } => self.gap = Some(*gap),
            Step::LookBack { to } => self.back_to = Some(*to),
            _ => {}
        }
    }

    pub fn key(&self) -> u64 {
        let first = self.first.as_ref();
        let first = first.map(|first| (first.audited, first.newest, &first.newest_id, &first.batches));
        hash_of(&(first, self.gap, &self.planned, self.back_to))
    }
}

/// A run under way.
#[derive(Clone)]
pub struct Actor {
    pub start: Start,
    pub memory: Memory,
    pub phase: Phase,
    pub lost: u32,
}

impl Actor {
    pub fn new(start: Start) -> Self {
        Self { start, memory: Memory::default(), phase: Self::look(), lost: 0 }
    }

    pub fn look() -> Phase {
        Phase::Look { parts: Box::default(), next: 0 }
    }

    /// Two runs with one key do the same from here on. Commits lost are not part of it: they end a run
    /// only where others go on committing for ever.
    pub fn key(&self) -> u64 {
        let phase = match &self.phase {
            Phase::Look { parts, .. } => (0, parts.key()),
            Phase::Act(_, key) => (1, *key),
            Phase::Ended(ending) => (2, hash_of(ending)),
        };
        hash_of(&(self.start, self.memory.key(), phase))
    }
}
