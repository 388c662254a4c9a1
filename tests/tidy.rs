//! The rules of the house that no compiler checks: which way imports point, one door to each
//! dependency, a head in every file, files of a readable length, and a README of two commands.
//!
//! It reads text, not syntax: comments are cut off, and whatever then looks like `crate::folder` or
//! `dependency::` counts. That is coarse, and errs on the strict side.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Past this there is a second idea in a file.
const LINES_MAX: usize = 400;

/// What each folder of `src` may import of ours. The architecture page draws it.
const IMPORTS: [(&str, &[&str]); 14] = [
    ("failpoints", &[]),
    ("traced", &[]),
    ("tree", &[]),
    ("secrets", &[]),
    ("config", &["secrets"]),
    ("lower", &["tree"]),
    ("upper", &["failpoints", "tree"]),
    ("overlay", &["failpoints", "upper", "lower", "tree"]),
    ("export", &["failpoints", "lower", "tree"]),
    ("fuse", &["overlay", "lower", "traced", "tree"]),
    (
        "remote",
        &["failpoints", "lower", "secrets", "traced", "tree"],
    ),
    ("server", &["remote", "tree"]),
    (
        "daemon",
        &[
            "fuse", "overlay", "upper", "lower", "remote", "config", "secrets", "traced", "tree",
            "export",
        ],
    ),
    (
        "cli",
        &[
            "daemon", "server", "remote", "config", "secrets", "lower", "tree", "export",
        ],
    ),
];

/// Where a dependency may be named: path prefixes, and whether it must be one file.
const DOORS: [(&str, &[&str], Door); 24] = [
    ("sled", &["src/upper/"], Door::OneFile),
    ("gix", &["src/server/git"], Door::Anywhere),
    ("reqwest", &["src/remote/http"], Door::Anywhere),
    ("fuser", &["src/fuse/"], Door::Anywhere),
    ("io_uring", &["src/fuse/ring/"], Door::OneFile),
    ("memmap2", &["src/fuse/ring/"], Door::OneFile),
    ("clap", &["src/cli/", "src/main.rs"], Door::Anywhere),
    ("indicatif", &["src/cli/"], Door::OneFile),
    // The client's own tests are answered by scripted servers.
    (
        "axum",
        &[
            "src/server/",
            "src/remote/bookmarks_tests.rs",
            "src/remote/fake.rs",
            "src/remote/publish_tests.rs",
            "src/remote/push_tests.rs",
            "src/remote/tests.rs",
        ],
        Door::Anywhere,
    ),
    ("axum_server", &["src/server/"], Door::OneFile),
    ("rustls", &["src/server/"], Door::OneFile),
    ("governor", &["src/server/"], Door::OneFile),
    ("prometheus_client", &["src/server/"], Door::OneFile),
    ("opentelemetry", &["src/daemon/"], Door::OneFile),
    ("opentelemetry_sdk", &["src/daemon/"], Door::OneFile),
    ("opentelemetry_otlp", &["src/daemon/"], Door::OneFile),
    ("tracing_opentelemetry", &["src/daemon/"], Door::OneFile),
    ("ignore", &["src/overlay/"], Door::Anywhere),
    ("age", &["src/secrets/"], Door::OneFile),
    ("toml", &["src/config/", "src/secrets/"], Door::Anywhere),
    ("tar", &["src/export/"], Door::Anywhere),
    (
        "flate2",
        &[
            "src/export/",
            "src/server/git/compare/",
            "src/server/git/large.rs",
            "src/server/http/smart/incoming.rs",
        ],
        Door::Anywhere,
    ),
    (
        "imara_diff",
        &[
            "src/export/hunks.rs",
            "src/server/git/compare/hunks.rs",
            "src/server/git/lines.rs",
            "src/server/git/merge/text.rs",
        ],
        Door::Anywhere,
    ),
    (
        "tokio",
        &["src/remote/", "src/server/", "src/daemon/", "src/cli/"],
        Door::Anywhere,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// One file, so that replacing the dependency means replacing that file.
    OneFile,
    /// Anywhere below the prefixes.
    Anywhere,
}

/// A source file with its path below the repository's root.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The code: comments are cut off, and text in quotes does not matter to these checks.
    fn code(&self) -> String {
        self.text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(""))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below some folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.push(Source {
                    path: path.to_owned(),
                    text,
                });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(!found.is_empty(), "no sources below {folders:?}");
    found
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The first segments after each `crate::`, also of `crate::{a, b::c}`, with the second segment.
fn crate_imports(code: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (start, marker) in code.match_indices("crate::") {
        if code[..start].ends_with(|letter: char| is_word(letter) || letter == '$') {
            continue;
        }
        let rest = &code[start + marker.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(two_segments(rest));
            continue;
        };
        let mut depth = 0_i32;
        let mut item = String::new();
        for letter in group.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(two_segments(item.trim()));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(letter);
        }
        if !item.trim().is_empty() {
            found.insert(two_segments(item.trim()));
        }
    }
    found
}

fn two_segments(path: &str) -> (String, String) {
    let segment = |text: &str| text.chars().take_while(|letter| is_word(*letter)).collect();
    let first: String = segment(path);
    let rest = path[first.len()..].strip_prefix("::").unwrap_or("");
    (first, segment(rest))
}

/// Whether code names a dependency: `name::`, where the name is neither the end of a longer word
/// nor a module of ours (`super::name::`).
fn names(code: &str, dependency: &str) -> bool {
    code.match_indices(dependency).any(|(start, _)| {
        let (before, after) = (&code[..start], &code[start + dependency.len()..]);
        let inside = before.strip_suffix("::").unwrap_or(before);
        after.starts_with("::") && !inside.ends_with(is_word)
    })
}

#[test]
fn imports_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources(&["src"]) {
        let mut parts = source.path.split('/').skip(1);
        let folder = parts.next().unwrap().trim_end_matches(".rs");
        if folder == "lib" || folder == "main" {
            continue;
        }
        let Some(imports) = allowed.get(folder) else {
            wrong.push(format!(
                "{}: folder {folder} is not in the table",
                source.path
            ));
            continue;
        };
        for (first, second) in crate_imports(&source.code()) {
            let ours = allowed.contains_key(first.as_str());
            if ours && first != folder && !imports.contains(&first.as_str()) {
                wrong.push(format!("{}: imports {first}", source.path));
            }
            // The contract's words, and the way by which webhooks go out.
            let is_shared = ["api", "Destination", "Failure"].contains(&second.as_str());
            if folder == "server" && first == "remote" && !is_shared {
                wrong.push(format!("{}: imports remote::{second}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports against the grain:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_journal_stands_alone() {
    for source in sources(&["journal/src"]) {
        for foreign in ["mesa", "fuser", "reqwest", "sled", "tokio", "axum", "gix"] {
            assert!(
                !names(&source.code(), foreign),
                "{}: {foreign}",
                source.path
            );
        }
    }
}

#[test]
fn each_dependency_has_one_door() {
    let sources = sources(&["src"]);
    let mut wrong = Vec::new();
    for (dependency, prefixes, door) in DOORS {
        let users: Vec<&str> = sources
            .iter()
            .filter(|source| names(&source.code(), dependency))
            .map(|source| source.path.as_str())
            .collect();
        for user in &users {
            if !prefixes.iter().any(|prefix| user.starts_with(prefix)) {
                wrong.push(format!("{user}: names {dependency}"));
            }
        }
        if door == Door::OneFile && users.len() > 1 {
            wrong.push(format!(
                "{dependency} is named in {users:?}, not in one file"
            ));
        }
    }
    assert!(wrong.is_empty(), "doors:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_has_a_head_and_a_readable_length() {
    let mut wrong = Vec::new();
    for source in sources(&["src", "journal", "tests", "benches", "fuzz"]) {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin with //!", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert!(wrong.is_empty(), "heads and lengths:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_to_be_written() {
    // In pieces, so that this file does not find itself.
    let marks = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("SKEL", "ETON"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
    ];
    let mut wrong = Vec::new();
    for source in sources(&["src", "journal", "tests", "benches", "fuzz"]) {
        for mark in marks {
            if source.text.contains(mark) {
                wrong.push(format!("{}: {mark}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "unfinished:\n{}", wrong.join("\n"));
}

/// The commands in the README's section of that name, one for each line of its code blocks.
fn commands(readme: &str, section: &str) -> Vec<String> {
    let mut inside = false;
    let mut fenced = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        if !fenced && line.starts_with("## ") {
            inside = line == format!("## {section}");
        } else if line.starts_with("```") {
            fenced = !fenced;
        } else if inside && fenced && !line.trim().is_empty() {
            found.push(line.to_owned());
        }
    }
    found
}

#[test]
fn the_readme_has_two_set_up_commands_and_ci_runs_both() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands = commands(&readme, "Set-up");
    assert_eq!(commands.len(), 2, "{commands:?}");
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    for command in commands {
        assert!(ci.contains(&command), ".ci/run does not run: {command}");
    }
}

#[test]
fn the_readme_lists_every_exit_code() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for code in 0..=5 {
        assert!(
            readme.contains(&format!("\n| {code} |")),
            "exit code {code}"
        );
    }
}
