//! Two trees, side by side: one walked through the kernel, one read by Git from a bare repository.
//!
//! An entry is what Git can hold: a directory, a file with its bytes and its executable bit, or a
//! symbolic link with its target. Bytes are held by hash, so that trees of any size compare.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use super::git::git;
use super::process::run;

/// The files below a folder of folders: the bodies of a repository's local state.
#[track_caller]
pub fn files_on_shelves(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let shelves = entries(folder).into_iter();
    shelves.flat_map(|shelf| entries(&shelf)).collect()
}

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    Directory,
    File {
        executable: bool,
        size: u64,
        blake3: blake3::Hash,
    },
    Symlink {
        target: OsString,
    },
    /// What Git cannot hold: a fifo, a socket, a device.
    Other,
}

impl Entry {
    /// A file of these bytes.
    pub fn file(bytes: &[u8], executable: bool) -> Entry {
        Entry::File {
            executable,
            size: bytes.len() as u64,
            blake3: blake3::hash(bytes),
        }
    }
}

/// Entries by path, without the root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree(pub BTreeMap<PathBuf, Entry>);

/// The first path at which two trees differ.
#[derive(PartialEq, Eq, Debug)]
pub struct Difference {
    pub path: PathBuf,
    pub left: Option<Entry>,
    pub right: Option<Entry>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "first difference at {:?}", self.path)?;
        writeln!(formatter, "   left: {:?}", self.left)?;
        write!(formatter, "  right: {:?}", self.right)
    }
}

impl Tree {
    /// Walks a folder. `.git` at its top is left out where asked, as a clone has one.
    ///
    /// # Panics
    ///
    /// Anything cannot be read.
    pub fn walk(root: &Path, git_folder: GitFolder) -> Tree {
        let mut tree = Tree::default();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(root.join(&folder))
                .unwrap_or_else(|error| panic!("reading directory {folder:?}: {error}"))
            {
                let name = entry.unwrap().file_name();
                let path = folder.join(&name);
                if git_folder == GitFolder::LeftOut && path == Path::new(".git") {
                    continue;
                }
                let entry = look(&root.join(&path));
                if entry == Entry::Directory {
                    open.push(path.clone());
                }
                let twice = tree.0.insert(path, entry);
                assert!(twice.is_none(), "{name:?} is listed twice in {folder:?}");
            }
        }
        tree
    }

    /// Reads a commit's tree with Git: `ls-tree` for the paths, `cat-file` for the bytes.
    ///
    /// # Panics
    ///
    /// Git fails.
    pub fn of_commit(repository: &Path, commit: &str) -> Tree {
        let listing =
            run(git(repository).args(["ls-tree", "-r", "-t", "-z", "--full-tree", commit]))
                .success()
                .stdout;
        let lines: Vec<(&str, &str, PathBuf)> = listing
            .split(|byte| *byte == 0)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
                let mut words = std::str::from_utf8(&line[..tab]).unwrap().split(' ');
                let mode = words.next().unwrap();
                let sha = words.nth(1).unwrap();
                let path = PathBuf::from(OsString::from_vec(line[tab + 1..].to_vec()));
                (mode, sha, path)
            })
            .collect();
        let blobs = read_blobs(
            repository,
            lines
                .iter()
                .filter(|(mode, ..)| mode.starts_with("10"))
                .map(|(_, sha, _)| (*sha).to_owned())
                .collect(),
        );
        let links = lines.iter().filter(|(mode, ..)| *mode == "120000");
        let targets: HashMap<&str, OsString> = links
            .map(|(_, sha, _)| {
                let bytes = run(git(repository).args(["cat-file", "blob", sha]));
                (*sha, OsString::from_vec(bytes.success().stdout))
            })
            .collect();
        Tree(
            lines
                .iter()
                .map(|(mode, sha, path)| {
                    let entry = match *mode {
                        "040000" => Entry::Directory,
                        "120000" => Entry::Symlink {
                            target: targets[sha].clone(),
                        },
                        "100644" | "100755" => {
                            let (size, blake3) = blobs[*sha];
                            Entry::File {
                                executable: *mode == "100755",
                                size,
                                blake3,
                            }
                        }
                        _ => Entry::Other,
                    };
                    (path.clone(), entry)
                })
                .collect(),
        )
    }

    /// The first path at which the two differ.
    pub fn difference(&self, right: &Tree) -> Option<Difference> {
        let mut paths: Vec<&PathBuf> = self.0.keys().chain(right.0.keys()).collect();
        paths.sort();
        paths.into_iter().find_map(|path| {
            let (left, right) = (self.0.get(path), right.0.get(path));
            (left != right).then(|| Difference {
                path: path.clone(),
                left: left.cloned(),
                right: right.cloned(),
            })
        })
    }

    /// Checks that both are the same.
    ///
    /// # Panics
    ///
    /// With the first difference.
    #[track_caller]
    pub fn assert_equals(&self, right: &Tree, what: &str) {
        if let Some(difference) = self.difference(right) {
            panic!("{what}: {difference}");
        }
    }

    /// The number of regular files.
    pub fn files(&self) -> usize {
        self.0
            .values()
            .filter(|entry| matches!(entry, Entry::File { .. }))
            .count()
    }
}

/// What becomes of `.git` at the top of a walked folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GitFolder {
    LeftOut,
    Walked,
}

/// Looks at one path, without following.
///
/// # Panics
///
/// It cannot be read, or its size is not the number of its bytes.
pub fn look(path: &Path) -> Entry {
    let failed = |error: std::io::Error| -> ! { panic!("{path:?}: {error}") };
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| failed(error));
    let kind = metadata.file_type();
    if kind.is_dir() {
        Entry::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap_or_else(|error| failed(error));
        let target = target.into_os_string();
        assert_eq!(
            metadata.len(),
            target.as_bytes().len() as u64,
            "size of the link {path:?}"
        );
        Entry::Symlink { target }
    } else if kind.is_file() {
        let mut file = File::open(path).unwrap_or_else(|error| failed(error));
        let (size, blake3) = hash(&mut file).unwrap_or_else(|error| failed(error));
        assert_eq!(metadata.len(), size, "stat and read disagree at {path:?}");
        Entry::File {
            executable: metadata.permissions().mode() & 0o100 != 0,
            size,
            blake3,
        }
    } else {
        Entry::Other
    }
}

fn hash(reader: &mut impl Read) -> std::io::Result<(u64, blake3::Hash)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((hasher.count(), hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// Size and hash of each blob, by one `cat-file --batch`.
fn read_blobs(repository: &Path, mut shas: Vec<String>) -> HashMap<String, (u64, blake3::Hash)> {
    shas.sort();
    shas.dedup();
    let mut child = git(repository)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let wanted = shas.clone();
    let asker = thread::spawn(move || {
        for sha in wanted {
            writeln!(input, "{sha}").unwrap();
        }
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut blobs = HashMap::new();
    for sha in shas {
        let mut head = String::new();
        output.read_line(&mut head).unwrap();
        let size: u64 = match head.trim_end().rsplit_once(' ') {
            Some((left, size)) if left == format!("{sha} blob") => size.parse().unwrap(),
            _ => panic!("git cat-file about {sha}: {head:?}"),
        };
        let (read, blake3) = hash(&mut (&mut output).take(size)).unwrap();
        assert_eq!(read, size, "git cat-file ended inside {sha}");
        output.read_exact(&mut [0]).unwrap();
        blobs.insert(sha, (size, blake3));
    }
    asker.join().unwrap();
    assert!(child.wait().unwrap().success());
    blobs
}

/// Names, modes and bytes of everything below a directory.
pub fn hash_all(folder: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hash_below(folder, &mut hasher);
    hasher.finalize()
}

fn hash_below(folder: &Path, hasher: &mut blake3::Hasher) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let metadata = entry.metadata().unwrap();
        hasher.update(entry.file_name().as_bytes());
        hasher.update(&metadata.mode().to_le_bytes());
        if metadata.is_dir() {
            hash_below(&entry.path(), hasher);
        } else {
            hasher.update(&metadata.len().to_le_bytes());
            hasher
                .update_reader(File::open(entry.path()).unwrap())
                .unwrap();
        }
    }
}
