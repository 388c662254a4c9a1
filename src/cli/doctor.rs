//! `mesa doctor`: what is wrong with machine, configuration and mount, and the cure.

use clap::Args;
use serde::Serialize;

use super::exit::Exit;
use super::{Context, Error, output};
use crate::daemon::doctor::{self, Finding, Verdict};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, in a shape that stays.
    #[arg(long)]
    json: bool,
    /// Cure what can be cured without harm: dead mounts, what dead daemons left, open directories.
    #[arg(long)]
    fix: bool,
}

#[derive(Serialize)]
struct Report {
    /// Whether there is no problem that was not fixed.
    healthy: bool,
    findings: Vec<Finding>,
}

/// Looks at everything; exit code 1 when there is a problem that was not fixed.
///
/// # Errors
///
/// The configuration; that there are no threads to look with.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let mut findings = doctor::examine(&config)?;
    if arguments.fix {
        doctor::apply(&config, &mut findings);
    }
    let healthy = !findings.iter().any(is_open_problem);
    if arguments.json {
        output::json(&Report { healthy, findings })?;
    } else {
        for finding in &findings {
            output::data(render(finding))?;
        }
        let fixable = findings
            .iter()
            .any(|finding| finding.fix.is_some() && finding.fixed.is_none());
        if fixable && !arguments.fix {
            output::talk("hint: `mesa doctor --fix` cures what can be cured without harm");
        }
    }
    Ok(match healthy {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn is_open_problem(finding: &Finding) -> bool {
    finding.verdict == Verdict::Problem && finding.fixed.is_none()
}

fn render(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Problem => "PROBLEM",
    };
    let mut text = format!("{verdict}: {}: {}", finding.check, finding.found);
    match (&finding.fixed, &finding.cure) {
        (Some(fixed), _) => text.push_str(&format!("\n  fixed: {fixed}")),
        (None, Some(cure)) => text.push_str(&format!("\n  cure: {cure}")),
        (None, None) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_its_cure_or_what_was_done() {
        let mut finding = Finding {
            check: "disk",
            verdict: Verdict::Problem,
            found: "full".into(),
            cure: Some("empty it".into()),
            fixed: None,
            fix: None,
        };
        assert_eq!(render(&finding), "PROBLEM: disk: full\n  cure: empty it");
        assert!(is_open_problem(&finding));
        finding.fixed = Some("emptied it".into());
        assert_eq!(render(&finding), "PROBLEM: disk: full\n  fixed: emptied it");
        assert!(!is_open_problem(&finding));
    }
}
