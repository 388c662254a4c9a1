//! Where log lines go: to standard error, which is the log file for a daemon in the background.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::LogLevel;

/// Writes log lines of ours at `level`, and of libraries from warnings up, to standard error.
pub(super) fn to_stderr(level: LogLevel) {
    let name = level.name();
    let filter = EnvFilter::new(format!("warn,mesa={name},journal={name}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_ansi(false)
        // Told of on standard error, with a panic if that is what fails: the log on a full disk.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .finish();
    // A second call, as in tests of one process, keeps the first.
    let _set_already = tracing::subscriber::set_global_default(subscriber);
}
