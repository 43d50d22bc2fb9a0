use super::*;
use crate::secret::Secret;

fn store(url: &str) -> Result<RedisStore, String> {
    let config = format!("{{ url: '{url}', timeout: 500ms }}");
    RedisStore::new(&serde_yaml::from_str::<RedisConfig>(&config).unwrap())
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_unreachable() {
    // Nobody listens on port 1.
    let store = store("redis://127.0.0.1:1").unwrap();
    let inserted = store.insert("k".into(), "v".into(), Duration::from_secs(1));
    let error = inserted.await.unwrap_err();
    assert_eq!(error.failure, EdgeFailure::Unreachable);
}

#[test]
fn no_password_shows_in_what_is_wrong_with_a_url() {
    let url = "redis://user:hunter2@host:no-port";
    let error = store(url).map(|_| ()).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(!format!("{:?}", Secret::new(url)).contains("hunter2"));
}
