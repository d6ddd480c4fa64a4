//! Which entries of the quarantine a person means, as SQL over the alias `q`.

use crate::engine::sql::{Param, column};
use crate::model::{EntryStatus, Selection};
use crate::plan::Recipe;

/// The condition that an entry is the pipeline's and is selected; with a status, only entries that have it.
#[must_use]
pub fn selected(recipe: &Recipe, selection: &Selection, status: Option<EntryStatus>) -> String {
    let text = |text: &str| Param::Text(text.to_owned()).to_string();
    let mut parts = vec![format!("q.`dq_pipeline` = {}", text(&recipe.rules.pipeline))];
    parts.extend(status.map(|status| format!("q.`dq_status` = {}", text(status.as_str()))));
    parts.extend(selection.batch_id.as_ref().map(|id| format!("q.`dq_batch_id` = {}", text(id))));
    if let Some(values) = &selection.key {
        let keys = recipe.rules.unique_key.iter().zip(values);
        parts.extend(
            keys.map(|(key, value)| format!("CAST({} AS STRING) = {}", column("q", key), text(value))),
        );
    }
    parts.extend(selection.check.as_ref().map(|check| {
        format!(
            "q.`dq_entry_id` IN (SELECT e.`id` FROM (SELECT `dq_entry_id` AS `id`, UNNEST(`dq_errors`) AS `error` \
             FROM quarantine) AS e WHERE get_field(e.`error`, 'check') = {})",
            text(check)
        )
    }));
    parts.extend(
        selection.since.map(|day| format!("CAST(q.`dq_quarantined_at` AS DATE) >= {}", Param::Date(day))),
    );
    parts.extend(selection.filter.as_ref().map(|sql| format!("(\n{sql}\n)")));
    parts.join(" AND ")
}
