//! For which businesses those who call may push.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::config::GrpcCaller;
use crate::reception::credentials::{Known, Shown};

/// The callers of one source. Clones are the same callers.
#[derive(Clone)]
pub(super) struct Callers(Arc<ArcSwap<Known<Grant>>>);

/// The businesses a caller may push for.
#[derive(Clone)]
pub(super) enum Grant {
    /// There is no authentication here.
    All,
    Of(Arc<HashSet<String>>),
}

impl Grant {
    pub(super) fn covers(&self, biz_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(biz_ids) => biz_ids.contains(biz_id),
        }
    }
}

impl Callers {
    pub(super) fn new(callers: &[GrpcCaller]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(known(callers))))
    }

    /// From now on these call.
    pub(super) fn replace(&self, callers: &[GrpcCaller]) {
        self.0.store(Arc::new(known(callers)));
    }

    /// Whether nobody has to say who it is.
    pub(super) fn are_open(&self) -> bool {
        self.0.load().is_empty()
    }

    pub(super) fn by_token(&self, token: &str) -> Option<Grant> {
        self.0.load().by_token(token).cloned()
    }

    pub(super) fn by_certificate(&self, shown: &Shown) -> Option<Grant> {
        self.0.load().by_certificate(shown).cloned()
    }
}

fn known(callers: &[GrpcCaller]) -> Known<Grant> {
    Known::new(callers.iter().map(|caller| {
        let biz_ids = caller.biz_ids.iter().cloned().collect();
        let name = caller.client_cert.as_deref();
        (caller.token.as_ref(), name, Grant::Of(Arc::new(biz_ids)))
    }))
}
