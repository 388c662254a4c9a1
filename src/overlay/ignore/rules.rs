//! Rules that say what stays local, in the syntax of `.gitignore`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ::ignore::Match;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::tree::TreePath;

/// What the last rule that matches a path says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::overlay) enum Said {
    Ignored,
    Wanted,
    Nothing,
}

/// Rules, in the order in which later ones win.
#[derive(Debug)]
pub(in crate::overlay) struct Rules {
    text: String,
    matcher: Gitignore,
}

impl Rules {
    /// Reads rules, a line each. One that makes no sense is passed over, as Git does, and logged.
    pub(in crate::overlay) fn new(text: String) -> Rules {
        let mut builder = GitignoreBuilder::new("");
        for line in text.lines() {
            if let Err(error) = builder.add_line(None, line) {
                tracing::warn!(line, %error, "an ignore rule makes no sense");
            }
        }
        let matcher = builder.build().unwrap_or_else(|error| {
            tracing::warn!(%error, "the ignore rules are too large together; none of them holds");
            Gitignore::empty()
        });
        Rules { text, matcher }
    }

    pub(in crate::overlay) fn text(&self) -> &str {
        &self.text
    }

    /// What the rules say of a path itself; what they say of the directories above it is asked of
    /// those.
    pub(in crate::overlay) fn say(&self, path: &TreePath, is_directory: bool) -> Said {
        match self
            .matcher
            .matched(OsStr::from_bytes(path.as_bytes()), is_directory)
        {
            Match::None => Said::Nothing,
            Match::Ignore(_) => Said::Ignored,
            Match::Whitelist(_) => Said::Wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(rules: &str, path: &str, is_directory: bool) -> Said {
        let path = TreePath::try_from(path).unwrap();
        Rules::new(rules.to_owned()).say(&path, is_directory)
    }

    #[test]
    fn rules_are_those_of_git() {
        for (rules, path, is_directory, said) in [
            ("target/", "target", true, Said::Ignored),
            ("target/", "deep/target", true, Said::Ignored),
            ("target/", "target", false, Said::Nothing),
            ("/top", "top", false, Said::Ignored),
            ("/top", "deep/top", false, Said::Nothing),
            ("a/*.o", "a/b.o", false, Said::Ignored),
            ("a/*.o", "a/b/c.o", false, Said::Nothing),
            ("a/**/c", "a/b/b/c", false, Said::Ignored),
            ("*.log\n!keep.log", "keep.log", false, Said::Wanted),
            ("# a comment\n\n\\#odd", "#odd", false, Said::Ignored),
            ("*.py[co]", "x.pyc", false, Said::Ignored),
            ("a[\nx", "x", false, Said::Ignored),
        ] {
            assert_eq!(say(rules, path, is_directory), said, "{rules:?} {path}");
        }
    }
}
