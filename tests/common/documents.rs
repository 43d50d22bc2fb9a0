//! Documents of a gateway, for tests that change them.

/// What businesses share: a listener.
pub(crate) const PLATFORM: &str = "schema: 1
listeners: [{ name: public, address: \"127.0.0.1:0\", auth: insecure_query }]
";

/// A business whose clients may send so many messages at once, and no more for hours.
pub(crate) fn business(biz_id: &str, max: u32) -> String {
    format!(
        "schema: 1
pipelines:
  - biz_id: {biz_id}
    listeners: [public]
    filters:
      - use: codec
      - {{ use: rate_limit, config: {{ per: link, rate: 1/h, burst: {max} }} }}
      - use: ack_retry
      - use: echo
"
    )
}
