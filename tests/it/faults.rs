//! Storage that fails, by operation and path: what it refuses for good, what passes, what was done though its answer was
//! lost. Whatever happens, the next run reaches the state of one that nothing befell.

use std::collections::BTreeMap;

use highwater::error::{Error, Kind};
use highwater::hooks::Hooks;
use highwater::model::Selection;
use highwater::plan::Accepted;
use highwater::quarantine::discard;
use highwater::run::{Ending, run};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use crate::common::{Lab, clock, seed, setting};
use crate::counted::{Harm, count_requests, fail, mend};

/// The tables that a load commits to, in this order.
pub const WRITTEN: [&str; 4] = ["fact_orders", "fact_orders_bad", "loads_audit", "load_watermarks"];

const LOG: &str = "_delta_log/0";

async fn load(lab: &Lab) -> Result<Ending, Error> {
    let mut opened = lab.opened().await;
    let report = run(&mut opened, clock(), &Hooks::default(), Accepted::default()).await?;
    Ok(report.ending)
}

pub type State = (BTreeMap<&'static str, u64>, BTreeMap<&'static str, Vec<String>>);

pub async fn state(lab: &Lab) -> State {
    (lab.versions().await, lab.state().await)
}

/// A lab, and the state after a load that nothing befalls.
pub async fn labs() -> (Lab, State) {
    let lab = Lab::reference().await;
    let whole = lab.copy();
    whole.load();
    let state = state(&whole).await;
    (lab, state)
}

fn counted(lab: &Lab) -> Lab {
    let lab = lab.copy();
    count_requests(&lab);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_that_storage_refuses_for_good_ends_the_run_with_2_and_the_next_one_finishes() {
    let (whole, wanted) = labs().await;
    for table in WRITTEN {
        for status in ["400 Bad Request", "403 Forbidden", "501 Not Implemented"] {
            let lab = counted(&whole);
            let before = lab.versions().await;
            fail(&lab, "put", table, LOG, Harm::Answered(status), 1);
            let error = load(&lab).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{table}: {status}: {}", error.chain());
            assert_eq!(lab.versions().await[table], before[table]);
            assert_eq!(load(&lab).await.unwrap(), Ending::Loaded, "{table}: {status}");
            assert_eq!(state(&lab).await, wanted, "{table}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_whose_answer_was_lost_is_found_and_made_once() {
    let (whole, wanted) = labs().await;
    for table in WRITTEN {
        for status in ["500 Internal Server Error", "408 Request Timeout"] {
            let lab = counted(&whole);
            fail(&lab, "put", table, LOG, Harm::Lost(status), 1);
            assert_eq!(load(&lab).await.unwrap(), Ending::Loaded, "{table}: {status}");
            assert_eq!(mend(&lab), 0, "nothing was asked of {table}");
            assert_eq!(state(&lab).await, wanted, "{table}: {status}");
            assert_eq!(load(&lab).await.unwrap(), Ending::AlreadyLoaded);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_is_away_is_asked_again_and_given_up_for_now_with_3() {
    let (whole, wanted) = labs().await;
    for table in WRITTEN {
        let lab = counted(&whole);
        fail(&lab, "put", table, LOG, Harm::Answered("503 Slow Down"), 2);
        assert_eq!(load(&lab).await.unwrap(), Ending::Loaded, "{table}");
        assert_eq!(state(&lab).await, wanted, "{table}");

        let lab = counted(&whole);
        fail(&lab, "put", table, LOG, Harm::Answered("503 Slow Down"), 100);
        let error = load(&lab).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Retry, "{table}: {}", error.chain());
        mend(&lab);
        assert_eq!(load(&lab).await.unwrap(), Ending::Loaded, "{table}");
        assert_eq!(state(&lab).await, wanted, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_file_that_cannot_be_written_leaves_no_doubt_and_no_commit() {
    let (whole, wanted) = labs().await;
    for (table, status, kind) in [
        ("fact_orders", "503 Slow Down", Kind::Retry),
        ("fact_orders", "403 Forbidden", Kind::Usage),
        ("fact_orders_bad", "503 Slow Down", Kind::Retry),
        ("loads_audit", "503 Slow Down", Kind::Retry),
    ] {
        let lab = counted(&whole);
        let before = lab.versions().await;
        fail(&lab, "put", table, ".parquet", Harm::Answered(status), 100);
        let error = load(&lab).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{table}: {status}: {}", error.chain());
        assert_eq!(lab.versions().await[table], before[table]);
        mend(&lab);
        assert_eq!(load(&lab).await.unwrap(), Ending::Loaded);
        assert_eq!(state(&lab).await, wanted, "{table}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_that_fails_or_is_cut_off_changes_nothing() {
    let (whole, wanted) = labs().await;
    for (table, part) in
        [("staging_orders", ".parquet"), ("fact_orders", ".parquet"), ("dim_customer", ".parquet")]
    {
        for harm in [Harm::Answered("503 Slow Down"), Harm::Cut] {
            let lab = counted(&whole);
            let before = state(&lab).await;
            fail(&lab, "get", table, part, harm, 100);
            let error = load(&lab).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Retry, "{table}: {harm:?}: {}", error.chain());
            assert_eq!(state(&lab).await, before, "{table}: {harm:?}");
            mend(&lab);
            assert_eq!(load(&lab).await.unwrap(), Ending::Loaded);
            assert_eq!(state(&lab).await, wanted, "{table}: {harm:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_whose_answer_was_lost_counts_what_it_closed() {
    let lab = Lab::reference().await;
    lab.load();
    for harm in [Harm::Lost("500 Internal Server Error"), Harm::Answered("503 Slow Down")] {
        let lab = counted(&lab);
        fail(&lab, "put", "fact_orders_bad", LOG, harm, 1);
        let mut opened = lab.opened().await;
        let selection = Selection::default();
        let closed = discard(&mut opened, clock(), &Hooks::default(), &selection, "a test").await.unwrap();
        assert_eq!(closed, 1, "{harm:?}");
        assert_eq!(lab.values("fact_orders_bad").await[0]["dq_status"], "discarded");
    }
    let lab = counted(&lab);
    fail(&lab, "put", "fact_orders_bad", LOG, Harm::Answered("403 Forbidden"), 1);
    let mut opened = lab.opened().await;
    let selection = Selection::default();
    let error = discard(&mut opened, clock(), &Hooks::default(), &selection, "a test").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_at_random_the_runs_reach_the_state_of_one_that_nothing_befell() {
    let (whole, wanted) = labs().await;
    let mut random = Pcg64::seed_from_u64(seed());
    for round in 0..setting("HIGHWATER_FAULT_ROUNDS", 6) {
        let lab = counted(&whole);
        let mut runs = 0;
        loop {
            for _ in 0..random.random_range(0..4) {
                let table =
                    ["staging_orders", "fact_orders", "fact_orders_bad", "loads_audit", "load_watermarks"]
                        [random.random_range(0..5)];
                let (operation, part) =
                    [("put", LOG), ("put", ".parquet"), ("get", ".parquet")][random.random_range(0..3)];
                let harm = match random.random_range(0..4) {
                    0 => Harm::Lost("500 Internal Server Error"),
                    1 => Harm::Answered("403 Forbidden"),
                    2 => Harm::Cut,
                    _ => Harm::Answered("503 Slow Down"),
                };
                fail(&lab, operation, table, part, harm, random.random_range(1..4));
            }
            runs += 1;
            let ended = load(&lab).await;
            mend(&lab);
            match ended {
                Ok(_) => break,
                Err(error) => assert!(
                    matches!(error.kind(), Kind::Usage | Kind::Retry) && runs < 100,
                    "round {round}: {}",
                    error.chain()
                ),
            }
        }
        assert_eq!(state(&lab).await, wanted, "round {round}, {runs} runs");
    }
}
