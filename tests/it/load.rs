//! A generated load against plain SQL that knows nothing of the program's, and a rerun that reads no data: counted
//! at the object store.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater::config::Overrides;
use highwater::context;
use highwater::engine::Engine;
use highwater::engine::sql::Params;
use highwater::hooks::Hooks;
use highwater::plan::Accepted;
use highwater::run::{Ending, Report, run};

use crate::common::{AS_OF, CLOCK, Lab, clock, rows, setting};
use crate::counted::{count_requests, requests_of};

/// Reads of data files since the last call, by table.
fn reads_of(lab: &Lab) -> BTreeMap<&'static str, usize> {
    let mut by_table: BTreeMap<&'static str, usize> = lab.tables.iter().map(|table| (*table, 0)).collect();
    for request in requests_of(lab) {
        if request.operation == "get" && request.path.ends_with(".parquet") && !request.is_of_log() {
            *by_table.get_mut(request.table).unwrap() += 1;
        }
    }
    by_table
}

async fn run_here(lab: &Lab) -> Report {
    let (pipeline, origins) = context::load(&lab.config(), &Overrides::default()).await.unwrap();
    assert!(pipeline.target.table.as_str().starts_with("counted://"), "{}", pipeline.target.table);
    let mut opened = context::open(pipeline, origins).await.unwrap();
    run(&mut opened, clock(), &Hooks::default(), Accepted::default()).await.unwrap()
}

/// The session of the independent computation, with staging, the target before and after, and the dimension.
async fn session(lab: &Lab, report: &Report) -> Engine {
    let engine = Engine::new(4 << 30);
    let state = engine.state();
    let (before, after) = report.tables["fact_orders"];
    let fact = lab.table("fact_orders").await;
    for (name, version) in [("fact_before", before), ("fact_after", after)] {
        let table = fact.at(version).await.unwrap().unwrap();
        keep(&engine, name, table.rows(&state).await.unwrap()).await;
    }
    for name in ["staging_orders", "dim_customer"] {
        keep(&engine, name, lab.table(name).await.rows(&state).await.unwrap()).await;
    }
    engine
}

/// Holds a table in memory under `name`.
async fn keep(engine: &Engine, name: &str, table: Arc<dyn deltalake::datafusion::catalog::TableProvider>) {
    engine.register(name, table).unwrap().keep();
    define(engine, name, &format!("SELECT * FROM {name}")).await;
}

/// Holds a query's rows in memory under `name`.
async fn define(engine: &Engine, name: &str, sql: &str) {
    let found = engine.rows(sql, &Params::new()).await.unwrap();
    engine.register_rows(name, &found).unwrap().keep();
}

/// What a load is to do, in plain SQL: the reference for the program's own.
async fn compute(engine: &Engine, batch_id: &str) {
    let steps = [
        ("batch", format!(
                "SELECT * FROM staging_orders WHERE order_date BETWEEN DATE '2025-08-25' AND DATE '{AS_OF}'"
            )),
        (
            "ranked",
            "SELECT b.*, ROW_NUMBER() OVER (PARTITION BY order_id
                         ORDER BY updated_at DESC, ingest_time DESC, source_file DESC) AS place
             FROM batch AS b"
                .to_owned(),
        ),
        ("latest", "SELECT * FROM ranked WHERE place = 1".to_owned()),
        (
            "losers",
            "SELECT r.order_id, r.updated_at, MAX(CASE WHEN b.order_id IS NULL THEN 0 ELSE 1 END) AS copied
             FROM ranked AS r LEFT JOIN ranked AS b
               ON b.order_id = r.order_id AND b.updated_at = r.updated_at AND b.place < r.place
               AND (b.customer_id IS NOT DISTINCT FROM r.customer_id)
               AND (b.order_date IS NOT DISTINCT FROM r.order_date)
               AND (b.total_amount IS NOT DISTINCT FROM r.total_amount)
             WHERE r.place > 1 GROUP BY r.order_id, r.updated_at, r.place"
                .to_owned(),
        ),
        (
            "met",
            "SELECT l.*, f.order_id IS NOT NULL AS known, f.updated_at AS was_updated_at, f.order_date AS was_on,
               (f.customer_id IS NOT DISTINCT FROM l.customer_id) AND (f.order_date IS NOT DISTINCT FROM l.order_date)
                 AND (f.total_amount IS NOT DISTINCT FROM l.total_amount) AS same,
               l.customer_id IS NOT NULL AND c.customer_id IS NULL AS orphan
             FROM latest AS l LEFT JOIN fact_before AS f ON f.order_id = l.order_id
               LEFT JOIN dim_customer AS c ON c.customer_id = l.customer_id"
                .to_owned(),
        ),
        ("newer", "SELECT * FROM met WHERE NOT known OR updated_at > was_updated_at".to_owned()),
        ("written", "SELECT * FROM newer WHERE NOT orphan".to_owned()),
        (
            "expected",
            format!(
                "SELECT f.order_id, f.customer_id, f.order_date, f.updated_at, f.total_amount, f.load_batch_id, f.loaded_at
                 FROM fact_before AS f LEFT ANTI JOIN written AS w ON w.order_id = f.order_id
                 UNION ALL
                 SELECT order_id, customer_id, order_date, updated_at, total_amount, '{batch_id}',
                   CAST('{CLOCK}' AS TIMESTAMP)
                 FROM written"
            ),
        ),
        (
            "actual",
            "SELECT order_id, customer_id, order_date, updated_at, total_amount, load_batch_id, loaded_at
             FROM fact_after"
                .to_owned(),
        ),
    ];
    for (name, sql) in steps {
        define(engine, name, &sql).await;
    }
}

async fn count(engine: &Engine, from: &str) -> i64 {
    let lines = rows(engine, &format!("SELECT COUNT(*) AS n FROM {from}")).await;
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    line["n"].as_i64().unwrap()
}

/// Rows by class, as plain SQL counts them.
async fn expected_counts(engine: &Engine) -> BTreeMap<&'static str, i64> {
    let queries = [
        ("staged", "batch".to_owned()),
        ("duplicate", "losers WHERE copied = 1".to_owned()),
        ("superseded", "losers WHERE copied = 0".to_owned()),
        ("deduped", "latest".to_owned()),
        ("inserted", "written WHERE NOT known".to_owned()),
        ("updated", "written WHERE known".to_owned()),
        ("quarantined", "newer WHERE orphan".to_owned()),
        ("stale", "met WHERE known AND updated_at < was_updated_at".to_owned()),
        ("unchanged", "met WHERE known AND updated_at = was_updated_at AND same".to_owned()),
        ("tied", "met WHERE known AND updated_at = was_updated_at AND NOT same".to_owned()),
        ("history", "staging_orders WHERE order_date < DATE '2025-08-25'".to_owned()),
        ("future", format!("staging_orders WHERE order_date > DATE '{AS_OF}'")),
        (
            "ties.in_batch",
            "losers AS o JOIN latest AS l ON l.order_id = o.order_id AND l.updated_at = o.updated_at
             WHERE copied = 0"
                .to_owned(),
        ),
    ];
    let mut counts = BTreeMap::new();
    for (name, from) in queries {
        counts.insert(name, count(engine, &from).await);
    }
    counts
}

fn reported_counts(report: &Report) -> BTreeMap<&'static str, i64> {
    let mut counts: BTreeMap<_, _> = report.counts.named().into_iter().collect();
    for name in ["rejected", "deleted"] {
        assert_eq!(counts.remove(name), Some(0), "{name}");
    }
    assert_eq!(report.memos.late, 0);
    counts.extend([
        ("history", report.memos.history),
        ("future", report.memos.future),
        ("ties.in_batch", report.memos.ties.in_batch),
    ]);
    counts
}

/// Rows that one side has and the other lacks; none where the tables are equal.
async fn differences(engine: &Engine) -> Vec<String> {
    let lacking = |side: &str, a: &str, b: &str| {
        format!("SELECT '{side}' AS side, d.* FROM (SELECT * FROM {a} EXCEPT SELECT * FROM {b}) AS d")
    };
    let (missing, surplus) =
        (lacking("missing", "expected", "actual"), lacking("surplus", "actual", "expected"));
    rows(engine, &format!("SELECT * FROM ({missing} UNION ALL {surplus}) AS x LIMIT 10")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_load_equals_plain_sql_and_its_rerun_reads_no_data() {
    let orders = setting("HIGHWATER_ORDERS", 150_000);
    let lab = Lab::generated(orders, setting("HIGHWATER_SEED", 1)).await;
    count_requests(&lab);
    let before = lab.versions().await;

    let first = Box::pin(run_here(&lab)).await;
    assert_eq!(first.ending, Ending::Loaded);
    let reads = reads_of(&lab);
    assert!(reads["staging_orders"] > 0 && reads["fact_orders"] > 0, "nothing was counted: {reads:?}");
    let versions = lab.versions().await;
    for (table, steps) in [
        ("staging_orders", 0),
        ("dim_customer", 0),
        ("fact_orders", 1),
        ("fact_orders_bad", 1),
        ("loads_audit", 1),
        ("load_watermarks", 1),
    ] {
        assert_eq!(versions[table], before[table] + steps, "{table}");
    }

    let again = Box::pin(run_here(&lab)).await;
    assert_eq!((again.ending, &again.batch_id), (Ending::AlreadyLoaded, &first.batch_id));
    assert_eq!(lab.versions().await, versions);
    let reads = reads_of(&lab);
    for table in ["staging_orders", "fact_orders", "fact_orders_bad", "dim_customer"] {
        assert_eq!(reads[table], 0, "{table} was read: {reads:?}");
    }

    let engine = session(&lab, &first).await;
    compute(&engine, &first.batch_id).await;
    // Where version and tie-breakers are equal, the row hash would decide, which the plain SQL does not know.
    let undecided = "(SELECT order_id FROM batch GROUP BY order_id, updated_at, ingest_time, source_file
                      HAVING COUNT(*) > 1) AS u";
    assert_eq!(count(&engine, undecided).await, 0);

    let expected = expected_counts(&engine).await;
    assert_eq!(reported_counts(&first), expected);
    let entries = lab.rows("fact_orders_bad").await;
    assert_eq!(i64::try_from(entries.len()).unwrap(), expected["quarantined"]);
    assert!(entries.iter().all(|entry| entry.contains("relationships_customer_id")));
    let staged = expected["staged"];
    let moved = count(&engine, "written WHERE was_on <> order_date").await;
    let orphans =
        count(&engine, "batch AS b LEFT ANTI JOIN dim_customer AS c ON c.customer_id = b.customer_id").await;
    for (class, rows) in expected.into_iter().chain([("moved", moved), ("orphans", orphans)]) {
        assert!(rows * 100 >= staged, "{class}: {rows} of {staged} staged rows are less than 1 %");
    }

    assert_eq!(differences(&engine).await, Vec::<String>::new());
    let all = count(&engine, "actual").await;
    assert_eq!(all, count(&engine, "expected").await);
    assert_eq!(
        all,
        count(&engine, "(SELECT DISTINCT order_id FROM actual) AS d").await,
        "a key is there twice"
    );
    let hashed = "fact_after WHERE LENGTH(row_hash) = 64 AND load_batch_id";
    let written = count(&engine, &format!("{hashed} = '{}'", first.batch_id)).await;
    assert_eq!(written, first.counts.inserted + first.counts.updated);

    // The comparison itself can tell one row's difference.
    define(&engine, "actual", "SELECT * FROM actual WHERE order_id > (SELECT MIN(order_id) FROM actual)")
        .await;
    assert_eq!(differences(&engine).await.len(), 1);
}
