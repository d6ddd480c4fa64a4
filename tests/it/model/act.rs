//! Commits, as `run.rs` makes them: each onto the version that was looked at.

use std::rc::Rc;

use highwater::model::{Pin, Status};
use highwater::plan::step::{QuarantineNumber, QuarantinePlan};

use super::actor::Actor;
use super::check::{check_restore, check_taken_back};
use super::effect::{Effect, entries_after, rejection_txn};
use super::rows::merge;
use super::world::{Audited, World};

/// How a commit went.
pub enum Outcome {
    Made,
    Lost,
    /// What it was to be made from is gone.
    Gone,
}

/// Makes a commit, if the table has not moved since it was looked at.
pub fn act(world: &mut World, actor: &Actor, effect: &Effect) -> Result<Outcome, String> {
    let (table, onto) = match effect {
        Effect::End(ending) => {
            check_taken_back(world, actor, *ending)?;
            return Ok(Outcome::Made);
        }
        Effect::Again => return Ok(Outcome::Made),
        Effect::Merge { reads, .. } if reads.as_ref().is_some_and(|pin| is_gone(world, pin)) => {
            return Ok(Outcome::Gone);
        }
        Effect::Merge { onto, .. } | Effect::Restore { onto, .. } => (world.fact.head.version, *onto),
        Effect::Quarantine(plan) => (world.quarantine.head.version, plan.onto),
        Effect::Audit { onto, .. } | Effect::Reject { onto, .. } => (world.audit.head.version, *onto),
        Effect::Marks { onto, .. } => (world.marks.head.version, *onto),
    };
    if table != onto {
        return Ok(Outcome::Lost);
    }
    commit(world, actor, effect)?;
    Ok(Outcome::Made)
}

fn commit(world: &mut World, actor: &Actor, effect: &Effect) -> Result<(), String> {
    match effect {
        Effect::End(_) | Effect::Again => {}
        Effect::Merge { descriptor, rows, kept, on_tie, load, .. } => {
            if *load {
                check_load(world, actor)?;
            }
            let rows = world.sabotaged(rows.clone());
            let by = (Rc::from(descriptor.batch_id.as_str()), descriptor.run_start);
            let content = merge(world.fact.content(), &rows, &by, *on_tie)?;
            world.fact.commit_described((**descriptor).clone(), None, kept.clone(), content);
        }
        Effect::Restore { descriptor, to, foreign, .. } => {
            let older = world.fact.at(*to).ok_or("a run restores a version that never was")?;
            check_restore(&world.fact, &older.entry.content, descriptor, *foreign, actor)?;
            let content = older.entry.content.to_vec();
            world.fact.commit_described((**descriptor).clone(), Some(*to), Vec::new(), content);
        }
        Effect::Quarantine(plan) => write_entries(world, plan)?,
        Effect::Audit { row, .. } => {
            let txn = [(row.pipeline.clone(), row.sequence.unwrap_or_default())];
            world.audit.push(Audited { row: Some((**row).clone()), ..Audited::default() }, txn);
        }
        Effect::Reject { row, number, evidence, kept, .. } => {
            let quarantine = evidence.as_deref().map(|evidence| evidence.quarantine_id.as_str());
            let txn = rejection_txn(&row.pipeline, *number, quarantine);
            let (row, evidence) = (Some((**row).clone()), evidence.as_deref().cloned());
            world.audit.push(Audited { row, evidence, kept: kept.clone() }, txn);
        }
        Effect::Marks { row, .. } => {
            world.marks.push(Some((**row).clone()), [(row.pipeline.clone(), row.sequence)]);
        }
    }
    Ok(())
}

fn write_entries(world: &mut World, plan: &QuarantinePlan) -> Result<(), String> {
    let (app, number) = match &plan.number {
        QuarantineNumber::Batch(number) => (plan.pipeline.clone(), *number),
        QuarantineNumber::Evidence { app, number } => (app.clone(), *number),
    };
    if world.quarantine.txn(&app) >= number {
        return Err(format!("{app} writes number {number} to the quarantine twice"));
    }
    let after = entries_after(plan, world.quarantine.entries())?;
    world.quarantine.put(after, [(app, number)]);
    Ok(())
}

fn is_gone(world: &World, pin: &Pin) -> bool {
    let quarantine = pin.table_id == world.quarantine.id;
    let staging = pin.table_id == world.staging.id;
    quarantine && !world.quarantine.is_readable_at(pin.version)
        || staging && !world.staging.is_readable_at(pin.version)
}

/// A run never loads again what was taken back while it looked on.
fn check_load(world: &World, actor: &Actor) -> Result<(), String> {
    let first = actor.memory.first.as_ref().unwrap();
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
