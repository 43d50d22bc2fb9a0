//! What Redis says, with what to do about it, and that clients may come again.

use linkgate_filter::{EdgeError, EdgeFailure};

use super::{KEEP, ann, open, open_at};
use crate::services::Redis;

async fn refused(store: &std::sync::Arc<dyn linkgate_filter::store::Store>) -> EdgeError {
    let inserted = store.insert(&ann(), "linkgate:dedup:chat:k".into(), "v".into(), KEEP);
    inserted.await.unwrap_err()
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do_and_may_come_again() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    for command in [
        "ACL SETUSER reader on >pass ~* +@connection +eval +evalsha +get",
        "ACL SETUSER stranger on >pass ~* +@connection",
        "ACL SETUSER owner on >pass ~* +@all",
        "CONFIG SET min-replicas-to-write 1",
    ] {
        assert_eq!(
            redis.call(command).await.as_deref(),
            Some("+OK"),
            "{command}"
        );
    }
    let address = redis.address();
    for (login, todo) in [
        ("reader:pass@", "grant the user"),
        ("stranger:pass@", "grant the user"),
        ("stranger:hunter2@", "check the user and the password"),
        ("owner:pass@", "bring its replicas back"),
    ] {
        let store = open_at(&format!("url: 'redis://{login}{address}'"));
        // The second one meets what the first has met, not its echo.
        for error in [refused(&store).await, refused(&store).await] {
            assert_eq!(error.failure, EdgeFailure::Unreachable, "{login}: {error}");
            assert!(error.fault("dedup.store").retry_after.is_some());
            let said = error.to_string();
            assert!(said.contains(todo), "{login}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    assert_eq!(
        redis.call("CONFIG SET requirepass secret").await.as_deref(),
        Some("+OK")
    );
    let error = refused(&open(&redis)).await;
    assert_eq!(error.failure, EdgeFailure::Unreachable, "{error}");
    assert!(error.to_string().contains("it wants a password"), "{error}");
}
