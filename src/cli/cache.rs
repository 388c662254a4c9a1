//! `mesa cache`: how large the cache of fetched content is, whether it is sound, and less of it.
//!
//! All of it but pinning works on the files themselves, whether a mount uses them or not: what is removed
//! is fetched again when somebody reads it, or at once where it is pinned.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::{Context, Error, duration, output, pin};
use crate::lower;

/// Looks after the cache of fetched content.
#[derive(Debug, Subcommand)]
pub(super) enum Cache {
    /// Show how large it is.
    Stat(Stat),
    /// Read every byte of it, and say what the disk did not keep.
    Verify(Verify),
    /// Remove what was not used for longest, down to the configured limit or a size, and what nothing
    /// refers to.
    Gc(Collect),
    /// Remove everything that is neither open nor pinned. Without a network it cannot be had again.
    Clear(Clear),
    /// Fetch files and directories of the mount, and have them stay, whatever the limit; or show what is pinned.
    Pin(pin::Pin),
    /// Let go of what was pinned.
    Unpin(pin::Unpin),
}

#[derive(Debug, Args)]
pub(super) struct Stat {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Remove what is damaged; it is fetched again when it is read.
    #[arg(long)]
    repair: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Collect {
    /// A size, such as 1GiB.
    #[arg(long, value_name = "SIZE")]
    to: Option<bytesize::ByteSize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
///
/// # Errors
///
/// The cache cannot be read.
pub(super) fn run(verb: &Cache, context: &Context) -> Result<Exit, Error> {
    let cache = context.settings()?.cache;
    let folder = &cache.folder;
    match verb {
        Cache::Stat(arguments) => stat(folder, cache.bytes_max, arguments),
        Cache::Verify(arguments) => verify(folder, arguments),
        Cache::Gc(arguments) => {
            let to = arguments.to.map(|size| size.as_u64()).or(cache.bytes_max);
            collect(folder, to, arguments.json)
        }
        Cache::Clear(arguments) => collect(folder, Some(0), arguments.json),
        Cache::Pin(arguments) => pin::pin(arguments, context),
        Cache::Unpin(arguments) => pin::unpin(arguments, context),
    }
}

fn unreadable(folder: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let folder = folder.to_owned();
    |source| Error::Cache { folder, source }
}

fn stat(folder: &Path, limit: Option<u64>, arguments: &Stat) -> Result<Exit, Error> {
    let held = lower::held(folder).map_err(unreadable(folder))?;
    let age = held.oldest.map(|seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let then = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        now.unwrap_or_default().saturating_sub(then)
    });
    if arguments.json {
        output::json(&json!({
            "path": folder.display().to_string(),
            "bytes": held.bytes,
            "limit_bytes": limit,
            "objects": held.objects,
            "pinned_objects": held.pinned_objects,
            "pinned_bytes": held.pinned_bytes,
            "oldest_use_seconds": age.map(|age| age.as_secs()),
        }))?;
        return Ok(Exit::Done);
    }
    let of = limit.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("of {}", output::bytes(limit)),
    );
    output::data(format!(
        "{}: {}, {of}",
        folder.display(),
        output::bytes(held.bytes)
    ))?;
    output::data(format!(
        "{}, {} of them pinned ({})",
        output::counted(held.objects, "object", "objects"),
        held.pinned_objects,
        output::bytes(held.pinned_bytes)
    ))?;
    if let Some(age) = age {
        output::data(format!("not used for longest: {}", duration::describe(age)))?;
    }
    pin::warn_of(&held, limit);
    Ok(Exit::Done)
}

fn verify(folder: &Path, arguments: &Verify) -> Result<Exit, Error> {
    // A day: whoever wants less of it interrupts.
    let until = Instant::now() + Duration::from_secs(24 * 3600);
    let audit = lower::audit(folder, until).map_err(unreadable(folder))?;
    let mut removed = 0;
    for path in audit.damaged.iter().filter(|_| arguments.repair) {
        lower::discard_damaged(folder, path).map_err(unreadable(path))?;
        removed += 1;
    }
    let left = audit.damaged.len() as u64 - removed;
    if arguments.json {
        let shown = |path: &PathBuf| path.display().to_string();
        output::json(&json!({
            "objects": audit.objects,
            "bytes": audit.bytes,
            "damaged": audit.damaged.iter().map(shown).collect::<Vec<_>>(),
            "removed": removed,
        }))?;
    } else {
        for path in &audit.damaged {
            output::data(format!("damaged: {}", path.display()))?;
        }
        let objects = output::counted(audit.objects, "sound object", "sound objects");
        output::talk(format!("{objects}, {}", output::bytes(audit.bytes)));
        if removed > 0 {
            output::talk(format!(
                "removed {removed}; they are fetched again when they are read, and what is pinned at once \
                 or after the next mount"
            ));
        }
        if left > 0 {
            output::talk("hint: --repair removes them; no mount shows them in any case");
        }
    }
    Ok(if left == 0 { Exit::Done } else { Exit::Failed })
}

fn collect(folder: &Path, to: Option<u64>, json: bool) -> Result<Exit, Error> {
    let evicted = lower::collect(folder, to).map_err(unreadable(folder))?;
    if json {
        output::json(&json!({
            "removed_objects": evicted.objects,
            "removed_bytes": evicted.bytes,
            "bytes": evicted.left,
            "pinned_objects": evicted.pinned_objects,
            "pinned_bytes": evicted.pinned_bytes,
        }))?;
    } else {
        let objects = output::counted(evicted.objects, "object", "objects");
        let (gone, left) = (output::bytes(evicted.bytes), output::bytes(evicted.left));
        output::data(format!("removed {objects}, {gone}; {left} are left"))?;
        if to == Some(0) && evicted.pinned_objects > 0 {
            let pinned = output::bytes(evicted.pinned_bytes);
            output::talk(format!(
                "{pinned} of that are pinned\n  hint: `mesa cache pin` lists by what, and `mesa cache unpin` \
                 lets go of it"
            ));
        }
    }
    Ok(Exit::Done)
}
