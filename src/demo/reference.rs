//! The reference case: orders, 2025-09-01. Five staged rows, one row in the target, three customers.

use deltalake::arrow::error::ArrowError;

use super::rows::{
    Customer, FactBatches, HOUR, MINUTE, Order, SECOND, StagedRow, customer_batches, midnight,
    staging_batches,
};
use super::{DemoData, GeneratedCounts};

/// Days from the epoch to 2025-09-01, the case's as-of. Its other days are counted back from here.
const AS_OF: i32 = 20_332;

/// The reference case, row for row.
///
/// # Errors
/// None in practice: the rows fit their types.
pub fn reference() -> Result<DemoData, ArrowError> {
    let day = |day_of_august: i32| AS_OF - 32 + day_of_august;
    let morning = midnight(AS_OF) + 5 * MINUTE;
    // An order's version is given as hours and minutes of a day.
    let order = |id, customer_id, date, (version_day, hours, minutes), cents| Order {
        id,
        customer_id,
        day: date,
        updated_at: midnight(version_day) + hours * HOUR + minutes * MINUTE,
        cents,
    };
    let staged = |order, source_file: &str, seconds| StagedRow {
        order,
        source_file: source_file.to_owned(),
        ingest_time: morning + seconds * SECOND,
    };
    let first_101 = order(101, 2, day(28), (day(28), 9, 0), 2000);

    let order_100 = order(100, 1, day(26), (day(26), 10, 0), 4900);
    let newer_101 = order(101, 2, day(28), (day(30), 12, 30), 2200);
    let order_102 = order(102, 3, day(31), (day(31), 21, 0), 1550);
    let order_103 = order(103, 9, AS_OF, (AS_OF, 0, 1), 10500);
    let staging = [
        staged(order_100, "orders_20250826", 0),
        staged(first_101.clone(), "orders_20250828", 10),
        staged(newer_101, "latefix_20250830", 10),
        staged(order_102, "orders_20250831", 20),
        staged(order_103, "orders_20250901", 30),
    ];
    let customer = |customer_id, signup_date| Customer { customer_id, signup_date };
    let customers = [
        customer(1, AS_OF - 123), // 2025-05-01
        customer(2, AS_OF - 294), // 2024-11-11
        customer(3, day(1)),
    ];
    let loaded_at = midnight(day(28)) + 10 * HOUR;
    Ok(DemoData {
        staging: staging_batches(&staging)?,
        fact: FactBatches::new(vec![first_101], "batch_0828", loaded_at),
        customers: customer_batches(&customers)?,
        counts: GeneratedCounts { new: 2, newer: 1, superseded: 1, orphans: 1, ..GeneratedCounts::default() },
    })
}
