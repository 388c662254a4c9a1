//! What the machine has to have: the FUSE device, the right to mount, and a kernel that is new enough; and
//! what makes each request cost more than it need.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::Uid;

use super::Finding;
use crate::config::{AllowOther, Config, Opens, Transport};
use crate::fuse::{NoRings, rings_offered};

const DEVICE: &str = "/dev/fuse";
const FUSE_CONFIGURATION: &str = "/etc/fuse.conf";
/// `FUSE_HANDLE_KILLPRIV_V2`: without it the kernel asks for an attribute before each write.
const KILLPRIV_SINCE: (u32, u32) = (5, 11);
/// `FUSE_PASSTHROUGH`.
const PASSTHROUGH_SINCE: (u32, u32) = (6, 9);
/// The oldest kernel with long-term support that is still looked after.
const KERNEL_MIN: (u32, u32) = (5, 4);

/// How long a virtual processor that has nothing to do looks out for work before it sleeps, in nanoseconds:
/// longer than a program takes between two requests.
const HALT_POLL: &str = "/sys/module/haltpoll/parameters/guest_halt_poll_ns";
const GOVERNOR: &str = "/sys/devices/system/cpu/cpuidle/current_governor";

/// The capability to mount, by its number in the kernel's bit sets.
const CAP_SYS_ADMIN: u32 = 21;

/// Looks at the machine.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    let device = opened
        .map(drop)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let helper = std::env::var_os("FUSERMOUNT_PATH")
        .map_or_else(|| PathBuf::from("fusermount3"), PathBuf::from);
    let right = match may_mount() {
        true => Right::Own,
        false => Right::Helper(helper_at(&helper)),
    };
    let mut findings = vec![judge_device(device.err()), judge_right(&right, &helper)];
    if config.allow_other == AllowOther::Everyone && right != Right::Own {
        let text = std::fs::read_to_string(FUSE_CONFIGURATION).unwrap_or_default();
        findings.push(judge_others(&text));
    }
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    findings.push(judge_kernel(&release));
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors > 1 && read(GOVERNOR).trim() == "haltpoll" {
        findings.push(judge_wakes(&read(HALT_POLL)));
    }
    if config.opens == Opens::Passthrough {
        findings.push(judge_passthrough(may_pass(), &release));
    }
    if config.transport == Transport::IoUring {
        findings.push(judge_rings(rings_offered()));
    }
    findings
}

/// Whether this process has the capability in the first user namespace, whose users are all users.
fn may_pass() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    may_mount() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether requests can come by io_uring, or why not; tried out.
fn judge_rings(offered: Result<(), NoRings>) -> Finding {
    const CHECK: &str = "io-uring";
    match offered {
        Ok(()) => Finding::ok(CHECK, "requests come by io_uring"),
        Err(why) => Finding::warning(
            CHECK,
            format!("requests come by the FUSE device, not by io_uring: {why}"),
            why.cure(),
        ),
    }
}

/// How a virtual machine of several processors wakes those that have nothing to do.
fn judge_wakes(poll: &str) -> Finding {
    const CHECK: &str = "processors";
    match poll.trim() {
        "0" => Finding::warning(
            CHECK,
            "a processor of this virtual machine sleeps as soon as it idles, and waking it is most of what a \
             request costs",
            format!("echo 200000 > {HALT_POLL}"),
        ),
        poll => Finding::ok(
            CHECK,
            format!("a processor that idles looks out for work before it sleeps ({poll} ns)"),
        ),
    }
}

fn judge_passthrough(may: bool, release: &str) -> Finding {
    const CHECK: &str = "passthrough";
    const CURE: &str = "opens = \"plain\", MESA_OPENS=plain";
    match may {
        false => Finding::warning(
            CHECK,
            "the kernel serves files by itself for root alone (CAP_SYS_ADMIN in the first user namespace): \
             they are opened plainly",
            CURE,
        ),
        true if version_of(release).is_some_and(|version| version < PASSTHROUGH_SINCE) => {
            Finding::warning(
                CHECK,
                format!("Linux {release} cannot serve files by itself: they are opened plainly"),
                CURE,
            )
        }
        true => Finding::ok(
            CHECK,
            "the kernel may serve files with local bytes by itself",
        ),
    }
}

/// How this process would mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    /// By itself.
    Own,
    /// By a program that has the right.
    Helper(Helper),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Helper {
    Missing,
    /// It is there, without the right.
    Powerless,
    Able,
}

fn may_mount() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    effective.is_some_and(|effective| effective & (1 << CAP_SYS_ADMIN) != 0)
}

fn helper_at(program: &Path) -> Helper {
    let candidates: Vec<PathBuf> = match program.components().count() {
        1 => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .map(|folder| folder.join(program))
                .collect()
        }
        _ => vec![program.to_owned()],
    };
    let found = candidates.iter().find_map(|path| path.metadata().ok());
    match found {
        None => Helper::Missing,
        Some(found) if Uid::from_raw(found.uid()).is_root() && found.mode() & 0o4000 != 0 => {
            Helper::Able
        }
        Some(_) => Helper::Powerless,
    }
}

fn judge_device(error: Option<Errno>) -> Finding {
    const CHECK: &str = "device";
    match error {
        None => Finding::ok(CHECK, "/dev/fuse can be opened"),
        Some(Errno::ENOENT) => Finding::problem(
            CHECK,
            "/dev/fuse is missing",
            "modprobe fuse; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN",
        ),
        Some(Errno::ENODEV | Errno::ENXIO) => Finding::problem(
            CHECK,
            "/dev/fuse is there, and the kernel has no FUSE behind it",
            "modprobe fuse",
        ),
        Some(Errno::EACCES) => Finding::problem(
            CHECK,
            "/dev/fuse may not be opened by this user",
            "chmod 0666 /dev/fuse",
        ),
        Some(Errno::EPERM) => Finding::problem(
            CHECK,
            "/dev/fuse may not be opened in this container",
            "docker run --device /dev/fuse --cap-add SYS_ADMIN",
        ),
        Some(errno) => Finding::problem(
            CHECK,
            format!("/dev/fuse cannot be opened: {errno}"),
            "ls -l /dev/fuse; dmesg | grep -i fuse",
        ),
    }
}

fn judge_right(right: &Right, helper: &Path) -> Finding {
    const CHECK: &str = "mounting";
    let program = helper.display();
    match right {
        Right::Own => Finding::ok(CHECK, "this user may mount"),
        Right::Helper(Helper::Able) => {
            Finding::ok(CHECK, format!("{program} mounts for this user"))
        }
        Right::Helper(Helper::Missing) => Finding::problem(
            CHECK,
            format!("this user may not mount, and {program} is missing"),
            "apt-get install fuse3",
        ),
        Right::Helper(Helper::Powerless) => Finding::problem(
            CHECK,
            format!("{program} is not set-user-id root, so it cannot mount for others"),
            format!("chown root {program} && chmod u+s {program}"),
        ),
    }
}

fn judge_others(configuration: &str) -> Finding {
    const CHECK: &str = "other-users";
    let mut lines = configuration.lines().map(str::trim);
    match lines.any(|line| line == "user_allow_other") {
        true => Finding::ok(CHECK, "other users may be let into the mount"),
        false => Finding::problem(
            CHECK,
            "allow-other is set, and /etc/fuse.conf does not let users do that",
            "echo user_allow_other >> /etc/fuse.conf",
        ),
    }
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
    number().zip(number())
}

fn judge_kernel(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    match version_of(release) {
        None => Finding::warning(
            CHECK,
            format!("the kernel's version is not known ({release})"),
            "uname -r",
        ),
        Some(version) if version < KERNEL_MIN => Finding::warning(
            CHECK,
            format!("Linux {release} is older than what this is tested with"),
            "use Linux 5.11 or newer",
        ),
        Some(version) if version < KILLPRIV_SINCE => Finding::warning(
            CHECK,
            format!("Linux {release} asks once more before each write"),
            "use Linux 5.11 or newer (FUSE_HANDLE_KILLPRIV_V2)",
        ),
        Some(_) => Finding::ok(CHECK, format!("Linux {release}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Verdict, is};
    use super::*;

    #[test]
    fn each_way_to_have_no_device_has_its_own_cure() {
        is(&judge_device(None), Verdict::Ok, "can be opened");
        is(
            &judge_device(Some(Errno::ENOENT)),
            Verdict::Problem,
            "--device /dev/fuse",
        );
        is(
            &judge_device(Some(Errno::ENXIO)),
            Verdict::Problem,
            "modprobe fuse",
        );
        is(
            &judge_device(Some(Errno::EACCES)),
            Verdict::Problem,
            "chmod 0666",
        );
        is(
            &judge_device(Some(Errno::EPERM)),
            Verdict::Problem,
            "container",
        );
        is(&judge_device(Some(Errno::EIO)), Verdict::Problem, "dmesg");
    }

    #[test]
    fn whoever_may_not_mount_needs_a_helper_that_may() {
        let judge = |right| judge_right(&right, Path::new("fusermount3"));
        is(&judge(Right::Own), Verdict::Ok, "may mount");
        is(
            &judge(Right::Helper(Helper::Able)),
            Verdict::Ok,
            "fusermount3",
        );
        is(
            &judge(Right::Helper(Helper::Missing)),
            Verdict::Problem,
            "apt-get install fuse3",
        );
        is(
            &judge(Right::Helper(Helper::Powerless)),
            Verdict::Problem,
            "chmod u+s",
        );
    }

    #[test]
    fn a_helper_is_found_and_its_rights_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("helper");
        assert_eq!(helper_at(&program), Helper::Missing);
        std::fs::write(&program, "").unwrap();
        assert_eq!(helper_at(&program), Helper::Powerless);
    }

    #[test]
    fn only_the_line_itself_lets_others_in() {
        is(&judge_others("a\n user_allow_other \n"), Verdict::Ok, "may");
        is(
            &judge_others("#user_allow_other\n"),
            Verdict::Problem,
            "/etc/fuse.conf",
        );
    }

    #[test]
    fn who_cannot_have_passthrough_is_told_why() {
        is(
            &judge_passthrough(true, "6.18.44"),
            Verdict::Ok,
            "may serve",
        );
        is(
            &judge_passthrough(true, "6.8.0-45-generic"),
            Verdict::Warning,
            "plain",
        );
        is(
            &judge_passthrough(false, "6.18.44"),
            Verdict::Warning,
            "CAP_SYS_ADMIN",
        );
    }

    #[test]
    fn who_cannot_have_io_uring_is_told_why() {
        is(&judge_rings(Ok(())), Verdict::Ok, "io_uring");
        let off = judge_rings(Err(NoRings::Off));
        is(&off, Verdict::Warning, "enable_uring");
        let forbidden = NoRings::Forbidden(std::io::Error::from_raw_os_error(libc::EPERM));
        is(&judge_rings(Err(forbidden)), Verdict::Warning, "seccomp");
    }

    #[test]
    fn processors_that_sleep_at_once_are_named() {
        is(&judge_wakes("0\n"), Verdict::Warning, "guest_halt_poll_ns");
        is(&judge_wakes("200000\n"), Verdict::Ok, "200000 ns");
    }

    #[test]
    fn old_kernels_are_named() {
        is(&judge_kernel("6.8.0-45-generic"), Verdict::Ok, "6.8.0");
        is(&judge_kernel("5.10.0"), Verdict::Warning, "KILLPRIV");
        is(&judge_kernel("4.19.1"), Verdict::Warning, "older");
        is(&judge_kernel("strange"), Verdict::Warning, "not known");
    }
}
