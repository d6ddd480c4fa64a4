//! From a look to a commit: the shipped code observes, decides and stamps; the rows are staged here.

use std::rc::Rc;

use highwater::model::{Descriptor, EntryStatus, Group, Memos, Pin, QuarantineWork};
use highwater::plan::rows::rejected_row;
use highwater::plan::step::{GroupPlan, QuarantineNumber, QuarantinePlan};
use highwater::plan::verdict::{Rejection, group_counts};
use highwater::plan::window::{Arrived, own_watermark};
use highwater::plan::{
    Circumstances, Decided, Intent, LoadPlan, LoadSpec, Observation, Step, Terms, Verdict, Work, settle,
};
use highwater::protocol::course::Rejected;
use highwater::protocol::{Change, Conclusion, Course, Next, Observer, Tables, Turn, Write};

use super::actor::{Actor, Ending, Parts};
use super::rows::{Located, Out, Row, kept_by, stage, to_write};
use super::start::Start;
use super::table::{SimRows, SimTable, now, tables_of};
use super::world::Entry;

/// What a run is about to do.
#[derive(Clone)]
pub enum Effect {
    /// The run ends.
    End(Ending),
    /// The run looks again.
    Again,
    /// The run learns that the rejection is recorded already, and looks again.
    KnownRejection(Box<Rejected>),
    /// A commit: nothing is left to decide.
    Commit(Box<Commit>),
}

impl Effect {
    /// The rejection that a run knows of after it.
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::KnownRejection(rejected) => Some(rejected),
            Self::Commit(commit) => commit.rejected.as_deref(),
            _ => None,
        }
    }
}

/// A commit that a run is about to make.
#[derive(Clone)]
pub struct Commit {
    pub write: Write<SimTable>,
    /// The tables as they were looked at.
    pub tables: Tables<SimTable>,
    /// What has to be there still, for the rows to be read.
    pub reads: Option<Pin>,
    /// Rows that a rejection keeps out.
    pub kept: Vec<Row>,
    /// What the run knows once a rejection is recorded.
    pub rejected: Option<Box<Rejected>>,
    /// What it is in the loop's words.
    pub work: Work,
}

/// What a run makes of a look.
pub struct Decision {
    pub letter: char,
    /// What a person is told to do, where the run refuses.
    pub hint: Option<String>,
    pub effect: Effect,
    /// The run, after it.
    pub course: Course,
    pub observer: Observer<SimTable>,
}

/// A planner: the shipped `decide`, or one with something left out.
pub type Planner<'a> = &'a dyn Fn(&Observation, &Intent) -> Step;

/// The case that a step stands for.
pub fn letter(step: &Step) -> char {
    step.case().letter()
}

/// Observes and decides by the shipped code, and stages the rows for the commit that it comes to.
///
/// # Errors
/// When the run would end as a bug.
pub fn plan(parts: &Parts, actor: &Actor, planner: Planner<'_>) -> Result<Decision, String> {
    let start = &actor.start;
    let fact = parts.fact.as_ref().unwrap();
    let before = actor.course.clone().unwrap_or_else(|| Course::new(start.intent(fact)));
    let mut course = before.clone();
    let mut tables = tables_of(parts);
    let mut fresh = Observer::new(start.pipeline);
    let mut tables_again = tables.clone();
    let seen = now(fresh.observe(&(), &mut tables, course.wanted())).map_err(|error| error.chain())?;
    // What a run kept of an earlier look makes no difference.
    let observer = match actor.observer.clone() {
        None => fresh,
        Some(mut kept) => {
            let again = now(kept.observe(&(), &mut tables_again, course.wanted()));
            let again = again.map_err(|error| error.chain())?;
            // Where a log was cleaned meanwhile, it knows more.
            if fact.cleaned == 0 && format!("{again:?}") != format!("{seen:?}") {
                return Err(format!("a look that goes on from an earlier one sees {again:?}, not {seen:?}"));
            }
            kept
        }
    };
    let turn = course.turn_by(&seen, planner);
    let letter = course.cases.pop().map_or('r', |decided| decided.case.letter());
    course.cases.clear();
    let commit = |write, work| {
        Effect::Commit(Box::new(Commit {
            write,
            tables: tables.clone(),
            reads: None,
            kept: Vec::new(),
            rejected: None,
            work,
        }))
    };
    let hint = match &turn {
        Turn::Go(Next::Over(Conclusion::Refused(refusal))) => Some(refusal.hint.clone()),
        _ => None,
    };
    let effect = match turn {
        Turn::Go(Next::Over(Conclusion::Rejected(_))) => Effect::End(Ending::Rejected),
        Turn::Go(Next::Over(_)) => Effect::End(Ending::Case(letter)),
        Turn::Look => {
            if (before.intent.gap, before.back_to) == (course.intent.gap, course.back_to) {
                return Err(format!("looks again, and at nothing else: case {letter}"));
            }
            Effect::Again
        }
        Turn::Go(Next::Do(Work::Load(plan))) => load(&plan, start, &course.intent, parts, &tables)?,
        Turn::Go(Next::Do(Work::WriteGroup(plan))) => write_group(&plan, &course.intent, parts, &tables)?,
        Turn::Go(Next::Do(work)) => {
            let write = match work.clone() {
                Work::Abandon { descriptor, onto } => Write::batch(*descriptor, onto, Change::Nothing),
                Work::Undo(plan) => Write::undo(&plan),
                Work::WriteQuarantine(plan) => {
                    let entries = parts.quarantine.as_ref().unwrap().entries();
                    Write::entries(&plan, entries_after(&plan, entries))
                }
                Work::WriteAudit { row, onto } => Write::audit(row, onto),
                Work::WriteWatermark { row, onto } => Write::watermark(row, onto),
                Work::Load(_) | Work::WriteGroup(_) => unreachable!("done above"),
            };
            commit(write, work)
        }
    };
    Ok(Decision { letter, hint, effect, course, observer })
}

/// `Run::load`.
fn load(
    plan: &LoadPlan,
    start: &Start,
    intent: &Intent,
    parts: &Parts,
    tables: &Tables<SimTable>,
) -> Result<Effect, String> {
    let mut spec = LoadSpec::unbound(intent.rules.clone());
    spec.partition_columns = vec!["day".to_owned()];
    let (fact, inputs) = (parts.fact.as_ref().unwrap(), parts.inputs.as_ref().unwrap());
    let out = Out::Judged { in_effect: &plan.in_effect, accepted: &plan.accepted };
    let sources = inputs.sources(&plan.inputs, plan.entries_at, out);
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
        Verdict::Reject(rejection) => return reject(plan, &rejection, (evidence, evidence_kept), tables),
    };
    let rest = commitment.groups.iter().skip(1).map(|group| group_counts(&staged.cells, group));
    if let Some(imbalance) = rest.fold(commitment.counts, |a, b| a + b).imbalance() {
        return Err(format!("I5: the classes of the whole batch do not add up: {imbalance}"));
    }
    let group = (!commitment.groups.is_empty()).then(|| Group {
        index: 0,
        partitions: commitment.groups.clone(),
        partitions_file: None,
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
        strategy: start.strategy(),
        drift: Vec::new(),
        group,
    };
    let rows = to_write(&rows, commitment.groups.first().map(Vec::as_slice));
    let change = Change::Merge(SimRows { rows, kept, on_tie: spec.rules.on_tie });
    Ok(Effect::Commit(Box::new(Commit {
        write: Write::batch(plan.descriptor(decided), plan.onto, change),
        tables: tables.clone(),
        reads: plan.inputs.first().cloned(),
        kept: Vec::new(),
        rejected: None,
        work: Work::Load(Box::new(plan.clone())),
    })))
}

/// `Run::reject`.
fn reject(
    plan: &LoadPlan,
    rejection: &Rejection,
    (work, kept): (QuarantineWork, Vec<Row>),
    tables: &Tables<SimTable>,
) -> Result<Effect, String> {
    let row = Box::new(rejected_row(plan, rejection));
    let rejected = Box::new(Rejected { live: plan.live, row: row.clone() });
    if plan.rejections.contains(&row.batch_id) {
        return Ok(Effect::KnownRejection(rejected));
    }
    let write = now(Write::rejection(tables, plan, row, work.into_some())).map_err(|error| error.chain())?;
    Ok(Effect::Commit(Box::new(Commit {
        write,
        tables: tables.clone(),
        reads: None,
        kept,
        rejected: Some(rejected),
        work: Work::Load(Box::new(plan.clone())),
    })))
}

/// `Run::write_group`.
fn write_group(
    plan: &GroupPlan,
    intent: &Intent,
    parts: &Parts,
    tables: &Tables<SimTable>,
) -> Result<Effect, String> {
    let begun = plan.first.group.as_ref().ok_or("the unfinished batch has no groups")?;
    let spec: LoadSpec = begun
        .spec
        .clone()
        .and_then(|spec| serde_json::from_value(spec).ok())
        .ok_or("the list of groups cannot be read")?;
    let partitions = begun.partitions.get(plan.index).ok_or("the list of groups is too short")?;
    let (fact, inputs) = (parts.fact.as_ref().unwrap(), parts.inputs.as_ref().unwrap());
    let work = plan.first.quarantine.as_ref().ok_or("a batch in groups does not say what it keeps out")?;
    let kept = kept_by(work, &inputs.quarantine, &spec.rules.pipeline);
    let sources = inputs.sources(&plan.first.inputs, work.base_version, Out::Said(kept));
    let Located { staged, rows, .. } =
        stage(&sources, &plan.first.batch_id, &plan.reading, &spec.rules, fact.content());
    let descriptor = Descriptor {
        counts: group_counts(&staged.cells, partitions),
        memos: Memos::default(),
        checks: Vec::new(),
        dq_errors: 0,
        quarantine: None,
        drift: Vec::new(),
        run_end: intent.clock.frozen(),
        group: Some(Group {
            index: plan.index,
            partitions: Vec::new(),
            partitions_file: None,
            of: begun.of,
            arrived_after: None,
            arrivals: None,
            selection: None,
            spec: None,
        }),
        ..plan.first.clone()
    };
    let change = Change::Merge(SimRows {
        rows: to_write(&rows, Some(partitions)),
        kept: Vec::new(),
        on_tie: spec.rules.on_tie,
    });
    Ok(Effect::Commit(Box::new(Commit {
        write: Write::batch(descriptor, plan.onto, change),
        tables: tables.clone(),
        reads: plan.first.inputs.first().cloned(),
        kept: Vec::new(),
        rejected: None,
        work: Work::WriteGroup(Box::new(plan.clone())),
    })))
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
