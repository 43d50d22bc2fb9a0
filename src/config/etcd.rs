//! Documents kept in etcd. What a document means is not known here, nor when a node changes over; nothing here prints.

mod source;
mod url;

pub use self::source::{EtcdSource, EtcdTls};
pub use self::url::UrlError;
