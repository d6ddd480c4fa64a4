//! Log lines on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::LogFormat;
use crate::error::masked;

/// Standard error, without secrets. A log line comes in one piece.
struct Masked;

impl std::io::Write for Masked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().lock().write_all(masked(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

/// Starts log lines on stderr.
pub(super) fn start_logging(format: LogFormat) {
    // A lost race is nothing to worry people with: the run looks again. And what a log store fails at is told once.
    let quiet = "error,highwater=warn,deltalake_core::kernel::transaction=off,deltalake_core::logstore=off,\
                 buoyant_kernel=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| Masked);
    // A second start, in tests, keeps the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
