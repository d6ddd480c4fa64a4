//! Draws cases from domains so small that rows meet: every class is to occur often.

use highwater::config::{Late, OnTie};
use highwater::model::Action;
use highwater::notation::{Limit, Percent, Threshold};
use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::case::{AS_OF, Column, Config, Delivered, Held, History, Key, Reading, Row, day};
use super::demand::{Demand, EXPRESSIONS, FILTERS, PATTERNS, QUERIES, Spec, TOTALS};
use super::oracle::taken;

/// A case that is run in memory.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) config: Config,
    pub(super) staging: Vec<Delivered>,
    pub(super) reading: Reading,
    pub(super) target: Vec<Held>,
    pub(super) history: History,
}

/// What the rows of one case are drawn by: one that lacks a key rejects its batch, so most cases have none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taste {
    /// A row in so many lacks one of its required values; 0 is none.
    pub(super) holes: u32,
}

fn pick<T: Clone>(random: &mut Pcg64, values: &[T]) -> T {
    values[random.random_range(0..values.len())].clone()
}

fn one_in(random: &mut Pcg64, number: u32) -> bool {
    number > 0 && random.random_range(0..number) == 0
}

pub(super) fn taste(random: &mut Pcg64) -> Taste {
    Taste { holes: pick(random, &[0, 0, 10, 30]) }
}

/// A case.
pub(super) fn case(random: &mut Pcg64) -> Case {
    let config = config(random);
    let taste = taste(random);
    let anchored = one_in(random, 2);
    let reading = Reading {
        as_of: day(AS_OF),
        from: (config.window && !one_in(random, 4)).then(|| day(AS_OF - 7)),
        anchored,
        first: false,
    };
    let reading =
        Reading { anchored: reading.anchored && (!config.window || reading.from.is_some()), ..reading };
    let rows = random.random_range(0..16);
    let mut staging: Vec<Delivered> = Vec::new();
    for _ in 0..rows {
        let row =
            row(random, &config, taste, &staging.iter().map(|other| other.row.clone()).collect::<Vec<_>>());
        staging.push(Delivered { row, arrived: one_in(random, 2) });
    }
    let staged = taken(&config, &staging, reading).rows;
    let target = target(random, &config, &staged);
    let history = (0..random.random_range(0..5)).map(|_| random.random_range(0..10)).collect();
    Case { config, staging, reading, target, history }
}

/// The rules of a case.
pub(super) fn config(random: &mut Pcg64) -> Config {
    let window = one_in(random, 2);
    Config {
        key: Key {
            columns: pick(random, &[vec![Column::A], vec![Column::A, Column::B]]),
            nulls_match: one_in(random, 4),
        },
        partitions: pick(
            random,
            &[vec![], vec![Column::Day], vec![Column::Day], vec![Column::B], vec![Column::Day, Column::B]],
        ),
        window,
        dated: window || one_in(random, 2),
        late: pick(random, &[Late::Load, Late::Skip]),
        on_tie: pick(
            random,
            &[OnTie::Keep, OnTie::ReplaceIfDifferent, OnTie::Keep, OnTie::ReplaceIfDifferent, OnTie::Fail],
        ),
        versions: if one_in(random, 4) { vec![Column::V, Column::N] } else { vec![Column::V] },
        breaker: pick(random, &[None, Some(true), Some(false)]),
        strict: one_in(random, 5),
        checks: Vec::new(),
        partitions_per_commit: pick(random, &[1, 2, 400]),
    }
}

/// What a pipeline file demands of a batch. Rows without a value that each row must have reject it, or are kept out.
pub(super) fn checks(random: &mut Pcg64, config: &Config) -> Vec<Spec> {
    let mut checks: Vec<Spec> = (0..random.random_range(0..4)).map(|index| check(random, index)).collect();
    // What is required is demanded as a pipeline file may.
    let required = config.required();
    checks.retain(|spec| !matches!(spec.demand, Demand::NotNull(column) if required.contains(&column)));
    for column in config.required() {
        if one_in(random, 2) {
            checks.push(Spec {
                name: format!("not_null_{}", column.name()),
                demand: Demand::NotNull(column),
                action: Action::Quarantine,
                filter: None,
                warn_if: None,
                error_if: None,
            });
        }
    }
    checks
}

fn check(random: &mut Pcg64, index: usize) -> Spec {
    let demand = demand(random);
    let of_rows = demand.is_of_rows();
    let has_filter = match demand {
        Demand::NullRate(..) | Demand::Freshness(_) | Demand::Aggregate(..) => true,
        Demand::Query(_) => false,
        _ => of_rows,
    };
    let has_thresholds = of_rows || matches!(demand, Demand::NullRate(..) | Demand::DuplicateRate(_));
    let actions: &[Action] = if of_rows {
        &[Action::Warn, Action::Quarantine, Action::Quarantine, Action::Quarantine, Action::Fail]
    } else {
        &[Action::Warn, Action::Warn, Action::Fail]
    };
    let limit = |random: &mut Pcg64, one_in_so_many| {
        (has_thresholds && one_in(random, one_in_so_many)).then(|| threshold(random))
    };
    Spec {
        name: format!("c{index}"),
        demand,
        action: pick(random, actions),
        filter: (has_filter && one_in(random, 3)).then(|| random.random_range(0..FILTERS.len())),
        warn_if: limit(random, 6),
        error_if: limit(random, 5),
    }
}

fn threshold(random: &mut Pcg64) -> Threshold {
    let limit = if one_in(random, 2) {
        Limit::Rows(random.random_range(0..4))
    } else {
        Limit::Percent(Percent::from_millionths(pick(random, &[0, 20, 25, 50, 100]) * 1_000_000))
    };
    Threshold { inclusive: one_in(random, 2), limit }
}

fn demand(random: &mut Pcg64) -> Demand {
    // Columns whose `not_null` is not built in.
    let loose = [Column::N, Column::S, Column::Seq, Column::File];
    let compared = [Column::N, Column::S, Column::Day];
    match random.random_range(0..17) {
        0 | 1 => Demand::NotNull(pick(random, &loose)),
        2 => Demand::Unique(pick(random, &[vec![Column::S], vec![Column::N, Column::S], vec![Column::A]])),
        3 => match pick(random, &compared) {
            Column::N => {
                Demand::Values(Column::N, pick(random, &[vec!["1", "2"], vec!["2.5"], vec!["0", "3", "2.5"]]))
            }
            Column::S => Demand::Values(Column::S, pick(random, &[vec!["x", ""], vec!["日本", "'"]])),
            other => Demand::Values(other, vec!["2025-08-26", "2025-08-31"]),
        },
        4 => match pick(random, &compared) {
            Column::Day => Demand::Range(Column::Day, Some("2025-08-26"), Some("2025-08-31")),
            _ => pick(
                random,
                &[
                    Demand::Range(Column::N, Some("0.5"), None),
                    Demand::Range(Column::N, None, Some("2")),
                    Demand::Range(Column::N, Some("1"), Some("99999999999999999999")),
                    Demand::Range(Column::N, Some("99999999999999999999"), None),
                ],
            ),
        },
        5 => Demand::Regex(random.random_range(0..PATTERNS.len())),
        6 => Demand::Relationships,
        7 | 8 => Demand::Expression(random.random_range(0..EXPRESSIONS.len())),
        9 => Demand::Query(random.random_range(0..QUERIES.len())),
        10 => Demand::Freshness(random.random_range(0..9)),
        11 => pick(
            random,
            &[
                Demand::RowCount(Some(5), None),
                Demand::RowCount(None, Some(8)),
                Demand::RowCount(Some(1), Some(9)),
            ],
        ),
        12 => Demand::RowCountChange {
            within: pick(random, &[0, 25, 50, 100]),
            last: random.random_range(2..4),
            min_history: random.random_range(1..3),
        },
        13 => {
            Demand::NullRate(pick(random, &[Column::A, Column::N, Column::S]), pick(random, &[0, 10, 25, 50]))
        }
        14 => Demand::DuplicateRate(pick(random, &[0, 10, 25, 50])),
        15 => {
            let bound = |random: &mut Pcg64| one_in(random, 2).then(|| random.random_range(0..7));
            let (min, max) = (bound(random), bound(random));
            let max = if min.is_none() { Some(max.unwrap_or(4)) } else { max };
            Demand::Aggregate(random.random_range(0..TOTALS.len()), min, max)
        }
        _ => Demand::Schema(!one_in(random, 4)),
    }
}

/// A row of staging; sometimes one that is there already, whole, or as another file brought it, or with other values.
pub(super) fn row(random: &mut Pcg64, config: &Config, taste: Taste, before: &[Row]) -> Row {
    let again = if before.is_empty() { None } else { Some(pick(random, before)) };
    if let Some(again) = again {
        match random.random_range(0..8) {
            0 => return again,
            1 => return Row { seq: seq(random), file: file(random), ..again },
            2 => return Row { n: n(random), s: s(random), ..again },
            3 => return Row { day: Some(some_day(random)), v: Some(some_version(random)), ..again },
            _ => {}
        }
    }
    let mut row = Row {
        a: Some(random.random_range(1..6)),
        b: pick(random, &[Some("north".to_owned()), Some("süd/ß".to_owned())]),
        day: Some(some_day(random)),
        v: Some(some_version(random)),
        n: n(random),
        s: s(random),
        seq: seq(random),
        file: file(random),
    };
    if !config.dated && one_in(random, 6) {
        row.day = None;
    }
    if (config.key.nulls_match || !config.key.contains(&Column::B)) && one_in(random, 4) {
        row.b = pick(random, &[None, Some(String::new())]);
    }
    if config.key.nulls_match && one_in(random, 6) {
        row.a = None;
    }
    if one_in(random, taste.holes) {
        match pick(random, &config.required()) {
            Column::A => row.a = None,
            Column::B => row.b = pick(random, &[None, Some(String::new())]),
            Column::V => row.v = None,
            _ => row.day = None,
        }
    }
    row
}

fn n(random: &mut Pcg64) -> Option<i64> {
    (!one_in(random, 6)).then(|| random.random_range(0..4))
}

fn s(random: &mut Pcg64) -> Option<String> {
    pick(random, &[None, Some("x"), Some("x"), Some(""), Some("日本"), Some("ü"), Some("it's; -- `\"\\")])
        .map(str::to_owned)
}

fn seq(random: &mut Pcg64) -> Option<i64> {
    pick(random, &[None, Some(0), Some(1), Some(2)])
}

fn file(random: &mut Pcg64) -> Option<String> {
    pick(random, &[None, Some("f1"), Some("f2"), Some("f3")]).map(str::to_owned)
}

fn some_day(random: &mut Pcg64) -> chrono::NaiveDate {
    day(pick(random, &[2, 5, 6, 7, 11, 12, 13]))
}

fn some_version(random: &mut Pcg64) -> chrono::NaiveDate {
    day(random.random_range(6..10))
}

/// Rows of the target, one a key: like staged ones, or older, newer, or with other values or another partition.
pub(super) fn target(random: &mut Pcg64, config: &Config, staged: &[Row]) -> Vec<Held> {
    let mut target: Vec<Held> = Vec::new();
    for like in staged {
        if !one_in(random, 2) {
            continue;
        }
        let mut row = Row { seq: None, file: None, ..like.clone() };
        match random.random_range(0..8) {
            0 => row.v = Some(day(4)),
            1 => row.v = Some(day(11)),
            2 | 7 => row.n = Some(9),
            3 => (row.v, row.day) = (Some(day(4)), Some(some_day(random))),
            4 if !config.key.contains(&Column::B) => row.b = Some("moved".to_owned()),
            5 => row.v = None,
            _ => {}
        }
        let row = config.taken(&row);
        if config.strict && row.n.is_none() {
            row_filled(&mut target, config, Row { n: Some(9), ..row }, random);
        } else {
            row_filled(&mut target, config, row, random);
        }
    }
    target
}

fn row_filled(target: &mut Vec<Held>, config: &Config, row: Row, random: &mut Pcg64) {
    let known = |held: &Held| {
        super::demand::key_of(&held.row, &config.key) == super::demand::key_of(&row, &config.key)
    };
    if target.iter().any(known) {
        return;
    }
    // A hash that is missing or says something else is settled by the values.
    let hash = pick(random, &[Some(row.hash()), Some(row.hash()), None, Some("ab".repeat(32))]);
    target.push(Held { row, hash });
}
