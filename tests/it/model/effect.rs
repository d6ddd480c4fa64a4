//! From an observation to a commit: the shipped planner decides, and what `run.rs` would commit is worked
//! out.

use std::rc::Rc;

use highwater::config::OnTie;
use highwater::model::{
    AuditRow, Class, Descriptor, EntryStatus, Evidence, Group, Memos, Pin, QuarantineWork, Status,
    WatermarkRow,
};
use highwater::plan::rows::rejected_row;
use highwater::plan::step::{First, GroupPlan, QuarantineNumber, QuarantinePlan};
use highwater::plan::verdict::{Rejection, group_counts};
use highwater::plan::window::{Arrived, own_watermark};
use highwater::plan::{
    Circumstances, Decided, End, Intent, LoadPlan, LoadSpec, Observation, Step, Terms, Verdict, settle,
};

use super::actor::{Ending, Memory, Parts};
use super::rows::{Located, Out, Row, kept_by, stage, to_write};
use super::start::Start;
use super::world::{Entry, evidence_app, rejected_app};

/// A commit that a run is about to make. It holds the whole effect: nothing is left to decide.
#[derive(Clone)]
pub enum Effect {
    /// The run ends.
    End(Ending),
    /// The run looks again.
    Again,
    /// Rows are merged into the target, or none in an empty commit.
    Merge {
        descriptor: Box<Descriptor>,
        rows: Vec<(Class, Row)>,
        kept: Vec<Row>,
        on_tie: OnTie,
        onto: u64,
        reads: Option<Pin>,
        load: bool,
    },
    /// The target is taken back.
    Restore { descriptor: Box<Descriptor>, to: u64, onto: u64, foreign: bool },
    /// Entries are written, closed and opened.
    Quarantine(Box<QuarantinePlan>),
    /// A row is appended to the audit table.
    Audit { row: Box<AuditRow>, onto: u64 },
    /// A rejection is, and the run ends there unless it leaves evidence.
    Reject { row: Box<AuditRow>, number: i64, evidence: Option<Box<Evidence>>, kept: Vec<Row>, onto: u64 },
    /// A row is appended to the watermark table.
    Marks { row: Box<WatermarkRow>, onto: u64 },
}

/// A step with the commit that it comes to.
pub struct Decision {
    pub step: Step,
    pub letter: char,
    pub effect: Effect,
    /// What the run remembers if this was its first observation.
    pub first: First,
}

/// A planner: the shipped `decide`, or one with something left out.
pub type Planner<'a> = &'a dyn Fn(&Observation, &Intent) -> Step;

/// The case that a step stands for.
pub fn letter(step: &Step) -> char {
    match step {
        Step::Refuse(refusal) => refusal.case,
        Step::LookAgain { .. } => 'E',
        Step::WriteGroup(_) => 'F',
        Step::Abandon(_) => 'G',
        Step::Undo(plan) if plan.descriptor.status == Status::Failed => 'H',
        Step::Undo(_) => 'W',
        Step::LookBack { .. } => 'V',
        Step::WriteQuarantine(plan) => match plan.number {
            QuarantineNumber::Batch(_) => 'Q',
            QuarantineNumber::Evidence { .. } => 'R',
        },
        Step::WriteAudit { .. } => 'J',
        Step::WriteWatermark { .. } => 'K',
        Step::End(End::Failed(_)) => 'L',
        Step::End(End::Overtaken(_)) => 'M',
        Step::End(End::Done(_)) => 'N',
        Step::End(End::TakenBack(_)) => 'T',
        Step::Load(_) => 'P',
    }
}

/// Decides, and works out the step's commit as `run.rs` does.
///
/// # Errors
/// When the run would end as a bug.
pub fn plan(parts: &Parts, start: &Start, memory: &Memory, planner: Planner<'_>) -> Result<Decision, String> {
    let intent = start.intent(memory, parts.fact.as_ref().unwrap());
    let seen = parts.seen(start, memory);
    let step = planner(&seen, &intent);
    let effect = match &step {
        Step::End(_) | Step::Refuse(_) => Effect::End(Ending::Case(letter(&step))),
        Step::LookAgain { gap: again } => {
            if memory.gap == Some(*again) {
                return Err(format!("looks again at the same gap {again:?}"));
            }
            Effect::Again
        }
        Step::LookBack { to } => {
            if memory.back_to == Some(*to) {
                return Err(format!("looks back to {to} again and again"));
            }
            Effect::Again
        }
        Step::Load(plan) => load(plan, start, &intent, parts)?,
        Step::WriteGroup(plan) => write_group(plan, &intent, parts)?,
        Step::Abandon(descriptor) => Effect::Merge {
            descriptor: descriptor.clone(),
            rows: Vec::new(),
            kept: Vec::new(),
            on_tie: OnTie::Keep,
            onto: seen.target.version,
            reads: None,
            load: false,
        },
        Step::Undo(plan) => Effect::Restore {
            descriptor: Box::new(plan.descriptor.clone()),
            to: plan.restore_to,
            onto: plan.onto,
            foreign: plan.foreign,
        },
        Step::WriteQuarantine(plan) => Effect::Quarantine(plan.clone()),
        Step::WriteAudit { row, onto } => Effect::Audit { row: row.clone(), onto: *onto },
        Step::WriteWatermark { row, onto } => Effect::Marks { row: Box::new(row.clone()), onto: *onto },
    };
    Ok(Decision { letter: letter(&step), step, effect, first: First::of(&seen) })
}

/// `Run::load`.
fn load(plan: &LoadPlan, start: &Start, intent: &Intent, parts: &Parts) -> Result<Effect, String> {
    let mut spec = LoadSpec::unbound(intent.rules.clone());
    spec.partition_columns = vec!["day".to_owned()];
    let (fact, tables) = (parts.fact.as_ref().unwrap(), parts.inputs.as_ref().unwrap());
    let out = Out::Judged { in_effect: &plan.in_effect, accepted: &plan.accepted };
    let sources = tables.sources(&plan.inputs, plan.entries_at, out);
    let Located { staged, rows, work, kept, evidence, evidence_kept } =
        stage(&sources, &plan.batch_id, &plan.reading, &spec.rules, fact.content());
    let terms = Terms {
        checks: &spec.rules.checks,
        on_tie: spec.rules.on_tie,
        partitions_per_commit: start.partitions,
        by: Circumstances {
            kind: plan.kind,
            as_of: plan.as_of,
            accepted: &plan.accepted,
            history: &plan.history,
        },
    };
    let commitment = match settle(&staged, &terms) {
        Verdict::Commit(commitment) => commitment,
        Verdict::Nothing(_) => return Ok(Effect::End(Ending::Nothing)),
        Verdict::Reject(rejection) => return Ok(reject(plan, &rejection, (evidence, evidence_kept), parts)),
    };
    let rest = commitment.groups.iter().skip(1).map(|group| group_counts(&staged.cells, group));
    if let Some(imbalance) = rest.fold(commitment.counts, |a, b| a + b).imbalance() {
        return Err(format!("I5: the classes of the whole batch do not add up: {imbalance}"));
    }
    let group = (!commitment.groups.is_empty()).then(|| Group {
        index: 0,
        partitions: commitment.groups.clone(),
        of: commitment.groups.len(),
        arrived_after: match plan.reading.arrived {
            Arrived::After(version) => Some(version),
            Arrived::Everything => None,
        },
        arrivals: None,
        selection: plan.reading.selection.clone(),
        spec: Some(serde_json::to_value(&spec).unwrap()),
    });
    let own = own_watermark(&spec.rules.incremental, plan.as_of, staged.newest, plan.reading.previous);
    let decided = Decided {
        counts: commitment.counts,
        memos: commitment.memos,
        own_watermark: own,
        checks: commitment.checks,
        dq_errors: commitment.dq_errors,
        quarantine: work.into_some(),
        group,
    };
    Ok(Effect::Merge {
        descriptor: Box::new(plan.descriptor(decided)),
        rows: to_write(&rows, commitment.groups.first().map(Vec::as_slice)),
        kept,
        on_tie: spec.rules.on_tie,
        onto: plan.onto,
        reads: plan.inputs.first().cloned(),
        load: true,
    })
}

/// `Run::reject`.
fn reject(
    plan: &LoadPlan,
    rejection: &Rejection,
    (work, kept): (QuarantineWork, Vec<Row>),
    parts: &Parts,
) -> Effect {
    let row = rejected_row(plan, rejection);
    if plan.rejections.contains(&row.batch_id) {
        return Effect::End(Ending::Rejected);
    }
    let audit = parts.audit.as_ref().unwrap();
    let number = audit.txn(&rejected_app(&row.pipeline)) + 1;
    let evidence = work.into_some().map(|work| {
        Box::new(Evidence {
            pipeline: plan.pipeline.clone(),
            batch_id: row.batch_id.clone(),
            number,
            quarantine_id: plan.tables.quarantine.clone(),
            run_start: plan.started,
            work,
        })
    });
    Effect::Reject { row: Box::new(row), number, evidence, kept, onto: plan.audit_onto }
}

/// `Run::write_group`.
fn write_group(plan: &GroupPlan, intent: &Intent, parts: &Parts) -> Result<Effect, String> {
    let begun = plan.first.group.as_ref().ok_or("the unfinished batch has no groups")?;
    let spec: LoadSpec = begun
        .spec
        .clone()
        .and_then(|spec| serde_json::from_value(spec).ok())
        .ok_or("the list of groups cannot be read")?;
    let partitions = begun.partitions.get(plan.index).ok_or("the list of groups is too short")?;
    let (fact, tables) = (parts.fact.as_ref().unwrap(), parts.inputs.as_ref().unwrap());
    let work = plan.first.quarantine.as_ref().ok_or("a batch in groups does not say what it keeps out")?;
    let kept = kept_by(work, &tables.quarantine, &spec.rules.pipeline);
    let sources = tables.sources(&plan.first.inputs, work.base_version, Out::Said(kept));
    let Located { staged, rows, .. } =
        stage(&sources, &plan.first.batch_id, &plan.reading, &spec.rules, fact.content());
    let descriptor = Descriptor {
        counts: group_counts(&staged.cells, partitions),
        memos: Memos::default(),
        checks: Vec::new(),
        dq_errors: 0,
        quarantine: None,
        run_end: intent.clock.frozen(),
        group: Some(Group {
            index: plan.index,
            partitions: Vec::new(),
            of: begun.of,
            arrived_after: None,
            arrivals: None,
            selection: None,
            spec: None,
        }),
        ..plan.first.clone()
    };
    Ok(Effect::Merge {
        descriptor: Box::new(descriptor),
        rows: to_write(&rows, Some(partitions)),
        kept: Vec::new(),
        on_tie: spec.rules.on_tie,
        onto: plan.onto,
        reads: plan.first.inputs.first().cloned(),
        load: false,
    })
}

/// The `txn` entries of a rejection.
pub fn rejection_txn(pipeline: &str, number: i64, quarantine: Option<&str>) -> Vec<(String, i64)> {
    let evidence = quarantine.map(|id| (evidence_app(pipeline, id), number));
    std::iter::once((rejected_app(pipeline), number)).chain(evidence).collect()
}

/// What a plan for the quarantine makes of its entries.
///
/// # Errors
/// When an entry would be changed that is not there.
pub fn entries_after(plan: &QuarantinePlan, entries: &Rc<Vec<Entry>>) -> Result<Vec<Entry>, String> {
    let mut after = (**entries).clone();
    let own = |entry: &Entry| entry.pipeline == plan.pipeline;
    let mut claims = plan.work.claims.clone();
    for add in &plan.work.adds {
        let row = Row::from_json(add).ok_or("a file of entries cannot be read")?;
        if plan.must_compare_again()
            && let Some(entry) = entries.iter().find(|entry| own(entry) && entry.row == row)
        {
            if let QuarantineNumber::Batch(_) = plan.number {
                claims.push(entry.id());
            }
            continue;
        }
        let (batch, pipeline) = (plan.batch_id.clone(), plan.pipeline.clone());
        after.push(Entry { pipeline, row, status: EntryStatus::Open, resolution: None, batch });
    }
    for change in &plan.work.changes {
        for id in &change.entries {
            let entry = after.iter_mut().find(|entry| entry.id() == *id);
            let entry = entry.ok_or_else(|| format!("entry {id} is changed and not there"))?;
            entry.status = change.status;
            entry.resolution.clone_from(&change.resolution);
        }
    }
    for id in claims {
        let entry = after.iter_mut().find(|entry| entry.id() == id);
        entry.ok_or_else(|| format!("entry {id} is claimed and not there"))?.batch.clone_from(&plan.batch_id);
    }
    for entry in after.iter_mut().filter(|entry| own(entry)) {
        let closed_by = |id: &String| plan.work.reopen.contains(id);
        if matches!(entry.status, EntryStatus::Replayed | EntryStatus::Stale)
            && entry.resolution.as_ref().is_some_and(closed_by)
        {
            (entry.status, entry.resolution) = (EntryStatus::Open, None);
        }
    }
    Ok(after)
}
