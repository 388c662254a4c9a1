//! `mesa version`.

use super::exit::Exit;
use super::{Error, output};

/// What `mesa version` and `mesa --version` show.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the version.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn run() -> Result<Exit, Error> {
    output::data(format_args!("mesa {VERSION}"))?;
    Ok(Exit::Done)
}
