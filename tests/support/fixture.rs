//! Repositories to serve: a real one, made of sources that cargo downloaded, and small ones.
//!
//! The real one is kept below cargo's own directory for such files, under a name that says what it
//! is made of, so that it is built once per machine and never goes stale.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::git::{commit_all, git_text};
use super::process::run;

/// Raised when the recipe changes.
const RECIPE: &str = "2";
/// Sources that our own dependencies bring along: together well over a thousand files.
const PACKAGES: [&str; 5] = ["tokio", "libc", "rustix", "gix", "zerocopy"];
/// One more than fits any buffer in a single piece.
pub const LARGE_BYTES: usize = 64 << 20;
/// Entries of the wide directory.
pub const WIDE_ENTRIES: usize = 5_000;
/// Depth of the nested directories.
pub const NESTED_LEVELS: usize = 60;

/// A repository of more than 7,000 files with history and everything that is awkward in names,
/// kinds and sizes.
///
/// # Panics
///
/// It cannot be made: Git is missing, or cargo's sources are.
pub fn real() -> &'static Path {
    static REAL: OnceLock<PathBuf> = OnceLock::new();
    REAL.get_or_init(|| {
        let sources = sources(&PACKAGES);
        let mut key = blake3::Hasher::new();
        key.update(RECIPE.as_bytes());
        for (_, source) in &sources {
            key.update(source.as_os_str().as_bytes());
        }
        let key = key.finalize().to_hex();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
        kept_or_built(&kept.join(format!("repository-{}", &key[..16])), |folder| {
            build_real(folder, &sources);
        })
    })
}

/// A repository of many small files in many folders, for measurements.
pub fn many(files: usize) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    kept_or_built(&kept.join(format!("many-{files}-{RECIPE}")), |folder| {
        git_text(folder, &["init", "--quiet"]);
        for index in 0..files {
            let (top, middle) = (index / 2_500, index / 50 % 50);
            let path = folder.join(format!("top-{top:03}/middle-{middle:02}/file-{index}.txt"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("file number {index}\n")).unwrap();
        }
        fs::write(folder.join("README.md"), "many files\n").unwrap();
        commit_all(folder, "many files");
        git_text(folder, &["-c", "pack.compression=1", "repack", "-adq"]);
    })
}

/// A small repository of a few files in a new folder: enough to have something below the edits.
pub fn small(folder: &Path) -> PathBuf {
    let root = folder.join("small");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("README.md", "# Small\n\nA repository for tests.\n");
    write("src/main.rs", "fn main() {\n    println!(\"hello\");\n}\n");
    write("src/deep/a/b/c/leaf.txt", "leaf\n");
    write("src/deep/a/other.txt", "other\n");
    write("docs/one.md", "one\n");
    write("docs/two.md", "two\n");
    write("bin/tool", "#!/bin/sh\necho tool\n");
    write("empty", "");
    fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../docs/one.md", root.join("src/link")).unwrap();
    super::git::initialise(&root);
    root
}

/// Bytes that do not compress and are the same everywhere.
pub fn noise(seed: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed.as_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Gives a kept folder, building it beside its place first when there is none.
fn kept_or_built(kept: &Path, build: impl FnOnce(&Path)) -> PathBuf {
    if !kept.exists() {
        let parent = kept.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        let building = tempfile::tempdir_in(parent).unwrap();
        let folder = building.path().join("repository");
        fs::create_dir(&folder).unwrap();
        build(&folder);
        // Another test binary may have been faster: then theirs is as good.
        if let Err(error) = fs::rename(&folder, kept) {
            assert!(kept.exists(), "{kept:?}: {error}");
        }
    }
    kept.to_owned()
}

/// The platform that cargo builds for.
fn host() -> String {
    let version = run(Command::new("rustc").arg("-vV")).success().text();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc does not say its host").to_owned()
}

/// Folders of packages that our own dependencies bring along, as cargo tells.
///
/// # Panics
///
/// One is no dependency any more.
pub fn sources(names: &[&'static str]) -> Vec<(&'static str, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = run(Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        // What other platforms need was perhaps never downloaded.
        .args(["--filter-platform", &host()]))
    .success();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    names
        .iter()
        .map(|name| {
            let package = packages.iter().find(|package| package["name"] == *name);
            let package = package.unwrap_or_else(|| panic!("no package {name} in our lock file"));
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            (*name, manifest.parent().unwrap().to_owned())
        })
        .collect()
}

fn build_real(root: &Path, sources: &[(&str, PathBuf)]) {
    git_text(root, &["init", "--quiet"]);
    let mut files = 0;
    for (name, source) in sources {
        files += copy_sources(source, &root.join("vendor").join(name));
        commit_all(root, &format!("vendor: {name}"));
    }
    assert!(files >= 1_000, "only {files} files of real sources");
    git_text(root, &["mv", "vendor/zerocopy", "vendor/copy"]);
    fs::remove_dir_all(root.join("vendor/libc/ci")).ok();
    fs::write(root.join("vendor/tokio/README.md"), "edited\n").unwrap();
    commit_all(root, "vendor: rename, delete and edit");
    kinds_and_bytes(root);
    names(root);
    shapes(root);
    commit_all(root, "what is awkward");
    fs::write(root.join("data/large.bin"), noise("large", LARGE_BYTES)).unwrap();
    commit_all(root, "data: a large file");
}

/// Copies regular files; attributes files stay behind, since they would change bytes on checkout.
fn copy_sources(from: &Path, to: &Path) -> usize {
    fs::create_dir_all(to).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            files += copy_sources(&entry.path(), &target);
        } else if kind.is_file() && entry.file_name() != ".gitattributes" {
            fs::copy(entry.path(), target).unwrap();
            files += 1;
        }
    }
    files
}

fn kinds_and_bytes(root: &Path) {
    fs::create_dir_all(root.join("data")).unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    fs::write(root.join("data/every-byte.bin"), every_byte).unwrap();
    fs::write(root.join("data/noise.bin"), noise("noise", 300_001)).unwrap();
    fs::write(root.join("data/zeros.bin"), vec![0; 1 << 20]).unwrap();
    fs::write(root.join("data/crlf.txt"), "one\r\ntwo\r\nno end").unwrap();
    fs::write(root.join("data/empty"), "").unwrap();
    fs::create_dir_all(root.join("tools")).unwrap();
    for (name, mode) in [("run", 0o755), ("owner-only", 0o700), ("plain", 0o644)] {
        let path = root.join("tools").join(name);
        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(root.join("links")).unwrap();
    let long = "../".repeat(300) + "nowhere";
    for (name, target) in [
        ("relative", "../data/crlf.txt"),
        ("folder", "../vendor/tokio"),
        ("dangling", "no/such/file"),
        ("absolute", "/etc/hostname"),
        ("self", "self"),
        ("long", &long),
        ("ünïcode", "../näme/日本語.txt"),
    ] {
        symlink(target, root.join("links").join(name)).unwrap();
    }
}

fn names(root: &Path) {
    let folder = root.join("näme");
    fs::create_dir_all(&folder).unwrap();
    let ascii = "n".repeat(255);
    let wide = "語".repeat(85);
    for name in [
        "日本語.txt",
        "🦀 crab.rs",
        "e\u{301}-decomposed",
        "\u{e9}-composed",
        "with space",
        " leading",
        "trailing ",
        "tab\there",
        "line\nend",
        "quote\"s'`",
        "back\\slash",
        "-dash",
        "...",
        "..a",
        "percent%20%2F",
        "question?&=#",
        "CASE",
        "case",
        "~",
        "a:b",
        &ascii,
        &wide,
    ] {
        fs::write(folder.join(OsStr::new(name)), format!("named {name}\n")).unwrap();
    }
    let long_folder = folder.join("f".repeat(255));
    fs::create_dir_all(&long_folder).unwrap();
    fs::write(long_folder.join("x".repeat(255)), "long below long\n").unwrap();
}

fn shapes(root: &Path) {
    let wide = root.join("wide");
    fs::create_dir_all(&wide).unwrap();
    for index in 0..WIDE_ENTRIES {
        fs::write(wide.join(format!("entry-{index:05}")), format!("{index}\n")).unwrap();
    }
    let mut nested = root.join("nested");
    for level in 1..=NESTED_LEVELS {
        nested.push(format!("level-{level}"));
    }
    fs::create_dir_all(&nested).unwrap();
    fs::write(nested.join("bottom.txt"), "sixty levels down\n").unwrap();
}
