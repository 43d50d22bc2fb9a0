//! Stands where a codec would.

use crate::filter::{Filter, Never};
use crate::filter_type::FilterType;
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::{Fact, Properties};

use super::end::Config;

/// `use: test_decoded`: takes the codec's place in pipelines whose messages the test sends decoded.
pub struct Decoded;

impl FilterType for Decoded {
    const NAME: &'static str = "test_decoded";
    type Config = Config;
    type Filter = Self;

    fn prepare(_: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::DECODED)
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Decoded {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}
