//! What the sources give, before it is checked.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::file::OrganizationTable;
use super::{Key, Origin};

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// Text, of a type of the file's language that suits the setting.
    Text(OsString),
    /// A list of the file's language.
    Words(Vec<String>),
}

impl Raw {
    /// Nothing: as if it had not been written, so that a default can be asked for by name.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Raw::Text(text) => text.is_empty(),
            Raw::Words(words) => words.is_empty(),
        }
    }
}

/// What one source gives, or all of them together.
#[derive(Default)]
pub(super) struct Given {
    pub(super) values: BTreeMap<Key, (Origin, Raw)>,
    pub(super) organizations: BTreeMap<String, OrganizationTable>,
    /// Where single values of the organizations come from, by their places in the file.
    pub(super) origins: BTreeMap<String, Origin>,
}
