//! Many of them at once on one mount, watched: nobody waits for long, nobody hangs in the kernel, and in
//! the end the daemon holds what it held before.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::builds::{c_project, make};
use crate::databases::{rows, sql, writer};
use crate::support::git::{git_text, initialise};
use crate::support::leaks::{Holdings, Leaks};
use crate::support::process::run_within;
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::tool::{settle, tool};
use crate::watch::Watch;

/// How long they work, unless `MESA_STRESS_SECONDS` says otherwise.
const SECONDS: u64 = 30;
/// Nobody waits longer for one command, on a machine on which everything else runs as well.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Whatever comes before and after.
const AROUND: Duration = Duration::from_secs(300);
/// Rows that a writer of the database writes in one turn.
const ROWS: usize = 10;

/// One that works until it is told to stop: its name, and one turn of its work.
type Worker<'a> = (&'static str, Box<dyn Fn(usize) + Send + Sync + 'a>);

#[test]
fn all_at_once_and_nobody_waits() {
    let seconds = match std::env::var("MESA_STRESS_SECONDS") {
        Ok(text) => text.parse().expect("MESA_STRESS_SECONDS is not a number"),
        Err(_) => SECONDS,
    };
    let mut world = World::small();
    world.watch_for(Duration::from_secs(seconds) + AROUND);
    // The one with which it is mounted lives for an hour.
    let lasting = world.mint("24h", &["app"]);
    world.unmount("10s").success();
    world.token = lasting;
    world.mount();
    let app = world.repo("app");
    prepare(&world, &app);
    let workers = workers(&world, &app);
    // What comes with the first use of anything is there before it is looked at.
    for (name, turn) in &workers {
        eprintln!("{name}: first turn");
        turn(0);
    }
    world.flush();
    let (leaks, before) = (Leaks::before(&world), Holdings::of(&world));
    let watch = Watch::over(world.folder());
    let turns = work(&workers, Duration::from_secs(seconds));
    let longest = watch.end();
    for ((name, _), (turns, slowest)) in workers.iter().zip(&turns) {
        println!("{name}: {turns} turns, the slowest took {slowest:.1?}");
        assert!(*turns > 0, "{name} did nothing");
    }
    println!("in state D at most {longest:.1?}");
    drop(workers);

    git_text(&app.join("git"), &["fsck", "--full", "--strict"]);
    assert_eq!(git_text(&app.join("git"), &["status", "--porcelain"]), "");
    assert_eq!(
        sql(&world, &app.join("wal.sqlite"), "PRAGMA integrity_check;"),
        "ok"
    );
    assert_eq!(make(&world, &["-q"]), 0);
    settle(&world, "all at once", &["main.c~"]);
    let after = leaks.assert_none(&world);
    println!("all at once for {seconds} s: before: {before}; after: {after}");
}

fn prepare(world: &World, app: &Path) {
    fs::create_dir(app.join("git")).unwrap();
    for number in 0..50 {
        fs::write(app.join(format!("git/{number}")), format!("{number}\n")).unwrap();
    }
    initialise(&app.join("git"));
    c_project(&app.join("project"));
    make(world, &[]);
    fs::write(app.join("main.c"), "int main(void) { return 0; }\n").unwrap();
    let create = "PRAGMA journal_mode=wal; \
                  CREATE TABLE t(id INTEGER PRIMARY KEY, writer INT, row INT, body BLOB);";
    assert_eq!(sql(world, &app.join("wal.sqlite"), create), "wal");
}

/// Lets all of them work, and gives how many turns each had and how long its slowest took.
fn work(workers: &[Worker], time: Duration) -> Vec<(usize, Duration)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let running: Vec<_> = workers
            .iter()
            .map(|(_, turn)| {
                scope.spawn(move || {
                    let (mut turns, mut slowest) = (0, Duration::ZERO);
                    while !over.load(Ordering::Relaxed) {
                        turns += 1;
                        let start = Instant::now();
                        turn(turns);
                        slowest = slowest.max(start.elapsed());
                    }
                    (turns, slowest)
                })
            })
            .collect();
        let start = Instant::now();
        while start.elapsed() < time && !running.iter().any(|worker| worker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        let ended = running.into_iter().map(|worker| worker.join().unwrap());
        ended.collect()
    })
}

fn workers<'a>(world: &'a World, app: &'a Path) -> Vec<Worker<'a>> {
    let shell = move |script: String| {
        let mut shell = tool(world, "sh", "dash");
        run_within(shell.args(["-e", "-c", &script]), COMMAND_MAX)
            .success()
            .text()
    };
    let database = app.join("wal.sqlite");
    let (one, other) = (database.clone(), database);
    vec![
        (
            "git",
            Box::new(move |turn| git_turn(&app.join("git"), turn)),
        ),
        (
            "make",
            Box::new(move |turn| {
                let changed = app.join(format!("project/m{}.h", turn % 30));
                let module = turn % 30;
                fs::write(changed, format!("int m{module}(void); /* {turn} */\n")).unwrap();
                assert_eq!(make(world, &[]), 2, "of what depends on one header");
            }),
        ),
        (
            "one writer",
            Box::new(move |turn| write_rows(world, &one, 2 * turn)),
        ),
        (
            "other writer",
            Box::new(move |turn| write_rows(world, &other, 2 * turn + 1)),
        ),
        (
            "copies",
            Box::new(move |turn| {
                let copy = format!("copy-{}", turn % 3);
                shell(format!(
                    "rm -rf {copy}; mkdir {copy}; tar -cf - project src | tar -C {copy} -xf -; \
                     mv {copy} moved; mv moved {copy}; test $(find {copy} -type f | wc -l) -gt 30; \
                     rsync -a --delete src/ {copy}/synced; test -z \"$(rsync -ai src/ {copy}/synced)\""
                ));
            }),
        ),
        (
            "vim",
            Box::new(move |turn| {
                shell(format!(
                    "vim -es -N -u NONE -i NONE --cmd 'set backup backupskip= backupcopy=no' \
                     -c '%s/return .*;/return {turn};/' -c wq main.c; grep -q 'return {turn};' main.c"
                ));
            }),
        ),
        (
            "reader",
            Box::new(move |_| {
                for folder in ["src", "docs", "bin"] {
                    assert!(Tree::walk(&app.join(folder), GitFolder::Walked).files() > 0);
                }
            }),
        ),
        (
            "status",
            Box::new(move |_| assert_eq!(world.repo_status("app")["name"], "app")),
        ),
        (
            "flush",
            Box::new(move |_| {
                let mut flush = world.mesa(&["journal", "flush", "--timeout", "60s"]);
                let ended = run_within(&mut flush, COMMAND_MAX * 2);
                // The others go on writing, so that something may be left when it ends.
                assert!([0, 4].contains(&ended.code()), "{ended}");
            }),
        ),
    ]
}

/// Commits, and now and then branches, merges and packs.
fn git_turn(folder: &Path, turn: usize) {
    fs::write(folder.join((turn % 50).to_string()), format!("{turn}\n")).unwrap();
    fs::write(folder.join("turn"), format!("{turn}\n")).unwrap();
    git_text(folder, &["add", "-A"]);
    git_text(folder, &["commit", "-q", "-m", &turn.to_string()]);
    if turn % 5 == 4 {
        git_text(folder, &["checkout", "-q", "-B", "side", "HEAD~1"]);
        git_text(folder, &["checkout", "-q", "main"]);
        git_text(folder, &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    }
    if turn % 10 == 9 {
        git_text(folder, &["gc", "-q", "--prune=now"]);
    }
    assert_eq!(git_text(folder, &["status", "--porcelain"]), "");
}

/// One process of the database's writers, and what it wrote.
fn write_rows(world: &World, database: &Path, number: usize) {
    run_within(&mut writer(world, database, number, ROWS), COMMAND_MAX).success();
    assert_eq!(rows(world, database, number), ROWS);
    let keep = format!("DELETE FROM t WHERE writer < {number} - 40;");
    sql(world, database, &keep);
}
