use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Int32Type, TimeUnit, TimestampMicrosecondType,
};
use deltalake::arrow::util::display::array_value_to_string;

use super::{DemoData, GeneratedCounts, MAX_ORDERS, Options, generate, reference};
use crate::contract::ddl::TableDef;
use crate::contract::{DIM_CUSTOMER, FACT_ORDERS, STAGING_ORDERS};
use crate::model::types::DataType;

/// The tables, with the target's batches made.
struct Made {
    staging: Vec<RecordBatch>,
    fact: Vec<RecordBatch>,
    customers: Vec<RecordBatch>,
    counts: GeneratedCounts,
}

fn made(data: DemoData) -> Made {
    Made {
        staging: data.staging,
        fact: data.fact.map(|batch| batch.unwrap()).collect(),
        customers: data.customers,
        counts: data.counts,
    }
}

fn generated(orders: u64, seed: u64) -> Made {
    made(generate(&Options { orders, seed, as_of: as_of() }).unwrap())
}

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 9, 1).unwrap()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Each row as text, values separated by `|`; NULL is the empty text.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    // Arrow prints instants of a named zone only with a time zone database.
    let without_zone = |column: &ArrayRef| -> ArrayRef {
        match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(instants) => Arc::new(instants.clone().with_timezone_opt(None::<Arc<str>>)),
            None => Arc::clone(column),
        }
    };
    let line = |batch: &RecordBatch, row| {
        let value = |column| array_value_to_string(&without_zone(column), row).unwrap();
        batch.columns().iter().map(value).collect::<Vec<_>>().join("|")
    };
    batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| line(b, row))).collect()
}

fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Int => ArrowType::Int32,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal(10, 2) => ArrowType::Decimal128(10, 2),
        DataType::String => ArrowType::Utf8,
        other => panic!("no demo column has type {other}"),
    }
}

#[test]
fn batches_have_the_names_types_and_nullability_of_the_contracts() {
    for data in [made(reference().unwrap()), generated(200, 1)] {
        for (ddl, batches) in
            [(STAGING_ORDERS, &data.staging), (FACT_ORDERS, &data.fact), (DIM_CUSTOMER, &data.customers)]
        {
            let table = TableDef::parse("ddl", ddl).unwrap();
            let contract: Vec<_> = table.columns.iter().map(|c| &c.field).collect();
            let contract: Vec<_> =
                contract.iter().map(|f| (&f.name, arrow_type(&f.data_type), f.nullable)).collect();
            for batch in batches {
                let schema = batch.schema();
                let fields: Vec<_> = schema
                    .fields()
                    .iter()
                    .map(|f| (f.name(), f.data_type().clone(), f.is_nullable()))
                    .collect();
                assert_eq!(fields, contract, "{}", table.name);
            }
        }
    }
}

#[test]
fn reference_rows_are_the_case_s() {
    let data = made(reference().unwrap());
    assert_eq!(
        lines(&data.staging),
        [
            "100|1|2025-08-26|2025-08-26T10:00:00|49.00|orders_20250826|2025-09-01T00:05:00",
            "101|2|2025-08-28|2025-08-28T09:00:00|20.00|orders_20250828|2025-09-01T00:05:10",
            "101|2|2025-08-28|2025-08-30T12:30:00|22.00|latefix_20250830|2025-09-01T00:05:10",
            "102|3|2025-08-31|2025-08-31T21:00:00|15.50|orders_20250831|2025-09-01T00:05:20",
            "103|9|2025-09-01|2025-09-01T00:01:00|105.00|orders_20250901|2025-09-01T00:05:30",
        ]
    );
    assert_eq!(
        lines(&data.fact),
        ["101|2|2025-08-28|2025-08-28T09:00:00|20.00|batch_0828|2025-08-28T10:00:00|"]
    );
    assert_eq!(lines(&data.customers), ["1|2025-05-01", "2|2024-11-11", "3|2025-08-01"]);
    assert_eq!(data.counts.total(), 5);
}

#[test]
fn same_options_give_the_same_rows_and_another_seed_or_day_others() {
    let all = |data: Made| [lines(&data.staging), lines(&data.fact), lines(&data.customers)];
    let first = all(generated(3_000, 7));
    assert_eq!(first, all(generated(3_000, 7)));
    for (a, b) in first.iter().zip(all(generated(3_000, 8))) {
        assert_ne!(*a, b);
    }
    let next_day = as_of().succ_opt().unwrap();
    let next_day = Options { orders: 3_000, seed: 7, as_of: next_day };
    for (a, b) in first.iter().zip(all(made(generate(&next_day).unwrap()))) {
        assert_ne!(*a, b);
    }
}

#[test]
fn rows_are_the_ones_this_seed_always_gave() {
    // A change here means that another version of a dependency, or of the generator, makes other data.
    let data = generated(200, 1);
    assert_eq!(
        lines(&data.fact)[..2],
        [
            "229|112|2024-09-02|2024-09-02T18:22:28|142290.77|batch_demo|2025-09-01T00:00:00|",
            "258|43|2024-09-02|2024-09-02T07:10:25|186669.10|batch_demo|2025-09-01T00:00:00|",
        ]
    );
    assert_eq!(
        lines(&data.staging)[..2],
        [
            "816|63|2025-08-30|2025-08-30T08:41:56|368739.84|orders_20250830|2025-09-01T06:06:49",
            "710|133|2025-08-29|2025-08-30T09:43:56|208974.66|latefix_20250830|2025-09-01T06:05:44",
        ]
    );
}

#[test]
fn orders_out_of_range_are_refused_and_the_smallest_shop_works() {
    for orders in [0, MAX_ORDERS + 1, u64::MAX] {
        let error = generate(&Options { orders, seed: 1, as_of: as_of() }).unwrap_err();
        assert!(error.to_string().contains(&format!("cannot generate {orders} orders")));
    }
    for orders in [1, 2, 10, 199] {
        let data = generated(orders, 1);
        assert_eq!(rows(&data.fact) as u64, orders);
        assert_eq!(rows(&data.staging), data.counts.total());
    }
}

#[test]
fn fact_is_sorted_by_partition_and_then_key_in_the_year_before_as_of() {
    let data = generated(120_000, 3);
    assert!(data.fact.len() > 1);
    let fact = orders(&data.fact);
    assert_eq!(fact.len(), 120_000);
    assert!(fact.is_sorted_by_key(|o| (o.order_date, o.order_id)));
    let days: BTreeSet<i32> = fact.iter().map(|o| o.order_date).collect();
    let as_of = as_of().to_epoch_days();
    assert_eq!((days.len(), days.first(), days.last()), (365, Some(&(as_of - 365)), Some(&(as_of - 1))));
    let keys: BTreeSet<i32> = fact.iter().map(|o| o.order_id).collect();
    assert_eq!(keys.len(), fact.len());
    for order in &fact {
        let since = order.updated_at - i64::from(order.order_date) * 86_400_000_000;
        assert!((0..86_400_000_000).contains(&since), "{order:?}");
    }
}

#[test]
fn customers_are_known_to_every_order_but_the_orphans() {
    let data = generated(2_000, 3);
    let customers: BTreeSet<i32> =
        data.customers.iter().flat_map(|b| values::<Int32Type>(b, "customer_id")).collect();
    assert_eq!(customers.len(), rows(&data.customers));
    assert!(orders(&data.fact).iter().all(|o| customers.contains(&o.customer_id)));
}

#[test]
fn every_class_is_a_hundredth_of_what_is_staged_at_any_size_and_seed() {
    for orders in [200, 1_000, 5_000, 20_000, 60_000] {
        for seed in [0, 1, 42] {
            let data = generated(orders, seed);
            let staged = rows(&data.staging);
            assert_eq!(staged, data.counts.total());
            if orders >= 20_000 {
                assert!(staged as u64 >= orders / 20);
            }
            let seen = classify(&data);
            for (class, count) in &seen {
                let share = format!("{class}: {count} of {staged} with {orders} orders, seed {seed}");
                assert!(count * 100 >= staged, "{share}");
            }
            assert_eq!(seen, expected(&data.counts), "{orders} orders, seed {seed}");
            // A check may refuse a batch with too many orphans.
            assert!(seen["orphan"] * 10 < staged);
        }
    }
}

/// What [`classify`] should find, from what the generator meant.
#[test]
fn gate_lets_every_size_pass() {
    for orders in (1..=60).chain([100, 1_000]) {
        for seed in 1..=3 {
            let counts = generated(orders, seed).counts;
            let orders_named = counts.new
                + counts.newer
                + counts.late
                + counts.moved_within
                + counts.moved_into
                + counts.stale
                + counts.unchanged
                + counts.ties_with_target
                + counts.orphans;
            assert!(counts.orphans * 4 <= orders_named, "{orders} orders, seed {seed}: {counts:?}");
        }
    }
}

fn expected(counts: &GeneratedCounts) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([
        ("duplicate", counts.duplicates),
        ("superseded", counts.superseded),
        ("tie in batch", counts.ties_in_batch),
        ("new", counts.new),
        ("orphan", counts.orphans),
        ("future", counts.future),
        ("newer", counts.newer),
        ("late", counts.late),
        ("moved within", counts.moved_within),
        ("moved into", counts.moved_into),
        ("stale", counts.stale),
        ("unchanged", counts.unchanged),
        ("tie with target", counts.ties_with_target),
    ])
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    order_id: i32,
    // Before the values, so that rows of a key sort by version.
    updated_at: i64,
    customer_id: i32,
    order_date: i32,
    amount: i128,
}

fn values<T: ArrowPrimitiveType>(batch: &RecordBatch, column: &str) -> Vec<T::Native> {
    let array: &ArrayRef = batch.column_by_name(column).unwrap();
    assert_eq!(array.null_count(), 0, "{column}");
    array.as_primitive::<T>().values().to_vec()
}

fn orders(batches: &[RecordBatch]) -> Vec<Row> {
    let mut orders = Vec::new();
    for batch in batches {
        let ids = values::<Int32Type>(batch, "order_id");
        let customers = values::<Int32Type>(batch, "customer_id");
        let dates = values::<Date32Type>(batch, "order_date");
        let versions = values::<TimestampMicrosecondType>(batch, "updated_at");
        let amounts = values::<Decimal128Type>(batch, "total_amount");
        orders.extend((0..batch.num_rows()).map(|i| Row {
            order_id: ids[i],
            updated_at: versions[i],
            customer_id: customers[i],
            order_date: dates[i],
            amount: amounts[i],
        }));
    }
    orders
}

/// Every staged row's class, found by comparing the tables as a load does.
fn classify(data: &Made) -> BTreeMap<&'static str, usize> {
    let fact: BTreeMap<i32, Row> = orders(&data.fact).into_iter().map(|row| (row.order_id, row)).collect();
    let customers: BTreeSet<i32> =
        data.customers.iter().flat_map(|b| values::<Int32Type>(b, "customer_id")).collect();
    let mut staged = orders(&data.staging);
    // Within a key, the row that wins the dedupe comes first.
    staged.sort_by(|a, b| (a.order_id, b).cmp(&(b.order_id, a)));
    let mut seen = BTreeMap::new();
    for (i, row) in staged.iter().enumerate() {
        let above = i.checked_sub(1).map(|i| &staged[i]).filter(|a| a.order_id == row.order_id);
        let class = match (above, fact.get(&row.order_id)) {
            (Some(above), _) if above == row => "duplicate",
            (Some(above), _) if above.updated_at == row.updated_at => "tie in batch",
            (Some(_), _) => "superseded",
            (None, None) => class_of_new(row, &customers),
            (None, Some(known)) => class_of_known(row, known),
        };
        *seen.entry(class).or_default() += 1;
    }
    seen
}

fn class_of_new(row: &Row, customers: &BTreeSet<i32>) -> &'static str {
    let as_of = as_of().to_epoch_days();
    assert!(row.order_date > as_of - 7);
    match (row.order_date > as_of, customers.contains(&row.customer_id)) {
        (true, true) => "future",
        (false, true) => "new",
        (false, false) => "orphan",
        (true, false) => panic!("an orphan from the future: {row:?}"),
    }
}

fn class_of_known(row: &Row, known: &Row) -> &'static str {
    let as_of = as_of().to_epoch_days();
    let in_week = |day| (as_of - 6..=as_of).contains(&day);
    let moved = row.order_date != known.order_date;
    assert_eq!(row.customer_id, known.customer_id);
    if row == known {
        "unchanged"
    } else if row.updated_at == known.updated_at {
        assert_ne!(row.amount, known.amount);
        "tie with target"
    } else if row.updated_at < known.updated_at {
        "stale"
    } else if moved {
        assert!(in_week(row.order_date));
        if in_week(known.order_date) { "moved within" } else { "moved into" }
    } else if in_week(row.order_date) {
        "newer"
    } else {
        assert!(row.order_date < as_of - 7);
        "late"
    }
}

#[test]
fn staged_rows_arrive_on_as_of_after_the_changes_they_tell_of() {
    let data = generated(2_000, 5);
    let midnight = i64::from(as_of().to_epoch_days()) * 86_400_000_000;
    for batch in &data.staging {
        let versions = values::<TimestampMicrosecondType>(batch, "updated_at");
        let arrivals = values::<TimestampMicrosecondType>(batch, "ingest_time");
        for (version, arrival) in versions.into_iter().zip(arrivals) {
            assert!(version < arrival);
            assert!((midnight..midnight + 12 * 3_600_000_000).contains(&arrival));
        }
    }
}
