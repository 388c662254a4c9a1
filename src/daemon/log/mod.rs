//! The daemon's log, and what listens beside it.

pub(super) mod incidents;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::LogLevel;

/// Writes log lines of ours at `level`, and of libraries from warnings up, to standard error.
pub fn to_stderr(level: LogLevel) {
    let name = level.name();
    let filter = EnvFilter::new(format!("warn,mesa={name},journal={name}"));
    let lines = tracing_subscriber::fmt::layer()
        .with_timer(SystemTime)
        .with_ansi(false)
        // Told of on standard error, with a panic if that is what fails: the log on a full disk.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry()
        .with(lines)
        .with(incidents::layer());
    // A second call, as in tests of one process, keeps the first.
    let _set_already = tracing::subscriber::set_global_default(subscriber);
}
