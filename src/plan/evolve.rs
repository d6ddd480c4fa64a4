//! Changes of a target's columns: which, and the one next step.
//!
//! The target's commit decides: it has the columns as they are to be, the number of the change, and a record from which its
//! audit row follows. So target ≥ audit, and a run looks at them in the reverse order.
//!
//! - **A** Both have the same number, and nothing is to be changed: done.
//! - **B** Both have the same number: the change is committed, under the next one.
//! - **C** The target is one ahead: that change is unfinished, and its audit row is written.
//! - **D** The target is one ahead, and its log no longer says what was changed: a person decides.
//! - **E** The target is further ahead: others finished a change while this run looked; it looks again.
//! - **F** The target is behind: it is another table than the audit rows tell of. The next number follows theirs.
//! - **G** A batch is unfinished at the version that was looked at, and something is to be changed: that batch is finished first.
//!   One that does not balance is taken back by a RESTORE, which is not to cross a change of columns.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::config::Pipeline;
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::widening;
use crate::model::types::{DataType, Field, same_name};
use crate::model::{Alteration, Answer, AuditRow, BatchKind, Change, Drift, Form, SchemaRecord, Status};

/// What was seen of the changes of a pipeline's target.
#[derive(Debug, Clone, Default)]
pub struct EvolveSeen {
    /// The number in the audit table.
    pub audit: i64,
    /// The number in the target.
    pub target: i64,
    /// What the target's log says of that number, where the audit table has not got it.
    pub unfinished: Option<Box<CommittedSchema>>,
    /// Whether something is to be changed.
    pub is_wanted: bool,
    /// Whether the target has a batch, or a group of one, that the watermark table has not got.
    pub is_batch_unfinished: bool,
}

/// A change of the target's columns, as its log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedSchema {
    /// What it says.
    pub record: SchemaRecord,
    /// The target's version with it.
    pub version: u64,
    /// The commit's time.
    pub committed: DateTime<Utc>,
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum EvolveStep {
    /// Nothing is left to do.
    Done,
    /// Commit what is to be changed, under this number.
    Commit(i64),
    /// Finish a batch that others left behind.
    FinishBatch,
    /// Append the audit row of a change.
    WriteAudit(Box<CommittedSchema>),
    /// What was seen is of different moments.
    LookAgain,
    /// A person decides.
    Refuse(&'static str, &'static str),
}

/// Decides, by the cases of the module.
#[must_use]
pub fn decide_evolve(seen: EvolveSeen) -> EvolveStep {
    match (seen.target - seen.audit, seen.unfinished) {
        // A, B
        (0, _) if !seen.is_wanted => EvolveStep::Done,
        // G
        (behind, _) if behind <= 0 && seen.is_wanted && seen.is_batch_unfinished => EvolveStep::FinishBatch,
        (0, _) => EvolveStep::Commit(seen.target + 1),
        // C
        (1, Some(unfinished)) => EvolveStep::WriteAudit(unfinished),
        // D
        (1, None) => EvolveStep::Refuse(
            "a change of the target's columns is unfinished, and its log no longer says what was changed",
            "bring that entry of its `_delta_log` back",
        ),
        // E
        (ahead, _) if ahead > 1 => EvolveStep::LookAgain,
        // F
        _ if !seen.is_wanted => EvolveStep::Done,
        _ => EvolveStep::Commit(seen.audit + 1),
    }
}

/// What is to be changed in a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What Delta allows without writing a file anew.
    pub alterations: Vec<Alteration>,
    /// What it does not, and what helps.
    pub impossible: Vec<(String, String)>,
}

/// What the target is held against.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// The DDL file's contract, if one is named.
    pub contract: Option<&'a TableDef>,
    /// The batch's columns, with what staging says of them.
    pub batch: &'a [ColumnDef],
    /// In what those differ from the target's.
    pub drift: &'a [Drift],
    /// Columns of the batch that a person wants in the target, whatever the policy.
    pub add: &'a BTreeSet<String>,
    /// Whether only what the batch brings is added: what the contract has beside waits for a person, or for staging.
    pub only_brought: bool,
}

impl Wishes<'_> {
    fn brings(&self, name: &str) -> bool {
        self.batch.iter().any(|column| same_name(&column.field.name, name))
    }
}

/// What is to be changed, so that a target with the columns `existing` keeps its contract and takes what the batch brings.
#[must_use]
pub fn wanted(existing: &[ColumnDef], wishes: Wishes<'_>) -> Wanted {
    let mut wanted = Wanted::default();
    for column in wishes.contract.into_iter().flat_map(|contract| &contract.columns) {
        let same = |other: &&ColumnDef| same_name(&other.field.name, &column.field.name);
        match existing.iter().find(same) {
            None if wishes.only_brought && !wishes.brings(&column.field.name) => {}
            None => wanted.add(column),
            Some(found) => wanted.change(found, column),
        }
    }
    for drift in wishes.drift.iter().filter(|drift| drift.change == Change::NewColumn) {
        let is_wanted = drift.answer == Answer::Add || wishes.add.contains(&drift.column);
        let column = wishes.batch.iter().find(|column| column.field.name == drift.column);
        // It may have come meanwhile.
        let is_there = existing.iter().any(|other| same_name(&other.field.name, &drift.column));
        let is_wanted = is_wanted && !is_there;
        if let Some(column) = column.filter(|_| is_wanted && !wanted.adds(&drift.column)) {
            // What staging never lacks, rows that are there lack all the same.
            let field = Field { nullable: true, ..column.field.clone() };
            wanted.add(&ColumnDef { field, comment: column.comment.clone() });
        }
    }
    wanted
}

impl Wanted {
    fn adds(&self, name: &str) -> bool {
        let same = |change: &Alteration| same_name(change.column(), name);
        self.alterations.iter().any(|change| matches!(change, Alteration::AddColumn { .. }) && same(change))
    }

    fn add(&mut self, column: &ColumnDef) {
        let (name, data_type) = (&column.field.name, &column.field.data_type);
        if column.field.nullable {
            self.alterations.push(Alteration::AddColumn {
                column: name.clone(),
                data_type: data_type.clone(),
                comment: column.comment.clone(),
            });
        } else {
            self.impossible.push((
                format!("add column `{name}` {data_type} NOT NULL: rows that are there have no value for it"),
                "let it be NULL in the DDL file".to_owned(),
            ));
        }
    }

    fn change(&mut self, found: &ColumnDef, wished: &ColumnDef) {
        let name = found.field.name.clone();
        if found.field.data_type != wished.field.data_type {
            let (is, should_be) = (&found.field.data_type, &wished.field.data_type);
            self.impossible.push((format!("make `{name}` {should_be}: it is {is}"), cure(is, should_be)));
        }
        match (found.field.nullable, wished.field.nullable) {
            (false, true) => self.alterations.push(Alteration::DropNotNull { column: name.clone() }),
            (true, false) => self.impossible.push((
                format!("make `{name}` NOT NULL: rows that are there may be NULL"),
                "a check `not_null` keeps such rows out of a batch".to_owned(),
            )),
            _ => {}
        }
        if let Some(comment) =
            wished.comment.as_ref().filter(|comment| found.comment.as_ref() != Some(comment))
        {
            self.alterations.push(Alteration::Comment { column: name, comment: comment.clone() });
        }
    }
}

/// What helps where a column's type is to be another.
fn cure(is: &DataType, should_be: &DataType) -> String {
    if widening::accepts(is, should_be) {
        "Delta widens types by the feature typeWidening, which highwater cannot read: load into a new target"
            .to_owned()
    } else {
        "a column's type cannot become another: add a column of another name, or load into a new target"
            .to_owned()
    }
}

/// The id of a change: the same on any machine for the same change of the same table.
#[must_use]
pub fn schema_id(pipeline: &Pipeline, number: i64, target_id: &str, alterations: &[Alteration]) -> String {
    let mut hash = Sha256::new();
    let told = alterations.iter().map(Alteration::told);
    let parts = [pipeline.name.clone(), number.to_string(), target_id.to_owned()];
    for part in parts.into_iter().chain(told) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// The audit row of a change.
#[must_use]
pub fn schema_row(change: &CommittedSchema) -> AuditRow {
    let CommittedSchema { record, version, committed } = change;
    let told: Vec<String> = record.alterations.iter().map(Alteration::told).collect();
    AuditRow {
        batch_id: record.batch_id.clone(),
        run_start: record.started,
        run_end: record.ended.unwrap_or(*committed),
        status: Status::Evolved,
        kind: BatchKind::Schema,
        pipeline: record.pipeline.clone(),
        as_of: record.as_of,
        config_digest: record.config_digest.clone(),
        target_id: record.target_id.clone(),
        fact_version_before: i64::try_from(record.base_version).ok(),
        fact_version_after: i64::try_from(*version).ok(),
        reason: Some(told.join("; ")),
        form: Form::default(),
        watermark_from: None,
        watermark_to: None,
        staged_rows: 0,
        deduped_rows: 0,
        inserted_rows: 0,
        updated_rows: 0,
        dq_errors: 0,
        sequence: None,
        duplicate_rows: 0,
        superseded_rows: 0,
        stale_rows: 0,
        unchanged_rows: 0,
        tied_rows: 0,
        quarantined_rows: 0,
        rejected_rows: 0,
        deleted_rows: 0,
        late_rows: 0,
        future_rows: 0,
        history_rows: 0,
        filtered_rows: 0,
        ties_in_batch_rows: 0,
        ties_kept_rows: 0,
        ties_replaced_rows: 0,
        watermark: None,
        inputs: Vec::new(),
        checks: Vec::new(),
        drift: Vec::new(),
        undone: Vec::new(),
        runner: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn unfinished(number: i64) -> Box<CommittedSchema> {
        let record = SchemaRecord {
            pipeline: "p".to_owned(),
            number,
            batch_id: "b".to_owned(),
            as_of: chrono::NaiveDate::default(),
            started: DateTime::UNIX_EPOCH,
            ended: None,
            config_digest: String::new(),
            target_id: "t".to_owned(),
            base_version: 3,
            audit_id: "a".to_owned(),
            alterations: vec![Alteration::DropNotNull { column: "c".to_owned() }],
        };
        Box::new(CommittedSchema { record, version: 4, committed: DateTime::UNIX_EPOCH })
    }

    fn seen(target: i64, audit: i64, is_wanted: bool, has_record: bool) -> EvolveSeen {
        let unfinished = has_record.then(|| unfinished(target));
        EvolveSeen { audit, target, unfinished, is_wanted, is_batch_unfinished: false }
    }

    #[test]
    fn case_a_nothing_to_change_is_done() {
        assert_eq!(decide_evolve(seen(0, 0, false, false)), EvolveStep::Done);
        assert_eq!(decide_evolve(seen(4, 4, false, false)), EvolveStep::Done);
    }

    #[test]
    fn case_b_what_is_to_be_changed_takes_the_next_number() {
        assert_eq!(decide_evolve(seen(4, 4, true, false)), EvolveStep::Commit(5));
    }

    #[test]
    fn case_c_an_unfinished_change_gets_its_audit_row_before_another_begins() {
        for is_wanted in [false, true] {
            assert_eq!(decide_evolve(seen(5, 4, is_wanted, true)), EvolveStep::WriteAudit(unfinished(5)));
        }
    }

    #[test]
    fn case_d_a_change_whose_record_is_gone_is_a_person_s() {
        assert!(matches!(decide_evolve(seen(5, 4, true, false)), EvolveStep::Refuse(..)));
    }

    #[test]
    fn case_e_what_is_of_different_moments_is_looked_at_again() {
        assert_eq!(decide_evolve(seen(6, 4, true, false)), EvolveStep::LookAgain);
    }

    #[test]
    fn case_f_another_target_goes_on_with_the_audit_table_s_numbers() {
        assert_eq!(decide_evolve(seen(0, 4, true, false)), EvolveStep::Commit(5));
        assert_eq!(decide_evolve(seen(0, 4, false, false)), EvolveStep::Done);
    }

    #[test]
    fn case_g_a_batch_is_finished_before_anything_is_changed() {
        let seen = |is_wanted| EvolveSeen { is_batch_unfinished: true, ..seen(4, 4, is_wanted, false) };
        assert_eq!(decide_evolve(seen(true)), EvolveStep::FinishBatch);
        assert_eq!(decide_evolve(seen(false)), EvolveStep::Done);
        let behind = EvolveSeen { target: 0, ..seen(true) };
        assert_eq!(decide_evolve(behind), EvolveStep::FinishBatch);
    }

    /// A target and an audit table, each commit a compare-and-set onto the version that was looked at.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    struct Tables {
        target: (i64, u8),
        audit: (i64, u8),
        is_altered: bool,
        rows: u8,
    }

    /// What one process has looked at: the audit table first.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    enum Process {
        Looks,
        Looked { audit: (i64, u8) },
        Decided { audit: (i64, u8), target: (i64, u8), is_altered: bool },
        Over,
    }

    fn step(tables: &mut Tables, process: Process) -> Process {
        match process {
            Process::Looks => Process::Looked { audit: tables.audit },
            Process::Looked { audit } => {
                Process::Decided { audit, target: tables.target, is_altered: tables.is_altered }
            }
            Process::Decided { audit, target, is_altered } => {
                match decide_evolve(seen(target.0, audit.0, !is_altered, true)) {
                    EvolveStep::Done => return Process::Over,
                    EvolveStep::Commit(number) if tables.target == target => {
                        tables.target = (number, target.1 + 1);
                        tables.is_altered = true;
                    }
                    EvolveStep::WriteAudit(change) if tables.audit == audit => {
                        tables.audit = (change.record.number, audit.1 + 1);
                        tables.rows += 1;
                    }
                    EvolveStep::Refuse(why, _) => panic!("{why}"),
                    _ => {}
                }
                Process::Looks
            }
            Process::Over => Process::Over,
        }
    }

    #[test]
    fn any_two_processes_that_are_killed_at_any_moment_change_the_target_once() {
        let mut known = HashSet::new();
        let mut open = vec![(Tables::default(), [Process::Looks; 2])];
        let mut ends = 0;
        while let Some((tables, processes)) = open.pop() {
            if !known.insert((tables, processes)) {
                continue;
            }
            assert!(tables.rows <= 1 && tables.target.0 <= 1, "{tables:?}");
            assert!(tables.target.0 >= tables.audit.0, "{tables:?}");
            if processes == [Process::Over; 2] {
                assert_eq!((tables.target.0, tables.audit.0, tables.rows), (1, 1, 1), "{tables:?}");
                ends += 1;
            }
            for at in 0..2 {
                let (mut next, mut then) = (tables, processes);
                then[at] = step(&mut next, processes[at]);
                open.push((next, then));
                // Killed, and begun anew.
                if processes[at] != Process::Over {
                    then = processes;
                    then[at] = Process::Looks;
                    open.push((tables, then));
                }
            }
        }
        assert!(ends > 0 && known.len() > 40, "{ends} of {}", known.len());
    }
}
