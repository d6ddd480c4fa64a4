//! What happens at the borders of a run's steps: events are told, and a fail point may be passed.

use crate::events::{Events, RunStep, Subject};
use crate::fail_points::FailPoints;
use crate::stop::Stop;

/// Everything that may happen there.
#[derive(Default)]
pub struct Hooks {
    /// Who listens.
    pub events: Events,
    /// What goes wrong on purpose.
    pub fail_points: FailPoints,
    /// What may end the run here.
    pub stop: Stop,
}

impl Hooks {
    /// A step begins.
    pub fn begin(&self, step: RunStep, on: Subject) {
        self.stop.at_boundary(Some(step));
        self.events.begin(step, None, on);
        self.fail_points.pass(step, None, false);
    }

    /// A step is done.
    pub fn end(&self, step: RunStep, with: Subject) {
        self.fail_points.pass(step, None, true);
        self.events.end(step, None, with);
    }

    /// Commit number `group` of a batch begins.
    pub fn begin_commit(&self, group: usize, on: Subject) {
        self.stop.at_boundary(Some(RunStep::Merge));
        self.events.begin(RunStep::Merge, Some(group), on);
        self.fail_points.pass(RunStep::Merge, Some(group), false);
    }

    /// Commit number `group` of a batch is made.
    pub fn end_commit(&self, group: usize, with: Subject) {
        self.fail_points.pass(RunStep::Merge, Some(group), true);
        self.events.end(RunStep::Merge, Some(group), with);
    }
}
