//! Work leaves a sandbox whose server is gone and whose token is dead, and arrives elsewhere whole.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::fixture::{self, noise};
use crate::support::git::{git, git_text};
use crate::support::process::run;
use crate::support::tree::{Entry, Tree};
use crate::support::world::World;

/// A world whose repository has been edited in every way, and whose server was gone all the while.
struct Cut {
    world: World,
    source: tempfile::TempDir,
    /// The mounted tree after the edits.
    tree: Tree,
}

impl Cut {
    fn new() -> Cut {
        let source = tempfile::tempdir().unwrap();
        let mut world = World::with("app", &fixture::small(source.path()));
        let app = world.repo("app");
        // What was read before is here; the rest of the work needs nothing else.
        world.local_tree("app");
        world.stop_server();
        world.token = "dead".to_owned();
        edit(&app);
        let tree = world.local_tree("app");
        Cut {
            world,
            source,
            tree,
        }
    }

    /// What Git can hold of it: no directory that has no file below it.
    fn git_tree(&self) -> Tree {
        let files: Vec<&PathBuf> = self
            .tree
            .0
            .iter()
            .filter(|(_, entry)| !matches!(entry, Entry::Directory | Entry::Other))
            .map(|(path, _)| path)
            .collect();
        let holds = |path: &Path| files.iter().any(|file| file.starts_with(path));
        let kept = self.tree.0.iter().filter(|(path, _)| holds(path));
        Tree(
            kept.map(|(path, entry)| (path.clone(), entry.clone()))
                .collect(),
        )
    }

    /// What a tar carries of it: all but the pipe.
    fn whole_tree(&self) -> Tree {
        let mut tree = self.tree.clone();
        assert_eq!(tree.0.remove(Path::new("pipe")), Some(Entry::Other));
        tree
    }

    /// Exports, and checks what is said of it.
    #[track_caller]
    fn export(&self, format: &str, name: &str) -> PathBuf {
        let path = self.world.folder().join(name);
        let mut command = self
            .world
            .mesa(&["journal", "export", "--json", "--format", format]);
        let said = run(command.arg("--output").arg(&path)).success();
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(said["format"], format);
        assert_eq!(
            (&said["org"], &said["name"]),
            (&"local".into(), &"app".into())
        );
        assert!(
            said["not_pushed_operations"].as_u64().unwrap() > 5,
            "{said}"
        );
        assert_eq!(said["bytes"], fs::metadata(&path).unwrap().len());
        let base = git_text(&self.source.path().join("small"), &["rev-parse", "HEAD"]);
        assert_eq!(said["base"]["commit_oid"], base.trim());
        let left_out: Vec<&str> = said["left_out"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["path"].as_str().unwrap())
            .collect();
        let mut expected = vec!["pipe"];
        if format != "tar" {
            expected.extend(["bin", "hollow/inner"]);
        }
        assert_eq!(left_out, expected, "{said}");
        assert_eq!(
            fs::read_dir(self.world.data().join("exports"))
                .unwrap()
                .count(),
            0,
            "an export stays behind in the data directory"
        );
        path
    }

    fn clone(&self, name: &str) -> PathBuf {
        let clone = self.world.folder().join(name);
        let from = self.source.path().join("small");
        let to = clone.to_str().unwrap();
        git_text(
            self.world.folder(),
            &["clone", "--quiet", from.to_str().unwrap(), to],
        );
        clone
    }

    #[track_caller]
    fn check_bundle(&self, bundle: &Path) {
        let clone = self.clone("by-bundle");
        let bundle = bundle.to_str().unwrap();
        git_text(&clone, &["bundle", "verify", "--quiet", bundle]);
        let refs = "refs/heads/mesa/*:refs/heads/mesa/*";
        git_text(&clone, &["fetch", "--quiet", bundle, refs]);
        let fetched = git_text(
            &clone,
            &["for-each-ref", "--format=%(refname)", "refs/heads/mesa"],
        );
        git_text(&clone, &["fsck", "--strict", "--no-dangling"]);
        Tree::of_commit(&clone, fetched.trim()).assert_equals(&self.git_tree(), "bundle and mount");
        fs::remove_dir_all(clone).unwrap();
    }

    #[track_caller]
    fn check_patch(&self, patch: &Path) {
        let clone = self.clone("by-patch");
        run(git(&clone).args(["am", "--quiet"]).arg(patch)).success();
        Tree::of_commit(&clone, "HEAD").assert_equals(&self.git_tree(), "patch and mount");
        fs::remove_dir_all(clone).unwrap();
    }

    /// Another machine: a server with the same base, a token, an empty mount.
    fn elsewhere(&self) -> World {
        World::with("app", &self.source.path().join("small"))
    }
}

fn edit(app: &Path) {
    let write = |path: &str, bytes: &[u8]| {
        let path = app.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("README.md", b"# Small\n\nEdited without a server.");
    write("src/main.rs", b"fn main() {}\n");
    write("empty", &noise("binary", 40_000));
    write("new/deep/file.txt", b"new\n");
    write("new/näme \"quoted\".txt", b"odd\n");
    write("new/crlf.txt", b"one\r\ntwo\r\n");
    write("new/big.bin", &noise("big", 20 << 20));
    fs::remove_file(app.join("bin/tool")).unwrap();
    fs::rename(app.join("src/deep"), app.join("shallow")).unwrap();
    write("shallow/a/other.txt", b"edited after the move\n");
    fs::rename(app.join("docs/one.md"), app.join("docs/eins.md")).unwrap();
    symlink("../README.md", app.join("docs/readme")).unwrap();
    fs::set_permissions(app.join("docs/two.md"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(app.join("hollow/inner")).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&app.join("pipe"), mode).unwrap();
}

/// What `mesa journal import --json` says.
#[track_caller]
fn import(world: &World, arguments: &[&str], code: i32) -> serde_json::Value {
    let mut command = world.mesa(&["journal", "import", "--json"]);
    let said = run(command.args(arguments)).expect(code);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("no JSON: {said}"))
}

#[test]
fn work_leaves_with_a_daemon_and_arrives_by_every_format() {
    let cut = Cut::new();
    cut.check_bundle(&cut.export("bundle", "work.bundle"));
    let patch = cut.export("patch", "work.mbox");
    cut.check_patch(&patch);
    let tar = cut.export("tar", "work.tar");

    let other = cut.elsewhere();
    let tar = tar.to_str().unwrap();
    assert!(import(&other, &[tar], 0)["changed"].as_u64().unwrap() > 10);
    let arrived = other.local_tree("app");
    arrived.assert_equals(&cut.whole_tree(), "imported and exported");
    let again = import(&other, &[tar], 0);
    assert_eq!(again["changed"], 0, "{again}");
    other.flush_and_compare("app");

    let third = cut.elsewhere();
    let patch = patch.to_str().unwrap();
    let refused = run(&mut third.mesa(&["journal", "import", patch])).expect(1);
    assert!(refused.errors().contains("--repo"), "{refused}");
    import(&third, &[patch, "--repo", "local/app"], 0);
    let again = import(&third, &[patch, "--repo", "local/app"], 0);
    assert_eq!(again["changed"], 0, "{again}");
    third.flush();
    third
        .remote_tree("app")
        .assert_equals(&cut.git_tree(), "imported by patch and exported");
}

#[test]
fn work_leaves_after_the_daemon_was_killed_and_after_an_unmount() {
    let mut cut = Cut::new();
    cut.world.kill_daemon_hard();
    cut.check_bundle(&cut.export("bundle", "killed.bundle"));
    cut.check_patch(&cut.export("patch", "killed.mbox"));
    cut.world.mount();
    let umount = cut.world.unmount("0s");
    assert!([4, 5].contains(&umount.code()), "{umount}");
    cut.check_bundle(&cut.export("bundle", "unmounted.bundle"));
    let tar = cut.export("tar", "unmounted.tar");

    let other = cut.elsewhere();
    import(&other, &[tar.to_str().unwrap()], 0);
    other
        .local_tree("app")
        .assert_equals(&cut.whole_tree(), "imported and exported");
    // And here it all still is.
    cut.world.mount();
    cut.world
        .local_tree("app")
        .assert_equals(&cut.tree, "after the exports and before");
}

#[test]
fn an_export_needs_no_names_but_when_there_is_a_choice() {
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("one", &small), ("two", &small)]);
    world.mount();
    let export = |arguments: &[&str]| {
        let mut command = world.mesa(&["journal", "export"]);
        run(command.args(arguments))
    };
    let nothing = export(&[]).expect(1);
    assert!(nothing.errors().contains("hint: --repo"), "{nothing}");
    let unknown = export(&["--repo", "local/three"]).expect(1);
    assert!(unknown.errors().contains("local/three"), "{unknown}");

    fs::write(world.repo("one").join("edit"), "edit\n").unwrap();
    world.flush();
    let pushed = export(&["--repo", "local/one"]).success();
    assert!(
        pushed.errors().contains("the remote has all of it"),
        "{pushed}"
    );
    let name = pushed.text();
    assert!(
        name.starts_with("one-") && name.ends_with(".bundle"),
        "{pushed}"
    );
    assert!(world.folder().join(name).is_file());
    let unedited = export(&["--repo", "local/two"]);
    assert_eq!(unedited.code(), 1, "{unedited}");

    let piped = export(&["--repo", "one", "--format", "patch", "-o", "-"]).success();
    assert!(piped.text().contains("+edit\n"), "{piped}");
    run(&mut world.mesa(&["journal", "import", "nonsense"])).expect(1);
}

#[test]
fn an_import_that_contradicts_or_leads_outside_changes_nothing() {
    let cut = Cut::new();
    let tar = cut.export("tar", "work.tar");
    let tar = tar.to_str().unwrap();
    let other = cut.elsewhere();
    let app = other.repo("app");
    fs::write(app.join("README.md"), "theirs\n").unwrap();
    fs::create_dir(app.join("new")).unwrap();
    fs::write(app.join("new/crlf.txt"), "theirs\n").unwrap();
    let before = other.local_tree("app");
    let refused = import(&other, &[tar], 1);
    assert_eq!(
        refused["contradicting"],
        serde_json::json!(["README.md", "new/crlf.txt"])
    );
    let said = run(&mut other.mesa(&["journal", "import", tar])).expect(1);
    assert!(said.errors().contains("contradicts: README.md"), "{said}");
    assert!(said.errors().contains("hint: --force"), "{said}");
    other.local_tree("app").assert_equals(&before, "refused");
    import(&other, &[tar, "--force"], 0);
    other
        .local_tree("app")
        .assert_equals(&cut.whole_tree(), "forced");

    let bundle = cut.export("bundle", "work.bundle");
    let said = run(other.mesa(&["journal", "import"]).arg(bundle)).expect(1);
    assert!(said.errors().contains("git fetch"), "{said}");
    let hostile = other.folder().join("hostile.tar");
    fs::write(&hostile, escaping()).unwrap();
    let said = run(other.mesa(&["journal", "import"]).arg(&hostile)).expect(1);
    assert!(said.errors().contains("impossible path"), "{said}");
    assert!(!other.mount_point().join("local/escaped").exists());
    other
        .local_tree("app")
        .assert_equals(&cut.whole_tree(), "hostile");
}

/// A tar that wants to write beside the repository.
fn escaping() -> Vec<u8> {
    let oid = "9daeafb9864cf43055ae93beb0afd6c7d144bfa4";
    let list = serde_json::json!({
        "mesa_export": 1, "org": "local", "repo": "app",
        "base": {"bookmark": null, "change_id": "", "commit_oid": ""}, "left_out": [],
        "changes": [{"path": "../escaped", "base": null,
            "now": {"mode": "100644", "oid": oid, "size": 5}}],
    });
    let list = list.to_string();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("mesa-export.json", list.as_bytes()),
        ("files/x", b"test\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}
