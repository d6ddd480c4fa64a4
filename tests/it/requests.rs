//! What a run asks of the object store: it must not grow with the days.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use highwater::config::Overrides;
use highwater::context;
use highwater::hooks::Hooks;
use highwater::plan::Accepted;
use highwater::run::{Ending, run};
use serde_json::json;

use crate::common::{Lab, clock, setting};
use crate::counted::{Request, count_requests, requests_of};

async fn load(lab: &Lab, day: NaiveDate) -> Ending {
    let flag = ("as_of".to_owned(), day.to_string(), "--as-of".to_owned());
    let (pipeline, origins) =
        context::load(&lab.config(), &Overrides::from_process(vec![flag])).await.unwrap();
    let mut opened = context::open(pipeline, origins).await.unwrap();
    run(&mut opened, clock(), &Hooks::default(), Accepted::default()).await.unwrap().ending
}

fn told(requests: &[Request]) -> String {
    let mut by: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for request in requests {
        let kind = if request.path.contains("_last_checkpoint") {
            "pointer"
        } else if request.path.contains(".checkpoint") {
            "checkpoint"
        } else if request.is_of_log() {
            "log"
        } else {
            "data"
        };
        *by.entry((request.table, format!("{} {kind}", request.operation))).or_default() += 1;
    }
    let lines = by.iter().map(|((table, what), times)| format!("  {table} {what}: {times}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_run_and_of_a_rerun_do_not_grow_with_the_days() {
    let lab = Lab::ungated().await;
    count_requests(&lab);
    let first = NaiveDate::from_ymd_opt(2025, 9, 1).unwrap();
    let days = setting("HIGHWATER_DAYS", 80);
    for day in 0..=days {
        let as_of = first + Days::new(day);
        let order = |id: u64| {
            let row = json!({
                "order_id": 1000 + id, "customer_id": 1, "order_date": as_of,
                "updated_at": format!("{as_of}T00:00:00Z"), "total_amount": "1.00",
            });
            format!("{row}\n")
        };
        lab.append("staging_orders", &(order(2 * day) + &order(2 * day + 1))).await;
        requests_of(&lab);
        assert_eq!(load(&lab, as_of).await, Ending::Loaded);
        if ![0, 10, 80, 400].contains(&day) {
            continue;
        }
        let loaded = requests_of(&lab);
        assert_eq!(load(&lab, as_of).await, Ending::AlreadyLoaded);
        let again = requests_of(&lab);
        println!("day {day}: run {}, rerun {}", loaded.len(), again.len());
        let data = loaded.iter().filter(|request| !request.is_of_log());
        let files: BTreeSet<(&str, &str)> =
            data.map(|request| (request.table, request.path.as_str())).collect();
        assert!(
            loaded.len() <= 30 + 10 * files.len(),
            "{} files in a run of\n{}",
            files.len(),
            told(&loaded)
        );
        assert!(again.len() <= 30, "a rerun of\n{}", told(&again));
    }
}
