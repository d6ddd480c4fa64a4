//! A run, taken apart: it reads one table after another, decides, and makes one commit, and between any two
//! of these others may act.

use std::rc::Rc;

use highwater::model::Pin;
use highwater::plan::request::First;
use highwater::protocol::{Course, Observer};

use super::effect::Decision;
use super::rows::{Out, Sources};
use super::start::Start;
use super::table::SimTable;
use super::world::{AuditLog, CustomersLog, FactLog, MarksLog, QuarantineLog, StagingLog, World, hash_of};

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

/// A run under way.
#[derive(Clone)]
pub struct Actor {
    pub start: Start,
    /// What it wants and remembers; `None` before its first look.
    pub course: Option<Course>,
    /// What it kept of its last look, to read less at the next.
    pub observer: Option<Observer<SimTable>>,
    pub phase: Phase,
    pub lost: u32,
}

impl Actor {
    pub fn new(start: Start) -> Self {
        Self { start, course: None, observer: None, phase: Self::look(), lost: 0 }
    }

    pub fn look() -> Phase {
        Phase::Look { parts: Box::default(), next: 0 }
    }

    /// What it saw first.
    pub fn first(&self) -> Option<&First> {
        self.course.as_ref()?.intent.first.as_ref()
    }

    /// What it remembers.
    pub fn memory(&self) -> u64 {
        let Some(course) = &self.course else { return 0 };
        let first = self.first().map(|first| (first.audited, first.newest, &first.newest_id, &first.batches));
        let rejected = course.rejected.as_ref().map(|rejected| &rejected.row.batch_id);
        hash_of(&(first, course.intent.gap, &course.intent.planned, course.back_to, rejected))
    }

    /// Two runs with one key do the same from here on. Commits lost are not part of it: they end a run
    /// only where others go on committing for ever.
    pub fn key(&self) -> u64 {
        let phase = match &self.phase {
            Phase::Look { parts, .. } => (0, parts.key()),
            Phase::Act(_, key) => (1, *key),
            Phase::Ended(ending) => (2, hash_of(ending)),
        };
        hash_of(&(self.start, self.memory(), phase))
    }
}
