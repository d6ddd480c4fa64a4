//! Commits, as `run.rs` makes them: each onto the version that was looked at.

use std::rc::Rc;

use highwater::model::Status;

use super::actor::Actor;
use super::check::check_restore;
use super::effect::Effect;
use super::rows::merge;
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
        Effect::End(_) | Effect::Again(_) => {}
        Effect::Merge { descriptor, rows, on_tie, onto, reads, load } => {
            if *reads != u64::MAX && !world.staging.is_readable_at(*reads) {
                return Ok(Outcome::Gone);
            }
            if world.fact.head.version != *onto {
                return Ok(Outcome::Lost);
            }
            if *load {
                check_load(world, actor)?;
            }
            let rows = world.sabotaged(rows.clone());
            let by = (Rc::from(descriptor.batch_id.as_str()), descriptor.run_start);
            let content = merge(world.fact.content(), &rows, &by, *on_tie)?;
            world.fact.commit_described((**descriptor).clone(), None, content);
        }
        Effect::Restore { descriptor, to, onto } => {
            if world.fact.head.version != *onto {
                return Ok(Outcome::Lost);
            }
            let older = world.fact.at(*to).ok_or("a run restores a version that never was")?;
            check_restore(&world.fact, &older.entry.content)?;
            world.fact.commit_described((**descriptor).clone(), Some(*to), older.entry.content.to_vec());
        }
        Effect::Audit { row, app, number, onto, .. } => {
            if world.audit.head.version != *onto {
                return Ok(Outcome::Lost);
            }
            world.audit.push(Some((**row).clone()), [(app.clone(), *number)]);
        }
        Effect::Marks { row, onto } => {
            if world.marks.head.version != *onto {
                return Ok(Outcome::Lost);
            }
            world.marks.push(Some((**row).clone()), [(row.pipeline.clone(), row.sequence)]);
        }
    }
    Ok(Outcome::Made)
}

/// A run never loads again what was taken back while it looked on.
fn check_load(world: &World, actor: &Actor) -> Result<(), String> {
    let first = actor.first.unwrap();
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
