//! `mesa journal verify`: reads every byte of the local state, and on request makes what is damaged
//! open again.

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use crate::daemon::control::{Answer, RepoVerified, Request, Verified, ask};
use crate::daemon::{self, control_socket, verification};

/// What `mesa journal verify` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Make what is damaged open again with everything that is sound in it; nothing may be mounted.
    /// Nothing is deleted: damaged files are set aside.
    #[arg(long)]
    repair: bool,
    /// The repository, as ORG/REPO or by its name; all without it.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies; exit code 1 when something is not sound.
pub(super) fn run(arguments: &Verify, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let repo = arguments.repo.as_deref();
    let verified = if arguments.repair {
        verification::repair(&config, repo)?
    } else {
        let request = Request::JournalVerify {
            repo: repo.map(str::to_owned),
        };
        match ask(&control_socket(&config), &request) {
            Ok(Answer::Verified(verified)) => verified,
            Ok(_) => return Err(Error::UnexpectedAnswer),
            Err(daemon::Error::NotRunning { .. }) => verification::verify(&config, repo)?,
            Err(error) => return Err(error.into()),
        }
    };
    if arguments.json {
        output::json(&verified)?;
    } else {
        for repo in &verified.repos {
            output::data(render(repo))?;
        }
    }
    let sound = verified.repos.iter().all(|repo| repo.sound);
    if !sound && !arguments.repair {
        output::talk(
            "hint: `mesa umount`, then `mesa journal verify --repair` keeps all that is sound",
        );
    }
    Ok(exit(&verified))
}

fn exit(verified: &Verified) -> Exit {
    match verified.repos.iter().all(|repo| repo.sound) {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn render(repo: &RepoVerified) -> String {
    let mut lines = vec![format!(
        "{}/{}: {}; {} records in {}",
        repo.org,
        repo.name,
        if repo.sound { "sound" } else { "NOT SOUND" },
        repo.records,
        output::bytes(repo.bytes)
    )];
    lines.extend(repo.error.iter().map(|error| format!("  {error}")));
    for finding in &repo.findings {
        let place = match (&finding.file, finding.offset) {
            (Some(file), Some(offset)) => format!("{file}, offset {offset}: "),
            _ => String::new(),
        };
        lines.push(format!(
            "  {place}{} ({})",
            finding.problem, finding.verdict
        ));
    }
    lines.extend(
        repo.lost_bodies
            .iter()
            .map(|path| format!("  the bytes of {path} are gone")),
    );
    if repo.stray_bodies > 0 {
        let bodies = output::counted(repo.stray_bodies, "body", "bodies");
        lines.push(format!("  {bodies} that no file needs"));
    }
    if let Some(repaired) = &repo.repaired {
        lines.push(format!(
            "  repaired: {} records kept, {} left out; the old files are set aside in {}",
            repaired.kept, repaired.left_out, repaired.aside
        ));
        for (first, last) in &repaired.lost {
            lines.push(format!("  lost: records {first} to {last}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::{FindingEntry, RepairEntry};

    #[test]
    fn the_text_says_what_is_wrong_and_where() {
        let repo = RepoVerified {
            org: "local".into(),
            name: "app".into(),
            records: 7,
            bytes: 2048,
            findings: vec![FindingEntry {
                file: Some("/j/1.log".into()),
                offset: Some(64),
                problem: "the record is not what was written".into(),
                verdict: "refused".into(),
            }],
            lost_bodies: vec!["a/b".into()],
            stray_bodies: 1,
            repaired: Some(RepairEntry {
                kept: 6,
                lost: vec![(3, 4)],
                left_out: 1,
                aside: "/j".into(),
            }),
            ..RepoVerified::default()
        };
        assert_eq!(
            render(&repo),
            "local/app: NOT SOUND; 7 records in 2.0 KiB\n  \
             /j/1.log, offset 64: the record is not what was written (refused)\n  \
             the bytes of a/b are gone\n  \
             1 body that no file needs\n  \
             repaired: 6 records kept, 1 left out; the old files are set aside in /j\n  \
             lost: records 3 to 4"
        );
        assert_eq!(exit(&Verified { repos: vec![repo] }), Exit::Failed);
    }
}
