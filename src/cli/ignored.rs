//! `mesa dump-default-mesaignore`: the built-in rules of what is never pushed.

use super::error::Error;
use super::exit::Exit;
use super::output;
use crate::config::DEFAULT_MESAIGNORE;

/// Prints them.
///
/// # Errors
///
/// Standard output.
pub(super) fn run() -> Result<Exit, Error> {
    output::data(DEFAULT_MESAIGNORE.trim_end())?;
    Ok(Exit::Done)
}
