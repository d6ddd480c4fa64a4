//! What is explored: tables as they are found, runs that start, and what may come between.

use highwater::plan::decide;

use super::act::act;
use super::actor::{Actor, Part, Parts};
use super::check::Same;
use super::effect::{Planner, plan};
use super::events::Event;
use super::explore::{EACH, Explorer, Found, REVERSE};
use super::rows::{Row, row};
use super::start::{Back, Orphans, Reading, Start, Tie, Want};
use super::world::World;

/// One scenario.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// The tables as the runs find them.
    pub world: World,
    /// The runs, all started at once.
    pub runs: Vec<Start>,
    /// Crashes and lost answers.
    pub faults: u8,
    /// Cases that some run must come to.
    pub reaches: &'static str,
    /// Cases that a run may end with; `r` rejected, `t` try again.
    pub endings: &'static str,
    /// How alike all ends must be to those of runs that nobody interrupts.
    pub same: Same,
    /// The order in which runs read.
    pub order: &'static [Part],
}

pub const RUN: Start = Start {
    pipeline: "orders",
    want: Want::Load,
    as_of: 10,
    mode: Reading::Window,
    leaves_history: false,
    on_tie: Tie::Keep,
    orphans: Orphans::StayOut,
    accepts: false,
    partitions: 100,
    clock: 1,
};
pub const RUN2: Start = Start { clock: 2, ..RUN };
pub const RUN3: Start = Start { clock: 3, ..RUN };
/// Runs that write the target in groups of one partition each.
pub const SPLIT: Start = Start { partitions: 1, ..RUN };
pub const SPLIT2: Start = Start { partitions: 1, ..RUN2 };

/// Runs that read what arrived only, so that a replay alone loads what was kept out.
pub const ARRIVED: Start = Start { mode: Reading::Changes, ..RUN };

/// A replay of all open entries.
pub const REPLAY: Start = Start { want: Want::Replay, ..RUN };
/// `rollback --last`.
pub const BACK: Start = back(Back { number: None, cascade: false, even_foreign: false });

pub const fn back(back: Back) -> Start {
    Start { want: Want::Back(back), ..RUN }
}

/// `rollback` of the batch with this number.
pub const fn back_to(number: i64, cascade: bool) -> Start {
    back(Back { number: Some(number), cascade, even_foreign: false })
}

/// Rows of three days, with a row that is superseded and one that is there twice.
pub fn three_days() -> Vec<Row> {
    vec![row(1, 1, 1), row(1, 1, 2), row(2, 2, 1), row(2, 2, 1), row(3, 3, 1)]
}

impl Scenario {
    pub fn new(name: &'static str, world: World, runs: &[Start]) -> Self {
        Self {
            name,
            world,
            runs: runs.to_vec(),
            faults: 0,
            reaches: "",
            endings: "N",
            same: Same::Everything,
            order: REVERSE,
        }
    }

    /// Has runs read the quarantine at a moment of its own.
    pub fn reads_each(self) -> Self {
        Self { order: EACH, ..self }
    }

    pub fn faults(self, faults: u8) -> Self {
        Self { faults, ..self }
    }

    pub fn events(mut self, events: &[Event]) -> Self {
        self.world.events = events.to_vec();
        self
    }

    pub fn reaches(self, reaches: &'static str) -> Self {
        Self { reaches, ..self }
    }

    pub fn endings(self, endings: &'static str) -> Self {
        Self { endings, ..self }
    }

    pub fn same(self, same: Same) -> Self {
        Self { same, ..self }
    }

    /// Explores it with the shipped planner.
    pub fn holds(&self) {
        let started = std::time::Instant::now();
        match self.explore_with(&decide) {
            Ok(found) => println!("{}: {found:?} in {:?}", self.name, started.elapsed()),
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Explores it as [`Self::holds`] does; whatever the order, all is the same in the end.
    pub fn comes_to_one_end(&self) {
        let ends = Explorer::new(self, &decide, self.order).expected_ends().unwrap();
        assert_eq!(ends.len(), 1, "{}: {ends:#?}", self.name);
        self.holds();
    }

    /// Explores it with another planner.
    pub fn explore_with(&self, planner: Planner<'_>) -> Result<Found, String> {
        Explorer::new(self, planner, self.order).exhaust()
    }
}

/// Takes a run through these steps, with nobody in its way, and leaves it there.
pub fn advance(world: &mut World, start: Start, cases: &str) {
    let mut actor = Actor::new(start);
    for case in cases.chars() {
        let mut parts = Parts::default();
        for part in EACH {
            parts.read(*part, world);
        }
        let decision = plan(&parts, &actor, &decide).unwrap();
        assert_eq!(decision.letter, case, "{:?}", decision.course.cases);
        actor.course = Some(decision.course);
        actor.observer = Some(decision.observer);
        act(world, &actor, &decision.effect).unwrap();
    }
}

/// Tables with these rows in staging, after those steps of a run.
pub fn after(rows: Vec<Row>, start: Start, cases: &str) -> World {
    let mut world = World::new(rows);
    advance(&mut world, start, cases);
    world
}

/// Tables to which this happened.
pub fn with(mut world: World, events: &[Event]) -> World {
    for event in events {
        assert!(event.happen(&mut world), "{event:?} cannot happen");
    }
    world
}

/// Tables, with so many merges to lose a row.
pub fn sabotaged(world: World, merges: u8) -> World {
    World { sabotage: merges, ..world }
}
