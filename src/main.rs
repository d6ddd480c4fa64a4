//! The `highwater` program: a thin shell around the library.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser as _;
use highwater::cli::{Cli, execute};

/// The exit status of a bug.
const BUG: u8 = 70;
/// Plans over many partitions recurse deeply.
const STACK: usize = 16 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let Ok(runtime) = runtime else { return ExitCode::from(BUG) };
    // On a worker, for its larger stack. The panic's message was printed by the panic itself.
    let status = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::spawn(execute(cli)).await.unwrap_or(BUG) })
    }));
    ExitCode::from(status.unwrap_or(BUG))
}
