//! What becomes of a batch whose commit does not balance.

use super::batch_id::undo_id;
use super::decide::own_commits;
use super::observation::{Commit, Observation};
use super::refuse;
use super::request::{Intent, Request, RollbackGoal};
use super::rollback::strangers;
use super::step::{Step, UndoPlan, Work};
use crate::model::{BatchKind, Descriptor, Status};

/// Cases H and I: what to do about a commit that does not balance.
pub(super) fn undo(seen: &Observation, intent: &Intent, first: &Descriptor, version: u64, why: &str) -> Step {
    let from = taken_back_at(seen, first).unwrap_or(first.base_version);
    let since = seen.target.commits.partition_point(|commit| commit.version <= from);
    let strangers = strangers(&seen.target.commits[since..]);
    let wanted = strangers.iter().all(|commit| commit.other.is_none()).then(|| wanted_back(intent, first));
    let wanted = wanted.flatten().filter(|_| !strangers.is_empty());
    if let Some(stranger) = strangers.first()
        && wanted.is_none()
    {
        return Step::Refuse(refuse::buried(version, why, stranger, first.base_version)); // Case I
    }
    let undone = vec![first.batch_id.clone()];
    let sequence = first.sequence + 1;
    let descriptor = Descriptor {
        sequence,
        covers_from: first.sequence,
        batch_id: undo_id(&undone, sequence),
        kind: BatchKind::Rollback,
        status: if wanted.is_some() { Status::RolledBack } else { Status::Failed },
        run_end: intent.clock.frozen(),
        base_version: seen.target.version,
        undone,
        reason: Some(match wanted.and_then(|goal| goal.reason.as_deref()) {
            Some(reason) => format!("version {version} of the target did not balance: {why}; {reason}"),
            None => format!("version {version} of the target did not balance: {why}"),
        }),
        ..first.emptied()
    };
    Work::Undo(Box::new(UndoPlan {
        descriptor,
        restore_to: first.base_version,
        foreign: wanted.is_some(),
        onto: seen.target.version,
    }))
    .into()
}

/// The person's wish to take just this batch back, whatever other writers' rows go with it.
fn wanted_back<'a>(intent: &'a Intent, first: &Descriptor) -> Option<&'a RollbackGoal> {
    let Request::Rollback(goal) = &intent.request else { return None };
    let newest = intent.first.as_ref().and_then(|first| first.newest_id.as_ref());
    let named = goal.batch_id.as_ref().or(newest);
    (goal.even_foreign && named.is_none_or(|id| *id == first.batch_id)).then_some(goal)
}

/// The last RESTORE by another hand to the version before a batch: it took back all that lay on top too.
fn taken_back_at(seen: &Observation, first: &Descriptor) -> Option<u64> {
    let to_base = |commit: &&Commit| commit.restored == Some(Some(first.base_version));
    seen.target.commits.iter().rev().find(to_base).map(|commit| commit.version)
}

/// Whether somebody did what case I asks for: the newest batch does not balance, and the target was
/// restored to before it. Then it is undone as in case H, which gives it the number that it lacks.
pub(super) fn was_taken_back(seen: &Observation, newest: i64) -> bool {
    let mut commits = own_commits(seen, newest);
    let first = commits.next();
    let descriptor = first.and_then(|commit| commit.descriptor.as_ref());
    newest > seen.audit.sequence
        && descriptor.is_some_and(|descriptor| taken_back_at(seen, descriptor).is_some())
        && first.into_iter().chain(commits).any(|commit| commit.imbalance().is_some())
}
