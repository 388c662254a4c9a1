//! `mesa demo`: the whole product on real data, with real processes and the real kernel.
//!
//! Server, mount, edits, an outage, a kill -9, a restart, a push, and then the proof: Git clones
//! what was pushed, and the clone must equal the mounted tree, path by path. The processes are this
//! same binary, started as a user would start it; nothing of the demo reaches into them.

mod actors;
mod edits;
mod error;
mod narrator;
mod source;
mod stage;
mod tree;

use std::path::PathBuf;

use clap::Args;

use self::actors::{Actors, Identity};
use self::edits::Agent;
pub(super) use self::error::Error;
use self::narrator::{Narrator, Step};
use self::stage::{Places, Stage};
use self::tree::Tree;
use super::exit::Exit;
use super::signals;

/// Shows the whole product on real data, and proves that nothing was lost.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// A Git repository or a directory [default: the Git repository here, or a small tree]
    path: Option<PathBuf>,
}

/// Plays the demo; whatever happens, nothing of it stays behind.
///
/// # Errors
///
/// The first step that failed, or the first difference.
pub(super) fn run(arguments: &Demo) -> Result<Exit, Error> {
    actors::check_machine()?;
    let stage = Stage::build()?;
    let _interrupts = signals::on_interrupt({
        let stage = stage.clone();
        move || {
            stage.strike();
            std::process::exit(i32::from(Exit::Failed.code()));
        }
    });
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(arguments, &stage)));
    stage.strike();
    match outcome {
        Ok(outcome) => outcome.map(|()| Exit::Done),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn play(arguments: &Demo, stage: &Stage) -> Result<(), Error> {
    let mut narrator = Narrator::new();
    let places = stage.places().clone();
    let source = source::choose(arguments.path.as_deref(), &places.root.join("small-tree"))?;
    let mut actors = Actors::new(stage.clone(), source.name.clone());

    let step = narrator.step("a server, with the repository imported");
    actors.start_server(Some(&source))?;
    step.done(&format!("{} as {}", source.path.display(), source.name));

    let step = narrator.step("a token for one hour and one repository");
    let identity = actors.mint_token()?;
    step.done(&format!("{} characters", identity.token_length()));

    let before = first_look(&mut narrator, &actors, &identity, &places)?;
    let mounted = actors.checkout(&places);
    let edited = edit(&mut narrator, &mut actors, &identity, &mounted, &before)?;

    let step = narrator.step("kill -9 of the daemon");
    let pid = actors.kill_daemon(&identity)?;
    step.done(&format!("process {pid}"));

    let mut step = narrator.step("its supervisor has mounted again, the server still away");
    actors.await_restart(&identity)?;
    let after = read(&mut step, &mounted)?;
    after.must_equal(&edited, "the mount", "the one before")?;
    step.done(&format!("{} paths, as they were", after.0.len()));

    push_and_prove(&mut narrator, &mut actors, &identity, &places, &before)?;
    narrator.end("Nothing was lost: the pushed change equals the mounted tree, path by path.");
    Ok(())
}

fn first_look(
    narrator: &mut Narrator,
    actors: &Actors,
    identity: &Identity,
    places: &Places,
) -> Result<Tree, Error> {
    let step = narrator.step("mounted");
    actors.mount(identity)?;
    step.done("");
    let mut step = narrator.step("every file read through the mount");
    let tree = read(&mut step, &actors.checkout(places))?;
    step.done(&format!("{} files", tree.files()));
    Ok(tree)
}

fn edit(
    narrator: &mut Narrator,
    actors: &mut Actors,
    identity: &Identity,
    mounted: &std::path::Path,
    before: &Tree,
) -> Result<Tree, Error> {
    let mut agent = Agent::new(mounted, before);
    let step = narrator.step("edits, as an agent makes them");
    let count = agent.work_online()?;
    step.done(&format!("{count} edits"));

    let step = narrator.step("the server is stopped");
    actors.stop_server()?;
    step.done("");

    let mut step = narrator.step("more edits, offline");
    let count = agent.work_offline()?;
    let edited = read(&mut step, mounted)?;
    let pending = actors.pending_operations(identity)?;
    step.done(&format!(
        "{count} edits; the journal holds {pending} operations"
    ));
    Ok(edited)
}

fn push_and_prove(
    narrator: &mut Narrator,
    actors: &mut Actors,
    identity: &Identity,
    places: &Places,
    before: &Tree,
) -> Result<(), Error> {
    let step = narrator.step("the server is back");
    actors.start_server(None)?;
    step.done("");

    let step = narrator.step("everything pushed");
    actors.flush(identity)?;
    let change = actors.change(identity)?;
    step.done(&format!(
        "change {}",
        change.id.get(..12).unwrap_or(&change.id)
    ));

    let step = narrator.step("the change, cloned by Git");
    let cloned = actors.clone_with_git(places, &change)?;
    step.done(&format!(
        "commit {}",
        change.commit_oid.get(..12).unwrap_or_default()
    ));

    let mut step = narrator.step("the clone compared with the mount");
    let mounted = read(&mut step, &actors.checkout(places))?;
    mounted.must_equal(&cloned, "the mount", "the clone")?;
    step.done(&format!(
        "{} paths equal, {} of them changed by the agent",
        mounted.0.len(),
        before.differences(&mounted)
    ));

    let step = narrator.step("unmounted");
    actors.unmount(identity)?;
    actors.stop_server()?;
    step.done("");
    Ok(())
}

fn read(step: &mut Step<'_>, root: &std::path::Path) -> Result<Tree, Error> {
    Tree::of_directory(root, &mut |count| step.progress(&format!("{count} paths")))
}
