//! The `highwater` program: a thin shell around the library.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use highwater::cli::{Cli, crashed, execute, refuse};
use highwater::engine::STACK;

fn main() -> ExitCode {
    share_arenas();
    raise_open_files();
    // What comes before the parsed command line can be wrong itself, so look for the flag as it stands.
    let json = std::env::args().any(|argument| argument == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(words) => return ExitCode::from(refuse(&words, json)),
    };
    let panics = remember_panics();
    // delta-rs keeps two threads for each deletion vector that it loads. Our own scans load few at a time; a MERGE
    // loads all of its target's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .max_blocking_threads(8192)
        .build();
    let Ok(runtime) = runtime else { return ExitCode::from(crashed("no runtime could be started", json)) };
    // On a worker, for its larger stack.
    let status = runtime.block_on(async { tokio::spawn(execute(cli)).await });
    // Work that was left in the middle of a computation is not waited for. Its threads end with the process: to detach them
    // while they end is what glibc (2.36) dies of, after all was done.
    std::mem::forget(runtime);
    ExitCode::from(status.unwrap_or_else(|_| {
        let last = panics.lock().ok().and_then(|mut last| last.take());
        crashed(&last.unwrap_or_else(|| "a task was cancelled".to_owned()), json)
    }))
}

/// Has as many files open as the system allows: each spilled batch is one, and a table's files are many.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: allowed, maximum: allowed });
}

/// Has glibc's allocator keep an arena for each processor, where it would keep eight: what a thread gives back is kept
/// for its arena, so that rows which are gone would still take memory, up to as much again as those that are there.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn share_arenas() {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = i32::try_from(processors).unwrap_or(i32::MAX);
    #[expect(unsafe_code, reason = "nothing safe reaches the allocator's settings")]
    // SAFETY: called once, before there are other threads, with a setting that glibc documents; if it is refused, the
    // allocator stays as it was.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, processors);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn share_arenas() {}

/// Keeps the last panic's message instead of printing it: libraries' tasks panic on errors that are
/// reported in another way, and only a panic of the command itself is told, once.
fn remember_panics() -> Arc<Mutex<Option<String>>> {
    let last = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&last);
    std::panic::set_hook(Box::new(move |panic| {
        tracing::debug!(%panic, "panic");
        if let Ok(mut kept) = kept.lock() {
            *kept = Some(panic.to_string());
        }
    }));
    last
}
