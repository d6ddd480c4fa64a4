//! Batches of many files and partitions: what becomes of their rows is the same in every run, whatever the number of
//! threads and the order of files, and is what plain Rust makes of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use highwater::engine::sql::Params;
use highwater::engine::{Engine, Rows};
use highwater::hooks::Hooks;
use highwater::lake::Table;
use highwater::model::{Counts, Ties};
use highwater::plan::Accepted;
use highwater::plan::window::ReadPlan;
use highwater::run::{Report, run};
use highwater::stages::dedupe::dedupe;
use highwater::stages::read::read;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};

use crate::common::{Lab, STRATEGIES, clock, seed, setting};

const PIPELINE: &str = "name: volume\nsource: {table: src, ddl: src.sql, lineage: [file]}\n\
    target: {table: tgt, ddl: tgt.sql}\nunique_key: k\nupdated_at: u\ntie_breakers: [seq desc]\n\
    incremental: {mode: changes}\nas_of: 2025-09-01\n\
    columns: {x: {checks: [{accepted_values: {values: [fine, good], action: quarantine}}]}}\n";
const DDL: [(&str, &str); 2] = [
    (
        "src",
        "CREATE TABLE src (k BIGINT, d DATE, u TIMESTAMP, v STRING, x STRING, seq BIGINT, file STRING) \
         USING DELTA PARTITIONED BY (file)",
    ),
    (
        "tgt",
        "CREATE TABLE tgt (k BIGINT NOT NULL, d DATE, u TIMESTAMP, v STRING, load_batch_id STRING, \
         loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (k)) USING DELTA PARTITIONED BY (d)",
    ),
];

/// A row of staging. `x`, `seq` and `file` are not loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    k: i64,
    d: i32,
    u: i64,
    v: Option<String>,
    x: Option<String>,
    seq: Option<i64>,
    file: Option<String>,
}

type Hash = [u8; 32];

impl Row {
    fn hash(&self) -> Hash {
        let day = Date32Type::to_naive_date_opt(self.d).unwrap();
        let v = self.v.as_ref().map_or_else(|| "n".to_owned(), |v| format!("s{}:{v}", v.len()));
        Sha256::digest(format!("i{}:{}D10:{day}{v}", self.k.to_string().len(), self.k)).into()
    }

    fn is_kept_out(&self) -> bool {
        self.x.as_deref().is_some_and(|x| !["fine", "good"].contains(&x))
    }
}

fn text(random: &mut Pcg64, values: &[Option<&str>]) -> Option<String> {
    values[random.random_range(0..values.len())].map(str::to_owned)
}

/// Rows of few keys and few values, so that copies, older versions and ties are many.
fn first_rows(random: &mut Pcg64, rows: usize) -> Vec<Row> {
    let keys = i64::try_from(rows / 4).unwrap();
    let mut drawn: Vec<Row> = Vec::with_capacity(rows);
    while drawn.len() < rows {
        if !drawn.is_empty() && random.random_range(0..5) == 0 {
            let again = drawn[random.random_range(0..drawn.len())].clone();
            let x = if random.random_range(0..3) == 0 { row_x(random) } else { again.x.clone() };
            drawn.push(Row { x, ..again });
        } else {
            let (k, u) = (random.random_range(0..keys), random.random_range(1..4) * 1_000_000);
            drawn.push(row(random, k, u));
        }
    }
    drawn
}

fn row_x(random: &mut Pcg64) -> Option<String> {
    text(random, &[None, Some("fine"), Some("good"), Some("good"), Some("bad"), Some("worse")])
}

fn row(random: &mut Pcg64, k: i64, u: i64) -> Row {
    Row {
        k,
        d: 20_300 + random.random_range(0..30),
        u,
        v: text(random, &[None, Some(""), Some("a"), Some("ü")]),
        x: row_x(random),
        seq: [None, Some(1), Some(2)][random.random_range(0..3)],
        file: text(random, &[None, Some("f1"), Some("f2")]),
    }
}

/// Rows that meet what the target holds, in every way, and new ones.
fn second_rows(random: &mut Pcg64, target: &BTreeMap<i64, Row>, rows: usize) -> Vec<Row> {
    let held: Vec<&Row> = target.values().collect();
    let new = i64::try_from(rows).unwrap();
    (0..rows)
        .map(|_| {
            let met = held[random.random_range(0..held.len())];
            let same = Row { x: Some("good".to_owned()), ..met.clone() };
            match random.random_range(0..6) {
                0 => same,
                1 => Row { v: Some("tied".to_owned()), ..same },
                2 => Row { u: met.u - 1, ..row(random, met.k, 0) },
                3 | 4 => {
                    let u = met.u + random.random_range(1..3) * 1_000_000;
                    row(random, met.k, u)
                }
                _ => {
                    let k = new * 10 + random.random_range(0..new);
                    row(random, k, 5_000_000)
                }
            }
        })
        .collect()
}

/// What has to become of a batch.
struct Expected {
    counts: Counts,
    ties: Ties,
    /// The latest row of each key.
    winners: Vec<Row>,
}

/// Splits and classifies rows in plain Rust, and loads them into `target`.
fn settle(rows: &[Row], target: &mut BTreeMap<i64, Row>) -> Expected {
    let mut keys: BTreeMap<i64, Vec<(Hash, &Row)>> = BTreeMap::new();
    for row in rows {
        keys.entry(row.k).or_default().push((row.hash(), row));
    }
    let (mut counts, mut ties, mut winners) = (Counts::default(), Ties::default(), Vec::new());
    for rows in keys.values_mut() {
        // Highest first; NULL is last.
        rows.sort_by_key(|(hash, row)| Reverse((row.u, row.seq, &row.file, *hash, &row.x)));
        let mut seen: BTreeSet<(i64, Hash)> = BTreeSet::new();
        let (top, newest) = rows[0];
        for (place, (hash, row)) in rows.iter().enumerate() {
            let is_copy = !seen.insert((row.u, *hash));
            counts.duplicate += i64::from(is_copy);
            counts.superseded += i64::from(!is_copy && place > 0);
            ties.in_batch += i64::from(!is_copy && place > 0 && row.u == newest.u);
        }
        winners.push(newest.clone());
        let (class, writes) = match target.get(&newest.k) {
            None => (&mut counts.inserted, true),
            Some(held) if newest.u > held.u => (&mut counts.updated, true),
            Some(held) if newest.u < held.u => (&mut counts.stale, false),
            Some(held) if held.hash() == top => (&mut counts.unchanged, false),
            Some(_) => {
                ties.kept += 1;
                (&mut counts.tied, false)
            }
        };
        if !writes || !newest.is_kept_out() {
            *class += 1;
        } else {
            counts.quarantined += 1;
        }
        if writes && !newest.is_kept_out() {
            target.insert(newest.k, newest.clone());
        }
    }
    counts.staged = i64::try_from(rows.len()).unwrap();
    counts.deduped = i64::try_from(keys.len()).unwrap();
    Expected { counts, ties, winners }
}

fn batch(table: &Table, rows: &[Row]) -> RecordBatch {
    let texts = |of: fn(&Row) -> &Option<String>| -> ArrayRef {
        std::sync::Arc::new(rows.iter().map(|row| of(row).clone()).collect::<StringArray>())
    };
    let u = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.u)).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 7] = [
        ("k", std::sync::Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.k)))),
        ("d", std::sync::Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.d)))),
        ("u", std::sync::Arc::new(u)),
        ("v", texts(|row| &row.v)),
        ("x", texts(|row| &row.x)),
        ("seq", std::sync::Arc::new(rows.iter().map(|row| row.seq).collect::<Int64Array>())),
        ("file", texts(|row| &row.file)),
    ];
    let schema = table.arrow_schema().unwrap();
    let found = schema.fields().iter().map(|field| {
        let (_, values) = columns.iter().find(|(name, _)| name == field.name()).unwrap();
        cast(values, field.data_type()).unwrap()
    });
    let found = found.collect();
    RecordBatch::try_new(schema, found).unwrap()
}

/// Appends rows to staging, in as many files as `parts` times what `file` holds.
async fn deliver(lab: &Lab, rows: &[Row], parts: usize) {
    for part in rows.chunks(rows.len().div_ceil(parts)) {
        let table = lab.table("src").await;
        table.append_foreign(vec![batch(&table, part)]).await.unwrap();
    }
}

/// What is loaded of rows, by key.
fn loaded(rows: &Rows) -> Vec<(i64, i32, i64, Option<String>)> {
    let mut found = Vec::new();
    for batch in &rows.batches {
        let (k, d) = (batch["k"].as_primitive::<Int64Type>(), batch["d"].as_primitive::<Date32Type>());
        let u = batch["u"].as_primitive::<TimestampMicrosecondType>();
        let v = texts(&batch["v"]);
        for (at, v) in v.into_iter().enumerate() {
            found.push((k.value(at), d.value(at), u.value(at), v));
        }
    }
    found.sort();
    found
}

fn texts(column: &dyn Array) -> Vec<Option<String>> {
    let plain = cast(column, &DataType::Utf8).unwrap();
    plain.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn of_rows<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Vec<(i64, i32, i64, Option<String>)> {
    let mut lines: Vec<_> = rows.into_iter().map(|row| (row.k, row.d, row.u, row.v.clone())).collect();
    lines.sort();
    lines
}

/// The rows of a batch in another order, in pieces of another size.
fn reordered(rows: &Rows, random: &mut Pcg64) -> Rows {
    let mut batches = Vec::new();
    for batch in &rows.batches {
        let mut from = 0;
        while from < batch.num_rows() {
            let length = random.random_range(1..9_000).min(batch.num_rows() - from);
            batches.push(batch.slice(from, length));
            from += length;
        }
    }
    batches.shuffle(random);
    Rows { schema: rows.schema.clone(), batches }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_dedupes_of_200_000_rows_in_any_order_on_any_number_of_threads_split_them_alike() {
    let (rows, runs) = (setting("HIGHWATER_DEDUPE_ROWS", 200_000), setting("HIGHWATER_DEDUPES", 10));
    let mut random = Pcg64::seed_from_u64(seed());
    let rows = first_rows(&mut random, usize::try_from(rows).unwrap());
    let expected = settle(&rows, &mut BTreeMap::new());
    assert!(expected.counts.duplicate > 1_000 && expected.ties.in_batch > 1_000, "{:?}", expected.counts);
    let lab = Lab::custom(PIPELINE, &DDL);
    deliver(&lab, &rows, 7).await;
    let mut opened = lab.opened().await;
    let spec = opened.spec.clone();
    let (all, staging) = (ReadPlan::everything(), opened.staging().unwrap().clone());
    let staged = read(&opened.engine, &spec, &all, &staging).await.unwrap().rows;
    let staged = staged.each().next().unwrap().unwrap();
    let not_loaded: HashMap<i64, &Row> = expected.winners.iter().map(|row| (row.k, row)).collect();
    for run in 0..runs {
        let threads = [1, 2, 3, 8][usize::try_from(run).unwrap() % 4];
        let mut engine = Engine::with_threads(1 << 30, Some(threads));
        if run % 2 == 1 {
            engine = engine.with_slices_of(1 << random.random_range(14..24));
        }
        let frame = engine.frame(&reordered(&staged, &mut random)).unwrap();
        let cut = engine.collect_cut(frame, &spec.rules.unique_key).await.unwrap();
        let deduped = dedupe(&engine, &spec, cut, 0).await.unwrap();
        let (counts, ties) = (deduped.counts, deduped.ties);
        let found = [counts.staged, counts.duplicate, counts.superseded, counts.deduped, ties];
        let wanted = expected.counts;
        let wanted =
            [wanted.staged, wanted.duplicate, wanted.superseded, wanted.deduped, expected.ties.in_batch];
        assert_eq!(found, wanted, "on {threads} threads");
        let winners = deduped.rows.batches().map(Result::unwrap).collect::<Vec<_>>();
        let winners = Rows { schema: deduped.rows.schema().clone(), batches: winners };
        assert_eq!(loaded(&winners), of_rows(&expected.winners), "on {threads} threads");
        for batch in &winners.batches {
            let k = batch["k"].as_primitive::<Int64Type>();
            for (at, x) in texts(&batch["x"]).into_iter().enumerate() {
                assert_eq!(x, not_loaded[&k.value(at)].x, "of key {}, on {threads} threads", k.value(at));
            }
        }
    }
}

/// One load of a pipeline on so many threads.
async fn load(lab: &Lab, threads: usize) -> Report {
    let mut opened = lab.opened().await;
    opened.engine = Engine::with_threads(1 << 30, Some(threads));
    if threads.is_multiple_of(2) {
        // Cut by key, where the other is in one piece.
        opened.engine = opened.engine.with_slices_of(256 << 10);
    }
    run(&mut opened, clock(), &Hooks::default(), Accepted::default()).await.unwrap()
}

async fn assert_target(lab: &Lab, target: &BTreeMap<i64, Row>) {
    let engine = Engine::new(1 << 30);
    let _known = engine.register("t", lab.table("tgt").await.rows(&engine.state()).await.unwrap()).unwrap();
    let found = engine.rows("SELECT k, d, u, v FROM t", &Params::new()).await.unwrap();
    assert_eq!(loaded(&found), of_rows(target.values()));
}

/// Two loads, on copies of the same tables with other numbers of threads and other strategies: all that is told or written is equal, and
/// what plain Rust makes of the rows.
async fn two_loads(seed: u64, rows: usize, threads: &[usize]) {
    let mut random = Pcg64::seed_from_u64(seed);
    let lab = Lab::custom(PIPELINE, &DDL);
    let first = first_rows(&mut random, rows);
    deliver(&lab, &first, random.random_range(3..9)).await;
    // By all strategies in turns: they differ in files, and in nothing else.
    let strategies = STRATEGIES.into_iter().cycle();
    let copies: Vec<Lab> =
        threads.iter().zip(strategies).map(|(_, strategy)| lab.copy().written_by(strategy)).collect();
    let mut target = BTreeMap::new();
    let mut expected = settle(&first, &mut target);
    let mut second = second_rows(&mut random, &target, rows / 4);
    second.shuffle(&mut random);
    for round in 0..2 {
        if round == 1 {
            expected = settle(&second, &mut target);
            let classes = expected.counts.named();
            for (class, rows) in
                classes.into_iter().filter(|(class, _)| !["rejected", "deleted"].contains(class))
            {
                assert!(rows > 0, "no row is {class}");
            }
            // One commit, so that each copy's staging has the same versions; its file names differ, which no result may
            // depend on.
            for copy in &copies {
                copy.edit("as_of: 2025-09-01", "as_of: 2025-09-02");
                deliver(copy, &second, 3).await;
            }
        }
        let mut told = BTreeSet::new();
        let mut written = BTreeSet::new();
        for (copy, threads) in copies.iter().zip(threads) {
            let report = load(copy, *threads).await;
            assert_eq!(report.counts, expected.counts, "seed {seed}, load {round}, on {threads} threads");
            assert_eq!(report.memos.ties, expected.ties, "seed {seed}, load {round}, on {threads} threads");
            told.insert(format!("{} {:?} {:?}", report.batch_id, report.dq_errors, report.checks));
            assert_target(copy, &target).await;
            let mut state = copy.state().await;
            state.remove("src");
            written.insert(state);
        }
        assert_eq!((told.len(), written.len()), (1, 1), "seed {seed}, load {round}: {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_loads_of_the_same_rows_leave_equal_tables_and_reports_on_any_number_of_threads() {
    let rows = usize::try_from(setting("HIGHWATER_LOADED_ROWS", 60_000)).unwrap();
    Box::pin(two_loads(seed(), rows, &[1, 2, 3, 8, 1, 2, 3, 8, 5, 7])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_of_many_files_and_partitions_are_equal_on_any_number_of_threads_and_as_plain_rust_has_them() {
    let (cases, rows) = (setting("HIGHWATER_VOLUME", 2), setting("HIGHWATER_VOLUME_ROWS", 20_000));
    let seed = seed();
    for case in 0..cases {
        let own = seed.wrapping_add(case);
        let rows = Pcg64::seed_from_u64(own).random_range(10_000..=usize::try_from(rows).unwrap());
        println!("this case alone: HIGHWATER_SEED={own} HIGHWATER_VOLUME=1");
        Box::pin(two_loads(own, rows, &[1, 2, 7])).await;
    }
}
