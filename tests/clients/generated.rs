//! Requests that nobody thought of: schemathesis makes them from the OpenAPI document, good ones and bad
//! ones, and judges the answers by it. No answer is a failure of ours, and each is as described.

use std::fs;
use std::time::Duration;

use crate::sdk::python_packages;
use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::{run, run_within};
use crate::support::world::World;

/// How long requests are made up.
const SECONDS: &str = "45";
const DEADLINE: Duration = Duration::from_secs(140);
/// Fewer would mean that it was not at work.
const CASES_MIN: usize = 200;
/// What is judged. Whether a bad request is refused is not: fields that nobody knows are ignored.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[test]
fn no_request_that_can_be_made_up_breaks_the_server() {
    let source = tempfile::tempdir().unwrap();
    let repository = fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.watch_for(Duration::from_secs(300));
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    let head = git_text(&repository, &["rev-parse", "HEAD"]);
    // Names that lead somewhere: made up ones would only ever be unknown.
    let settings = format!(
        "[parameters]\n\
         \"path.org\" = \"local\"\n\
         \"path.repo\" = \"app\"\n\
         \"path.bookmark\" = [\"work\", \"main\"]\n\
         \"query.commit_oid\" = \"{head}\"\n"
    );
    let settings_file = world.folder().join("schemathesis.toml");
    fs::write(&settings_file, settings).unwrap();
    let folder = python_packages(&world, "schemathesis-4.32.5", &["schemathesis==4.32.5"]);
    let url = world.url();
    let mut command = world.command(folder.join("bin/schemathesis"));
    command
        .current_dir(world.folder())
        .env("PYTHONPATH", &folder)
        .arg("--config-file")
        .arg(&settings_file)
        .arg("run")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/server/openapi.json"
        ))
        .args(["--url", url.strip_suffix("/v1").unwrap()])
        .args(["--header", &format!("Authorization: Bearer {}", key.trim())])
        .args(["--max-time", SECONDS, "--checks", CHECKS])
        // A stream that never ends, and what would end the story: the repository's name, and the key.
        .args(["--exclude-operation-id", "events_follow"])
        .args(["--exclude-operation-id", "repo_delete"])
        .args(["--exclude-operation-id", "repo_patch"])
        .args(["--exclude-operation-id", "keys_revoke"])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"]);
    let finished = run_within(&mut command, DEADLINE);
    assert!(finished.status.success(), "{finished}");
    let text = finished.text();
    let (_, summary) = text.split_once(" SUMMARY ").unwrap();
    let lines = summary.lines().skip(1).map(str::trim);
    for line in lines.clone().filter(|line| !line.is_empty()) {
        println!("schemathesis: {line}");
    }
    let cases = lines
        .clone()
        .find_map(|line| line.split_once(" generated, "));
    let (count, passed) = cases.unwrap();
    assert_eq!(passed, format!("{count} passed"), "{summary}");
    assert!(count.parse::<usize>().unwrap() >= CASES_MIN, "{summary}");
    // It is there, and what was left behind is sound.
    git_text(&world.bare("app"), &["fsck", "--strict", "--no-dangling"]);
    let mut create = world.mesa(&["repo", "create", "after"]);
    create.env("MESA_API_KEY", key.trim());
    run(&mut create).success();
}
