//! A slim Debian: made once by debootstrap, and used below an overlay that goes with its namespace, as
//! do all mounts and processes of a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parking_lot::Mutex;

use crate::support::process::{Finished, run, run_within};
use crate::support::world::World;

/// What is installed beside the bare minimum: what the README says that an image needs.
const PACKAGES: &str = "ca-certificates,fuse3";
/// The release whose libraries are those that the tests' own programs are built with, or newer.
const RELEASE: &str = "bookworm";
/// Raised when the recipe changes.
const RECIPE: &str = "1";
/// Two hundred megabytes, over a slow network.
const MAKE_MAX: Duration = Duration::from_secs(1_200);

/// Runs as the first process of its namespaces, with the root directory, the scratch directory and the
/// program as arguments; everything that it mounts and starts ends with it.
const ENTER: &str = r#"
set -eu
root=$1 scratch=$2 program=$3 image=$4 script=$5
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
root=$scratch/root
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/urandom" c 1 9
# As some providers have it: nobody but root.
mknod -m 600 "$root/dev/fuse" c 10 229
install -m 755 "$program" "$root/usr/local/bin/mesa"
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
chroot "$root" /usr/bin/env -i PATH=$path DEBIAN_FRONTEND=noninteractive bash -euc "
    useradd --create-home --uid 1000 --shell /bin/bash agent
    useradd --create-home --uid 1001 --shell /bin/bash other
    chmod 666 /dev/fuse
    ln -s /proc/self/mounts /etc/mtab
    $image" > "$scratch/image.log" 2>&1 || { cat "$scratch/image.log" >&2; exit 99; }
cd /
chroot --userspec agent:agent "$root" /usr/bin/env -i PATH=$path HOME=/home/agent LC_ALL=C.UTF-8 \
    MESA_API_URL="$MESA_API_URL" TOKEN="$TOKEN" bash -euo pipefail -c "cd; $script"
"#;

static TURN: Mutex<()> = Mutex::new(());

/// The directory that a run has below itself.
pub struct Debian {
    root: PathBuf,
}

impl Debian {
    /// Finds the one of this machine, or makes it.
    ///
    /// # Panics
    ///
    /// It cannot be made: debootstrap is missing, or there is no network.
    pub fn find_or_make() -> Debian {
        let home = std::env::var_os("HOME").expect("HOME is where the Debian is kept");
        let cache = Path::new(&home).join(".cache/mesa-ci");
        let root = cache.join(format!("debootstrap-{RELEASE}-{RECIPE}"));
        // The tests of one program begin at the same time, and one of them makes it for all.
        let _turn = TURN.lock();
        if !root.exists() {
            fs::create_dir_all(&cache).unwrap();
            let building = tempfile::tempdir_in(&cache).unwrap();
            let folder = building.path().join("root");
            let debootstrap = Command::new("debootstrap").arg("--version").output();
            assert!(
                debootstrap.is_ok(),
                "these tests run in a slim Debian: apt-get install debootstrap"
            );
            let mut command = Command::new("debootstrap");
            command.args(["--variant=minbase", "--include", PACKAGES, RELEASE]);
            run_within(command.arg(&folder), MAKE_MAX).success();
            // Another run may have been faster: then theirs is as good.
            if let Err(error) = fs::rename(&folder, &root) {
                assert!(root.exists(), "{root:?}: {error}");
            }
        }
        Debian { root }
    }

    /// Runs one script as root, as when an image is made, and then another as the user `agent`, who
    /// finds the world's server in `MESA_API_URL` and a token in `TOKEN`.
    pub fn run(&self, world: &World, image: &str, script: &str) -> Finished {
        let scratch = tempfile::tempdir_in(world.folder()).unwrap();
        let mut command = world.command("unshare");
        command
            .args(["--mount", "--pid", "--ipc", "--fork", "--kill-child"])
            .args(["bash", "-c", ENTER, "enter"])
            .arg(&self.root)
            .arg(scratch.path())
            .arg(env!("CARGO_BIN_EXE_mesa"))
            .args([image, script])
            .env("MESA_API_URL", world.url())
            .env("TOKEN", &world.token);
        run(&mut command)
    }
}
