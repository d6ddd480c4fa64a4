//! Why nothing may be done, and what a person can do: the refusals of [`decide`](super::decide).

use super::case::Case;
use super::ledger::{Ledger, source_pin};
use super::observation::{Commit, Observation};
use super::step::Refusal;
use crate::model::{AuditRow, Pin};

/// Numbers that a refusal lists.
const MAX_NUMBERS: usize = 10;

/// Case A, against the newest numbered audit row.
pub(super) fn another_table(seen: &Observation, ledger: &Ledger<'_>) -> Option<Refusal> {
    let row = ledger.newest()?;
    (row.target_id != seen.target.table_id).then(|| Refusal {
        case: Case::AnotherTable,
        message: format!(
            "pipeline {} has loaded into the table with id {}, the target has id {}",
            row.pipeline, row.target_id, seen.target.table_id
        ),
        hint: "point `target` at the former table, or give this pipeline another name".to_owned(),
    })
}

/// Case A, against an unfinished batch's descriptor.
pub(super) fn another_record_table(newest: i64) -> Refusal {
    Refusal {
        case: Case::AnotherTable,
        message: format!(
            "batch number {newest} is unfinished, and was begun with another quarantine, audit or watermark table"
        ),
        hint: "run it once more with the pipeline file that it was begun with".to_owned(),
    }
}

/// Case B.
pub(super) fn records_ahead(seen: &Observation, newest: i64) -> Refusal {
    Refusal {
        case: Case::RecordsAhead,
        message: format!(
            "the records are ahead of the target: target {newest}, quarantine {}, audit {}, watermark {}",
            seen.quarantine.sequence, seen.audit.sequence, seen.watermarks.sequence
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
pub(super) fn restored_by_another(seen: &Observation, ledger: &Ledger<'_>) -> Option<Refusal> {
    let recorded = ledger.newest().and_then(|row| row.fact_version_after);
    let mut base = recorded.and_then(|version| u64::try_from(version).ok());
    // Versions since `base` that do not hold the batch, and the RESTORE that lost it.
    let mut lost: Vec<u64> = Vec::new();
    let mut culprit = None;
    for commit in &seen.target.commits {
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
        case: Case::RestoredByAnother,
        message: format!(
            "version {version} of the target is a RESTORE by another hand that took loaded batches back"
        ),
        hint: format!("restore the target to version {} to bring them back", version - 1),
    })
}

/// Case D.
pub(super) fn descriptor_gone(newest: i64, pipeline: &str) -> Refusal {
    Refusal {
        case: Case::DescriptorGone,
        message: format!("batch number {newest} is unfinished, and its entry is gone from the target's log"),
        hint: format!(
            "somebody cleaned the log past an unfinished batch; append its audit row by hand, in a commit \
             with the txn entry (appId {pipeline}, version {newest}), or give this pipeline another name"
        ),
    }
}

/// Case D, where the entry is there.
pub(super) fn descriptor_unreadable(newest: i64, needs: &str) -> Refusal {
    Refusal {
        case: Case::DescriptorGone,
        message: format!(
            "batch number {newest} is unfinished, and was begun by a newer highwater: it has {needs}, which this one \
             does not know"
        ),
        hint: "run the version that it was begun with once, or a newer one".to_owned(),
    }
}

/// Case E, the second time.
pub(super) fn numbers_missing(seen: &Observation, newest: i64) -> Refusal {
    Refusal {
        case: Case::NumbersMissing,
        message: format!(
            "numbers are missing from the records: target {newest}, audit {}, watermark {}; rejections: audit {}, \
             quarantine {}",
            seen.audit.sequence, seen.watermarks.sequence, seen.audit.evidence, seen.quarantine.evidence
        ),
        hint: "an audit or watermark table was replaced by an older copy or created anew; bring the \
               former one back, or give this pipeline another name"
            .to_owned(),
    }
}

/// Case E, where rows were deleted of numbers that the table's log knows as recorded.
pub(super) fn rows_missing(seen: &Observation, ledger: &Ledger<'_>) -> Option<Refusal> {
    let audit = ledger.unaccounted(seen.audit.sequence);
    let marks = ledger.unmarked(seen.watermarks.sequence, &seen.marked);
    let (table, missing, record) = match (audit.is_empty(), marks.is_empty()) {
        (false, _) => ("audit table", audit, &seen.audit),
        (true, false) => ("watermark table", marks, &seen.watermarks),
        (true, true) => return None,
    };
    let mut numbers: Vec<String> = missing.iter().take(MAX_NUMBERS).map(i64::to_string).collect();
    if missing.len() > MAX_NUMBERS {
        numbers.push(format!("{} more", missing.len() - MAX_NUMBERS));
    }
    Some(Refusal {
        case: Case::NumbersMissing,
        message: format!(
            "rows of this pipeline are missing from the {table}: its log has recorded numbers up to {}, and there is \
             no row of {}",
            record.sequence,
            numbers.join(", ")
        ),
        hint: format!(
            "somebody deleted them; RESTORE the {table} to the version before that, or give this pipeline another name"
        ),
    })
}

/// Case I.
pub(super) fn buried(version: u64, why: &str, on_top: &Commit, base: u64) -> Refusal {
    let (by, hint) = match &on_top.other {
        Some(other) => (
            format!("with batch {} of pipeline {}", other.batch_id, other.pipeline),
            "roll that batch back first, with its own pipeline file; then run this again".to_owned(),
        ),
        None => (
            "by another writer".to_owned(),
            format!(
                "look at both commits; `highwater rollback --last --even-foreign` takes the target back to \
                 version {base} and keeps the other writer's rows in a table beside it"
            ),
        ),
    };
    Refusal {
        case: Case::UnbalancedAndBuried,
        message: format!(
            "version {version} of the target does not balance ({why}), and version {} {by} lies on top",
            on_top.version
        ),
        hint,
    }
}

/// Case O.
pub(super) fn staging_went_back(staging: &Pin, ledger: &Ledger<'_>) -> Option<Refusal> {
    let pinned = ledger.last_load().and_then(source_pin)?;
    let (pinned, staging) = (pinned.table(), staging.table());
    (pinned.table_id == staging.table_id && pinned.version > staging.version).then(|| Refusal {
        case: Case::StagingWentBack,
        message: format!(
            "staging is at version {}, and the last load read its version {}",
            staging.version, pinned.version
        ),
        hint: "staging was replaced by an older copy of itself; bring the former one back".to_owned(),
    })
}

/// Case S.
pub(super) fn evidence_gone(number: i64, app: &str) -> Refusal {
    Refusal {
        case: Case::EvidenceGone,
        message: format!(
            "the rows of rejection number {number} are not in the quarantine, and its entry is gone from the \
             audit table's log"
        ),
        hint: format!(
            "somebody cleaned the log past an unfinished rejection; look for its rows in staging, then make an \
             empty commit to the quarantine with the txn entry (appId {app}, version {number})"
        ),
    }
}

/// Case U, where no numbered batch has this id.
pub(super) fn unknown_batch(id: &str) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("no loaded batch of this pipeline has the id {id}"),
        hint: "`highwater status` lists the batches; a rejected one has loaded nothing".to_owned(),
    }
}

/// Case U, where a rollback is to be taken back.
pub(super) fn is_a_rollback(row: &AuditRow) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("batch {} is a rollback itself", row.batch_id),
        hint: "`highwater run` loads again what staging still holds".to_owned(),
    }
}

/// Case U, where log entries are gone.
pub(super) fn past_gone(since: u64) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!(
            "log entries of the target after version {since} are gone, so nobody can tell what lies between"
        ),
        hint: "keep the target's log for as long as batches may be rolled back (delta.logRetentionDuration)"
            .to_owned(),
    }
}

/// Case U, where another run loaded meanwhile.
pub(super) fn list_grew(new: &str) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("batch {new} was loaded while this rollback was under way, and would go with it"),
        hint: "run it again, if that batch may go too".to_owned(),
    }
}

/// Case U, where later batches would go too.
pub(super) fn needs_cascade(named: &str, later: &[&AuditRow]) -> Refusal {
    let listed: Vec<String> = later.iter().map(|row| described(row)).collect();
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("later batches would go with batch {named}: {}", listed.join("; ")),
        hint: "`--cascade` takes them back too; `highwater run` loads again what staging still holds"
            .to_owned(),
    }
}

/// Case U, where other writers' rows would go too.
pub(super) fn others_between(commits: &[&Commit]) -> Refusal {
    let listed: Vec<String> = commits
        .iter()
        .map(|commit| match &commit.other {
            Some(other) => {
                format!(
                    "version {} (batch {} of pipeline {})",
                    commit.version, other.batch_id, other.pipeline
                )
            }
            None => format!("version {} (another writer)", commit.version),
        })
        .collect();
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("others have written to the target since: {}", listed.join(", ")),
        hint:
            "roll the other pipeline's batches back first; rows of another writer have to be taken out and \
               written again by hand"
                .to_owned(),
    }
}

/// Case U, where the table is another than it was.
pub(super) fn schema_changed(since: u64) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("the target's columns or properties have changed since version {since}"),
        hint: "going back would change them back too; correct the rows with a new batch instead, or restore \
               the table by hand under another pipeline name"
            .to_owned(),
    }
}

/// Case U, where VACUUM was there.
pub(super) fn files_gone(since: u64) -> Refusal {
    Refusal {
        case: Case::NotToBeTakenBack,
        message: format!("VACUUM has deleted files of the target's version {since}"),
        hint: "correct the rows with a new batch instead; for longer rollbacks raise \
               delta.deletedFileRetentionDuration"
            .to_owned(),
    }
}

/// A batch in a list: number, id, kind, logical date.
fn described(row: &AuditRow) -> String {
    let number = row.sequence.unwrap_or_default();
    format!("number {number} ({}, {} as of {})", row.batch_id, row.kind.as_str(), row.as_of)
}

/// A run without a staging table cannot be: its pin is always the first.
pub(super) fn nothing_pinned() -> Refusal {
    Refusal {
        case: Case::StagingWentBack,
        message: "no staging table was pinned".to_owned(),
        hint: "this is a bug in highwater; please report it".to_owned(),
    }
}
