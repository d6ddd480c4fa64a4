//! Why nothing may be done, and what a person can do: the refusals of [`decide`](super::decide).

use super::ledger::{Ledger, staging_pin};
use super::seen::Seen;
use super::step::Refusal;
use crate::model::Pin;

/// Case A, against the newest numbered audit row.
pub(super) fn another_table(seen: &Seen, ledger: &Ledger<'_>) -> Option<Refusal> {
    let row = ledger.newest()?;
    (row.target_id != seen.fact.table_id).then(|| Refusal {
        case: 'A',
        message: format!(
            "pipeline {} has loaded into the table with id {}, the target has id {}",
            row.pipeline, row.target_id, seen.fact.table_id
        ),
        hint: "point `target` at the former table, or give this pipeline another name".to_owned(),
    })
}

/// Case A, against an unfinished batch's descriptor.
pub(super) fn another_record_table(newest: i64) -> Refusal {
    Refusal {
        case: 'A',
        message: format!(
            "batch number {newest} is unfinished, and was begun with another audit or watermark table"
        ),
        hint: "run it once more with the pipeline file that it was begun with".to_owned(),
    }
}

/// Case B.
pub(super) fn records_ahead(seen: &Seen, newest: i64) -> Refusal {
    Refusal {
        case: 'B',
        message: format!(
            "the records are ahead of the target: target {newest}, audit {}, watermark {}",
            seen.audit.sequence, seen.watermarks.sequence
        ),
        hint: format!(
            "{} was replaced by an older copy or created anew; bring the former table back, or give this \
             pipeline another name",
            if seen.watermarks.sequence > seen.audit.sequence { "the audit table" } else { "the target" }
        ),
    }
}

/// Case C: whether the target's present content still holds the last batch in the records.
///
/// Content is followed through the commits since that batch: a RESTORE by another hand to a version
/// before the batch loses it, a second one to a version after it brings it back.
pub(super) fn restored_by_another(seen: &Seen, ledger: &Ledger<'_>) -> Option<Refusal> {
    let recorded = ledger.newest().and_then(|row| row.fact_version_after);
    let mut base = recorded.and_then(|version| u64::try_from(version).ok());
    // Versions since `base` that do not hold the batch, and the RESTORE that lost it.
    let mut lost: Vec<u64> = Vec::new();
    let mut culprit = None;
    for commit in &seen.fact.commits {
        if commit.descriptor.is_some() {
            base = Some(commit.version);
            lost.clear();
            culprit = None;
            continue;
        }
        let Some(base) = base else { continue };
        match commit.restored {
            Some(Some(to)) if to >= base && !lost.contains(&to) => culprit = None,
            Some(_) => culprit = culprit.or(Some(commit.version)),
            None => {}
        }
        if culprit.is_some() {
            lost.push(commit.version);
        }
    }
    culprit.map(|version| Refusal {
        case: 'C',
        message: format!(
            "version {version} of the target is a RESTORE by another hand that took loaded batches back"
        ),
        hint: format!("restore the target to version {} to bring them back", version - 1),
    })
}

/// Case D.
pub(super) fn descriptor_gone(newest: i64, pipeline: &str) -> Refusal {
    Refusal {
        case: 'D',
        message: format!("batch number {newest} is unfinished, and its entry is gone from the target's log"),
        hint: format!(
            "somebody cleaned the log past an unfinished batch; append its audit row by hand, in a commit \
             with the txn entry (appId {pipeline}, version {newest}), or give this pipeline another name"
        ),
    }
}

/// Case D, where the entry is there.
pub(super) fn descriptor_unreadable(newest: i64) -> Refusal {
    Refusal {
        case: 'D',
        message: format!(
            "batch number {newest} is unfinished, and was begun by another version of highwater"
        ),
        hint: "run the version that it was begun with once, or a newer one".to_owned(),
    }
}

/// Case E, the second time.
pub(super) fn numbers_missing(seen: &Seen, newest: i64) -> Refusal {
    Refusal {
        case: 'E',
        message: format!(
            "numbers are missing from the records: target {newest}, audit {}, watermark {}",
            seen.audit.sequence, seen.watermarks.sequence
        ),
        hint: "an audit or watermark table was replaced by an older copy or created anew; bring the \
               former one back, or give this pipeline another name"
            .to_owned(),
    }
}

/// Case I.
pub(super) fn buried(version: u64, why: &str, foreign: u64, base: u64) -> Refusal {
    Refusal {
        case: 'I',
        message: format!(
            "version {version} of the target does not balance ({why}), and version {foreign} by another \
             writer lies on top"
        ),
        hint: format!(
            "look at both commits; restore the target to version {base} if the other writer's rows can be \
             written again"
        ),
    }
}

/// Case O.
pub(super) fn staging_went_back(staging: &Pin, ledger: &Ledger<'_>) -> Option<Refusal> {
    let pinned = ledger.last_load().and_then(staging_pin)?;
    (pinned.table_id == staging.table_id && pinned.version > staging.version).then(|| Refusal {
        case: 'O',
        message: format!(
            "staging is at version {}, and the last load read its version {}",
            staging.version, pinned.version
        ),
        hint: "staging was replaced by an older copy of itself; bring the former one back".to_owned(),
    })
}

/// A run without a staging table cannot be: its pin is always the first.
pub(super) fn nothing_pinned() -> Refusal {
    Refusal {
        case: 'O',
        message: "no staging table was pinned".to_owned(),
        hint: "this is a bug in highwater; please report it".to_owned(),
    }
}
