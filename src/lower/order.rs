//! What comes first when all below a directory is fetched: what tells how to work there, then what is
//! small, then the rest.
//!
//! So whoever begins to read meanwhile, or has no patience for all of it, has what is looked at first. The
//! order is that of some thousand files at a time, since nobody holds a list of a million.

use std::collections::VecDeque;

use super::Located;

/// Files of a batch, and their bytes: a second or so of a slow network.
pub(super) const BATCH_FILES: usize = 1_024;
pub(super) const BATCH_BYTES: u64 = 4 << 20;
/// Files that are held back for better ones, at a hundred bytes each: as many as are under way at once.
const HELD_MAX: usize = 4 * BATCH_FILES;
/// The largest small one: of the sources of our own dependencies, 95 % of the files, and less than half of
/// the bytes.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// Files that are fetched together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) files: Vec<Located>,
    pub(super) bytes: u64,
}

/// Files that were found, and are not asked for yet.
#[derive(Default)]
pub(super) struct Waiting {
    ranks: [VecDeque<Located>; 3],
}

impl Waiting {
    pub(super) fn add(&mut self, file: Located) {
        let (path, _, size) = &file;
        let [first, small, rest] = &mut self.ranks;
        let rank = match is_first(path.last_bytes()) {
            true if *size <= SMALL_BYTES_MAX => first,
            _ if *size <= SMALL_BYTES_MAX => small,
            _ => rest,
        };
        rank.push_back(file);
    }

    /// Whether there are so many that the first of them are not to wait for better ones.
    pub(super) fn is_full(&self) -> bool {
        self.ranks.iter().map(VecDeque::len).sum::<usize>() >= HELD_MAX
    }

    /// Takes the first of them; `None` when there are none.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while batch.files.len() < BATCH_FILES && batch.bytes < BATCH_BYTES {
            let Some(file) = self.ranks.iter_mut().find_map(VecDeque::pop_front) else {
                break;
            };
            batch.bytes += file.2;
            batch.files.push(file);
        }
        (!batch.files.is_empty()).then_some(batch)
    }
}

/// Whether a file of that name is looked at before its directory's others, by people, agents or the tools
/// that they begin with.
fn is_first(name: &[u8]) -> bool {
    let begins = |with: &str| {
        let head = name.get(..with.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()))
    };
    // What it is, and how to work on it: for people, and as the makers of agents have them look for it.
    begins("readme")
        || begins("contributing")
        || matches!(
            name,
            b"AGENTS.md" | b"CLAUDE.md" | b"GEMINI.md" | b"copilot-instructions.md" | b".cursorrules"
        )
        // What Git, and what searches as Git does, reads in a directory before it looks at the files.
        || matches!(
            name,
            b".gitignore" | b".gitattributes" | b".gitmodules" | b".ignore" | b".editorconfig"
                | b".mesaignore"
        )
        // What the common build tools are pointed at: it says what there is, and how it is built.
        || matches!(
            name,
            b"Makefile" | b"makefile" | b"GNUmakefile" | b"justfile" | b"CMakeLists.txt"
                | b"meson.build" | b"configure.ac" | b"Dockerfile" | b"compose.yaml"
                | b"docker-compose.yml" | b"BUILD" | b"BUILD.bazel" | b"MODULE.bazel" | b"WORKSPACE"
                | b"Cargo.toml" | b"rust-toolchain.toml" | b"go.mod" | b"go.work" | b"package.json"
                | b"pnpm-workspace.yaml" | b"tsconfig.json" | b"deno.json" | b"pyproject.toml"
                | b"setup.py" | b"setup.cfg" | b"requirements.txt" | b"tox.ini" | b"pom.xml"
                | b"build.gradle" | b"build.gradle.kts" | b"settings.gradle" | b"settings.gradle.kts"
                | b"Gemfile" | b"Rakefile" | b"composer.json" | b"mix.exs" | b"Package.swift"
                | b"build.sbt" | b"build.zig" | b"flake.nix" | b"stack.yaml"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{GitOid, TreePath};

    fn file(path: &str, size: u64) -> Located {
        (TreePath::try_from(path).unwrap(), GitOid([1; 20]), size)
    }

    fn names(batch: &Batch) -> Vec<String> {
        batch
            .files
            .iter()
            .map(|(path, ..)| path.to_string())
            .collect()
    }

    #[test]
    fn what_tells_how_to_work_comes_first_then_what_is_small() {
        let mut waiting = Waiting::default();
        for (path, size) in [
            ("a.bin", 1 << 20),
            ("a.rs", 100),
            ("Cargo.lock", SMALL_BYTES_MAX + 1),
            ("deep/down/Readme.rst", 10),
            ("b.rs", 100),
            ("deep/Cargo.toml", 10),
            ("README", SMALL_BYTES_MAX + 1),
            ("Cargo.toml.orig", 10),
        ] {
            waiting.add(file(path, size));
        }
        let batch = waiting.next().unwrap();
        assert_eq!(
            names(&batch),
            [
                "deep/down/Readme.rst",
                "deep/Cargo.toml",
                "a.rs",
                "b.rs",
                "Cargo.toml.orig",
                "a.bin",
                "Cargo.lock",
                "README"
            ]
        );
        assert!(waiting.next().is_none());
    }

    #[test]
    fn batches_are_bounded_by_files_and_by_bytes_and_so_is_what_waits() {
        let mut waiting = Waiting::default();
        for number in 0..HELD_MAX {
            assert!(!waiting.is_full());
            waiting.add(file(&number.to_string(), 1));
        }
        assert!(waiting.is_full());
        assert_eq!(waiting.next().unwrap().files.len(), BATCH_FILES);
        assert!(!waiting.is_full());
        let mut large = Waiting::default();
        for number in 0..9 {
            large.add(file(&number.to_string(), 1 << 20));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| large.next())
            .map(|batch| batch.files.len())
            .collect();
        assert_eq!(sizes, [4, 4, 1]);
    }
}
