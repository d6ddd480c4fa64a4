//! What of a pipeline file makes a batch another one: its canonical text.
//!
//! Batch ids are hashes of it, and tables remember batches by their ids. So the text is written by hand, key by key, in
//! an order that never changes, and does not follow from how the program keeps its rules. A key that comes later is
//! written at the end, and only where it is not as it always was: then no id changes by it. `tests/golden/ids.json`
//! holds the ids of what there is.

use serde_json::{Value, json};

use super::load_spec::Rules;
use crate::config::{Incremental, Initial, TieBreaker};

/// The canonical text of the rules.
pub(super) fn canonical(rules: &Rules) -> String {
    let Rules {
        pipeline,
        unique_key,
        null_keys,
        version,
        sequence,
        tie_breakers,
        on_tie,
        lineage,
        exclude,
        load_columns,
        incremental,
        dimensions,
        checks,
        mapping,
    } = rules;
    let mut text = json!({
        "pipeline": pipeline,
        "unique_key": unique_key,
        "version": version,
        "tie_breakers": tie_breakers.iter().map(tie_breaker).collect::<Vec<_>>(),
        "on_tie": on_tie,
        "lineage": lineage,
        "exclude": exclude,
        "load_columns": {
            "batch_id": load_columns.batch_id,
            "loaded_at": load_columns.loaded_at,
            "row_hash": load_columns.row_hash,
        },
        "incremental": of_incremental(incremental),
        "dimensions": dimensions,
        // A check is written as it is kept in a descriptor's spec, whose form never changes either.
        "checks": checks,
    });
    if !mapping.is_identity() {
        text["mapping"] = json!(mapping);
    }
    if !null_keys.is_reject() {
        text["null_keys"] = json!(null_keys);
    }
    if !sequence.is_empty() {
        text["sequence"] = json!(sequence);
    }
    text.to_string()
}

fn tie_breaker(breaker: &TieBreaker) -> Value {
    json!({"column": breaker.column, "descending": breaker.descending})
}

fn of_incremental(incremental: &Incremental) -> Value {
    let Incremental { mode, column, lookback_days, lag_days, late, initial } = incremental;
    json!({
        "mode": mode,
        "column": column,
        "lookback_days": lookback_days,
        "lag_days": lag_days,
        "late": late,
        // What nobody says was called so before it meant `all`, and batches of that time are to be known again.
        "initial": initial.unwrap_or(Initial::Lookback),
    })
}
