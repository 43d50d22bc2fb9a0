//! The proxy core of linkgate.
