//! `mesa journal show`: where a journal stands, and its records that the remote does not have.

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use crate::daemon::control::{Answer, JournalRecords, RecordEntry, Request, ask};
use crate::daemon::control_socket;

/// What `mesa journal show` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// Only records that change this path of the repository, or something below it.
    path: Option<String>,
    /// The repository, as ORG/REPO or by its name.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows.
pub(super) fn run(arguments: &Show, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let request = Request::JournalShow {
        repo: arguments.repo.clone(),
        path: arguments.path.clone(),
    };
    let Answer::JournalRecords(records) = ask(&control_socket(&config), &request)? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&records)?;
    } else {
        output::data(render(&records))?;
    }
    Ok(Exit::Done)
}

fn render(shown: &JournalRecords) -> String {
    let mut lines = vec![format!(
        "{}/{}: {} records, {} of them durable, {} pushed; {} on disk, {} syncs",
        shown.org,
        shown.name,
        shown.head,
        shown.synced,
        shown.pushed,
        output::bytes(shown.bytes),
        shown.syncs
    )];
    if let Some(through) = shown.announced {
        lines.push(format!(
            "a push through record {through} was announced; its outcome is not known yet"
        ));
    }
    if shown.omitted > 0 {
        lines.push(format!("({} older ones are not shown)", shown.omitted));
    }
    lines.extend(shown.records.iter().map(line));
    lines.join("\n")
}

fn line(record: &RecordEntry) -> String {
    let time = record.time.as_deref().unwrap_or("-");
    let from = record
        .from
        .as_ref()
        .map(|from| format!("{from} -> "))
        .unwrap_or_default();
    let path = record.path.as_deref().unwrap_or_default();
    format!("{}\t{time}\t{}\t{from}{path}", record.sequence, record.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_how_far_the_journal_is_and_what_is_in_it() {
        let shown = JournalRecords {
            org: "local".into(),
            name: "app".into(),
            head: 12,
            synced: 11,
            pushed: 9,
            syncs: 3,
            bytes: 1 << 20,
            announced: Some(11),
            records: vec![RecordEntry {
                sequence: 12,
                time: Some("2026-01-01T00:00:00Z".into()),
                what: "rename".into(),
                path: Some("b".into()),
                from: Some("a".into()),
            }],
            omitted: 0,
        };
        assert_eq!(
            render(&shown),
            "local/app: 12 records, 11 of them durable, 9 pushed; 1.0 MiB on disk, 3 syncs\n\
             a push through record 11 was announced; its outcome is not known yet\n\
             12\t2026-01-01T00:00:00Z\trename\ta -> b"
        );
    }
}
