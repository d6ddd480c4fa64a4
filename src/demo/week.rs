//! A week of staging: what a source delivers for the week up to as-of, with rows of every class.

use chrono::NaiveDate;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::GeneratedCounts;
use super::rows::{DAY, HOUR, Order, SECOND, StagedRow, midnight};
use super::shop::in_the_course_of;

/// Days of the staged week, as-of included.
const WEEK: i32 = 7;

/// Orders of this age are far below any window that ends with as-of.
const OLD: i32 = 30;

/// When the staged rows begin to arrive on as-of: later than any change they tell of.
const ARRIVAL: i64 = 6 * HOUR;

/// How long orders are taken on as-of before that.
const OPEN_ON_AS_OF: i64 = 4 * HOUR;

/// The largest change between two versions' amounts, in cents.
const MAX_CHANGE: i64 = 500;

/// Rows to make for each purpose, 2 % of what is staged or more.
///
/// A quarter of them (newer, moved within, stale, unchanged, tied) refer to an order each that the target has in the
/// week. This is an 80th of the target's rows, and a target with a year of orders has a 60th of them in the week.
fn plan(fact_rows: usize) -> GeneratedCounts {
    // Five make an orphan a quarter of the new orders at most, which the gate lets pass.
    let staged = (fact_rows / 20).max((fact_rows / 5).clamp(5, 1_000));
    let part = |per_mille: usize| (staged * per_mille).div_ceil(1_000);
    GeneratedCounts {
        new: part(430),
        newer: part(140),
        late: part(80),
        moved_within: part(20),
        moved_into: part(20),
        stale: part(30),
        unchanged: part(40),
        ties_with_target: part(20),
        ties_in_batch: part(20),
        duplicates: part(80),
        superseded: part(60),
        orphans: part(30),
        future: part(30),
    }
}

/// The staged rows, shuffled, and how many there are for each purpose.
///
/// `fact` is in the order of its keys. Where a small one lacks orders to refer to, there are fewer rows than planned.
pub(super) fn stage(
    fact: &[Order],
    customers: usize,
    as_of: i32,
    rng: &mut Pcg64,
) -> (Vec<StagedRow>, GeneratedCounts) {
    let plan = plan(fact.len());
    let first_day = as_of - WEEK + 1;
    let recent = shuffled(fact, |order| order.day >= first_day, rng);
    let old = shuffled(fact, |order| order.day <= as_of - OLD, rng);
    let (mut recent, mut old) = (recent.into_iter(), old.into_iter());
    let mut week = Week {
        as_of,
        customers: i32::try_from(customers).unwrap_or(i32::MAX),
        next_id: fact.last().map_or(1, |order| order.id + 1),
        rng,
        rows: Vec::with_capacity(plan.total()),
    };
    // The rows that may be repeated come first. Each order of the target is referred to once at most.
    let new = week.times(plan.new, Week::new_order);
    let newer = week.each(recent.by_ref().take(plan.newer), Week::newer);
    let mut repeated: Vec<usize> = (0..week.rows.len()).collect();
    repeated.shuffle(week.rng);
    let mut repeated = repeated.into_iter();
    let counts = GeneratedCounts {
        new,
        newer,
        late: week.each(old.by_ref().take(plan.late), Week::newer),
        moved_within: week.each(recent.by_ref().take(plan.moved_within), Week::moved),
        moved_into: week.each(old.by_ref().take(plan.moved_into), Week::moved),
        stale: week.each(recent.by_ref().take(plan.stale), Week::stale),
        unchanged: week.each(recent.by_ref().take(plan.unchanged), Week::unchanged),
        ties_with_target: week.each(recent.by_ref().take(plan.ties_with_target), Week::tied),
        ties_in_batch: week.each(repeated.by_ref().take(plan.ties_in_batch), Week::contradict),
        duplicates: week.each(repeated.by_ref().take(plan.duplicates), Week::duplicate),
        superseded: week.each(repeated.by_ref().take(plan.superseded), Week::precede),
        orphans: week.times(plan.orphans, Week::orphan),
        future: week.times(plan.future, Week::future_order),
    };
    week.rows.shuffle(week.rng);
    (week.rows, counts)
}

/// The orders of the target that `wanted` picks, in a random order.
fn shuffled<'a>(fact: &'a [Order], wanted: impl Fn(&Order) -> bool, rng: &mut Pcg64) -> Vec<&'a Order> {
    let mut orders: Vec<&Order> = fact.iter().filter(|order| wanted(order)).collect();
    orders.shuffle(rng);
    orders
}

/// The week in the making. Each of the methods that make a row adds one.
struct Week<'a> {
    as_of: i32,
    customers: i32,
    next_id: i32,
    rng: &'a mut Pcg64,
    rows: Vec<StagedRow>,
}

impl Week<'_> {
    /// One row for each of `about`; returns how many these were.
    fn each<T>(&mut self, about: impl Iterator<Item = T>, make: fn(&mut Self, T)) -> usize {
        let before = self.rows.len();
        about.for_each(|item| make(self, item));
        self.rows.len() - before
    }

    /// That many rows; returns how many these are.
    fn times(&mut self, count: usize, make: fn(&mut Self)) -> usize {
        (0..count).for_each(|_| make(self));
        count
    }

    fn new_order(&mut self) {
        let day = self.day_of_week();
        let order = self.order(day);
        self.deliver("orders", day, order);
    }

    fn orphan(&mut self) {
        let day = self.day_of_week();
        let order =
            Order { customer_id: self.customers + self.rng.random_range(1..=1_000), ..self.order(day) };
        self.deliver("orders", day, order);
    }

    fn future_order(&mut self) {
        let day = self.as_of + self.rng.random_range(1..=3);
        let order = self.order(day);
        self.deliver("orders", self.as_of, order);
    }

    fn newer(&mut self, known: &Order) {
        let order = self.changed(known, known.day);
        self.fix(order);
    }

    /// A newer version, on another day of the week before as-of than the known one's.
    fn moved(&mut self, known: &Order) {
        let days = WEEK - 1;
        let age = self.as_of - known.day;
        // Up to five days on, counted around a week of six: never its own day.
        let new_age = 1 + (age + self.rng.random_range(0..days - 1)) % days;
        let order = self.changed(known, self.as_of - new_age);
        self.fix(order);
    }

    fn stale(&mut self, known: &Order) {
        let order = Order {
            updated_at: known.updated_at - self.up_to_an_hour(),
            cents: known.cents + self.change(),
            ..known.clone()
        };
        self.deliver("resend", self.as_of, order);
    }

    fn unchanged(&mut self, known: &Order) {
        self.deliver("resend", self.as_of, known.clone());
    }

    fn tied(&mut self, known: &Order) {
        let cents = known.cents + self.change();
        self.fix(Order { cents, ..known.clone() });
    }

    /// A row like another, some seconds later, with the same version of another amount.
    fn contradict(&mut self, row: usize) {
        let mut again = self.resent(row);
        again.order.cents += self.change();
        self.rows.push(again);
    }

    /// A row like another, some seconds later, in another file.
    fn duplicate(&mut self, row: usize) {
        let again = self.resent(row);
        self.rows.push(again);
    }

    /// An older version of another row, some seconds later.
    fn precede(&mut self, row: usize) {
        let mut before = self.resent(row);
        before.order.updated_at -= self.up_to_an_hour();
        before.order.cents += self.change();
        self.rows.push(before);
    }

    /// A day of the staged week, as-of included.
    fn day_of_week(&mut self) -> i32 {
        self.as_of - self.rng.random_range(0..WEEK)
    }

    /// An order the target does not have, placed on its day, or on as-of where that is yet to come.
    fn order(&mut self, day: i32) -> Order {
        let id = self.next_id;
        self.next_id += 1;
        let updated_at = if day < self.as_of {
            in_the_course_of(day, 18 * HOUR, self.rng)
        } else {
            in_the_course_of(self.as_of, OPEN_ON_AS_OF, self.rng)
        };
        Order {
            id,
            customer_id: self.rng.random_range(1..=self.customers),
            day,
            updated_at,
            cents: self.rng.random_range(1_000..50_000_000),
        }
    }

    /// A newer version of a known order, of the last days before the rows arrive.
    fn changed(&mut self, known: &Order, day: i32) -> Order {
        let days_ago = midnight(self.as_of) - 3 * DAY;
        let earliest = known.updated_at.max(midnight(day)).max(days_ago);
        let latest = midnight(self.as_of) + OPEN_ON_AS_OF;
        let seconds = self.rng.random_range(1..=(latest - earliest) / SECOND);
        Order {
            day,
            updated_at: earliest + seconds * SECOND,
            cents: known.cents + self.change(),
            ..known.clone()
        }
    }

    fn change(&mut self) -> i64 {
        self.rng.random_range(1..=MAX_CHANGE)
    }

    fn up_to_an_hour(&mut self) -> i64 {
        self.rng.random_range(1..=HOUR / SECOND) * SECOND
    }

    /// Delivers an order in the file of fixes of its version's day.
    fn fix(&mut self, order: Order) {
        let day = i32::try_from(order.updated_at / DAY).unwrap_or(self.as_of);
        self.deliver("latefix", day, order);
    }

    fn deliver(&mut self, feed: &str, day: i32, order: Order) {
        let after = self.rng.random_range(0..600) * SECOND;
        self.rows.push(StagedRow {
            order,
            source_file: file_name(feed, day),
            ingest_time: midnight(self.as_of) + ARRIVAL + after,
        });
    }

    fn resent(&mut self, row: usize) -> StagedRow {
        let mut again = self.rows[row].clone();
        again.source_file = file_name("resend", self.as_of);
        again.ingest_time += self.rng.random_range(1..60) * SECOND;
        again
    }
}

/// As in `orders_20250826`.
fn file_name(feed: &str, day: i32) -> String {
    let day = NaiveDate::from_epoch_days(day).unwrap_or_default();
    format!("{feed}_{}", day.format("%Y%m%d"))
}
