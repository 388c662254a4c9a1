//! What workloads cost: requests of the kernel by kind, journal records and syncs. They are counted and not
//! timed, so that what one request more costs a user shows on any machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::process::run;
use crate::support::world::World;

const FILES: u64 = 100;

/// Requests that are no file's: of its directory, of programs that look around, and of a kernel that is short of
/// memory.
const FEW: u64 = 8;

/// What was counted so far.
#[derive(Clone, Debug, Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn now(world: &World) -> Counts {
        let text = run(&mut world.mesa(&["stats", "--format", "prometheus"])).success();
        let mut counts = Counts::default();
        for line in text.text().lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let kind = name.strip_prefix("mesa_fuse_requests_total{kind=\"");
            if let (Some(kind), Ok(value)) = (kind, value.parse()) {
                let kind = kind.trim_end_matches("\"}").to_owned();
                counts.0.insert(kind, value);
            }
        }
        let journal = &world.repo_status("app")["journal"];
        for name in ["head", "syncs"] {
            let count = journal[name].as_u64().unwrap();
            counts.0.insert(name.to_owned(), count);
        }
        counts
    }
}

/// Does something, and holds what it cost to a budget: nothing that is not named, but for what nobody waits
/// for or the clock decides, and a few.
fn costs(world: &World, what: &str, budget: &[(&str, u64)], work: impl FnOnce()) {
    let before = Counts::now(world);
    work();
    let after = Counts::now(world);
    let spent = after.0.iter().map(|(kind, count)| {
        let before = before.0.get(kind).copied().unwrap_or_default();
        (kind.as_str(), count - before)
    });
    let spent: BTreeMap<&str, u64> = spent.filter(|(_, spent)| *spent > 0).collect();
    let over = spent.iter().any(|(kind, spent)| {
        let named = budget.iter().find(|(name, _)| name == kind);
        let most = match (*kind, named) {
            (_, Some((_, most))) => *most,
            ("virtual" | "forget", None) => return false,
            (_, None) => 0,
        };
        *spent > most + FEW
    });
    assert!(!over, "{what} costs {spent:?}, and not at most {budget:?}");
}

fn shell(world: &World, folder: &Path, script: &str) {
    let mut command = world.command("sh");
    run(command.arg("-ec").arg(script).current_dir(folder)).success();
}

#[test]
fn what_programs_do_costs_what_it_did() {
    // Nothing is synced or pushed by the clock while it is counted.
    let mut world = World::small();
    world.unmount("10s").success();
    world.set("MESA_COMMIT_INTERVAL", "1h");
    world.set("MESA_OPENS", "kernel");
    world.mount();
    let app = world.repo("app");
    fs::create_dir(app.join("some")).unwrap();
    run(&mut world.mesa(&["journal", "hold"])).success();
    let each = |script: &str| {
        let script = format!("for i in $(seq {FILES}); do {script}; done");
        shell(&world, &app.join("some"), &script);
    };
    let (n, lookup, create, write) = (FILES, "lookup", "create", "write");
    // What changes a directory has the kernel ask for its mode before it goes through it again; and before the
    // first write to a file since it was told of its attributes, for its capability.
    let (directory, capability) = (("getattr", n), ("getxattr", n));
    let created = [
        (lookup, n),
        (create, n),
        directory,
        capability,
        (write, n),
        ("head", 2 * n),
    ];
    costs(&world, "files are made", &created, || each("echo $i > f$i"));
    let looked = [("readdir", 8), ("readdirplus", 10)];
    costs(&world, "files are looked at", &looked, || {
        shell(
            &world,
            &app,
            "ls -lR some > /dev/null; find . -size +1 > /dev/null",
        );
        shell(&world, &app, "ls -lR some > /dev/null");
    });
    // Pages that were written are read from us once.
    let read = [("read", n), ("getattr", n)];
    costs(&world, "files are read", &read, || {
        shell(&world, &app, "grep -r nothing some || true");
    });
    let again = [("getattr", n)];
    costs(&world, "files are read again", &again, || {
        shell(&world, &app, "grep -r nothing some || true");
    });
    costs(&world, "and again", &[], || {
        shell(&world, &app, "grep -r nothing some || true");
        shell(&world, &app, "cat some/* > /dev/null");
    });
    let saved = [
        (lookup, 3 * n),
        (create, n),
        (write, n),
        ("fsync", n),
        ("rename", n),
        ("getattr", 3 * n),
        capability,
        // The file, its first bytes, the bytes that the fsync promises, the rename.
        ("head", 4 * n),
        ("syncs", n),
    ];
    costs(&world, "an editor saves", &saved, || {
        each("dd if=/dev/zero of=t bs=9 count=1 conv=fsync 2>/dev/null; mv t f$i");
    });
    let appended = [(write, n), capability];
    costs(&world, "lines are appended", &appended, || {
        each("echo x >> f$i")
    });
    let cut = [("setattr", n), (write, n), capability];
    costs(&world, "files are written anew", &cut, || {
        each("echo x > f$i")
    });
    let removed = [("unlink", n), directory, ("head", n)];
    costs(&world, "files are removed", &removed, || {
        shell(&world, &app.join("some"), "rm -f *");
    });

    // As an archive comes out: each file is made, written, and given its time and mode.
    let archive = world.folder().join("archive");
    fs::create_dir_all(archive.join("tree")).unwrap();
    for number in 0..FILES {
        fs::write(archive.join(format!("tree/file-{number}")), "text\n").unwrap();
    }
    let packed = archive.join("tree.tar");
    let mut tar = Command::new("tar");
    tar.arg("-cf")
        .arg(&packed)
        .arg("-C")
        .arg(&archive)
        .arg("tree");
    run(&mut tar).success();
    let unpacked = [
        (lookup, n),
        (create, n),
        (write, n),
        // The times, the owner, the mode; a change of owner asks for the capability, too.
        ("setattr", 3 * n),
        ("getxattr", 2 * n),
        ("getattr", n),
        ("head", 5 * n),
    ];
    costs(&world, "an archive is unpacked", &unpacked, || {
        shell(&world, &app, &format!("tar -xf {}", packed.display()));
    });
    let gone = [("unlink", n), directory, ("head", n)];
    costs(&world, "a tree is removed", &gone, || {
        shell(&world, &app, "rm -rf tree");
    });
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush_and_compare("app");
}
