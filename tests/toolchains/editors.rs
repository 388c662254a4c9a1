//! Editors that save by renaming over, and watchers that are to see it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::process::{Held, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;
use crate::tool::{kill_and_mount, settle, tool};

/// Longest time for a watcher to watch, and to tell what it saw.
const SEEN: Duration = Duration::from_secs(30);

#[test]
fn vim_saves_by_renaming_over_with_backup_and_undo() {
    let mut world = World::small();
    let app = world.repo("app");
    let file = app.join("src/main.rs");
    let before = fs::read_to_string(&file).unwrap();
    let saved = before.replace("hello", "edited");
    for copying in ["no", "yes"] {
        let inode = fs::metadata(&file).unwrap().ino();
        vim(&world, copying, &["%s/hello/edited/", "wq"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), saved);
        let moved = fs::metadata(&file).unwrap().ino() != inode;
        assert_eq!(moved, copying == "no", "saved over, or into the old file");
        let backup = app.join("src/main.rs~");
        assert_eq!(fs::read_to_string(&backup).unwrap(), before, "the backup");
        assert!(app.join("src/.main.rs.un~").exists(), "the undo file");
        assert!(
            !app.join("src/.main.rs.swp").exists(),
            "the swap file stays"
        );
        kill_and_mount(&mut world);
        // The undo file is good for the file as it is, and no other.
        vim(&world, copying, &["undo", "wq"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "undone");
        fs::remove_file(app.join("src/.main.rs.un~")).unwrap();
    }
    vim(&world, "auto", &["%s/hello/edited/", "wq"]);
    let ignored = ["src/.main.rs.un~", "src/main.rs~"];
    settle(&world, "vim", &ignored);
    assert_eq!(fs::read_to_string(&file).unwrap(), saved);
}

/// Edits `src/main.rs` with backup, undo and swap files beside it.
#[track_caller]
fn vim(world: &World, copying: &str, commands: &[&str]) {
    let mut vim = tool(world, "vim", "vim");
    vim.args(["-e", "-s", "-N", "-u", "NONE", "-i", "NONE"]);
    // Without the last one, files below `/tmp` get no backup.
    let settings = format!(
        "set backup writebackup backupcopy={copying} undofile undodir=. directory=. swapfile backupskip="
    );
    vim.args(["--cmd", &settings, "src/main.rs"]);
    for command in commands {
        vim.args(["-c", command]);
    }
    run(&mut vim).success();
}

#[test]
fn inotifywait_sees_what_is_edited_through_the_mount() {
    let world = World::small();
    let app = world.repo("app");
    let (events, said) = (world.folder().join("events"), world.folder().join("said"));
    let mut watch = tool(&world, "inotifywait", "inotify-tools");
    watch.args(["--monitor", "--recursive", "--format", "%e %w%f", "src"]);
    watch.stdin(Stdio::null());
    watch.stdout(fs::File::create(&events).unwrap());
    watch.stderr(fs::File::create(&said).unwrap());
    let mut watching = watch.spawn().unwrap();
    let held = Held::of(watching.id()).unwrap();
    let says = |path: &Path| fs::read_to_string(path).unwrap();
    wait_until("it watches", SEEN, || {
        says(&said).contains("Watches established")
    });

    fs::write(app.join("src/main.rs"), "edited\n").unwrap();
    fs::write(app.join("src/deep/a/new"), "new\n").unwrap();
    fs::rename(app.join("src/deep/a/new"), app.join("src/deep/moved")).unwrap();
    fs::remove_file(app.join("src/deep/a/b/c/leaf.txt")).unwrap();
    fs::create_dir(app.join("src/folder")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(app.join("src/deep/a/other.txt"), mode).unwrap();
    let expected = [
        "OPEN src/main.rs",
        "MODIFY src/main.rs",
        "CLOSE_WRITE,CLOSE src/main.rs",
        "CREATE src/deep/a/new",
        "MOVED_FROM src/deep/a/new",
        "MOVED_TO src/deep/moved",
        "DELETE src/deep/a/b/c/leaf.txt",
        "CREATE,ISDIR src/folder",
        "ATTRIB src/deep/a/other.txt",
    ];
    let missing = || -> Vec<&str> {
        let seen = says(&events);
        let seen: Vec<&str> = seen.lines().collect();
        let missing = expected.iter().filter(|event| !seen.contains(event));
        missing.copied().collect()
    };
    wait_until("it saw everything", SEEN, || missing().is_empty());
    held.kill();
    watching.wait().unwrap();
    settle(&world, "inotifywait", &[]);
}
