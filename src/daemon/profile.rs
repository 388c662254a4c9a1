//! What is read of a repository, as it is remembered and exported: paths, and nothing else.
//!
//! ```text
//! # mesa profile, version 1
//! README.md                what the newest session read, in its order
//! "na\303\257ve \"name\""  quoted as Git does; what begins with `#` is quoted, too
//! # session
//! src/main.rs              what the one before read, and no later one did
//! ```
//!
//! A list that somebody writes by hand needs none of the comments, and may name directories. What the last
//! `SESSIONS_MAX` sessions did not read is forgotten, and so is the oldest when there is too much.

mod following;
mod kept;

use std::collections::HashSet;

use crate::export::{quoted, unquoted};
use crate::lower::READS_MAX;
use crate::tree::{NameError, TreePath};

pub(super) use kept::Kept;
pub use kept::{forget_at_rest, import_at_rest, stored};

/// Sessions that are remembered, each an opening in which something was read: a task takes a few, and
/// what none of these needed is not needed by the next one.
const SESSIONS_MAX: usize = 8;
/// Paths that are remembered: as many as one session notes.
pub const PATHS_MAX: usize = READS_MAX;
/// Their bytes: 200 for each, on the average.
const PATH_BYTES_MAX: usize = 2 << 20;
/// A longer text is no such list: quoting makes four bytes of one, at most.
pub const TEXT_BYTES_MAX: u64 = 16 << 20;

const HEAD: &str = "# mesa profile, version ";
const VERSION: &str = "1";
const SESSION: &str = "# session";

/// Why a text is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Of a later version of ours.
    #[error("it is of version {version}, and this mesa knows version {VERSION}")]
    Version {
        /// Which.
        version: String,
    },
    /// Broken quotes.
    #[error("line {line} has quotes that make no sense")]
    Quotes {
        /// From one on.
        line: usize,
    },
    /// No path.
    #[error("line {line} is no path inside a repository")]
    Path {
        /// From one on.
        line: usize,
        /// Why not.
        source: NameError,
    },
    /// More than there may be.
    #[error("it has {count} paths, and a profile has {PATHS_MAX} at most")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Far more than there may be.
    #[error("it has more than {} MiB", TEXT_BYTES_MAX >> 20)]
    TooLong,
}

/// What was read in the last sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Newest first; each path in the newest that read it.
    sessions: Vec<Vec<TreePath>>,
}

impl Profile {
    /// The profile after one more session, which read these. One that read nothing is none.
    pub fn after(&self, read: Vec<TreePath>) -> Profile {
        if read.is_empty() {
            return self.clone();
        }
        Profile::of(std::iter::once(read).chain(self.sessions.iter().cloned()))
    }

    fn of(sessions: impl Iterator<Item = Vec<TreePath>>) -> Profile {
        let mut known = HashSet::new();
        let mut bytes = 0;
        let mut is_new = |path: &TreePath| {
            let length = path.as_bytes().len();
            let is_new = known.len() < PATHS_MAX
                && bytes + length <= PATH_BYTES_MAX
                && known.insert(path.clone());
            bytes += if is_new { length } else { 0 };
            is_new
        };
        let sessions = sessions.take(SESSIONS_MAX).map(|mut session| {
            session.retain(&mut is_new);
            session
        });
        let mut sessions: Vec<Vec<TreePath>> = sessions.collect();
        while sessions.last().is_some_and(Vec::is_empty) {
            sessions.pop();
        }
        Profile { sessions }
    }

    /// All paths, what was read last first.
    pub fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.sessions.iter().flatten()
    }

    /// How many sessions it tells of.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// As text.
    pub fn text(&self) -> Vec<u8> {
        let mut text = format!("{HEAD}{VERSION}\n").into_bytes();
        for (number, session) in self.sessions.iter().enumerate() {
            if number > 0 {
                text.extend_from_slice(format!("{SESSION}\n").as_bytes());
            }
            for path in session {
                let line = quoted("", path.as_bytes());
                match line.starts_with(b"#") {
                    true => text.extend([b"\"", &*line, b"\""].concat()),
                    false => text.extend(line),
                }
                text.push(b'\n');
            }
        }
        text
    }

    /// Of a text: one of ours, or a list of paths, with or without `./` before them and `/` behind.
    ///
    /// # Errors
    ///
    /// [`ProfileError`].
    pub fn parse(text: &[u8]) -> Result<Profile, ProfileError> {
        if text.len() as u64 > TEXT_BYTES_MAX {
            return Err(ProfileError::TooLong);
        }
        let mut sessions = vec![Vec::new()];
        for (line, content) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if content.is_empty() {
                continue;
            }
            if let Some(version) = content.strip_prefix(HEAD.as_bytes()) {
                if version != VERSION.as_bytes() {
                    let version = String::from_utf8_lossy(version).into_owned();
                    return Err(ProfileError::Version { version });
                }
            } else if content == SESSION.as_bytes() {
                sessions.push(Vec::new());
            } else if !content.starts_with(b"#") {
                let path = unquoted(content).ok_or(ProfileError::Quotes { line })?;
                let path = path.strip_prefix(b"./").unwrap_or(&path);
                let path = path.strip_suffix(b"/").unwrap_or(path);
                let path = match path {
                    b"" => Err(NameError::Empty),
                    path => TreePath::try_from(path),
                };
                let path = path.map_err(|source| ProfileError::Path { line, source })?;
                if let Some(session) = sessions.last_mut() {
                    session.push(path);
                }
            }
        }
        let count = sessions.iter().map(Vec::len).sum();
        if count > PATHS_MAX {
            return Err(ProfileError::TooMany { count });
        }
        Ok(Profile::of(sessions.into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(texts: &[&str]) -> Vec<TreePath> {
        let parsed = texts.iter().map(|text| TreePath::try_from(*text).unwrap());
        parsed.collect()
    }

    fn shown(profile: &Profile) -> Vec<String> {
        profile.paths().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_read_last_comes_first_and_what_is_not_read_again_goes() {
        let mut profile = Profile::default().after(paths(&["a", "b", "c"]));
        profile = profile.after(paths(&["d", "b"]));
        assert_eq!(shown(&profile), ["d", "b", "a", "c"]);
        // The same session, told again with what it has read since.
        let told = profile.after(paths(&["c"])).after(Vec::new());
        assert_eq!(shown(&told), ["c", "d", "b", "a"]);
        for _ in 1..SESSIONS_MAX {
            profile = profile.after(paths(&["e"]));
        }
        assert_eq!(shown(&profile), ["e", "d", "b"]);
        assert_eq!(shown(&profile.after(paths(&["e"]))), ["e"]);
    }

    #[test]
    fn the_oldest_make_room() {
        let all: Vec<TreePath> = (0..PATHS_MAX)
            .map(|number| TreePath::try_from(format!("all/{number}").as_str()).unwrap())
            .collect();
        let old = Profile::default().after(all).after(paths(&["new"]));
        assert_eq!(old.paths().count(), PATHS_MAX);
        let last = format!("all/{}", PATHS_MAX - 1);
        assert!(old.paths().next() == paths(&["new"]).first());
        assert!(!old.paths().any(|path| path.to_string() == last));
        assert_eq!(Profile::parse(&old.text()).unwrap(), old);
    }

    #[test]
    fn a_list_written_by_hand_is_one() {
        let text = b"# what matters\n\n./src/main.rs\r\nsrc/lower/\n\"#odd\"\n a b \nsrc/main.rs";
        let profile = Profile::parse(text).unwrap();
        assert_eq!(
            shown(&profile),
            ["src/main.rs", "src/lower", "#odd", " a b "]
        );
        assert_eq!(profile.sessions(), 1);
        assert_eq!(Profile::parse(b"").unwrap(), Profile::default());
        assert_eq!(Profile::parse(b"# nothing\n").unwrap(), Profile::default());
    }

    #[test]
    fn what_is_no_profile_says_where() {
        let error = |text: &[u8]| Profile::parse(text).unwrap_err();
        assert_eq!(error(b"a\n\"b\n"), ProfileError::Quotes { line: 2 });
        for bad in [
            &b"a\n/etc/passwd"[..],
            b"a\n../b",
            b"a\n\"a\\000b\"",
            b"a\n./",
            b"a\nb//c",
        ] {
            let found = error(bad);
            assert!(
                matches!(found, ProfileError::Path { line: 2, .. }),
                "{found}"
            );
        }
        let version = "2".to_owned();
        let later = error(b"# mesa profile, version 2\na\n");
        assert_eq!(later, ProfileError::Version { version });
        let many: String = (0..=PATHS_MAX)
            .map(|number| format!("{number}\n"))
            .collect();
        let count = PATHS_MAX + 1;
        assert_eq!(error(many.as_bytes()), ProfileError::TooMany { count });
        assert_eq!(error(&vec![b'a'; (16 << 20) + 1]), ProfileError::TooLong);
    }

    fn path() -> impl Strategy<Value = TreePath> {
        let name = proptest::collection::vec(any::<u8>(), 1..6);
        let names = proptest::collection::vec(name, 1..4);
        names.prop_filter_map("no path", |names| {
            TreePath::try_from(&*names.join(&b'/')).ok()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            sessions in proptest::collection::vec(proptest::collection::vec(path(), 0..5), 0..12)
        ) {
            let told = |profile: Profile, read: Vec<TreePath>| profile.after(read);
            let profile = sessions.into_iter().fold(Profile::default(), told);
            prop_assert!(profile.sessions() <= SESSIONS_MAX);
            let read = Profile::parse(&profile.text()).unwrap();
            prop_assert_eq!(&read, &profile);
            let mut known = HashSet::new();
            prop_assert!(read.paths().all(|path| known.insert(path)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _total = Profile::parse(&text);
        }
    }
}
