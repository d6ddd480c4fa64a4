//! Makes commits by the shipped code, and holds them against what a run may do.

use std::cell::RefCell;
use std::rc::Rc;

use highwater::model::{Pin, Status};
use highwater::plan::Work;
use highwater::protocol;

use super::actor::Actor;
use super::check::{check_restore, check_taken_back};
use super::effect::{Commit, Effect};
use super::table::{now, to_commit};
use super::world::World;

/// How a commit went.
pub enum Outcome {
    Made,
    Lost,
    /// What it was to be made from is gone.
    Gone,
}

/// Makes a commit, if the table has not moved since it was looked at.
pub fn act(world: &mut World, actor: &Actor, effect: &Effect) -> Result<Outcome, String> {
    match effect {
        Effect::End(ending) => {
            check_taken_back(world, actor, *ending)?;
            Ok(Outcome::Made)
        }
        Effect::Again | Effect::KnownRejection(_) => Ok(Outcome::Made),
        Effect::Commit(commit) => make(world, actor, commit),
    }
}

fn make(world: &mut World, actor: &Actor, commit: &Commit) -> Result<Outcome, String> {
    if commit.reads.as_ref().is_some_and(|pin| is_gone(world, pin)) {
        return Ok(Outcome::Gone);
    }
    let before = world.clone();
    let shared = Rc::new(RefCell::new(before.clone()));
    let tables = to_commit(&commit.tables, &shared, &commit.kept);
    let made = now(commit.write.clone().make(&tables)).map_err(|error| error.chain())?;
    drop(tables);
    *world = Rc::into_inner(shared).unwrap().into_inner();
    match made {
        protocol::Outcome::Lost => return Ok(Outcome::Lost),
        protocol::Outcome::Unknown(error) => return Err(error.chain()),
        protocol::Outcome::Committed(_) => {}
    }
    match &commit.work {
        Work::Undo(plan) => {
            let older = before.fact.at(plan.restore_to).ok_or("a run restores a version that never was")?;
            let (undo, foreign) = (&plan.descriptor, plan.foreign);
            check_restore(&before.fact, &older.entry.content, undo, foreign, actor)?;
        }
        Work::Load(_) if commit.rejected.is_none() => check_load(&before, actor)?,
        _ => {}
    }
    Ok(Outcome::Made)
}

fn is_gone(world: &World, pin: &Pin) -> bool {
    let pin = pin.table();
    let quarantine = pin.table_id == world.quarantine.id;
    let staging = pin.table_id == world.staging.id;
    quarantine && !world.quarantine.is_readable_at(pin.version)
        || staging && !world.staging.is_readable_at(pin.version)
}

/// A run never loads again what was taken back while it looked on.
fn check_load(world: &World, actor: &Actor) -> Result<(), String> {
    let first = actor.first().unwrap();
    for node in world.fact.nodes() {
        let Some(descriptor) = &node.entry.descriptor else { continue };
        let overtaken = match descriptor.status {
            Status::RolledBack => descriptor.sequence > first.newest,
            Status::Failed => descriptor.sequence > first.audited,
            _ => false,
        };
        if overtaken && descriptor.pipeline == actor.start.pipeline {
            return Err(format!(
                "a run loads although it saw number {} take a batch back",
                descriptor.sequence
            ));
        }
    }
    Ok(())
}
