//! Who is compared: the disk itself, a mount, kernel overlayfs, fuse-overlayfs, a mount with passthrough, and
//! one by io_uring.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::inputs::Inputs;
use crate::support::process::run;
use crate::support::world::World;
use crate::trees::program;

/// The repository's name.
const REPOSITORY: &str = "work";

/// Nothing here takes longer, unless it hangs.
const MEASURED_DEADLINE: Duration = Duration::from_secs(3600);

/// Requests by kind.
pub type Requests = BTreeMap<String, u64>;

/// One of those compared.
pub struct Peer {
    pub name: &'static str,
    /// Where it works.
    pub root: PathBuf,
    disk: PathBuf,
    /// Ours has one.
    world: Option<World>,
}

impl Peer {
    /// Waits until nothing of earlier work is left to do: pushed, on the disk, and what was removed is gone,
    /// whose memory the next work would not have otherwise. (A virtual machine's unused memory is its host's,
    /// and takes ten times as long to write to.)
    pub fn settle(&self) {
        if let Some(world) = &self.world {
            world.flush();
            File::open(&self.root).unwrap().sync_all().unwrap();
        }
        let disk = File::open(&self.disk).unwrap();
        nix::unistd::syncfs(disk).unwrap();
    }

    /// Requests of the kernel so far, by kind; none of those who cannot tell.
    pub fn requests(&self) -> Requests {
        let Some(world) = &self.world else {
            return Requests::new();
        };
        let stats = run(&mut world.mesa(&["stats", "--format", "json"])).success();
        let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
        let families = stats["families"].as_array().unwrap();
        let named = |family: &&serde_json::Value| family["name"] == "mesa_fuse_requests_total";
        let family = families.iter().find(named).unwrap();
        let samples = family["samples"].as_array().unwrap().iter();
        let kinds = samples.map(|sample| {
            let kind = sample["labels"][0][1].as_str().unwrap();
            (kind.to_owned(), sample["value"].as_u64().unwrap())
        });
        kinds.collect()
    }
}

/// Everybody, native first, then ours.
pub fn all(disk: &Path, inputs: &Inputs) -> Vec<Peer> {
    let native = disk.join("native");
    inputs.copy_to(&native);
    let lower = disk.join("lower");
    inputs.copy_to(&lower);
    let mut peers = vec![
        Peer {
            name: "native",
            root: native,
            disk: disk.to_owned(),
            world: None,
        },
        mesa("mesa", &[], disk, inputs),
        overlay(
            "overlayfs",
            disk,
            &lower,
            &["mount", "-t", "overlay", "overlay"],
        ),
        overlay("fuse-overlayfs", disk, &lower, &["fuse-overlayfs"]),
    ];
    let passthrough = [("MESA_OPENS", "passthrough")];
    peers.push(mesa("mesa, passthrough", &passthrough, disk, inputs));
    if mesa::fuse::rings_offered().is_ok() {
        let rings = [("MESA_TRANSPORT", "io-uring")];
        peers.push(mesa("mesa, io_uring", &rings, disk, inputs));
    }
    peers
}

/// A mount of ours, with some settings that are not the default ones.
fn mesa(name: &'static str, settings: &[(&str, &str)], disk: &Path, inputs: &Inputs) -> Peer {
    let mut world = World::serve(&[(REPOSITORY, &inputs.repository)]);
    world.watch_for(MEASURED_DEADLINE);
    for (setting, value) in settings {
        world.set(setting, value);
    }
    world.mount();
    Peer {
        name,
        root: world.repo(REPOSITORY),
        disk: disk.to_owned(),
        world: Some(world),
    }
}

fn overlay(name: &'static str, disk: &Path, lower: &Path, command: &[&str]) -> Peer {
    let folder = disk.join(name);
    for part in ["upper", "work", "merged"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let root = folder.join("merged");
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    let mut command_line = Command::new(command[0]);
    command_line.args(&command[1..]).args(["-o", &layers]);
    program(command_line.arg(&root));
    Peer {
        name,
        root,
        disk: disk.to_owned(),
        world: None,
    }
}
