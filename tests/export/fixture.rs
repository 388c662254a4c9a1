//! A repository made by Git as the lower layer, edits of it, and what each format makes of a clone.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mesa::export::{Archive, Error, Exported, Folder, Format, Overwrite, Work, write};
use mesa::lower::{EntryKind, ListingEntry, Lower, Pin, Source, SourceError, Store};
use mesa::tree::{ChangeId, Content, ContentSource, Edit, GitOid, Name, Timestamp, TreePath};

pub fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(["-c", "core.autocrlf=false", "-c", "gc.auto=0"])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "core.quotePath=false",
        ])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    output.stdout
}

pub fn git_text(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8(git(folder, arguments))
        .unwrap()
        .trim()
        .to_owned()
}

/// A repository as Git shows it.
struct GitSource(PathBuf);

impl Source for GitSource {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        let text = git(&self.0, &["ls-tree", "-l", "-z", &tree.to_string()]);
        let lines = text
            .split(|byte| *byte == 0)
            .filter(|line| !line.is_empty());
        let entry = |line: &[u8]| {
            let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
            let head = std::str::from_utf8(&line[..tab]).unwrap();
            let words: Vec<&str> = head.split_whitespace().collect();
            ListingEntry {
                name: Name::try_from(&line[tab + 1..]).unwrap(),
                kind: match words[0] {
                    "100644" => EntryKind::File,
                    "100755" => EntryKind::Executable,
                    "120000" => EntryKind::Symlink,
                    "160000" => EntryKind::Submodule,
                    _ => EntryKind::Directory,
                },
                size: words[3].parse().unwrap_or(0),
                oid: words[2].parse().unwrap(),
            }
        };
        Ok(lines.map(entry).collect())
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let bytes = git(&self.0, &["cat-file", "blob", &oid.to_string()]);
        sink.write_all(&bytes).map_err(SourceError::Sink)
    }
}

struct Unreachable;

impl Source for Unreachable {
    fn listing(&self, _: &Pin, _: &TreePath, _: GitOid) -> Result<Vec<ListingEntry>, SourceError> {
        Err(SourceError::Offline)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        _: GitOid,
        _: u64,
        _: &mut dyn Write,
    ) -> Result<(), SourceError> {
        Err(SourceError::Offline)
    }
}

#[derive(Debug)]
pub struct Body(pub PathBuf, pub bool);

impl ContentSource for Body {
    fn size(&self) -> u64 {
        fs::metadata(&self.0).unwrap().len()
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.0)
    }

    fn is_unchanged(&self) -> bool {
        self.1
    }
}

pub fn path(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

/// A repository with everything in it, and a snapshot of it.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    store: Arc<Store>,
    pub pin: Pin,
}

impl Fixture {
    pub fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let origin = folder.path().join("origin");
        fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "--quiet"]);
        for (name, bytes) in [
            ("README.md", &b"one\ntwo\nthree\n"[..]),
            ("no-end", b"one\ntwo"),
            ("crlf.txt", b"one\r\ntwo\r\n"),
            ("every", &(0..=255).collect::<Vec<u8>>()),
            ("empty", b""),
            ("src/main.rs", b"fn main() {}\n"),
            ("src/deep/er/leaf", b"leaf\n"),
            ("src/deep/other", b"other\n"),
            ("docs/one two.md", b"spaces\n"),
            ("docs/\"quote\".md", b"quotes\n"),
            ("docs/näme.md", b"umlaut\n"),
            ("a", b"a file\n"),
            ("a-b", b"sorts between\n"),
        ] {
            let file = origin.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let raw = std::ffi::OsStr::from_bytes(b"docs/\xff\xfe raw");
        fs::write(origin.join(raw), "raw name\n").unwrap();
        fs::write(origin.join("tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(origin.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../README.md", origin.join("src/link")).unwrap();
        git(&origin, &["add", "-A"]);
        git(
            &origin,
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("160000,{},src/module", "1".repeat(40)),
            ],
        );
        git(&origin, &["commit", "--quiet", "-m", "base"]);
        let pin = Pin {
            change: ChangeId([7; 16]),
            commit: git_text(&origin, &["rev-parse", "HEAD"]).parse().unwrap(),
            tree: git_text(&origin, &["rev-parse", "HEAD^{tree}"])
                .parse()
                .unwrap(),
            time: Timestamp::default(),
        };
        let store = Arc::new(Store::open(&folder.path().join("cache")).unwrap());
        Fixture { folder, store, pin }
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    pub fn lower(&self) -> Lower {
        let source = Arc::new(GitSource(self.origin()));
        Lower::new(Arc::clone(&self.store), source, self.pin)
    }

    pub fn offline(&self) -> Lower {
        Lower::new(Arc::clone(&self.store), Arc::new(Unreachable), self.pin)
    }

    pub fn body(&self, bytes: &[u8]) -> Content {
        let path = self
            .folder
            .path()
            .join(format!("body-{}", blake3::hash(bytes).to_hex()));
        fs::write(&path, bytes).unwrap();
        Content::Body(Arc::new(Body(path, true)))
    }

    pub fn file(&self, at: &str, bytes: &[u8]) -> Edit {
        Edit::File {
            path: path(at),
            content: self.body(bytes),
            executable: false,
        }
    }

    pub fn entry(&self, at: &str) -> ListingEntry {
        let (parent, name) = path(at).split_last().unwrap();
        let tree = format!("{}:{parent}", self.pin.commit);
        let tree = git_text(&self.origin(), &["rev-parse", &tree])
            .parse()
            .unwrap();
        let source = GitSource(self.origin());
        let entries = source.listing(&self.pin, &parent, tree).unwrap();
        entries
            .into_iter()
            .find(|entry| entry.name == name)
            .unwrap()
    }

    pub fn moved(&self, from: &str, to: &str, executable: bool) -> Edit {
        let ListingEntry { oid, size, .. } = self.entry(from);
        let from = path(from);
        Edit::File {
            path: path(to),
            content: Content::Lower { oid, size, from },
            executable,
        }
    }

    pub fn graft(&self, from: &str, to: &str) -> Edit {
        Edit::Graft {
            path: path(to),
            tree: self.entry(from).oid,
            from: path(from),
        }
    }

    pub fn export_from(
        &self,
        lower: &Lower,
        edits: &[Edit],
        format: Format,
    ) -> Result<(Vec<u8>, Exported), Error> {
        let work = Work {
            organization: "local",
            repository: "app",
            bookmark: Some("main"),
            edits,
            lower,
            left_out: Vec::new(),
            time: Timestamp {
                seconds: 1_795_500_757,
                nanoseconds: 0,
            },
        };
        let mut out = Vec::new();
        let exported = write(&work, format, &mut out)?;
        Ok((out, exported))
    }

    pub fn export(&self, edits: &[Edit], format: Format) -> Result<(Vec<u8>, Exported), Error> {
        self.export_from(&self.lower(), edits, format)
    }

    pub fn clone(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let clone = folder.path().join("clone");
        let (from, to) = (self.origin(), clone.display().to_string());
        git(
            folder.path(),
            &["clone", "--quiet", from.to_str().unwrap(), &to],
        );
        (folder, clone)
    }

    /// The tree that a bundle brings.
    pub fn by_bundle(&self, edits: &[Edit]) -> Option<String> {
        let (bytes, exported) = match self.export(edits, Format::Bundle) {
            Err(Error::Nothing) => return None,
            exported => exported.unwrap(),
        };
        let (commit, reference) = exported.commit.unwrap();
        let (_folder, clone) = self.clone();
        fs::write(clone.join("../x.bundle"), bytes).unwrap();
        git(&clone, &["bundle", "verify", "--quiet", "../x.bundle"]);
        git(
            &clone,
            &[
                "fetch",
                "--quiet",
                "../x.bundle",
                &format!("{reference}:{reference}"),
            ],
        );
        assert_eq!(
            git_text(&clone, &["rev-parse", &reference]),
            commit.to_string()
        );
        assert_eq!(
            git_text(&clone, &["rev-parse", &format!("{commit}^")]),
            self.pin.commit.to_string()
        );
        let said = git_text(&clone, &["fsck", "--strict", "--no-dangling"]);
        assert_eq!(said, "");
        Some(git_text(
            &clone,
            &["rev-parse", &format!("{commit}^{{tree}}")],
        ))
    }

    /// The tree that `git am` makes of a patch.
    pub fn by_patch(&self, lower: &Lower, edits: &[Edit]) -> Option<String> {
        let (bytes, _) = match self.export_from(lower, edits, Format::Patch) {
            Err(Error::Nothing) => return None,
            exported => exported.unwrap(),
        };
        let (_folder, clone) = self.clone();
        fs::write(clone.join("../x.mbox"), &bytes).unwrap();
        git(&clone, &["am", "--quiet", "../x.mbox"]);
        Some(git_text(&clone, &["rev-parse", "HEAD^{tree}"]))
    }

    /// The tree that an import of a tar makes, in a clone; twice, which must not matter.
    pub fn by_tar(&self, edits: &[Edit]) -> Option<String> {
        let (bytes, _) = match self.export(edits, Format::Tar) {
            Err(Error::Nothing) => return None,
            exported => exported.unwrap(),
        };
        let (_folder, clone) = self.clone();
        let folder = Folder::open(&clone).unwrap();
        let mut archive = Archive::open(Cursor::new(bytes)).unwrap();
        let first = archive.apply(&folder, Overwrite::Never).unwrap();
        assert_eq!(first.contradicting, [], "{edits:#?}");
        let again = archive.apply(&folder, Overwrite::Never).unwrap();
        assert_eq!((again.changed, &again.contradicting[..]), (0, &[][..]));
        assert_eq!(again.unchanged, first.changed + first.unchanged);
        // A submodule is a directory there; what became of it is not the tar's to say.
        let modules: &[&str] = match clone.join("src/module").is_dir() {
            true => &["add", "-A", "--", ":/", ":!src/module"],
            false => &["add", "-A"],
        };
        git(&clone, modules);
        Some(git_text(&clone, &["write-tree"]))
    }

    pub fn check(&self, edits: &[Edit]) -> Option<String> {
        let bundle = self.by_bundle(edits);
        assert_eq!(
            self.by_patch(&self.lower(), edits),
            bundle,
            "patch: {edits:#?}"
        );
        bundle
    }
}
