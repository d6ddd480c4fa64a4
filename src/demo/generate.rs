//! Generated demo data of any size, the same for the same options.

use chrono::NaiveDate;
use deltalake::arrow::error::ArrowError;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::rows::{FactBatches, customer_batches, midnight, staging_batches};
use super::{DemoData, shop, week};

/// The most orders to generate. TPC-H's keys are sparse, the last one is four times the number of orders: so many still
/// fit INT, with room above them for the orders that are new in staging.
pub const MAX_ORDERS: u64 = 400_000_000;

/// The load that the target's rows name as theirs.
const LOAD_BATCH_ID: &str = "batch_demo";

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Orders in the target, from 1 to [`MAX_ORDERS`]. From 200 on, staging has rows of every class.
    pub orders: u64,
    /// Decides everything that TPC-H leaves open.
    pub seed: u64,
    /// The last day of the staged week.
    pub as_of: NaiveDate,
}

/// Generates a year of orders as the target, their customers, and a week of staging.
///
/// The staged rows are a twentieth of the target's, and more of a small one, so that every class has some.
///
/// # Errors
/// The number of orders is out of range.
pub fn generate(options: &Options) -> Result<DemoData, ArrowError> {
    let orders = u32::try_from(options.orders)
        .ok()
        .filter(|orders| (1..=MAX_ORDERS).contains(&u64::from(*orders)))
        .ok_or_else(|| {
            ArrowError::InvalidArgumentError(format!(
                "cannot generate {} orders; choose from 1 to {MAX_ORDERS}",
                options.orders
            ))
        })?;
    let as_of = options.as_of.to_epoch_days();
    let mut rng = Pcg64::seed_from_u64(options.seed);

    let mut fact = shop::orders(orders, as_of, &mut rng);
    let customers = shop::customers(orders, as_of, &mut rng);
    let (staged, counts) = week::stage(&fact, customers.len(), as_of, &mut rng);
    // One partition after the other, as a table's writer likes it.
    fact.sort_unstable_by_key(|order| (order.day, order.id));
    Ok(DemoData {
        staging: staging_batches(&staged)?,
        fact: FactBatches::new(fact, LOAD_BATCH_ID, midnight(as_of)),
        customers: customer_batches(&customers)?,
        counts,
    })
}
