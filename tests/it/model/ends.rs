//! What runs come to that nobody interrupts: the ends that all other ways must come to too.

use std::collections::{BTreeSet, HashSet};

use highwater::model::Lane;
use highwater::plan::decide;

use super::actor::{Actor, Ending, Phase};
use super::check::{Same, canonical, check_end, check_world};
use super::events::restore_foreign;
use super::explore::Explorer;
use super::start::Start;
use super::world::{World, hash_of};

/// Moves of one uninterrupted run: more than any batch here takes.
const MAX_MOVES: usize = 200;

impl Explorer<'_> {
    /// The ends that runs of the shipped program come to that nobody interrupts, in every order, with what
    /// others do in between.
    pub fn expected_ends(&self) -> Result<BTreeSet<String>, String> {
        let mut ends = BTreeSet::new();
        if matches!(self.scenario.same, Same::Nothing | Same::Open) {
            return Ok(ends);
        }
        let mut shipped = Explorer::new(self.scenario, &decide, self.scenario.order);
        let told = |problem: String| format!("{}: one after the other: {problem}", self.scenario.name);
        let mut open = vec![(self.scenario.world.clone(), vec![0_usize; self.scenario.runs.len()])];
        let mut known = HashSet::new();
        while let Some((world, times)) = open.pop() {
            if !known.insert(hash_of(&(world.key(), &times))) {
                continue;
            }
            ends.insert(shipped.closed(world.clone()).map_err(told)?);
            for (index, start) in self.scenario.runs.iter().enumerate() {
                // A person who wants a batch taken back starts that again after a crash only.
                let once = start.is_rollback() && self.scenario.faults == 0;
                if times[index] >= if once { 1 } else { 2 } {
                    continue;
                }
                let (mut world, mut times) = (world.clone(), times.clone());
                times[index] += 1;
                shipped.uninterrupted(&mut world, *start).map_err(told)?;
                open.push((world, times));
            }
            for index in 0..world.events.len() {
                let mut world = world.clone();
                if world.events.remove(index).happen(&mut world) {
                    open.push((world, times.clone()));
                }
            }
        }
        Ok(ends)
    }

    /// The end after a fresh run of each kind that nobody interrupts. Where one is told to have the target
    /// restored, that is done.
    pub fn closed(&mut self, mut world: World) -> Result<String, String> {
        let mut rejected = false;
        // A person starts a rollback again that was cut off. Any run would finish it; here there may be none.
        for start in self.scenario.runs.iter().filter(|start| start.is_rollback()) {
            let evidence = Lane::Evidence(world.quarantine.id).app(start.pipeline);
            if world.fact.newest(start.pipeline) > world.marks.txn(start.pipeline)
                || world.audit.txn(&evidence) > world.quarantine.txn(&evidence)
            {
                self.uninterrupted(&mut world, *start)?;
            }
        }
        for start in self.scenario.runs.iter().filter(|start| !start.is_rollback()) {
            for turn in 0.. {
                let (ending, hint) = self.uninterrupted(&mut world, *start)?;
                match ending {
                    Ending::Case('N') | Ending::Nothing => break,
                    Ending::Rejected => {
                        rejected = true;
                        break;
                    }
                    _ if turn > 4 => {
                        return Err(format!("fresh runs end with {ending:?} again and again: {hint}"));
                    }
                    Ending::Case('C' | 'I') => follow(&mut world, &hint)?,
                    Ending::Case('L') | Ending::Retry => {}
                    Ending::Case(_) => return Err(format!("a fresh run ends with {ending:?}: {hint}")),
                }
            }
        }
        check_world(&world, self.scenario)?;
        check_end(&world, self.scenario, rejected)?;
        let before = world.tables();
        for start in self.scenario.runs.iter().filter(|start| !start.is_rollback()) {
            self.uninterrupted(&mut world, *start)?;
        }
        if world.tables() != before {
            return Err("I1: a rerun changes a table".to_owned());
        }
        Ok(canonical(&world, self.scenario.same))
    }

    /// A run that nobody interrupts: how it ends, with the hint if it refuses.
    fn uninterrupted(&mut self, world: &mut World, start: Start) -> Result<(Ending, String), String> {
        let mut actor = Actor::new(start);
        let mut hint = String::new();
        self.aside = true;
        for _ in 0..MAX_MOVES {
            if let Phase::Act(decision, _) = &actor.phase
                && let Some(told) = &decision.hint
            {
                hint.clone_from(told);
            }
            self.go(world, &mut actor)?;
            if let Phase::Ended(ending) = actor.phase {
                self.aside = false;
                return Ok((ending, hint));
            }
        }
        Err("an uninterrupted run does not end".to_owned())
    }
}

/// Does what the hint of case C or I says.
fn follow(world: &mut World, hint: &str) -> Result<(), String> {
    let version = hint.split("to version ").nth(1).and_then(|rest| rest.split(' ').next());
    let version = version.and_then(|version| version.parse().ok());
    let version = version.ok_or_else(|| format!("no version in the hint: {hint}"))?;
    restore_foreign(world, version).then_some(()).ok_or_else(|| format!("cannot be done: {hint}"))
}
