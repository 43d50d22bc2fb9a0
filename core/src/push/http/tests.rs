use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

use super::*;
use crate::push::config::PushLimits;
use crate::push::metrics::PushMetrics;
use crate::push::testing::{TestLinks, clock};

const TOKEN: &str = "0123456789abcdef";

fn source(links: &Arc<TestLinks>) -> Routes {
    let yaml = format!("{{ auth: {{ token: {TOKEN}, biz_ids: [chat] }}, max_message: 1KiB }}");
    let config: HttpSource = serde_yaml::from_str(&yaml).unwrap();
    let links = Arc::clone(links) as _;
    let router = Router::new(
        links,
        clock(),
        &PushLimits::default(),
        PushMetrics::default(),
    );
    let source = HttpPush::new(&config, router);
    HttpPush::routes(Arc::new(ArcSwapOption::from_pointee(source)))
}

async fn call(routes: &Routes, uri: &str, token: &str, body: &str) -> (u16, serde_json::Value) {
    let request = Request::post(uri)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = routes.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    (
        status,
        serde_json::from_slice(&body.unwrap()).unwrap_or_default(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_push_is_answered_with_its_outcomes() {
    let links = Arc::<TestLinks>::default();
    let ann = links.connect("ann", None);
    let routes = source(&links);
    let body = r#"{"key":"k","biz_id":"chat","receiver_ids":["ann","bob"],"body":"aGk="}"#;
    let client = async {
        links.arrived.notified().await;
        ann.ack();
    };
    let ((status, answer), ()) = tokio::join!(call(&routes, "/v1/push", TOKEN, body), client);
    assert_eq!(status, 200);
    assert_eq!(answer["outcomes"][0]["status"], "DELIVERED");
    assert_eq!(answer["outcomes"][1]["status"], "OFFLINE");
}

#[tokio::test(start_paused = true)]
async fn the_caller_says_how_long_it_waits() {
    let links = Arc::<TestLinks>::default();
    let _ann = links.connect("ann", None);
    let begun = tokio::time::Instant::now();
    let body = r#"{"key":"k","biz_id":"chat","receiver_id":"ann"}"#;
    let (status, answer) = call(&source(&links), "/v1/push?wait=3s", TOKEN, body).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(status, 200);
    assert_eq!(answer["outcomes"][0]["reason"]["code"], "push.unsettled");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_makes_no_sense_is_refused_with_the_reason() {
    let routes = source(&Arc::default());
    let good = r#"{"key":"k","biz_id":"chat","receiver_id":"ann"}"#;
    let other = good.replace("chat", "other");
    let large = good.replace("ann", &"a".repeat(1100));
    for (token, body, status, code) in [
        ("another-token-than-that", good, 401, "push.unauthenticated"),
        (TOKEN, &other, 403, "push.forbidden"),
        (TOKEN, "hello", 400, "push.invalid"),
        (TOKEN, r#"{"key":"k"}"#, 400, "push.invalid"),
    ] {
        let (said, answer) = call(&routes, "/v1/push", token, body).await;
        assert_eq!((said, answer["code"].as_str()), (status, Some(code)));
    }
    assert_eq!(call(&routes, "/v1/push", TOKEN, &large).await.0, 413);
    assert_eq!(
        call(&routes, "/v1/push?wait=soon", TOKEN, good).await.0,
        400
    );
}
