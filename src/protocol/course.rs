//! The course of a run: what it wants and remembers from one look to the next, what it does, and how it ends.
//!
//! A [`Course`] is plain values, with no table and nothing async, so that the model takes the same turns as the program.

use super::observe::Wanted;
use crate::model::{AuditRow, Watermark};
use crate::plan::request::First;
use crate::plan::{Case, Decision, End, Intent, Look, Observation, Refusal, Request, Step, Work, decide};

/// A run under way.
#[derive(Debug, Clone)]
pub struct Course {
    /// What it wants, and remembers of its earlier looks.
    pub intent: Intent,
    /// The target's version that the planner asked to look back to.
    pub back_to: Option<u64>,
    /// The batch that the gate rejected.
    pub rejected: Option<Rejected>,
    /// The cases that it came to.
    pub cases: Vec<Decision>,
}

/// A batch that the gate rejected.
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
    /// It has seen enough.
    Go(Next),
}

/// What a run does that has seen enough.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It does this piece of work: at most one commit that decides anything.
    Do(Work),
    /// It is over.
    Over(Conclusion),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// Nothing is left to do.
    End(End),
    /// Nothing may be done.
    Refused(Refusal),
    /// The gate rejected the batch, and that is recorded.
    Rejected(Rejected),
}

impl Next {
    /// Whether it goes on with a batch that is begun, for which no input needs to be as it should.
    #[must_use]
    pub fn needs_no_inputs(&self) -> bool {
        match self {
            Self::Do(work) => !matches!(work, Work::Load(_)),
            Self::Over(Conclusion::Refused(refusal)) => refusal.case != Case::StagingWentBack,
            Self::Over(Conclusion::End(end)) => !matches!(end, End::Done(_)),
            Self::Over(Conclusion::Rejected(_)) => true,
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
            let why = format!("the gate rejected the batch (rejection {})", rejected.row.batch_id);
            self.cases.push(Decision { case: Case::NotLoaded, why });
            return Turn::Go(Next::Over(Conclusion::Rejected(rejected)));
        }
        if self.cases.last() != Some(&decided) {
            self.cases.push(decided);
        }
        match step {
            Step::End(end) => Turn::Go(Next::Over(Conclusion::End(end))),
            Step::Refuse(refusal) => Turn::Go(Next::Over(Conclusion::Refused(refusal))),
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
                Turn::Go(Next::Do(work))
            }
        }
    }
}
