//! A tree as Git sees it, read from a mounted directory or from a clone, and the comparison of two.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::Error;
use crate::tree::GitOid;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What stands at one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    /// A directory.
    Directory,
    /// A file with the blob that Git makes of it.
    File {
        /// The blob.
        oid: GitOid,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link with the blob of its target.
    Symlink {
        /// The blob.
        oid: GitOid,
    },
}

impl Node {
    fn describe(self) -> String {
        match self {
            Node::Directory => "a directory".into(),
            Node::File { oid, executable } => {
                let kind = if executable {
                    "an executable"
                } else {
                    "a file"
                };
                format!("{kind} with blob {oid}")
            }
            Node::Symlink { oid } => format!("a symbolic link with blob {oid}"),
        }
    }
}

/// Every path below a root, with what stands there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tree(pub(super) BTreeMap<Vec<u8>, Node>);

impl Tree {
    /// Reads a directory to the last byte; `seen` is told of each path.
    ///
    /// # Errors
    ///
    /// What the file system says, and where; also of files that Git cannot hold.
    pub(super) fn of_directory(root: &Path, seen: &mut dyn FnMut(usize)) -> Result<Tree, Error> {
        let mut nodes = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let shown = root.join(&folder);
            for entry in fs::read_dir(&shown).map_err(Error::file(&shown))? {
                let entry = entry.map_err(Error::file(&shown))?;
                let path = entry.path();
                let relative = folder.join(entry.file_name());
                let node = node_of(&path).map_err(Error::file(&path))?;
                if node == Node::Directory {
                    folders.push(relative.clone());
                }
                nodes.insert(relative.into_os_string().into_vec(), node);
                seen(nodes.len());
            }
        }
        Ok(Tree(nodes))
    }

    /// Reads the output of `git ls-tree -r -t -z`.
    ///
    /// # Errors
    ///
    /// A line that Git does not print.
    pub(super) fn of_listing(listing: &[u8]) -> Result<Tree, Error> {
        let mut nodes = BTreeMap::new();
        for line in listing
            .split(|byte| *byte == 0)
            .filter(|line| !line.is_empty())
        {
            let (path, node) = line_of(line).ok_or_else(|| Error::Answer {
                command: "git ls-tree".into(),
            })?;
            nodes.insert(path.to_vec(), node);
        }
        Ok(Tree(nodes))
    }

    /// Checks that this tree is the other.
    ///
    /// # Errors
    ///
    /// [`Error::Difference`], the first by path.
    pub(super) fn must_equal(&self, other: &Tree, here: &str, there: &str) -> Result<(), Error> {
        let mut paths: Vec<&Vec<u8>> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let (mine, theirs) = (self.0.get(path), other.0.get(path));
            if mine != theirs {
                let shown =
                    |node: Option<&Node>| node.map_or("nothing".into(), |node| node.describe());
                return Err(Error::Difference {
                    path: String::from_utf8_lossy(path).into_owned(),
                    what: format!("{here} has {}, {there} has {}", shown(mine), shown(theirs)),
                });
            }
        }
        Ok(())
    }

    /// How many paths differ.
    pub(super) fn differences(&self, other: &Tree) -> usize {
        let gone = self.0.keys().filter(|path| !other.0.contains_key(*path));
        let changed = other
            .0
            .iter()
            .filter(|(path, node)| self.0.get(*path) != Some(node));
        gone.count() + changed.count()
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        let files = self.0.values();
        files.filter(|node| **node != Node::Directory).count()
    }
}

fn node_of(path: &Path) -> io::Result<Node> {
    let metadata = path.symlink_metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(Node::Directory);
    }
    if kind.is_symlink() {
        let target = fs::read_link(path)?;
        let target = target.as_os_str().as_bytes();
        let mut hash = blob(target.len() as u64);
        hash.update(target);
        return Ok(Node::Symlink { oid: oid(hash) });
    }
    if !kind.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut file = fs::File::open(path)?;
    let mut hash = blob(metadata.len());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(chunk.get(..count).unwrap_or_default());
    }
    Ok(Node::File {
        oid: oid(hash),
        executable: metadata.permissions().mode() & 0o100 != 0,
    })
}

fn blob(size: u64) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {size}\0"))
}

fn oid(hash: Sha1) -> GitOid {
    GitOid(hash.finalize().into())
}

/// One line of `git ls-tree`: mode, type, object, and after a tab the path.
fn line_of(line: &[u8]) -> Option<(&[u8], Node)> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let (head, path) = line.split_at_checked(tab)?;
    let path = path.get(1..)?;
    let mut words = std::str::from_utf8(head).ok()?.split(' ');
    let (mode, _kind, oid) = (words.next()?, words.next()?, words.next()?);
    let oid: GitOid = oid.parse().ok()?;
    let node = match mode {
        // A submodule is an empty directory here, as in a clone that was not asked for it.
        "040000" | "160000" => Node::Directory,
        "120000" => Node::Symlink { oid },
        "100755" => Node::File {
            oid,
            executable: true,
        },
        "100644" | "100664" => Node::File {
            oid,
            executable: false,
        },
        _ => return None,
    };
    Some((path, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_equals_its_listing_and_differences_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/hello"), "hello\n").unwrap();
        std::os::unix::fs::symlink("hello", root.join("d/link")).unwrap();
        let listing = b"040000 tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\td\0\
            100644 blob ce013625030ba8dba906f756967f9e9ca394464a\td/hello\0\
            120000 blob b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0\td/link\0";
        let mounted = Tree::of_directory(root, &mut |_| {}).unwrap();
        let cloned = Tree::of_listing(listing).unwrap();
        mounted.must_equal(&cloned, "mount", "clone").unwrap();
        assert_eq!(mounted.files(), 2);

        fs::set_permissions(root.join("d/hello"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("new"), "").unwrap();
        let mounted = Tree::of_directory(root, &mut |_| {}).unwrap();
        let error = mounted.must_equal(&cloned, "mount", "clone").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("d/hello: mount has an executable")
        );
        assert_eq!(cloned.differences(&mounted), 2);
        assert_eq!(mounted.differences(&cloned), 2);
    }

    #[test]
    fn what_git_does_not_print_is_refused() {
        for listing in [&b"nonsense\0"[..], b"100644 blob zz\tpath\0"] {
            assert!(Tree::of_listing(listing).is_err());
        }
    }
}
