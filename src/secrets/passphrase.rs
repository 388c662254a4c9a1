//! What opens a vault.

use std::fmt;

use zeroize::Zeroizing;

/// A passphrase: zeroed when dropped, masked when shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The variable that can hold it.
    pub const VARIABLE: &'static str = "MESA_VAULT_PASSPHRASE";

    /// Takes the text as it is.
    pub fn new(text: String) -> Passphrase {
        Passphrase(Zeroizing::new(text))
    }

    /// The text, for the one place that derives a key from it, and for a child that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(masked)")
    }
}
