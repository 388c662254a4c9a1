//! Tests of who is waited for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn loose_files_stay_while_somebody_reads_who_does_not_know_the_pack() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("app.git");
    Repository::create(&at, "main").unwrap();
    let repository = Arc::new(Repository::open(&at).unwrap());
    let mut contents = (0..20_u8).map(|number| vec![number]);
    let stored = repository.store_blobs::<Error>(|| Ok(contents.next()));
    let stored = stored.unwrap();
    let loose = || loose_objects(&at.join("objects")).unwrap().len();
    // The empty tree is there from the beginning.
    assert_eq!(loose(), stored.len() + 1);

    let early = repository.local();
    let this = repository.clone();
    let mut repacking = tokio::spawn(async move { this.repack().await.unwrap() });
    while indices(&at.join("objects")).unwrap().is_empty() {
        assert!(!repacking.is_finished());
        tokio::task::yield_now().await;
    }
    let ended = timeout(10 * READERS_LOOK, &mut repacking).await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(loose(), stored.len() + 1);
    drop(early);
    let done = repacking.await.unwrap();
    assert_eq!((done.loose, done.packs), (stored.len() + 1, 0));
    assert_eq!(loose(), 0);
    for (oid, size) in stored {
        assert_eq!(repository.blob(oid).unwrap().len() as u64, size);
    }
}
