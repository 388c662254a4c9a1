//! The client's remote and lower layers against the real server, over real HTTP and real Git
//! repositories: what is read equals the imported tree, and what is pushed is what `git` then shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod setup;

use std::fs::{self};
use std::sync::Arc;

use mesa::lower::{Pin, Want};
use mesa::remote::api::NewRepo;
use mesa::remote::{
    Along, Conflict, Failure, Forked, Push, PushError, Pusher, RepositoryName, Settled, Target,
};
use mesa::secrets::Scope;
use mesa::tree::{Content, Edit, GitOid, Name, TreePath};

use setup::*;

#[test]
fn the_snapshot_is_the_imported_tree_and_is_fetched_once() {
    let mut setup = Setup::new();
    let before = setup.remote.requests();
    let pin = setup.pin();
    assert_eq!(setup.remote.requests().total() - before.total(), 2);
    let bare = setup.bare();
    assert_eq!(
        pin.commit.to_string(),
        text(git(&bare, &["rev-parse", "trunk"]))
    );
    assert_eq!(
        pin.tree.to_string(),
        text(git(&bare, &["rev-parse", "trunk^{tree}"]))
    );
    let date = text(git(&bare, &["log", "-1", "--format=%ct", "trunk"]));
    assert_eq!(pin.time.seconds.to_string(), date);

    let lower = setup.lower(pin);
    let expected = listed(&bare, "trunk");
    assert_eq!(walk(&lower), expected);
    let requests = setup.remote.requests();
    // The first ones with some of those below them, and the rest at once; each distinct content but the
    // empty one, the first ones by themselves.
    assert_eq!(requests.listings, 0, "{requests:?}");
    assert!((1..=6).contains(&requests.sweeps), "{requests:?}");
    assert!(lower.counters().objects >= 300 + 8 - 1);
    assert!(requests.objects < 40, "{requests:?}");
    assert!((2..=20).contains(&requests.batches), "{requests:?}");
    // Submodules and modes included, every listing proved its tree.
    assert_eq!(lower.counters().listings_unproven, 0);
    assert_eq!(walk(&lower), expected);
    assert_eq!(setup.remote.requests(), requests);

    drop(lower);
    setup.stop();
    let offline = setup.lower(pin);
    assert_eq!(offline.pin(), pin);
    // Large objects are hashed by `fetch`, which needs no server for it.
    assert_eq!(walk(&offline), expected);
    assert_eq!(setup.remote.requests(), requests);
}

fn edits(setup: &Setup, pin: &Pin) -> Vec<Edit> {
    let body = |name: &str, bytes: &[u8]| {
        let at = setup.folder.path().join(format!("body-{name}"));
        fs::write(&at, bytes).unwrap();
        Edit::File {
            path: path(name),
            content: Content::Body(Arc::new(Body(at))),
            executable: false,
        }
    };
    let lower = setup.lower(*pin);
    lower
        .fetch(&Want::Listing {
            path: TreePath::ROOT,
            oid: pin.tree,
        })
        .unwrap();
    let root = lower.listing(pin.tree).unwrap().unwrap();
    let entry = |name: &str| root.find(&Name::try_from(name).unwrap()).unwrap().clone();
    let (readme, many) = (entry("README.md"), entry("many"));
    vec![
        Edit::Remove {
            path: path("README.md"),
        },
        Edit::Remove { path: path("many") },
        Edit::Remove { path: path("src") },
        body("src", b"a file where a directory was"),
        body("big", &vec![9; 5 * 1024 * 1024]),
        Edit::File {
            path: path("docs/READ ME \u{fc}.md"),
            content: Content::Lower {
                oid: readme.oid,
                size: readme.size,
                from: path("README.md"),
            },
            executable: true,
        },
        Edit::Symlink {
            path: path("link"),
            target: b"elsewhere".to_vec(),
        },
        Edit::Directory {
            path: path("hollow/dir"),
        },
        Edit::Graft {
            path: path("moved/many"),
            tree: many.oid,
            from: path("many"),
        },
    ]
}

fn push<'a>(forked: Forked, base: GitOid, batch: u8, edits: &'a [Edit]) -> Push<'a> {
    Push {
        change: forked.change,
        base,
        transaction: [1; 16],
        batch: [batch; 16],
        edits,
    }
}

#[test]
fn a_fork_takes_every_kind_of_edit_in_one_patch() {
    let setup = Setup::new();
    let (pin, bare) = (setup.pin(), setup.bare());
    let pusher = setup.pusher(&setup.lower(pin));
    let forked = pusher.fork(pin.change, [1; 16]).unwrap();
    assert_eq!(pusher.fork(pin.change, [1; 16]).unwrap(), forked);
    assert_ne!(forked.change, pin.change);

    let edits = edits(&setup, &pin);
    let before = setup.remote.requests();
    let pushed = pusher
        .push(&push(forked, forked.commit, 2, &edits))
        .unwrap();
    assert!(pushed.kept_local.is_empty());
    let after = setup.remote.requests();
    assert_eq!(after.changes_patched - before.changes_patched, 1);
    assert_eq!(after.blobs_uploaded - before.blobs_uploaded, 1);
    assert_eq!(after.objects, before.objects);

    let tree = listed(&bare, &pushed.commit.to_string());
    let names: Vec<_> = tree
        .iter()
        .filter(|(path, _)| !path.starts_with(b"moved/many/"))
        .map(|(path, head)| {
            let path = String::from_utf8_lossy(path);
            let path = if path.len() == 255 { "x*255" } else { &path };
            format!("{} {path}", &head[..6])
        })
        .collect();
    assert_eq!(
        names,
        [
            "100644 big",
            "040000 docs",
            "100755 docs/READ ME \u{fc}.md",
            "100644 empty",
            "040000 hollow",
            "040000 hollow/dir",
            "100644 large",
            "120000 link",
            "040000 moved",
            "040000 moved/many",
            "100755 run",
            "100644 src",
            "160000 vendor",
            "100644 x*255",
        ]
    );
    assert_eq!(
        tree[&b"moved/many"[..]],
        listed(&bare, "trunk")[&b"many"[..]]
    );
    let show = |path: &str| git(&bare, &["show", &format!("{}:{path}", pushed.commit)]);
    assert_eq!(show("docs/READ ME \u{fc}.md"), b"hello\n");
    assert_eq!(show("big"), vec![9; 5 * 1024 * 1024]);
    assert_eq!(show("link"), b"elsewhere");
    assert_eq!(show("src"), b"a file where a directory was");
    // The bookmark did not move.
    assert_eq!(
        text(git(&bare, &["rev-parse", "trunk"])),
        pin.commit.to_string()
    );
}

#[test]
fn a_lost_answer_a_repetition_and_a_stranger_are_told_apart() {
    let setup = Setup::new();
    let pin = setup.pin();
    let pusher = setup.pusher(&setup.lower(pin));
    let forked = pusher.fork(pin.change, [1; 16]).unwrap();
    let settle = |base, batch| pusher.settle(forked.change, base, [batch; 16]).unwrap();
    assert_eq!(settle(forked.commit, 2), Settled::NotThere(forked.commit));
    let remove = |name: &str| vec![Edit::Remove { path: path(name) }];
    let (first, second) = (remove("README.md"), remove("run"));
    let accepted = pusher
        .push(&push(forked, forked.commit, 2, &first))
        .unwrap()
        .commit;
    // As if the answer had been lost: the same batch again is a conflict, and known as accepted.
    let again = pusher.push(&push(forked, forked.commit, 2, &first));
    assert!(
        matches!(
            again,
            Err(PushError::Remote(Failure::Conflict(Conflict::Stale)))
        ),
        "{again:?}"
    );
    assert_eq!(settle(forked.commit, 2), Settled::Accepted(accepted));
    // Another batch, which somebody else sent: ours is not there, and the change moved.
    let foreign = pusher
        .push(&push(forked, accepted, 3, &second))
        .unwrap()
        .commit;
    assert_eq!(settle(accepted, 4), Settled::Foreign(foreign));
    assert_eq!(settle(foreign, 4), Settled::NotThere(foreign));
}

#[test]
fn repositories_are_made_listed_and_opened_empty() {
    let setup = Setup::new();
    let whoami = setup.remote.whoami(Scope::Global).unwrap();
    assert_eq!(whoami.org.slug, "local");
    let new = NewRepo {
        name: Some("fresh".into()),
        ..NewRepo::default()
    };
    setup.remote.create_repository("local", &new).unwrap();
    let taken = setup.remote.create_repository("local", &new);
    assert!(matches!(taken, Err(Failure::Conflict(_))), "{taken:?}");
    let mut names: Vec<_> = setup
        .remote
        .repositories("local")
        .unwrap()
        .into_iter()
        .map(|repo| repo.name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["app", "fresh"]);

    let fresh = RepositoryName::new("local", "fresh").unwrap();
    let pin = setup
        .remote
        .resolve(&fresh, &Target::DefaultBookmark, Along::default())
        .unwrap()
        .pin;
    assert_eq!(pin.tree, GitOid::EMPTY_TREE);
    let lower = setup.lower(pin);
    let pusher = Pusher::new(setup.remote.clone(), fresh, lower);
    let forked = pusher.fork(pin.change, [1; 16]).unwrap();
    let edits = [Edit::Directory { path: path("new") }];
    pusher
        .push(&push(forked, forked.commit, 2, &edits))
        .unwrap();

    let missing = RepositoryName::new("local", "missing").unwrap();
    let missing = setup
        .remote
        .resolve(&missing, &Target::DefaultBookmark, Along::default());
    assert!(matches!(missing, Err(Failure::NotFound)));
}

#[test]
fn a_walk_is_told_in_one_request_once_it_is_noticed() {
    const FOLDERS: u64 = 300;
    let setup = Setup::with(|folder| {
        fs::create_dir_all(folder).unwrap();
        git(folder, &["init", "-q", "-b", "trunk"]);
        for number in 0..FOLDERS {
            let below = folder.join(format!("top-{}/{number}/deep", number % 7));
            fs::create_dir_all(&below).unwrap();
            fs::write(below.join("file"), format!("{number}\n")).unwrap();
        }
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "-m", "folders"]);
    });
    let pin = setup.pin();
    let lower = setup.lower(pin);
    let before = setup.remote.requests();
    let listings = list_all(&lower);
    assert_eq!(listings, 1 + 7 + 2 * FOLDERS);
    let requests = setup.remote.requests();
    // Those by which the walk was noticed, the sweep, and a few that did not wait on a slow machine.
    let asked = requests.sweeps - before.sweeps;
    assert!((4..=8).contains(&asked), "asked {asked} times");
    assert_eq!(requests.listings, 0);
    let counters = lower.counters();
    assert!(counters.listings >= listings && counters.listings_unproven == 0);
    // What a sweep told is on the disk, like everything else.
    drop(lower);
    let again = setup.lower(pin);
    assert_eq!(list_all(&again), listings);
    let later = setup.remote.requests();
    assert_eq!(later, requests);
}

#[test]
fn whoever_reads_everything_is_given_it_in_batches_and_whoever_stops_little() {
    const FILES: usize = 2_000;
    let setup = Setup::with(|folder| {
        fs::create_dir_all(folder).unwrap();
        git(folder, &["init", "-q", "-b", "trunk"]);
        for number in 0..FILES {
            let below = folder.join(format!("top-{}/{}", number % 3, number % 10));
            fs::create_dir_all(&below).unwrap();
            fs::write(below.join(number.to_string()), format!("{number}\n")).unwrap();
        }
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "-m", "files"]);
    });
    let pin = setup.pin();
    let lower = setup.lower(pin);
    assert_eq!(walk(&lower), listed(&setup.bare(), "trunk"));
    let requests = setup.remote.requests();
    let (alone, batches) = (requests.objects, requests.batches);
    // This walk takes the last directory first: where it goes, is found by what it misses.
    assert!(alone < FILES as u64 / 8, "{alone} objects by themselves");
    assert!((4..=80).contains(&batches), "{batches} batches");
    drop(lower);

    // Whoever reads a few files and stops has cost one window, which is asked for by halves.
    fs::remove_dir_all(setup.folder.path().join("cache")).unwrap();
    let lower = setup.lower(pin);
    list_all(&lower);
    let before = setup.remote.requests();
    let mut read = 0;
    let folder = TreePath::try_from("top-0/0").unwrap();
    let mut tree = pin.tree;
    for name in folder.names() {
        tree = lower
            .listing(tree)
            .unwrap()
            .unwrap()
            .find(&name)
            .unwrap()
            .oid;
    }
    for entry in lower
        .listing(tree)
        .unwrap()
        .unwrap()
        .entries()
        .iter()
        .take(8)
    {
        let want = Want::Object {
            path: folder.join(&entry.name).unwrap(),
            oid: entry.oid,
            size: entry.size,
        };
        lower.fetch(&want).unwrap();
        read += 1;
    }
    assert_eq!(read, 8);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let after = setup.remote.requests();
    assert!((1..=2).contains(&(after.batches - before.batches)));
    let objects = lower.counters().objects;
    assert!(objects <= 8 + 64, "{objects} objects for eight");
}

/// Lists every directory, one after the other, as `ls -lR` does.
fn list_all(lower: &mesa::lower::Lower) -> u64 {
    let mut pending = vec![(TreePath::default(), lower.pin().tree)];
    let mut count = 0;
    while let Some((path, oid)) = pending.pop() {
        let listing = match lower.listing(oid).unwrap() {
            Some(listing) => listing,
            None => {
                let want = Want::Listing {
                    path: path.clone(),
                    oid,
                };
                lower.fetch(&want).unwrap();
                lower.listing(oid).unwrap().unwrap()
            }
        };
        count += 1;
        for entry in listing.entries() {
            if entry.kind == mesa::lower::EntryKind::Directory {
                pending.push((path.join(&entry.name).unwrap(), entry.oid));
            }
        }
    }
    count
}
