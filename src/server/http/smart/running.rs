//! Running `git` for a request: its input from the body, its output into the answer, no longer than
//! the client stays and the deadline allows.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::incoming::Incoming;
use crate::server::git::Program;
use crate::server::http::failure::Failure;

/// Longest life of one program: 5 GiB at 1.5 MiB a second.
pub(super) const DEADLINE: Duration = Duration::from_secs(3_600);
/// Longest wait for a client that does not read.
const STALL_MAX: Duration = Duration::from_secs(60);
/// What a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks between the program and a client that reads slowly.
const CHUNKS_MAX: usize = 4;

type Chunk = io::Result<Bytes>;

/// Answers with what a program says, which begins with `preface`. A program that fails before it
/// says anything is a refusal of the request.
pub(super) async fn answer(
    program: Program,
    preface: &'static [u8],
    incoming: Option<Incoming>,
    permit: OwnedSemaphorePermit,
) -> Result<Body, Failure> {
    let (sender, mut receiver) = mpsc::channel::<Chunk>(CHUNKS_MAX);
    let task = tokio::spawn(async move {
        let _permit = permit;
        let ran = tokio::select! {
            ran = timeout(DEADLINE, run(program, incoming, &sender)) => ran,
            () = sender.closed() => return Err(broken_off()),
        };
        let ran = ran.unwrap_or_else(|_| Err(broken_off()));
        if ran.is_err() {
            // So that what was sent is not taken for all.
            let _ = timeout(STALL_MAX, sender.send(Err(io::ErrorKind::TimedOut.into()))).await;
        }
        ran
    });
    let first = match receiver.recv().await {
        Some(Ok(first)) => first,
        Some(Err(_)) | None => {
            task.await??;
            Bytes::new()
        }
    };
    let start = [Bytes::from_static(preface), first];
    let start = futures_util::stream::iter(start.into_iter().map(Chunk::Ok));
    let rest = poll_fn(move |context| receiver.poll_recv(context));
    Ok(Body::from_stream(start.chain(rest)))
}

fn broken_off() -> Failure {
    Failure::invalid("the request was broken off")
}

async fn run(
    mut program: Program,
    incoming: Option<Incoming>,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(), Failure> {
    let input = program.input.take();
    let feed = async {
        if let (Some(mut incoming), Some(mut input)) = (incoming, input) {
            while let Some(chunk) = incoming.chunk().await? {
                // A program that has heard enough has its reasons, which it tells.
                if input.write_all(&chunk).await.is_err() {
                    break;
                }
            }
        }
        Ok::<(), Failure>(())
    };
    let output = &mut program.output;
    let drain = async {
        let mut said = false;
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK_BYTES);
            let count = output.read_buf(&mut buffer).await;
            if count.map_err(|error| Failure::internal(&error))? == 0 {
                return Ok(said);
            }
            said = true;
            let sent = sender.send(Ok(buffer.split().freeze()));
            match timeout(STALL_MAX, sent).await {
                Ok(Ok(())) => {}
                _ => return Err(broken_off()),
            }
        }
    };
    let ((), has_said) = tokio::try_join!(feed, drain)?;
    let (status, talk) = program.finish().await?;
    if !status.success() {
        tracing::info!(%status, talk, "git refused a fetch");
        if !has_said {
            return Err(Failure::invalid("git does not understand the request"));
        }
    }
    Ok(())
}

/// Gives a program its input and waits for its end: whether it succeeded, and what it said. What
/// the program does not want is read all the same, so that the client hears the answer.
pub(super) async fn feed(
    mut program: Program,
    first: Bytes,
    incoming: &mut Incoming,
) -> Result<Result<(), String>, Failure> {
    let mut input = program.input.take();
    let mut next = Some(first);
    while let Some(chunk) = next {
        if let Some(open) = &mut input
            && open.write_all(&chunk).await.is_err()
        {
            input = None;
        }
        next = incoming.chunk().await?;
    }
    drop(input);
    finish(program).await
}

/// Gives a program a short input and waits for its end.
pub(super) async fn tell(mut program: Program, text: &str) -> Result<Result<(), String>, Failure> {
    if let Some(mut input) = program.input.take() {
        // One that does not listen has failed, which its end says.
        let _ = input.write_all(text.as_bytes()).await;
    }
    finish(program).await
}

async fn finish(program: Program) -> Result<Result<(), String>, Failure> {
    let (status, talk) = program.finish().await?;
    Ok(match status.success() {
        true => Ok(()),
        false => Err(talk),
    })
}
