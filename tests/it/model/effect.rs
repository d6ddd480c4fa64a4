//! From an observation to a commit: the shipped planner decides, and what `run.rs` would commit is worked
//! out.

use highwater::config::OnTie;
use highwater::model::{AuditRow, Class, Descriptor, Group, Memos, WatermarkRow};
use highwater::plan::rows::rejected_row;
use highwater::plan::settle::group_counts;
use highwater::plan::step::{First, GroupPlan};
use highwater::plan::window::{Arrived, own_watermark};
use highwater::plan::{End, Intent, LoadPlan, Recipe, Seen, Step, Verdict, settle};

use super::actor::{Ending, Parts, Start};
use super::rows::{Row, stage, to_write};
use super::world::rejected_app;

/// A commit that a run is about to make. It holds the whole effect: nothing is left to decide.
#[derive(Clone)]
pub enum Effect {
    /// The run ends.
    End(Ending),
    /// The run looks again and remembers this gap.
    Again((u64, u64)),
    /// Rows are merged into the target, or none in an empty commit.
    Merge {
        descriptor: Box<Descriptor>,
        rows: Vec<(Class, Row)>,
        on_tie: OnTie,
        onto: u64,
        reads: u64,
        load: bool,
    },
    /// The target is taken back.
    Restore { descriptor: Box<Descriptor>, to: u64, onto: u64 },
    /// A row is appended to the audit table; with `rejects`, the run ends there.
    Audit { row: Box<AuditRow>, app: String, number: i64, onto: u64, rejects: bool },
    /// A row is appended to the watermark table.
    Marks { row: Box<WatermarkRow>, onto: u64 },
}

/// A step with the commit that it comes to.
pub struct Decision {
    pub step: Step,
    pub letter: char,
    pub effect: Effect,
}

/// A planner: the shipped `decide`, or one with something left out.
pub type Planner<'a> = &'a dyn Fn(&Seen, &Intent) -> Step;

/// The case that a step stands for.
pub fn letter(step: &Step) -> char {
    match step {
        Step::Refuse(refusal) => refusal.case,
        Step::LookAgain { .. } => 'E',
        Step::WriteGroup(_) => 'F',
        Step::Abandon(_) => 'G',
        Step::Undo(_) => 'H',
        Step::WriteAudit { .. } => 'J',
        Step::WriteWatermark { .. } => 'K',
        Step::End(End::Failed(_)) => 'L',
        Step::End(End::Overtaken(_)) => 'M',
        Step::End(End::Done(_)) => 'N',
        Step::Load(_) => 'P',
    }
}

/// Decides, and works out the step's commit as `run.rs` does.
///
/// # Errors
/// When the run would end as a bug.
pub fn plan(
    parts: &Parts,
    start: &Start,
    first: Option<First>,
    gap: Option<(u64, u64)>,
    planner: Planner<'_>,
) -> Result<Decision, String> {
    let intent = Intent { first, gap, ..start.intent() };
    let seen = parts.seen(start.pipeline);
    let step = planner(&seen, &intent);
    let effect = match &step {
        Step::End(_) | Step::Refuse(_) => Effect::End(Ending::Case(letter(&step))),
        Step::LookAgain { gap: again } => {
            if gap == Some(*again) {
                return Err(format!("looks again at the same gap {again:?}"));
            }
            Effect::Again(*again)
        }
        Step::Load(plan) => load(plan, start, &intent, parts)?,
        Step::WriteGroup(plan) => write_group(plan, &intent, parts)?,
        Step::Abandon(descriptor) => Effect::Merge {
            descriptor: descriptor.clone(),
            rows: Vec::new(),
            on_tie: OnTie::Keep,
            onto: seen.fact.version,
            reads: u64::MAX,
            load: false,
        },
        Step::Undo(plan) => Effect::Restore {
            descriptor: Box::new(plan.descriptor.clone()),
            to: plan.restore_to,
            onto: plan.onto,
        },
        Step::WriteAudit { row, onto } => Effect::Audit {
            row: row.clone(),
            app: row.pipeline.clone(),
            number: row.sequence.unwrap_or_default(),
            onto: *onto,
            rejects: false,
        },
        Step::WriteWatermark { row, onto } => Effect::Marks { row: Box::new(row.clone()), onto: *onto },
    };
    Ok(Decision { letter: letter(&step), step, effect })
}

/// `Run::load` and `Run::reject`.
fn load(plan: &LoadPlan, start: &Start, intent: &Intent, parts: &Parts) -> Result<Effect, String> {
    let recipe = Recipe {
        rules: intent.rules.clone(),
        columns: Vec::new(),
        extra_columns: Vec::new(),
        partition_columns: vec!["day".to_owned()],
    };
    let (fact, audit) = (parts.fact.as_ref().unwrap(), parts.audit.as_ref().unwrap());
    let pinned = plan.inputs[0].version;
    let (staged, located) =
        stage(parts.staging.as_ref().unwrap(), pinned, &plan.reading, &recipe.rules, fact.content());
    let commitment = match settle(&staged, recipe.rules.on_tie, start.partitions) {
        Verdict::Commit(commitment) => commitment,
        Verdict::Reject(rejection) => {
            let row = rejected_row(plan, &rejection);
            if plan.rejections.contains(&row.batch_id) {
                return Ok(Effect::End(Ending::Rejected));
            }
            let app = rejected_app(&row.pipeline);
            let number = audit.txn(&app) + 1;
            return Ok(Effect::Audit {
                row: Box::new(row),
                app,
                number,
                onto: plan.audit_onto,
                rejects: true,
            });
        }
    };
    let rest = commitment.groups.iter().skip(1).map(|group| group_counts(&staged.cells, group));
    if let Some(imbalance) = rest.fold(commitment.counts, |a, b| a + b).imbalance() {
        return Err(format!("I5: the classes of the whole batch do not add up: {imbalance}"));
    }
    let own = own_watermark(&recipe.rules.incremental, plan.as_of, staged.newest, plan.reading.previous);
    let group = (!commitment.groups.is_empty()).then(|| Group {
        index: 0,
        partitions: commitment.groups.clone(),
        of: commitment.groups.len(),
        arrived_after: match plan.reading.arrived {
            Arrived::After(version) => Some(version),
            Arrived::Everything => None,
        },
        arrivals: None,
        recipe: Some(serde_json::to_value(&recipe).unwrap()),
    });
    Ok(Effect::Merge {
        descriptor: Box::new(plan.descriptor(commitment.counts, commitment.memos, own, group)),
        rows: to_write(&located, commitment.groups.first().map(Vec::as_slice)),
        on_tie: recipe.rules.on_tie,
        onto: plan.onto,
        reads: pinned,
        load: true,
    })
}

/// `Run::write_group`.
fn write_group(plan: &GroupPlan, intent: &Intent, parts: &Parts) -> Result<Effect, String> {
    let begun = plan.first.group.as_ref().ok_or("the unfinished batch has no groups")?;
    let recipe: Recipe = begun
        .recipe
        .clone()
        .and_then(|recipe| serde_json::from_value(recipe).ok())
        .ok_or("the list of groups cannot be read")?;
    let partitions = begun.partitions.get(plan.index).ok_or("the list of groups is too short")?;
    let pinned = plan.first.inputs[0].version;
    let (staging, fact) = (parts.staging.as_ref().unwrap(), parts.fact.as_ref().unwrap());
    let (staged, located) = stage(staging, pinned, &plan.reading, &recipe.rules, fact.content());
    let descriptor = Descriptor {
        counts: group_counts(&staged.cells, partitions),
        memos: Memos::default(),
        run_end: intent.clock.frozen(),
        group: Some(Group {
            index: plan.index,
            partitions: Vec::new(),
            of: begun.of,
            arrived_after: None,
            arrivals: None,
            recipe: None,
        }),
        ..plan.first.clone()
    };
    Ok(Effect::Merge {
        descriptor: Box::new(descriptor),
        rows: to_write(&located, Some(partitions)),
        on_tie: recipe.rules.on_tie,
        onto: plan.onto,
        reads: pinned,
        load: false,
    })
}
