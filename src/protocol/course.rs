//! The course of a run: what it wants and remembers from one look to the next, what it does, and how it ends.
//!
//! Plain values, with no table and nothing async, so that the model takes the same steps as the program does.

use super::observe::{Observer, Wanted};
use super::port::TableLog;
use super::tables::Tables;
use crate::error::{Error, Result};
use crate::model::{AuditRow, Watermark};
use crate::plan::request::First;
use crate::plan::{Case, Decision, End, Intent, Look, Observation, Refusal, Request, Step, Work, decide};

/// Looks in a row after which the tables are taken to change too often.
const MAX_LOOKS: u32 = 100;

/// A run under way.
#[derive(Debug, Clone)]
pub struct Course {
    /// What it wants, and remembers of its earlier looks.
    pub intent: Intent,
    /// The target's version that the planner asked to look back to.
    pub back_to: Option<u64>,
    /// The batch that the gate refused to this run.
    pub rejected: Option<Rejected>,
    /// The cases that it came to.
    pub cases: Vec<Decision>,
}

/// A batch that the gate refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The live watermark, which stays.
    pub live: Option<Watermark>,
    /// The row that says so.
    pub row: Box<AuditRow>,
}

/// What a run does after a look.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// It looks again.
    Look,
    /// It makes this one commit.
    Do(Work),
    /// It is over.
    Over(Ended),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Nothing is left to do.
    End(End),
    /// Nothing may be done.
    Refused(Refusal),
    /// The gate refused the batch, and that is recorded.
    Rejected(Rejected),
}

impl Turn {
    /// Whether it goes on with a batch that is begun, for which no input needs to be as it should.
    #[must_use]
    pub fn needs_no_inputs(&self) -> bool {
        match self {
            Self::Do(work) => !matches!(work, Work::Load(_)),
            Self::Over(Ended::Refused(refusal)) => refusal.case != Case::StagingWentBack,
            Self::Over(Ended::End(end)) => !matches!(end, End::Done(_)),
            Self::Look | Self::Over(Ended::Rejected(_)) => true,
        }
    }
}

impl Course {
    /// The course of a run that has seen nothing.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        Self { intent, back_to: None, rejected: None, cases: Vec::new() }
    }

    /// What the next look has to find out.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted { replay: matches!(self.intent.request, Request::Replay(..)), back_to: self.back_to }
    }

    /// Decides what to do about an observation.
    pub fn turn(&mut self, seen: &Observation) -> Turn {
        self.turn_by(seen, &decide)
    }

    /// The same, with another planner than [`decide`]: tests leave something out of it.
    pub fn turn_by(&mut self, seen: &Observation, planner: &dyn Fn(&Observation, &Intent) -> Step) -> Turn {
        let step = planner(seen, &self.intent);
        let decided = Decision { case: step.case(), why: step.why() };
        self.intent.first.get_or_insert_with(|| First::of(seen));
        // What a rejection leaves behind as evidence is written first.
        if let Some(rejected) = self
            .rejected
            .take_if(|_| !matches!(step, Step::Do(Work::WriteQuarantine(_)) | Step::Look(Look::Again { .. })))
        {
            return Turn::Over(Ended::Rejected(rejected));
        }
        if self.cases.last() != Some(&decided) {
            self.cases.push(decided);
        }
        match step {
            Step::End(end) => Turn::Over(Ended::End(end)),
            Step::Refuse(refusal) => Turn::Over(Ended::Refused(refusal)),
            Step::Look(Look::Again { gap }) => {
                self.intent.gap = Some(gap);
                Turn::Look
            }
            Step::Look(Look::Back { to }) => {
                self.back_to = Some(to);
                Turn::Look
            }
            Step::Do(work) => {
                if let Work::Load(plan) = &work {
                    // What a replay closes is part of what it reads: done, it would look like another batch.
                    self.intent.planned = Some(plan.batch_id.clone());
                }
                Turn::Do(work)
            }
        }
    }
}

/// Looks until what is seen does: a race may tear a look, and a rollback has to know the target's past. The last
/// observation, and what the run does about it, which is never to look.
///
/// # Errors
/// Fails when a log or a record table cannot be read, and when the tables change too often.
pub async fn look_until_stable<T: TableLog>(
    course: &mut Course,
    observer: &mut Observer<T>,
    reader: &T::Reader,
    tables: &mut Tables<T>,
) -> Result<(Observation, Turn)> {
    for _ in 0..MAX_LOOKS {
        let seen = observer.observe(reader, tables, course.wanted()).await?;
        match course.turn(&seen) {
            Turn::Look => {}
            turn => return Ok((seen, turn)),
        }
    }
    Err(Error::retry("the tables keep changing while they are looked at")
        .hint("run it again when they are quieter"))
}
