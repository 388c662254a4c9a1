//! Names and paths that were checked: what cannot be a file's name never becomes a [`Name`].

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Longest name that Linux file systems take, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest path that a system call takes (PATH_MAX), in bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// Why some bytes are not a name or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there, or two slashes in a row, or one at an end.
    #[error("an empty path component")]
    Empty,
    /// `.` or `..`.
    #[error("a '.' or '..' path component")]
    Dots,
    /// A slash or a NUL inside a name.
    #[error("a '/' or NUL inside a name")]
    Forbidden,
    /// A name over [`NAME_BYTES_MAX`] or a path over [`PATH_BYTES_MAX`].
    #[error("a name over 255 bytes or a path over 4096")]
    TooLong,
}

/// One path component: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The bytes of the name, which need not be UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first of all names in byte order, where a range over names begins.
    pub(crate) fn lowest() -> Name {
        Name(Arc::new([1]))
    }

    /// The name's position in directory order: a hash, so that a directory can change while it is
    /// read and a reader that resumes after a cookie neither skips nor repeats what stayed.
    ///
    /// 63 bits, above 2, since 0 to 2 stand for the start, `.` and `..`. Two names of one directory
    /// with the same cookie (2^-30 for 100,000 names) would follow each other.
    pub fn cookie(&self) -> u64 {
        let hash = blake3::hash(&self.0);
        let (first, _) = hash.as_bytes().split_at(8);
        let word = first
            .iter()
            .fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        (word >> 1).max(3)
    }

    /// The name as the operating system's string.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

fn check(bytes: &[u8]) -> Result<(), NameError> {
    match bytes {
        b"" => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Forbidden),
        _ if bytes.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
        _ => Ok(()),
    }
}

impl TryFrom<&[u8]> for Name {
    type Error = NameError;

    fn try_from(bytes: &[u8]) -> Result<Name, NameError> {
        check(bytes)?;
        Ok(Name(bytes.into()))
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Name, NameError> {
        Name::try_from(text.as_bytes())
    }
}

impl TryFrom<&OsStr> for Name {
    type Error = NameError;

    fn try_from(text: &OsStr) -> Result<Name, NameError> {
        Name::try_from(text.as_bytes())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

/// A path inside a repository: names joined by `/`, at most 4096 bytes; empty for the root.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The repository's root directory.
    pub const ROOT: TreePath = TreePath(Vec::new());

    /// The bytes of the path, which need not be UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether this is the repository's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of a child.
    ///
    /// # Errors
    ///
    /// [`NameError::TooLong`] when the result would pass [`PATH_BYTES_MAX`].
    pub fn join(&self, name: &Name) -> Result<TreePath, NameError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.0.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(&name.0);
        if bytes.len() > PATH_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        Ok(TreePath(bytes))
    }

    /// The bytes of the last name; none for the root.
    pub(crate) fn last_bytes(&self) -> &[u8] {
        let slash = self.0.iter().rposition(|byte| *byte == b'/');
        let from = slash.map_or(0, |slash| slash + 1);
        self.0.get(from..).unwrap_or_default()
    }

    /// The containing directory and the last name; `None` for the root.
    pub fn split_last(&self) -> Option<(TreePath, Name)> {
        if self.is_root() {
            return None;
        }
        let (parent, name) = match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (
                self.0.get(..slash).unwrap_or_default(),
                self.0.get(slash + 1..).unwrap_or_default(),
            ),
            None => (&[][..], &self.0[..]),
        };
        Some((TreePath(parent.to_vec()), Name(name.into())))
    }

    /// The deepest directory that is, or is above, both paths.
    pub fn common(&self, other: &TreePath) -> TreePath {
        let both = self.names().zip(other.names());
        let length = both
            .take_while(|(own, other)| own == other)
            // With the slash behind it.
            .map(|(own, _)| own.as_bytes().len() + 1)
            .sum::<usize>();
        let bytes = self.0.get(..length.saturating_sub(1)).unwrap_or_default();
        TreePath(bytes.to_vec())
    }

    /// Whether a path is this one, or below it.
    pub fn covers(&self, path: &TreePath) -> bool {
        let mut names = path.names();
        self.names().all(|name| names.next() == Some(name))
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .map(|name| Name(name.into()))
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &TreePath) -> bool {
        match self.0.strip_prefix(&ancestor.0[..]) {
            Some(rest) => ancestor.is_root() || rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        }
    }
}

impl TryFrom<&[u8]> for TreePath {
    type Error = NameError;

    fn try_from(bytes: &[u8]) -> Result<TreePath, NameError> {
        if bytes.len() > PATH_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if !bytes.is_empty() {
            bytes.split(|byte| *byte == b'/').try_for_each(check)?;
        }
        Ok(TreePath(bytes.to_vec()))
    }
}

impl TryFrom<&str> for TreePath {
    type Error = NameError;

    fn try_from(text: &str) -> Result<TreePath, NameError> {
        TreePath::try_from(text.as_bytes())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_path_is_refused_by_reason() {
        for (path, reason) in [
            ("../etc/passwd", NameError::Dots),
            ("a/./b", NameError::Dots),
            ("/etc", NameError::Empty),
            ("a//b", NameError::Empty),
            ("a/", NameError::Empty),
            ("a\0b", NameError::Forbidden),
        ] {
            assert_eq!(TreePath::try_from(path), Err(reason), "{path:?}");
        }
        assert_eq!(Name::try_from("a/b"), Err(NameError::Forbidden));
        assert_eq!(
            Name::try_from("x".repeat(256).as_str()),
            Err(NameError::TooLong)
        );
        assert!(Name::try_from("x".repeat(255).as_str()).is_ok());
    }

    #[test]
    fn join_and_split_last_undo_each_other() {
        let path = TreePath::try_from("a/b/c").unwrap();
        let (parent, name) = path.split_last().unwrap();
        assert_eq!(parent, TreePath::try_from("a/b").unwrap());
        assert_eq!(parent.join(&name).unwrap(), path);
        assert_eq!(TreePath::ROOT.split_last(), None);
    }

    #[test]
    fn starts_with_respects_components() {
        let path = |text: &str| TreePath::try_from(text).unwrap();
        assert!(path("a/b").starts_with(&path("a")));
        assert!(path("a").starts_with(&path("a")));
        assert!(!path("ab").starts_with(&path("a")));
        assert!(path("ab").starts_with(&TreePath::ROOT));
    }
}
