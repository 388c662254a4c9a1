//! Repacking while others read and write, and kill -9 in the middle of it.

use crate::crash::Child;
use crate::gits::{Clone, fsck, sound};
use crate::harness::*;
use crate::repacking::{loose, packs, read_all, stage, until};
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends the others when it goes, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_writers_notice_nothing() {
    let mut server = Server::with_app().await;
    let new = json!({"base_change_id": "z".repeat(32), "files": [upsert("number", b"0")]});
    let change = text(&server.post("/local/app/changes", new).await.expect(201)["id"]);
    let main = json!({"change_id": change});
    server
        .patch("/local/app/bookmarks/main", main)
        .await
        .expect(200);
    server.stop().await;
    // A pack about every hundred objects, and never more than four.
    let variables = [("MESA_TEST_LOOSE_OBJECTS", "256"), ("MESA_TEST_PACKS", "3")];
    let (child, base) = Child::start_with(&server.data(), &variables);
    server.base = base;
    let (server, bare) = (&server, server.bare("app"));
    let is_over = AtomicBool::new(false);
    let goes_on = || !is_over.load(Ordering::Relaxed);
    let known = tokio::sync::Mutex::new((Vec::new(), Vec::new()));

    let stager = async {
        for round in 0_u32.. {
            if !goes_on() {
                break;
            }
            let some: Vec<String> = (0..200).map(|number| format!("{round} {number}")).collect();
            let ids = stage(server, "app", &some).await;
            let mut known = known.lock().await;
            known.0.extend(ids);
            known.1.extend(some);
        }
    };
    let amender = async {
        let at = format!("/local/app/changes/{change}");
        let read = "/local/app/content?bookmark=main&path=number";
        for number in 1_u32.. {
            if !goes_on() {
                break;
            }
            let body = json!({"files": [upsert("number", number.to_string().as_bytes())]});
            server.patch(&at, body).await.expect(200);
            assert_eq!(
                server.bytes(read).await.bytes,
                number.to_string().as_bytes()
            );
        }
    };
    let reader = async {
        while goes_on() {
            let (ids, contents) = known.lock().await.clone();
            read_all(
                server,
                "app",
                &ids[..ids.len().min(10_000)],
                &contents[..ids.len().min(10_000)],
            )
            .await;
            for (id, content) in ids.iter().zip(&contents).rev().take(20) {
                let blob = server.bytes(&format!("/local/app/ext/blobs/{id}")).await;
                assert_eq!(blob.bytes, content.as_bytes());
            }
        }
    };
    let pusher = || {
        for round in 0_u32.. {
            if !goes_on() {
                break;
            }
            let clone = Clone::of(server, &["--single-branch"]);
            clone.git(&["checkout", "-q", "-b", &format!("side{round}")]);
            clone.commit("side", round.to_string());
            clone.git(&["push", "-q", "origin", &format!("HEAD:side{round}")]);
        }
    };
    let watcher = async {
        let _over = Over(&is_over);
        let (begun, mut seen, mut times) = (Instant::now(), loose(&bare), 0);
        while times < 8 {
            assert!(begun.elapsed() < Duration::from_secs(180), "{times} times");
            let now = loose(&bare);
            times += u32::from(now + 50 < seen);
            seen = now;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Git's client blocks.
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(pusher);
            let all = async { tokio::join!(stager, amender, reader, watcher) };
            tokio::runtime::Handle::current().block_on(all);
        });
    });
    assert!(packs(&bare, "idx") <= 5);
    let (ids, contents) = known.into_inner();
    for (ids, contents) in ids.chunks(5_000).zip(contents.chunks(5_000)) {
        read_all(server, "app", ids, contents).await;
    }
    drop(child);
    sound(&bare);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_in_the_middle_loses_nothing() {
    let mut server = Server::with_app().await;
    server.stop().await;
    let bare = server.bare("app");
    let variables = [("MESA_TEST_LOOSE_OBJECTS", "256"), ("MESA_TEST_PACKS", "2")];
    let mut all = (Vec::new(), Vec::new());
    for round in 0..12 {
        let (child, base) = Child::start_with(&server.data(), &variables);
        server.base = base;
        // What was killed before has left nothing half done that shows.
        assert_eq!(packs(&bare, "pack"), packs(&bare, "idx"));
        read_all(&server, "app", &all.0, &all.1).await;
        let some: Vec<String> = (0..800).map(|number| format!("{round} {number}")).collect();
        all.0.extend(stage(&server, "app", &some).await);
        all.1.extend(some);
        let (packs_before, loose_before) = (packs(&bare, "pack"), loose(&bare));
        until("nothing is repacked", || match round % 4 {
            0 => fs::read_dir(bare.join("incoming")).unwrap().count() > 0 || loose(&bare) < 800,
            1 => packs(&bare, "pack") != packs_before,
            2 => loose(&bare) < loose_before,
            _ => loose(&bare) < 100,
        })
        .await;
        drop(child);
        sound(&bare);
    }
    server.start(&[]).await;
    read_all(&server, "app", &all.0, &all.1).await;
    let request = server.request(Method::GET, "/local/app/bookmarks/main");
    server.send(request).await.expect(200);
    fsck(&server, "app");
}
