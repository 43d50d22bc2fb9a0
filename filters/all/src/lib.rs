//! The one list of the built-in filters, each behind a cargo feature of its name.
//!
//! A program with filters of its own starts from it:
//! `linkgate::main(linkgate::program!(), linkgate_filters::all().with::<MyFilter>())`.

use linkgate_filter::Registry;

/// Every built-in filter that is compiled in.
pub fn all() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "ack_retry")]
    let registry = registry.with::<linkgate_ack_retry::AckRetry>();
    #[cfg(feature = "batch")]
    let registry = registry.with::<linkgate_batch::Batches>();
    #[cfg(feature = "codec")]
    let registry = registry.with::<linkgate_codec::Codec>();
    #[cfg(feature = "decrypt")]
    let registry = registry.with::<linkgate_decrypt::Decrypt>();
    #[cfg(feature = "dedup")]
    let registry = registry.with::<linkgate_dedup::Dedup>();
    #[cfg(feature = "echo")]
    let registry = registry.with::<linkgate_echo::Echo>();
    #[cfg(feature = "grpc_upstream")]
    let registry = registry.with::<linkgate_grpc_upstream::GrpcUpstream>();
    #[cfg(feature = "mq_upstream")]
    let registry = registry.with::<linkgate_mq_upstream::MqUpstream>();
    #[cfg(feature = "rate_limit")]
    let registry = registry.with::<linkgate_rate_limit::RateLimit>();
    registry
}
