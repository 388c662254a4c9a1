//! Credentials by place, as the text that vault and plaintext file hold.
//!
//! ```toml
//! version = 1
//! credential = "..."                      # for everything
//!
//! [organizations.acme]
//! credential = "..."
//!
//! [organizations.acme.repos]
//! app = "..."
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Credential, Error, Place};

const VERSION: u32 = 1;

/// Credentials by what they are for.
pub(super) type Table = BTreeMap<Place, Credential>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    organizations: BTreeMap<String, Organization>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Organization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    repos: BTreeMap<String, String>,
}

impl Drop for Document {
    fn drop(&mut self) {
        self.credential.zeroize();
        for organization in self.organizations.values_mut() {
            organization.credential.zeroize();
            organization.repos.values_mut().for_each(Zeroize::zeroize);
        }
    }
}

/// Reads a table; `path` is for messages, which never show the text.
pub(super) fn read(path: &Path, text: &str) -> Result<Table, Error> {
    let wrong = |line| Error::Table {
        path: path.to_owned(),
        line,
    };
    let document: Document = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let before = text.as_bytes().iter().take(offset);
        wrong(1 + before.filter(|byte| **byte == b'\n').count())
    })?;
    if document.version != VERSION {
        return Err(Error::Version {
            path: path.to_owned(),
            version: document.version,
        });
    }
    let mut table = Table::new();
    let mut add = |organization: Option<&str>, repository: Option<&str>, text: &str| {
        let place = Place::named(organization, repository).map_err(|_name| wrong(1))?;
        let credential =
            Credential::try_from(text.to_owned()).map_err(|source| Error::Credential {
                path: path.to_owned(),
                source,
            })?;
        table.insert(place, credential);
        Ok::<(), Error>(())
    };
    if let Some(text) = &document.credential {
        add(None, None, text)?;
    }
    for (name, organization) in &document.organizations {
        if let Some(text) = &organization.credential {
            add(Some(name), None, text)?;
        }
        for (repository, text) in &organization.repos {
            add(Some(name), Some(repository), text)?;
        }
    }
    Ok(table)
}

/// The text of a table.
pub(super) fn write(table: &Table) -> Zeroizing<String> {
    let mut document = Document {
        version: VERSION,
        credential: None,
        organizations: BTreeMap::new(),
    };
    for (place, credential) in table {
        let text = credential.expose().to_owned();
        match place {
            Place::Global => document.credential = Some(text),
            Place::Organization(name) => {
                let part = document.organizations.entry(name.clone()).or_default();
                part.credential = Some(text);
            }
            Place::Repository(name, repository) => {
                let part = document.organizations.entry(name.clone()).or_default();
                part.repos.insert(repository.clone(), text);
            }
        }
    }
    // Strings in tables of strings always serialize.
    Zeroizing::new(toml::to_string(&document).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str) -> Credential {
        Credential::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_table_reads_what_it_writes() {
        let table = Table::from([
            (Place::Global, credential("global")),
            (Place::Organization("acme".into()), credential("acme")),
            (
                Place::Repository("acme".into(), "a \"quoted\" app.x".into()),
                credential("a.b-c_d"),
            ),
            (
                Place::Repository("other".into(), "app".into()),
                credential("other"),
            ),
        ]);
        let text = write(&table);
        assert_eq!(read(Path::new("x"), &text).unwrap(), table);
        assert_eq!(
            read(Path::new("x"), &write(&Table::new())).unwrap(),
            Table::new()
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_shown() {
        for (text, line) in [
            ("version = 1\ncredential = very-secret", 2),
            ("version = 1\n\nkey = \"very-secret\"", 3),
            ("version = \"very-secret\"", 1),
            (
                "version = 1\n[organizations.\"a/b\"]\ncredential = \"very-secret\"",
                1,
            ),
            ("very-secret", 1),
        ] {
            let error = read(Path::new("/x"), text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains(&format!("line {line}")), "{shown}");
        }
        let newer = read(Path::new("/x"), "version = 2").unwrap_err();
        assert!(matches!(newer, Error::Version { version: 2, .. }));
    }
}
