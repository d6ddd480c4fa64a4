//! Prints a pipeline's load as Spark SQL that a person can paste.
//!
//! The statements are generated from the parts that a run executes; see [`stages::text`](crate::stages::text).

use crate::config::{Late, Location, Mode, OnTie, Pipeline};
use crate::context::PipelineContext;
use crate::engine::sql::{Ident, bind, column};
use crate::error::{Error, Result};
use crate::lake::{Arrivals, FileId};
use crate::model::{BatchKind, Clock, Dialect, Literal};
use crate::plan::batch_id::batch_id;
use crate::plan::window::{Arrived, plan_reading};
use crate::plan::{Ledger, LoadSpec, Rules};
use crate::protocol::{Observer, Wanted};
use crate::stages::read::arrivals_unknown;
use crate::stages::text::{HASH, Text};

/// The load's statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkSql {
    /// Settings under which Spark gives the same values.
    pub settings: Vec<String>,
    /// Each deduped row with its row hash and class.
    pub classify: String,
    /// How the dedupe splits the staged rows.
    pub dedupe_counts: String,
    /// The MERGE of what is new or newer.
    pub merge: String,
}

impl SparkSql {
    /// The whole script.
    #[must_use]
    pub fn script(&self) -> String {
        let mut text = String::new();
        for setting in &self.settings {
            text.push_str(&format!("{setting};\n"));
        }
        let parts = [
            ("Each key's latest version, with its row hash and its class", &self.classify),
            ("How the dedupe splits the staged rows", &self.dedupe_counts),
            ("The MERGE of what is new or newer", &self.merge),
        ];
        for (title, sql) in parts {
            text.push_str(&format!("\n-- {title}\n{sql};\n"));
        }
        text
    }
}

/// The SQL of the batch that a run would load now, or has loaded.
///
/// # Errors
/// Fails when the tables cannot be read.
pub async fn spark_sql(opened: &mut PipelineContext, clock: Clock) -> Result<SparkSql> {
    let as_of = opened.as_of(clock);
    let staging_table = opened.staging()?.clone();
    let mut observer = Observer::new(&opened.pipeline.name);
    let seen = observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await?;
    let ledger = Ledger::new(&seen.rows);
    let rules = Rules::of(&opened.pipeline);
    let staging = seen.inputs.first().ok_or_else(|| Error::bug("staging was not pinned"))?;
    let reading = plan_reading(&rules.incremental, as_of, &ledger, staging);
    let id = batch_id(BatchKind::Load, as_of, &rules.digest(), &seen.inputs, &[], &ledger);

    let source = &relation(&opened.pipeline, &opened.pipeline.source.table);
    let target = &relation(&opened.pipeline, &opened.pipeline.target.table);
    let mapped = |relation: &str| match &opened.spec.mapped {
        Some(mapped) => mapped.select(relation, Dialect::Spark, true),
        None => format!("SELECT * FROM {relation}"),
    };
    let mut ctes = vec![("staging".to_owned(), mapped(source))];
    let mut arrived = Vec::new();
    // Rows that are only counted when late are not asked for.
    let asks = rules.incremental.mode == Mode::Changes || rules.incremental.late == Late::Load;
    if let Arrived::After(version) = reading.arrived
        && asks
    {
        let arrivals = Arrivals::since(&staging_table, version).await?;
        let arrivals = arrivals.ok_or_else(|| arrivals_unknown(&staging_table, version))?;
        for relation in arrived_relations(source, &arrivals) {
            let name = format!("arrived_{}", arrived.len());
            let relation = match opened.spec.mapped {
                Some(_) => mapped(&format!("({relation})")),
                None => relation,
            };
            ctes.push((name.clone(), relation));
            arrived.push(name);
        }
    }
    let text = Text::for_spark(&opened.spec);
    let params = text.window_params(&reading);
    ctes.push(("staged".to_owned(), bind(&text.staged(&reading, &arrived), &params, Dialect::Spark)));
    ctes.push(("ranked".to_owned(), text.ranked()));
    let dedupe_counts = with(&ctes, &text.dedupe_counts());
    ctes.push(("deduped".to_owned(), text.deduped()));
    ctes.push(("located".to_owned(), text.located(target)));
    ctes.push(("compared".to_owned(), text.compared("located", target)));
    let classify = with(&ctes, &text.classified());
    ctes.push(("classified".to_owned(), text.classified()));
    let settings = vec!["SET TIME ZONE 'UTC'".to_owned(), "SET spark.sql.ansi.enabled = true".to_owned()];
    let merge = merge(&opened.spec, target, &ctes, &id);
    Ok(SparkSql { settings, classify, dedupe_counts, merge })
}

/// A table as a statement names it: by its name, or by its path where two share the name.
fn relation(pipeline: &Pipeline, location: &Location) -> String {
    if pipeline.called(location) == location.name() {
        Ident(location.name()).to_string()
    } else {
        format!("delta.{}", Ident(location.as_str()))
    }
}

/// Rows that arrived since the last load, by the files that they arrived in.
fn arrived_relations(source: &str, arrivals: &Arrivals) -> Vec<String> {
    let mut relations = Vec::new();
    if !arrivals.active.is_empty() {
        relations.push(format!("SELECT * FROM {source} WHERE {}", lies_in(&arrivals.active)));
    }
    for (version, files) in &arrivals.compacted {
        relations.push(format!("SELECT * FROM {source} VERSION AS OF {version} WHERE {}", lies_in(files)));
    }
    relations
}

/// That a row lies in one of the files. In folders, several files may have one name, and their paths are encoded:
/// in Spark's way here, and in any way in the log.
fn lies_in(files: &[FileId]) -> String {
    let texts = |prefix: &str| {
        let texts =
            files.iter().map(|file| Literal::text(format!("{prefix}{}", file.as_str())).sql(Dialect::Spark));
        texts.collect::<Vec<_>>().join(", ")
    };
    if files.iter().all(|file| !file.as_str().contains(['/', '%'])) {
        return format!("_metadata.file_name IN ({})", texts(""));
    }
    format!("exists(array({}), f -> endswith(url_decode(_metadata.file_path), url_decode(f)))", texts("/"))
}

fn with(ctes: &[(String, String)], query: &str) -> String {
    let parts: Vec<String> =
        ctes.iter().map(|(name, sql)| format!("{name} AS (\n  {}\n)", sql.replace('\n', "\n  "))).collect();
    format!("WITH {}\n{query}", parts.join(",\n"))
}

fn merge(spec: &LoadSpec, target: &str, ctes: &[(String, String)], batch_id: &str) -> String {
    let load_columns = &spec.rules.load_columns;
    let loaded: Vec<&str> = spec.columns.iter().map(|column| column.name.as_str()).collect();
    let mut select: Vec<String> = loaded.iter().map(|name| Ident(name).to_string()).collect();
    select.push(format!("{} AS {}", Ident(HASH), Ident(&load_columns.row_hash)));
    select.push(format!(
        "{} AS {}",
        Literal::text(batch_id).sql(Dialect::Spark),
        Ident(&load_columns.batch_id)
    ));
    select.push(format!("current_timestamp() AS {}", Ident(&load_columns.loaded_at)));
    let written =
        format!("SELECT {} FROM classified WHERE `__hw_class` IN ('inserted', 'updated')", select.join(", "));
    let names: Vec<&str> = loaded.into_iter().chain(load_columns.names()).collect();
    let set: Vec<String> =
        names.iter().map(|name| format!("{} = {}", column("t", name), column("s", name))).collect();
    let insert: Vec<String> = names.iter().map(|name| Ident(name).to_string()).collect();
    let values: Vec<String> = names.iter().map(|name| column("s", name)).collect();
    format!(
        "MERGE INTO {target} AS t\nUSING (\n  {}\n) AS s\nON {}\nWHEN MATCHED AND {} THEN UPDATE SET\n  {}\n\
         WHEN NOT MATCHED THEN INSERT ({})\n  VALUES ({})",
        with(ctes, &written).replace('\n', "\n  "),
        Text::for_spark(spec).on_key("t", "s"),
        guard(spec),
        set.join(",\n  "),
        insert.join(", "),
        values.join(", ")
    )
}

fn guard(spec: &LoadSpec) -> String {
    let text = Text::for_spark(spec);
    let (source, target) = (text.version("s"), text.version("t"));
    let newer = format!("({source} > {target} OR {target} IS NULL)");
    if spec.rules.on_tie != OnTie::ReplaceIfDifferent {
        return newer;
    }
    let hash = &spec.rules.load_columns.row_hash;
    let differs = format!("NOT COALESCE({} = {}, FALSE)", column("s", hash), column("t", hash));
    format!("({newer} OR ({source} = {target} AND {differs}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_in_two_folders_are_told_apart() {
        let plain = [FileId::new("a.parquet"), FileId::new("b.parquet")];
        assert_eq!(lies_in(&plain), "_metadata.file_name IN ('a.parquet', 'b.parquet')");
        let folders = [FileId::new("c=x/a.parquet"), FileId::new("c=Z%C3%BC/a.parquet")];
        assert_eq!(
            lies_in(&folders),
            "exists(array('/c=x/a.parquet', '/c=Z%C3%BC/a.parquet'), f -> endswith(url_decode(_metadata.file_path), \
             url_decode(f)))"
        );
    }
}
