//! What a repository of many files costs: counts of requests, and bytes of memory, for each of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::git;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

const FOLDERS: usize = 400;
const FILES: usize = 50 * FOLDERS;

/// A repository of that many files, all of one commit, which therefore touches them all.
fn repository(folder: &Path) -> PathBuf {
    let root = folder.join("many");
    fs::create_dir(&root).unwrap();
    run(git::git(&root).args(["init", "--quiet", "--initial-branch", "main"])).success();
    let mut commit = "commit refs/heads/main\ncommitter A <a@b.c> 1700000000 +0000\n".to_owned();
    commit.push_str("data 4\nmany\n");
    for file in 0..FILES {
        let (folder, content) = (file / 50, format!("content of file {file}\n"));
        let path = format!("top-{}/folder-{folder}/file-{file}", folder / 20);
        let bytes = content.len();
        writeln!(commit, "M 644 inline {path}\ndata {bytes}\n{content}").unwrap();
    }
    let input = folder.join("commit");
    fs::write(&input, commit).unwrap();
    let mut import = git::git(&root);
    import.args(["fast-import", "--quiet"]);
    import.stdin(fs::File::open(&input).unwrap());
    assert!(import.status().unwrap().success());
    root
}

fn figures(world: &World) -> BTreeMap<String, u64> {
    let text = run(&mut world.mesa(&["stats", "--format", "prometheus"])).success();
    let lines = text.text();
    let figures = lines.lines().filter_map(|line| line.rsplit_once(' '));
    let figures = figures.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    figures.collect()
}

/// Of all kinds.
fn total(figures: &BTreeMap<String, u64>, name: &str) -> u64 {
    let of_name = figures.iter().filter(|(key, _)| key.starts_with(name));
    of_name.map(|(_, count)| count).sum()
}

fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let count = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => walk(&entry.path()),
        false => 1,
    };
    entries.map(count).sum()
}

fn memory(world: &World) -> u64 {
    world.with_daemon(|daemon| daemon.memory_kib("RssAnon").unwrap())
}

/// Inodes are what the kernel makes of files and keeps; here no more than the memory allows, though nobody
/// asks the kernel for memory of its own.
#[test]
fn a_walk_over_many_files_costs_few_requests_and_bounded_memory() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path()))]);
    world.mount();
    let app = world.repo("app");
    fs::metadata(&app).unwrap();
    let opening = figures(&world);
    let bytes = total(&opening, "mesa_remote_received_bytes_total");
    assert!((1..131_072).contains(&bytes), "{bytes} bytes: {opening:?}");

    let before = memory(&world);
    assert_eq!(walk(&app), FILES);
    let per_file = (memory(&world).saturating_sub(before)) * 1024 / FILES as u64;
    assert!(per_file < 768, "{per_file} bytes for each file");
    let requests = "mesa_remote_requests_total";
    let asked = total(&figures(&world), requests) - total(&opening, requests);
    assert!(asked < 30, "{asked} requests");
    world.unmount("10s").success();

    // A quarter of it is for inodes, and 256 bytes each: 1,024.
    world.set("MESA_CACHE_MAX_MEMORY_SIZE", "1MiB");
    world.mount();
    assert_eq!(walk(&app), FILES);
    let used = fs::File::open(app.join("top-0/folder-0/file-7")).unwrap();
    let inodes = || figures(&world)["mesa_inodes{repo=\"local/app\"}"];
    wait_until("the kernel lets go", Duration::from_secs(20), || {
        inodes() < 1_100
    });
    assert_eq!(
        std::io::read_to_string(used).unwrap(),
        "content of file 7\n"
    );
    assert_eq!(walk(&app), FILES);
}
