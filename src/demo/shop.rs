//! The target and its dimension: TPC-H's orders and customers, dated in the year before as-of.

use rand::RngExt;
use rand_pcg::Pcg64;
use tpchgen::distribution::Distributions;
use tpchgen::generators::{CustomerGenerator, OrderGenerator};
use tpchgen::text::TextPool;

use super::rows::{Customer, HOUR, MINUTE, Order, SECOND, midnight};

/// Days that the target's orders lie in: as-of's eve and the 364 days before it.
const YEAR: i32 = 365;

/// Days of the staged week that the target has orders of: all but as-of itself.
const WEEK_BEFORE_AS_OF: i32 = 6;

/// Below this many orders a year's even spread leaves too few in the week for staging to refer to. Of these, every
/// sixteenth is put there.
const SMALL_SHOP: usize = 20_000;
const RECENT: usize = 16;

/// With less, TPC-H has no customers to choose from.
const MIN_ORDERS: u32 = 1_500;

/// Bytes of the text that TPC-H cuts its comments from. The default, 300 MB, would go into comments that no table here
/// has.
const TEXT_POOL_BYTES: i32 = 100_000;

/// The scale factor that has at least `orders` orders.
fn scale_factor(orders: u32) -> f64 {
    // One more, so that rounding takes none away.
    let wanted = f64::from(orders.max(MIN_ORDERS)) + 1.0;
    wanted / f64::from(OrderGenerator::SCALE_BASE)
}

/// The first `orders` orders of TPC-H by key, in the order of their keys.
///
/// Their dates are folded into the year before as-of. Each was last changed on its own day, so all of them before as-of
/// began, which is when the load that wrote them ran.
pub(super) fn orders(orders: u32, as_of: i32, rng: &mut Pcg64) -> Vec<Order> {
    let text_pool = TextPool::new(TEXT_POOL_BYTES, Distributions::static_default());
    let generator = OrderGenerator::new_with_distributions_and_text_pool(
        scale_factor(orders),
        1,
        1,
        Distributions::static_default(),
        &text_pool,
    );
    let dated = |(index, order): (usize, tpchgen::generators::Order<'_>)| {
        let recent = index < SMALL_SHOP && index % RECENT == 0;
        let days = if recent { WEEK_BEFORE_AS_OF } else { YEAR };
        let day = as_of - 1 - order.o_orderdate.into_inner() % days;
        Some(Order {
            id: i32::try_from(order.o_orderkey).ok()?,
            customer_id: i32::try_from(order.o_custkey).ok()?,
            day,
            updated_at: in_the_course_of(day, 18 * HOUR, rng),
            cents: order.o_totalprice.into_inner(),
        })
    };
    // The range of the options makes sure that every key fits.
    generator
        .iter()
        .take(usize::try_from(orders).unwrap_or(usize::MAX))
        .enumerate()
        .filter_map(dated)
        .collect()
}

/// TPC-H's customers at that number of orders: it numbers them from 1. All signed up before the year of the orders.
pub(super) fn customers(orders: u32, as_of: i32, rng: &mut Pcg64) -> Vec<Customer> {
    let count = CustomerGenerator::calculate_row_count(scale_factor(orders), 1, 1);
    let signed_up =
        |customer_id| Customer { customer_id, signup_date: as_of - YEAR - rng.random_range(1..=3 * YEAR) };
    (1..=i32::try_from(count).unwrap_or(i32::MAX)).map(signed_up).collect()
}

/// A full second of a day, from one o'clock on and for as long as the shop is open.
pub(super) fn in_the_course_of(day: i32, open: i64, rng: &mut Pcg64) -> i64 {
    let opening = midnight(day) + HOUR + MINUTE;
    opening + rng.random_range(0..open / SECOND) * SECOND
}
