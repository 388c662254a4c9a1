//! Says what the remote does not have after a flush or an unmount, and picks the exit code for it.

use super::exit::Exit;
use super::output;
use crate::daemon::control::{Drained, Remaining};

/// Tells what remains, if anything does, and what becomes of it.
pub(super) fn report(drained: &Drained, consequence: &str) -> Exit {
    for remaining in &drained.remains {
        output::talk(line(remaining));
        if let Some(journal) = &remaining.journal {
            output::talk(format_args!("  kept in {journal}"));
        }
    }
    let exit = exit(drained);
    match exit {
        Exit::Credential => {
            output::talk(format_args!(
                "hint: pipe a credential that the server takes into `mesa auth set-key`, or mount again with one in MESA_API_KEY; {consequence}"
            ));
        }
        Exit::Unpushed => output::talk(format_args!("nothing is lost: {consequence}")),
        _ => return exit,
    }
    if let Some(first) = drained.remains.first() {
        output::talk(format_args!(
            "`mesa journal export --repo {}/{}` writes it into one file, without a network",
            first.org, first.name
        ));
    }
    exit
}

/// The exit code for what remains: a credential comes first, since waiting would not help.
pub(super) fn exit(drained: &Drained) -> Exit {
    if drained.remains.is_empty() {
        Exit::Done
    } else if drained
        .remains
        .iter()
        .any(|remaining| remaining.needs_credential)
    {
        Exit::Credential
    } else {
        Exit::Unpushed
    }
}

fn line(remaining: &Remaining) -> String {
    let operations = output::counted(remaining.operations, "operation", "operations");
    let bytes = output::bytes(remaining.bytes);
    let reason = remaining
        .reason
        .as_deref()
        .unwrap_or("not finished in time");
    format!(
        "not pushed: {}/{}: {operations}, {bytes} ({reason})",
        remaining.org, remaining.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaining(needs_credential: bool) -> Remaining {
        Remaining {
            org: "local".into(),
            name: "app".into(),
            operations: 2,
            bytes: 2048,
            reason: None,
            needs_credential,
            journal: Some("/data/repos/local/app/journal".into()),
        }
    }

    #[test]
    fn exit_codes_tell_waiting_from_a_needed_credential() {
        let drained = |remains| Drained { remains };
        assert_eq!(exit(&drained(vec![])), Exit::Done);
        assert_eq!(exit(&drained(vec![remaining(false)])), Exit::Unpushed);
        let mixed = drained(vec![remaining(false), remaining(true)]);
        assert_eq!(exit(&mixed), Exit::Credential);
    }

    #[test]
    fn a_line_names_repository_amount_and_reason() {
        assert_eq!(
            line(&remaining(false)),
            "not pushed: local/app: 2 operations, 2.0 KiB (not finished in time)"
        );
    }
}
