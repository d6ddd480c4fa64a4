//! Which entries of the quarantine a person means, as SQL over the alias `q`.

use crate::engine::sql::column;
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Dialect, EntryStatus, Literal, Selection};
use crate::notation::bound;
use crate::plan::LoadSpec;

/// The condition that an entry is the pipeline's and is selected; with a status, only entries that have it.
///
/// # Errors
/// Fails where a key column is given what is no value of its type.
pub fn selected(
    spec: &LoadSpec,
    quarantine: &Table,
    selection: &Selection,
    status: Option<EntryStatus>,
) -> Result<String> {
    let engine = |literal: Literal| literal.sql(Dialect::Engine);
    let text = |text: &str| engine(Literal::text(text));
    let mut parts = vec![format!("q.`dq_pipeline` = {}", text(&spec.rules.pipeline))];
    parts.extend(status.map(|status| format!("q.`dq_status` = {}", text(status.as_str()))));
    parts.extend(selection.batch_id.as_ref().map(|id| format!("q.`dq_batch_id` = {}", text(id))));
    if let Some(values) = &selection.key {
        let fields: Vec<_> = quarantine.columns()?.into_iter().map(|column| column.field).collect();
        for (key, value) in spec.rules.unique_key.iter().zip(values) {
            let field = fields.iter().find(|field| field.name == *key).ok_or_else(|| {
                Error::usage(format!("`{}` has no key column `{key}`", quarantine.name()))
                    .hint("compare it with staging: `highwater init` names the differences")
            })?;
            // As reports write them: NULL is bare, and a text of these letters is in quotes.
            if value == "NULL" {
                parts.push(format!("{} IS NULL", column("q", key)));
                continue;
            }
            let value = if value == "'NULL'" { "NULL" } else { value };
            let literal = bound::exactly(value, &field.data_type)
                .map_err(|why| Error::usage(format!("the value of key column `{key}` {why}")))?;
            parts.push(format!("{} = {}", column("q", key), engine(literal)));
        }
    }
    parts.extend(selection.check.as_ref().map(|check| {
        format!(
            "q.`dq_entry_id` IN (SELECT e.`id` FROM (SELECT `dq_entry_id` AS `id`, UNNEST(`dq_errors`) AS `error` \
             FROM quarantine) AS e WHERE get_field(e.`error`, 'check') = {})",
            text(check)
        )
    }));
    parts.extend(
        selection
            .since
            .map(|day| format!("CAST(q.`dq_quarantined_at` AS DATE) >= {}", engine(Literal::Date(day)))),
    );
    parts.extend(selection.filter.as_ref().map(|sql| format!("(\n{sql}\n)")));
    Ok(parts.join(" AND "))
}
