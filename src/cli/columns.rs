//! `drift` and `evolve`: columns that differ, and that change.

use chrono::NaiveDate;

use super::ContractCommand;
use super::answer::{Answer, open_tables};
use super::named::Named;
use crate::context::PipelineContext;
use crate::contracts::{check, read};
use crate::drift::drift;
use crate::error::Result;
use crate::evolve::{EvolveReport, evolve};
use crate::hooks::Hooks;
use crate::model::Clock;
use crate::report::look::Look;
use crate::report::{columns, contract};

pub(super) async fn drift_answer(
    config: Named,
    since: Option<NaiveDate>,
    clock: Clock,
    look: &Look,
) -> Result<Answer> {
    let mut opened = open_tables(config, None).await?;
    let report = drift(&mut opened, clock, since).await?;
    let told = Answer::new(columns::drift(&report, look), columns::drift_document(&report));
    Ok(Answer { status: u8::from(report.is_refused()), ..told }.or_silence())
}

pub(super) async fn contract_answer(command: ContractCommand, look: &Look) -> Result<Answer> {
    match command {
        ContractCommand::Check { file, against, compatibility, table } => {
            let report = check(&file, &against, compatibility.into(), table.as_deref()).await?;
            let told = Answer::new(contract::checked(&report, look), contract::checked_document(&report));
            Ok(Answer { status: u8::from(report.is_broken()), ..told }.or_silence())
        }
        ContractCommand::Show { file, table } => {
            let found = read(&file, table.as_deref())?;
            Ok(Answer::new(contract::shown(&found), contract::shown_document(&found)))
        }
    }
}

pub(super) async fn evolve_answer(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    add: Vec<String>,
    dry_run: bool,
    look: &Look,
) -> Result<Answer> {
    let work = evolve(opened, clock, hooks, add.into_iter().collect(), dry_run);
    let report = hooks.stop.or_end(Box::pin(work)).await?;
    let told = Answer::new(columns::evolve(&report, look), columns::evolve_document(&report));
    Ok(Answer { status: u8::from(!report.impossible.is_empty()), ..told }.or_silence())
}

impl Answer {
    /// The same, after the target's columns were changed.
    pub(super) fn evolved(self, evolved: Option<&EvolveReport>, look: &Look) -> Self {
        let Some(report) = evolved else { return self };
        let mut json = self.json;
        json["evolved"] = columns::evolve_document(report);
        let text = format!("{}\n{}", columns::evolve(report, look), self.text);
        Self { text, json, ..self }.or_silence()
    }
}
