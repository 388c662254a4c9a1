//! The README's section on sandboxes, followed word by word by a user who is not root, in a slim Debian
//! with a `/dev/fuse` of its own; and the same with something missing, where every message is tested
//! word by word, since it is all that somebody in a sandbox has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]

#[path = "../support/mod.rs"]
mod support;

mod debian;

use std::fs;
use std::path::Path;

use debian::Debian;

use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::Finished;
use crate::support::world::World;

/// What is said when `/etc/fuse.conf` does not let other users in.
const REFUSED_TO_OTHERS: &str = "error: other users may not be let into this mount: /etc/fuse.conf has no user_allow_other\n  \
    hint: as root: echo user_allow_other >> /etc/fuse.conf; or keep the mount to its own user: \
    allow-other = false, MESA_ALLOW_OTHER=false\n";

/// The code blocks of the README's section on sandboxes, in their order.
fn blocks() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let start = text.find("\n## In a sandbox\n").unwrap() + 1;
    let end = text[start + 3..].find("\n## ").unwrap() + start + 3;
    let pieces = text[start..end].split("```").skip(1).step_by(2);
    pieces
        .map(|block| block.trim_start_matches("sh\n").to_owned())
        .collect()
}

/// The blocks by what they are for.
struct Readme {
    /// As root, when the image is made.
    image: String,
    /// As the user: the environment, the mount, work in it.
    work: String,
    /// As the user: the same with a configuration file and a stored token.
    stored: String,
    /// As root, so that other users may be let in.
    others: String,
    /// As the user: lets them in.
    shared: String,
}

fn readme() -> Readme {
    let [image, work, stored, others, shared] =
        blocks().try_into().expect("the section has five blocks");
    Readme {
        image,
        work,
        stored,
        others,
        shared,
    }
}

/// A server with a repository outside, and a Debian that can reach it; `None` for other users than
/// root, who cannot make one.
fn sandbox() -> Option<(World, Debian)> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can make a sandbox with a /dev/fuse of its own");
        return None;
    }
    let source = tempfile::tempdir().unwrap();
    let world = World::serve(&[("app", &fixture::small(source.path()))]);
    Some((world, Debian::find_or_make()))
}

/// Checks that a script ended with a code, and that its errors are exactly these.
#[track_caller]
fn assert_says(finished: Finished, code: i32, errors: &str) {
    let finished = finished.expect(code);
    assert_eq!(finished.errors(), errors, "{finished}");
}

#[test]
fn a_user_who_is_not_root_works_as_the_readme_says() {
    let Some((world, debian)) = sandbox() else {
        return;
    };
    let readme = readme();
    let script = format!("{}\n! grep fuse.mesa /proc/mounts\n", readme.work);
    let finished = debian.run(&world, &readme.image, &script).success();
    assert!(finished.text().contains("uid=1000(agent)"), "{finished}");
    assert!(
        finished.text().contains("A repository for tests."),
        "{finished}"
    );
    assert!(
        finished.errors().contains("mounted at /home/agent/"),
        "{finished}"
    );
    assert_is_outside(&world, "notes.txt", "from a sandbox");
}

/// Checks that what was written inside is outside.
#[track_caller]
fn assert_is_outside(world: &World, path: &str, expected: &str) {
    let bare = world.bare("app");
    let changes = git_text(&bare, &["log", "--all", "--format=%H", "--", path]);
    let commit = changes.lines().next().expect("nothing was pushed");
    let text = git_text(&bare, &["show", &format!("{commit}:{path}")]);
    assert_eq!(text.trim(), expected);
}

/// The block whose file lets other users in.
fn asking_for_others(stored: &str) -> String {
    assert!(stored.contains("END\norg = "), "{stored}");
    stored.replace("END\norg = ", "END\nallow-other = true\norg = ")
}

#[test]
fn a_file_that_lets_others_in_needs_the_line_of_root() {
    let Some((world, debian)) = sandbox() else {
        return;
    };
    let readme = readme();
    let script = asking_for_others(&readme.stored);
    let refused = debian.run(&world, &readme.image, &script).expect(1);
    assert!(refused.errors().ends_with(REFUSED_TO_OTHERS), "{refused}");
}

#[test]
fn a_file_and_a_stored_token_do_the_same() {
    // In which store, who is allowed in by root, and who by the file.
    for (backend, root_allows, file_asks) in [
        ("plaintext-file", false, false),
        ("plaintext-file", true, false),
        ("plaintext-file", true, true),
        ("encrypted-file", false, false),
    ] {
        let Some((world, debian)) = sandbox() else {
            return;
        };
        let readme = readme();
        let image = if root_allows {
            format!("{}\n{}", readme.image, readme.others)
        } else {
            readme.image
        };
        let mut stored = readme.stored;
        let (mut file, mut opened) = ("secrets.plaintext.toml", "");
        if backend == "encrypted-file" {
            assert!(stored.contains("\"plaintext-file\""), "{stored}");
            stored = stored.replace("plaintext-file", backend);
            (file, opened) = ("secrets.vault.age", "export MESA_VAULT_PASSPHRASE=right");
        }
        if file_asks {
            stored = asking_for_others(&stored);
        }
        let (mount, rest) = stored.split_once("mesa auth status\n").unwrap();
        let script = format!(
            "{opened}\n{mount}\ngrep fuse.mesa /proc/mounts\n\
             stat --format 'mode %a' ~/.local/share/mesa/{file}\n\
             mesa auth status\n{rest}\n! grep fuse.mesa /proc/mounts\n"
        );
        let finished = debian.run(&world, &image, &script).success();
        let text = finished.text();
        let allowed = text.contains("allow_other");
        assert_eq!(allowed, file_asks, "{finished}");
        assert!(text.contains("mode 600\n"), "{finished}");
        assert!(text.contains(file), "the store is not named: {finished}");
        for said in [&text, &finished.errors()] {
            assert!(!said.contains(&world.token), "{finished}");
        }
        assert!(
            finished.errors().contains("mounted at /home/agent/work"),
            "{finished}"
        );
        assert_is_outside(&world, "stored.txt", "from a stored token");
    }
}

#[test]
fn a_daemon_that_dies_in_a_sandbox_is_started_again() {
    let Some((world, debian)) = sandbox() else {
        return;
    };
    let readme = readme();
    let mount = readme
        .work
        .split("mesa journal flush")
        .next()
        .unwrap()
        .to_owned();
    let script = format!(
        "{mount}\ncd /\nkill -9 $(cat ~/.local/share/mesa/run/mesa.pid)\nmesa mount --daemonize\n\
         cat ~/.local/share/mesa/mnt/local/app/notes.txt\nmesa status\nmesa umount\n! grep fuse.mesa /proc/mounts\n"
    );
    let finished = debian.run(&world, &readme.image, &script).success();
    assert!(finished.errors().contains("already mounted"), "{finished}");
    assert!(finished.text().contains("from a sandbox\n"), "{finished}");
    assert!(
        finished.text().contains("started the daemon again, 1 time"),
        "{finished}"
    );
}

#[test]
fn other_users_are_let_in_when_the_machine_allows_it() {
    let Some((world, debian)) = sandbox() else {
        return;
    };
    let readme = readme();
    let image = format!("{}\n{}", readme.image, readme.others);
    let script = format!(
        "{}\ngrep allow_other /proc/mounts\nmesa umount\n! grep fuse.mesa /proc/mounts\n",
        readme.shared
    );
    // Without the line in /etc/fuse.conf it is refused, with what to do.
    assert_says(
        debian.run(&world, &readme.image, &script),
        1,
        REFUSED_TO_OTHERS,
    );
    debian.run(&world, &image, &script).success();
}

#[test]
fn what_is_missing_is_named_with_its_cure() {
    let Some((world, debian)) = sandbox() else {
        return;
    };
    let mount = "export MESA_ORG=local MESA_API_KEY=$TOKEN\nmesa mount --daemonize\n";
    assert_says(
        debian.run(
            &world,
            "rm /usr/bin/fusermount3 /bin/fusermount3 2> /dev/null || true",
            mount,
        ),
        1,
        "error: fusermount3 is not installed, which mounts for users who are not root\n  \
         hint: apt-get install fuse3\n",
    );
    assert_says(
        debian.run(&world, "rm /dev/fuse", mount),
        1,
        "error: /dev/fuse is missing\n  \
         caused by: No such file or directory (os error 2)\n  \
         hint: load the kernel module (modprobe fuse), make the device (mknod -m 666 /dev/fuse c 10 229), \
         or give the container the device (docker run --device /dev/fuse --cap-add SYS_ADMIN)\n",
    );
    assert_says(
        debian.run(&world, "chmod 600 /dev/fuse", mount),
        1,
        "error: /dev/fuse may not be opened by this user\n  \
         caused by: Permission denied (os error 13)\n  \
         hint: as root: chmod 666 /dev/fuse\n",
    );
    assert_says(
        debian.run(&world, "rm /etc/mtab", mount),
        1,
        "error: /etc/mtab is missing, and without it fusermount3 unmounts nothing\n  \
         hint: as root: ln -s /proc/self/mounts /etc/mtab\n",
    );
    let secure = format!("export MESA_API_URL=https://127.0.0.1:1/v1\n{mount}");
    assert_says(
        debian.run(
            &world,
            "rm -rf /etc/ssl/certs /usr/share/ca-certificates /usr/lib/ssl",
            &secure,
        ),
        1,
        "error: the server cannot be asked\n  caused by: cannot set up the connection\n  \
         caused by: builder error\n  \
         caused by: unexpected error: No CA certificates were loaded from the system\n  \
         hint: a server is known by certificates: apt-get install ca-certificates\n",
    );
}
