//! Carries out the steps of a batch in groups: too many partitions for one MERGE.

use super::Run;
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::model::{Descriptor, Group, Memos, QuarantineWork};
use crate::plan::LoadSpec;
use crate::plan::step::GroupPlan;
use crate::plan::verdict::{Commitment, group_counts};
use crate::plan::window::{Arrived, ReadPlan};
use crate::protocol::{Outcome, QUARANTINE};
use crate::stages::locate::{Located, locate, recount, refuse_partitions};
use crate::stages::quarantine::keep_out_known;

impl Run<'_> {
    /// Writes the next group of an unfinished batch, by the load spec that the batch was begun with.
    pub(super) async fn write_group(&mut self, plan: &GroupPlan) -> Result<Outcome> {
        let begun = plan.first.group.as_ref();
        let spec: LoadSpec = begun
            .and_then(|group| group.spec.clone())
            .and_then(|spec| serde_json::from_value(spec).ok())
            .ok_or_else(|| unreadable_group(&plan.first))?;
        let key = self.opened.pipeline.mask_key.as_ref().map(Secret::fingerprint);
        if spec.rules.mapping.mask_key.is_some() && spec.rules.mapping.mask_key != key {
            return Err(Error::usage(format!(
                "batch {} was begun with another `mask_key`",
                plan.first.batch_id
            ))
            .hint("run it once more with the key that it was begun with"));
        }
        let groups = match begun {
            Some(group) => {
                let target = &self.opened.tables.target;
                target.items(&group.partitions, group.partitions_file.as_ref()).await?
            }
            None => Vec::new(),
        };
        let partitions = groups.get(plan.index).ok_or_else(|| unreadable_group(&plan.first))?;
        let of = begun.map_or(0, |group| group.of);

        let pin = plan.first.inputs.first();
        let gone = || Error::retry("staging's pinned version is gone");
        let source = match pin {
            Some(pin) if pin.name == QUARANTINE => Some(&self.opened.tables.quarantine),
            _ => self.opened.tables.staging.as_ref(),
        };
        let staging = source.ok_or_else(gone)?.at(pin.map_or(0, |pin| pin.table().version)).await?;
        let staging = staging.ok_or_else(gone)?;
        self.keep_deduped(&plan.first.inputs, &plan.reading, &spec, &staging).await?;
        let work = plan.first.quarantine.as_ref().ok_or_else(|| unreadable_group(&plan.first))?;
        let located = self.located_again(plan.onto, &spec, work).await?;
        let descriptor = Descriptor {
            counts: group_counts(&located.cells, partitions),
            memos: Memos::default(),
            checks: Vec::new(),
            dq_errors: 0,
            quarantine: None,
            drift: Vec::new(),
            run_end: self.course.intent.clock.frozen(),
            group: Some(Group {
                index: plan.index,
                partitions: Vec::new(),
                partitions_file: None,
                of,
                arrived_after: None,
                arrivals: None,
                selection: None,
                spec: None,
            }),
            ..plan.first.clone()
        };
        let outcome = self.commit_rows(&descriptor, plan.onto, &spec, &located, Some(partitions)).await?;
        self.keep_located(located, &outcome);
        Ok(outcome)
    }

    /// The first group's part of the descriptor, if the batch is written in groups.
    pub(super) async fn first_group(
        &self,
        commitment: &Commitment,
        reading: &ReadPlan,
        spec: &LoadSpec,
    ) -> Result<Option<Group>> {
        if commitment.groups.is_empty() {
            return Ok(None);
        }
        let spec = serde_json::to_value(spec)
            .map_err(|error| Error::bug("a load spec is no JSON").because(error))?;
        let arrived_after = match reading.arrived {
            Arrived::After(version) => Some(version),
            Arrived::Everything => None,
        };
        let listed = self.opened.tables.target.listed(commitment.groups.clone()).await?;
        Ok(Some(Group {
            index: 0,
            partitions: listed.here,
            partitions_file: listed.file,
            of: commitment.groups.len(),
            arrived_after,
            arrivals: self.kept.as_ref().and_then(|kept| kept.arrivals.clone()),
            selection: reading.selection.clone(),
            spec: Some(spec),
        }))
    }

    /// The rows located on version `onto`. Where the only commits since they were located are groups of
    /// this very batch, made by this process, they hold still: groups have no key in common. What the gate
    /// kept out is kept out again, as the first commit says.
    async fn located_again(&mut self, onto: u64, spec: &LoadSpec, work: &QuarantineWork) -> Result<Located> {
        let kept = self.kept.as_mut().ok_or_else(|| Error::bug("nothing was staged"))?;
        if let Some((version, located)) = kept.located.take()
            && version == onto
        {
            return Ok(located);
        }
        let engine = &self.opened.engine;
        let mut located = locate(engine, spec, &kept.deduped, &self.opened.tables.target).await?;
        let quarantine = &self.opened.tables.quarantine;
        let at_base = quarantine.at(work.base_version).await?.ok_or_else(|| {
            Error::retry(format!("version {} of `{}` is gone", work.base_version, quarantine.name()))
        })?;
        let added = quarantine.read_files(&work.adds).await?;
        located.rows = keep_out_known(engine, spec, &located.rows, work, &at_base, added).await?;
        located.cells = recount(engine, spec, &located.rows).await?;
        let local = self.opened.tables.target.is_local();
        refuse_partitions(engine, spec, &located.rows, local).await?;
        Ok(located)
    }

    /// Keeps located rows for the next group, if this process committed onto the version they hold for.
    pub(super) fn keep_located(&mut self, located: Located, outcome: &Outcome) {
        if let (Some(kept), Outcome::Committed(version)) = (&mut self.kept, outcome) {
            kept.located = Some((*version, located));
        }
    }
}

fn unreadable_group(first: &Descriptor) -> Error {
    Error::person(format!("batch {} is unfinished, and its list of groups cannot be read", first.batch_id))
        .hint("run it once more with the version of highwater that it was begun with")
}
