//! The MERGE, by delta-rs's builder.

use std::sync::Arc;

use deltalake::arrow::datatypes::DataType;
use deltalake::datafusion::common::Column;
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::datafusion::logical_expr::{Expr, Operator, binary_expr, lit, not};
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::delta_datafusion::SessionFallbackPolicy;

use super::commit::commit_properties;
use super::table::Table;
use super::write::Size;
use crate::config::OnTie;
use crate::engine;
use crate::error::Result;
use crate::notation::{NullKeys, VersionOrder};
use crate::protocol::{Outcome, Stamp};

/// Rows to be merged, and how.
#[derive(Debug, Clone)]
pub struct MergeSource {
    /// The rows: exactly the target's columns that are to be set.
    pub rows: DataFrame,
    /// The columns to set.
    pub columns: Vec<String>,
    /// The key columns.
    pub key: Vec<String>,
    /// Whether NULL in a key is a value like others.
    pub null_keys: NullKeys,
    /// The columns of the version.
    pub versions: Vec<String>,
    /// How they are ordered.
    pub orders: Vec<VersionOrder>,
    /// The row hash column, for the guard of `replace_if_different`.
    pub row_hash: String,
    /// What becomes of ties.
    pub on_tie: OnTie,
    /// For each partition column, the values that the rows to be replaced lie under. Other partitions of
    /// the target are not read.
    pub partitions: Vec<(String, Vec<ScalarValue>)>,
    /// Columns of which most rows have a value of their own.
    pub distinct: Vec<String>,
    /// Whether any row is to be replaced. If not, no file of the target is read.
    pub updates: bool,
}

impl Table {
    /// Merges rows into the table, in one commit onto this version.
    ///
    /// # Errors
    /// Fails when the rows cannot be merged.
    pub async fn merge(&self, source: MergeSource, state: &SessionState, stamp: Stamp) -> Result<Outcome> {
        let guard = source.guard();
        let predicate = source.predicate();
        let MergeSource { rows, columns, distinct, .. } = source;
        let files = self.files()?;
        let properties_of_files = self.writer_properties(&distinct, files.keys().min(), Size::Any).await?;
        let (properties, attempt) = commit_properties(stamp, [])?;
        let built = self
            .to_commit(None)?
            .merge(rows, predicate)
            .with_source_alias("s")
            .with_target_alias("t")
            .with_session_state(Arc::new(holding_the_source(state.clone())))
            .with_session_fallback_policy(SessionFallbackPolicy::RequireSessionState)
            .with_commit_properties(properties)
            .with_writer_properties(properties_of_files)
            .when_matched_update(|update| {
                columns.iter().fold(update.predicate(guard), |update, column| {
                    update.update(Column::from_name(column), of("s", column))
                })
            })
            .and_then(|merge| {
                merge.when_not_matched_insert(|insert| {
                    columns
                        .iter()
                        .fold(insert, |insert, column| insert.set(Column::from_name(column), of("s", column)))
                })
            });
        let result = match built {
            Ok(merge) => merge.await,
            Err(error) => Err(error),
        };
        self.outcome(result.map(|(table, _)| table.version()), &attempt).await
    }
}

/// The same, with the source as what is held in memory, whole, while the target passes by. The planner would compare the
/// source's bytes in memory with those of the target's files on disk, and often hold the target; and where it would divide
/// both by key, all rows of the target are copied once more.
fn holding_the_source(mut state: SessionState) -> SessionState {
    let optimizer = &mut state.config_mut().options_mut().optimizer;
    optimizer.join_reordering = false;
    optimizer.hash_join_single_partition_threshold = usize::MAX;
    optimizer.hash_join_single_partition_threshold_rows = usize::MAX;
    state
}

impl MergeSource {
    /// Leaves one row out, to prove that reconciling notices.
    pub(crate) fn lose_a_row(&mut self) -> Result<()> {
        self.rows = self.rows.clone().limit(1, None).map_err(engine::failed)?;
        Ok(())
    }

    /// Replace only what is older: the classes were decided before, and the guard holds all the same.
    fn guard(&self) -> Expr {
        let (source, target) = (self.version("s"), self.version("t"));
        let newer = source.clone().gt(target.clone()).or(target.clone().is_null());
        match self.on_tie {
            OnTie::Keep | OnTie::Fail => newer,
            OnTie::ReplaceIfDifferent => {
                let (source_hash, target_hash) = (of("s", &self.row_hash), of("t", &self.row_hash));
                let differs = target_hash.clone().is_null().or(not(source_hash.eq(target_hash)));
                newer.or(source.eq(target).and(differs))
            }
        }
    }

    /// What versions are compared by.
    fn version(&self, alias: &str) -> Expr {
        if let ([only], [VersionOrder::Own]) = (self.versions.as_slice(), self.orders.as_slice()) {
            return of(alias, only);
        }
        let orders: Vec<&str> = self.orders.iter().map(|order| order.name()).collect();
        let columns = self.versions.iter().map(|name| of(alias, name));
        engine::version_key_function().call(std::iter::once(lit(orders.join(","))).chain(columns).collect())
    }

    fn predicate(&self) -> Expr {
        let operator = match self.null_keys {
            NullKeys::Reject => Operator::Eq,
            NullKeys::Match => Operator::IsNotDistinctFrom,
        };
        let on_key = self.key.iter().map(|key| binary_expr(of("t", key), operator, of("s", key)));
        let narrowed = self.partitions.iter().map(|(column, values)| one_of(column, values));
        let always = (!self.updates).then(|| lit(false));
        on_key.chain(narrowed).chain(always).reduce(Expr::and).unwrap_or_else(|| lit(true))
    }
}

/// `t.column` is one of the values, NULL included.
fn one_of(column: &str, values: &[ScalarValue]) -> Expr {
    let target = of("t", column);
    let (nulls, values): (Vec<_>, Vec<_>) = values.iter().cloned().partition(ScalarValue::is_null);
    if values.is_empty() {
        return target.is_null();
    }
    let among = target.clone().in_list(values.into_iter().map(plain).map(lit).collect(), false);
    if nulls.is_empty() { among } else { among.or(target.is_null()) }
}

/// delta-rs writes predicates back as SQL text, which knows one kind of string only.
fn plain(value: ScalarValue) -> ScalarValue {
    match value.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(_, _) => {
            value.cast_to(&DataType::Utf8).unwrap_or(value)
        }
        _ => value,
    }
}

/// A column by exact name: `col()` would fold case and split at dots.
fn of(alias: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(alias), name))
}
