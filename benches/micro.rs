//! The parts of a load that are made of computing, each on its own: `cargo bench --bench micro`.
//!
//! The rows are those of the demo: a target of a million orders, and the day's staging with its copies, corrections and
//! stale versions. `HIGHWATER_MICRO_ORDERS` makes another size.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::sync::OnceLock;

use divan::Bencher;
use highwater::config::Overrides;
use highwater::context::{self, PipelineContext};
use highwater::demo::{DemoOptions, write_demo};
use highwater::engine::Slices;
use highwater::engine::sql::Params;
use highwater::hooks::Hooks;
use highwater::model::Clock;
use highwater::plan::window::{ReadPlan, plan_reading};
use highwater::plan::{Accepted, Intent, Ledger, Observation, Request, Rules, decide};
use highwater::protocol::{Observer, Wanted};
use highwater::run::run;
use highwater::stages::dedupe::{Deduped, dedupe};
use highwater::stages::locate::{locate, locate_in};
use highwater::stages::read::read;
use highwater::stages::text::{HASH, Text};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The logical date.
const AS_OF: &str = "2025-09-01";

fn main() {
    divan::main();
}

/// The demo's tables, opened, and its batch up to each step.
struct Prepared {
    runtime: Runtime,
    opened: PipelineContext,
    reading: ReadPlan,
    staged: Slices,
    deduped: Deduped,
    _folder: TempDir,
}

fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let folder = TempDir::new().unwrap();
        let orders = std::env::var("HIGHWATER_MICRO_ORDERS").map_or(1_000_000, |text| text.parse().unwrap());
        let as_of = AS_OF.parse().unwrap();
        let (opened, reading, staged, deduped) = runtime.block_on(async {
            let mut opened = demo(&folder, orders).await;
            let seen = look(&mut opened).await;
            let (rules, ledger) = (Rules::of(&opened.pipeline), Ledger::new(&seen.rows));
            let reading = plan_reading(&rules.incremental, as_of, &ledger, &seen.inputs[0]);
            let staging = opened.tables.staging.as_ref().unwrap();
            let staged = read(&opened.engine, &opened.spec, &reading, staging).await.unwrap().rows;
            let deduped = dedupe(&opened.engine, &opened.spec, staged.clone(), 0).await.unwrap();
            (opened, reading, staged, deduped)
        });
        Prepared { runtime, opened, reading, staged, deduped, _folder: folder }
    })
}

async fn demo(folder: &TempDir, orders: u64) -> PipelineContext {
    let options = DemoOptions { orders: Some(orders), seed: 1, as_of: AS_OF.parse().unwrap(), tables: None };
    write_demo(folder.path(), options).await.unwrap();
    let file = folder.path().join("orders.yaml");
    let (pipeline, origins) = context::load(&file, &Overrides::default()).await.unwrap();
    context::open(pipeline, origins).await.unwrap()
}

async fn look(opened: &mut PipelineContext) -> Observation {
    let mut observer = Observer::new(&opened.pipeline.name);
    observer.observe(&opened.engine, &mut opened.tables, Wanted::default()).await.unwrap()
}

/// Read staging.
#[divan::bench(sample_count = 10)]
fn read_rows(bencher: Bencher<'_, '_>) {
    let Prepared { runtime, opened, reading, .. } = prepared();
    let staging = opened.tables.staging.as_ref().unwrap();
    bencher.bench(|| runtime.block_on(read(&opened.engine, &opened.spec, reading, staging)).unwrap());
}

/// Hash rows that lie in memory.
#[divan::bench(sample_count = 10)]
fn hash(bencher: Bencher<'_, '_>) {
    let Prepared { runtime, opened, staged, .. } = prepared();
    let hash = Text::new(&opened.spec).row_hash("r");
    let _staged = opened.engine.register_slices("r", staged).unwrap();
    bencher.bench(|| {
        let sql = format!("SELECT {hash} AS {HASH} FROM r");
        runtime.block_on(opened.engine.rows(&sql, &Params::new())).unwrap()
    });
}

/// Keep the latest version of each key.
#[divan::bench(sample_count = 10)]
fn dedupe_rows(bencher: Bencher<'_, '_>) {
    let Prepared { runtime, opened, staged, .. } = prepared();
    bencher
        .with_inputs(|| staged.clone())
        .bench_values(|rows| runtime.block_on(dedupe(&opened.engine, &opened.spec, rows, 0)).unwrap());
}

/// Read the target's keys, probe them, and give each row its class.
#[divan::bench(sample_count = 10)]
fn probe_and_classify(bencher: Bencher<'_, '_>) {
    let Prepared { runtime, opened, deduped, .. } = prepared();
    let target = &opened.tables.target;
    bencher.bench(|| runtime.block_on(locate(&opened.engine, &opened.spec, deduped, target)).unwrap());
}

/// The same against rows in memory: nothing is found, so that all but the probe and the classes is left out.
#[divan::bench(sample_count = 10)]
fn classify_new_rows(bencher: Bencher<'_, '_>) {
    let Prepared { runtime, opened, deduped, .. } = prepared();
    bencher.bench(|| {
        runtime.block_on(async {
            let target = opened.tables.target.rows(&opened.engine.state()).await.unwrap();
            let _whole = opened.engine.register("whole", target).unwrap();
            let none = "SELECT * FROM whole WHERE FALSE";
            let _target = opened.engine.register_view("target", none).await.unwrap();
            locate_in(&opened.engine, &opened.spec, deduped).await.unwrap()
        })
    });
}

/// Decide on the next step, of a pipeline that has loaded so many batches.
#[divan::bench(args = [1, 1_000])]
fn decide_next(bencher: Bencher<'_, '_>, batches: i64) {
    let folder = TempDir::new().unwrap();
    let runtime = Runtime::new().unwrap();
    let (opened, mut seen) = runtime.block_on(async {
        let mut opened = demo(&folder, 1_000).await;
        run(&mut opened, Clock::System, &Hooks::default(), Accepted::default()).await.unwrap();
        let seen = look(&mut opened).await;
        (opened, seen)
    });
    let newest = seen.rows[0].clone();
    seen.rows.extend((2..=batches).map(|number| {
        let mut row = newest.clone();
        row.sequence = Some(1 - number);
        row.batch_id = format!("{number:064}");
        row
    }));
    let request = Request::Load(Accepted::default());
    let intent = Intent::new(Rules::of(&opened.pipeline), request, AS_OF.parse().unwrap(), Clock::System);
    bencher.bench(|| decide(black_box(&seen), black_box(&intent)));
}
