//! Fifty cases on real tables: three loads each, with more in staging each time, so that they meet what others left in
//! the target, the quarantine and the audit table.

use chrono::{Days, NaiveDate};
use futures::{StreamExt as _, TryStreamExt as _};
use highwater::config::{Late, OnTie, Overrides};
use highwater::context;
use highwater::hooks::Hooks;
use highwater::model::Counts;
use highwater::plan::Accepted;
use highwater::run::{Ending, Report, run};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::{Map, Value, json};

use super::case::{AS_OF, Column, Config, Delivered, Held, Reading, Row, assert_balanced, day, lines};
use super::demand::{DIMENSION, Demand, number};
use super::generate::{checks, config, row, target, taste};
use super::oracle::{Entries, Entry, Judged, Taken, loaded, settle, taken};
use crate::common::{Lab, STRATEGIES, clock, seed, seed_of, setting};

const STAGING: &str = "CREATE TABLE src (a BIGINT, b STRING, day DATE, v TIMESTAMP, n INT, s STRING, seq INT, \
                       file STRING) USING DELTA";
const DIMENSION_DDL: &str = "CREATE TABLE dim (k BIGINT) USING DELTA";

/// What has to stand in the tables.
struct World {
    lab: Lab,
    config: Config,
    staging: Vec<Delivered>,
    target: Vec<Held>,
    entries: Entries,
    /// Deduped rows that its checks examined, own watermark, and first day, of each load.
    loads: Vec<(i64, Option<NaiveDate>, NaiveDate)>,
}

fn target_ddl(config: &Config) -> String {
    let is_filled = |column: Column| config.key.contains(&column) && !config.key.nulls_match;
    let filled = |column: Column| if is_filled(column) { " NOT NULL" } else { "" };
    let names =
        |columns: &[Column]| columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
    let partitioned = if config.partitions.is_empty() {
        String::new()
    } else {
        format!("PARTITIONED BY ({}) ", names(&config.partitions))
    };
    format!(
        "CREATE TABLE tgt (a BIGINT{}, b STRING{}, day DATE, v TIMESTAMP, n BIGINT{}, s STRING, \
         load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING{}) {partitioned}USING DELTA",
        filled(Column::A),
        filled(Column::B),
        if config.strict { " NOT NULL" } else { "" },
        if config.key.nulls_match {
            String::new()
        } else {
            format!(", PRIMARY KEY ({})", names(&config.key))
        },
    )
}

/// The pipeline file; JSON is YAML.
fn pipeline(config: &Config) -> String {
    let names = |columns: &[Column]| columns.iter().map(|column| column.name()).collect::<Vec<_>>();
    let mut columns: Map<String, Value> = Map::new();
    for spec in &config.checks {
        if let Some(column) = spec.demand.column() {
            let declared = columns.entry(column.name()).or_insert_with(|| json!({"checks": []}));
            declared["checks"].as_array_mut().unwrap().push(spec.item());
        }
    }
    let of_table = config.checks.iter().filter(|spec| spec.demand.column().is_none());
    let late = if config.late == Late::Load { "load" } else { "skip" };
    let mut incremental = json!({"mode": if config.window { "window" } else { "changes" }, "late": late, "initial": "lookback"});
    if config.dated {
        incremental["column"] = json!("day");
    }
    let breaker = |descending: bool| format!("seq {}", if descending { "desc" } else { "asc" });
    let file = json!({
        "name": "classes",
        "source": {"table": "src", "ddl": "src.sql", "lineage": ["seq", "file"]},
        "target": {"table": "tgt", "ddl": "tgt.sql"},
        "unique_key": names(&config.key),
        "null_keys": if config.key.nulls_match { "match" } else { "reject" },
        "tie_breakers": config.breaker.map(breaker).into_iter().collect::<Vec<_>>(),
        "on_tie": match config.on_tie {
            OnTie::Keep => "keep",
            OnTie::ReplaceIfDifferent => "replace_if_different",
            OnTie::Fail => "fail",
        },
        "as_of": day(AS_OF).to_string(),
        "incremental": incremental,
        "dimensions": {"dim": {"table": "dim", "ddl": "dim.sql"}},
        "columns": columns,
        "checks": of_table.map(super::demand::Spec::item).collect::<Vec<_>>(),
        "merge": {"partitions_per_commit": config.partitions_per_commit},
    });
    let mut file = file;
    if config.has_sequence() {
        file["sequence_by"] = json!(["v", "n"]);
    } else {
        file["updated_at"] = json!("v");
    }
    format!("{file:#}\n")
}

impl World {
    async fn new(random: &mut Pcg64) -> Self {
        let mut config = config(random);
        config.checks = checks(random, &config);
        for spec in &mut config.checks {
            // Staging is made from the very file that is its contract.
            if let Demand::Schema(agrees) = &mut spec.demand {
                *agrees = true;
            }
        }
        // A pipeline file lists what is declared at columns first.
        config.checks.sort_by_key(|spec| (spec.demand.column().is_none(), spec.demand.column()));
        let (tgt, file) = (target_ddl(&config), pipeline(&config));
        let lab = Lab::custom(&file, &[("src", STAGING), ("tgt", &tgt), ("dim", DIMENSION_DDL)]);
        let lab = lab.written_by(STRATEGIES[random.random_range(0..STRATEGIES.len())]);
        let dimension = DIMENSION.into_iter().map(|k| json!({"k": k}).as_object().cloned().unwrap());
        lab.append("dim", &lines(dimension)).await;
        let (staging, target) = (Vec::new(), Vec::new());
        Self { lab, config, staging, target, entries: Entries::new(), loads: Vec::new() }
    }

    /// A person discards some of the open entries.
    fn discard(&mut self) {
        let mut discarded = 0;
        for entry in self.entries.values_mut().filter(|entry| entry.status == "open") {
            if entry.row.n.is_some_and(|n| n > 1) {
                entry.status = "discarded";
                discarded += 1;
            }
        }
        let (status, document) =
            self.lab.json(&["quarantine", "discard", "--where", "n > 1", "--reason", "no use"]);
        assert_eq!((status, &document["discarded"]), (Some(0), &json!(discarded)), "{document:#}");
    }

    /// More rows in staging.
    async fn deliver(&mut self, random: &mut Pcg64) {
        let taste = taste(random);
        let mut rows: Vec<Row> = self.staging.iter().map(|delivered| delivered.row.clone()).collect();
        let known = rows.len();
        for _ in 0..random.random_range(1..12) {
            rows.push(row(random, &self.config, taste, &rows));
        }
        let new = rows.split_off(known);
        self.lab.append("src", &lines(new.iter().map(Row::whole))).await;
        self.staging.extend(new.into_iter().map(|row| Delivered { row, arrived: true }));
    }

    /// What another tool wrote to the target before the first load.
    async fn fill_target(&mut self, random: &mut Pcg64) {
        let staged: Vec<Row> =
            self.staging.iter().map(|delivered| self.config.taken(&delivered.row)).collect();
        let mut target = target(random, &self.config, &staged);
        target.retain(|held| super::demand::key_of(&held.row, &self.config.key).is_some());
        if !target.is_empty() {
            self.lab.append("tgt", &lines(target.iter().map(Held::fields))).await;
        }
        self.target = target;
    }

    /// Which rows the load as of `as_of` reads.
    fn reading(&self, as_of: NaiveDate) -> Reading {
        let first = as_of - Days::new(7);
        let from = match self.loads.last() {
            // A load that stored no watermark is read again from where it began.
            Some((_, own, began)) => own.unwrap_or(*began).min(first),
            None => first,
        };
        let is_first = self.loads.is_empty();
        Reading { as_of, from: self.config.window.then_some(from), anchored: !is_first, first: is_first }
    }

    /// Loads as of `as_of`, and holds everything that is told or written against the oracle.
    async fn load(&mut self, as_of: NaiveDate) -> Judged {
        let reading = self.reading(as_of);
        let Taken { rows: staged, memos } = taken(&self.config, &self.staging, reading);
        let history = self.loads.iter().map(|(deduped, ..)| *deduped).collect();
        let judged = settle(&self.config, &staged, &self.target, &self.entries, &history, as_of);
        let report = self.run().await;
        let ending = if judged.rejected { Ending::Rejected } else { Ending::Loaded };
        let found: Vec<_> = report
            .checks
            .iter()
            .map(|check| (check.name.clone(), check.examined, check.failed, check.verdict.as_str()))
            .collect();
        assert_eq!(found, judged.found, "{:?}", report.reason);
        assert_eq!(report.ending, ending, "{:?}", report.reason);
        assert_balanced(&report.counts);
        assert_eq!(report.counts, judged.counts);
        let told = report.memos;
        assert_eq!((told.late, told.future, told.history), memos);
        assert_eq!((report.memos.ties, report.dq_errors), (judged.ties, judged.dq_errors));
        self.note_entries(&judged);
        if !judged.rejected {
            self.target = loaded(&self.config, std::mem::take(&mut self.target), &judged);
            let newest = judged.let_through.iter().filter_map(|gated| gated.row.day).max();
            let own = newest.map(|newest| newest.min(as_of) - Days::new(1));
            let own = own.or(self.loads.last().and_then(|(_, own, _)| *own));
            for delivered in &mut self.staging {
                delivered.arrived = false;
            }
            let began = reading.from.unwrap_or(as_of);
            self.loads.push((judged.examined, own.filter(|_| self.config.dated), began));
        }
        self.assert_tables(&report, &judged).await;
        judged
    }

    async fn run(&self) -> Report {
        let (pipeline, origins) = context::load(&self.lab.config(), &Overrides::default()).await.unwrap();
        let mut opened = context::open(pipeline, origins).await.unwrap();
        run(&mut opened, clock(), &Hooks::default(), Accepted::default()).await.unwrap()
    }

    /// Rows that are kept out become entries, and entries whose rows pass are closed.
    fn note_entries(&mut self, judged: &Judged) {
        for row in &judged.kept {
            let new = || Entry { row: row.clone(), status: "open", by_load: false };
            let entry = self.entries.entry((row.v, row.hash())).or_insert_with(new);
            entry.status = "open";
            entry.by_load |= !judged.rejected;
        }
        if judged.rejected {
            return;
        }
        for gated in &judged.let_through {
            let passes = matches!(gated.class, "inserted" | "updated" | "unchanged");
            if let Some(entry) = self.entries.get_mut(&(gated.row.v, gated.row.hash()))
                && passes
                && entry.status == "open"
            {
                entry.status = "replayed";
            }
        }
    }

    async fn assert_tables(&self, report: &Report, judged: &Judged) {
        let target = self.target.iter().map(|held| Value::Object(held.fields()).to_string());
        assert_eq!(self.rows("tgt", &["row_hash"]).await, sorted(target), "the target");
        let entries = self.entries.iter().map(|((_, hash), entry)| {
            let mut fields = entry.row.loaded();
            fields.insert("dq_row_hash".to_owned(), json!(hash));
            fields.insert("dq_status".to_owned(), json!(entry.status));
            Value::Object(fields).to_string()
        });
        assert_eq!(
            self.rows("tgt_bad", &["dq_row_hash", "dq_status"]).await,
            sorted(entries),
            "the quarantine"
        );

        let audit = self.lab.rows("loads_audit").await;
        let audit: Vec<Value> = audit.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let audit = audit.iter().find(|line| line["batch_id"] == report.batch_id.as_str()).unwrap();
        for (class, rows) in judged.counts.named() {
            assert_eq!(audit[format!("{class}_rows")], rows, "{class} in the audit table");
        }
        let status = if judged.rejected { "rejected" } else { "loaded" };
        assert_eq!((&audit["status"], &audit["dq_errors"]), (&json!(status), &json!(judged.dq_errors)));
        let ties = ["in_batch", "kept", "replaced"].map(|name| audit[format!("ties_{name}_rows")].clone());
        assert_eq!(ties, [judged.ties.in_batch, judged.ties.kept, judged.ties.replaced].map(Value::from));
    }

    /// What is loaded of a table's rows, and further columns, as sorted lines.
    async fn rows(&self, table: &str, further: &[&str]) -> Vec<String> {
        let columns = ["a", "b", "day", "v", "n", "s"];
        let lines = self.lab.rows(table).await;
        sorted(lines.iter().map(|line| {
            let fields: Map<String, Value> = serde_json::from_str(line).unwrap();
            let find = |name: &&str| Some((name.to_string(), fields.get(*name)?.clone()));
            let shown = columns.iter().chain(further).filter_map(find);
            Value::Object(shown.filter(|(_, value)| !value.is_null()).collect()).to_string()
        }))
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// Three loads; the counts of the first and of the others, and how many rows stayed out that were judged before.
async fn three_loads(seed: u64) -> (Counts, Counts, i64) {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut world = World::new(&mut random).await;
    world.deliver(&mut random).await;
    world.fill_target(&mut random).await;
    let first = Box::pin(world.load(day(AS_OF))).await;
    let (mut counts, mut met) = (Counts::default(), 0);
    for next in [AS_OF + 1, AS_OF + 2] {
        world.deliver(&mut random).await;
        if random.random_range(0..3) == 0 {
            world.discard();
        }
        let as_of = |number| format!("\"as_of\": \"{}\"", day(number));
        world.lab.edit(&as_of(next - 1), &as_of(next));
        let judged = Box::pin(world.load(day(next))).await;
        counts = counts + judged.counts;
        met += judged.known_out.len();
    }
    (first.counts, counts, number(met))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_staged_row_of_three_loads_in_a_row_is_in_exactly_one_class_and_every_table_says_so() {
    let (cases, seed) = (setting("HIGHWATER_CLASSES_TABLES", 50), seed());
    let loads = (0..cases).map(|case| async move {
        let own = seed_of(seed, case);
        let told = format!("this case alone: HIGHWATER_SEED={own} HIGHWATER_CLASSES_TABLES=1");
        tokio::spawn(three_loads(own)).await.map_err(|_| told)
    });
    let loads: Result<Vec<_>, String> = futures::stream::iter(loads).buffer_unordered(2).try_collect().await;
    let loads = loads.unwrap();
    let sum =
        |counts: &mut dyn Iterator<Item = Counts>| counts.fold(Counts::default(), |sum, counts| sum + counts);
    let first = sum(&mut loads.iter().map(|(first, ..)| *first));
    let second = sum(&mut loads.iter().map(|(_, second, _)| *second));
    let met = loads.iter().map(|(.., met)| met).sum::<i64>();
    println!("{first:?}\n{second:?}\n{met} rows judged before");
    if cases >= 50 {
        // Those that are the same in each run see to it.
        for (class, rows) in (first + second).named().into_iter().filter(|(class, _)| *class != "deleted") {
            assert!(rows > 0, "no row was {class}");
        }
        assert!(met > 0, "no row stayed out that was judged before");
    }
}
